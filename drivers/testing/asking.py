"""What a driver must do whose devices are asked, on a real line."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest

from drivers.asking import UNANSWERED_AT_MOST
from drivers.driver import Answering
from drivers.instrument import PtyInstrument
from drivers.port import SerialPort
from drivers.testing.contract import (
    ENOUGH,
    PATIENCE_S,
    DriverContract,
    described,
    is_scalar,
)
from gateway.clock import system_clock
from gateway.errors import LinkAbsent, LinkBusy, LinkLost, LinkSilent


class AskingContract(DriverContract):
    """For a device that is asked, on a real line."""

    options: ClassVar[Mapping[str, Any]] = {"interval": "10ms", "timeout": "200ms", "turnaround": "0s"}

    @property
    def answering(self) -> Answering:
        assert self.simulation.answering is not None
        return self.simulation.answering(0)

    @pytest.mark.real_time
    async def test_answers_become_readings_with_name_and_moment(self, tmp_path: Path) -> None:
        before = system_clock()
        metrics = self.driver.describe(self.settings())
        async with self.served(tmp_path) as instrument, self.readings(instrument.path) as readings:
            found = [await anext(readings) for _ in range(ENOUGH)]
        assert all(reading.device == "device" for reading in found)
        for reading in found:
            assert reading.values
            assert all(is_scalar(value) for value in reading.values.values())
            assert not metrics or all(described(name, metrics) for name in reading.values)
        moments = [before, *(reading.at for reading in found), system_clock()]
        assert all(earlier.mono <= later.mono for earlier, later in pairwise(moments))

    @pytest.mark.real_time
    async def test_answers_may_come_in_single_bytes(self, tmp_path: Path) -> None:
        instrument = PtyInstrument(tmp_path / "line")
        instrument.plug_in()
        simulated = self.answering

        async def answer_slowly() -> None:
            while True:
                for byte in simulated.answer(await instrument.hear()):
                    await instrument.say(bytes([byte]))
                    await asyncio.sleep(0)

        try:
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(answer_slowly())
                async with self.readings(instrument.path) as readings:
                    assert (await anext(readings)).values
                serving.cancel()
        finally:
            instrument.unplug()

    @pytest.mark.real_time
    async def test_silence_makes_the_device_say_that_nobody_answers(self, tmp_path: Path) -> None:
        with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
            async with self.opened(instrument.path) as device:
                with pytest.raises(LinkSilent, match=str(instrument.path)):
                    async for _ in device.readings():
                        pytest.fail("a reading from nobody")
                assert device.rejected["no answer"]

    @pytest.mark.real_time
    async def test_rubbish_costs_the_rounds_it_falls_into(self, tmp_path: Path) -> None:
        chance = random.Random(1)
        simulated = self.answering
        spoilt = 0

        with PtyInstrument.plugged_in(tmp_path / "line") as instrument:

            async def answer_rubbish_at_first() -> None:
                nonlocal spoilt
                while True:
                    answer = simulated.answer(await instrument.hear())
                    if answer and spoilt < UNANSWERED_AT_MOST:
                        spoilt += 1
                        await instrument.say(chance.randbytes(len(answer)))
                    elif answer:
                        await instrument.say(answer)

            async with asyncio.TaskGroup() as group:
                serving = group.create_task(answer_rubbish_at_first())
                found = None
                while found is None:
                    try:
                        async with self.readings(instrument.path) as readings:
                            found = (await anext(readings)).values
                    except LinkSilent:
                        pass  # the gateway would open it again
                serving.cancel()
        assert found
        assert spoilt == UNANSWERED_AT_MOST

    @pytest.mark.real_time
    async def test_hang_up_ends_the_readings(self, tmp_path: Path) -> None:
        async with self.served(tmp_path) as instrument, self.readings(instrument.path) as readings:
            await anext(readings)
            instrument.unplug()
            with pytest.raises(LinkLost, match=str(instrument.path)):
                while True:
                    await anext(readings)

    @pytest.mark.real_time
    async def test_instrument_that_returns_is_read_again(self, tmp_path: Path) -> None:
        for _ in range(3):
            async with self.served(tmp_path) as instrument:
                async with self.readings(instrument.path) as readings:
                    await anext(readings)
                    instrument.unplug()
                    with pytest.raises(LinkLost):
                        while True:
                            await anext(readings)
                with pytest.raises(LinkAbsent):
                    async with self.readings(instrument.path):
                        pass

    @pytest.mark.real_time
    async def test_device_that_is_cancelled_frees_its_port(self, tmp_path: Path) -> None:
        async with self.served(tmp_path) as instrument:
            read = asyncio.Event()

            async def ask() -> None:
                async with self.readings(instrument.path) as readings:
                    async for _ in readings:
                        read.set()

            asking = asyncio.create_task(ask())
            async with asyncio.timeout(PATIENCE_S):
                await read.wait()
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
            async with self.readings(instrument.path) as readings:
                await anext(readings)

    @pytest.mark.real_time
    async def test_two_devices_take_turns_on_one_line_and_others_are_refused(self, tmp_path: Path) -> None:
        async with (
            self.served(tmp_path) as instrument,
            self.readings(instrument.path) as one,
            self.readings(instrument.path) as other,
        ):
            found = await asyncio.gather(anext(one), anext(other))
            assert all(reading.values for reading in found)
            with pytest.raises(LinkBusy):
                async with SerialPort.open(self.settings(instrument.path), system_clock):
                    pass

    @asynccontextmanager
    async def served(self, folder: Path) -> AsyncIterator[PtyInstrument]:
        """The simulated instrument, on a line, answering."""
        with PtyInstrument.plugged_in(folder / "line") as instrument:
            serving = asyncio.create_task(instrument.serve(self.answering))
            try:
                yield instrument
            finally:
                serving.cancel()
                await asyncio.wait([serving])
