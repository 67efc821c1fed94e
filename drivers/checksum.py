"""Checksums by their published names; each test holds the published check value."""

from functools import reduce
from operator import xor


def xor8(data: bytes) -> int:
    """Exclusive or of all bytes: NMEA 0183 (IEC 61162-1, section 7.2.3), IEC 62056-21's BCC."""
    return reduce(xor, data, 0)
