"""Modbus RTU on the wire: how long a frame is, whether it is whole, and the frames a master sends.

Source: MODBUS Application Protocol Specification V1.1b3 (functions and exceptions); MODBUS over Serial Line V1.02,
section 2.5.1 (RTU framing).
"""

from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple

from drivers.checksum import crc16_arc, crc16_modbus
from gateway.errors import FrameError

READ_COILS, READ_DISCRETE_INPUTS, READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS = 1, 2, 3, 4
WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS = 5, 6, 15, 16
DIAGNOSTICS, READ_WRITE_REGISTERS, ENCAPSULATED = 8, 23, 43
IDENTIFICATION = 0x0E
"""The one encapsulated interface whose answers say how long they are."""

FAILED = 0x80
"""Set in the function of an answer that is an exception."""

BROADCAST = 0

SHORTEST, LONGEST = 4, 256
"""Bytes of a frame, address and checksum included. Some masters exceed the longest one a little."""

LONGEST_CLAIMED = 600
"""What no length exceeds that a frame's own bytes make it out to have."""

EXCEPTION_LENGTH = 5

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target silent",
}
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, ACKNOWLEDGE, BUSY = 1, 2, 3, 5, 6


class Declined(FrameError):
    """The device answered with an exception."""

    def __init__(self, code: int) -> None:
        super().__init__(EXCEPTIONS.get(code, "unknown exception"))
        self.code = code


def framed(unit: int, content: bytes) -> bytes:
    """A frame from the function and what follows it."""
    frame = bytes([unit]) + content
    return frame + crc16_modbus(frame).to_bytes(2, "little")


def is_whole(frame: bytes) -> bool:
    return crc16_modbus(frame) == 0


def read_request(unit: int, function: int, address: int, count: int) -> bytes:
    return framed(unit, bytes([function]) + address.to_bytes(2) + count.to_bytes(2))


# Lengths


class Shape(NamedTuple):
    """How long requests and answers of a function are; at a place stands how much more, unless it is 0."""

    request: int
    request_place: int
    answer: int
    answer_place: int
    counts_registers: bool


def _shape(request: int, request_place: int, answer: int, answer_place: int, *, even: bool = False) -> Shape:
    return Shape(request, request_place, answer, answer_place, even)


_KNOWN: dict[int, Shape] = {
    **dict.fromkeys((1, 2), _shape(8, 0, 5, 2)),
    **dict.fromkeys((3, 4), _shape(8, 0, 5, 2, even=True)),
    **dict.fromkeys((5, 6, 8), _shape(8, 0, 8, 0)),
    7: _shape(4, 0, 5, 0),
    11: _shape(4, 0, 8, 0),
    **dict.fromkeys((12, 17), _shape(4, 0, 5, 2)),
    **dict.fromkeys((15, 16), _shape(9, 6, 8, 0)),
    **dict.fromkeys((20, 21), _shape(5, 2, 5, 2)),
    22: _shape(10, 0, 10, 0),
    23: _shape(13, 10, 5, 2, even=True),
    24: _shape(6, 0, 6, 3, even=True),
    43: _shape(7, 0, 10, 0),  # and `identification_size`
}

SHAPES: tuple[Shape | None, ...] = tuple(_KNOWN.get(function) for function in range(256))
"""By function; None for one whose lengths nobody knows."""

SEARCHED = frozenset(range(1, 127)) - _KNOWN.keys() | {DIAGNOSTICS, ENCAPSULATED}
"""Functions of makers' own, and those that may be longer than their shape says: the checksum tells where they end."""


def identification_size(data: bytes, at: int) -> int:
    """The length of an answer with a device's identification, as far as `data` tells: at least so much.

    Layout: unit 2B 0E code conformity more next count, then count times id length text, then the checksum.
    """
    end = at + 8
    if len(data) < end:
        return 10
    for _ in range(data[at + 7]):
        if len(data) < end + 2 or end - at > LONGEST:
            return end + 4 - at
        end += 2 + data[end + 1]
    return end + 2 - at


def lengths(data: bytes, at: int) -> tuple[int, int]:
    """Of a request and of an answer that begin there, as far as `data` tells, or at least so much; 0: it is none.

    Four bytes of it must be there, and its function known.
    """
    function = data[at + 1]
    if function & FAILED:
        return 0, EXCEPTION_LENGTH
    request, place, answer, answer_place, counts_registers = SHAPES[function]  # type: ignore[misc]
    if place and at + place < len(data):
        request += data[at + place]
    if answer_place:
        count = data[at + answer_place]
        answer = 0 if not count or (counts_registers and count & 1) else answer + count
    elif function == ENCAPSULATED:
        answer = identification_size(data, at) if data[at + 2] == IDENTIFICATION else 0
    return request, answer


# Checksums of any piece of a stream, in constant time

_STEP = [crc16_arc(bytes([byte])) for byte in range(256)]
_STEP_LOW = bytes(state & 0xFF for state in _STEP)
_STEP_HIGH = bytes(state >> 8 for state in _STEP)


class Sums:
    """The checksum's register before each byte of a stream that was begun with 0, and behind the last one."""

    def __init__(self) -> None:
        # Two bytes for each place, not an int: for 64 KiB of noise that is 128 KiB instead of 2 MB.
        self.low = bytearray(1)
        self.high = bytearray(1)

    def feed(self, data: bytes) -> None:
        low, high = self.low[-1], self.high[-1]
        lows, highs = bytearray(), bytearray()
        add_low, add_high, step_low, step_high = lows.append, highs.append, _STEP_LOW, _STEP_HIGH
        for byte in data:
            step = low ^ byte
            low = high ^ step_low[step]
            high = step_high[step]
            add_low(low)
            add_high(high)
        self.low += lows
        self.high += highs

    def forget(self, count: int) -> None:
        del self.low[:count]
        del self.high[:count]

    def is_whole(self, at: int, size: int) -> bool:
        """Whether these bytes are a frame: begun with FFFF, they end in their own checksum."""
        by_low, by_high, by_low_high, by_high_high = aged(size)
        low, high, end = self.low[at], self.high[at], at + size
        return (
            by_low[low] ^ by_high[high] == self.low[end]
            and by_low_high[low] ^ by_high_high[high] == self.high[end]
        )


def _aged_bits() -> Iterator[list[int]]:
    """What becomes of each bit of the register under 0, 1, 2 … zeros."""
    bits = [1 << bit for bit in range(16)]
    while True:
        yield bits
        bits = [state >> 8 ^ _STEP[state & 0xFF] for state in bits]


_AGED_BITS = list(islice(_aged_bits(), LONGEST_CLAIMED + 1))


@cache
def aged(length: int) -> tuple[bytes, bytes, bytes, bytes]:
    """What stands in the register so many bytes after a frame's begin, when those bytes are a whole frame.

    The checksum is linear: its begin (FFFF) and what the stream before had left age as if under zeros, and all
    that the frame adds cancels out. Layout: the low byte as told by the low and by the high byte before (exclusive or
    of both), and the high byte likewise.
    """
    bits = _AGED_BITS[length]
    by_low, by_high = _spanned(bits[:8]), _spanned(bits[8:])
    begun = by_low[0xFF] ^ by_high[0xFF]
    by_low = [each ^ begun for each in by_low]
    return (
        bytes(each & 0xFF for each in by_low),
        bytes(each & 0xFF for each in by_high),
        bytes(each >> 8 for each in by_low),
        bytes(each >> 8 for each in by_high),
    )


def _spanned(bits: list[int]) -> list[int]:
    table = [0]
    for bit in bits:
        table += [bit ^ each for each in table]
    return table
