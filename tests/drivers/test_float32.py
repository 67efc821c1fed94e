"""32-bit numbers without the digits that they do not have."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.float32 import shortest


def single(value: float) -> float:
    (found,) = struct.unpack(">f", struct.pack(">f", value))
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize("written", [230.2, 0.1, -40.0, 800.7843, 1e-7, 16777216.0, 0.0, -1.5e30])
def test_decimal_that_was_meant_comes_back(written: float) -> None:
    assert shortest(single(written)) == written


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_it_is_the_same_number(value: float) -> None:
    brief = shortest(value)
    if abs(brief) <= 3.4028234e38:
        assert struct.pack(">f", brief) == struct.pack(">f", value)
    assert brief == pytest.approx(value, rel=1e-7)


def test_what_is_no_number_stays_so() -> None:
    assert math.isnan(shortest(math.nan))
    assert shortest(math.inf) == math.inf
