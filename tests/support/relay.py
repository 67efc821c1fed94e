"""The network between the gateway and its broker, to be cut and mended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

from tests.support.ports import free_port


class Relay:
    """Passes bytes on to a port of this machine; while it is cut, it refuses connections."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, target: int) -> AsyncIterator[Self]:
        relay = cls(target)
        await relay.mend()
        try:
            yield relay
        finally:
            await relay.cut()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Every connection through it is reset. Safe to call twice."""
        if self._server is None:
            return
        self._server.close()
        for stream in list(self._streams):
            stream.transport.abort()
        while self._streams:
            await asyncio.sleep(0.001)
        self._server = None

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._streams |= {writer, there_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, there_writer))
                group.create_task(self._copy(there_reader, writer))
        finally:
            self._streams -= {writer, there_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
