"""P1 telegrams out of a stream of bytes. Pure: bytes in, frames out."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Literal

from drivers.checksum import crc16_arc
from drivers.driver import Frame
from gateway.model import Value

Checking = Literal["if_sent", "always", "never"]
Lines = list[bytes]

LONGEST = 16 * 1024
"""Bytes of a telegram; the longest known, with a long text message and all logs, have some 5,000."""

_MAKER = rb"/[A-Za-z][A-Za-z0-9]{2}[0-9]"
# DLMS general-global-ciphering: the title of the meter (begun with its maker's letters), length, security control.
_CIPHERED = rb"\xdb\x08[A-Z]{3}.{5}(?:\x82..|\x81.|[\x00-\x7f])[\x20-\x3f]"
_BEGIN = re.compile(_MAKER + rb"|(?P<ciphered>%b)" % _CIPHERED, re.DOTALL)
_BEGIN_AT_MOST = 14
_MAYBE_INSIDE = re.compile(_MAKER)
# A telegram that is cut off shows by the next one's first line, or else by two makers before one checksum.
_END_AT_MOST = 80
_END = re.compile(
    rb"(?<=[\r\n])(?:!(?P<crc>[^\r\n/]{0,64})(?:\r?\n|\r(?=[^\n])|(?=/))|(?P<next>%b))" % _MAKER
)
_CRC_DIGITS = 4
_CRC = re.compile(rb"[0-9A-Fa-f]{1,4}(?![0-9A-Fa-f])")
_BLANK = b" \t\x00"


class Telegrams:
    """Decoder of P1: each telegram is a frame, its first line without the slash is the id.

    Layout: lines that end with CR LF
        /MMMBident          maker, baud character, identification
        A-B:C.D.E(value)    any number of them; a value of DSMR 2.2's gas meter is alone on the next line
        !CCCC               CRC-16/ARC from the `/` to the `!`, both included, in hex; without it in DSMR 2.2 and 3
    Source: P1 Companion Standard 5.0.2, section 6; IEC 62056-21, mode D.
    """

    def __init__(self, read: Callable[[Lines, Counter[str]], dict[str, Value]], *, check: Checking) -> None:
        """`read`: what the lines of a telegram tell; it counts what it cannot use."""
        self._read = read
        self._check = check
        self._held = b""
        self._offset = 0  # of the first byte in _held
        self._at = 0  # bytes of _held that are done with
        self._searched = 0  # bytes from there in which no end begins; 0: no telegram has begun
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
        """A last telegram that lacks only its line end; one that the end cuts is left uncounted."""
        length = len(self._held)
        frames: list[Frame] = []
        end = _END.search(self._held + b"\n", 1) if self._searched else None
        if end and end["crc"] is not None and len(end["crc"].strip(_BLANK)) in (0, _CRC_DIGITS):
            self._judge(end.start(), end["crc"], min(end.end(), length), frames)
        self._done(length)
        self._forget()
        return frames

    def _begun(self) -> bool:
        """Whether a telegram is at the place we have come to, once what is before it is passed over."""
        while not self._searched:
            # Bytes that may yet turn out to begin something are left for later, so that any split gives the same.
            decided = max(self._at, len(self._held) - _BEGIN_AT_MOST)
            begin = _BEGIN.search(self._held, self._at)
            if begin is None or begin.start() > decided:
                self._done(decided)
                return False
            if begin["ciphered"]:
                self.rejected["encrypted: this driver has no key"] += 1
                self._done(begin.end())
            else:
                self._done(begin.start())
                self._searched = 1
        return True

    def _ended(self, frames: list[Frame]) -> bool:
        """Whether the telegram at the place we have come to was dealt with, as a frame or refused."""
        held, at = self._held, self._at
        end = _END.search(held, at + self._searched, at + LONGEST)
        if end is None:
            length = len(held) - at
            if length <= LONGEST:
                self._searched = max(self._searched, length - _END_AT_MOST)
                return False
            self.rejected["too long"] += 1
            starts = [match.start() for match in _MAYBE_INSIDE.finditer(held, at + 1, at + LONGEST)]
            self._done(starts[-1] if starts else at + LONGEST - _BEGIN_AT_MOST)
        elif end["next"]:
            if self._check == "never" and (frame := self._frame(at, end.start(), end.start())):
                frames.append(frame)
            else:
                self.rejected["cut"] += 1
            self._done(end.start())
        else:
            self._judge(end.start(), end["crc"], end.end(), frames)
            self._done(end.end())
        return True

    def _judge(self, bang: int, crc: bytes, end: int, frames: list[Frame]) -> None:
        starts = [match.start() for match in _MAYBE_INSIDE.finditer(self._held, self._at, bang)]
        first, last = starts[0], starts[-1]
        begin = last
        refusal = self._refusal(last, bang, crc)
        if refusal and first != last and not self._refusal(first, bang, crc):
            begin, refusal = first, ""  # a text in it looks like a first line
        if first != last and (refusal or begin == last):
            self.rejected["cut"] += 1
        if refusal:
            self.rejected[refusal] += 1
        elif frame := self._frame(begin, bang, end):
            frames.append(frame)
        else:
            self.rejected["no values"] += 1

    def _refusal(self, start: int, bang: int, crc: bytes) -> str:
        """Why what lies between is no telegram; `""`: it is one."""
        if self._check == "never":
            return ""
        if not crc.strip(_BLANK):
            return "no checksum" if self._check == "always" else ""
        told = _CRC.match(crc)
        fits = told is not None and int(told[0], 16) == crc16_arc(self._held[start : bang + 1])
        return "" if fits else "checksum"

    def _frame(self, start: int, bang: int, end: int) -> Frame | None:
        """None where there is nothing in it: with a checksum that would be odd, without one it is noise."""
        first, *lines = self._held[start:bang].splitlines()
        values = self._read(lines, self.dropped)
        return (
            Frame(self._offset + start, end - start, first[1:].decode("latin-1"), values) if values else None
        )

    def _done(self, place: int) -> None:
        self._at = place
        self._searched = 0

    def _forget(self) -> None:
        self._held = self._held[self._at :]
        self._offset += self._at
        self._at = 0
