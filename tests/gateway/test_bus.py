import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bus import EventBus, Overflow, Subscription
from gateway.model import Availability, Event, Observation, Presence, Reading, Stamp
from tests.support.loops import VirtualTimeLoop

NOW = Stamp(0, 0.0)


def _reading(seq: int) -> Reading:
    return Reading(at=NOW, device="boiler", values={"n": seq}, seq=seq)


def _subscribe(bus: EventBus, capacity: int, overflow: Overflow) -> Subscription[Reading]:
    return bus.subscribe(Reading, name="test", capacity=capacity, overflow=overflow)


async def _drain(subscription: Subscription[Reading]) -> list[int]:
    return [reading.seq async for reading in subscription]


async def test_events_go_to_those_who_asked_for_their_kind_or_a_kind_above_it() -> None:
    bus = EventBus()
    everything = bus.subscribe(Event, name="all", capacity=9, overflow=Overflow.WAIT)
    observations = bus.subscribe(Observation, name="rules", capacity=9, overflow=Overflow.WAIT)
    readings = _subscribe(bus, 9, Overflow.WAIT)
    away = Availability(at=NOW, device="boiler", presence=Presence.OFFLINE, reason="unplugged")
    for event in (_reading(1), away):
        await bus.publish(event)
    bus.close()
    assert [type(event) async for event in everything] == [Reading, Availability]
    assert [type(event) async for event in observations] == [Reading, Availability]
    assert await _drain(readings) == [1]


async def test_every_subscriber_gets_every_event_in_order() -> None:
    bus = EventBus()
    mailboxes = [_subscribe(bus, 3, Overflow.WAIT) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        drained = [group.create_task(_drain(each)) for each in mailboxes]
        for seq in range(100):
            await bus.publish(_reading(seq))
        bus.close()
    assert all(task.result() == list(range(100)) for task in drained)


async def test_full_mailbox_that_waits_slows_the_publisher_and_loses_nothing() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 2, Overflow.WAIT)
    published: list[int] = []

    async def publish() -> None:
        for seq in range(5):
            await bus.publish(_reading(seq))
            published.append(seq)

    async with asyncio.TaskGroup() as group:
        group.create_task(publish())
        await asyncio.sleep(1)
        assert published == [0, 1]
        assert (await anext(mailbox)).seq == 0
        await asyncio.sleep(1)
        assert published == [0, 1, 2]
        assert [(await anext(mailbox)).seq for _ in range(4)] == [1, 2, 3, 4]
    assert mailbox.dropped == 0


async def test_full_mailbox_that_drops_the_oldest_keeps_the_newest_and_counts() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 2, Overflow.DROP_OLDEST)
    for seq in range(5):
        await bus.publish(_reading(seq))
    bus.close()
    assert await _drain(mailbox) == [3, 4]
    assert mailbox.dropped == 3


async def test_full_mailbox_that_drops_the_newest_keeps_the_oldest_and_counts() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 2, Overflow.DROP_NEWEST)
    for seq in range(5):
        await bus.publish(_reading(seq))
    bus.close()
    assert await _drain(mailbox) == [0, 1]
    assert mailbox.dropped == 3


async def test_reader_that_leaves_frees_every_waiting_publisher() -> None:
    bus = EventBus()
    with _subscribe(bus, 1, Overflow.WAIT):
        await bus.publish(_reading(0))
        waiting = [asyncio.ensure_future(bus.publish(_reading(seq))) for seq in range(1, 4)]
        await asyncio.sleep(1)
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    await bus.publish(_reading(9))  # nobody is left to wait for


async def test_close_lets_readers_finish_what_waiting_publishers_still_deliver() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 1, Overflow.WAIT)
    await bus.publish(_reading(0))
    waiting = asyncio.ensure_future(bus.publish(_reading(1)))
    await asyncio.sleep(0)
    bus.close()
    assert await _drain(mailbox) == [0, 1]
    await waiting


async def test_event_of_a_cancelled_publisher_is_delivered_and_the_next_one_keeps_its_turn() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 1, Overflow.WAIT)
    await bus.publish(_reading(0))
    cancelled = asyncio.ensure_future(bus.publish(_reading(1)))
    next_one = asyncio.ensure_future(bus.publish(_reading(2)))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    assert cancelled.cancelled()
    assert [(await anext(mailbox)).seq for _ in range(2)] == [0, 1]
    await next_one
    bus.close()
    assert await _drain(mailbox) == [2]


async def test_cancelled_publisher_has_delivered_to_every_mailbox_as_that_mailbox_says() -> None:
    bus = EventBus()
    mailboxes = [
        _subscribe(bus, 1, overflow)
        for overflow in (Overflow.WAIT, Overflow.WAIT, Overflow.DROP_NEWEST, Overflow.DROP_OLDEST)
    ]
    await bus.publish(_reading(0))
    waiting = asyncio.ensure_future(bus.publish(_reading(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    bus.close()
    assert [await _drain(each) for each in mailboxes] == [[0, 1], [0, 1], [0], [1]]
    assert [each.dropped for each in mailboxes] == [0, 0, 1, 1]


async def test_room_is_the_same_after_a_cancelled_publisher() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 1, Overflow.WAIT)
    await bus.publish(_reading(0))
    waiting = asyncio.ensure_future(bus.publish(_reading(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    assert [(await anext(mailbox)).seq for _ in range(2)] == [0, 1]
    await bus.publish(_reading(2))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await bus.publish(_reading(3))


async def test_publisher_that_waits_elsewhere_is_not_held_up_by_a_reader_that_left_meanwhile() -> None:
    bus = EventBus()
    slow = _subscribe(bus, 1, Overflow.WAIT)
    leaver = _subscribe(bus, 1, Overflow.WAIT)
    await bus.publish(_reading(0))
    waiting = asyncio.ensure_future(bus.publish(_reading(1)))
    await asyncio.sleep(0)
    with leaver:
        pass
    assert (await anext(slow)).seq == 0
    async with asyncio.timeout(1):
        await waiting


async def test_cancelling_the_last_waiting_publisher_after_close_ends_the_reader() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 1, Overflow.WAIT)
    await bus.publish(_reading(0))
    waiting = asyncio.ensure_future(bus.publish(_reading(1)))
    await asyncio.sleep(0)
    bus.close()
    waiting.cancel()
    assert await _drain(mailbox) == [0, 1]


async def test_reader_that_waits_is_woken_by_close() -> None:
    bus = EventBus()
    reading = asyncio.ensure_future(_drain(_subscribe(bus, 1, Overflow.WAIT)))
    await asyncio.sleep(0)
    bus.close()
    assert await reading == []


async def test_publishing_after_close_is_a_wiring_bug() -> None:
    bus = EventBus()
    bus.close()
    with pytest.raises(RuntimeError, match="Reading published after the bus was closed"):
        await bus.publish(_reading(0))
    with pytest.raises(RuntimeError, match="Reading published after the bus was closed"):
        bus.put(_reading(0))


async def test_subscription_to_a_closed_bus_ends_at_once() -> None:
    bus = EventBus()
    bus.close()
    assert await _drain(_subscribe(bus, 1, Overflow.WAIT)) == []


async def test_mailbox_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="room for at least one"):
        _subscribe(EventBus(), 0, Overflow.WAIT)


async def test_batches_bring_all_that_is_there_but_no_more_than_a_mailbox_full() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 4, Overflow.WAIT)
    for seq in range(10):
        bus.put(_reading(seq))
    bus.close()
    batches = [[reading.seq for reading in batch] async for batch in mailbox.batches()]
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_reader_of_batches_waits_for_mail_and_is_woken_by_close() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 4, Overflow.WAIT)

    async def read() -> list[int]:
        return [len(batch) async for batch in mailbox.batches()]

    reading = asyncio.ensure_future(read())
    for _ in range(3):
        await asyncio.sleep(1)
        await bus.publish(_reading(0))
    await asyncio.sleep(1)
    bus.close()
    assert await reading == [1, 1, 1]


async def test_what_is_put_without_waiting_is_kept_beyond_the_room_unless_the_mailbox_drops() -> None:
    bus = EventBus()
    mailboxes = [_subscribe(bus, 2, overflow) for overflow in Overflow]
    for seq in range(4):
        bus.put(_reading(seq))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await bus.publish(_reading(4))
    bus.close()
    assert [await _drain(each) for each in mailboxes] == [[0, 1, 2, 3, 4], [3, 4], [0, 1]]


async def test_publisher_goes_on_when_its_own_event_has_found_room() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 2, Overflow.WAIT)
    for seq in range(4):
        bus.put(_reading(seq))
    waiting = asyncio.ensure_future(bus.publish(_reading(4)))
    late = asyncio.ensure_future(bus.publish(_reading(5)))
    await asyncio.sleep(0)
    for seq in range(3):
        assert not waiting.done()
        assert (await anext(mailbox)).seq == seq
        await asyncio.sleep(0)
    assert waiting.done()
    assert not late.done()
    assert (await anext(mailbox)).seq == 3
    await late


async def test_flooding_publishers_share_the_mailbox_and_the_loop_turns_meanwhile() -> None:
    bus = EventBus()
    mailbox = _subscribe(bus, 32, Overflow.WAIT)
    turns = 0
    sent: Counter[str] = Counter()
    got: Counter[str] = Counter()

    async def flood(name: str) -> None:
        while True:
            for _ in range(15):
                bus.put(Reading(at=NOW, device=name, values={}))
            await bus.publish(Reading(at=NOW, device=name, values={}))
            sent[name] += 16

    async def read() -> None:
        last = -1
        async for batch in mailbox.batches():
            assert turns > last
            last = turns
            got.update(reading.device for reading in batch)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(flood(name)) for name in "abcdefgh"]
        tasks.append(group.create_task(read()))
        for _ in range(1000):
            turns += 1
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
    assert max(got.values()) - min(got.values()) <= 4 * 16
    assert got.total() <= 32 * turns
    assert got.total() >= 32 * (turns // 2)
    assert all(sent[name] <= got[name] + 32 for name in got)


async def test_subscribing_later_gets_what_comes_from_then_on() -> None:
    bus = EventBus()
    early = _subscribe(bus, 9, Overflow.WAIT)
    await bus.publish(_reading(0))
    late = _subscribe(bus, 9, Overflow.WAIT)
    await bus.publish(_reading(1))
    bus.close()
    assert (await _drain(early), await _drain(late)) == ([0, 1], [1])


@dataclass(frozen=True)
class _Plan:
    capacity: int
    overflow: Overflow
    pauses: tuple[int, ...]


_plans = st.builds(
    _Plan,
    capacity=st.integers(1, 5),
    overflow=st.sampled_from(Overflow),
    pauses=st.lists(st.integers(0, 3), max_size=40).map(tuple),
)


@given(plans=st.lists(_plans, min_size=1, max_size=4), publishers=st.integers(1, 4))
def test_whatever_the_speeds_each_event_is_delivered_in_order_or_counted_as_dropped(
    plans: list[_Plan], publishers: int
) -> None:
    each_publishes = 20

    async def read(mailbox: Subscription[Reading], pauses: tuple[int, ...]) -> list[tuple[str, int]]:
        got = []
        waits = iter(pauses)
        async for reading in mailbox:
            got.append((reading.device, reading.seq))
            await asyncio.sleep(next(waits, 0))
        return got

    async def publish(bus: EventBus, name: str) -> None:
        for seq in range(each_publishes):
            await bus.publish(Reading(at=NOW, device=name, values={}, seq=seq))
            await asyncio.sleep(seq % 3)

    async def scene() -> None:
        bus = EventBus()
        mailboxes = [_subscribe(bus, plan.capacity, plan.overflow) for plan in plans]
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(read(m, p.pauses)) for m, p in zip(mailboxes, plans, strict=True)]
            async with asyncio.TaskGroup() as sources:
                for number in range(publishers):
                    sources.create_task(publish(bus, str(number)))
            bus.close()
        for plan, mailbox, reader in zip(plans, mailboxes, readers, strict=True):
            got = reader.result()
            assert len(got) + mailbox.dropped == publishers * each_publishes
            for number in range(publishers):
                seqs = [seq for name, seq in got if name == str(number)]
                assert seqs == sorted(set(seqs))
            if plan.overflow is Overflow.WAIT:
                assert mailbox.dropped == 0

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scene())
