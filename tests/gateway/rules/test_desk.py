import asyncio
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.model import Alert, Reading, Value
from gateway.rules.desk import MOST_SILENCES, Desk
from gateway.rules.engine import ACKNOWLEDGED, SILENCED
from gateway.rules.message import Message
from gateway.rules.rule import Rule
from tests.gateway.rules.stage import Site, Values, at_once, hot, stamp

WALL = "2023-11-14T22:13:20.000Z"
"""What the clock on the wall says at 0 s."""


class Office:
    """Two devices that may be overheated at once, a slow rule about the first, and a desk."""

    def __init__(self) -> None:
        values = Values()
        overheat = Rule(name="overheat", severity="critical", message=Message("{boiler.temperature} °C"))
        slow = Rule(name="slow", for_s=60, labels={"site": "north"})
        self.site = Site(
            values,
            hot(values, overheat),
            hot(values, overheat, "oven"),
            hot(values, slow),
            hot(values, Rule(name="unused", enabled=False)),
        )
        self.now = stamp(0)
        self.calls = 0
        self.remembered: list[int] = []
        self.desk = Desk(lambda: self.site.engine, lambda: self.now, self._take, self._remember)

    def ask(self, verb: str, **request: Any) -> dict[str, Any]:
        answer = self.answer(verb, request)
        assert orjson.loads(orjson.dumps(answer)) == answer  # it can leave
        return answer

    def answer(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        async def answered() -> dict[str, Any]:
            return await self.desk.verbs[verb](request)

        return asyncio.run(answered())

    def refusal(self, verb: str, **request: Any) -> str:
        before = self.site.engine.export(self.now)
        with pytest.raises(Refused) as refused:
            self.answer(verb, request)
        assert self.site.engine.export(self.now) == before
        return str(refused.value)

    def heat(self, *devices: str) -> None:
        for device in devices:
            self.site.reading(self.now.mono, 85, device)

    def at(self, now: float, *, synchronised: bool = True) -> None:
        self.now = stamp(now)._replace(synchronised=synchronised)

    @property
    def last(self) -> tuple[str, str, dict[str, str]]:
        alert = self.site.alerts[-1]
        return alert.rule, alert.device, dict(alert.labels)

    async def _remember(self) -> None:
        self.remembered.append(self.site.engine.revision)

    def _take(self, alerts: list[Alert]) -> None:
        self.calls += 1
        self.site.take(alerts)


@pytest.fixture
def office() -> Office:
    return Office()


def test_only_one_that_fires_needs_no_device(office: Office) -> None:
    office.heat("oven")
    answer = office.ask("alert/ack", rule="overheat", by="anna")
    assert answer == {"acknowledged": [{"rule": "overheat", "device": "oven"}]}
    assert office.last == ("overheat", "oven", {ACKNOWLEDGED: "anna"})


def test_of_several_that_fire_one_has_to_say_which(office: Office) -> None:
    office.heat("boiler", "oven")
    assert office.refusal("alert/ack", rule="overheat") == (
        'overheat: fires for several devices: "boiler", "oven"; say which, or "*"'
    )
    assert office.ask("alert/ack", rule="overheat", device="oven")["acknowledged"] == [
        {"rule": "overheat", "device": "oven"}
    ]
    assert office.last == ("overheat", "oven", {ACKNOWLEDGED: "somebody"})
    assert len(office.ask("alert/ack", rule="overheat", device="*")["acknowledged"]) == 2


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"rule": "overheat", "device": "boiler"}, "overheat, boiler: does not fire"),
        ({"rule": "overheat"}, "overheat: does not fire"),
        ({"rule": "slow"}, "slow: does not fire yet: it is pending"),
        ({"rule": "overhaet"}, 'overhaet: no such rule; did you mean "overheat"?'),
        ({"rule": "unused"}, "unused: no such rule"),
        ({}, "rule: is missing"),
        ({"rule": 5}, "rule: must be text"),
        ({"rule": "overheat", "by": "a\nb"}, "by: must not hold control characters"),
        ({"rule": "overheat", "by": "a" * 129}, "by: must not be longer than 128 characters"),
        ({"rule": "overheat", "devcie": "oven"}, 'devcie: unknown key; did you mean "device"?'),
    ],
)
def test_acknowledgement_that_cannot_be_says_why(office: Office, wanted: dict[str, Any], why: str) -> None:
    office.heat("oven")
    office.site.reading(0, 20, "oven")
    if wanted.get("rule") == "slow":
        office.heat("boiler")
    assert office.refusal("alert/ack", **wanted) == why


def test_silence_keeps_quiet_what_it_matches_until_its_end(office: Office) -> None:
    office.heat("boiler", "oven")
    answer = office.ask("alert/silence", rule="over*", device="oven", by="anna", **{"for": "2h"})
    assert answer == {
        "name": "silence-1", "rule": "over*", "device": "oven", "labels": {}, "by": "anna",
        "left_s": 7200.0, "until": "2023-11-15T00:13:20.000Z", "covers": 1,
    }  # fmt: skip
    assert office.last == ("overheat", "oven", {SILENCED: "anna"})
    office.at(7199)
    assert office.ask("alert/list")["silences"][0]["left_s"] == 1.0
    office.at(7200)
    assert office.ask("alert/list")["silences"] == []
    assert office.last == ("overheat", "oven", {})


def test_silence_by_labels(office: Office) -> None:
    assert office.ask("alert/silence", labels={"site": "north"}, **{"for": "1m"})["covers"] == 1
    assert office.ask("alert/silence", labels={"severity": "critical"}, **{"for": "1m"})["covers"] == 2
    assert office.ask("alert/silence", labels={"site": "south"}, **{"for": "1m"})["covers"] == 0


def test_silence_without_a_name_takes_one_that_is_free(office: Office) -> None:
    names = [office.ask("alert/silence", rule="*", **{"for": "1m"})["name"] for _ in range(3)]
    assert names == ["silence-1", "silence-2", "silence-3"]
    office.ask("alert/unsilence", name="silence-2")
    assert office.ask("alert/silence", rule="*", **{"for": "1m"})["name"] == "silence-2"


def test_silence_of_the_same_name_takes_the_place_of_the_first(office: Office) -> None:
    office.ask("alert/silence", name="works", rule="slow", **{"for": "1m"})
    office.ask("alert/silence", name="works", rule="overheat", **{"for": "2m"})
    [silence] = office.ask("alert/list")["silences"]
    assert (silence["rule"], silence["left_s"]) == ("overheat", 120.0)


def test_silence_until_a_moment_on_the_wall_is_kept_by_the_other_clock(office: Office) -> None:
    office.at(100)  # 22:15:00
    answer = office.ask("alert/silence", rule="*", until="2023-11-14T23:16:30+01:00")
    assert (answer["left_s"], answer["until"]) == (90.0, "2023-11-14T22:16:30.000Z")
    office.now = stamp(150, wall_step_s=86_400)
    assert office.ask("alert/list")["silences"][0]["left_s"] == 40.0
    office.now = stamp(190, wall_step_s=-86_400)
    assert office.ask("alert/list")["silences"] == []


def test_until_needs_a_clock_that_knows_the_time(office: Office) -> None:
    office.at(100, synchronised=False)
    assert office.refusal("alert/silence", rule="*", until="2023-11-15T00:00:00Z") == (
        'until: the gateway does not know what time it is: say "for" how long'
    )
    office.ask("alert/silence", rule="*", **{"for": "1h"})
    [silence] = office.ask("alert/list")["silences"]
    assert "until" not in silence


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"for": "2h"}, 'needs a rule, a device or labels; rule = "*" silences everything'),
        ({"for": "2h", "device": "*"}, 'needs a rule, a device or labels; rule = "*" silences everything'),
        ({"for": "2h", "labels": {}}, 'needs a rule, a device or labels; rule = "*" silences everything'),
        ({"for": "2h", "rule": ""}, "rule: must not be empty"),
        ({"rule": "*"}, 'needs either "for", such as "2h", or "until"'),
        ({"rule": "*", "for": "2h", "until": WALL}, 'needs either "for", such as "2h", or "until"'),
        ({"rule": "*", "for": 7200}, 'for: must be a duration with its unit, such as "250ms", "5s", "10m" or "2h"'),
        ({"rule": "*", "for": "0s"}, "for: must be longer than nothing, and a year at most"),
        ({"rule": "*", "for": "367d"}, "for: must be longer than nothing, and a year at most"),
        ({"rule": "*", "until": WALL}, "until: must be a moment to come, within a year"),
        ({"rule": "*", "until": "2099-01-01T00:00:00Z"}, "until: must be a moment to come, within a year"),
        ({"rule": "*", "until": "2023-11-15T00:00:00"},
         'until: must be a moment with its time zone, such as "2026-11-22T17:00:00Z"'),
        ({"rule": "*", "until": 1700000000},
         'until: must be a moment with its time zone, such as "2026-11-22T17:00:00Z"'),
        ({"rule": "*", "until": "0001-01-01T00:00:00+14:00"},
         'until: must be a moment with its time zone, such as "2026-11-22T17:00:00Z"'),
        ({"for": "2h", "labels": {"site": 5}}, "labels.site: must be text"),
        ({"for": "2h", "labels": "site"}, "labels: must be an object"),
        ({"for": "2h", "rule": "*", "comment": "works"}, "comment: unknown key"),
        ({"for_s": "2h", "rule": "*"}, 'for_s: unknown key; did you mean "for"?'),
    ],
)  # fmt: skip
def test_silence_that_cannot_be_says_why(office: Office, wanted: dict[str, Any], why: str) -> None:
    assert office.refusal("alert/silence", **wanted) == why


def test_there_is_an_end_to_silences(office: Office) -> None:
    for number in range(MOST_SILENCES):
        office.ask("alert/silence", name=str(number), rule="*", **{"for": "1m"})
    assert office.refusal("alert/silence", rule="*", **{"for": "1m"}) == "there are 100 silences already"
    office.ask("alert/silence", name="7", rule="slow", **{"for": "1m"})
    office.at(60)
    office.ask("alert/silence", rule="*", **{"for": "1m"})


def test_silence_is_taken_back_by_its_name(office: Office) -> None:
    office.heat("boiler")
    office.ask("alert/silence", name="works", rule="overheat", **{"for": "1h"})
    assert office.refusal("alert/unsilence", name="work") == 'work: no such silence; did you mean "works"?'
    assert office.ask("alert/unsilence", name="works") == {"name": "works"}
    assert office.last == ("overheat", "boiler", {})


def test_list_tells_what_fires_what_is_pending_and_who_wants_quiet(office: Office) -> None:
    office.heat("boiler")
    office.ask("alert/ack", rule="overheat", by="anna")
    office.at(12.5)
    assert office.ask("alert/list") == {
        "alerts": [
            {
                "rule": "overheat", "device": "boiler", "state": "firing", "severity": "critical", "since": WALL,
                "since_s": 12.5, "value": None, "message": "85 °C", "labels": {"acknowledged": "anna"},
            },
            {
                "rule": "slow", "device": "boiler", "state": "pending", "severity": "warning", "since": WALL,
                "since_s": 12.5, "value": None, "message": "", "labels": {"site": "north"},
            },
        ],
        "silences": [],
    }  # fmt: skip


def test_list_tells_of_a_pending_alert_who_would_keep_it_quiet(office: Office) -> None:
    office.heat("boiler")
    office.ask("alert/silence", rule="slow", by="anna", **{"for": "1h"})
    assert office.ask("alert/list")["alerts"][1]["labels"] == {"site": "north", SILENCED: "anna"}


def test_list_says_when_a_moment_was_taken_by_a_clock_that_was_not_set(office: Office) -> None:
    office.site.hear(
        Reading(at=office.now._replace(synchronised=False), device="oven", values={"temperature": 85})
    )
    [alert] = office.ask("alert/list")["alerts"]
    assert alert["clock"] == "unsynchronised"


@pytest.mark.parametrize("value", [2**70, -(2**70), "half a pair: \ud800", "long" * 10_000, True, 0.1])
async def test_list_can_always_be_sent(value: Value) -> None:
    values = Values()
    rule = Rule(name="odd", message=Message("{boiler.mode}"))
    site = Site(values, hot(values, rule, look=values.look, metric="boiler.mode"))
    site.hear(Reading(at=stamp(0), device="boiler", values={"temperature": 85, "mode": value}))
    desk = Desk(lambda: site.engine, lambda: stamp(0), site.take, at_once)
    assert len(orjson.dumps(await desk.verbs["alert/list"]({}))) < 3000


def test_request_that_is_refused_takes_no_alert_with_it(office: Office) -> None:
    office.heat("boiler")
    office.at(60)
    with pytest.raises(Refused):
        office.answer("alert/unsilence", {"name": "works"})
    assert [(alert.rule, alert.at.mono) for alert in office.site.alerts] == [("overheat", 0), ("slow", 60)]


def test_whoever_waits_for_what_is_due_is_told_even_if_nothing_came_out(office: Office) -> None:
    office.ask("alert/silence", rule="*", **{"for": "5s"})
    assert office.calls
    assert office.site.alerts == []
    assert office.site.engine.due == 5


def test_desk_that_is_closed_gives_out_nothing_and_says_why(office: Office) -> None:
    office.heat("boiler")
    calls, given_out = office.calls, len(office.site.alerts)
    office.desk.close()
    for verb, request in (
        ("alert/ack", {"rule": "overheat"}),
        ("alert/silence", {"rule": "*", "for": "1h"}),
        ("alert/unsilence", {"name": "works"}),
        ("alert/list", {}),
    ):
        with pytest.raises(Refused, match=r"^the gateway is being stopped: its rules judge no more$"):
            office.ask(verb, **request)
    assert (office.calls, len(office.site.alerts)) == (calls, given_out)


def test_nobody_is_told_that_it_is_done_before_it_is_remembered(office: Office) -> None:
    office.heat("boiler")
    for count, (verb, request) in enumerate(
        [
            ("alert/ack", {"rule": "overheat"}),
            ("alert/silence", {"rule": "*", "for": "1h", "name": "works"}),
            ("alert/unsilence", {"name": "works"}),
        ],
        start=1,
    ):
        office.ask(verb, **request)
        assert len(office.remembered) == count
        assert office.remembered[-1] == office.site.engine.revision
    office.ask("alert/list")
    assert len(office.remembered) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    ["overheat", "boiler", "oven", "*", "[", "[!", "[z-a]", "**[", "2h", "0s", "1d", "", WALL]
)
KEYS = st.sampled_from(["rule", "device", "name", "labels", "for", "until", "by"]) | st.text()


@given(
    st.sampled_from(["alert/ack", "alert/silence", "alert/unsilence", "alert/list"]),
    st.dictionaries(KEYS, WORDS | st.text() | JSON | st.dictionaries(WORDS, WORDS), max_size=6),
)
@example("alert/silence", {"rule": "*a" * 60 + "b", "for": "1d"})
@example("alert/silence", {"rule": "[z-a]", "for": "1d"})
@example("alert/silence", {str(n): 0 for n in range(10_000)})
def test_whatever_is_asked_is_answered_or_refused(verb: str, request: dict[str, Any]) -> None:
    office = Office()
    office.heat("boiler", "oven")
    with suppress(Refused):
        orjson.dumps(office.answer(verb, request))
    office.at(2 * 366 * 86_400)
    assert office.ask("alert/list")["silences"] == []
