"""The link layer: telegrams in bytes, and what the master sends. Pure."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from drivers.checksum import sum8

ACK = b"\xe5"
LONGEST = 0xFF + 6
"""Bytes of a telegram: no more need ever be held."""

SND_NKE = 0x40
SND_UD = 0x53
REQ_UD2 = 0x5B
FCB = 0x20
"""Frame count bit: it changes with each question, so that a meter knows a repeated one."""
FROM_MASTER = 0x40

SELECTED = 253
"""Whichever meter has been selected by its secondary address."""
ANY = 254
"""Whichever meter there is: for a bus with one."""

CI_RESET = 0x50
CI_SELECT = 0x52

_SHORT = 0x10
_LONG = 0x68
_STOP = 0x16
_SHORT_LENGTH = 5
_AROUND = 6  # start, length, length, start, checksum, stop
_LEAST = 3  # control, address, control information

# Where, among bytes that make no sense, a telegram may begin, and where at their end one may have begun.
_BEGINNING = re.compile(rb"\x68(?=([\s\S])\1\x68)|\x10(?=[\s\S]{3}\x16)")
_BEGUN = re.compile(rb"\x68(?:([\s\S])\1?)?\Z|\x10[\s\S]{0,3}\Z")
_BEGINNING_LENGTH = 4


class Telegram(NamedTuple):
    """One telegram with the right checksum, in any of the four formats."""

    length: int
    control: int | None
    """None for the single character."""
    address: int
    ci: int | None
    """Control information; None for single character and short telegram."""
    body: bytes
    """What follows the control information."""


_SINGLE = Telegram(1, None, 0, None, b"")


def short(control: int, address: int) -> bytes:
    content = bytes([control, address])
    return bytes([_SHORT, *content, sum8(content), _STOP])


def long(control: int, address: int, ci: int, body: bytes = b"") -> bytes:
    """With an empty body a control telegram."""
    content = bytes([control, address, ci]) + body
    length = len(content)
    return bytes([_LONG, length, length, _LONG, *content, sum8(content), _STOP])


def telegram_at(data: bytes, at: int) -> Telegram | str | None:  # noqa: PLR0911 - one for each verdict
    """The telegram that begins here; or the reason to refuse it; or None while it is unfinished.

    A reason is `""` where nothing begins.

    Layout:
        E5                             single character
        10 C A CS 16                   short
        68 L L 68 C A CI ... CS 16     long; L bytes from C to before CS
        CS  sum of the bytes from C on, modulo 256
    Source: EN 13757-2, section 5 (IEC 60870-5-1, format class FT 1.2).
    """
    start, held = data[at], len(data) - at
    if start == _LONG:
        if held < _BEGINNING_LENGTH:
            return None
        size = data[at + 1]
        if data[at + 2] != size or data[at + 3] != _LONG:
            return "start"
        if size < _LEAST:
            return "length"
        first, end = at + 4, at + 4 + size
    elif start == _SHORT:
        first, end = at + 1, at + 3
    else:
        return _SINGLE if start == ACK[0] else ""
    if end + 2 > len(data):
        return None
    if data[end + 1] != _STOP:
        return "stop"
    if sum8(data[first:end]) != data[end]:
        return "checksum"
    ci, body = (data[first + 2], data[first + 3 : end]) if start == _LONG else (None, b"")
    return Telegram(end + 2 - at, data[first], data[first + 1], ci, body)


class Telegrams:
    """Finds the telegrams in a stream, whatever the chunks; holds at most one unfinished telegram.

    After bytes that make no sense an E5 counts for nothing, and a start only as part of a whole beginning.
    """

    def __init__(self) -> None:
        self.rejected: Counter[str] = Counter()
        """Telegrams that were begun and refused, by reason."""
        self._held = b""
        self._offset = 0  # of the first byte in _held
        self._lost = False

    def feed(self, data: bytes) -> Iterator[tuple[int, Telegram]]:
        """Each with its offset in the stream."""
        self._held += data
        return self._scan(ended=False)

    def finish(self) -> Iterator[tuple[int, Telegram]]:
        """What an unfinished telegram at the end has hidden; itself it is not counted."""
        return self._scan(ended=True)

    def _scan(self, *, ended: bool) -> Iterator[tuple[int, Telegram]]:
        data, at = self._held, 0
        while at < len(data):
            if self._lost and (at := self._next(data, at, ended=ended)) == len(data):
                break
            telegram = telegram_at(data, at)
            if isinstance(telegram, Telegram):
                yield self._offset + at, telegram
                at += telegram.length
                self._lost = False
            elif telegram is None and not ended:
                break
            else:
                if telegram:
                    self.rejected[telegram] += 1
                # A bad checksum drops one byte, not the telegram: the true start may be inside.
                at += 1
                self._lost = True
        self._held = data[at:]
        self._offset += at

    def _next(self, data: bytes, at: int, *, ended: bool) -> int:
        """Where the next telegram begins that is good or unfinished."""
        stops = 0
        found = None
        for match in _BEGINNING.finditer(data, at):
            start = match.start()
            if data[start] == _LONG:
                end = start + data[start + 1] + _AROUND
                # Decided here at once: a stream may consist of beginnings.
                if end <= len(data) and data[end - 1] != _STOP:
                    stops += 1
                    continue
            elif telegram_at(data, start) == "checksum":
                continue
            found = match
            break
        if stops:
            self.rejected["stop"] += stops
        if found is None and not ended:
            found = _BEGUN.search(data, max(at, len(data) - _BEGINNING_LENGTH))
        return len(data) if found is None else found.start()
