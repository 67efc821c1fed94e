"""Each checksum against its published check value."""

from functools import reduce
from operator import xor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.checksum import xor8


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


@settings(deadline=None)
@given(st.binary(), st.binary())
def test_xor8_of_a_whole_is_that_of_its_parts(left: bytes, right: bytes) -> None:
    assert xor8(left + right) == xor8(left) ^ xor8(right)
    assert xor8(left) == reduce(xor, left, 0)


@settings(deadline=None)
@given(st.binary(min_size=1), st.data())
def test_xor8_notices_any_single_damaged_byte(data: bytes, choice: st.DataObject) -> None:
    place = choice.draw(st.integers(0, len(data) - 1))
    damage = choice.draw(st.integers(1, 255))
    damaged = data[:place] + bytes([data[place] ^ damage]) + data[place + 1 :]
    assert xor8(damaged) != xor8(data)
