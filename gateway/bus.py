"""The central event bus: every event goes to each subscription that asked for its kind."""

import asyncio
from collections import deque
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
        self._room = asyncio.Semaphore(capacity)
        self._waiting = 0
        self._beyond = 0  # events delivered beyond the mailbox's room
        self._ended = False
        self._left = False
        self._reader: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave: whoever waits for room here goes on without us."""
        self._left = True
        self._bus.forget(self)
        self._mail.clear()
        for _ in range(self._waiting):
            self._room.release()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        while not self._mail:
            if self._ended and not self._waiting:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        if self._beyond:
            self._beyond -= 1
        elif self._overflow is Overflow.WAIT:
            self._room.release()
        return self._mail.popleft()

    async def deliver(self, event: E) -> None:
        if self._left:
            return
        if self._overflow is Overflow.WAIT:
            self._waiting += 1
            try:
                await self._room.acquire()
            finally:
                self._waiting -= 1
                if self._ended:
                    self._wake()
            if self._left:
                return
        self._put(event)

    def deliver_at_once(self, event: E) -> None:
        """Whoever publishes it is being cancelled and cannot wait; a lossless mailbox takes it beyond its room."""
        if self._left:
            return
        if self._overflow is Overflow.WAIT:
            self._beyond += 1
        self._put(event)

    def _put(self, event: E) -> None:
        if self._overflow is not Overflow.WAIT and len(self._mail) >= self._capacity:
            self.dropped += 1
            if self._overflow is Overflow.DROP_NEWEST:
                return
            self._mail.popleft()
        self._mail.append(event)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

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

    async def publish(self, event: Event) -> None:
        """Returns when the event is in every mailbox that does not drop it; so it is when this is cancelled.

        Raises: RuntimeError after `close()`: a wiring bug.
        """
        if self._closed:
            raise RuntimeError(f"{type(event).__name__} published after the bus was closed")
        route = self._route(type(event))
        for place, subscription in enumerate(route):
            try:
                await subscription.deliver(event)
            except asyncio.CancelledError:
                for waiting in route[place:]:
                    waiting.deliver_at_once(event)
                raise

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
