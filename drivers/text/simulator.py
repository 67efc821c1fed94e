"""A KERN balance that prints its display twice a second while parts are laid on it and taken off."""

import random
from collections.abc import Iterator

_PART_G = 12.7
_PARTS_AT_MOST = 12
_SETTLES = 3
"""Lines that it takes for the display to stand still."""


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one line of the display at a time, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a simulated balance, not a secret
    parts, shown = 0, 0.0
    while True:
        parts = 0 if parts >= _PARTS_AT_MOST else parts + chance.randint(0, 2)
        wanted = parts * _PART_G + chance.gauss(0, 0.02)
        for step in range(_SETTLES):
            shown += (wanted - shown) * 0.8
            yield _line(shown + chance.gauss(0, 0.3 / (step + 1)), "U")
        shown = wanted
        for _ in range(chance.randint(2, 8)):
            yield _line(shown, "S")


def _line(grams: float, mark: str) -> bytes:
    """Layout: sign, seven digits with the point, a space, the unit, a space, S or U while it moves, CR, LF."""
    return f"{'-' if grams < 0 else '+'}{abs(grams):07.2f} G {mark}\r\n".encode("ascii")
