"""The SDS011 that sample.toml describes, by a road."""

import math
import random
from collections.abc import Iterator
from struct import pack


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one each second, a minute of the day in each."""
    chance = random.Random(seed)  # noqa: S311 - simulated dust, not a secret
    minute = 0
    while True:
        rush = 1 - math.cos(minute / 720 * math.tau)
        pm2_5 = max(0, round(40 + 90 * rush + chance.gauss(0, 4)))
        body = pack("<HHH", pm2_5, round(pm2_5 * 1.6), 0xD958)
        yield b"\xaa\xc0" + body + bytes([sum(body) & 0xFF, 0xAB])
        minute += 1
