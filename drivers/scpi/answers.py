"""What instruments answer, one answer at a time: numbers in all their dresses, lists, texts. Pure."""

import re
from collections.abc import Mapping
from math import isfinite

from drivers.meaning import ValueOptions
from drivers.pattern import Pattern
from drivers.scpi.options import QueryOptions
from gateway.errors import FrameError
from gateway.model import Value

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?: ?[eE] ?[-+]?\d{1,4})?", re.ASCII)
_INTEGER = re.compile(r"[-+]?\d{1,18}", re.ASCII)
_BASED = {"#H": 16, "#Q": 8, "#B": 2}
_BEYOND = 9.9e37
"""SCPI-99, section 7.2.1.4: 9.9E37 is infinity, 9.91E37 is not a number."""

_WITH_UNIT = re.compile(rf"({_NUMBER.pattern})\s*([A-Za-zµμΩ°%]{{1,8}}\d?(?:/[A-Za-z]{{1,4}}\d?)?)", re.ASCII)
_PREFIXED = re.compile(r"([fpnuµμmkMG])(?:V|A|W|F|H|Hz|HZ|s|J|C|VA|[Oo]hm|OHM|Ω)")
_PREFIXES = {
    "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9,
}  # fmt: skip

_HEADER = re.compile(r"[A-Za-z*:][\w.*:/-]{0,63}", re.ASCII)
"""Of an answer that says what it answers (`VOLT 1.2`, `RNP: 0.200`), as after SYST:HEAD ON."""

_TRUTH = {"ON": True, "1": True, "TRUE": True, "OFF": False, "0": False, "FALSE": False}

_LONGEST_LIST = 64


class Reader:
    """Reads the answers to one query."""

    def __init__(self, options: QueryOptions, values: Mapping[str, ValueOptions] | None = None) -> None:
        self._options = options
        self._values = values or {}
        self._pattern = Pattern(options.pattern) if options.pattern else None
        self._is_plain = (
            not options.pattern and not options.fields and not self._values and self._means_itself()
        )

    def _means_itself(self) -> bool:
        """Whether a number is its own value."""
        options = self._options
        is_number = options.type in {"auto", "integer", "number"}
        return is_number and not options.names and options.scale == 1 and not options.offset

    def read(self, answer: str) -> dict[str, Value]:
        """Values by name. Raises: FrameError."""
        options = self._options
        text = answer.strip()
        if self._is_plain and _INTEGER.fullmatch(text):
            return {options.name: int(text)}
        if self._pattern is not None:
            found = self._pattern.match(text)
            if found is None:
                raise FrameError("pattern does not fit")
            named = {options.name if name == "value" else name: part for name, part in found.items()}
        elif options.fields:
            named = dict(zip(options.fields, text.split(","), strict=False))
            if text.count(",") + 1 < len(options.fields):
                raise FrameError("too few fields")
        else:
            parts = text.split(",")
            if options.type == "auto" and 1 < len(parts) <= _LONGEST_LIST and all(map(_number_of, parts)):
                named = {
                    f"{options.name}_{number}" if number > 1 else options.name: part
                    for number, part in enumerate(parts, 1)
                }
            else:
                named = {options.name: text}
        return {
            name: value
            for name, part in named.items()
            if name and (value := self._value(name, part)) is not None
        }

    def _value(self, name: str, printed: str) -> Value | None:
        """None: there is no value (overload, not a number). Raises: FrameError."""
        options = self._values.get(name, self._options)
        text = unwrapped(printed.strip())
        tail = _tail(text)
        for each in (text, tail):
            if each in options.names:
                return options.names[each]
        if options.type == "text":
            return _unquoted(text)
        if options.type == "boolean" or (options.type == "auto" and tail.upper() in {"ON", "OFF"}):
            return _truth(tail)
        number = _number_of(text)
        if number is not None:
            return _scaled(number, options)
        if options.type != "auto":
            raise FrameError("not a number")
        return _unquoted(text)


def _scaled(number: float, options: ValueOptions) -> float | int | None:
    if not isfinite(number) or abs(number) >= _BEYOND:
        return None
    if options.scale != 1 or options.offset:
        number = number * options.scale + options.offset
    return round(number) if options.type == "integer" else number


def _truth(text: str) -> bool:
    said = _TRUTH.get(text.upper())
    if said is None:
        raise FrameError("not a boolean")
    return said


def _number_of(printed: str) -> float | int | None:
    """A number, with a unit or a header or without; None: it is none."""
    text = printed.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text.replace(" ", ""))
    if found := _WITH_UNIT.fullmatch(text):
        number = float(found[1].replace(" ", ""))
        prefix = _PREFIXED.fullmatch(found[2])
        return number * _PREFIXES[prefix[1]] if prefix else number
    if base := _BASED.get(text[:2].upper()):
        try:
            return int(text[2:18], base)
        except ValueError:
            return None
    tail = _tail(text)
    return _number_of(tail) if tail != text else None


def _tail(text: str) -> str:
    """An answer without the header that some put before it."""
    cut = max(text.rfind(":"), text.rfind(" ")) + 1
    if not cut or cut == len(text) or "," in text[cut:]:
        return text
    return text[cut:] if _HEADER.fullmatch(text[:cut].rstrip()) else text


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].replace(text[0] * 2, text[0])
    return text


_THYRACONT_2 = re.compile(r"\d{3}([137])[A-Z][A-Z0-9]\d\d(.*)", re.ASCII)
_THYRACONT_1 = re.compile(r"\d{3}([A-Za-z_])(.*)", re.ASCII)
_THYRACONT_ERRORS = {"NO_DEF", "_LOGIC_", "_RANGE_", "_ERROR1", "_ERROR2"}
_MANTISSA_AND_EXPONENT = re.compile(r"\d{6}", re.ASCII)


def unwrapped(text: str) -> str:
    """The data of an answer that carries address, command and checksum, as Thyracont's gauges send; any other as it is.

    Layout of the second version: address (3 digits), access code (7: an error), command (2), length (2), data,
    checksum; of the first: address (3), command (1), data, checksum. A pressure of the first has four digits of
    mantissa and two of exponent, less 20.
        checksum  sum of all before it, modulo 64, plus 64
    Source: Thyracont, "RS485 protocol", versions 1 and 2.
    Raises: FrameError, where the data are an error message.
    """
    body = text[:-1]
    if len(text) < 5 or not text.isascii() or sum(body.encode()) % 64 + 64 != ord(text[-1]):  # noqa: PLR2004
        return text
    if found := _THYRACONT_2.fullmatch(body):
        access, data = found.groups()
        if access == "7":
            raise FrameError("error of the instrument")
        return data
    if found := _THYRACONT_1.fullmatch(body):
        command, data = found.groups()
        if f"{command}{data}" in _THYRACONT_ERRORS:
            raise FrameError("error of the instrument")
        if command in "Mm" and _MANTISSA_AND_EXPONENT.fullmatch(data):
            return f"{data[0]}.{data[1:4]}e{int(data[4:]) - 20}"
        return data
    return text
