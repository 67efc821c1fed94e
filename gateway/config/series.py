"""Values one after the other, as somebody writes them: `20, 20 + 1 x 30, 80 x 10, _ x 5`."""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from math import isfinite
from typing import NamedTuple

from gateway.model import Value

MOST = 10_000_000
"""Readings: some months of one a second."""

_NUMBER = r"[+-]?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,3})?"
_ITEM = re.compile(
    rf"\s*(?:(?P<gap>_)|(?P<truth>true|false)|'(?P<text>[^']*)'"
    rf"|(?P<first>{_NUMBER})(?:\s*(?P<sign>[+-])\s*(?P<step>{_NUMBER[5:]})(?=\s*x))?)"
    r"(?:\s*x\s*(?P<count>[^\s,']+))?\s*",
    re.ASCII,
)
_WORD = re.compile(r"\s*[^\W\d_]\w*(?:\s+x\s*\S+)?\s*")
_SHOWN = "20, 20 + 1 x 30, 80 x 10, _ x 5, true or 'on' x 3"


class BadSeries(ValueError):
    """It cannot be read; `column` counts characters from 0."""

    def __init__(self, column: int, text: str) -> None:
        super().__init__(f"character {column + 1}: {text}")
        self.column = column
        self.text = text


class Stretch(NamedTuple):
    """Values in a row."""

    first: Value | None
    """None: no reading."""
    step: Decimal = Decimal(0)
    """What each is more than the one before."""
    times: int = 1


def stretches(text: str) -> Iterator[Stretch]:
    """Raises: BadSeries."""
    column = 0
    while True:
        match = _ITEM.match(text, column)
        end = len(text) if match is None else match.end()
        if match is None or text[end : end + 1] not in ("", ","):
            raise _refusal(text, column)
        yield _stretch(match)
        if end == len(text):
            return
        column = end + 1


def length(series: Iterable[Stretch]) -> int:
    return sum(each.times for each in series)


def values(series: Iterable[Stretch]) -> Iterator[Value | None]:
    for first, step, times in series:
        if not step:
            yield from _repeated(first, times)
        elif isinstance(first, int) and step == int(step):
            yield from range(first, first + times * int(step), int(step))
        else:
            # By tenths that are tenths: 0.1 + 0.2 is 0.3 in a series that somebody writes.
            begin = Decimal(repr(first))
            yield from (float(begin + index * step) for index in range(times))


def _repeated(value: Value | None, times: int) -> Iterator[Value | None]:
    for _ in range(times):
        yield value


def _stretch(match: re.Match[str]) -> Stretch:
    count = _count(match)
    if match["gap"]:
        return Stretch(None, times=count)
    if match["truth"]:
        return Stretch(match["truth"] == "true", times=count)
    if match["text"] is not None:
        return Stretch(match["text"], times=count)
    step = Decimal(f"{match['sign']}{match['step']}") if match["step"] else Decimal(0)
    whole = re.fullmatch(r"[+-]?\d+", match["first"])
    first = int(match["first"]) if whole else float(match["first"])
    last = float(Decimal(match["first"]) + step * (count - 1))
    if not isfinite(first) or not isfinite(last):
        raise BadSeries(match.start("first"), "this number is too large")
    return Stretch(first, step, count)


def _count(match: re.Match[str]) -> int:
    written = match["count"]
    if written is None:
        return 1
    if not re.fullmatch(r"\d{1,18}", written, re.ASCII) or not 1 <= int(written) <= MOST:
        raise BadSeries(
            match.start("count"), f"how many there are must be a whole number between 1 and {MOST}"
        )
    return int(written)


def _refusal(text: str, column: int) -> BadSeries:
    piece = text[column:].split(",", maxsplit=1)[0]
    begin = column + len(piece) - len(piece.lstrip())
    if not piece.strip():
        return BadSeries(min(begin, max(len(text) - 1, 0)), "a value is missing here")
    if _WORD.fullmatch(piece):
        return BadSeries(begin, f"a text stands in quotes of its own: '{piece.split()[0]}'")
    if re.fullmatch(rf"\s*{_NUMBER}\s*[+-]\s*{_NUMBER[5:]}\s*", piece):
        return BadSeries(begin, f"how many there are is missing: {piece.strip()} x 30")
    return BadSeries(begin, f"must be values with commas between them, such as {_SHOWN}")
