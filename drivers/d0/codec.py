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
_END = re.compile(rb"(?<=[)\r\n\x02])!\r?\n|\x03|" + IDENTIFICATION)

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
        self._searched = 0  # bytes of _held in which no end begins; 0: no readout has begun
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def feed(self, data: bytes) -> list[Frame]:
        self._held += data
        frames: list[Frame] = []
        while self._begun() and self._ended(frames, is_last=False):
            pass
        return frames

    def finish(self) -> list[Frame]:
        """A last readout that may have lacked ETX and BCC; one that the end cuts is left uncounted."""
        frames: list[Frame] = []
        while self._begun() and self._ended(frames, is_last=True):
            pass
        self._consume(len(self._held))
        return frames

    def _begun(self) -> bool:
        """Whether a readout is at the start of what is held, once what is before it is forgotten."""
        if not self._searched:
            begin = _BEGIN.search(self._held)
            if begin is None:
                self._consume(max(0, len(self._held) - _BEGIN_AT_MOST))
                return False
            self._consume(begin.start())
            self._searched = begin.end() - begin.start()
        return True

    def _ended(self, frames: list[Frame], *, is_last: bool) -> bool:
        """Whether the readout at the start of what is held was taken away, as a frame or refused."""
        held = self._held
        end = _END.search(held, self._searched, LONGEST)
        if end is None:
            if len(held) <= LONGEST:
                self._searched = max(self._searched, len(held) - _BEGIN_AT_MOST)
                return False
            self._refuse("too long")
            self._consume(LONGEST - _BEGIN_AT_MOST)
            return True
        self._searched = end.start()
        start = held.find(STX, 0, end.start())
        closing = end[0]
        if closing[:1] == b"/":
            self._refuse("cut")
            self._consume(end.start())
        elif closing != ETX and start < 0:
            self._accept(frames, _after_first_line(held), end.start(), end.end())
        elif closing == ETX and start < 0:
            self._searched = end.end()
        else:
            etx = end.start() if closing == ETX else end.end()
            if closing != ETX and held[etx : etx + 1] not in (b"", ETX):
                self._accept(frames, start + 1, end.start(), end.end())
            elif len(held) >= etx + 2:
                if xor8(held[start + 1 : etx + 1]) == held[etx + 1]:
                    self._accept(frames, start + 1, end.start(), etx + 2)
                else:
                    self._refuse("checksum")
                    self._consume(etx + 2)
            elif is_last and len(held) == etx:
                self._accept(frames, start + 1, end.start(), etx)
            else:
                return False
        return True

    def _accept(self, frames: list[Frame], start: int, end: int, length: int) -> None:
        values = self._read(self._held[start:end].decode("latin-1"), self.dropped)
        if values:
            first = self._held[:start].splitlines()[0].rstrip(STX).decode("latin-1")
            frames.append(Frame(self._offset, length, first, values))
        else:
            self._refuse("no values")
        self._consume(length)

    def _refuse(self, reason: str) -> None:
        if self._held[:1] != STX:  # which may be noise
            self.rejected[reason] += 1

    def _consume(self, length: int) -> None:
        self._held = self._held[length:]
        self._offset += length
        self._searched = 0


def _after_first_line(held: bytes) -> int:
    return held.index(b"\n") + 1
