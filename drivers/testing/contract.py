"""What every driver must do, and what the contracts share. A test module derives a class from one of them.

    class TestThermometer(ListeningContract):
        name = "thermometer"

ListeningContract (`listening`) is for devices that talk by themselves, AskingContract (`asking`) for those that are
asked. The bytes come from the driver's simulation, the options from its sample.toml.
"""

import asyncio
import json
import math
import tomllib
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
from drivers.driver import Device, Driver, DriverOptions, Frame, Simulation
from drivers.testing.memory import bytes_held_after
from gateway.clock import system_clock
from gateway.model import Reading, Value

PATIENCE_S = 20.0
"""Far beyond what anything here takes; only a hang reaches it."""

ENOUGH = 12
"""Telegrams that show what an instrument says."""

ENDLESS = 1_250_000
"""Bytes without the end of a frame."""

HELD_AT_MOST = 2**18
"""What a decoder may hold back, generously."""

REASONS_AT_MOST = 30
"""Why a decoder may refuse something: reasons, not the refused."""

CHUNK = 64 * 1024
"""What a port hands over at once."""

_property = settings(
    max_examples=60,
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

    @pytest.mark.parametrize("filler", [b"\x00", b"\xff", b"A", b"7", b'"', b"\\", b"$", b"{", b",", b"[1,"])
    def test_endless_input_without_a_frame_end_is_not_kept(self, filler: bytes) -> None:
        decoder = self.driver.decoder(self.settings())
        [telegram] = self.said(count=1)
        chunk = filler * (CHUNK // len(filler))
        for _ in self.driver.decoder(self.settings()).feed(chunk):
            pass  # tables that are made once, whatever comes, are nobody's bytes

        def feed() -> None:
            for data in (telegram[: len(telegram) // 2], *[chunk] * (ENDLESS // len(chunk))):
                for _ in decoder.feed(data):
                    pass

        held = bytes_held_after(feed)
        assert held < HELD_AT_MOST
        assert len(decoder.rejected) + len(decoder.dropped) < REASONS_AT_MOST

    def test_frames_come_again_after_endless_input(self) -> None:
        telegrams = self.said()
        expected, _, _ = self.decoded(telegrams)
        found, _, _ = self.decoded([b"A" * 100_000, *telegrams])
        assert is_subsequence([frame.values for frame in expected[1:]], [frame.values for frame in found])


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
