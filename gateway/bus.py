"""The central event bus: every event goes to each subscription that asked for its kind."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import Generic, Self, TypeVar

from gateway.model import Event

E = TypeVar("E", bound=Event)


class Overflow(Enum):
    """What happens to an event whose subscriber's mailbox is full."""

    WAIT = "wait"
    """Lossless: whoever publishes waits for room."""
    DROP_OLDEST = "drop oldest"
    DROP_NEWEST = "drop newest"


class Subscription(Generic[E]):
    """A bounded mailbox. `with` it, then `async for` until the bus closes and the mailbox is empty."""

    def __init__(
        self, bus: "EventBus", kind: type[E], *, name: str, capacity: int, overflow: Overflow
    ) -> None:
        if capacity < 1:
            raise ValueError(f"subscription {name}: a mailbox needs room for at least one event")
        self.kind = kind
        self.name = name
        self.dropped = 0
        self._bus = bus
        self._capacity = capacity
        self._overflow = overflow
        self._mail: deque[E] = deque()
        self._delivered = 0
        self._taken = 0
        # Counters, and futures only for those who find no room: a semaphore costs more than all the rest.
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._ended = False
        self._left = False
        self._reader: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave: whoever waits for room here goes on without us."""
        self._left = True
        self._bus.forget(self)
        self._take(len(self._mail))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        await self._arrival()
        if not self._mail:
            raise StopAsyncIteration
        (event,) = self._take(1)
        return event

    async def batches(self) -> AsyncIterator[Sequence[E]]:
        """All that is there, at most a mailbox full; the loop turns between two of them."""
        while True:
            await self._arrival()
            if not self._mail:
                return
            yield self._take(min(len(self._mail), self._capacity))
            if self._mail:
                await asyncio.sleep(0)

    def take(self) -> Sequence[E]:
        """All that is there, at once."""
        return self._take(len(self._mail))

    def put(self, event: E) -> None:
        """At once; a lossless mailbox takes it beyond its room, too."""
        if self._left:
            return
        if self._overflow is not Overflow.WAIT and len(self._mail) >= self._capacity:
            self.dropped += 1
            if self._overflow is Overflow.DROP_NEWEST:
                return
            self._mail.popleft()
        self._mail.append(event)
        self._delivered += 1
        if self._reader is not None:
            self._wake()

    @property
    def crowded(self) -> bool:
        """It holds events beyond its room."""
        return len(self._mail) > self._capacity

    async def room(self) -> None:
        """Returns when all that is in a crowded mailbox now has found room, those who came first before us."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((self._delivered, turn))
        await turn

    def end(self) -> None:
        self._ended = True
        self._wake()

    def _take(self, count: int) -> list[E]:
        mail = self._mail
        if count == len(mail):
            taken = list(mail)
            mail.clear()
        else:
            taken = [mail.popleft() for _ in range(count)]
        self._taken += count
        while self._queue and self._queue[0][0] - self._taken <= self._capacity:
            _, turn = self._queue.popleft()
            if not turn.done():  # else its publisher was cancelled
                turn.set_result(None)
        return taken

    @property
    def lossless(self) -> bool:
        return self._overflow is Overflow.WAIT

    @property
    def waiting(self) -> int:
        return len(self._mail)

    @property
    def busy(self) -> bool:
        """Mail waits, or the reader has not come back for more."""
        return bool(self._mail) or (self._reader is None and not self._ended)

    @property
    def taken(self) -> int:
        """Events that the reader has got."""
        return self._taken

    async def _arrival(self) -> None:
        """Returns when there is mail, or none will come any more."""
        while not self._mail and not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class EventBus:
    def __init__(self) -> None:
        self._subscriptions: list[Subscription[Event]] = []
        self._routes: dict[type[Event], tuple[Subscription[Event], ...]] = {}
        self._closed = False

    def subscribe(self, kind: type[E], *, name: str, capacity: int, overflow: Overflow) -> Subscription[E]:
        """A mailbox for events of this kind and its subclasses, from now on."""
        subscription = Subscription(self, kind, name=name, capacity=capacity, overflow=overflow)
        self._subscriptions.append(subscription)  # type: ignore[arg-type]  # filled by kind only
        self._routes.clear()
        if self._closed:
            subscription.end()
        return subscription

    @property
    def subscriptions(self) -> Sequence[Subscription[Event]]:
        return self._subscriptions

    def put(self, event: Event) -> None:
        """Into every mailbox at once, beyond its room if need be.

        For readings that follow each other closely: whoever uses it calls `publish` every few events.
        Raises: RuntimeError after `close()`: a wiring bug.
        """
        if self._closed:
            raise RuntimeError(f"{type(event).__name__} published after the bus was closed")
        for subscription in self._route(type(event)):
            subscription.put(event)

    async def publish(self, event: Event) -> None:
        """Into every mailbox at once; returns when no lossless one holds it beyond its room.

        Nothing is lost when this is cancelled: only the wait ends.
        Raises: RuntimeError after `close()`: a wiring bug.
        """
        self.put(event)
        await self.room(type(event))

    async def room(self, kind: type[Event]) -> None:
        """Returns when no lossless mailbox for this kind holds beyond its room what it holds now."""
        for subscription in self._route(kind):
            if subscription.crowded:
                await subscription.room()

    def close(self) -> None:
        """No more events: every reader drains its mailbox, then its loop ends."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()

    def _route(self, kind: type[Event]) -> tuple[Subscription[Event], ...]:
        route = self._routes.get(kind)
        if route is None:
            route = tuple(each for each in self._subscriptions if issubclass(kind, each.kind))
            self._routes[kind] = route
        return route

    def forget(self, subscription: Subscription[E]) -> None:
        self._subscriptions = [each for each in self._subscriptions if each is not subscription]
        self._routes.clear()
