import asyncio
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from gateway.errors import Rejected, Unreachable
from gateway.publish.publisher import Message, Session


class _Flight:
    """A message on its way."""

    __slots__ = ("landed",)

    def __init__(self) -> None:
        self.landed = False


class Window:
    """What is under way on one session: never more than the broker allows, never stuck for ever."""

    def __init__(self, session: Session, *, ack_timeout_s: float) -> None:
        self.size = session.window
        self._session = session
        self._ack_timeout_s = ack_timeout_s
        self._room = asyncio.Semaphore(self.size)
        self._waiting = 0
        self._flights: deque[_Flight] = deque()  # the first one is the oldest that has not landed
        self._first_since = 0.0
        self._moved = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Something is under way, or waits for room."""
        return bool(self._flights) or self._waiting > 0

    async def send(self, message: Message, done: Callable[[Rejected | None], None]) -> None:
        """Returns when the message is on its way; waits for room before that."""
        flight = _Flight()

        def landed(error: Rejected | None) -> None:
            flight.landed = True
            if self._flights[0] is flight:
                while self._flights and self._flights[0].landed:
                    self._flights.popleft()
                self._first_since = asyncio.get_running_loop().time()
            self._moved.set()
            self._room.release()
            done(error)

        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        if not self._flights:
            self._first_since = asyncio.get_running_loop().time()
        self._flights.append(flight)
        self._session.publish(message, landed)

    async def movement(self) -> None:
        """Returns at the next acknowledgement."""
        self._moved.clear()
        await self._moved.wait()

    async def watch(self) -> NoReturn:
        """One lost acknowledgement condemns the connection; idleness is free. Raises: Unreachable."""
        while True:
            # The deadline is the oldest publish's, not each one's: no timer per reading. It begins
            # when that publish becomes the oldest, so that a full window may be slow but not stuck.
            left = self._first_since + self._ack_timeout_s - asyncio.get_running_loop().time()
            if not self._flights:
                left = self._ack_timeout_s
            elif left <= 0:
                raise Unreachable(f"a message went unacknowledged for {self._ack_timeout_s:g} s")
            await asyncio.sleep(left)
