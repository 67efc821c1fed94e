"""SHDLC, Sensirion's frames on a serial line. Pure: bytes in, frames out."""

from typing import NamedTuple

from drivers.checksum import sum8_inverted

FLAG = b"\x7e"

LONGEST = 2 * (4 + 255 + 1)
"""What stands between two flags, with every byte stuffed."""

_STUFFED = ((b"\x5e", b"\x7e"), (b"\x31", b"\x11"), (b"\x33", b"\x13"), (b"\x5d", b"\x7d"))
"""What follows 7D, and what it means; 7D itself last, for then no new pair can arise."""

# Of what stands between the flags, without stuffing
_SHORTEST_ANSWER = 5
_SHORTEST_REQUEST = 4


class Answer(NamedTuple):
    """Layout: 7E AA CC SS LL DD... XX 7E, stuffed between the flags.

    A  address        C  command        S  state: bit 7 the device has a fault, the others the error
    L  length of D    D  data           X  inverted sum of the bytes before
    Source: Sensirion SPS30 datasheet 1.0, section 5.
    """

    address: int
    command: int
    state: int
    data: bytes


class Request(NamedTuple):
    """As an answer, without state."""

    address: int
    command: int
    data: bytes


def request(address: int, command: int, data: bytes = b"") -> bytes:
    return _framed(bytes([address, command, len(data)]) + data)


def answer(address: int, command: int, state: int, data: bytes = b"") -> bytes:
    return _framed(bytes([address, command, state, len(data)]) + data)


def _framed(body: bytes) -> bytes:
    body += bytes([sum8_inverted(body)])
    for sent, meant in reversed(_STUFFED):
        body = body.replace(meant, b"\x7d" + sent)
    return FLAG + body + FLAG


def parse(between: bytes) -> Answer | str:
    """An answer from what stands between two flags, or why it is none."""
    body = _unstuffed(between)
    if len(body) < _SHORTEST_ANSWER or body[3] != len(body) - _SHORTEST_ANSWER:
        return "length"
    if sum8_inverted(body[:-1]) != body[-1]:
        return "checksum"
    return Answer(body[0], body[1], body[2], body[4:-1])


def parse_request(between: bytes) -> Request | str:
    body = _unstuffed(between)
    if len(body) < _SHORTEST_REQUEST or body[2] != len(body) - _SHORTEST_REQUEST:
        return "length"
    if sum8_inverted(body[:-1]) != body[-1]:
        return "checksum"
    return Request(body[0], body[1], body[3:-1])


def _unstuffed(between: bytes) -> bytes:
    if b"\x7d" in between:
        for sent, meant in _STUFFED:
            between = between.replace(b"\x7d" + sent, meant)
    return between
