"""What the header of a record (DIF and VIF block) says of its data: name, form and scale. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from drivers.driver import Names
from drivers.mbus import numbers
from drivers.mbus.numbers import Reader
from drivers.mbus.quantities import (
    EXTENSION_FB,
    EXTENSION_FD,
    PRIMARY,
    RESERVED,
    Quantity,
)
from drivers.mbus.units import usual
from gateway.model import Value

UNNAMED = "?"
"""What libmbus and its users call a record without a quantity."""

HEADERS_KEPT = NAMES_KEPT = 4096
"""What is remembered of distinct headers, and of the parts of their names; a meter has some tens."""

_SEPARATORS = re.compile(r"[^a-z0-9]+")
_FUNCTIONS = ("", "_max", "_min", "_err")
_EXTENDED = 0x80
_CODE = 0x7F
_FB, _FD = 0xFB, 0xFD
_TEXT_VIF = 0x7C
_MANUFACTURER_VIF = 0x7F

_SIZES = (0, 1, 2, 3, 4, 4, 6, 8, 0, 1, 2, 3, 4, None, 6, 0)
"""By data field; None: the first byte of the data says it."""
_REAL, _SELECTION = 0x5, 0x8
_BCD = (0x9, 0xA, 0xB, 0xC, 0xE)

_DATE, _DATE_AND_TIME = 0x6C, 0x6D
_DATES_FD = (0x30, 0x70)
"""Start of tariff, battery change."""

_INTEGERS = 1 << 63
"""JSON's readers know no more bits."""
_DIGITS_AS_LIBMBUS = 6
"""Behind the point."""


@dataclass(slots=True)
class Column:
    name: str
    size: int | None
    """Bytes of data; None: the first of them says it."""
    read: Reader
    multiplier: float = 1
    divisor: float = 1
    offset: float = 0.0
    as_libmbus: bool = False
    """Rounded to what it prints, and texts without a character too."""
    void: bool = False
    """The meter says that the data mean nothing."""

    def value(self, raw: Value | None) -> Value | None:
        if raw is None or self.void:
            return None
        if isinstance(raw, str):
            return raw if raw or self.as_libmbus else None
        scaled = raw * self.multiplier
        if self.divisor != 1:
            scaled /= self.divisor
        if self.offset:
            scaled += self.offset
        if self.as_libmbus:
            scaled = round(scaled, _DIGITS_AS_LIBMBUS)
        return scaled if isinstance(scaled, float) or -_INTEGERS <= scaled < _INTEGERS else float(scaled)


@lru_cache(NAMES_KEPT)
def snake_case(quantity: str) -> str:
    """A text without letters and digits stays as it is: it is all the name there is."""
    return _SEPARATORS.sub("_", quantity.lower()).strip("_") or quantity.strip() or UNNAMED


@lru_cache(HEADERS_KEPT)
def column(dib: bytes, vib: bytes, text: bytes | None, names: Names) -> Column:
    """From DIF with its DIFEs, VIF with its VIFEs, and the text where that is the unit."""
    return _readable(dib, vib, text) if names == "readable" else _as_libmbus(dib, vib, text)


def _readable(dib: bytes, vib: bytes, text: bytes | None) -> Column:
    """By the standard, in the usual units; nothing for what is no value."""
    field = dib[0] & 0xF
    quantity, vifes = _quantity(vib, text)
    if quantity is None:
        quantity = Quantity(f"vif {vib.hex()}", "", 1, 1)
    if vib[0] & _CODE == _MANUFACTURER_VIF:
        vifes = b""  # the manufacturer's own
    clock = _clock_reader(field, vib)
    name, multiplier, divisor, offset, per_addend = _shown(quantity)
    void = field == _SELECTION
    if vifes:
        exponent, addend, meaningless = _corrections(vifes)
        multiplier *= 10 ** max(exponent, 0)
        divisor *= 10 ** max(-exponent, 0)
        offset += addend * per_addend
        void = void or meaningless
    return Column(
        name + _suffix(dib),
        _SIZES[field],
        numbers.valid(clock) if clock else _READERS[field],
        multiplier,
        divisor,
        offset,
        void=void,
    )


@lru_cache(NAMES_KEPT)
def _shown(quantity: Quantity) -> tuple[str, float, float, float, float]:
    """In its usual unit: name, multiplier, divisor and offset; and what an addend counts there."""
    conversion = usual(quantity.name, quantity.unit)
    return (
        snake_case(quantity.name),
        quantity.multiplier * conversion.multiplier,
        quantity.divisor * conversion.divisor,
        conversion.offset,
        conversion.multiplier / conversion.divisor,
    )


def _as_libmbus(dib: bytes, vib: bytes, text: bytes | None) -> Column:
    """With its oddities: only a VIFE right behind the VIF corrects a number; newer codes are reserved."""
    field = dib[0] & 0xF
    quantity, _ = _quantity(vib, text)
    if quantity is None or field == _SELECTION:
        return Column(UNNAMED, _SIZES[field], _nothing, as_libmbus=True)
    if quantity.newer:
        quantity = RESERVED
    clock = _clock_reader(field, vib)
    if clock in (numbers.date_and_time, numbers.date_and_seconds):
        read = numbers.as_libmbus(clock)
    elif vib[0] & _CODE == _DATE and clock:
        read = clock
    else:
        read = _READERS_AS_LIBMBUS.get(field) or _READERS[field]
    exponent, addend, _ = _corrections(b"" if vib[0] in (_FB, _FD) else vib[1:2])
    return Column(
        snake_case(quantity.name) + _suffix(dib),
        _SIZES[field],
        read,
        quantity.multiplier * 10 ** max(exponent, 0),
        quantity.divisor * 10 ** max(-exponent, 0),
        addend,
        as_libmbus=True,
    )


def _quantity(vib: bytes, text: bytes | None) -> tuple[Quantity | None, bytes]:
    """What is measured, and the VIFEs that remain; None for a code without a meaning."""
    vif, vifes = vib[0], vib[1:]
    if text is not None:
        return Quantity(numbers.text(text), "", 1, 1), vifes
    if vif in (_FB, _FD):
        table = EXTENSION_FB if vif == _FB else EXTENSION_FD
        return table[vifes[0] & _CODE], vifes[1:]
    return PRIMARY.get(vif & _CODE), vifes


def _corrections(vifes: bytes) -> tuple[int, float, bool]:
    """Power of ten and addend of the combinable VIFEs, and whether one says that the data mean nothing.

    Source: EN 13757-3:2018, tables 15 (combinable) and 17 (errors).
    """
    exponent, addend, void = 0, 0.0, False
    codes = iter(vifes)
    for vife in codes:
        match vife & _CODE:
            case 0x7F:
                break  # what follows is the manufacturer's
            case 0x7C:
                next(codes, None)  # of the second table: it qualifies, but scales nothing
            case 0x7D:
                exponent += 3
            case code if 0x70 <= code <= 0x77:  # noqa: PLR2004
                exponent += (code & 7) - 6
            case code if 0x78 <= code <= 0x7B:  # noqa: PLR2004
                addend += 10.0 ** ((code & 3) - 3)
            case code if 0x01 <= code <= 0x1F:  # noqa: PLR2004
                void = True
    return exponent, addend, void


@lru_cache(NAMES_KEPT)
def _suffix(dib: bytes) -> str:
    """What differs from the present value of storage 0, tariff 0, subunit 0."""
    dif = dib[0]
    storage, tariff, device = dif >> 6 & 1, 0, 0
    for index, dife in enumerate(dib[1:]):
        storage |= (dife & 0xF) << (1 + 4 * index)
        tariff |= (dife >> 4 & 3) << (2 * index)
        device |= (dife >> 6 & 1) << index
    numbered = (("_s", storage), ("_t", tariff), ("_d", device))
    return _FUNCTIONS[dif >> 4 & 3] + "".join(f"{letter}{number}" for letter, number in numbered if number)


def _nothing(_: bytes) -> str:
    return ""


def _clock_reader(field: int, vib: bytes) -> Callable[[bytes], str | None] | None:
    """Of the data type that a date or time has, by the length of its field."""
    if vib[0] == _FD and vib[1] & _CODE in _DATES_FD:
        return _CLOCKS.get(field)
    if vib[0] & _CODE == _DATE:
        return numbers.date if field == _DATE_FIELD else None
    return _CLOCKS.get(field) if vib[0] & _CODE == _DATE_AND_TIME else None


_DATE_FIELD = 0x2
_CLOCKS = {
    _DATE_FIELD: numbers.date,
    0x3: numbers.time,
    0x4: numbers.date_and_time,
    0x6: numbers.date_and_seconds,
}
_READERS: tuple[Reader, ...] = (
    _nothing,
    *[numbers.integer] * 4,
    numbers.short_real,
    *[numbers.integer] * 2,
    _nothing,
    *[numbers.bcd] * 4,
    _nothing,
    numbers.bcd,
    _nothing,
)
_READERS_AS_LIBMBUS: dict[int, Reader] = {_REAL: numbers.real, **dict.fromkeys(_BCD, numbers.bcd_as_libmbus)}
