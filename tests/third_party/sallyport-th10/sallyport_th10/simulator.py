"""A room in which the sun rises and sets."""

import math
import random
import struct
from collections.abc import Iterator

from drivers.checksum import crc8_nrsc5
from sallyport_th10.codec import SYNC


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one frame a second, the same for the same seed."""
    chance = random.Random(seed)
    second = 0
    while True:
        temperature = 20 + 3 * math.sin(second / 600) + chance.gauss(0, 0.1)
        humidity = 50 - 10 * math.sin(second / 600) + chance.gauss(0, 0.3)
        yield frame(temperature, humidity)
        second += 1


def frame(temperature: float, humidity: float) -> bytes:
    """From °C and %RH."""
    content = struct.pack(">BhH", SYNC, round(temperature * 10), round(humidity * 10))
    return content + bytes([crc8_nrsc5(content)])
