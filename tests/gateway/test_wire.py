import math
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import wire
from gateway.model import (
    Alert,
    AlertState,
    Availability,
    Event,
    Gap,
    Presence,
    Reading,
    Removal,
    Stamp,
    Tally,
    Value,
)

MS = 1_000_000

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)


def ns(moment: str) -> int:
    """Of a moment in UTC, since the epoch."""
    since = datetime.fromisoformat(f"{moment}Z") - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(seconds=1) * 10**9


def reading(values: dict[str, Value], wall_ns: int = 0) -> Reading:
    return Reading(at=Stamp(wall_ns, 0.0), device="boiler", values=values, seq=812)


@pytest.mark.parametrize(
    ("wall_ns", "written"),
    [
        (ns("2026-11-22T17:07:01") + 123 * MS, "2026-11-22T17:07:01.123Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (ns("2026-12-31T23:59:59") + 999 * MS, "2026-12-31T23:59:59.999Z"),
        (ns("2027-01-01T00:00:00"), "2027-01-01T00:00:00.000Z"),
        (ns("2028-02-29T12:00:00"), "2028-02-29T12:00:00.000Z"),
        (ns("2106-02-07T06:28:16"), "2106-02-07T06:28:16.000Z"),  # beyond 32 bits of seconds
        (ns("9999-12-31T23:59:59"), "9999-12-31T23:59:59.000Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(wall_ns: int, written: str) -> None:
    assert wire.rfc3339(wall_ns) == written


def test_times_are_cut_to_milliseconds_so_that_none_lies_in_the_future() -> None:
    almost_next_year = ns("2027-01-01T00:00:00") - 1
    assert wire.rfc3339(almost_next_year) == "2026-12-31T23:59:59.999Z"


@given(st.integers(0, ns("9999-12-31T00:00:00")))
def test_every_time_can_be_read_back(wall_ns: int) -> None:
    read = datetime.fromisoformat(wire.rfc3339(wall_ns))
    assert read.utcoffset() == timedelta(0)
    assert (
        round(read.replace(microsecond=0).timestamp()) * 10**9 + read.microsecond * 1000 == wall_ns // MS * MS
    )


def test_reading_is_one_json_object() -> None:
    payload = wire.encode(reading({"temperature": 21.5, "valve": "öffnet", "on": True, "n": 3}), "7f3a")
    assert payload.decode() == (
        '{"time":"1970-01-01T00:00:00.000Z","seq":812,"run":"7f3a",'
        '"values":{"temperature":21.5,"valve":"öffnet","on":true,"n":3}}'
    )


@given(st.dictionaries(texts, values))
def test_values_survive_the_wire(values: dict[str, Value]) -> None:
    found = wire.values(wire.encode(reading(values), "7f3a"))
    assert found == values
    assert list(found) == list(values)
    assert [type(each) for each in found.values()] == [type(each) for each in values.values()]


@given(st.dictionaries(st.text(), st.one_of(st.integers(), st.floats(), st.text(), st.booleans())))
def test_no_value_whatsoever_stops_the_wire(values: dict[str, Value]) -> None:
    assert len(wire.values(wire.encode(reading(values), "7f3a"))) <= len(values)


def test_values_that_json_cannot_hold_are_written_as_near_as_can_be() -> None:
    found = wire.values(
        wire.encode(
            reading({"energy": 2**64, "below": -(2**63) - 1, "absurd": 10**400, "name": "\ud800x", "ok": 1}),
            "",
        )
    )
    assert found == {
        "energy": 1.8446744073709552e19,
        "below": -9.223372036854775808e18,
        "absurd": None,
        "name": "?x",
        "ok": 1,
    }


@pytest.mark.parametrize(
    ("value", "bare"),
    [("öffnet", "öffnet"), ("", ""), ("21", "21"), (21.5, "21.5"), (3, "3"), (True, "true"), (1e22, "1e+22")],
)
def test_bare_value_is_text_as_it_is_and_all_else_json(value: Value, bare: str) -> None:
    assert wire.scalar(value) == bare.encode()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_bare_number_loses_no_digit(value: float) -> None:
    assert math.copysign(1, float(wire.scalar(value))) == math.copysign(1, value)
    assert float(wire.scalar(value)) == value


def test_availability_carries_its_reason_when_there_is_one() -> None:
    at = Stamp(ns("2026-11-22T17:07:01"), 0.0)
    stale = Availability(
        at=at, device="gps", presence=Presence.STALE, reason="nothing for 5s on /dev/ttyUSB0"
    )
    assert orjson.loads(wire.encode_availability(stale)) == {
        "state": "stale",
        "since": "2026-11-22T17:07:01.000Z",
        "reason": "nothing for 5s on /dev/ttyUSB0",
    }
    online = Availability(at=at, device="gps", presence=Presence.ONLINE, reason="")
    assert orjson.loads(wire.encode_availability(online)) == {
        "state": "online",
        "since": "2026-11-22T17:07:01.000Z",
    }


def test_reading_and_availability_say_so_while_the_clock_cannot_be_believed() -> None:
    at = Stamp(0, 0.0, synchronised=False)
    fresh = Reading(at=at, device="boiler", values={"t": 21.5}, seq=812)
    assert orjson.loads(wire.encode(fresh, "7f3a")) == {
        "time": "1970-01-01T00:00:00.000Z",
        "seq": 812,
        "run": "7f3a",
        "values": {"t": 21.5},
        "clock": "unsynchronised",
    }
    online = Availability(at=at, device="gps", presence=Presence.ONLINE, reason="")
    assert orjson.loads(wire.encode_availability(online)) == {
        "state": "online",
        "since": "1970-01-01T00:00:00.000Z",
        "clock": "unsynchronised",
    }


def test_status_tells_since_when_and_which_version_and_what_troubles_the_journal() -> None:
    since_ns = ns("2026-11-22T00:00:00")
    status = {"state": "online", "since": "2026-11-22T00:00:00.000Z", "version": "0.1.0"}
    assert orjson.loads(wire.encode_online(since_ns=since_ns, version="0.1.0", journal="")) == status
    assert orjson.loads(wire.encode_online(since_ns=since_ns, version="0.1.0", journal="full")) == {
        **status,
        "journal": "full",
    }
    assert orjson.loads(wire.OFFLINE) == {"state": "offline"}


ODD = 'boiler "\n\u2028'
NOW = Stamp(0, 0.0)
TOLD: list[tuple[Event, bytes]] = [
    (each := Reading(at=NOW, device=ODD, values={"t": 1}), wire.encode(each, "7f3a")),
    (
        there := Availability(at=NOW, device=ODD, presence=Presence.ONLINE, reason=""),
        wire.encode_availability(there),
    ),
    (gone := Removal(at=NOW, device=ODD, presence=Presence.OFFLINE, reason="x"), wire.encode_availability(gone)),
    (gap := Gap(at=NOW, device=ODD, first=1, last=9, lost=3, reason="full"), wire.encode_gap(gap, "7f3a")),
    (
        alert := Alert(
            at=NOW, rule="hot", device=ODD, state=AlertState.FIRING, since=NOW, value=1, severity="", message="",
            labels={},
        ),
        wire.encode_alert(alert),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("event", "published"), TOLD, ids=[type(event).__name__ for event, _ in TOLD])
def test_live_line_is_what_is_published_with_its_kind_and_device(event: Event, published: bytes) -> None:
    line = wire.live_line(event, "7f3a")
    assert line is not None
    assert line.count(b"\n") == 1
    kind = type(event).__name__.lower()
    assert orjson.loads(line) == {"event": kind, "device": ODD, **orjson.loads(published)}


def test_alert_about_what_no_json_can_hold_is_told_as_its_reading_is() -> None:
    alert = Alert(
        at=NOW, rule="hot", device="d", state=AlertState.FIRING, since=NOW, value=2**70, severity="",
        message="\ud800", labels={},
    )  # fmt: skip
    told = orjson.loads(wire.encode_alert(alert))
    assert (told["value"], told["message"]) == (2.0**70, "?")


def test_what_is_counted_for_rules_is_not_told_live() -> None:
    assert wire.live_line(Tally(at=NOW, device="boiler", values={"$read": 1}), "7f3a") is None
