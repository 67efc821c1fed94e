import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn

import pytest

from gateway.errors import Deferred, Rejected, Unreachable
from gateway.publish.publisher import Answer, Message
from gateway.publish.window import RETRY_FIRST_S, RETRY_MAX_S, Window

PATIENCE_S = 20.0


class Line:
    """A session whose other end is the test."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.maximum_packet_size = None
        self.sent: list[bytes] = []
        self.unacknowledged: deque[Answer] = deque()

    def publish(self, message: Message, answer: Answer) -> None:
        self.sent.append(message.payload)
        self.unacknowledged.append(answer)

    async def ended(self) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    def acknowledge(self, place: int = 0, error: Rejected | Deferred | None = None) -> None:
        answer = self.unacknowledged[place]
        del self.unacknowledged[place]
        answer(error)

    def taken(self) -> list[bytes]:
        """What was sent since this was last asked."""
        sent, self.sent = self.sent, []
        return sent


def ignore(_outcome: Rejected | None) -> None:
    pass


def message(number: int) -> Message:
    return Message("t", b"%d" % number)


@asynccontextmanager
async def in_background(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """These coroutines, until they end or the block does."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def send(window: Window, count: int) -> None:
    for number in range(count):
        await window.send(message(number), ignore)


async def watched(window: Window) -> float:
    """How long it takes until the connection is condemned."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(Unreachable, match="unacknowledged for 20 s"):
        await window.watch()
    return loop.time() - begun


async def test_no_more_is_under_way_than_the_session_allows() -> None:
    window = Window(line := Line(3), ack_timeout_s=PATIENCE_S)
    async with in_background(send(window, 10)):
        await asyncio.sleep(1)
        assert line.sent == [b"0", b"1", b"2"]
        line.acknowledge()
        await asyncio.sleep(1)
        assert line.sent == [b"0", b"1", b"2", b"3"]
        line.acknowledge(1)
        line.acknowledge(error=Rejected("no"))
        await asyncio.sleep(1)
        assert line.sent == [b"0", b"1", b"2", b"3", b"4", b"5"]


async def test_those_who_wait_for_room_get_it_in_turn() -> None:
    window = Window(line := Line(1), ack_timeout_s=PATIENCE_S)
    async with in_background(*(window.send(message(number), ignore) for number in range(4))):
        for _ in range(4):
            await asyncio.sleep(1)
            line.acknowledge()
    assert line.sent == [b"0", b"1", b"2", b"3"]


async def test_outcome_reaches_the_one_who_sent() -> None:
    window = Window(line := Line(3), ack_timeout_s=PATIENCE_S)
    landed: list[tuple[int, Rejected | None]] = []

    def note(number: int, outcome: Rejected | None) -> None:
        landed.append((number, outcome))

    for number in range(3):
        await window.send(message(number), partial(note, number))
    no = Rejected("no")
    line.acknowledge(1, no)
    line.acknowledge(1)
    line.acknowledge(0)
    assert landed == [(1, no), (2, None), (0, None)]


async def test_window_is_busy_while_somebody_still_waits_for_room() -> None:
    """A notice that waits must not be forgotten because everything before it lands in one go."""
    window = Window(line := Line(2), ack_timeout_s=PATIENCE_S)
    assert not window.busy
    async with in_background(send(window, 3)):
        await asyncio.sleep(1)
        line.acknowledge()
        line.acknowledge()
        assert window.busy
        await asyncio.sleep(1)
        assert line.sent == [b"0", b"1", b"2"]
        line.acknowledge()
        assert not window.busy


async def test_sender_that_is_cancelled_leaves_its_place_to_others() -> None:
    window = Window(line := Line(1), ack_timeout_s=PATIENCE_S)
    await send(window, 1)
    async with in_background(send(window, 1)):
        await asyncio.sleep(1)
    line.acknowledge()
    assert not window.busy
    async with asyncio.timeout(1):
        await send(window, 1)


async def test_movement_returns_at_the_next_acknowledgement() -> None:
    window = Window(line := Line(2), ack_timeout_s=PATIENCE_S)
    await send(window, 2)
    line.acknowledge()
    async with in_background(window.movement()) as [moving]:
        await asyncio.sleep(1)
        assert not moving.done()
        line.acknowledge()
        async with asyncio.timeout(1):
            await moving


async def test_idleness_condemns_nobody() -> None:
    window = Window(line := Line(2), ack_timeout_s=PATIENCE_S)
    async with in_background(window.watch()) as [watch]:
        await asyncio.sleep(3600)
        assert not watch.done()
        await send(window, 2)
        line.acknowledge()
        line.acknowledge()
        await asyncio.sleep(3600)
        assert not watch.done()


@pytest.mark.parametrize("idle_s", [0.0, 1.0, 19.9, 20.0, 3600.5])
async def test_broker_that_acknowledges_nothing_is_condemned_after_the_limit(idle_s: float) -> None:
    window = Window(Line(2), ack_timeout_s=PATIENCE_S)

    async def send_later() -> None:
        await asyncio.sleep(idle_s)
        await send(window, 1)

    async with in_background(send_later()):
        assert await watched(window) == pytest.approx(idle_s + PATIENCE_S)


async def test_one_lost_acknowledgement_among_many_condemns_the_connection() -> None:
    window = Window(line := Line(5), ack_timeout_s=PATIENCE_S)

    async def acknowledge_all_but_the_first() -> None:
        while True:
            await asyncio.sleep(0.1)
            while len(line.unacknowledged) > 1:
                line.acknowledge(1)

    async with in_background(send(window, 10**6), acknowledge_all_but_the_first()):
        assert await watched(window) == pytest.approx(PATIENCE_S)


async def test_slow_broker_that_takes_one_after_the_other_is_left_in_peace() -> None:
    window = Window(line := Line(100), ack_timeout_s=PATIENCE_S)
    await send(window, 100)
    async with in_background(window.watch()) as [watch]:
        while line.unacknowledged:
            await asyncio.sleep(PATIENCE_S - 1)
            line.acknowledge()
        assert not watch.done()
    assert not window.busy


async def test_acknowledgements_in_another_order_count_when_the_oldest_comes() -> None:
    window = Window(line := Line(3), ack_timeout_s=PATIENCE_S)
    await send(window, 3)
    async with in_background(window.watch()) as [watch]:
        await asyncio.sleep(15)
        line.acknowledge(1)
        line.acknowledge(0)  # the third one has been the oldest since now
        await asyncio.sleep(15)
        assert not watch.done()
        await asyncio.sleep(6)
        assert watch.done()
        assert isinstance(watch.exception(), Unreachable)


async def test_place_is_not_lost_on_a_sender_who_gives_up_as_it_becomes_free() -> None:
    for acknowledged_first in (True, False):
        window = Window(line := Line(1), ack_timeout_s=PATIENCE_S)
        await send(window, 1)
        async with in_background(send(window, 1), send(window, 1)) as [first, second]:
            await asyncio.sleep(1)
            if acknowledged_first:
                line.acknowledge()
                first.cancel()
            else:
                first.cancel()
                line.acknowledge()
            await asyncio.sleep(1)
            assert second.done()
        line.acknowledge()
        assert not window.busy
        async with asyncio.timeout(1):
            await send(window, 1)


# What the broker defers.

LATER = Deferred("broker: Quota exceeded (0x97)")


async def test_deferred_message_is_sent_again_and_its_sender_hears_only_the_end() -> None:
    window = Window(line := Line(3), ack_timeout_s=PATIENCE_S)
    outcomes: list[Rejected | None] = []
    await window.send(message(0), outcomes.append)
    line.acknowledge(error=LATER)
    assert window.busy
    await asyncio.sleep(RETRY_FIRST_S)
    assert line.sent == [b"0", b"0"]
    assert outcomes == []
    line.acknowledge()
    assert outcomes == [None]
    assert not window.busy


async def test_deferred_message_that_is_rejected_in_the_end_is_rejected() -> None:
    window = Window(line := Line(3), ack_timeout_s=PATIENCE_S)
    outcomes: list[Rejected | None] = []
    await window.send(message(0), outcomes.append)
    line.acknowledge(error=LATER)
    await asyncio.sleep(RETRY_FIRST_S)
    line.acknowledge(error=(no := Rejected("no")))
    assert outcomes == [no]
    assert not window.busy


async def test_nothing_new_is_sent_and_one_is_risked_until_the_broker_takes_it() -> None:
    window = Window(line := Line(4), ack_timeout_s=PATIENCE_S)
    await send(window, 3)
    line.taken()
    for _ in range(3):
        line.acknowledge(error=LATER)
    async with in_background(send(window, 3)) as [sending]:  # the fourth place is free
        for _ in range(3):
            taken: list[bytes] = []
            while not taken:
                await asyncio.sleep(0.1)
                taken = line.taken()
            assert taken == [b"0"]
            line.acknowledge(error=LATER)
        await asyncio.sleep(PATIENCE_S)
        assert line.taken() == [b"0"]
        line.acknowledge()
        await asyncio.sleep(0)
        assert line.taken() == [b"1", b"2", b"0", b"1"]
        line.acknowledge()
        await asyncio.sleep(0)
        assert line.taken() == [b"2"]
        assert sending.done()


async def test_waits_between_attempts_grow_and_never_exceed_the_longest() -> None:
    window = Window(line := Line(1), ack_timeout_s=PATIENCE_S)
    loop = asyncio.get_running_loop()
    await send(window, 1)
    waits = []
    async with in_background(window.watch()) as [watch]:
        for _ in range(50):
            line.acknowledge(error=LATER)
            before = loop.time()
            while not line.unacknowledged:
                await asyncio.sleep(0.1)
            waits.append(loop.time() - before)
        assert not watch.done()  # the broker has answered each time
    assert waits[0] <= RETRY_FIRST_S + 0.1
    assert max(waits[:3]) < RETRY_MAX_S / 2
    assert RETRY_MAX_S / 2 < max(waits) <= RETRY_MAX_S + 0.1


async def test_broker_that_does_not_answer_the_one_that_is_risked_is_condemned() -> None:
    window = Window(line := Line(1), ack_timeout_s=PATIENCE_S)
    await send(window, 1)
    line.acknowledge(error=LATER)
    assert PATIENCE_S <= await watched(window) <= PATIENCE_S + RETRY_FIRST_S


async def test_older_value_is_never_the_last_word_on_its_topic() -> None:
    """A message that was taken after an older one of its topic was deferred is sent again, after that one."""
    window = Window(line := Line(10), ack_timeout_s=PATIENCE_S)
    landed: list[str] = []
    for name in ("a1", "b1", "a2", "b2", "a3"):
        await window.send(
            Message(name[0], name.encode()),
            lambda _outcome, name=name: landed.append(name),  # type: ignore[misc]
        )
    line.acknowledge()
    line.acknowledge()
    line.acknowledge(error=LATER)
    line.acknowledge()
    line.acknowledge()
    assert landed == ["a1", "b1", "b2"]
    await asyncio.sleep(RETRY_FIRST_S)
    line.acknowledge()
    line.acknowledge()
    assert line.sent == [b"a1", b"b1", b"a2", b"b2", b"a3", b"a2", b"a3"]
    assert landed == ["a1", "b1", "b2", "a2", "a3"]
    assert not window.busy


async def test_window_has_its_whole_size_again_after_a_quota() -> None:
    window = Window(line := Line(5), ack_timeout_s=PATIENCE_S)
    async with in_background(send(window, 1000)) as [sending]:
        for turn in range(2000):
            await asyncio.sleep(0.1)
            assert len(line.unacknowledged) <= 5
            if line.unacknowledged:
                line.acknowledge(error=LATER if turn % 3 == 0 and turn < 1000 else None)
            if sending.done():
                break
        while line.unacknowledged:
            line.acknowledge()
            await asyncio.sleep(RETRY_FIRST_S)
        assert not window.busy
        await send(window, 5)
    assert len(line.unacknowledged) == 5


async def test_sender_that_gives_up_during_a_quota_leaves_its_place_to_others() -> None:
    window = Window(line := Line(1), ack_timeout_s=PATIENCE_S)
    await send(window, 1)
    async with in_background(send(window, 1)):
        await asyncio.sleep(0)
        line.acknowledge(error=LATER)
    await asyncio.sleep(RETRY_FIRST_S)
    line.acknowledge()
    assert not window.busy
    async with asyncio.timeout(1):
        await send(window, 1)


async def test_quota_is_told_once_for_each_connection(caplog: pytest.LogCaptureFixture) -> None:
    window = Window(line := Line(1), ack_timeout_s=PATIENCE_S)
    for _ in range(5):
        await send(window, 1)
        line.acknowledge(error=LATER)
        await asyncio.sleep(RETRY_FIRST_S)
        line.acknowledge()
    assert caplog.messages == ["broker: Quota exceeded (0x97); what the broker defers is sent again later"]
