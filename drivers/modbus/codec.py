"""What masters and devices say to each other on one wire, from the bytes alone.

A right checksum does not delimit a frame, and requests and answers look alike: lengths come from the function code, and
what is an answer from the request before it.
"""

import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from drivers.driver import Frame
from drivers.modbus import frames
from drivers.modbus.frames import (
    EXCEPTION_LENGTH,
    FAILED,
    LONGEST,
    SEARCHED,
    SHAPES,
    SHORTEST,
    Sums,
    aged,
    lengths,
)
from drivers.modbus.points import BIT_TABLES, TABLES, Span
from gateway.model import Value

_UNFINISHED, _NO_FRAME = -1, 0

_LAST_STANDARD_EXCEPTION = 11


_KNOWN = bytes(function for function, shape in enumerate(SHAPES) if shape is not None)
_CHANCE = re.compile(
    b"[%b]|[%b][\\x01-\\x%02x]"
    % (re.escape(_KNOWN), re.escape(bytes(each | FAILED for each in _KNOWN)), _LAST_STANDARD_EXCEPTION),
    re.DOTALL,
)
"""Where a frame's function may be, in noise."""


class Question(NamedTuple):
    """The last request, for as long as its answer may come."""

    begins: bytes
    """Its answer: unit, function, and what it repeats or how much it counts."""
    failed: bytes
    """Its answer that is an exception."""
    span: Span | None
    """What it asked for, if that was registers."""


class Conversation:
    """Splits a line with requests and answers into frames, and names what is in the answers.

    `values(unit, span, data)` gives what a unit answered for a span.
    """

    def __init__(self, values: Callable[[int, Span, bytes, Counter[str]], dict[str, Value]]) -> None:
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._values = values
        self._buffer = b""
        self._sums = Sums()
        self._offset = 0
        self._question: Question | None = None
        self._is_answer = False
        self._unit = -1  # of the last good frame
        self._units: set[int] = set()  # that were heard
        self._skipped = 0  # bytes since the last good frame
        self._refused_until = 0
        self._tried: dict[
            int, int
        ] = {}  # places of the stream, and the lengths below which nothing fits there

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._sums.feed(data)
        self._buffer += data
        yield from self._frames(final=False)

    @property
    def is_waiting(self) -> bool:
        """Whether bytes are held back that may be the beginning of a frame."""
        return bool(self._buffer)

    def finish(self) -> Iterator[Frame]:
        """Also at a silence: what has not been completed by then never will be, and may hide whole frames."""
        yield from self._frames(final=True)

    def _frames(self, *, final: bool) -> Iterator[Frame]:
        buffer = self._buffer
        last = len(buffer) - SHORTEST
        at = 0
        before_tail = None
        while at <= last:
            size = self._size(at, final=final)
            if size > 0:
                self._resynchronised()
                before_tail = None
                yield self._taken(at, size)
                at += size
            elif size == _UNFINISHED and not final:
                break
            else:
                if size == _UNFINISHED and not self._skipped:
                    # Unless a whole frame follows, it is what the end of the stream cut off: nobody's fault.
                    before_tail = self.rejected.copy(), self.dropped.copy()
                # A bad checksum drops one byte, not the frame: the true start may be inside.
                self._refuse(at)
                at += 1
                if self._skipped > SHORTEST:
                    beyond = self._next_chance(at, last)
                    self._skipped += beyond - at
                    at = beyond
        if final:
            if before_tail is not None:
                self.rejected, self.dropped = before_tail
            at = len(buffer)
            self._skipped = 0
        if at:
            self._buffer = buffer[at:]
            self._sums.forget(at)
            self._tried.clear()
        self._offset += at

    def _size(self, at: int, *, final: bool) -> int:
        """Of the frame that begins there; or _NO_FRAME, or _UNFINISHED while that cannot be told."""
        buffer = self._buffer
        function = buffer[at + 1]
        shape = SHAPES[function & ~FAILED]
        question = self._question
        if shape is None:
            return self._searched(at, function, final=final)
        if function & FAILED:
            self._is_answer = False
            is_expected = (
                not self._skipped and question is not None and buffer.startswith(question.failed, at)
            )
            if not is_expected and not 1 <= buffer[at + 2] <= _LAST_STANDARD_EXCEPTION:
                return _NO_FRAME
            return self._checked(at, EXCEPTION_LENGTH)
        request, answer = lengths(buffer, at)
        is_expected = question is not None and buffer.startswith(question.begins, at)
        if is_expected or (shape.request_place and 0 < answer < request):
            first, second = answer, request
        else:
            first, second = request, answer
        found = self._checked(at, first) if first else _NO_FRAME
        if found == _UNFINISHED and not final:
            return found
        if found <= 0 and second and second != first:
            first, second = second, first
            unfinished = found
            found = self._checked(at, first) or unfinished
        if found == _NO_FRAME and function in SEARCHED:
            found = self._searched(at, function, final=final)
        elif found > 0:
            self._is_answer = is_expected if request == answer else first == answer
        return found

    def _next_chance(self, at: int, last: int) -> int:
        """The next place in noise that `_size` or `_refuse` would not just pass over; all it does is save time."""
        buffer, lows, highs = self._buffer, self._sums.low, self._sums.high
        end = len(buffer)
        place = at - 1
        while (place := place + 1) <= last:
            shape = SHAPES[buffer[place + 1]]
            if shape is None:
                match = _CHANCE.search(buffer, place + 1)
                if match is None or (place := match.start() - 1) > last:
                    break
            if buffer[place] == self._unit and self._offset + place >= self._refused_until:
                return place
            low, high = lows[place], highs[place]
            for size in lengths(buffer, place):
                if place + size > end:
                    return place
                by_low, by_high, _, _ = aged(size)
                if by_low[low] ^ by_high[high] == lows[place + size] and size:
                    return place
        return max(at, last + 1)

    def _checked(self, at: int, size: int) -> int:
        if at + size > len(self._buffer):
            return _UNFINISHED
        return size if self._sums.is_whole(at, size) else _NO_FRAME

    def _searched(self, at: int, function: int, *, final: bool) -> int:
        """The first length with which the checksum fits.

        In noise some length often does. So it is sought only behind a good frame, and for a unit that was not
        heard yet what follows must be a whole frame, too.
        """
        if self._skipped or function & ~FAILED not in SEARCHED:
            return _NO_FRAME
        size = self._first_fit(at)
        if size > 0 and self._buffer[at] not in self._units:
            after = self._whole(at + size)
            if after == _NO_FRAME or (
                after == _UNFINISHED and not (final and at + size == len(self._buffer))
            ):
                return after
        if size > 0:
            question = self._question
            self._is_answer = question is not None and self._buffer.startswith(question.begins, at)
        return size

    def _first_fit(self, at: int) -> int:
        most = min(len(self._buffer) - at, LONGEST)
        place = self._offset + at
        lows = self._sums.low
        low, high = lows[at], self._sums.high[at]
        for size in range(self._tried.get(place, SHORTEST), most + 1):
            by_low, by_high, _, _ = aged(size)
            # Half of the checksum tells nearly always that it does not fit.
            if by_low[low] ^ by_high[high] == lows[at + size] and self._sums.is_whole(at, size):
                return size
        self._tried[place] = most + 1
        return _UNFINISHED if most < LONGEST else _NO_FRAME

    def _whole(self, at: int) -> int:
        """Of any frame that begins there, request or answer."""
        if len(self._buffer) - at < SHORTEST:
            return _UNFINISHED
        function = self._buffer[at + 1] & ~FAILED
        found = _NO_FRAME
        if SHAPES[function] is not None:
            sizes = [self._checked(at, size) for size in lengths(self._buffer, at) if size]
            found = max(sizes) if max(sizes) > 0 else min(sizes)
        return found or (self._first_fit(at) if function in SEARCHED else _NO_FRAME)

    def _taken(self, at: int, size: int) -> Frame:
        data = self._buffer[at : at + size]
        function = data[1]
        question, self._question = self._question, None
        values: dict[str, Value] = {}
        if function & FAILED and size == EXCEPTION_LENGTH:
            kind = f"exception fc{function - FAILED}"
        elif self._is_answer:
            kind = f"response fc{function}"
            if question is not None and question.span is not None and data.startswith(question.begins):
                values = self._values(data[0], question.span, data[3:-2], self.dropped)
            elif function in TABLES:
                self.dropped["answer to an unknown request"] += 1
        else:
            kind = f"request fc{function}"
            if data[0] != frames.BROADCAST:
                self._question = _question(data)
        self._unit = data[0]
        self._units.add(data[0])
        return Frame(self._offset + at, size, kind, values)

    def _refuse(self, at: int) -> None:
        """Count frames that were begun, not bytes: a frame is refused once, however often its bytes are tried."""
        self._skipped += 1
        place = self._offset + at
        if self._skipped == 1:
            self._refused_until = place + self._plausible_size(at)
        elif self._skipped == SHORTEST:
            self.rejected["checksum"] += 1
        elif place >= self._refused_until and self._buffer[at] == self._unit and SHAPES[self._buffer[at + 1]]:
            self._refused_until = place + self._plausible_size(at)
            self.rejected["checksum"] += 1

    def _plausible_size(self, at: int) -> int:
        shape = SHAPES[self._buffer[at + 1]]
        if shape is None:
            return SHORTEST
        question = self._question
        if question is not None and question.begins[:2] == self._buffer[at : at + 2]:
            return shape.answer + (self._buffer[at + shape.answer_place] if shape.answer_place else 0)
        return shape.request

    def _resynchronised(self) -> None:
        if 0 < self._skipped < SHORTEST:
            self.dropped["noise"] += 1
        self._skipped = 0


def _question(frame: bytes) -> Question:
    unit_and_function, function = frame[:2], frame[1]
    span = None
    repeated = b""
    if function in TABLES:
        table = TABLES[function]
        first, count = struct.unpack_from(">HH", frame, 2)
        span = Span(table, first, count)
        repeated = bytes([((count + 7) // 8 if table in BIT_TABLES else count * 2) & 0xFF])
    elif function in (5, 6, 8, 15, 16, 22):
        repeated = frame[2:4]
    return Question(unit_and_function + repeated, bytes([frame[0], function | FAILED]), span)
