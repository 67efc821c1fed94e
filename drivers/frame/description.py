"""A description, compiled: whether a frame is good, and what it says. Pure."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from struct import Struct

from drivers.checksum import CHECKSUMS
from drivers.float32 import shortest
from drivers.frame.options import Checksum, FieldOptions, Options, Order
from gateway.model import Value

Read = Callable[[bytes], Value]
"""From a frame. Raises: Unusable."""

Number = Callable[[bytes], int | float]

OTHER = "other"
"""The id of a frame that matches none of those described."""

_SHORT = "frame too short for a field"
_LARGEST = sys.float_info.max


class Unusable(Exception):
    """A field's value. The message is the reason it is counted under."""


class Description:
    def __init__(self, options: Options) -> None:
        self._start = options.start
        self._end = options.end
        self._fits = None if options.checksum is None else _checking(options.checksum, options)
        self._common = _readers(options.fields, options.order)
        self._kinds = [
            (
                _place(frame.match.at, len(frame.match.bytes)),
                frame.match.bytes,
                name,
                _readers(frame.fields, options.order),
            )
            for name, frame in options.frames.items()
        ]

    def fault(self, frame: bytes) -> str:
        """Why a frame is refused; "" for a good one."""
        if not frame.startswith(self._start):
            return "start"
        if not frame.endswith(self._end) or len(frame) < len(self._start) + len(self._end):
            return "end"
        return "checksum" if self._fits is not None and not self._fits(frame) else ""

    def told(self, frame: bytes, dropped: Counter[str]) -> tuple[str, dict[str, Value]]:
        """Which frame it is, and its values; those that cannot be used are counted."""
        values: dict[str, Value] = {}
        _read(self._common, frame, values, dropped)
        for place, wanted, name, readers in self._kinds:
            if frame[place] == wanted:
                _read(readers, frame, values, dropped)
                return name, values
        return OTHER if self._kinds else "frame", values


def _read(
    readers: Iterable[tuple[str, Read]], frame: bytes, values: dict[str, Value], dropped: Counter[str]
) -> None:
    for name, read in readers:
        try:
            values[name] = read(frame)
        except Unusable as error:
            dropped[str(error)] += 1


def _place(at: int, width: int) -> slice:
    return slice(at, at + width or None)


def _checking(checksum: Checksum, options: Options) -> Callable[[bytes], bool]:
    width, calculate = CHECKSUMS[checksum.name]
    at = -(width + len(options.end)) if checksum.at is None else checksum.at
    place = _place(at, width)
    last = at if checksum.last is None else checksum.last + 1
    # Up to the byte -1 is up to the end.
    covered = slice(checksum.first, None if last == 0 and checksum.last is not None else last)
    order = checksum.order or options.order
    accepted = frozenset(checksum.accept)

    def fits(frame: bytes) -> bool:
        stands = frame[place]
        if len(stands) < width:
            return False
        return calculate(frame[covered]).to_bytes(width, order) == stands or stands in accepted

    return fits


def _readers(fields: Mapping[str, FieldOptions], order: Order) -> list[tuple[str, Read]]:
    return [(name, _reading(field, field.order or order)) for name, field in fields.items()]


def _reading(field: FieldOptions, order: Order) -> Read:
    if field.type == "ascii":
        return _text(field)
    if field.type in ("number", "f32", "f64"):
        number = _digits(field) if field.type == "number" else _float(field, order)
        return _ranged(_scaled(number, field), field.valid)
    whole = _some_bits(_bcd(field, order) if field.type == "bcd" else _integer(field, order), field)
    if field.bit is not None:
        return _single_bit(whole, field.bit)
    if field.enum:
        return _worded(whole, field.words())
    if field.valid is None and abs(field.scale) < _LARGEST / 2**64 and abs(field.add) < _LARGEST / 2:
        return _scaled(whole, field)  # which is finite
    return _ranged(_scaled(whole, field), field.valid)


def _piece(field: FieldOptions) -> Callable[[bytes], bytes]:
    place, width = _place(field.at, field.width), field.width

    def piece(frame: bytes) -> bytes:
        found = frame[place]
        if len(found) < width:
            raise Unusable(_SHORT)
        return found

    return piece


def _text(field: FieldOptions) -> Read:
    piece = _piece(field)
    return lambda frame: piece(frame).decode("ascii", "replace").strip(" \0\t\r\n")


def _digits(field: FieldOptions) -> Number:
    piece = _piece(field)

    def digits(frame: bytes) -> int | float:
        text = piece(frame).strip(b" \0\t\r\n")
        try:
            value = float(text)
        except ValueError:
            raise Unusable("not a number") from None
        if not isfinite(value) or b"_" in text:
            raise Unusable("not a number")
        is_whole = text.lstrip(b"+-").isdigit() and abs(value) < 2**53
        return int(value) if is_whole else value

    return digits


def _float(field: FieldOptions, order: Order) -> Number:
    piece = _piece(field)
    unpack = Struct((">" if order == "big" else "<") + ("f" if field.type == "f32" else "d")).unpack

    def number(frame: bytes) -> float:
        value: float = unpack(piece(frame))[0]
        if not isfinite(value):
            raise Unusable("not a finite number")
        return shortest(value) if field.type == "f32" else value

    return number


def _bcd(field: FieldOptions, order: Order) -> Callable[[bytes], int]:
    piece = _piece(field)
    step = 1 if order == "big" else -1

    def digits(frame: bytes) -> int:
        text = piece(frame)[::step].hex()
        if not text.isdecimal():
            raise Unusable("not BCD")
        return int(text)

    return digits


def _integer(field: FieldOptions, order: Order) -> Callable[[bytes], int]:
    place, width = _place(field.at, field.width), field.width
    from_bytes, signed = int.from_bytes, field.type[0] == "i"

    def integer(frame: bytes) -> int:
        found = frame[place]
        if len(found) < width:
            raise Unusable(_SHORT)
        return from_bytes(found, order, signed=signed)

    return integer


def _some_bits(whole: Callable[[bytes], int], field: FieldOptions) -> Callable[[bytes], int]:
    mask, shift = field.mask, field.shift
    if field.bits is not None:
        lowest, highest = field.bits
        bits = (1 << highest - lowest + 1) - 1
        return lambda frame: whole(frame) >> lowest & bits
    if mask is not None:
        return lambda frame: (whole(frame) & mask) >> shift
    if shift:
        return lambda frame: whole(frame) >> shift
    return whole


def _single_bit(whole: Callable[[bytes], int], bit: int) -> Read:
    return lambda frame: bool(whole(frame) >> bit & 1)


def _worded(whole: Callable[[bytes], int], words: Mapping[int, str]) -> Read:
    def word(frame: bytes) -> str:
        try:
            return words[whole(frame)]
        except KeyError:
            raise Unusable("not in enum") from None

    return word


def _exact(factor: float) -> int | float:
    """So that whole numbers stay whole."""
    return int(factor) if factor.is_integer() and abs(factor) < 2**53 else factor


def _scaled(number: Number, field: FieldOptions) -> Number:
    scale, add = _exact(field.scale), _exact(field.add)
    if scale == 1:
        return number if not add else lambda frame: number(frame) + add
    # 6 / 10 is 0.6, and 6 * 0.1 is not.
    parts = 1 / scale if scale else 0.0
    if abs(parts) > 1 and isfinite(parts) and abs(parts - round(parts)) < 1e-9 * abs(parts):
        whole_parts = round(parts)
        if not add:
            return lambda frame: number(frame) / whole_parts
        return lambda frame: number(frame) / whole_parts + add
    return lambda frame: number(frame) * scale + add


def _ranged(number: Number, valid: tuple[float, float] | None) -> Read:
    least, most = valid or (-_LARGEST, _LARGEST)

    def within(frame: bytes) -> int | float:
        value = number(frame)
        if not least <= value <= most:
            raise Unusable("out of range")
        return value

    return within
