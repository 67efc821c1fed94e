"""An MH-Z19B in a room where people come and go."""

import math
import random
from collections.abc import Iterator

from drivers.checksum import sum8_negated
from drivers.mhz19.codec import HEADER, LENGTH


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Its answers to one measurement after the other, ten seconds apart, endless."""
    chance = random.Random(seed)  # noqa: S311 - simulated air, not a secret
    for count in range(10**9):
        hours = count / 360
        co2 = round(700 - 250 * math.cos(hours * math.tau / 8) + chance.gauss(0, 3))
        temperature = round(21 - math.cos(hours * math.tau / 24))
        body = bytes([HEADER[1]]) + co2.to_bytes(2, "big") + bytes([temperature + 40, 0, 0, 0])
        yield HEADER[:1] + body + bytes([sum8_negated(body)])


class Sensor:
    """Answers each question for a measurement; other commands it obeys in silence, as the real one does."""

    def __init__(self, seed: int) -> None:
        self._answers = telegrams(seed)
        self._heard = b""

    def answer(self, heard: bytes) -> bytes:
        self._heard += heard
        said = b""
        while (start := self._heard.find(b"\xff\x01")) >= 0 and len(self._heard) >= start + LENGTH:
            request = self._heard[start : start + LENGTH]
            if request[-1] != sum8_negated(request[1:-1]):
                self._heard = self._heard[start + 1 :]
                continue
            self._heard = self._heard[start + LENGTH :]
            if request[2] == HEADER[1]:
                said += next(self._answers)
        self._heard = self._heard[-LENGTH:]
        return said
