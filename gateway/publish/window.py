import asyncio
from collections import deque
from typing import NoReturn

from gateway.errors import Rejected, Unreachable
from gateway.publish.publisher import Done, Message, Session


class _Flight:
    """A message on its way; called when it lands."""

    __slots__ = ("_done", "_window", "landed")

    def __init__(self, window: "Window", done: Done) -> None:
        self.landed = False
        self._window = window
        self._done = done

    def __call__(self, error: Rejected | None) -> None:
        self.landed = True
        self._window._land(self)  # noqa: SLF001 - half of the window
        self._done(error)


class Window:
    """What is under way on one session: never more than the broker allows, never stuck for ever."""

    def __init__(self, session: Session, *, ack_timeout_s: float) -> None:
        self.size = session.window
        self._session = session
        self._ack_timeout_s = ack_timeout_s
        self._time = asyncio.get_running_loop().time
        # A counter, and futures only for those who find no room: a semaphore costs more than all the rest.
        self._room = self.size
        self._queue: deque[asyncio.Future[None]] = deque()
        self._waiting = 0
        self._flights: deque[_Flight] = deque()  # the first one is the oldest that has not landed
        self._first_since = 0.0
        self._moved = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Something is under way, or waits for room."""
        return bool(self._flights) or self._waiting > 0

    async def send(self, message: Message, done: Done) -> None:
        """Returns when the message is on its way; waits for room before that."""
        if self._room:
            self._room -= 1
        else:
            await self._turn()
        if not self._flights:
            self._first_since = self._time()
        flight = _Flight(self, done)
        self._flights.append(flight)
        self._session.publish(message, flight)

    async def _turn(self) -> None:
        """Returns when somebody's place has become ours, those who came first before us."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._free()  # it had become ours just now
            raise
        finally:
            self._waiting -= 1

    def _free(self) -> None:
        """A place is free: for the first in the queue who still waits, else for whoever comes."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._room += 1

    def _land(self, flight: _Flight) -> None:
        flights = self._flights
        if flights[0] is flight:
            while flights and flights[0].landed:
                flights.popleft()
            self._first_since = self._time()
        self._moved.set()
        self._free()

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
