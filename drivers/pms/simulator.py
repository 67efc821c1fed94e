"""A PMS5003 on a balcony by a street: quiet at night, two rush hours a day."""

import math
import random
from collections.abc import Iterator
from struct import pack

_VERSION = 0x9700


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one each second, a minute of the day in each."""
    chance = random.Random(seed)  # noqa: S311 - simulated dust, not a secret
    minute = 0
    while True:
        rush = 1 - math.cos(minute / 720 * math.tau)
        pm2_5 = 4 + 9 * rush + chance.gauss(0, 0.4)
        mass = [max(0, round(pm2_5 * share)) for share in (0.7, 1, 1.25)]
        counts = [max(0, round(pm2_5 * share)) for share in (150, 42, 9, 1.5, 0.4, 0.1)]
        body = pack(">2s14H", b"BM", 28, *mass, *mass, *counts, _VERSION)
        yield body + sum(body).to_bytes(2, "big")
        minute += 1
