import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import wire
from gateway.journal.record import Record
from gateway.model import Availability, Presence, Reading, Stamp, Value
from gateway.publish.publisher import Message
from gateway.publish.topics import Asked, Topics, safe

AT = Stamp(0, 0.0)


def record(values: dict[str, Value], device: str = "boiler") -> Record:
    payload = wire.encode(Reading(at=AT, device=device, values=values, seq=1), "run")
    return Record(1, device, 1, payload)


@pytest.fixture
def topics() -> Topics:
    return Topics(prefix="plant/hall-2", gateway="green house")


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("temperature", "temperature"),
        ("air.temperature", "air.temperature"),
        ("Kühlraum 2", "Kühlraum 2"),
        ("温度", "温度"),
        ("a/b", "a_b"),
        ("+", "_"),
        ("#", "_"),
        ("in+out#1/2", "in_out_1_2"),
        ("", "_"),
        ("nul\0", "nul_"),
        ("line\nbreak", "line_break"),
        ("\x7f\x85", "__"),
        ("half\ud800", "half_"),
        ("right\u202eleft", "right_left"),
        ("$SYS", "$SYS"),
    ],
)
def test_any_name_becomes_one_level(name: str, level: str) -> None:
    assert safe(name) == level


@pytest.mark.repetitive
@given(st.text())
def test_no_name_breaks_out_of_its_level(name: str) -> None:
    level = safe(name)
    assert level
    assert not set(level) & set("+#/\0\n")
    assert level.encode().decode() == level
    assert safe(level) == level


def test_reading_is_one_message_below_the_gateway(topics: Topics) -> None:
    reading = record({"temperature": 21.5})
    assert list(topics.by_device(reading)) == [Message("plant/hall-2/green house/boiler", reading.payload)]


def test_layout_metric_gives_each_value_a_topic_of_its_own(topics: Topics) -> None:
    messages = list(topics.by_metric(record({"temperature": 21.5, "in/out": "in", "on": True})))
    assert messages == [
        Message("plant/hall-2/green house/boiler/temperature", b"21.5"),
        Message("plant/hall-2/green house/boiler/in_out", b"in"),
        Message("plant/hall-2/green house/boiler/on", b"true"),
    ]


@pytest.mark.parametrize("name", ["availability", "set"])
def test_metric_does_not_take_a_topic_that_means_something_else(topics: Topics, name: str) -> None:
    [message] = topics.by_metric(record({name: 1}))
    assert message.topic == f"plant/hall-2/green house/boiler/{name}_"


def test_what_describes_a_state_is_retained(topics: Topics) -> None:
    event = Availability(at=AT, device="a/b", presence=Presence.ONLINE, reason="")
    availability = topics.availability(event)
    assert availability.topic == "plant/hall-2/green house/a_b/availability"
    assert availability.retain

    online, offline = topics.online(0, "0.1.0"), topics.offline()
    assert online.topic == offline.topic == topics.status == "plant/hall-2/green house/status"
    assert online.retain
    assert offline == Message(topics.status, b'{"state":"offline"}', retain=True)


def test_everything_is_below_one_filter(topics: Topics) -> None:
    assert topics.everything == "plant/hall-2/green house/#"
    assert Topics(prefix="p", gateway="a/b").everything == "p/a_b/#"


def test_request_and_its_answer_have_topics_below_the_gateways() -> None:
    topics = Topics(prefix="plant/hall-2", gateway="greenhouse")
    assert topics.requests == "plant/hall-2/greenhouse/request/#"
    assert topics.request("alert/ack") == "plant/hall-2/greenhouse/request/alert/ack"
    assert topics.response("alert/ack") == "plant/hall-2/greenhouse/response/alert/ack"
    assert topics.asked(topics.request("alert/ack")) == Asked("alert/ack")


@pytest.mark.parametrize(
    ("topic", "asked"),
    [
        ("plant/hall-2/greenhouse/request/ping", Asked("ping")),
        ("plant/hall-2/greenhouse/request/set", None),
        ("plant/hall-2/greenhouse/request/boiler/set", None),
        ("plant/hall-2/greenhouse/request/settle", Asked("settle")),
        ("plant/hall-2/greenhouse/boiler/set", Asked("set", "boiler")),
        ("plant/hall-2/greenhouse/boiler/setpoint/set", Asked("set", "boiler", "setpoint")),
        ("plant/hall-2/greenhouse/boiler/set/set", Asked("set", "boiler", "set")),
        ("plant/hall-2/greenhouse/request", None),
        ("plant/hall-2/greenhouse/boiler", None),
        ("plant/hall-2/greenhouse/set", None),
        ("plant/hall-2/greenhouse/boiler/setpoint", None),
        ("plant/hall-2/greenhouse/boiler/a/b/set", None),
        ("plant/hall-2/greenhouse/alerts/set", None),  # of a rule that is called so
        ("plant/hall-2/greenhouse/alerts/set/set", None),
        ("plant/hall-2/greenhouse/response/set", None),
        ("other/plant/hall-2/greenhouse/request/ping", None),
        ("request/ping", None),
        ("boiler/set", None),
    ],
)
def test_topic_says_what_is_asked_and_of_whom(topic: str, asked: Asked | None) -> None:
    assert Topics(prefix="plant/hall-2", gateway="greenhouse").asked(topic) == asked


@pytest.mark.parametrize(
    ("topic", "taken"),
    [
        ("anna/answers", True),
        ("plant/hall-2/greenhouse/response/anna", True),
        ("plant/hall-20/greenhouse", True),
        ("plant", True),
        ("plant/hall-2", False),
        ("plant/hall-2/greenhouse/boiler", False),
        ("plant/hall-2/greenhouse/response", False),
        ("plant/hall-2/other/response/anna", False),
        ("anna/#", False),
        ("anna/+/x", False),
        ("anna\0", False),
        ("anna\x01", False),
        ("anna\ufffe", False),
        ("anna" + 31 * "/", True),
        ("anna" + 32 * "/", False),
        ("plant/hall-2/greenhouse/response" + 30 * "/", False),
        ("$share/anna", False),
        ("", False),
    ],
)
def test_answer_may_not_pass_for_what_a_gateway_says_by_itself(topic: str, taken: bool) -> None:
    assert Topics(prefix="plant/hall-2", gateway="greenhouse").takes_answers(topic) is taken
