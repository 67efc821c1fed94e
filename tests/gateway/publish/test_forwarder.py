import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import wire
from gateway.errors import Dismissed, Unreachable
from gateway.journal.record import Entry, Record
from gateway.logs import MessageId
from gateway.model import Presence, Reading, Stamp, Value
from gateway.pacing.backoff import Backoff
from gateway.publish.broker import Broker
from gateway.publish.forwarder import Forwarder, Route
from gateway.publish.lane import Pace
from gateway.publish.link import LinkPublisher
from gateway.publish.noticeboard import Noticeboard
from gateway.publish.publisher import Done, Message, Publisher
from gateway.publish.topics import Topics
from gateway.publish.window import Window
from gateway.supervisor import Child, Report, Supervisor
from tests.support.logged import fields
from tests.support.memory_broker import MemoryBroker
from tests.support.memory_journal import MemoryJournal
from tests.support.rogue_broker import RogueBroker

ACK_TIMEOUT_S = 20.0
PATIENCE_S = 3600.0
"""Of virtual time: only a hang reaches it."""

READER = "mqtt"
TOPICS = Topics(prefix="p", gateway="g")
ONLINE = TOPICS.online(0, "0.1.0")
FAREWELL = TOPICS.offline()


class Site:
    """A forwarder and what it works with, kept going by a supervisor as in the gateway."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        by_metric: bool = False,
        topics: Topics = TOPICS,
        pace: Pace = Pace(),  # noqa: B008 - immutable
        journal: MemoryJournal | None = None,
        name: str = READER,
    ) -> None:
        self.journal = journal or MemoryJournal(name)
        self.board = Noticeboard()
        self.forwarder = Forwarder(
            self.journal,
            self.board,
            name=name,
            route=Route(
                publisher=publisher,
                topics=topics,
                by_metric=by_metric,
                pace=pace,
                last_words=lambda: [FAREWELL],
                ack_timeout_s=ACK_TIMEOUT_S,
            ),
        )
        self.readings = self.forwarder.readings
        self._name = name
        self._last_seq: dict[str, int] = {}
        self._running: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return self.journal.readings.behind(self._name)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        restart = Backoff(first_s=0.05, cap_s=0.2, draw=lambda _, cap: cap)
        child = Child(name="broker", run=self.forwarder.run, restart=restart)
        self._running = asyncio.create_task(Supervisor().run([child]))
        try:
            yield self._running
        finally:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def read(self, count: int, device: str = "boiler", **values: Value) -> None:
        """So many readings of a device are journaled; each one holds its own number."""
        for _ in range(count):
            seq = self._last_seq[device] = self._last_seq.get(device, 0) + 1
            reading = Reading(at=Stamp(0, 0.0), device=device, values=values or {"n": seq}, seq=seq)
            await self.journal.append([Entry(device, seq, wire.encode(reading, self.journal.run))])

    async def delivered(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.forwarder.waiting:
                await asyncio.sleep(0.05)

    async def finish(self) -> None:
        """A clean stop: nothing more is read, and the forwarder returns when all is delivered."""
        self.journal.seal()
        assert self._running is not None
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.shield(self._running)

    def account(self) -> None:
        """Every reading has gone somewhere."""
        lane = self.readings
        told = lane.acknowledged + lane.set_aside + lane.evicted + lane.waiting
        assert lane.found + self.journal.readings.last == told


def numbers(broker: MemoryBroker, device: str = "boiler") -> list[int]:
    """Of a device's readings as they came, repeats and all."""
    return [wire.values(payload)["n"] for payload in broker.on(f"p/g/{device}")]


def once(numbers: list[int]) -> list[int]:
    """As a subscriber sees them who drops repeats."""
    return list(dict.fromkeys(numbers))


async def condemned(forwarder: Forwarder, kind: type[Unreachable] = Unreachable) -> str:
    """Why one run of it ended."""

    async def nobody(_presence: Presence, _reason: str) -> None:
        pass

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ExceptionGroup) as group:
            await forwarder.run(Report("broker", nobody))
    unreachable, rest = group.value.split(kind)
    assert rest is None
    assert unreachable is not None
    return str(unreachable.exceptions[0])


# Nothing is lost, nothing is out of order.


async def test_readings_arrive_in_order_and_are_committed() -> None:
    site = Site(broker := MemoryBroker())
    async with site.running():
        await site.read(100)
        await site.delivered()
        await site.read(100)
        await site.delivered()
    assert numbers(broker) == list(range(1, 201))
    assert site.readings.acknowledged == 200
    assert broker.most_unacknowledged <= broker.window


async def test_backlog_uses_the_whole_window() -> None:
    site = Site(broker := MemoryBroker(window=20, latency_s=1.0))
    await site.read(400)
    async with site.running():
        await site.delivered()
    assert broker.most_unacknowledged == 20
    assert asyncio.get_running_loop().time() < 22  # virtual: one round trip to connect, 400 / 20 to deliver


class Disturbances:
    READ, WAIT, BREAK, BREAK_LATER, OFFLINE = range(5)


@settings(max_examples=60)
@given(
    script=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 30)), max_size=25),
    window=st.integers(1, 30),
    latency_s=st.floats(0.0, 3.0),
    by_metric=st.booleans(),
)
async def test_nothing_is_lost_or_out_of_order_whenever_links_break(
    script: list[tuple[int, int]], window: int, latency_s: float, by_metric: bool
) -> None:
    site = Site(broker := MemoryBroker(window=window, latency_s=latency_s), by_metric=by_metric)
    read = 0
    async with site.running():
        for what, amount in script:
            match what:
                case Disturbances.READ:
                    for device in ("boiler", "gps"):
                        await site.read(amount, device)
                    read += amount
                case Disturbances.WAIT:
                    await asyncio.sleep(amount / 10)
                case Disturbances.BREAK:
                    broker.break_link()
                case Disturbances.BREAK_LATER:
                    broker.breaks_after = amount
                case Disturbances.OFFLINE:
                    broker.go_offline()
                    await asyncio.sleep(amount)
                    broker.online = True
        broker.breaks_after = None
        await site.finish()

    for device in ("boiler", "gps"):
        bare = [int(payload) for payload in broker.on(f"p/g/{device}/n")]
        assert once(bare if by_metric else numbers(broker, device)) == list(range(1, read + 1))
    assert broker.messages[-1] == FAREWELL
    assert broker.most_unacknowledged <= window
    assert (site.readings.acknowledged, site.waiting) == (2 * read, 0)
    site.account()


async def test_replay_starts_at_the_first_unacknowledged_reading() -> None:
    site = Site(broker := MemoryBroker(window=5, latency_s=1.0))
    await site.read(20)
    broker.breaks_after = 8
    async with site.running():
        await site.finish()
    # Eight had come when the link broke; the acknowledgements of the last three were on their way.
    assert numbers(broker) == [*range(1, 9), *range(6, 21)]


async def test_readings_of_an_outage_follow_when_the_broker_is_back() -> None:
    site = Site(broker := MemoryBroker())
    broker.online = False
    async with site.running():
        for _ in range(24):
            await site.read(10)
            await asyncio.sleep(5)
        assert broker.messages == []
        broker.online = True
        await site.delivered()
    assert numbers(broker) == list(range(1, 241))


async def test_acknowledgement_of_an_old_connection_moves_nothing_on_the_new_one() -> None:
    class Tardy:
        """Calls back for the first connection while the second one is open: a broken Publisher."""

        name = "tardy"
        window = 5
        maximum_packet_size = None

        def __init__(self) -> None:
            self.unacknowledged: list[list[Done]] = []

        @asynccontextmanager
        async def connect(self) -> AsyncIterator["Tardy"]:
            self.unacknowledged.append([])
            yield self

        def publish(self, _message: Message, done: Done) -> None:
            self.unacknowledged[-1].append(done)

        async def ended(self) -> NoReturn:
            await asyncio.sleep(1)
            raise Unreachable("tardy: as always")

    site = Site(tardy := Tardy())
    await site.read(5)
    assert await condemned(site.forwarder) == "tardy: as always"
    running = asyncio.create_task(condemned(site.forwarder))
    await asyncio.sleep(0.5)
    for done in tardy.unacknowledged[0]:
        done(None)
    await asyncio.sleep(0)
    assert site.waiting == 5
    assert site.readings.acknowledged == 0
    tardy.unacknowledged[1][0](None)
    await asyncio.sleep(0)
    assert site.waiting == 4
    await running


# Whom to believe.


async def test_broker_that_acknowledges_nothing_is_left_and_tried_again() -> None:
    site = Site(broker := MemoryBroker(window=5))
    broker.acknowledges = False
    await site.read(10)
    begun = asyncio.get_running_loop().time()
    assert await condemned(site.forwarder) == "a message went unacknowledged for 20 s"
    assert asyncio.get_running_loop().time() - begun == pytest.approx(ACK_TIMEOUT_S, abs=0.1)
    assert site.waiting == 10
    assert broker.goodbyes == 0

    broker.acknowledges = True
    async with site.running():
        await site.finish()
    assert numbers(broker) == [1, 2, 3, 4, 5, *range(1, 11)]


async def test_message_that_alone_is_never_acknowledged_is_not_waited_for_for_ever() -> None:
    site = Site(broker := MemoryBroker(window=5))
    broker.forgets.add("p/g/gps")
    await site.read(1)
    await site.read(1, "gps")

    async def go_on() -> None:
        for _ in range(100):
            await site.read(1)
            await asyncio.sleep(1)

    going_on = asyncio.create_task(go_on())
    assert await condemned(site.forwarder) == "a message went unacknowledged for 20 s"
    assert len(numbers(broker)) > 15  # the others went on meanwhile
    broker.forgets.clear()
    async with site.running():
        await going_on
        await site.finish()
    assert once(numbers(broker)) == list(range(1, 102))
    assert numbers(broker, "gps") == [1, 1]


async def test_idle_connection_is_believed_for_ever() -> None:
    site = Site(broker := MemoryBroker())
    async with site.running():
        await site.read(1)
        await asyncio.sleep(3 * 3600)
        await site.read(1)
        await site.delivered()
    assert numbers(broker) == [1, 2]
    assert broker.connections == 1


async def test_outage_is_one_line_down_and_one_line_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = Site(broker := MemoryBroker())
    async with site.running():
        await asyncio.sleep(10)
        broker.go_offline()
        await asyncio.sleep(60)
        broker.online = True
        await asyncio.sleep(10)
    assert caplog.messages == [
        "broker: online",
        "broker: offline: memory: the link broke",
        "broker: online again after 60 s",
    ]


async def test_forwarder_knows_whether_it_is_connected() -> None:
    site = Site(broker := MemoryBroker())
    assert not site.forwarder.connected
    async with site.running():
        await asyncio.sleep(1)
        assert site.forwarder.connected
        broker.go_offline()
        await asyncio.sleep(1)
        assert not site.forwarder.connected


# Notices: what each new connection wants to hear.


async def test_each_connection_is_told_every_notice_again() -> None:
    site = Site(broker := MemoryBroker())
    notices = [ONLINE, Message("p/g/boiler/availability", b"online", retain=True)]
    for notice in notices:
        site.board.post(notice)
    async with site.running():
        await asyncio.sleep(10)
        assert broker.messages == notices
        broker.break_link()
        await asyncio.sleep(10)
        assert broker.messages == notices * 2
        notices[1] = Message("p/g/boiler/availability", b"stale", retain=True)
        site.board.post(notices[1])
        await asyncio.sleep(10)
        assert broker.messages[4:] == [notices[1]]


@pytest.mark.parametrize("window", [1, 2, 20])
async def test_notices_go_before_a_backlog(window: int) -> None:
    site = Site(broker := MemoryBroker(window=window))
    site.board.post(ONLINE)
    await site.read(100)
    async with site.running():
        await site.delivered()
        broker.break_link()
        await site.read(100)
        await site.delivered()
    assert [place for place, each in enumerate(broker.messages) if each == ONLINE] == [0, 101]


@pytest.mark.parametrize("window", [1, 2, 20])
async def test_notice_is_not_held_up_by_a_backlog(window: int) -> None:
    site = Site(broker := MemoryBroker(window=window))
    await site.read(200)
    async with site.running():
        while len(broker.messages) < 50:
            await asyncio.sleep(0.001)
        before = len(broker.messages)
        site.board.post(ONLINE)
        await site.delivered()
    # What is under way is ahead of it, and what was waiting for room.
    assert broker.messages.index(ONLINE) <= before + window + 1


async def test_farewell_is_the_last_message_of_a_clean_stop() -> None:
    site = Site(broker := MemoryBroker(will=FAREWELL))
    site.board.post(ONLINE)
    async with site.running():
        await site.read(100)
        site.board.post(Message("p/g/boiler/availability", b"offline", retain=True))
        await site.finish()
    assert broker.messages.count(FAREWELL) == 1
    assert broker.messages[-1] == FAREWELL
    assert broker.messages[-1].retain
    assert len(broker.messages) == 103
    assert broker.goodbyes == 1


@pytest.mark.parametrize("window", [1, 2, 3, 4])
@pytest.mark.parametrize("notices", [0, 1, 2, 3, 4, 5])
async def test_farewell_and_notices_are_not_forgotten_when_the_window_empties_at_once(
    window: int, notices: int
) -> None:
    site = Site(broker := MemoryBroker(window=window, latency_s=0.0))
    for number in range(notices):
        site.board.post(Message(f"p/g/{number}/availability", b"", retain=True))
    await site.read(window)
    async with site.running():
        await site.finish()
    assert len(broker.messages) == window + notices + 1
    assert broker.messages[-1] == FAREWELL


async def test_link_that_breaks_during_the_farewell_is_opened_again_for_it() -> None:
    site = Site(broker := MemoryBroker(will=FAREWELL))
    site.board.post(ONLINE)
    async with site.running():
        await site.read(1)
        broker.breaks_after = 3  # the notice, the reading, the farewell
        await site.finish()
    assert broker.messages[2:] == [FAREWELL, FAREWELL, ONLINE, FAREWELL]  # the second one is the last will
    assert broker.goodbyes == 1


async def test_forwarder_that_is_cancelled_leaves_the_last_word_to_the_will() -> None:
    site = Site(broker := MemoryBroker(will=FAREWELL))
    site.board.post(ONLINE)
    async with site.running():
        await asyncio.sleep(1)
    assert broker.messages == [ONLINE, FAREWELL]
    assert broker.goodbyes == 0


@pytest.mark.parametrize("pauses", range(6))
@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_cancellation_counts_even_if_the_link_breaks_at_that_moment(
    cancelled_first: bool, pauses: int
) -> None:
    site = Site(broker := MemoryBroker())
    async with site.running() as running:
        await asyncio.sleep(1)
        steps: list[Callable[[], object]] = [running.cancel, broker.go_offline]
        for step in steps if cancelled_first else reversed(steps):
            step()
            for _ in range(pauses):
                await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([running])
        assert running.cancelled()


async def test_sealed_journal_ends_the_forwarder_when_all_is_acknowledged() -> None:
    site = Site(broker := MemoryBroker(latency_s=5.0))
    await site.read(3)
    async with site.running():
        await asyncio.sleep(6)
        site.journal.seal()
        assert site.waiting == 3
        await site.finish()
    assert site.waiting == 0
    assert site.readings.acknowledged == 3
    assert not site.forwarder.connected
    assert broker.goodbyes == 1


# Refusals.


async def test_refused_readings_are_counted_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(broker := MemoryBroker())
    broker.refuses["p/g/gps"] = "Not authorized (0x87)"
    async with site.running():
        for _ in range(10):
            await site.read(1, "gps")
            await site.read(1)
        await site.delivered()
        assert numbers(broker) == list(range(1, 11))
        assert (site.readings.set_aside, site.readings.acknowledged) == (10, 10)
        assert [(each.seq, each.topic, each.reason) for each in site.journal.aside] == [
            (seq, "p/g/gps", "Not authorized (0x87)") for seq in range(1, 11)
        ]

        broker.refuses.clear()
        await site.read(3, "gps")
        await site.delivered()
        broker.refuses["p/g/gps"] = "Payload format invalid (0x99)"
        await site.read(3, "gps")
        await site.delivered()
    assert numbers(broker, "gps") == [11, 12, 13]
    assert [each for each in caplog.messages if "gps" in each] == [
        "memory: refuses messages on p/g/gps: Not authorized (0x87)",
        "memory: refuses messages on p/g/gps: Payload format invalid (0x99)",
    ]
    assert fields(caplog.records, "Not authorized") == {
        "MESSAGE_ID": MessageId.BROKER_REFUSES, "BROKER": READER,
    }  # fmt: skip


async def test_topic_that_is_taken_again_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.publish.refusals")
    site = Site(broker := MemoryBroker())
    broker.refuses["p/g/boiler"] = "no"
    async with site.running():
        await site.read(2)
        await site.delivered()
        broker.refuses.clear()
        await site.read(2)
        await site.delivered()
    assert caplog.messages == [
        "memory: refuses messages on p/g/boiler: no",
        "memory: takes messages on p/g/boiler again",
    ]


async def test_broker_that_takes_the_place_of_another_one_is_not_said_to_refuse_what_that_one_did(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "gateway.publish.refusals")
    first, second = MemoryBroker(name="first"), MemoryBroker(name="second")
    site = Site(first)
    first.refuses["p/g/boiler"] = "no"
    async with site.running():
        await site.read(2)
        await site.delivered()
    site.forwarder.change(
        Route(publisher=second, topics=TOPICS, last_words=lambda: [FAREWELL], ack_timeout_s=ACK_TIMEOUT_S)
    )
    async with site.running():
        await site.read(2)
        await site.delivered()
        second.refuses["p/g/boiler"] = "nor do I"
        await site.read(2)
        await site.delivered()
    assert caplog.messages == [
        "first: refuses messages on p/g/boiler: no",
        "second: refuses messages on p/g/boiler: nor do I",
    ]


async def test_refused_notice_stops_nothing() -> None:
    site = Site(broker := MemoryBroker())
    site.board.post(ONLINE)
    broker.refuses[ONLINE.topic] = "no"
    async with site.running():
        await site.read(1)
        await site.finish()
    assert numbers(broker) == [1]
    assert broker.goodbyes == 1


async def test_clearing_that_is_refused_is_tried_again_on_the_next_connection() -> None:
    site = Site(broker := MemoryBroker())
    site.board.clear("p/g/old/availability")
    broker.refuses["p/g/old/availability"] = "no"
    async with site.running():
        await site.read(1)
        await site.delivered()
        assert broker.on("p/g/old/availability") == []
        broker.refuses.clear()
        broker.break_link()
        await site.read(1)
        await site.delivered()
    assert broker.on("p/g/old/availability") == [b""]


# One reading, many messages.


async def test_reading_is_committed_only_when_all_its_values_have_landed() -> None:
    site = Site(broker := MemoryBroker(), by_metric=True)
    broker.forgets.add("p/g/boiler/b")
    await site.read(1, a=1, b=2, c=3)
    await site.read(1, a=4)
    async with site.running():
        await asyncio.sleep(1)
        assert broker.on("p/g/boiler/a") == [b"1", b"4"]
        assert broker.on("p/g/boiler/c") == [b"3"]
        assert site.waiting == 2
        broker.forgets.clear()
        broker.break_link()
        await site.delivered()
    assert broker.on("p/g/boiler/a") == [b"1", b"4", b"1", b"4"]
    assert broker.on("p/g/boiler/b") == [b"2", b"2"]
    assert site.readings.acknowledged == 2


async def test_link_that_breaks_in_the_middle_of_a_reading_repeats_all_of_it() -> None:
    site = Site(broker := MemoryBroker(window=1), by_metric=True)
    await site.read(1, a=1, b=2, c=3)
    broker.breaks_after = 2
    async with site.running():
        await site.finish()
    assert [each.topic for each in broker.messages[:-1]] == [
        "p/g/boiler/a",
        "p/g/boiler/b",
        "p/g/boiler/a",
        "p/g/boiler/b",
        "p/g/boiler/c",
    ]


async def test_reading_of_which_one_value_is_refused_is_passed_over_and_not_counted_as_forwarded() -> None:
    site = Site(broker := MemoryBroker(), by_metric=True)
    broker.refuses["p/g/boiler/b"] = "no"
    async with site.running():
        await site.read(1, a=1, b=2, c=3)
        await site.read(1, a=1)
        await site.finish()
    assert (site.readings.acknowledged, site.readings.set_aside) == (1, 1)
    assert [(each.seq, each.topic) for each in site.journal.aside] == [(1, "p/g/boiler/b")]


@pytest.mark.parametrize("silent", list(itertools.product([True, False], repeat=3)))
async def test_reading_that_becomes_no_message_holds_nothing_up(silent: tuple[bool, ...]) -> None:
    class Reticent(Topics):
        def by_device(self, record: Record) -> Sequence[Message]:
            return () if silent[record.seq - 1] else super().by_device(record)

    site = Site(broker := MemoryBroker(), topics=Reticent(prefix="p", gateway="g"))
    async with site.running():
        await site.read(3)
        await site.delivered()
        await site.finish()
    assert numbers(broker) == [seq for seq in (1, 2, 3) if not silent[seq - 1]]


# Records that end the connection, and brokers that do.


def seqs_set_aside(site: Site) -> list[int]:
    return [each.seq for each in site.journal.aside]


@pytest.mark.parametrize("poison", [1, 50, 300])
@pytest.mark.parametrize("latency_s", [0.0, 0.02])
async def test_one_bad_record_costs_that_record(
    poison: int, latency_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(broker := MemoryBroker(window=20, latency_s=latency_s))
    broker.chokes_on = {b'{"n":%d}' % poison}
    site.board.post(ONLINE)
    await site.read(300)
    async with site.running():
        await site.delivered()
    assert once(numbers(broker)) == [n for n in range(1, 301) if n != poison]
    [aside] = site.journal.aside
    assert (aside.seq, aside.topic) == (poison, "p/g/boiler")
    assert aside.reason == "3 connections ended on it: memory: the link broke"
    assert [each for each in caplog.messages if "set aside" in each] == [
        f"memory: 3 connections ended on reading {poison} of boiler: it is set aside: memory: the link broke"
    ]
    assert broker.choked < 30
    site.account()


async def test_bad_records_one_after_the_other_cost_only_those() -> None:
    site = Site(broker := MemoryBroker(), by_metric=True)
    broker.chokes_on = {b"bad"}
    site.board.post(ONLINE)
    await site.read(10, a=1)
    await site.read(3, a=1, b="bad")
    await site.read(10, a=1)
    async with site.running():
        await site.delivered()
    assert seqs_set_aside(site) == [11, 12, 13]
    assert site.readings.acknowledged == 20
    site.account()


async def test_alerts_and_notices_go_on_while_a_bad_record_is_tried() -> None:
    site = Site(broker := MemoryBroker())
    broker.chokes_on = {b'{"n":1}'}
    site.board.post(ONLINE)
    await site.read(1)
    async with site.running():
        async with asyncio.timeout(PATIENCE_S):
            while broker.choked < 4:  # the breaker has opened
                await asyncio.sleep(0.01)
        await site.journal.append_urgent("alerts/overheat", b"{}")
        site.board.post(Message("p/g/gps/availability", b"stale", retain=True))
        await asyncio.sleep(2)
        assert not site.journal.aside
        assert broker.on("p/g/alerts/overheat") == [b"{}"]
        assert broker.on("p/g/gps/availability") == [b"stale"]


async def test_bad_alert_costs_that_alert_and_holds_up_no_reading() -> None:
    site = Site(broker := MemoryBroker())
    broker.chokes_on = {b"bad"}
    site.board.post(ONLINE)
    for payload in (b"good", b"bad", b"too"):
        await site.journal.append_urgent("alerts/overheat", payload)
    await site.read(100)
    async with site.running():
        await site.delivered()
    assert once(numbers(broker)) == list(range(1, 101))
    assert [each.decode() for each in broker.on("p/g/alerts/overheat")][-1] == "too"
    assert [each.payload for each in site.journal.aside] == [b"bad"]
    assert site.readings.set_aside == 0


async def test_broker_that_sends_us_away_for_its_own_reasons_costs_no_record() -> None:
    site = Site(broker := MemoryBroker())
    broker.chokes_on, broker.polite = {b'"n"'}, True
    site.board.post(ONLINE)
    await site.read(30)
    async with site.running():
        await asyncio.sleep(600)
        assert broker.choked > 10
        broker.chokes_on.clear()
        await site.delivered()
    assert once(numbers(broker)) == list(range(1, 31))
    assert not site.journal.aside


async def test_broker_that_takes_nothing_at_all_costs_no_record() -> None:
    site = Site(broker := MemoryBroker())
    broker.acknowledges = False
    site.board.post(ONLINE)
    await site.read(30)
    async with site.running():
        await asyncio.sleep(3600)
        broker.acknowledges = True
        await site.delivered()
    assert once(numbers(broker)) == list(range(1, 31))
    assert not site.journal.aside


async def test_record_is_to_blame_only_if_nothing_else_was_under_way() -> None:
    site = Site(broker := MemoryBroker())
    broker.acknowledges = False
    await site.read(1)

    async def lose(*, alone: bool) -> None:
        site.readings.begin("memory", None)
        async with broker.connect() as session:
            sending = asyncio.create_task(site.readings.forward(Window(session, ack_timeout_s=ACK_TIMEOUT_S)))
            await asyncio.sleep(10)
            sending.cancel()
            await asyncio.wait([sending])
        site.readings.link_lost(Unreachable("memory: gone"), alone=alone)

    for _ in range(12):
        await lose(alone=False)
    assert not site.readings.trusted
    assert not site.journal.aside
    for _ in range(3):
        await lose(alone=True)
    assert seqs_set_aside(site) == [1]


async def test_open_breaker_spares_the_broker_and_then_risks_one_record() -> None:
    site = Site(broker := MemoryBroker(window=20))
    broker.chokes_on, broker.polite = {b'"n"'}, True
    site.board.post(ONLINE)
    await site.read(100)
    async with site.running():
        await asyncio.sleep(60)
        broker.messages.clear()
        before = broker.choked
        await asyncio.sleep(600)
        assert 600 / 6 <= broker.choked - before <= 600 / 5  # every five seconds, and the time to come back
        assert broker.on("p/g/boiler") == []


async def test_outages_alone_never_trip_the_breaker() -> None:
    site = Site(broker := MemoryBroker())
    site.board.post(ONLINE)
    async with site.running():
        for _ in range(20):
            await site.read(1)
            await site.delivered()
            broker.go_offline()
            await asyncio.sleep(10)
            broker.online = True
    assert site.readings.trusted
    assert not site.journal.aside


@pytest.mark.real_time
async def test_broker_that_is_busy_is_not_taken_for_one_that_chokes(rogue: RogueBroker) -> None:
    site = Site(LinkPublisher(Broker(host=rogue.host, port=rogue.port, client_id="test")))
    site.board.post(ONLINE)
    running = asyncio.create_task(condemned(site.forwarder, Dismissed))
    async with asyncio.timeout(10):
        while not rogue.messages:
            await asyncio.sleep(0.001)
    rogue.expel(0x89)
    assert "Server busy" in await running


# What is urgent.


async def test_alerts_and_gaps_go_before_a_backlog_and_beside_it() -> None:
    site = Site(broker := MemoryBroker(window=10))
    site.board.post(ONLINE)
    await site.read(2000)
    for number in range(25):
        await site.journal.append_urgent("alerts/overheat", b"%d" % number)
    async with site.running():
        async with asyncio.timeout(PATIENCE_S):
            while len(broker.messages) < 500:
                await asyncio.sleep(0.001)
        before = len(broker.messages)
        await site.journal.append_urgent("gaps", b"gap")
        await site.delivered()
    assert broker.messages[:26] == [
        ONLINE,
        *(Message("p/g/alerts/overheat", b"%d" % number, retain=True) for number in range(25)),
    ]
    assert broker.messages.index(Message("p/g/gaps", b"gap")) <= before + 2 * broker.window
    assert numbers(broker) == list(range(1, 2001))


async def test_refused_alert_is_set_aside_and_the_next_one_sent() -> None:
    site = Site(broker := MemoryBroker())
    broker.refuses["p/g/gaps"] = "Not authorized (0x87)"
    await site.journal.append_urgent("gaps", b"gap")
    await site.journal.append_urgent("alerts/overheat", b"hot")
    async with site.running():
        await site.delivered()
    assert broker.on("p/g/alerts/overheat") == [b"hot"]
    assert [(each.payload, each.topic) for each in site.journal.aside] == [(b"gap", "p/g/gaps")]


# Several brokers.


async def test_broker_that_is_away_for_long_does_not_delay_the_other_and_gets_everything_later() -> None:
    journal = MemoryJournal("mqtt", "cloud")
    here = Site(near := MemoryBroker(), journal=journal, name="mqtt")
    there = Site(far := MemoryBroker(), journal=journal, name="cloud")
    far.online = False
    async with here.running(), there.running():
        for _ in range(24):
            await here.read(10)
            await asyncio.sleep(20)
            assert here.waiting == 0
        assert there.waiting == 240
        far.online = True
        await there.delivered()
        assert journal.readings.size == 0
    assert numbers(near) == numbers(far) == list(range(1, 241))
    here.account()
    there.account()


async def test_what_one_broker_refuses_another_one_gets() -> None:
    journal = MemoryJournal("mqtt", "cloud")
    here = Site(near := MemoryBroker(), journal=journal, name="mqtt")
    there = Site(far := MemoryBroker(), journal=journal, name="cloud")
    far.refuses["p/g/boiler"] = "no"
    async with here.running(), there.running():
        await here.read(10)
        await here.delivered()
        await there.delivered()
    assert numbers(near) == list(range(1, 11))
    assert [each.reader for each in journal.aside] == ["cloud"] * 10
    assert (here.readings.set_aside, there.readings.set_aside) == (0, 10)


# Catching up.


async def test_rate_limit_holds_for_a_backlog_and_for_nothing_else() -> None:
    site = Site(broker := MemoryBroker(window=20), pace=Pace(rate=100))
    time = asyncio.get_running_loop().time
    async with site.running():
        await asyncio.sleep(1)
        begun = time()
        await site.read(900)
        await site.delivered()
        assert time() - begun < 2  # no backlog yet

        broker.go_offline()
        await site.read(5000)
        begun = time()
        broker.online = True
        await site.delivered()
        assert 48 <= time() - begun <= 52

        begun = time()
        await site.read(1)
        await site.delivered()
        assert time() - begun < 1
    assert once(numbers(broker)) == list(range(1, 5902))


def batched(broker: MemoryBroker, device: str = "boiler") -> list[list[int]]:
    """The numbers in each batch of a device."""
    return [
        [each["values"]["n"] for each in orjson.loads(payload)]
        for payload in broker.on(f"p/g/{device}/batch")
    ]


def in_order(broker: MemoryBroker, device: str = "boiler") -> list[int]:
    """As they came, alone or in batches."""
    found = []
    for message in broker.messages:
        if message.topic == f"p/g/{device}":
            found.append(wire.values(message.payload)["n"])
        elif message.topic == f"p/g/{device}/batch":
            found += [each["values"]["n"] for each in orjson.loads(message.payload)]
    return found


BATCHED = Pace(batch_topic=TOPICS.batch)


async def test_batched_backlog_leaves_in_arrays_and_then_readings_on_their_own() -> None:
    site = Site(broker := MemoryBroker(), pace=BATCHED)
    for _ in range(10):
        await site.read(300)
        await site.read(50, "gps")
    async with site.running():
        await site.delivered()
        await site.read(10)
        await site.delivered()
    assert len(broker.messages) < 40
    assert sum(map(len, batched(broker))) + len(numbers(broker)) == 3010
    assert in_order(broker) == list(range(1, 3011))
    assert in_order(broker, "gps") == list(range(1, 501))
    assert numbers(broker)[-10:] == list(range(3001, 3011))
    assert max(map(len, batched(broker))) <= 500
    site.account()


async def test_elements_of_a_batch_are_what_the_messages_would_have_been() -> None:
    alone, together = Site(one := MemoryBroker()), Site(other := MemoryBroker(), pace=BATCHED)
    together.journal.run = alone.journal.run
    for site in (alone, together):
        await site.read(1500)
        async with site.running():
            await site.delivered()
    elements = [
        orjson.dumps(each) for payload in other.on("p/g/boiler/batch") for each in orjson.loads(payload)
    ]
    assert elements
    assert elements == one.on("p/g/boiler")[: len(elements)]


async def test_batches_are_acknowledged_before_single_readings_follow() -> None:
    site = Site(broker := MemoryBroker(latency_s=10.0), pace=BATCHED)
    await site.read(2000)
    async with site.running():
        await asyncio.sleep(1)
        await site.read(5)
        async with asyncio.timeout(PATIENCE_S):
            while not numbers(broker):
                await asyncio.sleep(0.1)
        assert site.readings.acknowledged == 2000
        await site.delivered()
    assert in_order(broker) == list(range(1, 2006))


async def test_no_batch_is_larger_than_the_broker_takes() -> None:
    site = Site(broker := MemoryBroker(), pace=BATCHED)
    broker.maximum_packet_size = 1000
    await site.read(2000)
    async with site.running():
        await site.delivered()
    sizes = [len(each.topic) + len(each.payload) + 10 for each in broker.messages if "batch" in each.topic]
    assert 800 < max(sizes) <= 1000
    assert in_order(broker) == list(range(1, 2001))


async def test_refused_batch_sets_aside_its_readings_and_no_others() -> None:
    site = Site(broker := MemoryBroker(), pace=BATCHED)
    broker.refuses["p/g/gps/batch"] = "Not authorized (0x87)"
    await site.read(1200)
    await site.read(600, "gps")
    async with site.running():
        await site.delivered()
    assert in_order(broker) == list(range(1, 1201))
    assert {(each.device, each.topic) for each in site.journal.aside} == {("gps", "p/g/gps/batch")}
    assert site.readings.set_aside == len(site.journal.aside) == 600
    site.account()


async def test_broker_that_hangs_up_on_batches_gets_the_backlog_one_by_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site(broker := MemoryBroker(), pace=BATCHED)
    broker.chokes_on = {b"},{"}
    site.board.post(ONLINE)
    await site.read(3000)
    async with site.running():
        await site.delivered()
    assert once(in_order(broker)) == list(range(1, 3001))
    assert not site.journal.aside
    assert caplog.messages.count("memory: hangs up on batches: the backlog leaves one by one") == 1


async def test_bad_record_in_a_batched_backlog_costs_that_record() -> None:
    site = Site(broker := MemoryBroker(), pace=BATCHED)
    broker.chokes_on = {b'{"n":1234}'}
    site.board.post(ONLINE)
    await site.read(3000)
    async with site.running():
        await site.delivered()
    assert once(in_order(broker)) == [n for n in range(1, 3001) if n != 1234]
    assert seqs_set_aside(site) == [1234]
    site.account()


@pytest.mark.repetitive
@settings(max_examples=40)
@given(
    script=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 30)), max_size=15),
    window=st.integers(1, 30),
    latency_s=st.floats(0.0, 3.0),
    rate=st.sampled_from([None, 3000]),
)
async def test_nothing_is_lost_or_out_of_order_when_links_break_while_catching_up(
    script: list[tuple[int, int]], window: int, latency_s: float, rate: int | None
) -> None:
    site = Site(broker := MemoryBroker(window=window, latency_s=latency_s), pace=BATCHED._replace(rate=rate))
    site.board.post(ONLINE)
    read = 0
    async with site.running():
        for what, amount in script:
            match what:
                case Disturbances.READ:
                    for device in ("boiler", "gps"):
                        await site.read(amount * 30, device)
                    read += amount * 30
                case Disturbances.WAIT:
                    await asyncio.sleep(amount / 10)
                case Disturbances.BREAK:
                    broker.break_link()
                case Disturbances.BREAK_LATER:
                    broker.breaks_after = amount
                case Disturbances.OFFLINE:
                    broker.go_offline()
                    await asyncio.sleep(amount)
                    broker.online = True
        broker.breaks_after = None
        await site.finish()
    for device in ("boiler", "gps"):
        assert once(in_order(broker, device)) == list(range(1, read + 1))
    assert broker.most_unacknowledged <= window
    assert not site.journal.aside
    site.account()


# Accounts.


async def test_what_is_forced_out_while_the_broker_is_away_is_counted_for_it() -> None:
    journal = MemoryJournal(READER, max_size=2**16)
    site = Site(broker := MemoryBroker(), journal=journal)
    async with site.running():
        await site.read(10)
        await site.delivered()
        broker.go_offline()
        await site.read(1000)
        site.account()
        evicted = site.readings.evicted
        assert evicted == 1000 - site.waiting > 0
        broker.online = True
        await site.delivered()
    assert (site.readings.evicted, site.readings.acknowledged) == (evicted, 1010 - evicted)
    assert numbers(broker) == [*range(1, 11), *range(evicted + 11, 1011)]
    site.account()


async def test_every_message_that_came_was_counted_as_sent_and_every_repeat_as_repeated() -> None:
    site = Site(broker := MemoryBroker(window=5, latency_s=1.0))
    async with site.running():
        for size in (8, 3, 17):
            broker.breaks_after = size
            await site.read(40)
            await site.delivered()
        await site.finish()
    arrived = numbers(broker)
    # What was on its way there when the link broke has been sent, and has not come.
    assert len(arrived) <= site.readings.sent
    assert site.readings.sent - site.readings.repeated == len(set(arrived)) == 120
    assert site.readings.repeated > 0
    assert site.forwarder.connects == broker.connections == 4


# With the real publisher.


@pytest.mark.real_time
async def test_reading_over_quota_is_kept_and_sent_again(rogue: RogueBroker) -> None:
    rogue.reasons["p/g/boiler"] = 0x97
    publisher = LinkPublisher(Broker(host=rogue.host, port=rogue.port, client_id="test"))
    site = Site(publisher)
    await site.read(10)
    async with site.running():
        async with asyncio.timeout(10):
            while sum(each.topic == "p/g/boiler" for each in rogue.messages) < 10:
                await asyncio.sleep(0.001)
        assert site.waiting == 10
        rogue.reasons.clear()
        await site.finish()
    assert len(rogue.connects) == 1
    readings = [wire.values(each.payload)["n"] for each in rogue.messages if each.topic == "p/g/boiler"]
    assert once(readings) == list(range(1, 11))
    assert readings[-10:] == list(range(1, 11))
    assert site.readings.set_aside == 0


@pytest.mark.real_time
async def test_nothing_is_lost_while_connections_are_reset(rogue: RogueBroker) -> None:
    publisher = LinkPublisher(Broker(host=rogue.host, port=rogue.port, client_id="test"))
    site = Site(publisher)
    async with site.running():
        for size in (1, 7, 30, 20, 3):
            rogue.resets_after = size
            await site.read(40)
            async with asyncio.timeout(10):
                while rogue.resets_after is not None or site.waiting:
                    await asyncio.sleep(0.001)
        await site.finish()
    readings = [wire.values(each.payload)["n"] for each in rogue.messages if each.topic == "p/g/boiler"]
    assert once(readings) == list(range(1, 201))
    assert rogue.messages[-1] == FAREWELL
    assert rogue.goodbyes == 1


@pytest.mark.real_time
async def test_receive_maximum_bounds_readings_and_notices_together(rogue: RogueBroker) -> None:
    rogue.announces = b"\x21\x00\x02"
    rogue.latency_s = 0.002
    site = Site(LinkPublisher(Broker(host=rogue.host, port=rogue.port, client_id="test")))
    for number in range(10):
        site.board.post(Message(f"p/g/{number}/availability", b"", retain=True))
    await site.read(50)
    async with site.running():
        await site.finish()
    assert len(rogue.messages) == 61
    assert rogue.most_unacknowledged <= 2
