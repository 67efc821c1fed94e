"""Bytes in, frames out: the framings that several protocols share."""

from collections.abc import Iterator


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
