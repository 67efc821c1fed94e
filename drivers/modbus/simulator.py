"""A house behind an Eastron SDM120: what its energy meter answers, and what a master hears of it."""

import math
import random
import struct
from collections.abc import Iterator

from drivers.modbus import frames
from drivers.modbus.frames import framed, read_request

UNIT = 1

_STEP_S = 10
"""How much later each answer about the input registers is."""

_RELAY_PULSE = 0x000C
_PULSE_WIDTHS = (60.0, 100.0, 200.0)
_SETTINGS = {_RELAY_PULSE: 100.0, 0x0012: 0.0, 0x0014: float(UNIT), 0x001C: 2.0}
"""Holding registers: relay pulse in ms, parity, address, speed."""

_MOST_REGISTERS = 80

_POLLED = ((0x0000, 2), (0x0006, 2), (0x000C, 2), (0x0012, 2), (0x0018, 2), (0x001E, 2), (0x0046, 6))
"""Input registers: address and count, as the master of sample.toml asks."""


class EnergyMeter:
    """Functions 3, 4 and 16, as the real one has them: 32-bit numbers, high word first."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a simulated house, not a secret
        self._seconds = self._chance.randrange(86_400)
        self._imported = 1000 * self._chance.random()
        self._settings = dict(_SETTINGS)
        self._heard = b""

    def answer(self, heard: bytes) -> bytes:
        if len(heard) >= frames.SHORTEST and frames.is_whole(heard):
            self._heard = b""  # a silence was before it, which makes an end of what was not whole
        self._heard += heard
        said = b""
        while len(self._heard) >= frames.SHORTEST:
            shape = frames.SHAPES[self._heard[1]]
            size = shape.request if shape is not None else 1
            if shape is not None and shape.request_place and len(self._heard) > shape.request_place:
                size += self._heard[shape.request_place]
            if len(self._heard) < size:
                break
            if size < frames.SHORTEST or not frames.is_whole(self._heard[:size]):
                self._heard = self._heard[1:]
                continue
            request, self._heard = self._heard[:size], self._heard[size:]
            said += self._answer(request)
        return said

    def _answer(self, request: bytes) -> bytes:
        unit, function = request[:2]
        if unit not in (UNIT, frames.BROADCAST):
            return b""
        address, count = struct.unpack_from(">HH", request, 2)
        content: bytes | int = frames.ILLEGAL_FUNCTION
        if function == frames.READ_INPUT_REGISTERS:
            content = _read(self._measured(), address, count)
        elif function == frames.READ_HOLDING_REGISTERS:
            content = _read(self._settings, address, count)
        elif function == frames.WRITE_REGISTERS:
            content = self._write(address, count, request[7:-2]) or request[2:6]
        if unit == frames.BROADCAST:
            return b""
        if isinstance(content, int):
            return framed(unit, bytes([function | frames.FAILED, content]))
        return framed(unit, bytes([function]) + content)

    def _write(self, address: int, count: int, data: bytes) -> int:
        """An exception's code, 0 for none."""
        if address != _RELAY_PULSE or count != 2:  # noqa: PLR2004 - registers of a number
            return frames.ILLEGAL_ADDRESS
        (value,) = struct.unpack(">f", data)
        if value not in _PULSE_WIDTHS:
            return frames.ILLEGAL_VALUE
        self._settings[address] = value
        return 0

    def _measured(self) -> dict[int, float]:
        self._seconds += _STEP_S
        day = math.tau * self._seconds / 86_400
        voltage = 230 + 3 * math.sin(5 * day) + self._chance.gauss(0, 0.2)
        current = 2.5 - 1.5 * math.cos(day) + abs(self._chance.gauss(0, 0.1))
        factor = 0.95 + 0.03 * math.sin(3 * day)
        apparent = voltage * current
        active = apparent * factor
        self._imported += active * _STEP_S / 3_600_000
        return {
            0x0000: voltage,
            0x0006: current,
            0x000C: active,
            0x0012: apparent,
            0x0018: math.sqrt(apparent**2 - active**2),
            0x001E: factor,
            0x0046: 50 + self._chance.gauss(0, 0.01),
            0x0048: self._imported,
            0x004A: 0.0,
        }


def _read(numbers: dict[int, float], address: int, count: int) -> bytes | int:
    """An answer's content, or an exception's code. Between its numbers the real one has zeros."""
    if not 1 <= count <= _MOST_REGISTERS:
        return frames.ILLEGAL_VALUE
    if address + count > max(numbers) + 2:
        return frames.ILLEGAL_ADDRESS
    words = {}
    for first, number in numbers.items():
        words[first], words[first + 1] = struct.unpack(">HH", struct.pack(">f", number))
    data = struct.pack(f">{count}H", *(words.get(address + at, 0) for at in range(count)))
    return bytes([len(data)]) + data


def telegrams(seed: int) -> Iterator[bytes]:
    """Endless: a request and its answer at a time, as they follow each other on the line."""
    meter = EnergyMeter(seed)
    while True:
        for address, count in _POLLED:
            request = read_request(UNIT, frames.READ_INPUT_REGISTERS, address, count)
            yield request + meter.answer(request)
