"""Rules on a time of its own: as an engine that is driven by hand, and as the gateway's own source and judge."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.driver import DriverOptions
from gateway.bus import EventBus, Overflow
from gateway.model import Alert, Availability, Observation, Presence, Reading, Stamp, Value
from gateway.rules.engine import PORT_DOWN, Engine
from gateway.rules.judge import Judge
from gateway.rules.memory import Memory
from gateway.rules.message import Message
from gateway.rules.names import Instrument, Site
from gateway.rules.ports import Ports
from gateway.rules.rehearsal import Change, Happening, Rehearsal
from gateway.rules.rule import Flap, OnStale, Rule, State
from gateway.rules.rulebook import Rulebook, Statute
from gateway.source import Source
from gateway.supervisor import Supervisor
from tests.support.loops import VirtualTimeLoop
from tests.support.scripted_driver import Instrument as Script
from tests.support.scripted_driver import Step, loop_clock

START = Stamp(0, 0.0)
DEVICES = ("boiler", "pump")


def options(stale_after: str = "never", **further: Any) -> DriverOptions:
    return DriverOptions.model_validate(
        {"driver": "json", "port": "/dev/null", "stale_after": stale_after, **further}
    )


def book(*statutes: Statute, ports: Mapping[str, str] | None = None) -> Rulebook:
    made = Rulebook(
        statutes, Site({name: Instrument() for name in DEVICES}), ports=ports or {"boiler": "p", "pump": "p"}
    )
    assert made.mistakes == []
    return made


def statute(when: str, *, name: str = "r", each: Sequence[str] | None = None, **rule: Any) -> Statute:
    text = Message("at {boiler.temperature}" if name != PORT_DOWN else "")
    return Statute(rule=Rule(name=name, message=text, **rule), when=when, each=each)


def rehearsal(*statutes: Statute, **devices: DriverOptions) -> Rehearsal:
    found = Rehearsal(book(*statutes), devices or {name: options() for name in DEVICES}, START)
    for name in devices or DEVICES:
        found.open(name, 0.0)
    return found


def story(happened: Sequence[Happening]) -> list[tuple[float, str]]:
    return [(round(each.at.mono, 6), turn(each)) for each in happened]


def turn(each: Happening) -> str:
    return f"{each.rule}: {each.before} → {each.state}" if isinstance(each, Change) else each.presence


HOT = statute("boiler.temperature > 80", for_s=30.0)


def test_every_turn_of_an_alert_is_told_at_its_moment_the_pending_ones_too() -> None:
    play = rehearsal(HOT)
    happened = [
        *play.hear("boiler", 1.0, {"temperature": 90}),
        *play.hear("boiler", 100.0, {"temperature": 70}),
        *play.hear("boiler", 101.0, {"temperature": 90}),
        *play.hear("boiler", 102.0, {"temperature": 70}),
    ]
    assert story(happened) == [
        (1, "online"),
        (1, "r: inactive → pending"),
        (31, "r: pending → firing"),
        (100, "r: firing → inactive"),
        (101, "r: inactive → pending"),
        (102, "r: pending → inactive"),
    ]
    told = [each.alert for each in happened if isinstance(each, Change) and each.alert]
    assert [(each.at.mono, each.message) for each in told] == [(31, "at 90"), (100, "at 70")]


def test_alert_that_is_kept_is_resolving_before_it_is_over() -> None:
    play = rehearsal(statute("boiler.temperature > 80", keep_for_s=10.0))
    play.hear("boiler", 0.0, {"temperature": 90})
    assert story(play.hear("boiler", 1.0, {"temperature": 70})) == [(1, "r: firing → resolving")]
    assert story(play.hear("boiler", 2.0, {"temperature": 90})) == [(2, "r: resolving → firing")]
    play.hear("boiler", 3.0, {"temperature": 70})
    assert story(play.until(60.0)) == [(13, "r: resolving → inactive")]


def test_device_is_stale_when_it_has_said_nothing_for_so_long_and_online_with_its_next_reading() -> None:
    play = rehearsal(statute("stale(boiler)"), boiler=options("10s"))
    assert story(play.hear("boiler", 9.0, {"x": 1})) == [(9, "online")]
    assert story(play.hear("boiler", 19.0, {"x": 1})) == [], "at the very moment is in time"
    assert story(play.until(28.0)) == []
    assert story(play.until(300.0)) == [(29, "stale"), (29, "r: inactive → firing")]
    assert story(play.hear("boiler", 300.0, {"x": 1})) == [(300, "online"), (300, "r: firing → inactive")]
    assert story(play.until(311.0)) == [(310, "stale"), (310, "r: inactive → firing")]


def test_device_that_never_speaks_is_stale_from_its_opening_on_and_one_that_was_not_opened_is_not_known() -> (
    None
):
    play = Rehearsal(book(statute("stale(boiler) or stale(pump)")), {"boiler": options("10s")}, START)
    play.open("boiler", 5.0)
    assert story(play.until(20.0)) == [(15, "stale"), (15, "r: inactive → firing")]
    unknown = Rehearsal(book(statute("stale(boiler)")), {"boiler": options("10s")}, START)
    assert story(unknown.until(1000.0)) == []


def test_what_has_left_is_not_stale() -> None:
    play = rehearsal(statute("stale(boiler)"), boiler=options("10s"))
    play.hear("boiler", 1.0, {"x": 1})
    play.leave("boiler", 5.0)
    assert story(play.until(1000.0)) == []


def test_port_that_is_down_is_down_for_all_behind_it_and_inhibits_what_is_said_of_their_silence() -> None:
    play = rehearsal(
        statute("offline(this)", name=PORT_DOWN, each=["*"]),
        statute("offline(this)", name="gone", each=["*"]),
    )
    happened = play.present("pump", 7.0, Presence.OFFLINE, "pulled out", port_open=False)
    assert story(happened) == [
        (7, "offline"),
        (7, "port_down: inactive → firing"),
        (7, "gone: inactive → firing"),
        (7, "offline"),
        (7, "gone: inactive → firing"),
    ]
    labels = [(each.rule, dict(each.labels)) for each in play.standing()]
    assert labels == [
        ("port_down", {}),
        ("gone", {"inhibited": "port_down"}),
        ("gone", {"inhibited": "port_down"}),
    ]
    assert story(play.open("pump", 8.0)) == [
        (8, "port_down: firing → inactive"),
        (8, "gone: firing → firing"),
    ] * 1 + [(8, "gone: firing → firing")]
    assert story(play.hear("pump", 9.0, {"x": 1})) == [(9, "online"), (9, "gone: firing → inactive")]


def test_filters_speak_when_they_are_due_and_are_hushed_with_their_device() -> None:
    filters = [{"heartbeat": "4s"}]
    counting = statute('count_over(boiler.temperature, "1h") > 1')
    play = rehearsal(counting, boiler=options("10s", filters=filters))
    play.read("boiler", 1.0, {"temperature": 20.0})
    assert story(play.until(100.0)) == [(9, "r: inactive → firing"), (11, "stale")]
    assert play.memory.cell("boiler", "temperature").window("count_over", 3600.0).value(100.0) == 2


def test_what_is_no_value_is_not_heard() -> None:
    play = rehearsal(statute("boiler.temperature != 0"))
    assert story(play.read("boiler", 1.0, {"temperature": float("nan")})) == []
    assert story(play.read("boiler", 2.0, {"temperature": float("inf"), "x": 1})) == [(2, "online")]
    assert story(play.read("boiler", 3.0, {"temperature": 1.0})) == [(3, "r: inactive → firing")]


def test_counters_are_heard_and_are_no_sign_of_life() -> None:
    play = rehearsal(statute('boiler["$rejected"] > 5'), boiler=options("10s"))
    assert story(play.count("boiler", 8.0, {"$rejected": 6})) == [(8, "r: inactive → firing")]
    assert story(play.until(11.0)) == [(10, "stale")]


def test_wall_clock_is_that_of_the_start_and_goes_on() -> None:
    noon = Stamp(12 * 3600 * 10**9, 0.0)
    play = Rehearsal(book(statute("hour() == 13")), {}, noon)
    assert story(play.until(7200.0)) == [(3600, "r: inactive → firing"), (7200, "r: firing → inactive")]


def test_only_rules_that_take_part_do_anything() -> None:
    rules = book(statute("hour() == 0"), statute("hour() == 0", name="s"))
    assert {
        each.rule for each in Rehearsal(rules, {}, START, rules={"s"}).until(1.0) if isinstance(each, Change)
    } == {"s"}


# The same as others

CONDITIONS = st.sampled_from(
    [
        "boiler.temperature > 80",
        "boiler.temperature > 80 and pump.running",
        "not pump.running or boiler.temperature / (boiler.temperature - 50) > 2",
        'avg(boiler.temperature, "5s") > 70',
        'delta(boiler.temperature, "5s") > 10',
        'changed(pump.running, "5s")',
        'age(boiler) > "2s"',
        "stale(boiler) or stale(pump)",
        "offline(pump)",
        "previous(pump.running) != pump.running",
    ]
)
STATUTES = st.builds(
    lambda when, clear, rule: Statute(rule=rule, when=when, clear=clear),
    when=CONDITIONS,
    clear=st.none() | st.just("boiler.temperature < 60"),
    rule=st.builds(
        Rule,
        name=st.just("r"),
        message=st.just(Message("at {boiler.temperature}")),
        for_s=st.sampled_from([0.0, 2.0]),
        keep_for_s=st.sampled_from([0.0, 3.0]),
        on_stale=st.sampled_from(OnStale),
        flap=st.none() | st.just(Flap(3, 12.0)),
        repeat_s=st.none() | st.just(7.0),
    ),
)
# No sum of them is a whole number of seconds below six: nothing is due at the moment of a reading, where the loop may
# take either first.
WAITS = st.sampled_from([0.611, 1.277, 2.039, 6.113])
TEMPERATURES = st.sampled_from([20, 50, 65.5, 81, 99.0])


def given_out(alerts: Sequence[Alert]) -> list[tuple[Any, ...]]:
    return [
        (round(each.at.mono, 3), each.rule, each.device, each.state, each.value, each.message)
        for each in alerts
    ]


def told(happened: Sequence[Happening]) -> list[Alert]:
    return [each.alert for each in happened if isinstance(each, Change) and each.alert is not None]


@dataclass(frozen=True)
class Said:
    wait_s: float
    device: str
    what: Mapping[str, Value] | Presence


SAID = st.lists(
    st.builds(Said, WAITS, st.just("boiler"), st.fixed_dictionaries({"temperature": TEMPERATURES}))
    | st.builds(Said, WAITS, st.just("pump"), st.fixed_dictionaries({"running": st.booleans()}))
    | st.builds(Said, WAITS, st.sampled_from(DEVICES), st.sampled_from([Presence.STALE, Presence.OFFLINE])),
    max_size=30,
)


@pytest.mark.repetitive
@given(statute=STATUTES, said=SAID)
@settings(max_examples=300)
def test_rehearsal_is_an_engine_that_is_driven_by_hand(statute: Statute, said: Sequence[Said]) -> None:
    play = rehearsal(statute)
    happened: list[Happening] = []
    memory, ports = Memory(), Ports({"boiler": "p", "pump": "p"})
    engine = Engine(
        book(statute).watches(memory), START, heed=memory.heed, ports={"boiler": "p", "pump": "p"}
    )
    by_hand: list[Alert] = []
    presences = dict.fromkeys(DEVICES, Presence.OFFLINE)
    at = 0.0

    def announce(device: str, presence: Presence, *, unproven: bool = False) -> None:
        presences[device] = presence
        event = Availability(
            at=play.stamp(at), device=device, presence=presence, reason="", port_open=True, unproven=unproven
        )
        for each in (*ports.told(event), event):
            hear(each)

    def hear(event: Observation) -> None:
        by_hand.extend(engine.on_event(event))

    for device in DEVICES:
        announce(device, Presence.OFFLINE, unproven=True)
    for each in said:
        at = round(at + each.wait_s, 6)
        if isinstance(each.what, Presence):
            happened += play.present(each.device, at, each.what, "")
            announce(each.device, each.what)
        else:
            happened += play.hear(each.device, at, each.what)
            if presences[each.device] is not Presence.ONLINE:
                announce(each.device, Presence.ONLINE)
            hear(Reading(at=play.stamp(at), device=each.device, values=each.what))
    happened += play.until(at + 60.3)
    by_hand += engine.on_time(play.stamp(at + 60.3))
    assert given_out(told(happened)) == given_out(by_hand)
    assert given_out(play.standing()) == given_out(engine.standing())
    assert [each.state for each in happened if isinstance(each, Change)][-1:] in (
        [], [play.engine.states().get(("r", engine_device(play)), State.INACTIVE)],
    )  # fmt: skip


def engine_device(play: Rehearsal) -> str:
    [watch] = play.watches
    return watch.device


SCRIPT = st.lists(st.tuples(WAITS, TEMPERATURES), max_size=25)


@given(statute=STATUTES, script=SCRIPT)
@settings(max_examples=150)
def test_rehearsal_is_what_the_gateway_does_with_the_same_readings(
    statute: Statute, script: Sequence[tuple[float, float]]
) -> None:
    rules = book(statute, ports={"boiler": "/dev/null"})
    device = options("5s")
    play = Rehearsal(rules, {"boiler": device}, START)
    happened = [*play.open("boiler", 0.0)]
    at = 0.0
    for wait_s, temperature in script:
        at = round(at + wait_s, 6)
        happened += play.read("boiler", at, {"temperature": temperature})
    happened += play.until(at + 30.5)
    alerts, presences = run_gateway(rules, device, script, at + 30.5)
    assert given_out(told(happened)) == given_out(alerts)
    assert [each.presence for each in happened if isinstance(each, Availability)] == presences


def run_gateway(
    rules: Rulebook, device: DriverOptions, script: Sequence[tuple[float, float]], seconds: float
) -> tuple[list[Alert], list[Presence]]:
    """The gateway's own source and judge, on virtual time."""
    steps: list[Step] = []
    for wait_s, temperature in script:
        steps += [wait_s, {"temperature": temperature}]
    presences: list[Presence] = []

    async def live() -> list[Alert]:
        bus = EventBus()
        source = Source("boiler", Script(steps).driver(), device, bus, loop_clock)
        mail = bus.subscribe(Observation, name="rules", capacity=64, overflow=Overflow.WAIT)
        heard = bus.subscribe(Availability, name="presences", capacity=10_000, overflow=Overflow.WAIT)
        found = bus.subscribe(Alert, name="alerts", capacity=10_000, overflow=Overflow.WAIT)
        judge = Judge(rules, bus, loop_clock, changed=lambda: None, given_out=[])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(judge.run(mail))
                group.create_task(Supervisor().run([source.child()]))
                group.create_task(source.watch())
        bus.close()
        presences.extend([each.presence async for each in heard if not each.unproven])
        return [each async for each in found]

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(live()), presences
