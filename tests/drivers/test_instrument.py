"""The simulated instrument, which demo and tests rely on."""

import asyncio
import os
from pathlib import Path

import pytest

from drivers.instrument import PtyInstrument

pytestmark = pytest.mark.real_time


def test_instrument_is_there_while_it_is_plugged_in(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        assert os.path.realpath(instrument.path).startswith("/dev/pts/")
        instrument.unplug()
        assert not instrument.path.is_symlink()
        instrument.unplug()
        instrument.plug_in()
        assert instrument.path.exists()
    assert not instrument.path.is_symlink()


def test_instrument_is_plugged_in_once_only(tmp_path: Path) -> None:
    with (
        PtyInstrument.plugged_in(tmp_path / "line") as instrument,
        pytest.raises(RuntimeError, match=r"is plugged in already$"),
    ):
        instrument.plug_in()


def test_path_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    taken = tmp_path / "line"
    taken.write_text("something else")
    with pytest.raises(FileExistsError), PtyInstrument.plugged_in(taken):
        pass
    assert taken.read_text() == "something else"


def test_unplugging_does_not_mind_that_its_link_has_gone(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        instrument.path.unlink()


async def test_instrument_that_is_not_plugged_in_says_nothing(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        instrument.unplug()
        with pytest.raises(RuntimeError, match=r"is not plugged in$"):
            await instrument.say(b"hello")


async def test_speaking_waits_for_room_on_the_line(tmp_path: Path) -> None:
    flood = bytes(100_000)
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        terminal = os.open(instrument.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            speaking = asyncio.create_task(instrument.say(flood))
            heard = 0
            async with asyncio.timeout(20):
                while heard < len(flood):
                    try:
                        heard += len(os.read(terminal, 4096))
                    except BlockingIOError:
                        await asyncio.sleep(0)
            await speaking
        finally:
            os.close(terminal)
