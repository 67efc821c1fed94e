from decimal import Decimal
from itertools import islice
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.series import MOST, BadSeries, length, stretches, values
from gateway.model import Value


def written(text: str) -> list[Value | None]:
    return [*values(stretches(text))]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("20", [20]),
        ("-1.5", [-1.5]),
        ("80 x 3", [80, 80, 80]),
        ("80x3", [80, 80, 80]),
        ("20 + 1 x 3", [20, 21, 22]),
        ("20+1x3", [20, 21, 22]),
        ("20 - 0.5 x 3", [20.0, 19.5, 19.0]),
        ("-1 - 1 x 2", [-1, -2]),
        ("0.1 + 0.1 x 3", [0.1, 0.2, 0.3]),
        ("20 + 0 x 2", [20, 20]),
        ("_ x 2", [None, None]),
        ("_", [None]),
        ("true, false x 2", [True, False, False]),
        ("'on' x 2, 'a, b'", ["on", "on", "a, b"]),
        ("''", [""]),
        ("1e3 + 1e3 x 2", [1000.0, 2000.0]),
        (" 1 , 2 x 2 ,_", [1, 2, 2, None]),
    ],
)
def test_series_means_what_it_says(text: str, meant: list[Value | None]) -> None:
    found = written(text)
    assert found == meant
    assert [type(each) for each in found] == [type(each) for each in meant]
    assert length(stretches(text)) == len(meant)


@pytest.mark.parametrize(
    ("text", "column", "complaint"),
    [
        ("", 0, "a value is missing here"),
        ("1,,2", 2, "a value is missing here"),
        ("1,", 1, "a value is missing here"),
        ("on x 3", 0, "a text stands in quotes of its own: 'on'"),
        ("1, off", 3, "a text stands in quotes of its own: 'off'"),
        ("on x3", 0, "a text stands in quotes of its own: 'on'"),
        pytest.param(
            "x" * 1_000_000 + " y z", 0, "must be values with commas", id="many x that count nothing"
        ),
        ("20 + 1", 0, "how many there are is missing: 20 + 1 x 30"),
        ("1 2", 0, "must be values with commas"),
        ("20 x", 0, "must be values with commas"),
        ("'on", 0, "must be values with commas"),
        ("1 x 0", 4, "must be a whole number between 1 and 10000000"),
        ("5, 1 x 1e12", 7, "must be a whole number between 1 and 10000000"),
        ("1 x -3", 4, "must be a whole number between 1 and 10000000"),
        ("1 + 2 x 99999999999999999999", 8, "must be a whole number between 1 and 10000000"),
        ("1 x ²", 4, "must be a whole number between 1 and 10000000"),
        ("1e999", 0, "this number is too large"),
        ("1 + 1e308 x 10000000", 0, "this number is too large"),
        ("9" * 5000, 0, "must be values with commas"),
        ("nan", 0, "a text stands in quotes"),
    ],
)
def test_what_is_no_series_is_refused_at_its_character(text: str, column: int, complaint: str) -> None:
    with pytest.raises(BadSeries) as caught:
        written(text)
    assert caught.value.column == column
    assert complaint in caught.value.text


def test_ten_million_values_are_made_one_by_one() -> None:
    [endless] = stretches(f"0.5 + 0.1 x {MOST}")
    assert [*islice(values([endless]), 3)] == [0.5, 0.6, 0.7]


@given(first=st.integers(-1000, 1000), step=st.decimals(-100, 100, places=3), count=st.integers(1, 50))
def test_each_value_is_that_much_more_than_the_one_before(first: int, step: Decimal, count: int) -> None:
    sign = "-" if step < 0 else "+"
    found = written(f"{first} {sign} {abs(step):f} x {count}")
    assert found == [float(first + index * step) for index in range(count)]


@given(st.text(alphabet="0123456789+-x_, .'etrufalson", max_size=30))
def test_any_soup_is_a_series_or_refused(text: str) -> None:
    column, found = None, []
    try:
        found = [*islice(values(stretches(text)), 1000)]
    except BadSeries as error:
        column = error.column
    assert bool(found) is (column is None)
    assert column is None or 0 <= column <= max(len(text) - 1, 0)
    assert all(not isinstance(each, float) or isfinite(each) for each in found)
