"""A receiver of webhooks that does what it is told to: takes them, refuses, hangs, hangs up, sends elsewhere."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, Self

from tests.support.ports import free_port


class Post(NamedTuple):
    line: str
    headers: Mapping[str, str]
    body: bytes


class Hook:
    def __init__(self) -> None:
        self.port = free_port()
        self.posts: list[Post] = []
        """All that has come, whatever was answered."""
        self.answer: bytes | None = b"HTTP/1.1 204 No Content\r\n\r\n"
        """None: hangs until the other side goes. Empty: hangs up."""
        self.lingers = False
        """Keeps the line open behind its answer, until the other side goes."""
        self.goes = asyncio.Event()
        """Set when somebody has gone that it had left hanging."""
        self._tls: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def running(cls, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        hook = cls()
        hook._tls = tls
        await hook.open()
        try:
            yield hook
        finally:
            await hook.close()

    async def open(self) -> None:
        """On the port of before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)

    async def close(self) -> None:
        """Nobody listens there any more. Safe to call twice."""
        if self._server is None:
            return
        self._server.close()
        for link in list(self._links):
            link.transport.abort()
        while self._links:
            await asyncio.sleep(0.001)
        self._server = None

    def says(self, status: str, *headers: str, body: str = "") -> None:
        lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
        self.answer = "\r\n".join([*lines, "", body]).encode()

    @property
    def bodies(self) -> list[bytes]:
        return [post.body for post in self.posts]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                self.posts.append(await _post(reader))
                if self.answer is not None:
                    writer.write(self.answer)
                    await writer.drain()
                if self.answer is None or self.lingers:
                    await reader.read()
                    self.goes.set()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self._links.discard(writer)


async def _post(reader: asyncio.StreamReader) -> Post:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *fields = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
    return Post(line, headers, await reader.readexactly(int(headers["content-length"])))
