"""Telegrams damaged at random, through a decoder: it must neither raise, nor grow, nor stall.

`scripts/fuzz` runs it at length; the suite runs a little of it for each driver.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from drivers.driver import Decoder

PIECE = 64 * 1024
"""What a port hands over at most, and so what may be decoded in one turn of the loop."""

CUT_EVERY = 16 * 1024
"""Bytes after which the stream is cut into pieces of another size."""


@dataclass
class Outcome:
    """What became of a damaged stream."""

    fed: int = 0
    frames: int = 0
    rejected: int = 0
    worst_s: float = 0.0
    """CPU time that 64 KiB took, at worst; in pieces of any size."""


def fuzz(decoder: Decoder, telegrams: Sequence[bytes], *, size: int, seed: int) -> Outcome:
    """So many bytes. Whatever the decoder raises passes through.

    Args:
        decoder: fresh.
        telegrams: good ones, to be damaged; the more kinds, the better.
        size: bytes in all.
        seed: of the chance; the same damage for the same seed.
    """
    chance = random.Random(seed)
    outcome = Outcome()
    stream = damaged(telegrams, chance)
    rest = b""
    while outcome.fed < size:
        while len(rest) < PIECE:
            rest += b"".join(next(stream) for _ in range(64))
        block, rest = rest[:PIECE], rest[PIECE:]
        longest = chance.choice((1 << 4, 1 << 8, 1 << 12, PIECE))
        began = time.thread_time()
        for start in range(0, len(block), longest):
            for _ in decoder.feed(block[start : start + longest]):
                outcome.frames += 1
        outcome.worst_s = max(outcome.worst_s, time.thread_time() - began)
        outcome.fed += len(block)
    for _ in decoder.finish():
        outcome.frames += 1
    outcome.rejected = decoder.rejected.total()
    return outcome


def damaged(telegrams: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """Endless: telegrams, most of them damaged, and what looks like a part of one."""
    kinds: tuple[Callable[[bytes], bytes], ...] = (
        lambda good: good,
        lambda good: _changed(good, chance),
        lambda good: _changed(_changed(good, chance), chance),
        lambda good: good[: chance.randrange(len(good) + 1)],
        lambda good: good[chance.randrange(len(good)) :],
        lambda good: _spliced(good, chance.choice(telegrams), chance),
        lambda good: _repeated(good, chance),
        lambda good: chance.randbytes(chance.randrange(2 * len(good) + 1)),
        lambda good: bytes([chance.choice(good)]) * chance.randrange(300),
    )
    while True:
        yield chance.choice(kinds)(chance.choice(telegrams))


def _changed(good: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(good))
    edge = chance.choice(
        (0x00, 0x01, 0x7F, 0x80, 0xFF, good[place] ^ 1 << chance.randrange(8), chance.randrange(256))
    )
    return good[:place] + bytes([edge]) + good[place + chance.randrange(3) :]


def _spliced(good: bytes, other: bytes, chance: random.Random) -> bytes:
    return good[: chance.randrange(len(good))] + other[chance.randrange(len(other)) :]


def _repeated(good: bytes, chance: random.Random) -> bytes:
    first = chance.randrange(len(good))
    part = good[first : first + chance.randrange(1, 9)]
    return good[:first] + part * chance.randrange(1, 40) + good[first:]
