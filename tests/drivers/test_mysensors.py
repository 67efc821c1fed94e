"""Messages of a MySensors gateway."""

import pytest

from drivers.driver import Frame
from drivers.mysensors.codec import Messages
from drivers.mysensors.types import INTERNAL, METRICS, SET
from drivers.testing.listening import ListeningContract
from gateway.model import Value


class TestMySensors(ListeningContract):
    name = "mysensors"


def decoded(stream: bytes, *, readable: bool = True) -> tuple[list[Frame], Messages]:
    messages = Messages(readable=readable)
    return [*messages.feed(stream), *messages.finish()], messages


@pytest.mark.parametrize(
    ("line", "readable", "protocol"),
    [
        ("12;6;1;0;0;36.5", {"node12.child6.temperature": 36.5}, {"12.6.V_TEMP": 36.5}),
        ("1;0;1;0;2;1", {"node1.child0.status": True}, {"1.0.V_STATUS": 1}),
        ("1;0;1;0;16;0", {"node1.child0.tripped": False}, {"1.0.V_TRIPPED": 0}),
        ("1;0;1;0;0;-40", {"node1.child0.temperature": -40}, {"1.0.V_TEMP": -40}),
        ("1;0;1;0;24;on", {"node1.child0.var1": "on"}, {"1.0.V_VAR1": "on"}),
        ("1;0;1;0;40;000000", {"node1.child0.rgb": "000000"}, {"1.0.V_RGB": "000000"}),
        ("1;0;1;0;42;0042", {"node1.child0.id": "0042"}, {"1.0.V_ID": "0042"}),
        (
            "1;0;1;0;49;55.7;13.0;18",
            {"node1.child0.position": "55.7;13.0;18"},
            {"1.0.V_POSITION": "55.7;13.0;18"},
        ),
        ("1;0;1;0;29;", {"node1.child0.up": ""}, {"1.0.V_UP": ""}),
        ("1;0;1;0;58;30 ", {"node1.child0.tilt": 30}, {"1.0.V_TILT": 30}),
        ("1;0;1;1;23;43", {"node1.child0.light_level": 43}, {"1.0.V_LIGHT_LEVEL": 43}),
        ("1;255;3;0;0;79", {"node1.battery_level": 79}, {"1.I_BATTERY_LEVEL": 79}),
        ("1;255;3;0;12;1.0", {"node1.sketch_version": "1.0"}, {"1.I_SKETCH_VERSION": "1.0"}),
        ("0;255;3;0;2;2.3.2", {"node0.library_version": "2.3.2"}, {"0.I_VERSION": "2.3.2"}),
    ],
)
def test_message_gives_its_value_under_both_names(
    line: str, readable: dict[str, Value], protocol: dict[str, Value]
) -> None:
    for is_readable, wanted in ((True, readable), (False, protocol)):
        [frame], _ = decoded(line.encode() + b"\n", readable=is_readable)
        assert frame.values == wanted
        assert [type(value) for value in frame.values.values()] == [type(value) for value in wanted.values()]


@pytest.mark.parametrize(
    ("line", "id_"),
    [
        ("1;255;0;0;17;2.3.2", "presentation"),
        ("1;0;0;0;39;Pool", "presentation"),
        ("1;1;2;0;17;", "req"),
        ("255;255;3;0;3;", "internal"),
        ("0;255;3;0;9;28 TSM:READY:ID=0,PAR=0,DIS=0", "internal"),
        ("0;255;3;0;9;read: 1-1-0 s=0,c=1,t=1,pt=7,l=5,sg=0:22.0", "internal"),
        ("0;255;3;0;14;Gateway startup complete.", "internal"),
        ("1;255;3;0;22;bad", "internal"),
        ("1;255;3;0;33;500", "internal"),
        ("1;255;4;0;0;01000200B00626E80300", "stream"),
        ("1;0;1;0;200;5", "set"),
    ],
)
def test_good_message_without_a_value_is_a_frame(line: str, id_: str) -> None:
    [frame], messages = decoded(line.encode())
    assert (frame.id, frame.values) == (id_, {})
    assert not messages.rejected
    assert messages.dropped == ({"unknown type": 1} if "200" in line.split(";") else {})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("bad;bad;bad;bad;bad;bad", "not a message"),
        ("1;0;1;0;0", "not a message"),
        ("1;0;5;0;0;1", "not a message"),
        ("1;0;1;2;0;1", "not a message"),
        ("-1;0;1;0;0;1", "not a message"),
        ("1;0;1;0;;1", "not a message"),
        ("256;0;1;0;0;1", "number above 255"),
        ("1;256;1;0;0;1", "number above 255"),
        ("1;0;1;0;999;1", "number above 255"),
        ("ets Jul 29 2019 12:21:46", "not a message"),
        ("1;0;1;0;47;" + "x" * 600, "too long"),
    ],
)
def test_what_is_no_message_is_refused_and_the_next_is_read(line: str, reason: str) -> None:
    frames, messages = decoded(line.encode() + b"\n1;0;1;0;0;21.5\n")
    assert [frame.values for frame in frames] == [{"node1.child0.temperature": 21.5}]
    assert messages.rejected == {reason: 1}


def test_noise_of_a_reset_costs_no_message() -> None:
    [frame], messages = decoded(b"\x00\xff\xf8 1;0;1;0;0;21.5\r\n")
    assert (frame.offset, frame.length) == (4, 14)
    assert not messages.rejected


def test_types_have_the_numbers_of_the_standard() -> None:
    codes = {kind.code: number for number, kind in SET.items()}
    wanted = {
        "V_TEMP": 0, "V_LIGHT_LEVEL": 23, "V_VAR1": 24, "V_LEVEL": 37, "V_TEXT": 47, "V_POWER_FACTOR": 56, "V_TILT": 58,
    }  # fmt: skip
    assert {code: codes[code] for code in wanted} == wanted
    names = [kind.readable for kind in (*SET.values(), *INTERNAL.values())]
    assert len(METRICS) == len(set(names)) == len(names)
