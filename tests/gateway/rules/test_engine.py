from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import inf

import orjson
import pytest

from gateway.model import AlertState, Availability, Presence, Reading, Stamp, Tally
from gateway.rules.engine import GONE, PORT_DOWN, Engine, Silence
from gateway.rules.expression import Expression
from gateway.rules.memory import Memory
from gateway.rules.message import Message
from gateway.rules.names import Instrument
from gateway.rules.names import Site as Names
from gateway.rules.rule import Flap, OnStale, Rule, State, Watch
from tests.gateway.rules.stage import Site, Told, Values, above, hot, stamp

OVERHEAT = Rule(name="overheat", for_s=30)
AT_ONCE = Rule(name="overheat")


@pytest.fixture
def values() -> Values:
    return Values()


def labels(site: Site) -> list[dict[str, str]]:
    return [dict(alert.labels) for alert in site.alerts]


def test_alert_says_what_and_when(values: Values) -> None:
    rule = Rule(
        name="overheat", for_s=30, severity="critical", labels={"team": "heat"},
        message=Message("{device}: {boiler.temperature:.0f} °C, {value:.1f}"),
    )  # fmt: skip
    site = Site(values, hot(values, rule, metric="boiler.temperature"))
    site.reading(0, 81.25)
    site.until(40)
    (alert,) = site.alerts
    assert (alert.at, alert.since, alert.rule, alert.device) == (stamp(30), stamp(30), "overheat", "boiler")
    assert (alert.state, alert.value, alert.severity) == (AlertState.FIRING, 81.25, "critical")
    assert (alert.message, alert.labels) == ("boiler: 81 °C, 81.2", {"team": "heat"})


def test_wait_is_over_without_a_reading_and_due_says_when(values: Values) -> None:
    site = Site(values, hot(values, OVERHEAT))
    site.until(0)
    assert site.engine.due == inf
    site.reading(5, 90)
    assert site.engine.due == 35
    site.until(34.999)
    assert site.alerts == []
    site.until(35)
    assert site.story == [(35, "firing")]


def test_what_the_gateway_counts_is_judged_as_it_comes() -> None:
    memory = Memory()
    expression = Expression('boiler["$rejected"] > 10', Names({"boiler": Instrument()}))
    watch = Watch(rule=AT_ONCE, when=expression.bind(memory), device="boiler", devices=frozenset({"boiler"}))
    engine = Engine([watch], stamp(0), heed=memory.heed)
    tallies = [Tally(at=stamp(now), device="boiler", values={"$rejected": now}) for now in (10, 20)]
    alerts = [alert for tally in tallies for alert in engine.on_event(tally)]
    assert [(alert.at, alert.state) for alert in alerts] == [(stamp(20), AlertState.FIRING)]


def test_stop_of_the_gateway_and_a_port_just_opened_are_no_absence(values: Values) -> None:
    site = Site(values, hot(values, replace(AT_ONCE, on_stale=OnStale.FIRE)))
    site.reading(0, 20)
    site.presence(0, Presence.ONLINE)
    unproven = Availability(at=stamp(1), device="boiler", presence=Presence.OFFLINE, reason="", unproven=True)
    site.hear(unproven)
    assert site.story == []
    site.presence(2, Presence.OFFLINE)
    assert site.story == [(2, "firing")]
    site.hear(replace(unproven, at=stamp(3)))
    assert site.story == [(2, "firing")]


def test_call_that_comes_late_changes_no_moment(values: Values) -> None:
    site = Site(values, hot(values, OVERHEAT))
    site.reading(0, 90)
    site.reading(77, 20)
    assert site.story == [(30, "firing"), (77, "resolved")]


class Nightly:
    """True in the second half of each hundred seconds; nothing has to come for that."""

    timed = True

    @property
    def judge(self) -> Callable[[Stamp], object]:
        return lambda at: at.mono % 100 >= 50

    def due(self, at: Stamp) -> float:
        return at.mono - at.mono % 50 + 50


def test_condition_that_changes_by_itself_is_asked_when_it_does(values: Values) -> None:
    site = Site(values, Watch(rule=Rule(name="night", for_s=10), when=Nightly()))
    site.until(0)
    assert site.engine.due == 50
    site.until(230)
    assert site.story == [(60, "firing"), (100, "resolved"), (160, "firing"), (200, "resolved")]


def test_way_back_may_change_by_itself_too(values: Values) -> None:
    site = Site(values, hot(values, AT_ONCE, clear=Nightly()))
    site.reading(0, 90)
    site.reading(1, 20)
    site.until(99)
    assert site.story == [(0, "firing"), (50, "resolved")]


def test_waits_that_begin_anew_again_and_again_fill_no_memory(values: Values) -> None:
    site = Site(values, hot(values, OVERHEAT))
    for now in range(1000):
        site.reading(now, 90 if now % 2 else 20)
    assert len(site.engine._heap) == 1
    assert site.alerts == []


def test_only_rules_that_read_the_device_are_asked(values: Values) -> None:
    rules = [hot(values, Rule(name=f"r{n}"), device=f"d{n}") for n in range(10)]
    site = Site(values, *rules)
    site.until(0)
    before = [each.when.asked for each in rules if isinstance(each.when, Told)]
    site.reading(1, 20, device="d3")
    site.reading(2, 20, device="unknown")
    asked = [each.when.asked for each in rules if isinstance(each.when, Told)]
    assert [now - then for now, then in zip(asked, before, strict=True)] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_rule_that_is_switched_off_is_not_there(values: Values) -> None:
    site = Site(values, hot(values, replace(AT_ONCE, enabled=False)))
    site.reading(0, 90)
    assert (site.alerts, site.engine.due) == ([], inf)
    with pytest.raises(LookupError, match="overheat: no such rule about boiler"):
        site.engine.state("overheat", "boiler")


def test_step_of_the_wall_clock_changes_nothing(values: Values) -> None:
    site = Site(values, hot(values, OVERHEAT))
    site.reading(0, 90)
    for now, step_s in [(10, 3600.0), (29.9, -86_400.0)]:
        at = stamp(now, wall_step_s=step_s)
        site.hear(Reading(at=at, device="boiler", values={"temperature": 90}))
    assert site.alerts == []
    site.until(30)
    assert [alert.at.mono for alert in site.alerts] == [30]


def test_reading_that_was_overtaken_by_another_counts_as_if_it_came_now(values: Values) -> None:
    site = Site(values, hot(values, OVERHEAT), hot(values, Rule(name="other"), device="pump"))
    site.reading(10, 20, device="pump")
    site.reading(9, 90)
    site.until(39.5)
    assert site.alerts == []
    site.until(40)
    assert site.story == [(40, "firing")]


def test_nothing_resolves_because_data_stopped(values: Values) -> None:
    site = Site(values, hot(values, AT_ONCE))
    site.presence(0, Presence.ONLINE)
    site.reading(0, 90)
    site.presence(60, Presence.STALE)
    site.presence(90, Presence.OFFLINE)
    site.until(1e6)
    assert site.story == [(0, "firing")]
    site.presence(1e6, Presence.ONLINE)
    site.reading(1e6, 20)
    assert site.story == [(0, "firing"), (1e6, "resolved")]


def test_gateway_that_starts_is_no_device_that_has_gone_quiet(values: Values) -> None:
    site = Site(values, hot(values, replace(AT_ONCE, on_stale=OnStale.FIRE)))
    site.presence(0, Presence.OFFLINE)  # "starting"
    site.until(9)
    assert site.alerts == []
    site.presence(10, Presence.STALE)
    assert site.story == [(10, "firing")]


def test_repeats_keep_the_moment_since_when(values: Values) -> None:
    site = Site(values, hot(values, replace(AT_ONCE, repeat_s=60)))
    site.reading(0, 90)
    site.until(125)
    assert [(alert.at.mono, alert.since.mono) for alert in site.alerts] == [(0, 0), (60, 0), (120, 0)]


def test_what_is_pending_is_told_when_asked_for(values: Values) -> None:
    site = Site(values, hot(values, OVERHEAT))
    site.reading(5, 90)
    (alert,) = site.engine.standing()
    assert (alert.state, alert.since, site.alerts) == (AlertState.PENDING, stamp(5), [])
    site.until(40)
    (alert,) = site.engine.standing()
    assert (alert.state, alert.since) == (AlertState.FIRING, stamp(35))


def test_alert_that_is_resolved_while_the_next_one_is_pending_says_resolved(values: Values) -> None:
    site = Site(values, hot(values, replace(OVERHEAT, flap=Flap(2, 60))))
    for now, temperature in [(0, 90), (40, 20), (80, 90)]:
        site.reading(now, temperature)
    site.until(120)
    assert site.story == [(30, "firing"), (90, "resolved"), (110, "firing")]


def test_acknowledged_alert_is_quiet_until_it_is_resolved(values: Values) -> None:
    site = Site(values, hot(values, replace(AT_ONCE, repeat_s=60)))
    with pytest.raises(LookupError, match="overheat: does not fire"):
        site.engine.acknowledge("overheat", "boiler", "anna", stamp(0))
    site.reading(0, 90)
    site.take(site.engine.acknowledge("overheat", "boiler", "anna", stamp(10)))
    site.until(200)
    site.reading(200, 20)
    site.reading(201, 90)
    assert site.story == [(0, "firing"), (10, "firing"), (200, "resolved"), (201, "firing")]
    assert labels(site) == [{}, {"acknowledged": "anna"}, {"acknowledged": "anna"}, {}]


@pytest.mark.parametrize(
    ("silence", "matches"),
    [
        (Silence(name="s", ends_at=99), True),
        (Silence(name="s", ends_at=99, rule="over*", device="b?iler"), True),
        (Silence(name="s", ends_at=99, labels={"team": "heat", "severity": "warning"}), True),
        (Silence(name="s", ends_at=99, rule="under*"), False),
        (Silence(name="s", ends_at=99, device="pump"), False),
        (Silence(name="s", ends_at=99, labels={"team": "water"}), False),
    ],
)
def test_silence_is_for_what_it_matches(values: Values, silence: Silence, matches: bool) -> None:
    site = Site(values, hot(values, replace(AT_ONCE, labels={"team": "heat"})))
    site.take(site.engine.silence(silence, stamp(0)))
    site.reading(1, 90)
    assert labels(site) == [{"team": "heat"} | ({"silenced": "s"} if matches else {})]


def test_silence_that_ends_lets_be_heard_what_still_fires(values: Values) -> None:
    site = Site(values, hot(values, AT_ONCE))
    site.take(site.engine.silence(Silence(name="s", ends_at=60, by="anna"), stamp(0)))
    site.reading(1, 90)
    site.until(100)
    assert site.story == [(1, "firing"), (60, "firing")]
    assert labels(site) == [{"silenced": "anna"}, {}]
    assert site.engine.silences == []


def test_silence_can_be_taken_back_and_put_on_what_fires(values: Values) -> None:
    site = Site(values, hot(values, AT_ONCE))
    site.reading(0, 90)
    site.take(site.engine.silence(Silence(name="s", ends_at=60), stamp(1)))
    site.take(site.engine.unsilence("s", stamp(2)))
    site.until(100)
    assert site.story == [(0, "firing"), (1, "firing"), (2, "firing")]
    assert labels(site) == [{}, {"silenced": "s"}, {}]
    with pytest.raises(LookupError, match="s: no such silence"):
        site.engine.unsilence("s", stamp(3))


def test_inhibited_alert_fires_quietly_and_is_heard_when_nothing_inhibits_it(values: Values) -> None:
    upper = Rule(name="power_fails")
    site = Site(
        values,
        hot(values, replace(AT_ONCE, inhibited_by=("power_fails",))),
        hot(values, upper, when=above(values, "boiler.temperature", 100)),
    )
    for now, temperature in [(0, 110), (1, 90), (2, 110), (3, 20)]:
        site.reading(now, temperature)
    told = [(alert.at.mono, alert.rule, alert.state.value, dict(alert.labels)) for alert in site.alerts]
    quiet = {"inhibited": "power_fails"}
    assert told == [
        (0, "power_fails", "firing", {}), (0, "overheat", "firing", quiet),
        (1, "power_fails", "resolved", {}), (1, "overheat", "firing", {}),
        (2, "power_fails", "firing", {}), (2, "overheat", "firing", quiet),
        (3, "power_fails", "resolved", {}), (3, "overheat", "firing", {}), (3, "overheat", "resolved", {}),
    ]  # fmt: skip


def test_what_fires_for_another_device_inhibits_nothing(values: Values) -> None:
    site = Site(
        values,
        hot(values, replace(AT_ONCE, inhibited_by=("other",))),
        hot(values, Rule(name="other"), device="pump"),
    )
    site.reading(0, 90, device="pump")
    site.reading(1, 90)
    assert labels(site) == [{}, {}]


@pytest.mark.parametrize(
    "rule", [Rule(name="no_flow", of_silence=True), Rule(name="hot", on_stale=OnStale.FIRE)]
)
def test_port_that_is_down_keeps_quiet_the_silence_behind_it(values: Values, rule: Rule) -> None:
    port = Watch(
        rule=Rule(name=PORT_DOWN), when=above(values, "gateway.down", 0), device="/dev/ttyUSB0",
        devices=frozenset({"gateway"}),
    )  # fmt: skip
    quiet = Told(values, "boiler.quiet")
    watch = hot(values, rule) if rule.name == "hot" else hot(values, rule, when=quiet, needs=frozenset())
    site = Site(values, watch, port, boiler="/dev/ttyUSB0", pump="/dev/ttyUSB1")
    site.reading(0, 20)
    site.reading(1, 1, device="gateway", metric="down")
    values.known["boiler.quiet"] = True
    site.presence(2, Presence.STALE)
    site.reading(3, 0, device="gateway", metric="down")
    told = [(alert.at.mono, alert.rule, alert.state.value, dict(alert.labels)) for alert in site.alerts]
    assert told == [
        (1, PORT_DOWN, "firing", {}), (2, rule.name, "firing", {"inhibited": PORT_DOWN}),
        (3, PORT_DOWN, "resolved", {}), (3, rule.name, "firing", {}),
    ]  # fmt: skip


def test_port_that_is_down_hides_nothing_but_silence(values: Values) -> None:
    port = Watch(
        rule=Rule(name=PORT_DOWN), when=above(values, "gateway.down", 0), device="/dev/ttyUSB0",
        devices=frozenset({"gateway"}),
    )  # fmt: skip
    site = Site(values, hot(values, AT_ONCE), port, boiler="/dev/ttyUSB0")
    site.reading(0, 1, device="gateway", metric="down")
    site.reading(1, 90)
    assert labels(site) == [{}, {}]


def test_rules_that_inhibit_each_other_are_refused(values: Values) -> None:
    one, other = Rule(name="a", inhibited_by=("b",)), Rule(name="b", inhibited_by=("a",))
    with pytest.raises(ValueError, match="cycle"):
        Engine([hot(values, one), hot(values, other)], stamp(0), heed=values.heed)


def restarted(site: Site, *watches: Watch, stopped: float, outage_s: float, start: float) -> Site:
    kept = orjson.loads(orjson.dumps(site.engine.export(stamp(stopped))))
    after = Site(Values(), *watches, start=start)
    after.take(after.engine.restore(kept, stamp(start), outage_s))
    return after


def test_wait_goes_on_over_a_restart(values: Values) -> None:
    site = Site(values, hot(values, OVERHEAT))
    site.reading(1000, 90)
    fresh = Values()
    kept = orjson.loads(orjson.dumps(site.engine.export(stamp(1010))))
    after = Site(fresh, hot(fresh, OVERHEAT), start=3)
    after.take(after.engine.restore(kept, stamp(3), 5))
    after.reading(4, 90)
    after.until(60)
    assert after.story == [(18, "firing")]  # 10 s before, 5 s of outage, 15 s after


def test_alert_says_after_a_restart_what_it_said_before_until_more_is_known(values: Values) -> None:
    rule = replace(AT_ONCE, repeat_s=10, message=Message("at {boiler.temperature} °C"))
    carries = {"metric": "boiler.temperature"}
    site = Site(values, hot(values, rule, **carries))
    site.reading(0, 90)
    fresh = Values()
    kept = orjson.loads(orjson.dumps(site.engine.export(stamp(1))))
    after = Site(fresh, hot(fresh, rule, **carries), start=1)
    after.take(after.engine.restore(kept, stamp(1), 0))
    after.until(11)
    after.reading(12, 95)
    after.until(21)
    after.reading(22, 20)
    after.reading(23, 85)
    said = [(alert.state, alert.value, alert.message) for alert in after.alerts]
    assert said == [
        ("firing", 90, "at 90 °C"),
        ("firing", 95, "at 95 °C"),
        ("resolved", 20, "at 20 °C"),
        ("firing", 85, "at 85 °C"),
    ]


def test_alert_that_fires_since_a_device_is_silent_says_so(values: Values) -> None:
    rule = replace(AT_ONCE, on_stale=OnStale.FIRE, message=Message("at {boiler.temperature} °C"))
    site = Site(values, hot(values, rule))
    site.reading(0, 20)
    site.presence(1, Presence.STALE)
    site.reading(2, 21)
    site.presence(2, Presence.ONLINE)
    assert [alert.message for alert in site.alerts] == ["at 20 °C (boiler: not heard any more)", "at 21 °C"]


def test_alert_that_fires_is_neither_announced_twice_nor_forgotten(values: Values) -> None:
    site = Site(values, hot(values, AT_ONCE))
    site.reading(100, 90)
    fresh = Values()
    kept = site.engine.export(stamp(110))
    after = Site(fresh, hot(fresh, AT_ONCE), start=3)
    after.take(after.engine.restore(kept, stamp(3), 60))
    after.until(10)
    after.reading(11, 95)
    assert after.alerts == []
    (alert,) = after.engine.standing()
    assert (alert.since.wall_ns, alert.since.mono) == (stamp(100).wall_ns, -67)
    after.reading(12, 20)
    assert after.story == [(12, "resolved")]


def test_alert_whose_rule_is_gone_is_resolved(values: Values) -> None:
    site = Site(values, hot(values, replace(AT_ONCE, severity="critical", labels={"team": "heat"})))
    site.reading(0, 90)
    after = restarted(site, stopped=10, outage_s=5, start=3)
    (alert,) = after.alerts
    assert (alert.rule, alert.device, alert.state, alert.at) == (
        "overheat",
        "boiler",
        AlertState.RESOLVED,
        stamp(3),
    )
    assert (alert.severity, alert.labels, alert.message) == (
        "critical",
        {"team": "heat"},
        GONE,
    )
    assert after.engine.standing() == []


def test_pending_alert_whose_rule_is_gone_was_never_announced(values: Values) -> None:
    site = Site(values, hot(values, OVERHEAT))
    site.reading(0, 90)
    assert restarted(site, stopped=10, outage_s=5, start=3).alerts == []


def test_acknowledgement_and_silence_outlast_a_restart(values: Values) -> None:
    site = Site(values, hot(values, AT_ONCE), hot(values, Rule(name="second")))
    site.reading(0, 90)
    site.engine.acknowledge("overheat", "boiler", "anna", stamp(1))
    site.engine.silence(Silence(name="s", ends_at=100, rule="second"), stamp(2))
    fresh = Values()
    after = restarted(
        site, hot(fresh, AT_ONCE), hot(fresh, Rule(name="second")), stopped=10, outage_s=60, start=3
    )
    after.until(30)
    assert after.alerts == []
    assert [alert.labels for alert in after.engine.standing()] == [
        {"acknowledged": "anna"},
        {"silenced": "s"},
    ]
    after.until(50)  # 90 s were left, 60 of them passed while nobody ran
    assert [(alert.at.mono, alert.rule, alert.labels) for alert in after.alerts] == [(33, "second", {})]


def test_silence_that_ended_while_nobody_ran_lets_be_heard_what_fires(values: Values) -> None:
    site = Site(values, hot(values, AT_ONCE))
    site.engine.silence(Silence(name="s", ends_at=20), stamp(0))
    site.reading(1, 90)
    after = restarted(site, hot(Values(), AT_ONCE), stopped=10, outage_s=60, start=3)
    assert [(alert.at.mono, alert.labels) for alert in after.alerts] == [(3, {})]


def test_silence_of_a_device_that_fires_an_alert_outlasts_a_restart(values: Values) -> None:
    rule = replace(AT_ONCE, on_stale=OnStale.FIRE)
    site = Site(values, hot(values, rule))
    site.presence(0, Presence.STALE)
    fresh = Values()
    after = restarted(site, hot(fresh, rule), stopped=10, outage_s=5, start=3)
    after.presence(3, Presence.OFFLINE)
    after.until(60)
    assert after.alerts == []
    assert after.engine.state("overheat", "boiler") is State.FIRING
    after.presence(61, Presence.ONLINE)
    after.engine.on_event(Reading(at=stamp(62), device="boiler", values={"temperature": 90}))
    assert after.engine.state("overheat", "boiler") is State.FIRING


def test_every_change_that_must_be_kept_is_told(values: Values) -> None:
    site = Site(values, hot(values, OVERHEAT))
    revisions = []

    def look() -> None:
        revisions.append(site.engine.revision)

    look()
    for now, temperature in [(0, 20), (1, 90), (2, 91), (3, 20), (4, 90)]:
        site.reading(now, temperature)
        look()
    site.until(34)
    look()
    site.engine.acknowledge("overheat", "boiler", "anna", stamp(40))
    look()
    assert [later > earlier for earlier, later in pairwise(revisions)] == [
        False, True, False, True, True, True, True,
    ]  # fmt: skip
