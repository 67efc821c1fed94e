"""What every driver must do. A test module derives a class from one of these and names the driver.

    class TestThermometer(ListeningContract):
        name = "thermometer"

ListeningContract is for devices that talk by themselves, AskingContract for those that are asked. The bytes
come from the driver's simulation, the options from its sample.toml.
"""

import asyncio
import json
import math
import random
import tomllib
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import drivers
from drivers.asking import UNANSWERED_AT_MOST
from drivers.driver import Answering, Device, Driver, DriverOptions, Frame, Simulation
from drivers.instrument import PtyInstrument
from drivers.port import SerialPort
from drivers.testing.instrument import UnrulyInstrument
from gateway.clock import system_clock
from gateway.errors import LinkAbsent, LinkBusy, LinkLost, LinkSilent
from gateway.model import Reading, Value

PATIENCE_S = 20.0
"""Far beyond what anything here takes; only a hang reaches it."""

ENOUGH = 12
"""Telegrams that show what an instrument says."""

ENDLESS = 700_000
"""Bytes without the end of a frame."""

HELD_AT_MOST = 2**19
"""What a decoder may hold back, generously."""

REASONS_AT_MOST = 30
"""Why a decoder may refuse something: reasons, not the refused."""

CHUNK = 64 * 1024
"""What a port hands over at once."""

_property = settings(
    max_examples=40,
    deadline=None,
    # Each driver's class runs the same functions: that is what a contract is.
    suppress_health_check=[HealthCheck.differing_executors],
)

noise = st.binary(max_size=60) | st.sampled_from([b"\n", b"\r", b"\x00\x00", b"\xff" * 8, b"$", b"{", b'"'])


class DriverContract:
    name: ClassVar[str]
    """As the configuration calls it."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Other ones than in the first device of the driver's sample.toml."""

    @property
    def driver(self) -> Driver:
        return drivers.find(self.name)

    @property
    def simulation(self) -> Simulation:
        assert self.driver.simulation is not None
        return self.driver.simulation

    def telegrams(self, seed: int) -> Iterator[bytes]:
        return self.simulation.telegrams(seed)

    @property
    def folder(self) -> Path:
        return drivers.folder(self.name)

    def settings(self, port: object = "/dev/null") -> DriverOptions:
        [sample, *_] = self.sample().values()
        document = json.dumps({**sample, **self.options, "port": str(port)}, default=str)
        return self.driver.options.model_validate_json(document, strict=True)

    def sample(self) -> dict[str, dict[str, Any]]:
        """The devices in the driver's sample.toml, by name."""
        devices: dict[str, dict[str, Any]] = tomllib.loads(drivers.sample(self.name))["devices"]
        return devices

    def said(self, seed: int = 0, count: int = ENOUGH) -> list[bytes]:
        return list(islice(self.telegrams(seed), count))

    def decoded(self, chunks: Iterable[bytes]) -> tuple[list[Frame], Counter[str], Counter[str]]:
        decoder = self.driver.decoder(self.settings())
        frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
        frames += decoder.finish()
        return frames, decoder.rejected, decoder.dropped

    def values(self, telegrams: Iterable[bytes]) -> list[dict[str, Value]]:
        """Of the readings that these telegrams become."""
        frames, _, _ = self.decoded(telegrams)
        return [frame.values for frame in frames if frame.values]

    @asynccontextmanager
    async def opened(self, port: object) -> AsyncIterator[Device]:
        async with (
            asyncio.timeout(PATIENCE_S),
            self.driver.open("device", self.settings(port), system_clock) as device,
        ):
            yield device

    @asynccontextmanager
    async def readings(self, port: object) -> AsyncIterator[AsyncIterator[Reading]]:
        async with (
            self.opened(port) as device,
            aclosing(device.readings()) as readings,  # type: ignore[type-var]
        ):
            yield readings

    # The module

    def test_driver_says_what_it_is(self) -> None:
        driver = self.driver
        assert driver.summary
        assert "\n" not in driver.summary
        assert issubclass(driver.options, DriverOptions)
        assert all(field.description for field in driver.options.model_fields.values())
        assert (self.folder / "README.md").is_file(), f"README.md is missing in {self.folder}"
        for name, metric in driver.metrics.items():
            assert all(name.split("."))
            assert metric.label

    def test_sample_is_a_device_of_this_driver(self) -> None:
        document = tomllib.loads(drivers.sample(self.name))
        assert document.keys() == {"devices"}
        for table in document["devices"].values():
            options = self.driver.options.model_validate_json(json.dumps(table), strict=True)
            assert options.driver == self.name

    def test_fresh_decoder_has_counted_nothing(self) -> None:
        assert self.decoded([]) == ([], Counter(), Counter())

    def test_instrument_says_the_same_for_the_same_seed_and_something_to_read(self) -> None:
        assert self.said(1) == self.said(1)
        assert self.values(self.said(1))
        assert self.values(self.said(2)) != self.values(self.said(1))

    def test_values_are_finite_scalars_under_names_that_the_driver_describes(self) -> None:
        metrics = self.driver.describe(self.settings())
        for values in self.values(self.said(count=200)):
            for name, value in values.items():
                assert name
                assert is_scalar(value), f"{name} = {value!r}"
                assert not metrics or described(name, metrics), name

    # The stream

    @_property
    @given(
        seed=st.integers(0, 3),
        between=st.lists(noise, min_size=4, max_size=4),
        places=st.lists(st.integers(0, 4000), max_size=12),
    )
    def test_any_split_gives_the_same_frames_and_counts(
        self, seed: int, between: list[bytes], places: list[int]
    ) -> None:
        stream = b"".join(mixed(between, self.said(seed, 3)))
        whole = self.decoded([stream])
        assert self.decoded(cut(stream, places)) == whole
        assert self.decoded(bytes([byte]) for byte in stream) == whole

    def test_frames_are_where_they_say_they_are(self) -> None:
        telegrams = self.said()
        frames, _, _ = self.decoded(telegrams)
        ends = [frame.offset + frame.length for frame in frames]
        assert all(frame.length > 0 for frame in frames)
        assert all(end <= after.offset for end, after in zip(ends, frames[1:], strict=False))
        assert frames[0].offset >= 0
        assert ends[-1] <= sum(map(len, telegrams))

    @_property
    @given(seed=st.integers(0, 3), between=st.lists(noise, min_size=5, max_size=5))
    def test_noise_costs_at_most_the_frame_it_touches(self, seed: int, between: list[bytes]) -> None:
        telegrams = self.said(seed, len(between) - 1)
        clean, _, _ = self.decoded(telegrams)
        touched = {
            first.offset
            for telegram_at, before in zip(offsets(telegrams), between, strict=False)
            if before and (first := next((each for each in clean if each.offset >= telegram_at), None))
        }
        must_come = [(frame.id, frame.values) for frame in clean if frame.offset not in touched]
        noisy, _, _ = self.decoded(mixed(between, telegrams))
        assert is_subsequence(must_come, [(frame.id, frame.values) for frame in noisy])

    @_property
    @given(st.lists(st.binary(max_size=200), max_size=20))
    def test_arbitrary_bytes_raise_nothing(self, chunks: list[bytes]) -> None:
        frames, _, _ = self.decoded(chunks)
        for frame in frames:
            assert all(is_scalar(value) for value in frame.values.values())

    @pytest.mark.parametrize("filler", [b"\x00", b"\xff", b"A", b"7", b'"', b"[1,"])
    def test_endless_input_without_a_frame_end_is_not_kept(self, filler: bytes) -> None:
        decoder = self.driver.decoder(self.settings())
        [telegram] = self.said(count=1)
        chunk = filler * (CHUNK // len(filler))
        tracemalloc.start()
        try:
            for data in (telegram[: len(telegram) // 2], *[chunk] * (ENDLESS // len(chunk))):
                for _ in decoder.feed(data):
                    pass
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < HELD_AT_MOST
        assert len(decoder.rejected) + len(decoder.dropped) < REASONS_AT_MOST

    def test_frames_come_again_after_endless_input(self) -> None:
        telegrams = self.said()
        expected, _, _ = self.decoded(telegrams)
        found, _, _ = self.decoded([b"A" * 100_000, *telegrams])
        assert is_subsequence([frame.values for frame in expected[1:]], [frame.values for frame in found])


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


def is_scalar(value: object) -> bool:
    return isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))


def described(name: str, metrics: Mapping[str, object]) -> bool:
    """`*` in a description stands for one part of a name."""
    parts = name.split(".")
    return name in metrics or any(
        len(parts) == len(pattern)
        and all(wanted in ("*", part) for wanted, part in zip(pattern, parts, strict=True))
        for pattern in (described.split(".") for described in metrics)
    )


def mixed(noises: Sequence[bytes], telegrams: Sequence[bytes]) -> list[bytes]:
    """Noise before each telegram, and what noise is left behind the last one."""
    pairs = zip(noises, telegrams, strict=False)
    return [
        *(piece for pair in pairs for piece in pair),
        *noises[len(telegrams) :],
        *telegrams[len(noises) :],
    ]


def offsets(telegrams: Iterable[bytes]) -> Iterator[int]:
    offset = 0
    for telegram in telegrams:
        yield offset
        offset += len(telegram)


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    return [stream[first:last] for first, last in pairwise(edges)]


def is_subsequence(wanted: Sequence[object], found: Iterable[object]) -> bool:
    rest = iter(found)
    return all(each in rest for each in wanted)
