"""Each checksum against its published check value."""

from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.checksum import CHECKSUMS, xor8

CHECK_VALUES = {  # of b"123456789"
    "xor8": 0x31,
    "sum8": 0xDD,
    "sum8-inverted": 0x22,
    "sum8-negated": 0x23,
    "sum16": 0x01DD,
    "fletcher8": 0xDD15,
    "crc8-smbus": 0xF4,
    "crc8-nrsc5": 0xF7,
    "crc8-maxim": 0xA1,
    "crc16-arc": 0xBB3D,
    "crc16-modbus": 0x4B37,
    "crc16-x25": 0x906E,
    "crc16-kermit": 0x2189,
    "crc16-xmodem": 0x31C3,
    "crc16-ccitt-false": 0x29B1,
}


def test_each_checksum_has_its_published_check_value() -> None:
    assert {name: checksum(b"123456789") for name, (_, checksum) in CHECKSUMS.items()} == CHECK_VALUES


@given(st.binary(max_size=300))
def test_checksum_is_as_wide_as_the_table_says(data: bytes) -> None:
    assert all(0 <= checksum(data) < 256**width for width, checksum in CHECKSUMS.values())


@pytest.mark.parametrize(
    ("data", "check"),
    [
        (b"123456789", 0x31),
        (b"", 0x00),
        (b"\x00", 0x00),
        (b"\xff", 0xFF),
        # NMEA 0183: the sentence that handbooks print, and its *47
        (b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,", 0x47),
        (b"AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0", 0x5C),
        # IEC 62056-21: the password request SOH P0 STX () ETX ` that meters send, from after the SOH
        (b"P0\x02()\x03", 0x60),
    ],
)
def test_xor8_has_its_published_values(data: bytes, check: int) -> None:
    assert xor8(data) == check


@given(st.binary(), st.binary())
def test_xor8_of_a_whole_is_that_of_its_parts(left: bytes, right: bytes) -> None:
    assert xor8(left + right) == xor8(left) ^ xor8(right)
    assert xor8(left) == reduce(xor, left, 0)


@given(st.binary(min_size=1), st.data())
def test_xor8_notices_any_single_damaged_byte(data: bytes, choice: st.DataObject) -> None:
    place = choice.draw(st.integers(0, len(data) - 1))
    damage = choice.draw(st.integers(1, 255))
    damaged = data[:place] + bytes([data[place] ^ damage]) + data[place + 1 :]
    assert xor8(damaged) != xor8(data)
