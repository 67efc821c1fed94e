import asyncio
from collections.abc import Callable
from typing import NoReturn

from gateway.errors import Rejected, Unreachable
from gateway.publish.publisher import Message, Session


class Window:
    """What is under way on one session: never more than the broker allows, never stuck for ever."""

    def __init__(self, session: Session, *, ack_timeout_s: float) -> None:
        self.size = session.window
        self.under_way = 0
        self._session = session
        self._ack_timeout_s = ack_timeout_s
        self._room = asyncio.Semaphore(self.size)
        self._moved = asyncio.Event()
        self._moved_at = 0.0

    async def send(self, message: Message, done: Callable[[Rejected | None], None]) -> None:
        """Returns when the message is on its way; waits for room before that."""

        def landed(error: Rejected | None) -> None:
            self.under_way -= 1
            self._moved_at = asyncio.get_running_loop().time()
            self._moved.set()
            self._room.release()
            done(error)

        await self._room.acquire()
        if not self.under_way:
            self._moved_at = asyncio.get_running_loop().time()
        self.under_way += 1
        self._session.publish(message, landed)

    async def movement(self) -> None:
        """Returns at the next acknowledgement."""
        self._moved.clear()
        await self._moved.wait()

    async def watch(self) -> NoReturn:
        """One lost acknowledgement condemns the connection; idleness is free. Raises: Unreachable."""
        while True:
            # The deadline belongs to the window, not to each publish: no timer per reading.
            left = self._moved_at + self._ack_timeout_s - asyncio.get_running_loop().time()
            if not self.under_way:
                left = self._ack_timeout_s
            elif left <= 0:
                raise Unreachable(f"nothing acknowledged for {self._ack_timeout_s:g} s")
            await asyncio.sleep(left)
