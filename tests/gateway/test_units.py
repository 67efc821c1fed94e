"""Durations and sizes: as people write them, and back."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gateway.units import Duration, DurationOrNever, Size, duration, size, written_duration, written_size


class Options(BaseModel):
    wait: Duration = 60.0
    patience: DurationOrNever = 60.0
    room: Size = 4096


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("57ms", 0.057),
        ("0.1ms", 0.0001),
        ("5s", 5.0),
        ("1.5s", 1.5),
        ("0.1s", 0.1),
        ("10m", 600.0),
        ("10min", 600.0),
        ("2h", 7200.0),
        ("1.5h", 5400.0),
        ("0.1h", 360.0),
        ("7d", 604_800.0),
        ("0s", 0.0),
        ("0.0ms", 0.0),
        (" 5 s ", 5.0),
        ("007s", 7.0),
    ],
)
def test_duration_is_its_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds
    assert type(duration(text)) is float


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0B", 0),
        ("1B", 1),
        ("64KiB", 65_536),
        ("64kB", 64_000),
        ("64KB", 64_000),
        ("512MB", 512_000_000),
        ("1MiB", 1_048_576),
        ("1.5GiB", 1_610_612_736),
        ("2GB", 2_000_000_000),
        ("4.35kB", 4350),
        ("1.1kB", 1100),
        ("0.3KiB", 307),
        ("9007199254740993B", 2**53 + 1),
    ],
)
def test_size_is_its_bytes(text: str, count: int) -> None:
    assert size(text) == count
    assert type(size(text)) is int


NO_QUANTITY = [
    "", " ", "5", "s", "5 parsecs", "five s", "-5s", "+5s", ".5s", "5.s", "5e3s", "1,5s", "1_000s", "5s5", "1h30m",
    "5S", "5MS", "nan s", "infs", "never ", "Never", "٣s", "5\u00a0s\u2028x",
    "9" * 400 + "s", "9" * 5000 + "s", "0." + "0" * 400 + "1s",
    5, 5.0, True, None, [], {}, ["5s"], b"5s", math.inf, math.nan,
]  # fmt: skip


@pytest.mark.parametrize("text", NO_QUANTITY, ids=lambda text: repr(text)[:20])
def test_what_is_no_duration_is_refused_with_the_allowed_forms(text: Any) -> None:
    allowed = 'must be a duration with its unit, such as "250ms", "5s", "10m" or "2h"'
    with pytest.raises(ValueError, match=f"^{re.escape(allowed)}$"):
        duration(text)
    with pytest.raises(ValidationError, match=re.escape(allowed)):
        Options(wait=text)
    with pytest.raises(ValidationError, match=re.escape(f'{allowed}, or "never"')):
        Options(patience=text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "64",
        "64K",
        "64k",
        "64kib",
        "64mb",
        "64 bytes",
        "-1B",
        "1e6B",
        "9" * 400 + "GiB",
        "9" * 5000 + "B",
        64,
        6.4,
        None,
        True,
    ],
    ids=lambda text: repr(text)[:20],
)
def test_what_is_no_size_is_refused_with_the_allowed_forms(text: Any) -> None:
    allowed = 'must be a size with its unit, such as "64KiB" or "512MB"'
    with pytest.raises(ValueError, match=f"^{re.escape(allowed)}$"):
        size(text)
    with pytest.raises(ValidationError, match=re.escape(allowed)):
        Options(room=text)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0s"),
        (0.25, "250ms"),
        (0.057, "57ms"),
        (0.0001, "0.1ms"),
        (1e-9, "0.000001ms"),
        (0.9995, "999.5ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (60.0, "1m"),
        (90.0, "90s"),
        (100, "100s"),
        (3600.0, "1h"),
        (5400.0, "90m"),
        (86_400.0, "1d"),
        (1_209_600.0, "14d"),
        (1_234_567.5, "1234567.5s"),
        (1e15 + 1, "1000000000000001s"),
    ],
)
def test_duration_is_written_exactly_and_briefly(seconds: float, written: str) -> None:
    assert written_duration(seconds) == written
    assert duration(written) == seconds


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0B"),
        (1, "1B"),
        (1000, "1kB"),
        (1024, "1KiB"),
        (4096, "4KiB"),
        (65_537, "65537B"),
        (512_000_000, "512MB"),
        (64 * 2**20, "64MiB"),
        (2**30, "1GiB"),
        (10**12, "1000GB"),
    ],
)
def test_size_is_written_exactly_and_briefly(count: int, written: str) -> None:
    assert written_size(count) == written
    assert size(written) == count


@given(st.integers(0, 10**12), st.integers(0, 6), st.sampled_from(["ms", "s", "m", "min", "h", "d"]))
def test_what_is_read_and_written_is_read_the_same(number: int, places: int, unit: str) -> None:
    text = f"{number / 10**places:.{places}f}{unit}"
    seconds = duration(text)
    assert duration(written_duration(seconds)) == seconds


@given(st.integers(0, 10**15))
def test_whole_seconds_and_bytes_are_written_without_loss(number: int) -> None:
    assert duration(written_duration(float(number))) == number
    assert size(written_size(number)) == number


def test_never_is_no_duration() -> None:
    assert Options.model_validate({"patience": "never"}).patience is None
    with pytest.raises(ValidationError):
        Options.model_validate({"wait": "never"})


def test_options_are_written_as_they_may_be_read() -> None:
    options = Options.model_validate({"wait": "1.5s", "patience": "never", "room": "64KiB"})
    written = options.model_dump(mode="json")
    assert written == {"wait": "1.5s", "patience": "never", "room": "64KiB"}
    assert Options.model_validate(written) == options
    assert Options().model_dump(mode="json") == {"wait": "1m", "patience": "1m", "room": "4KiB"}
