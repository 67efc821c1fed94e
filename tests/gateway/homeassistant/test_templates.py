"""What we say in Jinja means, rendered as Home Assistant does it, what we mean."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import wire
from gateway.homeassistant import templates
from gateway.model import Value
from tests.support.home_assistant import UNAVAILABLE, Renderer, This

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def rendered(template: str, payload: bytes, state: str = "as it was") -> str | None:
    renderer = Renderer()
    found = renderer.value(template, payload.decode(), This("sensor.a", state))
    assert renderer.complaints == []
    return found


def reading(values: dict[str, Any]) -> bytes:
    return orjson.dumps({"time": "…", "values": values})


@given(NAMES, st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63))
def test_number_of_any_name_is_found(name: str, value: float) -> None:
    found = rendered(templates.number(name), reading({name: value, f"{name}'": 0}))
    assert found is not None
    assert float(found) == float(value)


@pytest.mark.parametrize(
    "name", ["a'b", "{{ a }}", "{% raw %}", "a\\", "a\n", "\\u0027", "°C 😀", "values", "", "#}"]
)
def test_name_that_means_something_in_jinja_is_only_a_name(name: str) -> None:
    assert rendered(templates.number(name), reading({name: 1.5})) == "1.5"
    assert rendered(templates.text(name), reading({name: "x"})) == "x"
    assert rendered(templates.truth(name), reading({name: True})) == "true"
    assert orjson.loads(Renderer().command(templates.command(name), 2)) == {"values": {name: 2}}


def test_reading_without_the_metric_leaves_the_entity_as_it_is() -> None:
    assert rendered(templates.number("a"), reading({"b": 1})) == ""
    assert rendered(templates.truth("a"), reading({"b": 1})) == ""
    assert rendered(templates.choice("a", {"1": "1"}), reading({"b": 1})) == ""
    assert rendered(templates.text("a"), reading({"b": 1})) == "as it was"
    assert rendered(templates.text("a"), reading({"b": 1}), UNAVAILABLE) == "None", "it is no value"


@pytest.mark.parametrize("value", ["nan", "", True, 4, 31, -1e300])
def test_what_is_no_number_or_out_of_bounds_is_unknown_and_no_word_in_the_log(value: Value) -> None:
    bounds = (5.0, 30.5)
    for each in (5, 30.5):
        assert rendered(templates.number("a", bounds), reading({"a": each})) == str(each)
        assert rendered(templates.bare_number(bounds), wire.scalar(each)) == str(each)
    assert rendered(templates.number("a", bounds), reading({"a": value})) == "None"
    assert rendered(templates.bare_number(bounds), wire.scalar(value)) == "None"
    a_number = isinstance(value, int | float) and not isinstance(value, bool)
    assert (rendered(templates.number("a"), reading({"a": value})) == "None") is not a_number
    assert (rendered(templates.bare_number(), wire.scalar(value)) == "None") is not a_number
    assert rendered(templates.number("a", bounds), reading({"b": value})) == ""


def test_text_is_cut_where_home_assistant_would_refuse_it() -> None:
    for length in (254, 255, 256, 260, 1000):
        found = rendered(templates.text("a"), reading({"a": "é" * length}))
        bare = rendered(templates.BARE_TEXT, ("é" * length).encode())
        assert found == bare
        assert found is not None
        assert len(found) == min(length, 255)


@pytest.mark.parametrize(
    ("value", "option"),
    [(60, "60"), (60.0, "60"), ("sixty", "sixty"), (0.5, "0.5"), (61, "None"), ("", "None")],
)
def test_choice_is_found_whichever_way_it_is_published(value: float | str, option: str) -> None:
    options = {"60": "60", "0.5": "0.5", "'sixty'": "sixty"}
    assert rendered(templates.choice("a", options), reading({"a": value})) == option
    assert rendered(templates.bare_choice(options), wire.scalar(value)) == option


@pytest.mark.parametrize("text", ["1", "true", "[1]", "null"])
def test_choice_that_is_a_text_is_found_even_if_it_looks_like_something_else(text: str) -> None:
    options = {templates.literal(text): text}
    assert rendered(templates.bare_choice(options), wire.scalar(text)) == text
    assert rendered(templates.bare_choice(options), b"[2]") == "None"


def test_choice_is_commanded_as_the_value_that_it_is() -> None:
    template = templates.chosen("pulse", {"60": "60", "'on'": "on"})
    assert orjson.loads(Renderer().command(template, "60")) == {"values": {"pulse": 60}}
    assert orjson.loads(Renderer().command(template, "on")) == {"values": {"pulse": "on"}}


@pytest.mark.parametrize("payload", [b"", b'{"state":"offline"}', b'{"state":"stale","since":"x"}'])
def test_what_is_not_online_or_was_cleared_is_offline(payload: bytes) -> None:
    assert rendered(templates.AVAILABLE, payload) == "offline"
    assert rendered(templates.CONNECTED, payload) == "OFF"
    assert rendered(templates.FIRING, payload) == "OFF"
    assert rendered(templates.JOURNAL_TROUBLE, payload) == "OFF"
    assert rendered(templates.ATTRIBUTES, payload) in (payload.decode(), "{}")


def test_online_is_online() -> None:
    status = wire.encode_online(since_ns=0, version="1", journal="disk full")
    assert rendered(templates.AVAILABLE, status) == "online"
    assert rendered(templates.CONNECTED, status) == "ON"
    assert rendered(templates.JOURNAL_TROUBLE, status) == "ON"
    assert rendered(templates.SINCE, status) == "1970-01-01T00:00:00.000Z"
