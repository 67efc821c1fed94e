from math import inf, nextafter

import pytest

from gateway.model import Value
from gateway.rules.unknown import Unknown
from gateway.rules.windows import GRAINS, WINDOWS, Sliding, Window
from tests.gateway.rules.site import at, bound

Moments = list[tuple[float, Value]]


def fed(function: str, seconds: float, moments: Moments) -> Window:
    window = WINDOWS[function](seconds)
    for moment, value in moments:
        window.take(value, moment)
    return window


STEPS: Moments = [(0.0, 4), (1.0, 2), (2.0, 9), (3.0, 3)]
RESET: Moments = [(0.0, 100), (2.0, 104), (4.0, 3), (8.0, 5)]


@pytest.mark.parametrize(
    ("function", "moments", "now", "expected"),
    [
        ("avg", STEPS, 3.0, 4.5),
        ("avg", STEPS, 11.5, 6),
        ("min_over", STEPS, 3.0, 2),
        ("min_over", STEPS, 11.5, 3),
        ("max_over", STEPS, 3.0, 9),
        ("max_over", STEPS, 12.5, 3),
        ("sum_over", STEPS, 3.0, 18),
        ("sum_over", STEPS, 11.5, 12),
        ("count_over", STEPS, 3.0, 4),
        ("count_over", STEPS, 11.5, 2),
        ("count_over", STEPS, 13.0, 0),
        ("delta", STEPS, 3.0, -1),
        ("delta", STEPS, 11.5, -6),
        ("rate", RESET, 8.0, (4 + 3 + 2) / 8),
        ("rate", RESET, 12.5, 0.5),
        ("rate", RESET, 14.5, Unknown.TOO_FEW),
        ("delta", STEPS, 12.5, Unknown.TOO_FEW),
        ("rate", [(0.0, 1), (0.0, 5)], 1.0, Unknown.TOO_FEW),
        ("changed", STEPS, 3.0, True),
        ("changed", [(0.0, "a"), (5.0, "b"), (6.0, "b")], 14.9, True),
        ("changed", [(0.0, "a"), (5.0, "b"), (6.0, "b")], 15.0, False),
        ("changed", [(0.0, 1), (5.0, 1)], 9.9, Unknown.TOO_SHORT),
        ("changed", [(0.0, 1), (5.0, 1)], 10.0, False),
        ("changed", [(5.0, 1)], 15.0, False),
        ("count_over", [(0.0, "a"), (1.0, "b")], 2.0, 2),
        ("avg", [(0.0, True), (1.0, False)], 2.0, 0.5),
        ("avg", [(0.0, "a"), (1.0, 5)], 2.0, 5),
        ("avg", [(0.0, "a")], 2.0, Unknown.TYPE),
        ("sum_over", [(0.0, 1e308), (1.0, 1e308)], 2.0, Unknown.OVERFLOW),
        ("avg", [(0.0, 1)], 10.0, Unknown.EMPTY),
        ("min_over", [(0.0, 1)], 10.0, Unknown.EMPTY),
    ],
)
def test_window_of_ten_seconds(function: str, moments: Moments, now: float, expected: Value) -> None:
    assert fed(function, 10.0, moments).value(now) == expected


@pytest.mark.parametrize("function", [*WINDOWS])
def test_window_that_has_seen_nothing_is_unknown_and_never_due(function: str) -> None:
    window = fed(function, 10.0, [])
    assert window.value(5.0) is Unknown.NOT_SEEN
    assert window.due(5.0) == inf


@pytest.mark.parametrize("function", ["avg", "count_over", "rate"])
def test_window_is_due_each_time_that_a_reading_leaves_and_no_more_when_it_is_empty(function: str) -> None:
    window = fed(function, 10.1, [(0.3, 4), (1.7, 2)])
    now, left = 2.0, []
    while (due := window.due(now)) < inf:
        assert due > now
        left.append(due)
        now = due
    assert left == [0.3 + 10.1, 1.7 + 10.1]
    assert fed("count_over", 10.1, [(0.3, 4)]).value(nextafter(0.3 + 10.1, 0)) == 1
    assert fed("count_over", 10.1, [(0.3, 4)]).value(0.3 + 10.1) == 0


def test_change_is_due_when_it_is_over_and_when_it_was_watched_for_long_enough() -> None:
    window = fed("changed", 10.0, [(0.0, 1), (4.0, 2)])
    assert [window.due(now) for now in (5.0, 10.0, 13.0, 14.0)] == [10.0, 14.0, 14.0, inf]


def test_bound_expression_is_due_with_the_first_of_its_windows() -> None:
    judged = bound(
        'avg(boiler.x, "10s") > max_over(pump.speed, "5s")',
        [(0.0, "boiler", {"x": 1}), (2.0, "pump", {"speed": 1})],
    )
    assert judged.timed
    assert [judged.due(at(now)) for now in (3.0, 7.0, 10.0)] == [7.0, 10.0, inf]


def test_window_holds_a_bounded_number_of_entries_however_fast_an_instrument_talks() -> None:
    window = WINDOWS["sum_over"](10.0)
    assert isinstance(window, Sliding)
    most = 0
    for number in range(50_000):
        window.take(1, number / 1000)
        most = max(most, len(window._old) + len(window._new))
    assert GRAINS / 2 < most <= GRAINS + 1
    exact = 10_000
    assert exact * (1 - 2 / GRAINS) <= window.value(49.999) <= exact  # type: ignore[operator]


def test_huge_number_that_has_left_takes_no_digits_with_it() -> None:
    window = fed("sum_over", 10.0, [(0.0, 1e300), (1.0, 0.1), (2.0, 0.2)])
    assert window.value(3.0) == 1e300
    assert window.value(10.0) == 0.1 + 0.2


def test_counter_that_begins_again_within_one_grain_is_still_understood() -> None:
    grain = 10.0 / GRAINS
    window = fed("rate", 10.0, [(0.0, 100), (grain / 4, 110), (grain / 2, 5), (5.0, 7)])
    assert window.value(5.0) == (10 + 5 + 2) / 5
