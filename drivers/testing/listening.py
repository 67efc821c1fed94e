"""What a driver must do whose devices talk by themselves, on a real line."""

import asyncio
import random
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.instrument import PtyInstrument
from drivers.testing.contract import (
    ENOUGH,
    PATIENCE_S,
    DriverContract,
    is_subsequence,
    mixed,
)
from drivers.testing.instrument import UnrulyInstrument
from gateway.clock import system_clock
from gateway.errors import LinkAbsent, LinkBusy, LinkLost
from gateway.model import Value


class ListeningContract(DriverContract):
    """For a device that talks by itself, on a real line."""

    @pytest.mark.real_time
    async def test_readings_come_in_order_with_name_and_moment(self, tmp_path: Path) -> None:
        telegrams = self.said()
        expected = self.values(telegrams)
        before = system_clock()
        with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
            async with self.readings(instrument.path) as readings, asyncio.TaskGroup() as group:
                group.create_task(instrument.play(telegrams, every_s=0.001))
                found = [await anext(readings) for _ in expected]
        assert [reading.values for reading in found] == expected
        assert all(reading.device == "device" for reading in found)
        moments = [before, *(reading.at for reading in found), system_clock()]
        assert all(earlier.mono <= later.mono for earlier, later in pairwise(moments))

    @pytest.mark.real_time
    async def test_readings_come_whole_from_single_bytes(self, tmp_path: Path) -> None:
        telegrams = self.said(count=3)
        expected = self.values(telegrams)
        with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
            async with self.readings(instrument.path) as readings, asyncio.TaskGroup() as group:
                single_bytes = [bytes([byte]) for byte in b"".join(telegrams)]
                group.create_task(instrument.play(single_bytes, every_s=0))
                assert [(await anext(readings)).values for _ in expected] == expected

    @pytest.mark.real_time
    async def test_noise_on_the_line_ends_no_readings(self, tmp_path: Path) -> None:
        chance = random.Random(1)
        telegrams = self.said()
        expected = self.values(telegrams[-1:])
        with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
            async with self.readings(instrument.path) as readings, asyncio.TaskGroup() as group:
                between = [chance.randbytes(200) for _ in telegrams[:-1]]
                group.create_task(instrument.play(mixed(between, telegrams), every_s=0.001))
                found: list[Mapping[str, Value]] = []
                while not is_subsequence(expected, found):
                    found.append((await anext(readings)).values)

    @pytest.mark.real_time
    async def test_hang_up_ends_the_readings_after_the_last_one(self) -> None:
        telegrams = self.said()
        expected = self.values(telegrams)
        found = []

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"".join(telegrams))
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with self.readings(url) as readings:
                with pytest.raises(LinkLost, match=f"^{url}: "):
                    async for reading in readings:
                        found.append(reading.values)  # noqa: PERF401 - it raises
        assert found == expected

    @pytest.mark.real_time
    async def test_device_counts_what_its_decoder_refuses(self) -> None:
        line = b"\n".join([random.Random(1).randbytes(2000), *self.said()])
        frames, rejected, dropped = self.decoded([line])

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(line)
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with self.opened(url) as device:
                with pytest.raises(LinkLost):
                    async for _ in device.readings():
                        pass
                assert (device.rejected, device.dropped) == (rejected, dropped)
        assert frames

    @pytest.mark.real_time
    async def test_instrument_that_returns_is_read_again(self, tmp_path: Path) -> None:
        telegrams = self.said()
        expected = self.values(telegrams)
        with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
            for _ in range(3):
                async with self.readings(instrument.path) as readings, asyncio.TaskGroup() as group:
                    playing = group.create_task(instrument.play(telegrams, every_s=0.001))
                    assert [(await anext(readings)).values for _ in expected] == expected
                    await playing
                    instrument.unplug()
                    with pytest.raises(LinkLost):
                        await anext(readings)
                with pytest.raises(LinkAbsent):
                    async with self.readings(instrument.path):
                        pass
                instrument.plug_in()

    @pytest.mark.real_time
    async def test_line_that_splits_merges_and_delays_changes_no_reading(self, tmp_path: Path) -> None:
        telegrams = self.said(count=ENOUGH)
        expected = self.values(telegrams)
        line = UnrulyInstrument.plugged_in(
            tmp_path / "line", longest_piece=90, held=ENOUGH // 4, delay_s=0.001
        )
        with line as instrument:
            async with self.readings(instrument.path) as readings, asyncio.TaskGroup() as group:
                group.create_task(instrument.play(telegrams, every_s=0))
                assert [(await anext(readings)).values for _ in expected] == expected

    @pytest.mark.real_time
    async def test_instrument_that_returns_as_another_terminal_is_read_again(self, tmp_path: Path) -> None:
        telegrams = self.said()
        expected = self.values(telegrams)
        with UnrulyInstrument.plugged_in(tmp_path / "line") as instrument:
            async with self.readings(instrument.path) as readings:
                instrument.move()
                with pytest.raises(LinkLost):
                    await anext(readings)
            async with self.readings(instrument.path) as readings, asyncio.TaskGroup() as group:
                group.create_task(instrument.play(telegrams, every_s=0.001))
                assert [(await anext(readings)).values for _ in expected] == expected

    @pytest.mark.real_time
    async def test_silence_yields_nothing_and_can_be_left(self, tmp_path: Path) -> None:
        with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
            async with self.readings(instrument.path) as readings:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await anext(readings)
            async with self.readings(instrument.path):
                pass  # the port is free again

    @pytest.mark.real_time
    async def test_device_that_is_cancelled_frees_its_port(self, tmp_path: Path) -> None:
        with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
            read = asyncio.Event()

            async def listen() -> None:
                async with self.readings(instrument.path) as readings:
                    async for _ in readings:
                        read.set()

            listener = asyncio.create_task(listen())
            async with asyncio.timeout(PATIENCE_S):
                for telegram in self.telegrams(0):
                    if read.is_set():
                        break
                    await instrument.say(telegram)
                    await asyncio.sleep(0.005)
            listener.cancel()
            await asyncio.wait([listener])
            assert listener.cancelled()
            async with self.readings(instrument.path):
                pass

    @pytest.mark.real_time
    async def test_second_device_on_the_same_port_is_refused(self, tmp_path: Path) -> None:
        with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
            async with self.readings(instrument.path):
                with pytest.raises(LinkBusy):
                    async with self.readings(instrument.path):
                        pass
