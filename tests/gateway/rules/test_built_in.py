"""Rules that nobody has written, with what they speak of."""

from collections.abc import Mapping
from datetime import UTC

import pytest

import drivers
from gateway.config import rulebook
from gateway.config.rules import BUILT_IN, RuleOptions
from gateway.model import Availability, Observation, Presence, Reading, Stamp, Tally, Value
from gateway.rules.engine import Engine
from gateway.rules.memory import Memory
from gateway.rules.rulebook import STATUS

JSON = drivers.find("json").options.model_validate({"driver": "json", "port": "/dev/null"})


class Site:
    """All built-in rules over one device, and what fires."""

    def __init__(self) -> None:
        memory = Memory()
        rules = {name: RuleOptions.model_validate(each) for name, each in BUILT_IN.items()}
        book = rulebook(rules, {"board": JSON}, UTC)
        assert book.mistakes == []
        self._engine = Engine(book.watches(memory), Stamp(0, 0.0), heed=memory.heed, ports=book.ports)
        self.firing: dict[str, str] = {}
        self.now = 0.0

    def hear(self, event: Observation) -> None:
        self.now = event.at.mono
        for alert in self._engine.on_event(event):
            if alert.state == "firing":
                self.firing[alert.rule] = alert.message
            else:
                del self.firing[alert.rule]

    def tally(self, now: float, device: str, values: Mapping[str, Value]) -> None:
        self.hear(Tally(at=Stamp(0, now), device=device, values=values))

    def presence(self, now: float, presence: Presence) -> None:
        self.hear(
            Availability(at=Stamp(0, now), device="board", presence=presence, reason="", port_open=True)
        )


@pytest.mark.parametrize("stale", [False, True])
def test_device_of_which_most_is_broken_is_told_of_though_nothing_else_is_heard(stale: bool) -> None:
    site = Site()
    if stale:
        site.presence(0, Presence.STALE)
    for look in range(60):
        site.tally(10.0 * look, "board", {"$read": 0, "$rejected": look, "$unanswered": 0})
        assert ("frame_errors" in site.firing) is (look > 10)
    assert ("device_stale" in site.firing) is stale


def test_few_broken_frames_among_many_good_ones_are_no_news() -> None:
    site = Site()
    for look in range(600):
        site.tally(10.0 * look, "board", {"$read": 100 * look, "$rejected": 5 * look, "$unanswered": 0})
    assert site.firing == {}


def test_counts_of_a_silent_device_do_not_say_that_it_speaks() -> None:
    site = Site()
    site.hear(Reading(at=Stamp(0, 0.0), device="board", values={"t": 1}))
    site.presence(60, Presence.STALE)
    assert [*site.firing] == ["device_stale"]
    for look in range(7, 100):
        site.tally(10.0 * look, "board", {"$read": 1, "$rejected": 0, "$unanswered": look})
    assert [*site.firing] == ["device_stale"]


def test_broker_that_is_behind_is_told_of_until_it_has_caught_up() -> None:
    site = Site()
    behind: dict[str, Value] = {"waiting": 5000, "behind": 130.0, "behind_broker": "cloud"}
    site.tally(0, STATUS, behind | {"behind": 110.0})
    for look in range(1, 4):
        site.tally(10.0 * look, STATUS, behind)
        assert site.firing == {}
    site.tally(40, STATUS, behind)
    assert site.firing == {"publisher_behind": "5000 readings wait for cloud, for 130 s now"}
    site.tally(50, STATUS, behind | {"behind": 60.0})
    assert site.firing
    for look in range(6, 13):
        site.tally(10.0 * look, STATUS, {"waiting": 0, "behind": 0, "behind_broker": ""})
    assert site.firing == {}


def test_backlog_of_an_outage_that_leaves_after_the_start_is_no_news() -> None:
    site = Site()
    for look, behind in enumerate([7200.0, 5000.0, 0.0, 0.0, 0.0, 0.0]):
        site.tally(10.0 * look, STATUS, {"waiting": 1, "behind": behind, "behind_broker": "cloud"})
        assert site.firing == {}


@pytest.mark.parametrize(
    "values", [{"journal_used": 0.9, "journal_trouble": False}, {"journal_trouble": True}]
)
def test_journal_that_fills_or_fails_is_told_of(values: Mapping[str, Value]) -> None:
    site = Site()
    site.tally(0, STATUS, {"journal_used": 0.1, "journal_trouble": False} if "journal_used" in values else {})
    assert site.firing == {}
    site.tally(10, STATUS, values)
    assert [*site.firing] == ["journal_filling"]
    site.tally(20, STATUS, {"journal_used": 0.1, "journal_trouble": False})
    assert site.firing == {}


def test_clock_that_nobody_sets_is_told_of_after_ten_minutes() -> None:
    site = Site()
    for look in range(61):
        assert site.firing == {}
        site.tally(10.0 * look, STATUS, {"clock_synchronised": False})
    assert [*site.firing] == ["clock_unsynchronised"]
