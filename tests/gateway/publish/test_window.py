import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn

import pytest

from gateway.errors import Rejected, Unreachable
from gateway.publish.publisher import Done, Message
from gateway.publish.window import Window

PATIENCE_S = 20.0


class Line:
    """A session whose other end is the test."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.maximum_packet_size = None
        self.sent: list[bytes] = []
        self.unacknowledged: deque[Done] = deque()

    def publish(self, message: Message, done: Done) -> None:
        self.sent.append(message.payload)
        self.unacknowledged.append(done)

    async def ended(self) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    def acknowledge(self, place: int = 0, error: Rejected | None = None) -> None:
        done = self.unacknowledged[place]
        del self.unacknowledged[place]
        done(error)


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
