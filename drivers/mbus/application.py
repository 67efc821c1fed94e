"""The application layer: what a meter's telegram is, who sent it, and its records. Pure."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from drivers.driver import Names
from drivers.mbus import fixed, records
from drivers.mbus.link import FROM_MASTER, Telegram
from drivers.mbus.records import Record, named
from gateway.errors import FrameError
from gateway.model import Value

_ERROR = 0x70
_LONG_HEADER = {0x72: False, 0x76: True}
_FIXED = {0x73: False, 0x77: True}
"""CI, and whether the bytes of a number come high byte first (mode 2, withdrawn in 2004)."""
_NO_HEADER, _SHORT_HEADER = 0x78, 0x7A
_LONG_HEADER_LENGTH, _SHORT_HEADER_LENGTH = 12, 4
_DECRYPTED = b"\x2f\x2f"
_ENCRYPTIONS = (5, 7, 13)
"""Modes of the configuration word: AES, of several kinds."""

_ERRORS = (
    "unspecified",
    "unknown CI",
    "buffer too long",
    "too many records",
    "premature end",
    "too many DIFEs",
    "too many VIFEs",
    "reserved",
    "busy",
    "too many readouts",
)


class Message(NamedTuple):
    id: str
    """The meter's identification number; its address on the bus where it sends none."""
    secondary: bytes
    """Its secondary address as it goes on the line: identification, manufacturer, version, medium; `b""`: not sent."""
    records: list[Record]
    status: int | None
    """None where the meter sends none, or libmbus would give none."""
    more_follow: bool


def message(telegram: Telegram, names: Names) -> Message:
    """What a long telegram from a meter says.

    Layout (long header, CI 72): IIII MM V D A S CC records
        I  identification number, 8 digits BCD      M  manufacturer, three letters of 5 bits
        V  version    D  medium (device type)       A  access number
        S  status     C  configuration word: bits 8-12 say how the records are encrypted
    Short header (CI 7A): A S CC records. No header (CI 78): records.
    Fixed structure (CI 73): see `fixed`.
    Raises: FrameError, with the reason.
    Source: EN 13757-3:2018, sections 5 and 7; 13757-3:2004, annex on the fixed data structure.
    """
    ci, body = telegram.ci, telegram.body
    if telegram.control is None or telegram.control & FROM_MASTER:
        raise FrameError("not from a meter")
    if ci == _ERROR:
        code = body[0] if body else 0
        raise FrameError(f"meter: {_ERRORS[code] if code < len(_ERRORS) else 'unknown error'}")
    if ci in _FIXED:
        identification, status_byte, found = fixed.records(body, names, high_byte_first=_FIXED[ci])
        return Message(_number(identification), b"", found, _told(status_byte, names), more_follow=False)
    status: int | None = None
    configuration, secondary = 0, b""
    high_byte_first = _LONG_HEADER.get(ci or 0, False)
    if ci in _LONG_HEADER:
        header, body = _split(body, _LONG_HEADER_LENGTH)
        if high_byte_first:
            header = header[3::-1] + header[5:3:-1] + header[6:10] + header[:9:-1]
        secondary = header[:8]
        status, configuration = header[9], header[10] | header[11] << 8
    elif ci == _SHORT_HEADER:
        header, body = _split(body, _SHORT_HEADER_LENGTH)
        status, configuration = header[1], header[2] | header[3] << 8
    elif ci != _NO_HEADER:
        raise FrameError("unknown CI")
    if configuration >> 8 & 0x1F in _ENCRYPTIONS and not body.startswith(_DECRYPTED):
        raise FrameError("encrypted")
    found, more_follow = records.parse(body, names, high_byte_first=high_byte_first)
    number = _number(secondary) if secondary else str(telegram.address)
    return Message(number, secondary, found, _told(status, names), more_follow)


def values(telegrams: Sequence[Message], dropped: Counter[str]) -> dict[str, Value]:
    """Of the telegrams that make up one reading."""
    found = named(chain.from_iterable(told.records for told in telegrams), dropped)
    status = telegrams[-1].status
    return found if status is None else {"status": status, **found}


def _told(status: int | None, names: Names) -> int | None:
    return status if names == "readable" else None


def _number(secondary: bytes) -> str:
    """As libmbus prints it: without zeros in front."""
    return f"{int.from_bytes(secondary[:4], 'little'):X}"


def _split(body: bytes, length: int) -> tuple[bytes, bytes]:
    if len(body) < length:
        raise FrameError("cut header")
    return body[:length], body[length:]
