"""A MySensors gateway with three nodes: climate on a battery, a plug with a meter, a door."""

import math
import random
from collections.abc import Iterator

BOOT = (
    b"\x00\xff0;255;3;0;9;0 MCO:BGN:INIT GW,CP=RNNGA---,VER=2.3.2\n"
    b"0;255;3;0;9;28 TSM:READY:ID=0,PAR=0,DIS=0\n"
    b"0;255;3;0;14;Gateway startup complete.\n"
    b"0;255;0;0;18;2.3.2\n"
    b"1;255;0;0;17;2.3.2\n"
    b"1;255;3;0;11;Greenhouse climate\n"
    b"1;255;3;0;12;1.4\n"
    b"1;0;0;0;6;Temperature\n"
    b"1;1;0;0;7;Humidity\n"
    b"2;0;0;0;13;Pump\n"
    b"3;0;0;0;0;Door\n"
)
_MINUTE = 60
_PUMP_ON_S = 20
_DOOR_OPEN_S = 7


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one second of messages at a time, the same for the same seed; the first holds the start."""
    chance = random.Random(seed)  # noqa: S311 - a simulated greenhouse, not a secret
    second, energy = 0, 1200 + seed * 1.0
    yield BOOT + b"".join(_messages(second, energy, chance))
    while True:
        second += 1
        energy += 0.0001 * (second % _MINUTE < _PUMP_ON_S)
        yield b"".join(_messages(second, energy, chance))


def _messages(second: int, energy: float, chance: random.Random) -> Iterator[bytes]:
    warmth = math.sin(second / 3000)
    yield _set(1, 0, 0, f"{21 + 4 * warmth + chance.gauss(0, 0.1):.1f}")
    yield _set(1, 1, 1, f"{60 - 10 * warmth + chance.gauss(0, 0.3):.1f}")
    on = second % _MINUTE < _PUMP_ON_S
    yield _set(2, 0, 2, f"{on:d}")
    yield _set(2, 0, 17, f"{chance.gauss(360, 4) if on else 0:.0f}")
    yield _set(2, 0, 18, f"{energy:.4f}")
    yield _set(3, 0, 16, f"{second % _MINUTE < _DOOR_OPEN_S:d}")
    if second % _MINUTE == 0:
        yield b"1;255;3;0;0;%d\n" % max(87 - second // 36_000, 1)
        yield b"0;255;3;0;9;%d TSF:MSG:READ,1-1-0,s=255,c=3,t=0,pt=1,l=1,sg=0:87\n" % (second * 1000)


def _set(node: int, child: int, kind: int, payload: str) -> bytes:
    return f"{node};{child};1;0;{kind};{payload}\n".encode("ascii")
