"""The fixed data structure of old meters: two counters. Pure."""

from drivers.driver import Names
from drivers.mbus import numbers
from drivers.mbus.columns import UNNAMED, snake_case
from drivers.mbus.quantities import Quantity
from drivers.mbus.records import Record
from drivers.mbus.units import usual
from gateway.errors import FrameError
from gateway.model import Value

LENGTH = 16
_COUNTER_LENGTH = 4
_BINARY, _STORED = 0x01, 0x02
"""Bits of the status."""
_UNIT = 0x3F
_SAME_BUT_HISTORIC = 0x3E


def _powers(name: str, unit: str, first: int, exponents: range) -> dict[int, Quantity]:
    return {
        first + index: Quantity(name, unit, 10 ** max(exponent, 0), 10 ** max(-exponent, 0))
        for index, exponent in enumerate(exponents)
    }


UNITS = {
    0x00: Quantity("Time", "", 1, 1),
    0x01: Quantity("Date", "", 1, 1),
    **_powers("Energy", "Wh", 0x02, range(9)),
    **_powers("Energy", "J", 0x0B, range(3, 12)),
    **_powers("Power", "W", 0x14, range(9)),
    **_powers("Power", "J/h", 0x1D, range(3, 12)),
    **_powers("Volume", "m3", 0x26, range(-6, 3)),
    **_powers("Volume flow", "m3/h", 0x2F, range(-6, 3)),
    0x38: Quantity("Temperature", "degC", 1, 1000),
    0x39: Quantity("H.C.A.", "", 1, 1),
    0x3F: Quantity("No units", "", 1, 1),
}
_RESERVED = Quantity("Reserved", "", 1, 1)


def records(body: bytes, names: Names, *, high_byte_first: bool) -> tuple[bytes, int, list[Record]]:
    """The meter's identification, its status and its two counters.

    Layout (16 bytes): IIII A S UU CCCC CCCC
        I  identification number, 8 digits BCD     A  access number
        S  status: bit 0 counters are binary, not BCD; bit 1 stored at a fixed date; bits 2-7 errors
        U  unit of each counter in bits 0-5 (3E: as the first, but historic), medium in bits 6-7 of both
    libmbus gives the counters as they are, without a name; so does `names = "protocol"`.
    Raises: FrameError.
    Source: EN 1434-3:1997, section 6.3; EN 13757-3:2004, annex.
    """
    if len(body) != LENGTH:
        raise FrameError("not 16 bytes of fixed structure")
    status = body[5]
    first, second = body[6] & _UNIT, body[7] & _UNIT
    counters = [body[8:12], body[12:16]]
    identification = body[:4]
    if high_byte_first:
        identification = identification[::-1]
        counters = [counter[::-1] for counter in counters]
    read = numbers.integer if status & _BINARY else numbers.bcd
    if names == "protocol":
        return identification, status, [Record(UNNAMED, _as_libmbus(read(data), data)) for data in counters]
    suffix = "_s1" if status & _STORED else ""
    historic = second == _SAME_BUT_HISTORIC
    about = [(first, suffix), (first if historic else second, "_s1" if historic else suffix)]
    return (
        identification,
        status,
        [_counter(unit, suffix, read(data)) for (unit, suffix), data in zip(about, counters, strict=True)],
    )


def _as_libmbus(number: Value | None, data: bytes) -> Value:
    """Wrong BCD digits are printed as they are."""
    return data[::-1].hex().upper().lstrip("0") if number is None else number


def _counter(unit: int, suffix: str, number: Value | None) -> Record:
    quantity = UNITS.get(unit, _RESERVED)
    name = snake_case(quantity.name) + suffix
    if not isinstance(number, int):
        return Record(name, None)
    conversion = usual(quantity.name, quantity.unit)
    return Record(
        name,
        number * quantity.multiplier * conversion.multiplier / (quantity.divisor * conversion.divisor),
    )
