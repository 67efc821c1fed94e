"""A weather board that prints a JSON object a second, as an ESP32 with a BME280 would."""

import math
import random
from collections.abc import Iterator

import orjson

BOOT = (
    b"\x00\xf8\x00ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
)

FAN_ON_S = 20
"""Of each minute."""


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one telegram for each second, the same for the same seed; the first one carries boot noise."""
    chance = random.Random(seed)  # noqa: S311 - a simulated day, not a secret
    second = 0
    yield BOOT + _telegram(second, chance)
    while True:
        second += 1
        yield _telegram(second, chance)


def _telegram(second: int, chance: random.Random) -> bytes:
    fan_on = second % 60 < FAN_ON_S
    day = math.sin(second / 86_400 * math.tau)
    return (
        orjson.dumps(
            {
                "temperature": round(18 + 6 * day + chance.gauss(0, 0.05), 2),
                "humidity": round(55 - 15 * day + chance.gauss(0, 0.2), 1),
                "pressure": round(1013 + 4 * math.sin(second / 20_000) + chance.gauss(0, 0.03), 2),
                "fan": {
                    "on": fan_on,
                    "rpm": chance.randrange(1180, 1220) if fan_on else 0,
                },
            }
        )
        + b"\r\n"
    )
