"""The data fields of records: integers, BCD, reals, dates, texts. Bytes come low byte first.

Source: EN 13757-3:2018, table 4 (data field), annex A (data types A to M), table 5 (LVAR).
"""

import re
import struct
from collections.abc import Callable
from math import isfinite

from gateway.model import Value

Reader = Callable[[bytes], Value | None]
"""None: the bytes hold no value, such as a date that is marked invalid."""

_BCD_DIGITS = 10
_NEGATIVE = 0xF
_CENTURY_TURNS = 80
"""Two-digit years up to this are of 2000, the others of 1900: the standard's advice for old meters."""
_INVALID = 0x80
_LAST_TEXT = 0xBF
_FLOAT = struct.Struct("<f").unpack
_DOUBLE = struct.Struct("<d").unpack
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_WHEN = re.compile(rf"\d{{4}}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:T{_TIME})?|{_TIME}", re.ASCII)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def integer(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def real(data: bytes) -> float | None:
    [number] = _FLOAT(data)
    return number if isfinite(number) else None


def short_real(data: bytes) -> float | None:
    """To the seven digits that it has: 21.5, not 21.500000001."""
    number = real(data)
    return None if number is None else float(f"{number:.7g}")


def bcd(data: bytes) -> int | None:
    """A first digit of F is a minus; any other digit above 9 is a meter's way to show an error."""
    digits = data[::-1].hex()
    try:
        return int(digits)
    except ValueError:
        if digits[:1] == "f" and digits[1:].isdecimal():
            return -int(digits[1:])
        return None


def bcd_as_libmbus(data: bytes) -> int:
    """What libmbus makes of wrong digits: a high one counts as none, a low one with its value."""
    number = 0
    for byte in reversed(data):
        high, low = byte >> 4, byte & 0xF
        number = (number * _BCD_DIGITS + (high if high < _BCD_DIGITS else 0)) * _BCD_DIGITS + low
    return -number if data[-1] >> 4 == _NEGATIVE else number


def date(data: bytes) -> str:
    """Type G: `2012-01-13`."""
    return _day(data[0], data[1], 0)


def date_and_time(data: bytes) -> str | None:
    """Type F, with minutes: `2012-01-13T16:34:00`; in the time that the meter keeps, which is seldom UTC."""
    minute, hour = data[0], data[1]
    if minute & _INVALID:
        return None
    return f"{_day(data[2], data[3], hour >> 5 & 3)}T{hour & 0x1F:02}:{minute & 0x3F:02}:00"


def date_and_seconds(data: bytes) -> str | None:
    """Type I, with seconds."""
    second, minute, hour = data[0], data[1], data[2]
    if minute & _INVALID:
        return None
    return f"{_day(data[3], data[4], 0)}T{hour & 0x1F:02}:{minute & 0x3F:02}:{second & 0x3F:02}"


def time(data: bytes) -> str:
    """Type J: `16:34:56`."""
    return f"{data[2] & 0x1F:02}:{data[1] & 0x3F:02}:{data[0] & 0x3F:02}"


def _day(low: int, high: int, centuries: int) -> str:
    """Layout: YYYDDDDD YYYYMMMM, the year's low bits in the first byte."""
    year = (low & 0xE0) >> 5 | (high & 0xF0) >> 1
    year += 100 * centuries
    if year <= _CENTURY_TURNS:
        year += 100
    return f"{1900 + year}-{high & 0xF:02}-{low & 0x1F:02}"


def valid(read: Callable[[bytes], str | None]) -> Reader:
    """Leaves out what is no date: meters send zeros, or ones, where nothing has happened yet."""

    def read_valid(data: bytes) -> str | None:
        when = read(data)
        return when if when and _WHEN.fullmatch(when) else None

    return read_valid


def as_libmbus(read: Callable[[bytes], str | None]) -> Reader:
    """Times with a Z, though meters keep local time, and of the year 1900 where they are marked invalid."""

    def read_as_libmbus(data: bytes) -> str:
        return f"{read(data) or '1900-01-00T00:00:00'}Z"

    return read_as_libmbus


def text(data: bytes) -> str:
    """Sent last character first; some meters pad it with zeros."""
    return _CONTROLS.sub(" ", data[::-1].decode("latin-1").partition("\0")[0]).strip()


def octets(data: bytes) -> str:
    """`0F 37 FD`."""
    return data.hex(" ").upper()


def number_of_any_length(data: bytes) -> str:
    """Too long for a number: its bytes, the highest first."""
    return octets(data[::-1])


def of_variable_length(length: int) -> tuple[int, Reader] | None:
    """What LVAR, the first byte of such a field, says: how many bytes follow, and how to read them.

    None: reserved, so that nobody knows where the next record begins.
    """
    kind, count = length & 0xF0, length & 0xF
    if length <= _LAST_TEXT:
        return length, text
    if kind in (0xC0, 0xD0) and count < _BCD_DIGITS:
        return count, bcd if kind == 0xC0 else _negative_bcd  # noqa: PLR2004
    if kind == 0xE0:  # noqa: PLR2004
        return count, integer
    return _LONG_NUMBERS.get(length)


def _negative_bcd(data: bytes) -> int | None:
    number = bcd(data)
    return None if number is None else -number


def _double(data: bytes) -> float | None:
    [number] = _DOUBLE(data)
    return number if isfinite(number) else None


_LONG_NUMBERS: dict[int, tuple[int, Reader]] = {
    **{length: ((length - 0xEC) * 4, number_of_any_length) for length in range(0xF0, 0xF5)},
    0xF5: (48, number_of_any_length),
    0xF6: (64, number_of_any_length),
    0xF8: (8, _double),  # editions before 2013
}
