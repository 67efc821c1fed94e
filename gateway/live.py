"""The live feed: each event as a line of JSON, to whoever connects.

    {"event":"gateway","gateway":"greenhouse","version":"0.1.0","time":"…","since":"…","up_s":812.0}
    {"event":"device","device":"boiler","state":"online","metrics":[…],…}     one for each, as it is now
    {"event":"reading","device":"boiler","time":"…","seq":812,"run":"7f3a09c2","values":{"temperature":21.5}}

Nothing waits for a client. Events are collected for a moment, made into lines once for all, and only while there is
somebody; what a client does not take in time it loses, and is told how much; who takes nothing for long is left.
"""

import asyncio
import errno
import logging
import os
import socket
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from gateway import wire
from gateway.bus import EventBus, Overflow, Subscription
from gateway.config import LiveOptions
from gateway.config.listen import Listen
from gateway.model import Event
from gateway.pacing.backoff import Backoff
from gateway.pacing.throttle import Throttle
from gateway.source import Source
from gateway.supervisor import Child, Report

log = logging.getLogger(__name__)

MOST_CLIENTS = 256
PACE_S = 0.05
"""Events are collected for so long: fifty clients then cost a thousand system calls a second, not one for each event
and client. It also keeps the devices' states, which are told to those who come, ahead of the events that follow."""
MAILBOX = 512
"""Events in that time; what is more is dropped and told as such, so that a flood costs no more than this."""
STATES = 50
"""Devices in that time whose state is made: those who come again and again cost no more than this."""
STATES_BYTES = 64 * 1024
"""And so much of them: who comes is to have room for it."""
AT_ONCE = 8
"""Clients that are told in one turn of the loop: readings are to come between them."""
CHUNK_BYTES = 16 * 1024
ROOM_BYTES = 256 * 1024
"""That wait for one client. What waits for several is the same in memory."""
SEND_BUFFER_BYTES = 64 * 1024
"""The system's, for each client; it would be up to 4 MB."""
STALL_S = 30.0
"""In which a client takes a chunk, or loses its place."""
SAID_BYTES = 64 * 1024
"""That a client may say, to nobody, before it loses its place."""
IDLE_S = 15.0
"""After so long without an event there is a line that says so, and shows us who has gone."""
TRIAL_S = 1.0
FAREWELL_S = 0.25
"""At the stop, which the clients have to take what is there: brokers and disk are told farewell meanwhile."""
SOCKET_MODE = 0o660
RETRY_S = 30.0
BACKLOG = 64

_SAY_EVERY_S = 60.0


class Chunk(NamedTuple):
    data: bytes
    lines: int
    """That are lost with it."""


class Backlog:
    """What a client has still to take: the oldest gives way, and is told as lost in its place."""

    def __init__(self, room: int = ROOM_BYTES) -> None:
        self.size = 0
        self._room = room
        self._chunks: deque[Chunk] = deque()
        self._lost = 0

    def put(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self.size += len(chunk.data)
        while self.size > self._room:
            oldest = self._chunks.popleft()
            self.size -= len(oldest.data)
            self._lost += oldest.lines

    def take(self) -> bytes:
        """What comes next; nothing if there is nothing."""
        if self._lost:
            lost, self._lost = self._lost, 0
            return _dropped(lost)
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        self.size -= len(chunk.data)
        return chunk.data


class Live:
    def __init__(
        self,
        options: LiveOptions,
        bus: EventBus,
        sources: Iterable[Source],
        *,
        run: Callable[[], str],
        about: Callable[[], Mapping[str, Any]],
        state: Callable[[Source], Mapping[str, Any]],
        passed: Sequence[socket.socket] = (),
    ) -> None:
        """Begin.

        Args:
            options: where to listen.
            bus: whose events are told.
            sources: the devices.
            run: the journal's, which numbers belong to.
            about: what the first line says of the gateway.
            state: of a device, as it is now.
            passed: sockets that somebody has opened for us, and that listen already.
        """
        self._options = options
        self._bus = bus
        self._sources = sources
        self._run = run
        self._about = about
        self._state = state
        self._passed = passed
        self.numbers = count(1)
        """Of those who come by a socket without addresses."""
        self._clients: set[_Client] = set()
        self._newcomers: list[_Client] = []
        self._greeted: Sequence[_Client] = ()
        self._untold: deque[str] = deque()
        """Devices whose state those who are greeted have still to get."""
        self._somebody = asyncio.Event()
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._told_at = 0.0
        self._dropped = 0
        self._complained = False
        self._tell_left = Throttle(_SAY_EVERY_S)
        self.child = Child(name="live", run=self.run, restart=Backoff(first_s=0.5, cap_s=RETRY_S))

    @property
    def backlogs(self) -> Mapping[str, int]:
        """Bytes that wait, by client."""
        return {client.name: client.waiting for client in self._clients}

    def change(self, options: LiveOptions) -> None:
        """Whoever has come by an address that is given up is left, once he has got what was there."""
        if options.listen != self._options.listen:
            self._changed.set()
        self._options = options

    def end(self) -> None:
        """Nothing more will come."""
        self._over.set()

    async def run(self, _report: Report) -> None:
        """Returns after `end`, when the clients have got what was there, or had time enough."""
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(partial(_Client, self), sock=each.dup()) for each in self._passed]
        if servers:
            log.info("live: whoever connects to what the service manager listens on gets each event")
        try:
            async with asyncio.TaskGroup() as group:
                at_work = [
                    group.create_task(self._keep_listening(), name="live: listener"),
                    group.create_task(self._pass_on(), name="live: events"),
                ]
                await self._over.wait()
                for task in at_work:
                    task.cancel()
            for server in servers:  # who comes now is there when the next gateway is
                server.close()
            for client in [*self._clients]:
                client.finish()
            with suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._nobody.wait()
        finally:
            for server in servers:
                server.close()
            for client in [*self._clients]:
                client.abort()

    # Who comes and goes.

    def join(self, client: "_Client") -> bool:
        """Whether there is a place."""
        if len(self._clients) >= MOST_CLIENTS or self._over.is_set():
            self._tell(f"live: no place for {client.name}: {len(self._clients)} listen already")
            return False
        self._clients.add(client)
        self._newcomers.append(client)
        self._nobody.clear()
        self._somebody.set()
        client.put(Chunk(_line("gateway", self._about()), 1))
        return True

    def forget(self, client: "_Client") -> None:
        self._clients.discard(client)
        if client in self._newcomers:
            self._newcomers.remove(client)
        if not self._clients:
            self._somebody.clear()
            self._nobody.set()

    def leave(self, client: "_Client", why: str) -> None:
        """It is to blame for that."""
        self._tell(f"live: {client.name} {why}: it is left")
        client.abort()

    def try_out(self, client: "_Client") -> None:
        """Whether it is still there."""
        client.put(Chunk(self._idle(), 1))

    def _idle(self) -> bytes:
        return _line("idle", {"time": self._about()["time"]})

    def _tell(self, text: str) -> None:
        if self._tell_left.passes(asyncio.get_running_loop().time()):
            log.info("%s", text)
        else:
            log.debug("%s", text)

    # What they get.

    async def _pass_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._somebody.wait()
            mail = self._bus.subscribe(Event, name="live", capacity=MAILBOX, overflow=Overflow.DROP_OLDEST)
            self._dropped, self._told_at = 0, loop.time()
            with mail:
                try:
                    while self._clients:
                        await asyncio.sleep(PACE_S)
                        await self._tell_states()
                        await self._tell_events(mail, loop.time())
                finally:
                    await self._tell_events(mail, loop.time())

    async def _tell_states(self) -> None:
        """What a state does not hold yet comes after it: the events of this moment have not been told."""
        lines = self._next_states()
        if not lines and self._newcomers:
            self._greeted, self._newcomers = self._newcomers, []
            self._untold = deque(source.name for source in self._sources)
            lines = self._next_states()
        await _put([*_chunks(lines)], self._greeted)
        if not self._untold:
            self._greeted = ()

    def _next_states(self) -> Sequence[bytes]:
        lines: list[bytes] = []
        if not self._untold:
            return lines
        # A reload may have come in between: of who has gone, his removal was the last word.
        there = {source.name: source for source in self._sources}
        while self._untold and len(lines) < STATES and sum(map(len, lines)) < STATES_BYTES:
            source = there.get(self._untold.popleft())
            if source is not None:
                lines.append(self._state_line(source))
        return lines

    def _state_line(self, source: Source) -> bytes:
        state = {key: value for key, value in self._state(source).items() if key != "name"}
        return _line("device", {"device": source.name, **state})

    async def _tell_events(self, mail: Subscription[Event], now: float) -> None:
        lost, self._dropped = mail.dropped - self._dropped, mail.dropped
        before = [Chunk(_dropped(lost), lost)] if lost else []
        run = self._run()
        lines = [line for event in mail.take() if (line := wire.live_line(event, run)) is not None]
        if not lines and now - self._told_at >= IDLE_S:
            lines = [self._idle()]
        if lines:
            self._told_at = now
        await _put([*before, *_chunks(lines)], self._clients)

    # Where it listens.

    async def _keep_listening(self) -> None:
        retry = Backoff(first_s=0.5, cap_s=RETRY_S)
        while True:
            self._changed.clear()
            wanted = self._options.listen
            if wanted is None:
                await self._changed.wait()
                continue
            try:
                bound = _bound(wanted)
            except OSError as error:
                self._complain(wanted, error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(retry.next_delay()):
                        await self._changed.wait()
                        self._complained = False
                        retry.reset()
                continue
            self._complained = False
            retry.reset()
            await self._serve(bound, wanted)

    async def _serve(self, bound: socket.socket, wanted: Listen) -> None:
        mark = _mark(wanted.path)
        came: set[_Client] = set()
        server = await asyncio.get_running_loop().create_server(
            partial(_Client, self, came), sock=bound, backlog=BACKLOG
        )
        log.info("live: whoever connects to %s gets each event", wanted)
        try:
            await self._changed.wait()
            for client in [*came]:
                client.finish()
        finally:
            server.close()
            if wanted.path is not None and _mark(wanted.path) == mark:
                wanted.path.unlink(missing_ok=True)

    def _complain(self, wanted: Listen, error: OSError) -> None:
        if not self._complained:
            why = wanted.why_not(error, "live.listen")
            log.warning("live: cannot listen on %s: %s. It is tried again; all else goes on", wanted, why)
        self._complained = True


class _Client(asyncio.Protocol):
    def __init__(self, live: Live, came: "set[_Client] | None" = None) -> None:
        """`came`: those who came by the same address."""
        self.name = f"client {next(live.numbers)}"
        self._live = live
        self._came = set() if came is None else came
        self._backlog = Backlog()
        self._transport: asyncio.Transport
        self._patience: asyncio.TimerHandle | None = None
        """While it does not take what it was sent."""
        self._said = 0
        self._finishing = False

    @property
    def waiting(self) -> int:
        return self._backlog.size + self._transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if sock.family != socket.AF_UNIX:
            # Of a machine that went away without a word nothing else is heard for a quarter of an hour.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALL_S * 1000))
            self.name = str(Listen(*transport.get_extra_info("peername")[:2]))
        if self._live.join(self):
            self._came.add(self)
        else:
            transport.write(_line("full", {"clients": MOST_CLIENTS}))
            transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        self.resume_writing()
        self._came.discard(self)
        self._live.forget(self)

    def data_received(self, data: bytes) -> None:
        self._said += len(data)
        if self._said > SAID_BYTES:
            self._live.leave(self, f"has said more than {SAID_BYTES} bytes, and nobody listens")

    def eof_received(self) -> bool:
        """It has no more to say, or has gone: that shows when it is told something; with TCP the second time."""
        self._live.try_out(self)
        asyncio.get_running_loop().call_later(TRIAL_S, self._live.try_out, self)
        return True

    def pause_writing(self) -> None:
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(
            STALL_S, self._live.leave, self, f"has taken nothing for {STALL_S:g} s"
        )

    def resume_writing(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._send()

    def put(self, *chunks: Chunk) -> None:
        for chunk in chunks:
            if self._finishing or self._transport.is_closing():
                return
            self._backlog.put(chunk)
            self._send()

    def finish(self) -> None:
        """Leave when it has got what was there."""
        self._finishing = True
        self._send()

    def abort(self) -> None:
        self._transport.abort()

    def _send(self) -> None:
        while self._patience is None and not self._transport.is_closing():
            if data := self._backlog.take():
                self._transport.write(data)
            elif self._finishing:
                self._transport.close()
            else:
                return


async def _put(chunks: Sequence[Chunk], clients: Iterable[_Client]) -> None:
    """To those who are there now, in turns of the loop. Who is cancelled has told all of them nevertheless."""
    left = iter([*clients] if chunks else [])
    try:
        for number, client in enumerate(left, 1):
            client.put(*chunks)
            if not number % AT_ONCE:
                await asyncio.sleep(0)
    finally:
        for client in left:
            client.put(*chunks)


def _chunks(lines: Sequence[bytes]) -> Iterator[Chunk]:
    """One system call for many lines, and what is lost at once is not much."""
    first, size = 0, 0
    for number, line in enumerate(lines, 1):
        size += len(line)
        if size >= CHUNK_BYTES or number == len(lines):
            yield Chunk(b"".join(lines[first:number]), number - first)
            first, size = number, 0


def _line(event: str, fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"event": event, **fields}) + b"\n"


def _dropped(lines: int) -> bytes:
    return _line("dropped", {"lines": lines})


def _bound(wanted: Listen) -> socket.socket:
    """Raises: OSError."""
    if wanted.path is None:
        family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
        return socket.create_server((wanted.host, wanted.port), family=family, backlog=BACKLOG)
    _make_way(wanted.path)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(str(wanted.path))
        wanted.path.chmod(SOCKET_MODE)
    except BaseException:
        bound.close()
        raise
    return bound


def _make_way(path: Path) -> None:
    """Take away a socket that a process before us has left, and nothing else. Raises: OSError."""
    with suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as caller:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        caller.setblocking(False)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:  # somebody who is busy
            pass
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _mark(path: Path | None) -> int | None:
    """Which file it is that lies there."""
    with suppress(OSError):
        return None if path is None else path.stat().st_ino
    return None
