"""SML transport, version 1: files out of a stream of bytes. Pure: bytes in, files out."""

import re
from collections import Counter
from collections.abc import Iterator

from drivers.checksum import crc16_kermit, crc16_x25

LONGEST = 32 * 1024
"""Bytes of a file; meters send 200 to 1,000."""

_ESCAPE = b"\x1b\x1b\x1b\x1b"
_BEGIN = b"\x01\x01\x01\x01"
_END = 0x1A
_RUN = re.compile(rb"\x1b{4,}")
_FRAMING = 8
"""Bytes of the start, and of the end."""


class Files:
    """Splits a stream into SML files, and checks their sums.

    Layout:
        1B1B1B1B 01010101 <content, filled up to four bytes> 1B1B1B1B 1A NN CC CC
        NN     how many bytes of the content are filling
        CC CC  CRC-16/X-25 of all bytes before, low byte first; some older meters send CRC-16/KERMIT, high byte first
    1B1B1B1B within the content is sent twice.
    A file is cut where the next one begins inside it.
    Source: SML version 1.03 (BSI TR-03109-1, annex), section 8, "SML Transport Protocol, version 1".
    """

    def __init__(self, rejected: Counter[str]) -> None:
        self._rejected = rejected
        self._held = b""
        self._offset = 0  # of the first byte in _held
        self._scanned = 0  # in _held: what lies before is decided
        self._begun = False  # whether _held begins with a file

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Offset, length and content of each file whose sum is right."""
        stream = self._held + data
        begin = 0 if self._begun else None
        at = self._scanned
        while (run := _RUN.search(stream, at)) is not None:
            after = run.end()
            ones = after - run.start()
            # Doubled escapes mean nothing, however many: what counts is what is left of them.
            at = after - (ones if ones < 2 * _FRAMING else _FRAMING + ones % _FRAMING)
            begin = self._unless_too_long(begin, at)
            if after == len(stream):
                break
            if ones % _FRAMING < len(_ESCAPE):
                at = after
                continue
            word = stream[after : after + len(_BEGIN)]
            if len(word) < len(_BEGIN) and (_BEGIN.startswith(word) or word[0] == _END):
                break
            at = after
            if word == _BEGIN:
                if begin is not None:
                    self._rejected["cut"] += 1
                begin = after - len(_ESCAPE)
                at += len(_BEGIN)
            elif word[0] == _END and begin is not None:
                file = stream[begin : after + len(word)]
                if self._sum_is_right(file):
                    yield self._offset + begin, len(file), _content(file)
                    at += len(word)  # otherwise what looked like the sum may be the next file's start
                begin = None
        else:
            at = max(at, len(stream) - _escapes_at_the_end(stream))
        begin = self._unless_too_long(begin, at)
        keep = at if begin is None else begin
        self._held = stream[keep:]
        self._offset += keep
        self._scanned = at - keep
        self._begun = begin is not None

    def finish(self) -> None:
        """A file that the end of the stream cuts is left uncounted."""
        self._offset += len(self._held)
        self._held = b""
        self._scanned = 0
        self._begun = False

    def _unless_too_long(self, begin: int | None, at: int) -> int | None:
        if begin is None or at - begin <= LONGEST:
            return begin
        self._rejected["too long"] += 1
        return None

    def _sum_is_right(self, file: bytes) -> bool:
        told, summed = file[-2:], file[:-2]
        if told in (crc16_x25(summed).to_bytes(2, "little"), crc16_kermit(summed).to_bytes(2, "big")):
            return True
        self._rejected["checksum"] += 1
        return False


def _escapes_at_the_end(stream: bytes) -> int:
    """Less than four of them."""
    tail = stream[1 - len(_ESCAPE) :]
    return len(tail) - len(tail.rstrip(_ESCAPE))


def _content(file: bytes) -> bytes:
    return file[_FRAMING : len(file) - _FRAMING - file[-3]].replace(2 * _ESCAPE, _ESCAPE)
