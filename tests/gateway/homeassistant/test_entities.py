"""Which kind of entity a metric becomes, and that nothing about it is mistaken for another."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.driver import Metric, Settable
from gateway.homeassistant.announcement import MOST_ENTITIES, of_device, of_gateway, topic
from gateway.homeassistant.entities import Kind, Named, Place, entity, entity_id, identifier, kind_after
from gateway.publish.topics import Topics
from tests.support.home_assistant import TOPIC

TOPICS = Topics(prefix="sallyport", gateway="g")
PLACE = Place("g", "boiler", TOPICS, by_metric=False)
LARGEST_OF_ALL = 128 * 1024
"""Bytes that brokers in the cloud take."""
BARE = Place("g", "boiler", TOPICS, by_metric=True)


def told(metric: Metric | None, kind: Kind | None, place: Place = PLACE) -> dict[str, Any]:
    settable = metric.settable if metric is not None else None
    found = entity(Named("t", "T", kind, metric, settable), place)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("settable", "platform"),
    [
        (Settable(minimum=0, maximum=10), "number"),
        (Settable(), "number"),
        (Settable(choices=(True, False)), "switch"),
        (Settable(choices=(True,)), "button"),
        (Settable(choices=(60,)), "button"),
        (Settable(choices=("a", "b")), "select"),
        (Settable(choices=(1, "b", True)), "select"),
    ],
)
@pytest.mark.parametrize("kind", [None, Kind.NUMBER])
def test_what_can_be_set_is_set_where_commands_are_heard(
    settable: Settable, platform: str, kind: Kind | None
) -> None:
    config = told(Metric("", "T", settable=settable), kind)
    assert (config["platform"], config["command_topic"]) == (platform, "sallyport/g/boiler/set")
    assert config["default_entity_id"] == f"{platform}.g_boiler_t"


def test_number_that_can_be_set_has_the_bounds_that_home_assistant_would_else_invent() -> None:
    config = told(Metric("Cel", "T", "temperature", settable=Settable(minimum=5)), None)
    assert (config["min"], config["max"], config["unit_of_measurement"]) == (5, 1e9, "°C")


@pytest.mark.parametrize(
    ("settable", "bounds"),
    [
        (Settable(), (-1e9, 1e9)),
        (Settable(minimum=2e9), (2e9, 2e9)),
        (Settable(maximum=-2e9), (-2e9, -2e9)),
        (Settable(minimum=-5e9, maximum=5e9), (-5e9, 5e9)),
    ],
)
def test_least_is_never_more_than_most(settable: Settable, bounds: tuple[float, float]) -> None:
    config = told(Metric("", "T", settable=settable), None)
    assert (config["min"], config["max"]) == bounds


@pytest.mark.parametrize(
    ("kind", "metric", "platform", "device_class"),
    [
        (Kind.STATE, Metric("", "", "problem"), "binary_sensor", "problem"),
        (Kind.STATE, Metric("Cel", "", "temperature"), "binary_sensor", None),
        (Kind.NUMBER, Metric("", "", "problem"), "sensor", None),
        (Kind.NUMBER, Metric("%", "", "battery", "measurement"), "sensor", "battery"),
        (Kind.TEXT, Metric("%", "", "battery", "measurement"), "sensor", None),
        (Kind.TEXT, Metric("", "", "timestamp"), "sensor", "timestamp"),
        (Kind.TEXT, None, "sensor", None),
        (Kind.STATE, None, "binary_sensor", None),
    ],
)
def test_value_is_shown_as_what_it_is_and_not_only_as_what_it_was_described(
    kind: Kind, metric: Metric | None, platform: str, device_class: str | None
) -> None:
    config = told(metric, kind)
    assert (config["platform"], config.get("device_class")) == (platform, device_class)
    if kind is not Kind.NUMBER:
        assert not config.keys() & {"state_class", "unit_of_measurement"}


def test_what_was_not_seen_and_cannot_be_set_is_nothing_yet() -> None:
    assert entity(Named("t", "T", None, Metric("Cel", "T")), PLACE) is None


def test_number_that_nobody_described_has_a_graph_and_one_that_is_a_code_has_not() -> None:
    assert told(None, Kind.NUMBER)["state_class"] == "measurement"
    assert "state_class" not in told(Metric("", "Error code"), Kind.NUMBER)


def test_bare_value_has_a_topic_of_its_own_and_only_what_must_be_a_number_needs_a_template() -> None:
    config = told(Metric("Cel", "T", "temperature"), Kind.NUMBER, BARE)
    assert config["state_topic"] == "sallyport/g/boiler/t"
    assert "values" not in config["value_template"]
    assert "value_template" not in told(Metric("", "Error code"), Kind.NUMBER, BARE)


def test_metric_that_becomes_something_else_is_a_text_in_the_end() -> None:
    assert kind_after(None, Kind.NUMBER) is Kind.NUMBER
    assert kind_after(Kind.NUMBER, Kind.STATE) is Kind.TEXT
    assert kind_after(Kind.TEXT, Kind.NUMBER) is Kind.TEXT


def test_number_that_is_described_is_not_made_a_text_by_a_slip() -> None:
    assert kind_after(Kind.NUMBER, Kind.TEXT, measured=True) is Kind.NUMBER
    assert kind_after(Kind.TEXT, Kind.NUMBER, measured=True) is Kind.NUMBER
    assert kind_after(None, Kind.TEXT, measured=True) is Kind.TEXT
    assert kind_after(Kind.TEXT, Kind.STATE, measured=True) is Kind.TEXT


def test_name_in_other_letters_is_left_for_home_assistant_to_write_in_its_own() -> None:
    assert entity_id("sensor", "Gewächshaus", "Heizung 1", "t.°C") == "sensor.gewächshaus_heizung_1_t_c"
    assert entity_id("sensor", "温室", "a") == "sensor.温室_a"


NAMES = st.text(min_size=1, max_size=200)


@given(NAMES, NAMES)
def test_topic_is_one_that_home_assistant_takes_and_of_one_device_only(one: str, other: str) -> None:
    topics = {topic("homeassistant", "g", name) for name in (one, other)}
    assert all(TOPIC.fullmatch(each.removeprefix("homeassistant/")) for each in topics)
    assert len(topics) == len({one, other})


@given(NAMES, NAMES)
def test_identifiers_are_told_apart(one: str, other: str) -> None:
    assert (identifier(one) == identifier(other)) == (one == other)


def test_more_than_home_assistant_can_bear_is_left_out_and_counted() -> None:
    many = [Named(f"m{number}", "M", Kind.NUMBER, None) for number in range(MOST_ENTITIES + 9)]
    announced = of_device("ha", PLACE, many, [], maker="", model="")
    assert announced is not None
    assert (len(announced.components), announced.left_out) == (MOST_ENTITIES, 9)
    renamed = {f"sensor_{'m' * 90}{number}": "sensor" for number in range(2000)}
    assert len(announced.message({}).payload) < len(announced.message(renamed).payload) < LARGEST_OF_ALL


@pytest.mark.parametrize("length", [30, 40, 50, 100, 1000])
def test_what_is_said_of_a_device_fits_into_a_message_however_long_its_names(length: int) -> None:
    long = [Named(f"{number:03}" + "é" * length, "M", Kind.TEXT, None) for number in range(256)]
    announced = of_device("ha", replace(PLACE, device="b" * 128), long, [], maker="", model="")
    assert announced is not None
    assert 0 < len(announced.components) < 256
    assert len(announced.components) + announced.left_out == 256
    assert len(announced.message({}).payload) < LARGEST_OF_ALL


def test_rules_take_no_more_room_than_there_is_and_metrics_do_not_take_theirs() -> None:
    rules = [f"rule{number}" for number in range(1000)]
    gateway = of_gateway("ha", replace(PLACE, device="status"), rules, broker="mqtt", url=None)
    assert len(gateway.message({}).payload) < LARGEST_OF_ALL
    assert gateway.left_out == 1004 - len(gateway.components)
    many = [Named(f"m{number}", "M", Kind.NUMBER, None) for number in range(MOST_ENTITIES)]
    announced = of_device("ha", PLACE, many, rules[:9], maker="", model="")
    assert announced is not None
    assert {f"alert_{rule}" for rule in rules[:9]} < announced.components.keys()
    assert announced.left_out == 9


def test_entity_that_is_gone_is_named_so_that_home_assistant_forgets_it() -> None:
    announced = of_device("ha", PLACE, [Named("t", "T", Kind.NUMBER, None)], [], maker="M", model="X")
    assert announced is not None
    assert b'"sensor_u":{"platform":"sensor"}' in announced.message({"sensor_u": "sensor"}).payload
    assert announced.message({"sensor_t": "sensor"}) == announced.message({})
