"""The instrument that drivers are tested with behaves as badly as it says."""

import asyncio
from pathlib import Path

import pytest

from drivers.driver import DriverOptions
from drivers.port import Chunk, SerialPort
from drivers.testing.instrument import UnrulyInstrument
from gateway.clock import system_clock
from gateway.errors import LinkLost

pytestmark = pytest.mark.real_time

SAID = [b"one\n", b"two\n", b"three\n", b"four\n"]


async def heard(instrument: UnrulyInstrument, count: int, baudrate: int = 9600) -> list[bytes]:
    """Pieces as they come, so many bytes in all."""
    options = DriverOptions(driver="", port=str(instrument.path), baudrate=baudrate)
    async with asyncio.timeout(20), SerialPort.open(options, system_clock) as port:
        pieces: list[Chunk] = []
        async with asyncio.TaskGroup() as group:
            saying = group.create_task(instrument.play(SAID, every_s=0.01))
            while sum(len(piece.data) for piece in pieces) < count:
                pieces.append(await port.read())
            await saying
    return [piece.data for piece in pieces]


async def test_split_and_delayed_it_says_the_same(tmp_path: Path) -> None:
    with UnrulyInstrument.plugged_in(tmp_path / "line") as plain:
        assert b"".join(await heard(plain, 19)) == b"".join(SAID)
    with UnrulyInstrument.plugged_in(tmp_path / "line", longest_piece=2, delay_s=0.003) as unruly:
        pieces = await heard(unruly, 19)
    assert b"".join(pieces) == b"".join(SAID)
    assert len(pieces) > len(SAID)


async def test_merged_sayings_come_at_once(tmp_path: Path) -> None:
    with UnrulyInstrument.plugged_in(tmp_path / "line", held=2) as unruly:
        pieces = await heard(unruly, 19)
    assert b"".join(pieces) == b"".join(SAID)
    assert pieces[0].startswith(b"one\nt")


async def test_damaged_sayings_are_those_that_it_names(tmp_path: Path) -> None:
    with UnrulyInstrument.plugged_in(tmp_path / "line", damage=0.5, seed=4) as unruly:
        whole = b"".join(await heard(unruly, 19))
    assert unruly.damaged
    start = 0
    for index, said in enumerate(SAID):
        assert (whole[start : start + len(said)] != said) == (index in unruly.damaged)
        start += len(said)


async def test_wrong_speed_hears_noise(tmp_path: Path) -> None:
    with UnrulyInstrument.plugged_in(tmp_path / "line", baudrate=2400) as unruly:
        assert b"".join(await heard(unruly, 19, baudrate=9600)) != b"".join(SAID)
        assert b"".join(await heard(unruly, 19, baudrate=2400)) == b"".join(SAID)


async def test_it_returns_as_another_terminal(tmp_path: Path) -> None:
    with UnrulyInstrument.plugged_in(tmp_path / "line") as unruly:
        before = unruly.path.readlink()
        options = DriverOptions(driver="", port=str(unruly.path))
        async with SerialPort.open(options, system_clock) as port:
            unruly.move()
            with pytest.raises(LinkLost):
                await port.read()
        assert unruly.path.readlink() != before
        assert b"".join(await heard(unruly, 19)) == b"".join(SAID)
