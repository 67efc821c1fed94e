"""Bytes in, frames out: the framings that several protocols share."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from drivers.driver import Frame


class Lines:
    """Splits a stream into lines, whatever the chunks; holds at most one unfinished line.

    A line ends with LF, CR or both. A line that grows beyond `max_length` is given up: its bytes are
    forgotten until the next line end, and `overlong` counts it.
    """

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._rest = b""
        self._offset = 0  # of the first byte in _rest
        self._skipping = False
        self.overlong = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Offset in the stream and content of each finished line, without its end; empty lines are left out."""
        data = self._rest + data
        start = 0
        for piece in data.splitlines(keepends=True):
            line = piece.rstrip(b"\r\n")
            if len(line) == len(piece):
                break
            if self._skipping:
                self._skipping = False
            elif len(line) > self._max_length:
                self.overlong += 1
            elif line:
                yield self._offset + start, line
            start += len(piece)
        self._rest = data[start:]
        self._offset += start
        if len(self._rest) > self._max_length:
            if not self._skipping:
                self.overlong += 1
            self._skipping = True
        if self._skipping:
            self._offset += len(self._rest)
            self._rest = b""

    def finish(self) -> Iterator[tuple[int, bytes]]:
        """The unfinished last line, if there is one."""
        if self._rest:
            yield self._offset, self._rest
        self._offset += len(self._rest)
        self._rest = b""


class Kind(NamedTuple):
    """A frame of a fixed length, by how it is checked."""

    length: int
    fault: Callable[[bytes], str]
    """From the whole frame: why it is refused, in a word; "" for a good one."""


class Headed:
    """Finds frames that begin with a known header, which says how long they are; holds at most one unfinished.

    A frame that is refused costs one byte, for the true start may be inside; it is counted by its reason. What
    stands between frames is counted as "no header", once for each run of it that goes beyond the length of the
    frame refused before it.
    """

    def __init__(self, kinds: Mapping[bytes, Kind]) -> None:
        self.rejected: Counter[str] = Counter()
        self._kinds = kinds
        self._header = re.compile(b"|".join(map(re.escape, kinds)))
        self._longest_header = max(map(len, kinds))
        self._held = b""
        self._offset = 0  # of the first byte in _held
        self._claimed = 0  # where the last refused frame would have ended
        self._noisy = False

    def feed(self, data: bytes) -> list[tuple[int, bytes, bytes]]:
        """Offset in the stream, header and whole of each good frame."""
        return self._frames(self._held + data, ended=False)

    def finish(self) -> list[tuple[int, bytes, bytes]]:
        """Good frames inside one that the end cuts off; that one itself is not counted."""
        return self._frames(self._held, ended=True)

    def _frames(self, stream: bytes, *, ended: bool) -> list[tuple[int, bytes, bytes]]:
        frames = []
        at, size, kinds, search = 0, len(stream), self._kinds, self._header.search
        while match := search(stream, at):
            start, end_of_header = match.span()
            if start > at:
                self._skip_to(start)
            length, fault = kinds[header := stream[start:end_of_header]]
            end = start + length
            if end > size and not ended:
                at = start
                break
            self._noisy = False
            frame = stream[start:end]
            if end <= size:
                if not (reason := fault(frame)):
                    frames.append((self._offset + start, header, frame))
                    at = end
                    continue
                self.rejected[reason] += 1
            self._claimed = self._offset + end
            at = start + 1
        else:
            # A header may be about to come whole.
            unsure = max(at, size - self._longest_header + 1)
            if unsure > at:
                self._skip_to(unsure)
            at = size if ended else unsure
        self._held = stream[at:]
        self._offset += at
        return frames

    def _skip_to(self, place: int) -> None:
        if not self._noisy and self._offset + place > self._claimed:
            self.rejected["no header"] += 1
            self._noisy = True


class Terminated:
    """As Lines, for lines that end with a text of their own."""

    def __init__(self, terminator: bytes, max_length: int) -> None:
        self._terminator = terminator
        self._max_length = max_length
        self._rest = b""
        self._offset = 0  # of the first byte in _rest
        self._skipping = False
        self.overlong = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Offset in the stream and content of each finished line, without its end; empty lines are left out."""
        *lines, self._rest = (self._rest + data).split(self._terminator)
        for line in lines:
            offset = self._offset
            self._offset += len(line) + len(self._terminator)
            if self._skipping:
                self._skipping = False
            elif len(line) > self._max_length:
                self.overlong += 1
            elif line:
                yield offset, line
        if len(self._rest) >= self._max_length + len(self._terminator):
            if not self._skipping:
                self.overlong += 1
            self._skipping = True
            # Its end may have begun already.
            kept = len(self._rest) - len(self._terminator) + 1
            self._offset += kept
            self._rest = self._rest[kept:]

    def finish(self) -> Iterator[tuple[int, bytes]]:
        """The unfinished last line, if there is one."""
        if self._rest and not self._skipping:
            yield self._offset, self._rest
        self._offset += len(self._rest)
        self._rest = b""


class LineDecoder(ABC):
    """Decoder of a protocol whose frames are lines: what `_frame` makes of each of them."""

    def __init__(self, lines: Lines | Terminated) -> None:
        self._lines = lines
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def feed(self, data: bytes) -> Iterator[Frame]:
        for offset, line in self._lines.feed(data):
            if (frame := self._frame(offset, line)) is not None:
                yield frame
        if self._lines.overlong:
            self.rejected["too long"] += self._lines.overlong
            self._lines.overlong = 0

    def finish(self) -> Iterator[Frame]:
        for offset, line in self._lines.finish():
            if (frame := self._frame(offset, line)) is not None:
                yield frame

    @abstractmethod
    def _frame(self, offset: int, line: bytes) -> Frame | None:
        """From its place in the stream and its content; None for one that is no frame, which is counted."""
