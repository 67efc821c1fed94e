import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from gateway.bus import EventBus, Overflow, Subscription
from gateway.model import (
    Alert,
    AlertState,
    Availability,
    Observation,
    Presence,
    Reading,
    Removal,
    Stamp,
    Value,
)
from gateway.rules.engine import PORT_DOWN
from gateway.rules.judge import Judge
from gateway.rules.message import Message
from gateway.rules.names import Instrument, Site
from gateway.rules.rule import OnStale, Rule
from gateway.rules.rulebook import Rulebook, Statute
from tests.support.scripted_driver import loop_clock

SITE = Site({"boiler": Instrument(), "pump": Instrument()})
PORT = "/dev/ttyUSB0"
HOT = "boiler.temperature > 80"


def statute(
    name: str,
    when: str,
    *,
    for_s: float = 0.0,
    each: Sequence[str] | None = None,
    on_stale: OnStale = OnStale.HOLD,
) -> Statute:
    rule = Rule(name=name, for_s=for_s, on_stale=on_stale, message=Message("{value}"))
    return Statute(rule=rule, when=when, each=each)


class Court:
    """A judge at work, and what it has said."""

    def __init__(self, bus: EventBus, judge: Judge, given_out: list[Alert], changes: list[Stamp]) -> None:
        self.bus = bus
        self.judge = judge
        self.given_out = given_out
        self.alerts: list[Alert] = []
        self.changes = changes

    @classmethod
    @asynccontextmanager
    async def sitting(cls, *statutes: Statute) -> AsyncIterator[Self]:
        """Until all that was published by then is judged."""
        bus = EventBus()
        given_out: list[Alert] = []
        changes: list[Stamp] = []
        book = Rulebook(statutes, SITE, ports={"boiler": PORT, "pump": PORT})
        assert book.mistakes == []
        judge = Judge(
            book, bus, loop_clock, changed=lambda: changes.append(loop_clock()), given_out=given_out
        )
        court = cls(bus, judge, given_out, changes)
        mail = bus.subscribe(Observation, name="rules", capacity=64, overflow=Overflow.WAIT)
        said = bus.subscribe(Alert, name="alerts", capacity=1000, overflow=Overflow.WAIT)
        async with asyncio.TaskGroup() as group:
            group.create_task(court._hear(said))
            judging = group.create_task(judge.run(mail))
            yield court
            mail.end()
            await judging
            bus.close()

    async def says(self, temperature: Value, device: str = "boiler") -> None:
        await self.bus.publish(Reading(at=loop_clock(), device=device, values={"temperature": temperature}))

    async def goes(
        self, presence: Presence, device: str = "boiler", *, port_open: bool | None = None
    ) -> None:
        event = Availability(
            at=loop_clock(), device=device, presence=presence, reason="why", port_open=port_open
        )
        await self.bus.publish(event)

    @property
    def story(self) -> list[tuple[float, str, str]]:
        return [(round(each.at.mono, 3), each.rule, each.state.value) for each in self.alerts]

    def slow_listener(self, *, capacity: int) -> Subscription[Alert]:
        return self.bus.subscribe(Alert, name="slow", capacity=capacity, overflow=Overflow.WAIT)

    async def _hear(self, said: Subscription[Alert]) -> None:
        async for alert in said:
            self.alerts.append(alert)


async def test_wait_is_over_when_it_is_over_though_no_reading_comes() -> None:
    async with Court.sitting(statute("hot", HOT, for_s=30)) as court:
        await court.says(90)
        await asyncio.sleep(29.9)
        assert court.alerts == []
        await asyncio.sleep(0.2)
        assert court.story == [(30, "hot", "firing")]
        await asyncio.sleep(86_400)
    assert len(court.alerts) == 1


async def test_timer_follows_what_comes_sooner_and_what_comes_later() -> None:
    rules = [statute("slow", HOT, for_s=600), statute("quick", 'age(boiler) > "10s"')]
    async with Court.sitting(*rules) as court:
        for _ in range(100):
            await court.says(90)
            await asyncio.sleep(9)
        await asyncio.sleep(900)
    assert court.story == [(600, "slow", "firing"), (901, "quick", "firing")]


async def test_what_came_before_a_due_moment_is_judged_before_it_however_late() -> None:
    async with Court.sitting(
        statute("hot", HOT, for_s=30), statute("blip", "pump.temperature > 80")
    ) as court:
        await court.says(90)
        with court.slow_listener(capacity=1):
            for value in (90, 20, 90):
                await court.says(value, "pump")
            await asyncio.sleep(29)
            court.bus.put(Reading(at=loop_clock(), device="boiler", values={"temperature": 20}))
            await asyncio.sleep(60)
            assert (
                court.judge.engine.standing()[0].state is AlertState.PENDING
            )  # the judge waits, and knows nothing
        await asyncio.sleep(60)
    assert "hot" not in [each.rule for each in court.alerts]


async def test_ports_are_told_before_the_devices_behind_them() -> None:
    rules = [
        statute(PORT_DOWN, "offline(this)", each=["*"]),
        statute("away", "offline(this)", each=["*"]),
    ]
    async with Court.sitting(*rules) as court:
        await court.goes(Presence.OFFLINE, port_open=None)  # nobody knows yet
        await asyncio.sleep(1)
        assert [(each.rule, each.device) for each in court.alerts] == [("away", "boiler")]
        await court.goes(Presence.ONLINE, port_open=True)
        await court.goes(Presence.OFFLINE, port_open=False)
        await court.goes(Presence.OFFLINE, "pump", port_open=False)
        await asyncio.sleep(1)
        await court.goes(Presence.ONLINE, port_open=True)
    told = [(each.rule, each.device, each.state.value, each.labels.get("inhibited")) for each in court.alerts]
    assert told == [
        ("away", "boiler", "firing", None),
        ("away", "boiler", "resolved", None),
        (PORT_DOWN, PORT, "firing", None),
        ("away", "boiler", "firing", PORT_DOWN),
        ("away", "pump", "firing", PORT_DOWN),
        (PORT_DOWN, PORT, "resolved", None),
        ("away", "boiler", "firing", None),
        ("away", "pump", "firing", None),
        ("away", "boiler", "resolved", None),
    ]


async def test_each_alert_is_given_out_before_it_is_published_and_changes_are_told() -> None:
    async with Court.sitting(statute("hot", HOT)) as court:
        await court.says(20)
        await asyncio.sleep(1)
        assert court.changes == []
        await court.says(90)
        await asyncio.sleep(1)
        assert len(court.changes) == 1
    assert court.given_out == court.alerts
    assert [each.value for each in court.alerts] == [90]


async def test_judge_waits_while_nobody_takes_its_alerts_and_loses_none() -> None:
    async with Court.sitting(statute("hot", HOT)) as court:
        with court.slow_listener(capacity=2) as listener:
            for number in range(200):
                court.bus.put(
                    Reading(at=loop_clock(), device="boiler", values={"temperature": 90 - number % 2 * 70})
                )
            await asyncio.sleep(1)
            assert 2 <= len(court.alerts) < 200
            for number in range(200):
                async with asyncio.timeout(10):
                    alert = await anext(listener)
                assert alert.state is (AlertState.RESOLVED if number % 2 else AlertState.FIRING)


async def test_command_is_obeyed_after_what_was_published_before_it() -> None:
    async with Court.sitting(statute("hot", HOT)) as court:
        await asyncio.sleep(1)
        court.bus.put(Reading(at=loop_clock(), device="boiler", values={"temperature": 90}))
        at = court.judge.now()
        court.judge.put(court.judge.engine.acknowledge("hot", "boiler", "Ada", at))
        await asyncio.sleep(1)
    assert [each.labels for each in court.alerts] == [{}, {"acknowledged": "Ada"}]


async def test_nothing_is_left_when_the_bus_closes_while_something_is_due() -> None:
    async with Court.sitting(statute("hot", HOT, for_s=30)) as court:
        await court.says(90)
        await asyncio.sleep(1)
    await asyncio.sleep(60)  # its timer would speak to a mailbox that nobody reads any more
    assert court.alerts == []


# Other rules while it rules.


def book(*statutes: Statute) -> Rulebook:
    made = Rulebook(statutes, SITE, ports={"boiler": PORT, "pump": PORT})
    assert made.mistakes == []
    return made


async def test_rule_that_says_the_same_goes_on_waiting_where_it_was() -> None:
    async with Court.sitting(statute("hot", HOT, for_s=30)) as court:
        await court.says(90)
        await asyncio.sleep(20)
        court.judge.change(book(statute("cold", "boiler.temperature < 5"), statute("hot", HOT, for_s=30)), [])
        await asyncio.sleep(9)
        assert court.alerts == []
        await asyncio.sleep(2)
        assert court.story == [(30, "hot", "firing")]


async def test_rule_whose_condition_is_another_begins_its_wait_anew() -> None:
    async with Court.sitting(statute("hot", HOT, for_s=30)) as court:
        await court.says(90)
        await asyncio.sleep(20)
        court.judge.change(book(statute("hot", "boiler.temperature > 85", for_s=30)), [])
        await asyncio.sleep(100)
        assert court.story == [(50, "hot", "firing")]


async def test_alert_of_a_rule_whose_condition_is_another_fires_until_that_says_that_it_is_over() -> None:
    async with Court.sitting(statute("hot", HOT)) as court:
        await court.says(90)
        await asyncio.sleep(10)
        court.judge.change(book(statute("hot", "boiler.temperature > 85")), [])
        await asyncio.sleep(10)
        assert court.story == [(0, "hot", "firing")]
        court.judge.change(book(statute("hot", "boiler.temperature > 95")), [])
        await asyncio.sleep(1)
        assert court.story == [(0, "hot", "firing"), (20, "hot", "resolved")]


async def test_alert_of_a_rule_that_is_gone_is_resolved() -> None:
    async with Court.sitting(statute("hot", HOT), statute("warm", "boiler.temperature > 50")) as court:
        await court.says(90)
        await asyncio.sleep(10)
        court.judge.change(book(statute("warm", "boiler.temperature > 50")), [])
        await asyncio.sleep(1)
        assert court.story[2:] == [(10, "hot", "resolved")]
        assert court.judge.watched == {("warm", "boiler")}


async def test_windows_and_last_values_outlast_a_change_and_are_forgotten_when_nobody_asks() -> None:
    falling = statute("falling", 'avg(boiler.temperature, "1m") > 50')
    both = statute("both", "boiler.temperature > 10 and pump.temperature > 10")
    async with Court.sitting(falling, both) as court:
        await court.says(99)
        await asyncio.sleep(30)
        court.judge.change(book(falling, both), [])
        await court.says(20, "pump")  # the boiler's 99 was seen before the change
        await court.says(20)  # the average of 99 and 20 is above 50, that of 20 is not
        await asyncio.sleep(10)
        assert ("falling", "firing") in [(rule, state) for _, rule, state in court.story]
        assert court.story[-1] == (30, "both", "firing")
        assert [rule for _, rule, state in court.story if state == "resolved"] == []
        court.judge.change(book(both), [])
        court.judge.change(book(falling, both), [])
        await asyncio.sleep(1)
        await court.says(20)
        await asyncio.sleep(1)
        assert [rule for _, rule, state in court.story if state == "resolved"] == ["falling"]


async def test_new_rule_hears_how_the_devices_are() -> None:
    async with Court.sitting() as court:
        await asyncio.sleep(100)
        silent = Availability(at=Stamp(0, 5.0), device="boiler", presence=Presence.STALE, reason="silent")
        court.judge.change(book(statute("quiet", "stale(boiler)")), [silent])
        await asyncio.sleep(1)
        assert court.story == [(100, "quiet", "firing")]


async def test_what_was_published_before_a_change_is_judged_by_the_rules_before_it() -> None:
    async with Court.sitting(statute("hot", HOT)) as court:
        await asyncio.sleep(1)
        court.bus.put(Reading(at=loop_clock(), device="boiler", values={"temperature": 90}))
        court.judge.change(book(statute("hot", "boiler.temperature > 100")), [])
        await asyncio.sleep(1)
        assert court.story == [(1, "hot", "firing"), (1, "hot", "resolved")]


async def test_port_that_was_down_before_a_change_is_down_after_it() -> None:
    down = statute(PORT_DOWN, "offline(this)", each=[PORT])
    async with Court.sitting(down) as court:
        await court.goes(Presence.OFFLINE, port_open=False)
        await asyncio.sleep(10)
        court.judge.change(book(down, statute("hot", HOT)), [])
        await court.goes(Presence.ONLINE, port_open=True)
        await asyncio.sleep(1)
        assert court.story == [(0, PORT_DOWN, "firing"), (10, PORT_DOWN, "resolved")]


async def test_device_that_is_taken_out_has_not_gone_offline() -> None:
    away = statute("away", "offline(this)", each=["*"])
    async with Court.sitting(away) as court:
        await court.goes(Presence.ONLINE)
        await court.bus.publish(
            Removal(at=loop_clock(), device="boiler", presence=Presence.OFFLINE, reason="not configured")
        )
        await asyncio.sleep(10)  # the old rules are in force until its brokers have been left
        court.judge.change(book(statute("away", "offline(this)", each=["pump"])), [])
        await asyncio.sleep(1)
        assert court.story == []


async def test_device_that_is_put_in_again_is_not_absent_for_what_it_was_before() -> None:
    def hot(*devices: str) -> Rulebook:
        return book(
            statute("hot", "this.temperature > 80", each=devices, on_stale=OnStale.FIRE),
        )

    async with Court.sitting(statute("hot", "this.temperature > 80", each=["*"])) as court:
        await court.goes(Presence.ONLINE)
        await court.goes(Presence.STALE)
        await court.bus.publish(
            Removal(at=loop_clock(), device="boiler", presence=Presence.OFFLINE, reason="not configured")
        )
        court.judge.change(hot("pump"), [])
        await asyncio.sleep(10)
        court.judge.change(hot("*"), [])
        await asyncio.sleep(10)
        assert court.story == []
        await court.goes(Presence.STALE)
        await asyncio.sleep(1)
        assert court.story == [(20, "hot", "firing")]
