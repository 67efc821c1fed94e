import asyncio
import logging
from collections import deque
from typing import NoReturn

from gateway.errors import Deferred, Rejected, Unreachable
from gateway.logs import about
from gateway.pacing.backoff import Backoff
from gateway.publish.publisher import Done, Message, Session

log = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 1.0, 30.0
"""So long at most we wait before what the broker has deferred is tried again: at first, and in the end."""


class _Flight:
    """A message on its way; called when the broker has answered."""

    __slots__ = ("_done", "_window", "landed", "message")

    def __init__(self, window: "Window", message: Message, done: Done) -> None:
        self.landed = False
        self.message = message
        self._window = window
        self._done = done

    def __call__(self, error: Rejected | Deferred | None) -> None:
        window = self._window
        if error is not None or window._deferred:  # noqa: SLF001 - half of the window
            error = window._consider(self, error)  # noqa: SLF001
            if isinstance(error, Deferred):
                return
        self.landed = True
        window._land(self)  # noqa: SLF001
        self._done(error)


class Window:
    """What is under way on one session: never more than the broker allows, never stuck for ever.

    What the broker defers is sent again, in its turn, as a new message: section 4.4 of MQTT 5.0 forbids to
    repeat the packet, which was acknowledged. Meanwhile nothing new is sent. After a wait that grows as
    long as it is in vain the first one is risked alone, and when it has landed the others follow it.
    """

    def __init__(self, session: Session, *, ack_timeout_s: float, broker: str = "") -> None:
        """`broker`: its name in the configuration, for the log."""
        self.size = session.window
        self.deferrals = 0
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
        self._deferred: deque[_Flight] = deque()  # in the order of their sending; they keep their places
        self._kept_room = 0  # what is free while nothing new is sent
        self._patient = False  # it is we who wait, not the broker who is slow
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        self._told = False
        self._broker = broker

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
        flight = _Flight(self, message, done)
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
        # At once, and not for several together: mosquitto holds acknowledgements back until what we send
        # carries a TCP acknowledgement (Nagle), so that each pause of ours would become one of 40 ms.
        if self._deferred:
            self._kept_room += 1
            return
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._room += 1

    def _land(self, flight: _Flight) -> None:
        flights = self._flights
        if flights[0] is flight:
            flights.popleft()
            while flights and flights[0].landed:
                flights.popleft()
            self._first_since = self._time()
        self._moved.set()
        if self._queue or self._deferred:
            self._free()
        else:
            self._room += 1

    def _consider(self, flight: _Flight, error: Rejected | Deferred | None) -> Rejected | Deferred | None:
        """What the answer means when something is deferred, this message or one before it."""
        deferred = self._deferred
        if deferred and flight is deferred[0]:  # the one that we have risked
            if isinstance(error, Deferred):
                self._wait()
            else:
                self._go_on()
        elif isinstance(error, Deferred):
            if not deferred:
                self._hold(error)
            deferred.append(flight)
        elif error is None and any(each.message.topic == flight.message.topic for each in deferred):
            # It has overtaken an older message of its topic. Sent again after that one it is a repeat,
            # which subscribers recognise; left alone, the older value would stay as the last word.
            deferred.append(flight)
            return Deferred("overtook one that was deferred")
        return error

    def _hold(self, reason: Deferred) -> None:
        self._kept_room, self._room = self._room, 0
        self._wait()
        if not self._told:  # once for each connection: under a tight quota this goes on and on
            self._told = True
            log.warning(
                "%s; what the broker defers is sent again later", reason, extra=about(broker=self._broker)
            )

    def _wait(self) -> None:
        self._patient = True
        self.deferrals += 1
        asyncio.get_running_loop().call_later(self._backoff.next_delay(), self._risk)

    def _risk(self) -> None:
        self._patient = False
        self._first_since = self._time()
        first = self._deferred[0]
        self._session.publish(first.message, first)

    def _go_on(self) -> None:
        # Brokers answer in the order of our messages (section 4.6): everything sent before the one
        # that we have risked has its answer by now.
        self._backoff.reset()
        _, *again = self._deferred
        self._deferred.clear()
        for flight in again:
            self._session.publish(flight.message, flight)
        kept, self._kept_room = self._kept_room, 0
        for _ in range(kept):
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
            if self._patient or not self._flights:
                left = self._ack_timeout_s
            elif left <= 0:
                raise Unreachable(f"a message went unacknowledged for {self._ack_timeout_s:g} s")
            await asyncio.sleep(left)
