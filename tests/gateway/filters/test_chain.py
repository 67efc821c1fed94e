"""Filters one behind the other, on all metrics of a moment."""

from typing import Any

import pytest

from gateway.filters.choice import FILTERS
from gateway.filters.filter import MOST_METRICS, Values
from gateway.filters.windows import LARGEST
from tests.gateway.filters.running import chain, outcome


def _at_once(values: Values, *written: dict[str, Any]) -> Values:
    return dict(chain(*written).take(values, 0.0))


def test_rename_keeps_the_order_and_exchanges_names() -> None:
    out = _at_once({"a": 1, "b": 2, "c": 3}, {"rename": {"a": "b", "b": "a", "z": "y"}})
    assert list(out.items()) == [("b", 1), ("a", 2), ("c", 3)]


def test_metric_whose_name_is_given_to_another_gives_way_and_is_counted() -> None:
    filters = chain({"rename": {"t": "temperature"}})
    assert filters.take({"temperature": 1, "t": 2}, 0.0) == {"temperature": 2}
    assert filters.take({"t": 2, "temperature": 1}, 0.0) == {"temperature": 2}
    assert filters.take({"temperature": 3}, 1.0) == {"temperature": 3}
    assert filters.withheld == {"rename": 2}


def test_keep_and_drop_go_by_name_and_wildcard() -> None:
    values: Values = {"air.t": 1, "air.h": 2, "soil.t": 3, "id": "x", "v[1]": 4}
    assert list(_at_once(values, {"keep": ["air.*", "id", "v[1]"]})) == ["air.t", "air.h", "id", "v[1]"]
    assert list(_at_once(values, {"keep": "v[?]"})) == ["v[1]"]
    assert list(_at_once(values, {"drop": ["*.t", "i?"]})) == ["air.h", "v[1]"]
    assert list(_at_once(values, {"drop": "Air*"})) == list(values)


def test_filter_is_for_the_metrics_it_names_and_leaves_the_others_alone() -> None:
    filters = ({"metric": "t*", "scale": 2}, {"metric": ["h", "p?"], "scale": 10})
    assert _at_once({"t1": 1, "h": 1, "p1": 1, "x": 1}, *filters) == {"t1": 2, "h": 10, "p1": 10, "x": 1}


def test_order_is_that_of_the_file() -> None:
    assert _at_once({"x": 1}, {"offset": 1}, {"scale": 10}) == {"x": 20}
    assert _at_once({"x": 1}, {"scale": 10}, {"offset": 1}) == {"x": 11}
    assert _at_once({"x": 1}, {"rename": {"x": "y"}}, {"metric": "x", "scale": 10}) == {"y": 1}


def test_metrics_are_remembered_apart() -> None:
    said: list[tuple[float, Values]] = [
        (0, {"a": 1, "b": 10}),
        (1, {"a": 1.1, "b": 12}),
        (2, {"a": 3, "b": 12.1}),
    ]
    assert outcome(chain({"delta": 1}), said) == [(0, {"a": 1, "b": 10}), (1, {"b": 12}), (2, {"a": 3})]


def test_what_is_due_at_the_same_moment_comes_out_together_and_goes_on_through_the_rest() -> None:
    filters = chain({"mean": "10s"}, {"round": 1}, {"rename": {"a": "alpha"}})
    said: list[tuple[float, Values]] = [(0, {"a": 1, "b": 5, "c": "x"}), (3, {"a": 2, "b": 6})]
    assert outcome(filters, said, 30) == [(0, {"c": "x"}), (10, {"alpha": 1.5, "b": 5.5})]


def test_value_that_is_due_comes_before_the_one_that_comes_at_that_moment() -> None:
    said: list[tuple[float, Values]] = [(0, {"x": 1}), (5, {"x": 2})]
    assert outcome(chain({"debounce": "5s"}), said, 20) == [(5, {"x": 1}), (10, {"x": 2})]


def test_of_two_filters_due_at_once_the_last_speaks_first() -> None:
    filters = chain({"mean": "5s"}, {"heartbeat": "5s"})
    said: list[tuple[float, Values]] = [(0, {"x": 1}), (1, {"x": 3}), (6, {"x": 7})]
    assert outcome(filters, said, 16) == [(10, {"x": 2.0}), (15, {"x": 7.0})]


def test_who_is_woken_late_hears_one_value_and_the_grid_stays() -> None:
    filters = chain({"heartbeat": "10s"})
    assert filters.take({"x": 1}, 0.0) == {}
    assert filters.tick(57.0) == [{"x": 1}]
    assert filters.due == 60.0
    assert filters.tick(59.0) == []


def test_window_of_time_that_is_closed_late_ends_where_it_should_have() -> None:
    filters = chain({"median": "10s"})
    filters.take({"x": 1}, 0.3)
    filters.take({"x": 3}, 5.0)
    assert filters.tick(17.0) == [{"x": 2.0}]


def test_heartbeat_falls_silent_with_its_device_and_beats_again_with_it() -> None:
    filters = chain({"delta": 1}, {"heartbeat": "10s"})
    filters.take({"x": 1}, 0.0)
    filters.hush()
    assert filters.tick(100.0) == []
    filters.take({"x": 1.5}, 103.0)  # delta lets nothing through, but the device lives
    assert filters.due == 110.0
    assert filters.tick(110.0) == [{"x": 1}]


def test_what_a_filter_holds_outlasts_the_silence_of_its_device() -> None:
    filters = chain({"debounce": "10s"})
    filters.take({"x": 1}, 0.0)
    filters.hush()
    assert filters.tick(10.0) == [{"x": 1}]


def test_what_does_not_pass_is_counted_by_filter() -> None:
    filters = chain({"drop": "id"}, {"valid_range": {"min": 0}}, {"throttle": "10s"}, {"throttle": "20s"})
    for now in range(25):
        filters.take({"id": now, "x": -1 if now == 3 else now, "y": "text"}, now)
    # throttle: of 24 and 25 values pass 0, 10, 20; the second one lets 0 and 20 pass
    assert filters.withheld == {"drop": 25, "valid_range": 1, "throttle": (21 + 22) + (1 + 1)}


def test_instrument_that_makes_up_names_does_not_fill_the_memory() -> None:
    filters = chain({"heartbeat": "10s"})
    for number in range(MOST_METRICS + 10):
        filters.take({f"m{number}": number}, 0.0)
    (beat,) = filters.tick(10.0)
    assert len(beat) == MOST_METRICS
    assert "m9" not in beat
    assert "m10" in beat


def test_state_that_has_come_out_arms_no_timer_when_it_is_said_again() -> None:
    filters = chain({"delayed_on": "1s"})
    filters.take({"door": True}, 0.0)
    assert filters.tick(1.0) == [{"door": True}]
    filters.take({"door": True}, 2.0)
    assert filters.due == float("inf")


def test_chain_without_timed_filters_never_wants_to_be_woken() -> None:
    filters = chain({"delta": 1}, {"throttle": "1s"}, {"median": 5}, {"round": 1})
    filters.take({"x": 1.0}, 0.0)
    assert filters.due == float("inf")
    assert filters.tick(1e9) == []


def test_window_of_time_holds_no_more_than_its_largest() -> None:
    filters = chain({"median": "1d"})
    for number in range(LARGEST + 1000):
        filters.take({"x": number}, number / 1000)
    assert filters.tick(86_400.0) == [{"x": 1000 + LARGEST / 2 - 0.5}]


def test_mean_of_a_time_counts_every_number_however_many() -> None:
    filters = chain({"mean": "1d"})
    for number in range(2 * LARGEST):
        filters.take({"x": number}, number / 1000)
    assert filters.tick(86_400.0) == [{"x": LARGEST - 0.5}]


@pytest.mark.parametrize("name", FILTERS)
def test_settings_are_described_in_sentences(name: str) -> None:
    for key, field in FILTERS[name].model_fields.items():
        assert field.description, key
        assert field.description.endswith("."), key
