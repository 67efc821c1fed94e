"""Checksums by their published names; each test holds the published check value.

The names and check values of the CRCs are those of the catalogue of parametrised CRC algorithms (reveng).
"""

import binascii
from collections.abc import Callable, Mapping
from functools import partial
from itertools import accumulate


def xor8(data: bytes) -> int:
    """Exclusive or of all bytes: NMEA 0183 (IEC 61162-1, section 7.2.3), IEC 62056-21's BCC."""
    # Half is folded onto half until one byte is left: half the time of going byte by byte.
    folded = int.from_bytes(data, "big")
    shift = 4 << len(data).bit_length()
    while shift >= 8:  # noqa: PLR2004 - bits in a byte
        folded ^= folded >> shift
        shift >>= 1
    return folded & 0xFF


def sum8(data: bytes) -> int:
    """Sum modulo 256: M-Bus (EN 13757-2), SDS011."""
    return sum(data) & 0xFF


def sum8_inverted(data: bytes) -> int:
    """One's complement of the sum: SHDLC."""
    return ~sum(data) & 0xFF


def sum8_negated(data: bytes) -> int:
    """What makes the sum zero (two's complement): MH-Z19, VE.Direct text, Intel HEX."""
    return -sum(data) & 0xFF


def sum16(data: bytes) -> int:
    """Sum modulo 65,536: Plantower PMS."""
    return sum(data) & 0xFFFF


def fletcher8(data: bytes) -> int:
    """RFC 1145 with bytes, first sum in the high byte: u-blox UBX."""
    return (sum(data) & 0xFF) << 8 | sum(accumulate(data)) & 0xFF


def _reflected_table(polynomial: int) -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


def _table(polynomial: int) -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc << 1 ^ (polynomial if crc & 0x80 else 0)) & 0xFF
        table.append(crc)
    return tuple(table)


def _crc_reflected(table: tuple[int, ...], first: int, last: int, data: bytes) -> int:
    crc = first
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ last


def _crc8(table: tuple[int, ...], first: int, data: bytes) -> int:
    crc = first
    for byte in data:
        crc = table[crc ^ byte]
    return crc


def _crc16_ccitt_reflected(first: int, last: int, data: bytes) -> int:
    # binascii has this polynomial the other way round: with all bits mirrored it is the same, forty times as fast.
    crc = binascii.crc_hqx(data.translate(_MIRRORED), first)
    return (_MIRRORED[crc & 0xFF] << 8 | _MIRRORED[crc >> 8]) ^ last


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_8005_REFLECTED = _reflected_table(0xA001)

crc16_arc = partial(_crc_reflected, _8005_REFLECTED, 0x0000, 0x0000)
"""CRC-16/ARC: DSMR P1."""
crc16_modbus = partial(_crc_reflected, _8005_REFLECTED, 0xFFFF, 0x0000)
"""CRC-16/MODBUS."""
crc16_x25 = partial(_crc16_ccitt_reflected, 0xFFFF, 0xFFFF)
"""CRC-16/IBM-SDLC, better known as X-25: SML, HDLC."""
crc16_kermit = partial(_crc16_ccitt_reflected, 0x0000, 0x0000)
"""CRC-16/KERMIT: SML of some older meters."""
crc8_smbus = partial(_crc8, _table(0x07), 0x00)
"""CRC-8/SMBUS: polynomial 07."""
crc8_nrsc5 = partial(_crc8, _table(0x31), 0xFF)
"""CRC-8/NRSC-5: polynomial 31, begun with FF; Sensirion."""
crc8_maxim = partial(_crc_reflected, _reflected_table(0x8C), 0x00, 0x00)
"""CRC-8/MAXIM-DOW: 1-Wire."""


def crc16_xmodem(data: bytes) -> int:
    """CRC-16/XMODEM: Davis."""
    return binascii.crc_hqx(data, 0x0000)


def crc16_ccitt_false(data: bytes) -> int:
    """CRC-16/IBM-3740, better known as CCITT-FALSE."""
    return binascii.crc_hqx(data, 0xFFFF)


CHECKSUMS: Mapping[str, tuple[int, Callable[[bytes], int]]] = {
    "xor8": (1, xor8),
    "sum8": (1, sum8),
    "sum8-inverted": (1, sum8_inverted),
    "sum8-negated": (1, sum8_negated),
    "sum16": (2, sum16),
    "fletcher8": (2, fletcher8),
    "crc8-smbus": (1, crc8_smbus),
    "crc8-nrsc5": (1, crc8_nrsc5),
    "crc8-maxim": (1, crc8_maxim),
    "crc16-arc": (2, crc16_arc),
    "crc16-modbus": (2, crc16_modbus),
    "crc16-x25": (2, crc16_x25),
    "crc16-kermit": (2, crc16_kermit),
    "crc16-xmodem": (2, crc16_xmodem),
    "crc16-ccitt-false": (2, crc16_ccitt_false),
}
"""By the name that a configuration uses: its width in bytes, and the function."""
