"""An SPS30 in a workshop: sawing every now and then."""

import math
import random
from collections.abc import Iterator
from struct import pack

from drivers.sps30.codec import MEASURED, START
from drivers.sps30.shdlc import FLAG, Request, answer, parse_request

NOT_ALLOWED, UNKNOWN_COMMAND = 0x43, 0x02

FLOATS = 0x03


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Its answers to one question for a measurement after the other, in floats, endless."""
    for values in _measurements(seed):
        yield answer(0, MEASURED, 0, pack(">10f", *values))


def _measurements(seed: int) -> Iterator[list[float]]:
    chance = random.Random(seed)  # noqa: S311 - simulated dust, not a secret
    count = 0
    while True:
        sawing = max(0.0, math.sin(count / 60)) ** 4
        pm1 = 4 + 30 * sawing + chance.gauss(0, 0.1)
        size = 0.55 + 0.3 * sawing
        mass = [pm1 * share for share in (1, 1.2, 1.3, 1.35)]
        yield [*mass, *(pm1 * share for share in (5.9, 6.8, 7, 7.05, 7.1)), size]
        count += 1


class Sensor:
    """Knows whether it measures, and in which format; remembers the cleaning interval."""

    def __init__(self, seed: int) -> None:
        self._measurements = _measurements(seed)
        self._heard = b""
        self._format = 0  # 0 while it does not measure
        self.cleaning_s = 604_800

    def answer(self, heard: bytes) -> bytes:
        *pieces, self._heard = (self._heard + heard).split(FLAG)
        said = b""
        for between in pieces:
            if between and isinstance(asked := parse_request(between), Request):
                said += self._reply(asked)
        return said

    def _reply(self, asked: Request) -> bytes:
        state, data = 0, b""
        match asked.command, asked.data:
            case command, _ if command == (START if self._format else MEASURED):
                state = NOT_ALLOWED
            case 0x00, data_format:
                self._format = data_format[1]
            case 0x01, _:
                self._format = 0
            case 0x03, _:
                data = self._measured()
            case 0x80, b"\x00":
                data = self.cleaning_s.to_bytes(4, "big")
            case 0x80, interval:
                self.cleaning_s = int.from_bytes(interval[1:], "big")
            case 0xD0, b"\x03":
                data = b"5D2B0A4E7F1C3A96\x00"
            case 0xD1, _:
                data = bytes([2, 2, 0, 7, 0, 2, 0])
            case _:
                state = UNKNOWN_COMMAND
        return answer(asked.address, asked.command, state, data)

    def _measured(self) -> bytes:
        values = next(self._measurements)
        if self._format == FLOATS:
            return pack(">10f", *values)
        *others, size = values
        return pack(">10H", *map(round, others), round(size * 1000))
