"""A broker and the way to it in one object: a Publisher without a network, for virtual time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from gateway.errors import Dismissed, Rejected, Unreachable
from gateway.publish.publisher import Done, Message


class MemoryBroker:
    """Well-behaved until one of its settings says otherwise; they may be changed at any time."""

    def __init__(
        self, *, window: int = 20, latency_s: float = 0.02, will: Message | None = None, name: str = "memory"
    ) -> None:
        self.name = name
        self.window = window
        self.latency_s = latency_s
        """There and back: a message arrives after half of it."""
        self.will = will
        # How it misbehaves.
        self.online = True
        self.acknowledges = True
        self.forgets: set[str] = set()
        """Topics whose messages it never acknowledges."""
        self.refuses: dict[str, str] = {}
        """By topic, why."""
        self.chokes_on: set[bytes] = set()
        """It hangs up on payloads that hold one of these."""
        self.polite = False
        """It says that it has reasons of its own when it does."""
        self.maximum_packet_size: int | None = None
        self.breaks_after: int | None = None
        """So many more messages arrive, then the link breaks: the last one's acknowledgement is lost."""
        # What it saw.
        self.messages: list[Message] = []
        self.connections = 0
        self.choked = 0
        self.goodbyes = 0
        self.most_unacknowledged = 0
        self._session: _Session | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["_Session"]:
        await asyncio.sleep(self.latency_s)
        if not self.online:
            raise Unreachable(f"{self.name}: nobody listens")
        self.connections += 1
        self._session = session = _Session(self)
        try:
            yield session
            self.goodbyes += 1
            session.end("left", will=None)
        finally:
            session.end("hung up", will=self.will)

    def break_link(self) -> None:
        """What is on its way, there or back, is lost."""
        if self._session is not None:
            self._session.end("the link broke", will=self.will)

    def go_offline(self) -> None:
        self.online = False
        self.break_link()

    def on(self, topic: str) -> list[bytes]:
        """The payloads that came on one topic."""
        return [each.payload for each in self.messages if each.topic == topic]


class _Session:
    def __init__(self, broker: MemoryBroker) -> None:
        self.window = broker.window
        self.maximum_packet_size = broker.maximum_packet_size
        self._broker = broker
        self._there: deque[tuple[Message, Done]] = deque()
        self._back: deque[tuple[Done, Rejected | None]] = deque()
        self._unacknowledged = 0
        self._dismissed = False
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def publish(self, message: Message, done: Done) -> None:
        self._there.append((message, done))
        asyncio.get_running_loop().call_later(self._broker.latency_s / 2, self._arrive)

    async def ended(self) -> NoReturn:
        await asyncio.wait([self._end])
        raise (Dismissed if self._dismissed else Unreachable)(f"{self._broker.name}: {self._end.result()}")

    def end(self, why: str, *, will: Message | None) -> None:
        """The first end counts."""
        if not self._end.done():
            self._end.set_result(why)
            if will is not None:
                self._broker.messages.append(will)

    def _arrive(self) -> None:
        if self._end.done():
            return
        broker = self._broker
        message, done = self._there.popleft()
        if any(each in message.payload for each in broker.chokes_on):
            broker.choked += 1
            self._dismissed = broker.polite
            broker.break_link()
            return
        refusal = broker.refuses.get(message.topic)
        if refusal is None:
            broker.messages.append(message)
        self._unacknowledged += 1
        broker.most_unacknowledged = max(broker.most_unacknowledged, self._unacknowledged)
        if broker.breaks_after is not None:
            broker.breaks_after -= 1
            if broker.breaks_after == 0:
                broker.breaks_after = None
                broker.break_link()
                return
        if broker.acknowledges and message.topic not in broker.forgets:
            self._back.append((done, None if refusal is None else Rejected(refusal)))
            asyncio.get_running_loop().call_later(broker.latency_s / 2, self._acknowledge)

    def _acknowledge(self) -> None:
        if not self._end.done():
            done, outcome = self._back.popleft()
            self._unacknowledged -= 1
            done(outcome)
