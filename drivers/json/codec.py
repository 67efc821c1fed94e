"""Newline-delimited JSON objects. Pure: bytes in, frames out."""

import math
import re
from typing import Any

import orjson

from drivers.driver import Frame
from drivers.framing import LineDecoder, Lines
from gateway.model import Value

# What C's printf and Arduino's Print make of a number that is none, and numbers beyond a double. orjson
# takes neither, but a board that prints them means the rest of its line. A string is matched first, whole,
# so that a word inside one is left alone; one without an end too, or each quote in it would be tried anew.
_NUMBER_OR_WORD = re.compile(
    rb'"[^"\\]*(?:\\.[^"\\]*)*"?'
    rb"|(?P<number>-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
    rb"|[-+]?\b(?:nan|inf|infinity|ovf)\b",
    re.IGNORECASE,
)

# Bytes that a UART makes up while a board resets.
_LINE_NOISE = bytes({*range(0x21), *range(0x7F, 0x100)})

_PLAIN = frozenset({bool, int, float, str})


class JsonLines(LineDecoder):
    """Decoder of newline-delimited JSON: each line that is an object is a frame with the id `object`.

    Nested objects are flattened with dots: `{"air": {"t": 21.5}}` → `air.t`; of two values with the same
    name the last one counts. Integers beyond 64 bits become floats. Arrays, nulls, numbers that are not
    finite and values without a name are dropped and counted. Lines that are no object, such as a boot
    loader's chatter or the second half of a line, are rejected and counted.
    """

    def __init__(self, *, max_line: int, max_depth: int) -> None:
        super().__init__(Lines(max_line))
        self._max_depth = max_depth

    def _frame(self, offset: int, line: bytes) -> Frame | None:
        text = line.lstrip(_LINE_NOISE)
        offset += len(line) - len(text)
        text = text.rstrip(_LINE_NOISE)
        if not text:
            self.rejected["noise"] += 1
            return None
        if not text.startswith(b"{"):
            self.rejected["not an object"] += 1
            return None
        found: dict[str, Any]
        values: dict[str, Value]
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            try:
                found = orjson.loads(_NUMBER_OR_WORD.sub(_null_unless_finite, text))
            except orjson.JSONDecodeError:
                self.rejected["not valid JSON"] += 1
                return None
        if _PLAIN.issuperset(map(type, found.values())) and "" not in found:
            values = found  # as nearly every board prints it: flat
        else:
            values = {}
            self._flatten(found, "", 1, values)
        return Frame(offset, len(text), "object", values)

    def _flatten(self, found: dict[str, Any], prefix: str, depth: int, values: dict[str, Value]) -> None:
        for key, value in found.items():
            if not key:
                self.dropped["without a name"] += 1
                continue
            name = prefix + key
            match value:
                case bool() | int() | float() | str():
                    values[name] = value
                case dict() if depth < self._max_depth:
                    self._flatten(value, name + ".", depth + 1, values)
                case dict():
                    self.dropped["nested too deep"] += 1
                case None:
                    self.dropped["null or not a finite number"] += 1
                case _:
                    self.dropped["array"] += 1


def _null_unless_finite(match: re.Match[bytes]) -> bytes:
    number = match["number"]
    kept = math.isfinite(float(number)) if number else match[0].startswith(b'"')
    return match[0] if kept else b"null"
