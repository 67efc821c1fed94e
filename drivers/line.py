"""A half-duplex line: one exchange at a time, whichever of the devices on it asks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from math import inf
from typing import Protocol, Self, TypeVar

from drivers.port import Chunk, PortOptions, Rs485, SerialPort, place
from gateway.errors import FrameError, LinkError, LinkSilent
from gateway.model import Clock, Stamp

T = TypeVar("T")

LINE_SETTINGS = (
    "baudrate", "data_bits", "parity", "stop_bits", "flow_control", "exclusive", "turnaround", "echo",
    "rs485",
)  # fmt: skip
"""Options that devices on the same line must agree on."""

LONGEST_ANSWER = 64 * 1024
"""Bytes; beyond it the other end is babbling."""

_SLOWEST_BITS = 24
"""The time for a byte, in bits: an answer that comes at less than half of the line's speed is babble too."""


class LineOptions(PortOptions, Protocol):
    """What a line wants to know besides; `AskingOptions` has it."""

    @property
    def timeout(self) -> float: ...
    @property
    def turnaround(self) -> float: ...
    @property
    def echo(self) -> bool: ...
    @property
    def rs485(self) -> Rs485: ...


class _SharedPort:
    """The one open port below the lines of several devices: the first opens it, the last shuts it."""

    def __init__(self) -> None:
        self.users = 0
        self.settings: tuple[object, ...] = ()
        self.port: SerialPort | None = None
        self.stack = AsyncExitStack()  # holds the port, and nothing while there is none
        self.opening = asyncio.Lock()
        self.turn = asyncio.Lock()
        self.quiet_since = 0.0

    async def open(self, options: LineOptions, clock: Clock) -> None:
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(SerialPort.open(options, clock))
            port.switch_direction(options.rs485)
            self.stack = stack.pop_all()
        self.port, self.settings = port, _settings(options)


_shared: dict[str, _SharedPort] = {}
"""By place. Of the process, as the lock on the device file is: here its devices meet."""


class Line:
    """One device's way to a line that it may share; `async with Line.open(…)`."""

    def __init__(self, shared: _SharedPort, port: SerialPort, options: LineOptions) -> None:
        self.name = port.name
        self._shared = shared
        self._port = port
        self._options = options

    @classmethod
    @asynccontextmanager
    async def open(cls, options: LineOptions, clock: Clock) -> AsyncIterator[Self]:
        """Raises: LinkError, as SerialPort.open does, and for another device's other settings."""
        key = place(options.port)
        shared = _shared.get(key)
        if shared is None or (shared.port is not None and shared.port.lost):
            shared = _shared[key] = _SharedPort()
        shared.users += 1
        try:
            async with shared.opening:
                if shared.port is None:
                    await shared.open(options, clock)
            port = shared.port
            assert port is not None
            if shared.settings != _settings(options):
                raise LinkError(f"{options.port}: another device on it has other line settings")
            yield cls(shared, port, options)
        finally:
            shared.users -= 1
            if not shared.users:
                try:
                    async with shared.opening:  # who comes meanwhile finds it shut, and not still locked
                        shared.port = None
                        await shared.stack.aclose()
                finally:
                    if not shared.users and _shared.get(key) is shared:
                        del _shared[key]

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """The line for oneself, for an exchange of several steps; those who wait keep their order."""
        async with self._shared.turn:
            turn = Turn(self._port, self._options, self._shared.quiet_since)
            quiet_since = 0.0
            try:
                yield turn
            except asyncio.CancelledError:
                quiet_since = turn.sent_at + self._options.timeout  # until then an answer may come, to nobody
                raise
            finally:
                self._shared.quiet_since = max(quiet_since, asyncio.get_running_loop().time())

    async def rest(self, until: float) -> None:
        """Wait for a moment of the loop's time. Raises: LinkLost, as soon as the port goes away."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._port.gone()

    async def exchange(
        self, request: bytes, parse: Callable[[bytes], T | None], *, longest: int = LONGEST_ANSWER
    ) -> tuple[T, Stamp]:
        """Send a request and read its answer; as `Turn.send` and `Turn.receive`."""
        async with self.turn() as turn:
            await turn.send(request)
            return await turn.receive(parse, longest=longest)


class Turn:
    """While it lasts nobody else uses the line."""

    def __init__(self, port: SerialPort, options: LineOptions, quiet_since: float) -> None:
        self.port = port
        self._options = options
        self._quiet_since = quiet_since
        self._echo = b""
        self.sent_at = -inf

    async def send(self, request: bytes, *, quiet_s: float = 0.0) -> None:
        """Put a request on the line; what came unasked is forgotten.

        It waits until `turnaround`, and `quiet_s` at least, have passed since the last exchange.

        Raises: LinkLost.
        """
        pause_s = max(self._options.turnaround, quiet_s)
        wait_s = self._quiet_since + pause_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self.port.discard()
        self._echo = request if self._options.echo else b""
        self.port.write(request)
        self.sent_at = asyncio.get_running_loop().time()

    async def receive(
        self,
        parse: Callable[[bytes], T | None],
        *,
        timeout_s: float | None = None,
        longest: int = LONGEST_ANSWER,
    ) -> tuple[T, Stamp]:
        """What `parse` makes of all bytes since the request, once it makes something of them.

        `parse` gives None while the answer is unfinished. `timeout_s` (the option `timeout` unless given) is
        how long the line may be silent, before the answer and within it; `longest` is what may come, in bytes,
        and half the line's speed the least with which it may come.

        Raises: LinkSilent, when nothing comes; FrameError: what `parse` raises, "cut" for an answer that
        breaks off, "too long"; LinkLost.
        """
        patience_s = self._options.timeout if timeout_s is None else timeout_s
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s + longest * _SLOWEST_BITS / self._options.baudrate
        heard = b""
        first: Stamp | None = None
        try:
            while True:
                data, at = await self._heard(patience_s, is_begun=first is not None)
                if data and first is None:
                    first = at
                heard += data
                if first is not None and (parsed := parse(heard)) is not None:
                    return parsed, first
                if len(heard) > longest or loop.time() > until:
                    raise FrameError("too long")
        finally:
            self._quiet_since = loop.time()

    async def _heard(self, patience_s: float, *, is_begun: bool) -> Chunk:
        try:
            async with asyncio.timeout(patience_s):
                data, at = await self.port.read()
        except TimeoutError:
            if is_begun:
                raise FrameError("cut") from None
            raise LinkSilent(f"{self.port.name}: no answer") from None
        return Chunk(self._less_echo(data), at)

    def _less_echo(self, data: bytes) -> bytes:
        if not self._echo:
            return data
        expected, self._echo = self._echo[: len(data)], self._echo[len(data) :]
        if not data.startswith(expected):
            self._echo = b""
            raise FrameError("echo differs")
        return data[len(expected) :]


def _settings(options: PortOptions) -> tuple[object, ...]:
    return tuple(getattr(options, name) for name in LINE_SETTINGS)
