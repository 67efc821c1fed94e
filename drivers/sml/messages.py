"""What an SML file says: its binary encoding, its messages, and the values in the lists of a meter.

Layout of the encoding: each element begins with its type and length (TL)
    7 6 5 4  3 2 1 0
    M t t t  l l l l   M: one more byte follows, with four more bits of the length, high ones first
    ttt  0 octet string, 4 boolean, 5 signed, 6 unsigned, 7 list
    The length counts bytes, those of the TL too; of a list its elements.
    01 stands for an optional element that is left out, 00 for the end of a message.
Layout of a message: list of transaction, group, what to do on errors, body, CRC, end; a body is a list of its number
and its content.
Source: SML version 1.03 (BSI TR-03109-1, annex), sections 5 and 6.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from drivers.checksum import crc16_kermit, crc16_x25
from gateway.errors import FrameError

GET_LIST_RESPONSE = 0x0701
_DEEPEST = 12
"""Lists in lists; SML itself needs seven."""
_LONGEST_TL = 5
_WIDEST = 8
"""Bytes of an integer."""
_OCTETS, _BOOLEAN, _SIGNED, _UNSIGNED, _LIST = 0x00, 0x40, 0x50, 0x60, 0x70
_END_OF_MESSAGE = object()
_MESSAGE_PARTS = 6
_LIST_PARTS = 7
_ENTRY_PARTS = 7

Element = Any
"""bytes, bool, int, a list of elements, or None: left out."""


class Message(NamedTuple):
    kind: int
    content: Element
    sum_is_right: bool


class Narrow(int):
    """A negative number of one to three bytes, which DZG's meters mean otherwise; it remembers its width."""

    width: int


class Entry(NamedTuple):
    """One value of a list, as it was sent."""

    obis: bytes
    status: int | None
    unit: int | None
    scaler: int
    value: Element


def messages(file: bytes) -> Iterator[Message]:
    """Raises: FrameError, at the first one that cannot be read."""
    at = 0
    while at < len(file):
        if not file[at]:
            at += 1  # filling, where a meter does not count it
            continue
        try:
            [parts], after = _elements(file, at, 1, 0)
        except IndexError:
            raise FrameError("cut") from None
        if not isinstance(parts, list) or len(parts) != _MESSAGE_PARTS:
            raise FrameError("no message")
        body, told = parts[3], parts[4]
        if not isinstance(body, list) or len(body) != 2 or type(body[0]) is not int:  # noqa: PLR2004 - as drawn above
            raise FrameError("no message body")
        yield Message(body[0], body[1], type(told) is int and _sum_is_right(file[at:after], told))
        at = after


def entries(response: Element) -> Iterator[Entry]:
    """The values of a GetList response; what is not built like one is passed over."""
    if not isinstance(response, list) or len(response) != _LIST_PARTS or not isinstance(response[4], list):
        return
    for entry in response[4]:
        if isinstance(entry, list) and len(entry) == _ENTRY_PARTS and isinstance(entry[0], bytes):
            obis, status, _, unit, scaler, value, _ = entry
            yield Entry(obis, _number(status), _number(unit), _number(scaler) or 0, value)


def seconds(response: Element) -> int | None:
    """What the meter's counter of seconds said; it begins at 0 when the meter is switched on."""
    match response:
        case [_, _, _, [1, int(told)], *_]:
            return told
        case _:
            return None


def _number(element: Element) -> int | None:
    return element if isinstance(element, int) and not isinstance(element, bool) else None


def _elements(data: bytes, at: int, count: int, depth: int) -> tuple[list[Element], int]:  # noqa: C901 - one branch for each type
    """The elements of a list and where the next element begins. Raises: FrameError; IndexError where data ends."""
    if depth > _DEEPEST:
        raise FrameError("nested too deep")
    if count > len(data) - at:
        raise FrameError("cut")
    elements: list[Element] = []
    for _ in range(count):
        tl = data[at]
        if tl <= 0x01:
            elements.append(None if tl else _END_OF_MESSAGE)
            at += 1
            continue
        kind, length, begin = tl & 0x70, tl & 0x0F, at + 1
        while tl & 0x80:
            tl = data[begin]
            begin += 1
            length = length << 4 | tl & 0x0F
            if begin - at > _LONGEST_TL:
                raise FrameError("length too long")
        if kind == _LIST:
            element, at = _elements(data, begin, length, depth + 1)
            elements.append(element)
            continue
        at += length
        if not begin <= at <= len(data):
            raise FrameError("cut")
        content = data[begin:at]
        if kind == _OCTETS:
            elements.append(content)
        elif kind in (_SIGNED, _UNSIGNED):
            elements.append(_integer(content, signed=kind == _SIGNED))
        elif kind == _BOOLEAN:
            elements.append(any(content))
        else:
            raise FrameError("unknown type")
    return elements, at


def _integer(content: bytes, *, signed: bool) -> int:
    if len(content) > _WIDEST:
        raise FrameError("number too wide")
    number = int.from_bytes(content, "big", signed=signed)
    if number < 0 and len(content) < 4:  # noqa: PLR2004 - see Narrow
        number = Narrow(number)
        number.width = len(content)
    return number


def _sum_is_right(message: bytes, told: int) -> bool:
    """The CRC stands behind what it covers, with its TL: 63 and two bytes, or 62 and one; then comes the end."""
    summed = message[:-4] if message[-4:-3] == b"\x63" else message[:-3]
    swapped = (told & 0xFF) << 8 | told >> 8
    return crc16_x25(summed) == swapped or crc16_kermit(summed) in (told, swapped)
