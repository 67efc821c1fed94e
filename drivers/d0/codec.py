"""IEC 62056-21 readouts out of a stream of bytes. Pure: bytes in, frames out."""

import re
from collections import Counter
from collections.abc import Callable

from drivers.checksum import xor8
from drivers.driver import Frame
from gateway.model import Value

LONGEST = 64 * 1024
"""Bytes of a readout; one with fifteen stored months of everything has some 20,000."""

STX, ETX = b"\x02", b"\x03"

IDENTIFICATION = rb"/[A-Za-z]{3}[^\x00-\x1f()/]{1,40}\r?\n"
"""Maker, baud character, name. No value can look so: they have brackets around them."""

# What we have asked, where the recording has no identification after it.
_REQUEST = rb"/\?[^\x00-\x1f()!]{0,32}!\r?\n(?=[0-9A-Z\x02])"
_BEGIN = re.compile(IDENTIFICATION + rb"|" + _REQUEST + rb"|\x02")
_BEGIN_AT_MOST = 64
_END_OR_STX = re.compile(rb"(?<=[)\r\n])!(?:\r?\n|(?=\x00))|\x02|" + IDENTIFICATION)
# Two line feeds end a line too: a terminal's driver makes them of CR LF, and some recordings went through one.
_END_AFTER_STX = re.compile(
    rb"(?<=[)\r\n\x02])!(?:[\r\n]{2}|[\r\n](?=[^\r\n])|(?=[\x00\x03]))|\x03|" + IDENTIFICATION
)

Read = Callable[[str, Counter[str]], dict[str, Value]]


class Readouts:
    """Decoder of IEC 62056-21: each data readout is a frame, its first line the id.

    Layout, in lines that end with CR LF:
        /MMMBname           maker, baud character, name of the meter
        STX code(value*unit)code(value)(value) ... !  ETX  BCC
        BCC                 exclusive or of all bytes after STX up to ETX, which counts
    Mode D has neither STX nor ETX and BCC; some meters of mode C leave out ETX and BCC. Between the first line
    and STX may be the echo of our acknowledgement. An answer to a single read command has no first line and no `!`.
    Source: IEC 62056-21, section 6.
    """

    def __init__(self, read: Read) -> None:
        """`read`: what the data block tells; it counts what it cannot use."""
        self._read = read
        self._held = b""
        self._offset = 0  # of the first byte in _held
        self._at = 0  # bytes of _held that are done with
        self._searched = 0  # bytes from there in which no end begins; 0: no readout has begun
        self._block = 0  # place of the first byte after STX; 0: there was none yet
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def feed(self, data: bytes) -> list[Frame]:
        self._held += data
        frames: list[Frame] = []
        while self._begun() and self._ended(frames):
            pass
        self._forget()
        return frames

    def finish(self) -> list[Frame]:
        """A last readout that may have lacked ETX and BCC; one that the end cuts is left uncounted."""
        # Something else than ETX, to tell that none follows.
        frames = [] if self._held.endswith(ETX) else self.feed(b"\x00")
        self._done(len(self._held))
        self._forget()
        return frames

    def _begun(self) -> bool:
        """Whether a readout is at the place we have come to, once what is before it is passed over."""
        if not self._searched:
            begin = _BEGIN.search(self._held, self._at)
            if begin is None:
                self._done(max(self._at, len(self._held) - _BEGIN_AT_MOST))
                return False
            self._done(begin.start())
            self._searched = begin.end() - begin.start()
            self._block = begin.end() if begin[0] == STX else 0
        return True

    def _ended(self, frames: list[Frame]) -> bool:
        """Whether the readout at the place we have come to was dealt with, as a frame or refused."""
        held, at = self._held, self._at
        pattern = _END_AFTER_STX if self._block else _END_OR_STX
        end = pattern.search(held, at + self._searched, at + LONGEST)
        if end is None:
            length = len(held) - at
            if length <= LONGEST:
                self._searched = max(self._searched, length - _BEGIN_AT_MOST)
                return False
            self._refuse("too long")
            self._done(at + LONGEST - _BEGIN_AT_MOST)
            return True
        self._searched = end.start() - at
        if end[0] == STX:
            self._searched += 1
            self._block = end.end()
        elif end[0].startswith(b"/"):
            self._refuse("cut")
            self._done(end.start())
        elif self._block:
            return self._checked(frames, end)
        else:
            self._accept(frames, held.index(b"\n", at) + 1, end.start(), end.end())
        return True

    def _checked(self, frames: list[Frame], end: re.Match[bytes]) -> bool:
        """The end of a block that began with STX: with ETX and BCC, or without either."""
        held, block = self._held, self._block
        etx = end.start() if end[0] == ETX else end.end()
        if held[etx : etx + 1] not in (b"", ETX):
            self._accept(frames, block, end.start(), etx)
        elif len(held) >= etx + 2:
            if xor8(held[block : etx + 1]) == held[etx + 1]:
                self._accept(frames, block, end.start(), etx + 2)
            else:
                self._refuse("checksum")
                self._done(etx + 2)
        else:
            return False
        return True

    def _accept(self, frames: list[Frame], start: int, end: int, end_of_frame: int) -> None:
        at = self._at
        values = self._read(self._held[start:end].decode("latin-1"), self.dropped)
        if values:
            first_line = self._held[at:start].splitlines()[0].rstrip(STX).decode("latin-1")
            frames.append(Frame(self._offset + at, end_of_frame - at, first_line, values))
        else:
            self._refuse("no values")
        self._done(end_of_frame)

    def _refuse(self, reason: str) -> None:
        if self._held[self._at : self._at + 1] != STX:  # which may be noise
            self.rejected[reason] += 1

    def _done(self, place: int) -> None:
        self._at = place
        self._searched = 0

    def _forget(self) -> None:
        self._held = self._held[self._at :]
        self._offset += self._at
        self._block -= min(self._block, self._at)
        self._at = 0
