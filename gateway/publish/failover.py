"""Several brokers behind one Publisher: the first that lets us in, and the very first again when it is back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn

from gateway.errors import Dismissed, Unreachable
from gateway.publish.publisher import Publisher, Session

RETURN_S = 60.0
"""So often the very first is tried while we are with another one; who loses us earlier is tried last."""


class Failover:
    def __init__(self, publishers: Sequence[Publisher]) -> None:
        self.name = publishers[0].name
        """Of the one that we are with, or were with last."""
        self._publishers = publishers
        self._next = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Session]:
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            place, session = await self._enter(stack)
            since = loop.time()
            try:
                yield session if place == 0 else _Elsewhere(session, self._publishers[0], self.name)
            finally:
                lasted = loop.time() - since >= RETURN_S
                self._next = 0 if lasted else (place + 1) % len(self._publishers)

    async def _enter(self, stack: AsyncExitStack) -> tuple[int, Session]:
        reasons = []
        count = len(self._publishers)
        for place in (each % count for each in range(self._next, self._next + count)):
            publisher = self._publishers[place]
            try:
                session = await stack.enter_async_context(publisher.connect())
            except Unreachable as error:
                reasons.append(str(error))
            else:
                self.name = publisher.name
                return place, session
        self._next = 0
        raise Unreachable("; ".join(reasons))


class _Elsewhere:
    """A session that ends when the broker that we would rather be with is back."""

    def __init__(self, session: Session, preferred: Publisher, name: str) -> None:
        self.window = session.window
        self.maximum_packet_size = session.maximum_packet_size
        self.publish = session.publish
        self._session = session
        self._preferred = preferred
        self._name = name

    async def ended(self) -> NoReturn:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._session.ended(), name="link")
            await self._returned()
            raise Dismissed(f"{self._name}: {self._preferred.name} is back")

    async def _returned(self) -> None:
        while True:
            await asyncio.sleep(RETURN_S)
            try:
                async with self._preferred.connect():
                    return
            except Unreachable:
                continue
