"""What holds for all values and moments."""

from collections import deque
from itertools import pairwise
from statistics import fmean, linear_regression, median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters.pace import Grid
from tests.gateway.filters.running import Moments, chain, outcome, through

NUMBERS = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6))
GAPS = st.lists(st.tuples(st.integers(0, 160).map(lambda eighths: eighths / 8), NUMBERS), max_size=40)
"""Seconds that a float can tell exactly: at a window's edge a rounding would be the test's own."""


def moments(gaps: list[tuple[float, Any]]) -> Moments:
    now, said = 0.0, []
    for gap, value in gaps:
        now += gap
        said.append((now, value))
    return said


AT_ONCE: list[dict[str, Any]] = [
    {"scale": 2}, {"offset": 1}, {"calibrate": [[0, 1], [1, 3]]}, {"round": 2}, {"clamp": {"min": -5, "max": 5}},
    {"valid_range": {"min": 0}}, {"delta": 3}, {"delta": "5%"}, {"throttle": "7s"}, {"median": 4}, {"mean": 3},
    {"max": "15s", "send_every": 2}, {"moving_average": 5}, {"exponential_average": "9s"},
]  # fmt: skip
LATER: list[dict[str, Any]] = [
    {"heartbeat": "7s"}, {"heartbeat": "7s", "optimistic": True}, {"debounce": "7s"}, {"median": "15s"},
    {"mean": "15s"}, {"moving_average": "15s", "send_every": "4s"},
]  # fmt: skip


@given(gaps=GAPS, written=st.lists(st.sampled_from(AT_ONCE), min_size=1, max_size=4))
def test_each_value_comes_out_at_its_moment_or_is_counted(
    gaps: list[tuple[float, float]], written: list[dict[str, Any]]
) -> None:
    said = moments(gaps)
    filters = chain(*written)
    out = outcome(filters, [(now, {"x": value}) for now, value in said])
    assert len(out) + filters.withheld.total() == len(said)
    assert {now for now, _ in out} <= {now for now, _ in said}


@given(gaps=GAPS, written=st.lists(st.sampled_from(AT_ONCE + LATER), min_size=1, max_size=4))
def test_moments_of_what_comes_out_only_grow(
    gaps: list[tuple[float, float]], written: list[dict[str, Any]]
) -> None:
    out = through(moments(gaps), *written, until=300)
    assert all(earlier <= later for (earlier, _), (later, _) in pairwise(out))


@given(GAPS)
def test_nothing_is_outside_the_clamp(gaps: list[tuple[float, float]]) -> None:
    out = through(moments(gaps), {"clamp": {"min": -5, "max": 5.5}})
    assert len(out) == len(gaps)
    assert all(-5 <= value <= 5.5 for _, value in out if isinstance(value, float | int))


@given(GAPS, st.floats(0, 1e5))
def test_no_smaller_change_passes_a_delta(gaps: list[tuple[float, float]], delta: float) -> None:
    out = [value for _, value in through(moments(gaps), {"delta": delta})]
    assert all(abs(later - earlier) > delta for earlier, later in pairwise(out))  # type: ignore[operator]  # numbers
    assert out[:1] == [value for _, value in gaps][:1]


@given(GAPS)
def test_nothing_comes_closer_than_a_throttle_allows(gaps: list[tuple[float, float]]) -> None:
    out = through(moments(gaps), {"throttle": "7s"})
    assert all(later - earlier >= 7 - 1e-6 for (earlier, _), (later, _) in pairwise(out))


@given(st.lists(NUMBERS, max_size=60), st.integers(1, 12))
def test_sliding_windows_are_what_a_naive_one_is(values: list[float], size: int) -> None:
    windows: list[list[float]] = []
    window: deque[float] = deque(maxlen=size)
    for value in values:
        window.append(value)
        windows.append(list(window))
    said: Moments = list(enumerate(values))
    for name, naive in (("median", median), ("mean", fmean), ("min", min), ("max", max)):
        out = [value for _, value in through(said, {name: size, "send_every": 1})]
        assert out == pytest.approx([naive(each) for each in windows])


@given(st.lists(NUMBERS, max_size=60), st.integers(1, 12), st.data())
def test_windows_one_behind_the_other_miss_no_value(
    values: list[float], size: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, size))
    said: Moments = list(enumerate(values))
    ends = range(first, len(values) + 1, size)
    for name, naive in (("median", median), ("mean", fmean), ("min", min), ("max", max)):
        out = [value for _, value in through(said, {name: size, "send_first_at": first})]
        assert out == pytest.approx([naive(values[max(0, end - size) : end]) for end in ends])


@given(GAPS)
def test_windows_of_time_hold_each_value_once(gaps: list[tuple[float, float]]) -> None:
    said = moments(gaps)
    filters = chain({"mean": "10s"})
    out = outcome(filters, [(now, {"x": value}) for now, value in said], 2000.0)
    start = said[0][0] if said else 0.0
    by_window: dict[int, list[float]] = {}
    for now, value in said:
        by_window.setdefault(int((now - start) // 10), []).append(value)  # type: ignore[arg-type]
    assert [values["x"] for _, values in out] == pytest.approx([fmean(each) for each in by_window.values()])


@given(gaps=st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=40))
@pytest.mark.parametrize("written", [{"settle": "1s"}, {"delayed_on": "1s"}, {"delayed_off": "1s"}], ids=str)
def test_booleans_alternate_and_end_as_they_were_said(
    gaps: list[tuple[float, bool]], written: dict[str, Any]
) -> None:
    said = moments(gaps)
    out = through(said, written, until=1000)
    assert all(earlier is not later for (_, earlier), (_, later) in pairwise(out))
    if out:
        assert out[-1][1] is said[-1][1]


@given(
    st.lists(
        st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
        min_size=2,
        max_size=8,
        unique_by=lambda p: round(p[0], 1),
    )
)
def test_exact_calibration_meets_each_of_its_points(points: list[tuple[float, float]]) -> None:
    written = {"calibrate": [list(each) for each in points], "method": "exact"}
    out = through([(now, measured) for now, (measured, _) in enumerate(points)], written)
    assert [value for _, value in out] == pytest.approx([true for _, true in points], abs=1e-6)


POINTS = st.lists(
    st.tuples(st.integers(-100, 100), st.floats(-100, 100)),
    min_size=2,
    max_size=20,
    unique_by=lambda point: point[0],
)


@given(points=POINTS, value=st.floats(-200, 200))
def test_calibration_by_a_line_is_the_linear_regression(
    points: list[tuple[int, float]], value: float
) -> None:
    line = linear_regression([x for x, _ in points], [y for _, y in points])
    ((_, result),) = through([(0, value)], {"calibrate": [list(each) for each in points]})
    assert result == pytest.approx(line.slope * value + line.intercept, abs=1e-6)


@given(points=POINTS.filter(lambda points: len(points) <= 9))
def test_polynomial_with_as_many_coefficients_as_points_meets_each(points: list[tuple[int, float]]) -> None:
    written = {"calibrate": [[x / 100, y] for x, y in points], "degree": len(points) - 1}
    out = through([(now, x / 100) for now, (x, _) in enumerate(points)], written)
    assert [value for _, value in out] == pytest.approx([y for _, y in points], abs=1e-3)


@given(start=st.floats(0, 1e7), period_s=st.floats(0.001, 100))
def test_moments_of_a_grid_are_one_behind_the_other_at_its_distance(start: float, period_s: float) -> None:
    grid = Grid(period_s)
    moment = start
    for _ in range(20):
        later = grid.after(moment)
        assert later - moment == pytest.approx(period_s, abs=1e-6)
        moment = later
