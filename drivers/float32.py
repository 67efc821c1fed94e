"""Numbers of 32 bits, IEEE 754 binary32, as decimals that do not claim more digits than they have."""

from math import isfinite
from struct import Struct

_pack = Struct(">f").pack


def shortest(value: float) -> float:
    """The decimal with the fewest digits that is the same 32-bit number: 230.2 for 230.1999969482422."""
    if not isfinite(value):
        return value
    bits = _pack(value)
    for digits in (7, 8):
        brief = float(f"{value:.{digits}g}")
        # Rounding the largest ones may leave their range.
        if abs(brief) <= 3.4028234e38 and _pack(brief) == bits:  # noqa: PLR2004 - the greatest, rounded down
            return brief
    return float(f"{value:.9g}")
