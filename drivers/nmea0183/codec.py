"""NMEA 0183 sentences out of a stream of bytes. Pure: bytes in, frames out."""

import re
from collections import Counter
from collections.abc import Collection
from itertools import product

from drivers.checksum import xor8
from drivers.driver import Frame
from drivers.nmea0183.sentences import SENTENCES, WIDEST
from gateway.model import Value

LONGEST = 1024
"""The standard says 82 characters and real devices exceed it; beyond this a sentence is given up."""

# A start counts only with a whole address behind it: a stray `$` begins no sentence and cuts none.
_ADDRESS = rb"(?:P[A-Z0-9]{3,16}|[A-Z]{2}[A-Z0-9]{3,15})[,*]"
_TEXT = rb"[^\x00-\x1f\x7f$!]*"  # above 7F it is ISO 8859-1, or damage that the checksum finds
_START_SO_FAR = rb"[$!][A-Z0-9]{0,17}\Z"
_SENTENCE = re.compile(
    rb"[$!]%(address)b%(text)b(?:[$!](?!%(address)b)%(text)b)*|%(so_far)b"
    % {b"address": _ADDRESS, b"text": _TEXT, b"so_far": _START_SO_FAR}
)
_UNFINISHED_START = re.compile(_START_SO_FAR)
_LINE_END = b"\r\n"
_HEX = {bytes(pair): int(bytes(pair), 16) for pair in product(b"0123456789ABCDEFabcdef", repeat=2)}
_MISSING = [""] * (WIDEST + 1)


class Sentences:
    """Decoder of NMEA 0183: each sentence with the right checksum is a frame, its address is the id.

    Layout: `$GPGGA,1,2,3,...*hh` and a line end; AIS begins with `!`, proprietary addresses with P.
        hh  exclusive or of all bytes between the `$` and the `*`
    A sentence ends with its line, or where the next one or a control character cuts it off. One that is
    cut or sent without checksum is dropped; `require_checksum=False` accepts it if its line is whole.
    Source: IEC 61162-1, sections 7 and 8.
    """

    def __init__(self, *, require_checksum: bool = True, ignore: Collection[str] = ()) -> None:
        self._require_checksum = require_checksum
        self._readers = {name: readers for name, readers in SENTENCES.items() if name not in ignore}
        self._held = b""
        self._offset = 0  # of the first byte in _held
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def feed(self, data: bytes) -> list[Frame]:
        stream = self._held + data
        end_of_stream = len(stream)
        done = end_of_stream
        frames = []
        for match in _SENTENCE.finditer(stream):
            start, end = match.span()
            if end == end_of_stream:
                done = start
                break
            line_ended = stream[end] in _LINE_END
            if frame := self._judge(match[0], self._offset + start, line_ended=line_ended):
                frames.append(frame)
        self._held = stream[done:]
        self._offset += done
        if len(self._held) > LONGEST:
            self._give_up()
        return frames

    def finish(self) -> list[Frame]:
        """A last sentence that lacks only its line end; one that the end cuts is left uncounted."""
        text, offset = self._held, self._offset
        self._held = b""
        self._offset += len(text)
        return [self._frame(text[1:-3], offset, len(text))] if _checksum_fits(text) else []

    def _give_up(self) -> None:
        # The next sentence may already have begun in the last bytes.
        begun = _UNFINISHED_START.search(self._held)
        length = begun.start() if begun else len(self._held)
        if length > LONGEST:
            self.rejected["too long"] += 1
            self._held = self._held[length:]
            self._offset += length

    def _judge(self, line: bytes, offset: int, *, line_ended: bool) -> Frame | None:
        if len(line) > LONGEST:
            self.rejected["too long"] += 1
            return None
        text = line.rstrip(b" ")
        fits = _checksum_fits(text)
        if fits:
            return self._frame(text[1:-3], offset, len(line))
        if fits is False:
            self.rejected["checksum"] += 1
            return None
        if self._require_checksum or not line_ended:
            self.dropped["no checksum"] += 1
            return None
        return self._frame(text[1:].partition(b"*")[0], offset, len(line))

    def _frame(self, content: bytes, offset: int, length: int) -> Frame:
        fields = content.decode("latin-1").split(",")
        address = fields[0]
        values: dict[str, Value] = {}
        if address[0] != "P" and (readers := self._readers.get(address[2:])):
            fields += _MISSING[len(fields) :]  # older editions end a sentence sooner
            for read in readers:
                try:
                    read(fields, values)
                except (ValueError, KeyError):
                    self.dropped["unreadable field"] += 1
        return Frame(offset, length, address, values)


def _checksum_fits(text: bytes) -> bool | None:
    """None: the sentence has no checksum."""
    if text[-3:-2] != b"*" or (claimed := _HEX.get(text[-2:])) is None:
        return None
    return xor8(text[1:-3]) == claimed
