"""The web server: listens where the configuration says, as long as it says so."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.config import WebOptions
from gateway.config.listen import Listen
from gateway.errors import ListenError
from gateway.logs import MessageId, about
from gateway.pacing.backoff import Backoff
from gateway.request import LARGEST
from gateway.supervisor import Child, Report
from gateway.web.api import Api
from gateway.web.guard import Guard
from gateway.web.history import History
from gateway.web.pages import Pages
from gateway.web.probes import Probes
from gateway.web.scene import Scene
from gateway.web.sight import Sight
from gateway.web.stream import Stream

MOST_CONNECTIONS = 128
"""A browser opens six at most, and `stream.MOST_VIEWERS` of them may stay. Of those that come at once, some more."""
BACKLOG = 16
IDLE_S = 5.0
"""A connection on which nothing is asked."""
STALLED_S = 30.0
"""Who has taken nothing of an answer for so long is left. The system sees to it, whatever waits."""
SEND_BUFFER_BYTES = 64 * 1024
"""The system's, for each connection; it would be up to 4 MB."""
STOP_S = 0.5
"""For answers that are under way, when the gateway stops or listens elsewhere."""
RETRY = 1.0, 30.0
"""Seconds between two attempts to listen: at first, at most."""

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)

log = logging.getLogger(__name__)


class Web:
    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._history = History()
        self._stream = Stream(Scene(sight, self._history))
        self._guard = Guard(self._options)
        self._tried: Listen | None = None
        self.child = Child(
            name="status page", run=self.run, restart=Backoff(*RETRY), chance=self._to_be_elsewhere
        )

    async def run(self, report: Report) -> None:
        """Returns when nothing is to be listened on any more. Raises: ListenError."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._history.run(self._sight.bus), name="status page: alerts"),
                group.create_task(self._stream.run(), name="status page: events"),
            ]
            try:
                while (listen := self._options().listen) is not None:
                    self._tried = listen
                    async with self._listening(listen):
                        await report.online()
                        log.info("status page: http://%s/", listen)
                        await self._until_it_is_to_be_elsewhere(listen)
            finally:
                for task in tasks:
                    task.cancel()

    async def _until_it_is_to_be_elsewhere(self, listen: Listen) -> None:
        options = self._options()
        while True:
            reloaded = self._sight.reloaded()
            if self._options().listen != listen:
                return
            if self._options() != options:  # who may look: those who look are asked again
                options = self._options()
                self._stream.end()
            await reloaded.wait()

    async def _to_be_elsewhere(self) -> bool:
        while True:
            reloaded = self._sight.reloaded()
            if self._options().listen != self._tried:
                return True
            await reloaded.wait()

    @asynccontextmanager
    async def _listening(self, listen: Listen) -> AsyncIterator[None]:
        runner = web.AppRunner(
            self._application(), access_log=None, keepalive_timeout=IDLE_S, shutdown_timeout=STOP_S,
            logger=_Log(log, about(MessageId.BUG)),
        )  # fmt: skip
        await runner.setup()
        assert runner.server is not None
        try:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(
                _bounded(runner.server), listen.host, listen.port, backlog=BACKLOG
            )
        except OSError as error:
            await runner.cleanup()
            raise ListenError(f"{listen}: {listen.why_not(error, 'web.listen')}") from error
        for each in server.sockets:  # whoever is accepted has them from there
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(STALLED_S * 1000))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        try:
            yield
        finally:
            server.close()
            self._stream.end()
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard.answer], client_max_size=LARGEST)
        application.on_response_prepare.append(self._guard.dress)
        for part in (
            Pages(),
            Probes(self._sight, self._stream),
            Api(self._sight, self._stream, self._history),
        ):
            application.add_routes(part.routes)
        return application

    def _options(self) -> WebOptions:
        return self._sight.config().web


class _Log(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp says of itself: mistakes of ours. It says the same of what is no HTTP, which anybody may send."""

    def log(self, level: int, msg: object, *args: object, **how: Any) -> None:
        if isinstance(how.get("exc_info"), HttpProcessingError):
            level = logging.DEBUG
        super().log(level, msg, *args, **how)


def _bounded(server: web.Server) -> Callable[[], asyncio.Protocol]:
    def greet() -> asyncio.Protocol:
        if len(server.connections) >= MOST_CONNECTIONS:
            return _Full()
        handler = server()
        handler.debug = False  # where asyncio's debug mode is on, visitors would be shown stacks
        return handler

    return greet


class _Full(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL)
        transport.close()
