"""Each filter as a table: (moment, value) in, (moment, value) out. Semantics after ESPHome's documentation."""

from typing import Any

import pytest

from tests.gateway.filters.running import Moments, through

Table = tuple[dict[str, Any], Moments, Moments]


def each(*values: Any) -> Moments:
    """One a second, from 0 on."""
    return list(enumerate(values))


BY_ITSELF: dict[str, Table] = {
    "scale": ({"scale": 0.5}, each(3, 4.0, -1), each(1.5, 2.0, -0.5)),
    "scale by a whole number leaves integers": ({"scale": 10}, each(3, 2.5), each(30, 25.0)),
    "scale beyond what a float holds": ({"scale": 1e300}, each(1e300, 1.0), [(1, 1e300)]),
    "offset": ({"offset": -273.15}, each(273.15, 300), each(0.0, 300 - 273.15)),
    "offset by a whole number leaves integers": ({"offset": 1}, each(1, 1.5), each(2, 2.5)),
    "round": ({"round": 1}, each(21.449, 21.45, 21.15, -0.05, 7), each(21.4, 21.5, 21.2, -0.1, 7)),
    "round halves away from zero": ({"round": 0}, each(0.5, 1.5, 2.5, -2.5), each(1.0, 2.0, 3.0, -3.0)),
    "round what has no decimals": ({"round": 3}, each(1e300, 123456789012345.0), each(1e300, 123456789012345.0)),
    "clamp": ({"clamp": {"min": 0, "max": 10}}, each(-1, 0, 5.5, 10, 11), each(0, 0, 5.5, 10, 10)),
    "clamp on one side": ({"clamp": {"max": 10}}, each(-1e9, 11), each(-1e9, 10)),
    "valid_range": ({"valid_range": {"min": 0, "max": 10}}, each(-1, 0, 5, 10, 10.1), [(1, 0), (2, 5), (3, 10)]),
    "valid_range on one side": ({"valid_range": {"min": -40}}, each(-127, 1e9), [(1, 1e9)]),
    "calibrate: a line through two points": (
        {"calibrate": [[0.0, 1.0], [10.0, 12.1]]}, each(0, 10, 5, 20), each(1.0, 12.1, 6.55, 23.2),
    ),
    "calibrate: least squares of three points": (
        {"calibrate": [[0, 0], [1, 1], [2, 5]]}, each(0, 1, 2), each(-0.5, 2.0, 4.5),
    ),
    "calibrate: exact, in any order, its ends prolonged": (
        {"calibrate": [[10, 100], [0, 0], [20, 110]], "method": "exact"},
        each(-5, 0, 5, 10, 15, 20, 30), each(-50.0, 0.0, 50.0, 100.0, 105.0, 110.0, 120.0),
    ),
    "calibrate: a polynomial through its points": (
        {"calibrate": [[0, 0], [10, 12.1], [13, 14]], "degree": 2}, each(0, 10, 13), each(0.0, 12.1, 14.0),
    ),
    "calibrate: a polynomial near its points": (
        {"calibrate": [[-1, 1], [0, 0], [1, 1], [2, 4], [2, 4]], "degree": 2}, each(3, -2), each(9.0, 4.0),
    ),
}  # fmt: skip

CHANGE: dict[str, Table] = {
    "delta: the first passes; compared is with the last that passed": (
        {"delta": 2}, each(10, 11, 12, 12.5, 11, 10.4, 14.6), [(0, 10), (3, 12.5), (5, 10.4), (6, 14.6)],
    ),
    "delta 0: whatever differs": ({"delta": 0}, each(1, 1, 2, 2, 1), [(0, 1), (2, 2), (4, 1)]),
    "delta in percent of the last that passed": (
        {"delta": "10%"}, each(100, 109, 110, 111, 122, 123, 110.7, 110.5),
        [(0, 100), (3, 111), (5, 123), (7, 110.5)],
    ),
    "delta in percent of a negative value": ({"delta": "50%"}, each(-10, -14, -15.5), [(0, -10), (2, -15.5)]),
    "delta in percent of nothing": ({"delta": "50%"}, each(0, 0, 0.001), [(0, 0), (2, 0.001)]),
    "throttle: from the last that passed": (
        {"throttle": "2s"}, [(0, 1), (1, 2), (1.9, 3), (2, 4), (3, 5), (4.5, 6)], [(0, 1), (2, 4), (4.5, 6)],
    ),
    "heartbeat: the last value, at its interval only": (
        {"heartbeat": "5s"}, [(1, 10), (2, 11), (8, 12)], [(6, 11), (11, 12), (16, 12), (21, 12)],
    ),
    "heartbeat: optimistic, and a new value does not move it": (
        {"heartbeat": "5s", "optimistic": True}, [(0, 10), (3, 11), (5, 12)],
        [(0, 10), (3, 11), (5, 11), (5, 12), (10, 12), (15, 12), (20, 12)],
    ),
    "heartbeat: texts too": ({"heartbeat": "10s"}, [(0, "a")], [(10, "a"), (20, "a")]),
    "debounce: only the last of those that come close to each other": (
        {"debounce": "2s"}, [(0, 1), (0.1, 2), (1, 3), (5, 4), (8, 5)], [(3, 3), (7, 4), (10, 5)],
    ),
    "debounce: a value that is said again has stayed": (
        {"debounce": "2s"}, [(0, 1), (1, 1), (1.5, 1), (4, 1), (5, 2), (5.5, 1)], [(2, 1), (7.5, 1)],
    ),
    "debounce: booleans and texts": ({"debounce": "2s"}, [(0, True), (1, "b")], [(3, "b")]),
}  # fmt: skip

WINDOW: dict[str, Table] = {
    "median: at once, then once for each window": (
        {"median": 3}, each(9, 1, 2, 30, 4, 5, 6), [(0, 9), (3, 2), (6, 5)],
    ),
    "median: of the values there are, after each one": (
        {"median": 3, "send_every": 1}, each(1, 9, 2, 3), each(1, 5.0, 2, 3),
    ),
    "median: send_every shorter than the window": (
        {"median": 5, "send_every": 2}, each(1, 2, 3, 4, 5, 6, 7), [(0, 1), (2, 2), (4, 3), (6, 5)],
    ),
    "median: send_first_at": (
        {"median": 5, "send_every": 5, "send_first_at": 3}, each(5, 1, 3, 4, 4, 4, 4, 9), [(2, 3), (7, 4)],
    ),
    "median of a time: those of the last so much time": (
        {"median": "3s", "send_every": 1}, each(1, 2, 30, 4, 5), each(1, 1.5, 2, 3.0, 4.5),
    ),
    "median of a time: once for each, while something comes": (
        {"median": "3s"}, [(0.1, 1), (1, 2), (2.9, 9), (3.1, 5), (13, 6)], [(3.1, 2), (6.1, 5), (15.1, 6)],
    ),
    "mean of a count": ({"mean": 4, "send_first_at": 4}, each(1, 2, 3, 6, 5, 5, 5, 6), [(3, 3.0), (7, 5.25)]),
    "mean of a time: nothing thrown away, nothing when nothing came": (
        {"mean": "4s"}, [(0, 1), (1, 2), (3.9, 6), (4, 10), (17, 4)], [(4, 3.0), (8, 10.0), (20, 4.0)],
    ),
    "moving_average: an interval longer than the window may find it empty": (
        {"moving_average": "1s", "send_every": "4s"}, [(0, 5), (7.5, 6)], [(8, 6.0)],
    ),
    "exponential_average by weight": (
        {"exponential_average": 0.5}, each(10, 20, 20, 0), each(10.0, 15.0, 17.5, 8.75),
    ),
    "exponential_average by number": ({"exponential_average": 3}, each(10, 20, 20), each(10.0, 15.0, 17.5)),
    "exponential_average by time: a half after 0.693 of it": (
        {"exponential_average": "1s"}, [(0, 10), (0.6931471805599453, 20)], [(0, 10.0), (0.693147181, 15.0)],
    ),
    "exponential_average, now and then": (
        {"exponential_average": 0.5, "send_every": 2}, each(10, 20, 20, 0), [(0, 10.0), (2, 17.5)],
    ),
    "exponential_average, at an interval": (
        {"exponential_average": 0.5, "send_every": "5s"}, each(10, 20, 20), [(5, 17.5)],
    ),
}  # fmt: skip

BOOLEAN: dict[str, Table] = {
    "settle: a change at once, bounces when they have ended": (
        {"settle": "1s"}, [(0, False), (5, True), (5.1, False), (5.2, True), (5.3, False), (9, True)],
        [(0, False), (5, True), (6.3, False), (9, True)],
    ),
    "settle: back where it was is no news": ({"settle": "1s"}, [(0, True), (0.5, False), (0.6, True)], [(0, True)]),
    "settle: the same again neither passes nor holds it up": (
        {"settle": "1s"}, [(0, True), (0.5, False), (1, False), (1.4, False), (3, False), (4, True)],
        [(0, True), (1.5, False), (4, True)],
    ),
    "delayed_on": (
        {"delayed_on": "2s"}, [(0, False), (1, True), (2, False), (3, True), (4, True), (9, False), (10, False)],
        [(0, False), (5, True), (9, False)],
    ),
    "delayed_off": (
        {"delayed_off": "2s"}, [(0, True), (1, False), (2, True), (3, False), (9, True)],
        [(0, True), (5, False), (9, True)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("written", "said", "heard"),
    [pytest.param(*table, id=name) for name, table in (BY_ITSELF | CHANGE | WINDOW | BOOLEAN).items()],
)
def test_filter_says_what_its_table_says(written: dict[str, Any], said: Moments, heard: Moments) -> None:
    out = through(said, written, until=22)
    assert [now for now, _ in out] == [now for now, _ in heard]
    for (_, value), (_, wanted) in zip(out, heard, strict=True):
        assert type(value) is type(wanted)
        assert value == (wanted if isinstance(wanted, str | bool) else pytest.approx(wanted, abs=1e-12))


NUMERIC = [written for written, *_ in (BY_ITSELF | WINDOW).values()] + [{"delta": 1000}]
STATES = [written for written, *_ in BOOLEAN.values()]


@pytest.mark.parametrize("written", NUMERIC, ids=str)
@pytest.mark.parametrize("value", [True, False, "text", ""])
def test_numeric_filters_leave_booleans_and_texts_alone(written: dict[str, Any], value: bool | str) -> None:
    assert through([(0, value), (0.1, value)], written, until=100) == [(0, value), (0.1, value)]


@pytest.mark.parametrize("written", STATES, ids=str)
@pytest.mark.parametrize("value", [1, 0, 0.0, "on"])
def test_filters_of_booleans_leave_all_else_alone(written: dict[str, Any], value: float | str) -> None:
    assert through([(0, value), (0.1, value)], written, until=100) == [(0, value), (0.1, value)]


@pytest.mark.parametrize("written", NUMERIC, ids=str)
def test_integer_beyond_a_float_is_no_reason_to_fail(written: dict[str, Any]) -> None:
    through([(now, 10**400) for now in range(20)], written, until=100)
    through([(now, -(10**400)) for now in range(20)], written, until=100)


REMEMBERING = [
    table for name, table in (CHANGE | WINDOW).items() if not name.startswith(("thr", "heart", "deb"))
]


@pytest.mark.parametrize("table", REMEMBERING, ids=str)
def test_integer_beyond_a_float_costs_itself_and_no_other(table: Table) -> None:
    written, said, _ = table
    huge = [(now, value) for moment, number in said for now, value in ((moment, 10**400), (moment, number))]
    assert through(huge, written, until=22) == through(said, written, until=22)


@pytest.mark.parametrize("pace", [{"send_every": 1}, {"send_every": 2}, {"send_every": "5s"}], ids=str)
@pytest.mark.parametrize("name", ["mean", "moving_average", "median"])
def test_sum_beyond_a_float_costs_the_results_it_is_in(name: str, pace: dict[str, Any]) -> None:
    said: Moments = [(0, 1e308), (1, 1e308), (2, 1e308), (9, 1.0), (10, 3.0)]
    out = [value for _, value in through(said, {name: 2, **pace}, until=30)]
    assert out[-1] == 2.0
    assert set(out) <= {1e308, 5e307, 2.0}
