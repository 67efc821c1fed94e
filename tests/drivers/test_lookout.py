import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from drivers.lookout import ARRIVALS_AT_MOST, ARRIVALS_WITHIN_S, EVERY_S, Lookout
from tests.support.usb_tree import Adapter, Machine

FTDI = Adapter("0403", "6001", "A50285BI")


async def _arrives(lookout: Lookout, within_s: float = 3 * EVERY_S) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await lookout.arrival()
    except TimeoutError:
        return False
    return True


async def _watching(port: object) -> Lookout:
    lookout = Lookout(str(port))
    await lookout.note()
    return lookout


async def test_port_that_is_not_there_arrives_when_it_comes(tmp_path: Path) -> None:
    lookout = await _watching(tmp_path / "ttyUSB0")
    assert not await _arrives(lookout, 60)
    (tmp_path / "ttyUSB0").touch()
    assert await _arrives(lookout)


async def test_port_that_is_there_all_the_time_does_not_arrive(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").touch()
    assert not await _arrives(await _watching(tmp_path / "ttyUSB0"), 60)


async def test_port_that_came_while_it_was_tried_arrives(tmp_path: Path) -> None:
    lookout = await _watching(tmp_path / "ttyUSB0")
    (tmp_path / "ttyUSB0").touch()
    assert await _arrives(lookout)
    assert not await _arrives(lookout, 60)


async def test_port_that_was_replugged_between_two_looks_arrives(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").touch()
    lookout = await _watching(tmp_path / "ttyUSB0")
    (tmp_path / "another").touch()
    (tmp_path / "another").replace(tmp_path / "ttyUSB0")
    assert await _arrives(lookout)


async def test_link_that_leads_to_another_device_arrives(tmp_path: Path) -> None:
    (tmp_path / "ttyACM0").touch()
    (tmp_path / "ttyACM1").touch()
    link = tmp_path / "usb-u-blox-if00"
    link.symlink_to("ttyACM0")
    lookout = await _watching(link)
    link.unlink()
    assert not await _arrives(lookout)
    link.symlink_to("ttyACM1")
    assert await _arrives(lookout)


async def test_link_that_leads_nowhere_is_no_arrival(tmp_path: Path) -> None:
    lookout = await _watching(tmp_path / "usb-u-blox-if00")
    (tmp_path / "usb-u-blox-if00").symlink_to("ttyACM0")
    assert not await _arrives(lookout)
    (tmp_path / "ttyACM0").touch()
    assert await _arrives(lookout)


@pytest.fixture
def folder_of_nobody() -> Iterator[Path]:
    """We are nobody while it lasts: root may open everything."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)


async def test_port_arrives_when_it_may_be_opened_not_when_it_is_made(folder_of_nobody: Path) -> None:
    port = folder_of_nobody / "ttyUSB0"
    lookout = await _watching(port)
    port.touch(mode=0)
    assert not await _arrives(lookout, 10)
    port.chmod(0o600)
    assert await _arrives(lookout)


async def test_usb_identity_arrives_wherever_it_is_plugged_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    lookout = await _watching("usb:0403:6001:A50285BI")
    machine.plug_in("ttyUSB0", Adapter("0403", "6001", "another"))
    assert not await _arrives(lookout, 10)
    machine.plug_in("ttyUSB7", FTDI)
    assert await _arrives(lookout)


async def test_usb_identity_that_is_replugged_under_another_name_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    old = machine.plug_in("ttyUSB0", FTDI)
    lookout = await _watching("usb:0403:6001")
    old.unlink()
    shutil.rmtree(machine.sys / "class/tty/ttyUSB0")
    shutil.rmtree(machine.dev / "serial")
    assert not await _arrives(lookout, 10)
    machine.plug_in("ttyUSB1", FTDI)
    assert await _arrives(lookout)


async def test_port_on_the_network_never_arrives() -> None:
    assert not await _arrives(await _watching("tcp://192.0.2.7:4001"), 86_400)
    assert not await _arrives(await _watching("rfc2217://192.0.2.7:4001"), 86_400)


async def test_loose_plug_is_not_followed_faster_than_it_can_be_worth(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"

    async def flap() -> None:
        while True:
            port.touch()
            await asyncio.sleep(0.05)
            port.unlink()
            await asyncio.sleep(0.07)

    lookout = await _watching(port)
    flapping = asyncio.create_task(flap())
    arrivals = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(600):
            while True:
                await lookout.arrival()
                arrivals += 1
    assert 600 / ARRIVALS_WITHIN_S < arrivals <= (600 / ARRIVALS_WITHIN_S + 1) * ARRIVALS_AT_MOST
    flapping.cancel()
    await asyncio.wait([flapping])
    port.unlink(missing_ok=True)
    assert not await _arrives(lookout, 60)
    port.touch()
    assert await _arrives(lookout), "when it is calm again it is followed at once"
