"""Newline-delimited JSON objects. Pure: bytes in, frames out."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from drivers.driver import Frame
from drivers.framing import Lines
from gateway.model import Value

# What C's printf and Arduino's Print make of a number that is none. They are no JSON (RFC 8259,
# section 6), but a board that prints them means the rest of its line. A string is matched first,
# whole, so that a word inside one is left alone.
_NOT_A_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+]?\b(?:nan|inf|infinity|ovf)\b', re.IGNORECASE)

# Bytes that a UART makes up while a board resets.
_LINE_NOISE = bytes({*range(0x21), *range(0x7F, 0x100)})


class JsonLines:
    """Decoder of newline-delimited JSON: each line that is an object is a frame with the id `object`.

    Nested objects are flattened with dots: `{"air": {"t": 21.5}}` → `air.t`. Arrays, nulls and numbers
    that are not finite cannot be values: they are dropped and counted. Lines that are no object, such
    as a boot loader's chatter or the second half of a line, are rejected and counted.
    """

    def __init__(self, *, max_line: int, max_depth: int) -> None:
        self._lines = Lines(max_line)
        self._max_depth = max_depth
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def feed(self, data: bytes) -> Iterator[Frame]:
        for offset, line in self._lines.feed(data):
            if (frame := self._decode(offset, line)) is not None:
                yield frame
        if self._lines.overlong:
            self.rejected["too long"] += self._lines.overlong
            self._lines.overlong = 0

    def finish(self) -> Iterator[Frame]:
        for offset, line in self._lines.finish():
            if (frame := self._decode(offset, line)) is not None:
                yield frame

    def _decode(self, offset: int, line: bytes) -> Frame | None:
        text = line.lstrip(_LINE_NOISE)
        if not text:
            self.rejected["noise"] += 1
            return None
        if not text.startswith(b"{"):
            self.rejected["not an object"] += 1
            return None
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            try:
                found = orjson.loads(_NOT_A_NUMBER.sub(_null_for_a_word, text))
            except orjson.JSONDecodeError:
                self.rejected["not valid JSON"] += 1
                return None
        values: dict[str, Value] = {}
        self._flatten(found, "", 1, values)
        return Frame(offset + len(line) - len(text), len(text), "object", values)

    def _flatten(self, found: dict[str, Any], prefix: str, depth: int, values: dict[str, Value]) -> None:
        for key, value in found.items():
            name = prefix + key
            match value:
                case float() if not math.isfinite(value):
                    self.dropped["not a finite number"] += 1
                case bool() | int() | float() | str():
                    values[name] = value
                case dict() if depth < self._max_depth:
                    self._flatten(value, name + ".", depth + 1, values)
                case dict():
                    self.dropped["nested too deep"] += 1
                case None:
                    self.dropped["null"] += 1
                case _:
                    self.dropped["array"] += 1


def _null_for_a_word(match: re.Match[bytes]) -> bytes:
    return match[0] if match[0].startswith(b'"') else b"null"
