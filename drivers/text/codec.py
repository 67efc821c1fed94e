"""Lines of text out of a stream of bytes. Pure: bytes in, frames out."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import isfinite

from drivers.driver import Frame
from drivers.framing import LineDecoder, Lines, Terminated
from drivers.meaning import ValueOptions
from drivers.pattern import Pattern
from drivers.text.formats import Printed
from drivers.text.options import Options
from gateway.errors import FrameError
from gateway.model import Value

_NUMBER = re.compile(r"[-+]?\s*(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,4})?", re.ASCII)
_INTEGER = re.compile(r"[-+]?\s*\d{1,18}", re.ASCII)
_GROUPED = re.compile(r"[-+]?\s*\d{1,3}(?:\.\d{3})+(?![.\d])", re.ASCII)
"""Points between thousands, where the decimal sign is a comma."""
_NO_NUMBER = re.compile(r"[-+]?(?:nan|inf|infinity|ovf)|-+", re.IGNORECASE)
"""What programs print that have no number to print."""

_TRUTH = {
    "1": True,
    "on": True,
    "true": True,
    "yes": True,
    "0": False,
    "off": False,
    "false": False,
    "no": False,
}

Read = Callable[[str], tuple[str, dict[str, Value]]]
"""From a line to the id of the frame and its values. Raises: FrameError."""


class TextLines(LineDecoder):
    """Decoder of text: each line that the options say how to read is a frame.

    Its id is the pattern's name, `row` for a table, else the quantity. Bytes that a UART makes up (NUL) and
    spaces around a line are passed over.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(splitter(options))
        self._encoding = options.encoding
        self.heard: Callable[[str], bool] | None = None
        """Whether a line was meant for whoever listens here, and is no frame."""
        self.read = _reader(options, self.dropped)

    def _frame(self, offset: int, line: bytes) -> Frame | None:
        text = line.decode(self._encoding, "replace")
        if self.heard is not None and self.heard(text):
            return None
        try:
            name, values = self.read(text)
        except FrameError as error:
            self.rejected[str(error)] += 1
            return None
        return Frame(offset, len(line), name, values)


def splitter(options: Options) -> Lines | Terminated:
    if options.terminator:
        return Terminated(options.terminator.encode(options.encoding), options.max_line)
    return Lines(options.max_line)


def _reader(options: Options, dropped: Counter[str]) -> Read:
    if options.patterns:
        return _Patterns(options, _Values(options, dropped)).read
    if options.is_table:
        return _Table(options, _Values(options, dropped)).read
    return Printed(options.format, scaled=options.names == "readable").read


class _Values:
    """What printed texts mean, by the names of their metrics."""

    def __init__(self, options: Options, dropped: Counter[str]) -> None:
        self._options = options.values
        self._decimal_comma = options.decimal == ","
        self._is_scaled = options.names == "readable"
        self._dropped = dropped

    def read(self, printed: Mapping[str, str]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for name, text in printed.items():
            stripped = text.strip()
            if not stripped:
                continue
            try:
                values[name] = self._value(stripped, self._options.get(name, _PLAIN))
            except ValueError:
                self._dropped["a value cannot be read"] += 1
        return values

    def _value(self, text: str, options: ValueOptions) -> Value:
        if text in options.names:
            return options.names[text]
        if options.type == "text":
            return text
        if options.type == "boolean":
            if (known := _TRUTH.get(text.lower())) is None:
                raise ValueError(text)
            return known
        number = self._number(text)
        if number is None:
            if options.type != "auto" or _NO_NUMBER.fullmatch(text):
                raise ValueError(text)
            return text
        if self._is_scaled and (options.scale != 1 or options.offset):
            number = number * options.scale + options.offset
        if not isfinite(number):
            raise ValueError(text)
        return round(number) if options.type == "integer" else number

    def _number(self, text: str) -> float | int | None:
        if _INTEGER.fullmatch(text):
            return int(text.replace(" ", ""))
        if self._decimal_comma:
            if "." in text and not _GROUPED.match(text):
                return None  # 12.5 is not 125
            text = text.replace(".", "").replace(",", ".")
        if not _NUMBER.fullmatch(text):
            return None
        return float("".join(text.split()))


_PLAIN = ValueOptions()


class _Patterns:
    def __init__(self, options: Options, values: _Values) -> None:
        self._patterns = [(name, Pattern(text)) for name, text in options.patterns.items()]
        self._values = values

    def read(self, line: str) -> tuple[str, dict[str, Value]]:
        for name, pattern in self._patterns:
            if (found := pattern.match(line)) is not None:
                return name, self._values.read(found)
        raise FrameError("no match")


class _Table:
    def __init__(self, options: Options, values: _Values) -> None:
        self._columns: Sequence[str] = options.columns
        self._header = options.header
        self._separator = options.separator
        self._values = values

    def read(self, line: str) -> tuple[str, dict[str, Value]]:
        fields = [part.strip(" \t\0\"'") for part in line.split(self._separator)]
        if self._header:
            self._header = False
            if not self._columns:
                self._columns = _names(fields)
            return "header", {}
        if len(fields) != len(self._columns):
            raise FrameError("another number of columns")
        return "row", self._values.read(
            {name: part for name, part in zip(self._columns, fields, strict=True) if name}
        )


def _names(printed: Sequence[str]) -> list[str]:
    """What a header line calls its columns; a name that it repeats is numbered, what has none is left out."""
    names = {"": 0}
    found = []
    for part in printed:
        name = unique = part.replace(".", "_")
        while unique and unique in names:
            names[name] += 1
            unique = f"{name}_{names[name]}"
        names[unique] = 1
        found.append(unique)
    return found
