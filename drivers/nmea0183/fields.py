"""How a field of a sentence becomes a value: one maker of readers for each kind of field.

An empty field means that the talker has nothing to say, and gives no value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from math import isfinite

from gateway.model import Value

Reader = Callable[[list[str], dict[str, Value]], None]
"""Puts one measurement among the values. Raises ValueError or KeyError when the field holds none."""

Groups = Callable[[list[str]], Iterator[tuple[int, tuple[str, ...]]]]
"""Of each group, the index of its first number and the names of its numbers."""

EAST_WEST = {"E": 1.0, "W": -1.0}
NORTH_SOUTH = {"N": 1.0, "S": -1.0}
RIGHT_LEFT = {"R": 1.0, "L": -1.0}

_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d|60)(\.\d*)?")
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d)")
_FIRST_YEAR = 69  # 69 to 99 are 19yy, as POSIX reads two digits
_COORDINATE_DIGITS = 9  # a tenth of a millimetre: beyond any receiver, and short on the wire
_MOST_DIGITS = 18  # of a number that still fits 64 bits


def number(index: int, name: str) -> Reader:
    def read(fields: list[str], values: dict[str, Value]) -> None:
        if written := fields[index]:
            values[name] = finite(written)

    return read


def whole(index: int, name: str) -> Reader:
    def read(fields: list[str], values: dict[str, Value]) -> None:
        if written := fields[index]:
            values[name] = integer(written)

    return read


def text(index: int, name: str) -> Reader:
    def read(fields: list[str], values: dict[str, Value]) -> None:
        if written := fields[index]:
            values[name] = written

    return read


def texts(first: int, last: int, name: str) -> Reader:
    """Fields that are one list, with gaps; an empty list is a statement too."""

    def read(fields: list[str], values: dict[str, Value]) -> None:
        values[name] = " ".join(filter(None, fields[first : last + 1]))

    return read


def time(index: int) -> Reader:
    """Layout: hhmmss.sss; a second 60 is a leap second."""

    def read(fields: list[str], values: dict[str, Value]) -> None:
        if written := fields[index]:
            values["time"] = _iso_time(written)

    return read


def calendar_day(index: int) -> Reader:
    """Layout: ddmmyy."""

    def read(fields: list[str], values: dict[str, Value]) -> None:
        if written := fields[index]:
            values["date"] = _iso_date(written)

    return read


def signed(index: int, name: str, signs: Mapping[str, float]) -> Reader:
    """A magnitude; the letter in the field behind it is its sign."""

    def read(fields: list[str], values: dict[str, Value]) -> None:
        if written := fields[index]:
            values[name] = finite(written) * signs[fields[index + 1]] + 0.0  # makes -0.0 a plain zero

    return read


def latitude(index: int, name: str = "lat") -> Reader:
    return _coordinate(index, name, NORTH_SOUTH, limit=9000.0)


def longitude(index: int, name: str = "lon") -> Reader:
    return _coordinate(index, name, EAST_WEST, limit=18000.0)


def _coordinate(index: int, name: str, signs: Mapping[str, float], *, limit: float) -> Reader:
    """Layout: dddmm.mmm and the hemisphere."""

    def read(fields: list[str], values: dict[str, Value]) -> None:
        if written := fields[index]:
            # Receivers that round print 60.0000 minutes, so only the limit is firm.
            if not 0.0 <= (both := float(written)) <= limit:
                raise ValueError(written)
            degrees = both // 100.0
            exact = (degrees + (both - degrees * 100.0) / 60.0) * signs[fields[index + 1]]
            values[name] = round(exact, _COORDINATE_DIGITS) + 0.0

    return read


def off_bow(index: int, name: str) -> Reader:
    """Layout: 0 to 180 and the side, L or R. Told clockwise from the bow, 0 to 360, as MWV does."""

    def read(fields: list[str], values: dict[str, Value]) -> None:
        if written := fields[index]:
            values[name] = finite(written) * RIGHT_LEFT[fields[index + 1]] % 360.0

    return read


def by_letter(index: int, names: Mapping[str, str], *letters: int) -> Reader:
    """A number whose meaning or unit is chosen by other fields, or by the field behind it."""
    chosen_by = letters or (index + 1,)

    def read(fields: list[str], values: dict[str, Value]) -> None:
        if written := fields[index]:
            values[names["".join([fields[letter] for letter in chosen_by])]] = finite(written)

    return read


def satellites(first: int) -> Reader:
    """Layout: groups of PRN, elevation, azimuth, signal; a lone last field is NMEA 4.11's signal id."""

    def groups(fields: list[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        seen: set[str] = set()
        for start in range(first, len(fields) - 3, 4):
            if prn := fields[start]:
                yield start + 1, _satellite(_unlike(seen, prn))

    return _repeated(groups, integer_or_finite)


def transducers(first: int) -> Reader:
    """Layout: groups of type, value, unit, name; where a group has no name, its type stands for it."""

    def groups(fields: list[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        seen: set[str] = set()
        for start in range(first, len(fields) - 3, 4):
            kind, written, _, name = fields[start : start + 4]
            if written and (name or kind):
                yield start + 1, (f"xdr.{_unlike(seen, _part(name or kind))}",)

    return _repeated(groups, finite)


def _repeated(groups: Groups, convert: Callable[[str], float]) -> Reader:
    def read(fields: list[str], values: dict[str, Value]) -> None:
        unreadable = None
        for first, names in groups(fields):
            for index, name in enumerate(names, first):
                if written := fields[index]:
                    try:
                        values[name] = convert(written)
                    except ValueError as error:
                        unreadable = error  # costs itself, not those behind it
        if unreadable:
            raise unreadable

    return read


@lru_cache(maxsize=512)
def _satellite(prn: str) -> tuple[str, str, str]:
    sv = f"sv.{_part(prn)}"
    return f"{sv}.elevation", f"{sv}.azimuth", f"{sv}.snr"


def _part(name: str) -> str:
    """Only one part of a metric's name, whatever the instrument calls it."""
    return name.replace(".", "_")


def _unlike(seen: set[str], name: str) -> str:
    """The name, with `_2`, `_3` where the sentence has had it before."""
    unique, occurrence = name, 1
    while unique in seen:
        occurrence += 1
        unique = f"{name}_{occurrence}"
    seen.add(unique)
    return unique


def finite(written: str) -> float:
    value = float(written)
    if not isfinite(value):
        raise ValueError(written)
    return value


@lru_cache(maxsize=1024)  # counts, elevations and signals come again and again
def integer(written: str) -> int:
    if len(written) > _MOST_DIGITS:
        raise ValueError(written)
    return int(written)


@lru_cache(maxsize=1024)
def integer_or_finite(written: str) -> float:
    try:
        return integer(written)
    except ValueError:
        return finite(written)


@lru_cache(maxsize=64)  # sentences of one moment repeat its time
def _iso_time(written: str) -> str:
    match = _TIME.fullmatch(written)
    if match is None:
        raise ValueError(written)
    hours, minutes, seconds, fraction = match.groups("")
    return f"{hours}:{minutes}:{seconds}{fraction.rstrip('.0')}"


@lru_cache(maxsize=8)
def _iso_date(written: str) -> str:
    match = _DATE.fullmatch(written)
    if match is None:
        raise ValueError(written)
    day, month, year = map(int, match.groups())
    return date(year + (1900 if year >= _FIRST_YEAR else 2000), month, day).isoformat()
