"""Somebody at the live feed, as anybody would write one: the lines it got, in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import orjson

from tests.support.gateway_process import until


class Feed:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.data = bytearray()
        """As it came: fifty of these must not be slower than the gateway."""
        self.over = False
        """The gateway has hung up."""
        self.writer = writer
        self._reader = reader
        self._understood = 0
        self._got: list[Any] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, where: Path | int) -> AsyncIterator[Self]:
        """`where`: a UNIX socket, or a port on the loopback."""
        if isinstance(where, Path):
            reader, writer = await asyncio.open_unix_connection(where)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", where)
        feed = cls(reader, writer)
        following = asyncio.create_task(feed._follow())
        try:
            await until(lambda: feed.data or feed.over)
            yield feed
        finally:
            following.cancel()
            writer.transport.abort()
            await asyncio.wait([following])

    @property
    def got(self) -> list[Any]:
        """The lines, in order."""
        end = self.data.rfind(b"\n") + 1
        self._got += map(orjson.loads, self.data[self._understood : end].splitlines())
        self._understood = end
        return self._got

    def events(self, kind: str) -> list[Any]:
        return [each for each in self.got if each["event"] == kind]

    @property
    def dropped(self) -> int:
        """Lines that it was told it has lost."""
        return sum(each["lines"] for each in self.events("dropped"))

    async def has(self, kind: str, count: int = 1) -> None:
        await until(lambda: len(self.events(kind)) >= count)

    async def hung_up(self) -> None:
        await until(lambda: self.over)

    async def _follow(self) -> None:
        try:
            while data := await self._reader.read(1 << 16):
                self.data += data
        except ConnectionResetError:
            pass
        self.over = True
