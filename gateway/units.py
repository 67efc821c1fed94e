"""Durations and sizes as people write them: `"250ms"`, `"5s"`, `"2h"`; `"512MB"`, `"64KiB"`."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

DURATION_UNITS: Mapping[str, int | Fraction] = {
    "ms": Fraction(1, 1000),
    "s": 1,
    "m": 60,
    "min": 60,
    "h": 3600,
    "d": 86400,
}
_BYTES: Mapping[str, int] = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
# Not more digits than anybody means: beyond a float's range a number would be infinite.
_NUMBER_AND_UNIT = re.compile(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([A-Za-z]+)\s*", re.ASCII)


def duration(text: Any) -> float:
    """Seconds of a duration such as `"250ms"`.

    Raises: ValueError, with the allowed forms.
    """
    return float(
        _quantity(text, DURATION_UNITS, 'a duration with its unit, such as "250ms", "5s", "10m" or "2h"')
    )


def _duration_or_never(text: Any) -> float | None:
    if text == "never":
        return None
    try:
        return duration(text)
    except ValueError as error:
        raise ValueError(f'{error}, or "never"') from None


def size(text: Any) -> int:
    """Bytes of a size such as `"512MB"`.

    Raises: ValueError, with the allowed forms.
    """
    return int(_quantity(text, _BYTES, 'a size with its unit, such as "64KiB" or "512MB"'))


def _quantity(text: Any, units: Mapping[str, int | Fraction], allowed: str) -> Fraction:
    if isinstance(text, str) and (match := _NUMBER_AND_UNIT.fullmatch(text)):
        number, unit = match.groups()
        if unit in units:
            return Fraction(number) * units[unit]
    raise ValueError(f"must be {allowed}")


def written_duration(seconds: float) -> str:
    """The shortest exact way to write it: 0.25 → `250ms`, 60 → `1m`, 90 → `90s`."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length:.0f}{unit}"
    exact = Decimal(str(seconds))
    return f"{(exact * 1000).normalize():f}ms" if 0 < seconds < 1 else f"{exact.normalize():f}s"


def written_size(count: int) -> str:
    """The shortest exact way to write it: 512000000 → `512MB`, 65536 → `64KiB`."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "kB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count}B"


def pattern(units: Iterable[str], *words: str) -> str:
    """A regular expression, in the words of JSON Schema, of a number with one of these units, or of these words."""
    number = rf"\s*[0-9]{{1,18}}(\.[0-9]{{1,18}})?\s*({'|'.join(units)})\s*"
    return f"^({'|'.join((*words, number))})$"


DURATION_SCHEMA = {
    "type": "string",
    "pattern": pattern(DURATION_UNITS),
    "examples": ["250ms", "5s", "10m", "2h"],
}

Duration = Annotated[
    float, BeforeValidator(duration), PlainSerializer(written_duration), WithJsonSchema(DURATION_SCHEMA)
]
"""Seconds, written with a unit."""

DurationOrNever = Annotated[
    float | None,
    BeforeValidator(_duration_or_never),
    PlainSerializer(lambda seconds: "never" if seconds is None else written_duration(seconds)),
    WithJsonSchema(
        {**DURATION_SCHEMA, "pattern": pattern(DURATION_UNITS, "never"), "examples": ["5s", "10m", "never"]}
    ),
]
"""Seconds, written with a unit; None is written `"never"`."""

Size = Annotated[
    int,
    BeforeValidator(size),
    PlainSerializer(written_size),
    WithJsonSchema({"type": "string", "pattern": pattern(_BYTES), "examples": ["64KiB", "512MB"]}),
]
"""Bytes, written with a unit."""
