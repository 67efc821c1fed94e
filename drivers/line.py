"""A half-duplex line: one exchange at a time, whichever of the devices on it asks."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import NamedTuple, Protocol, Self, TypeVar

from drivers.port import PortOptions, Rs485, SerialPort
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


class Answer(NamedTuple):
    """Bytes of an answer so far, and when the first of them came."""

    data: bytes
    at: Stamp


class _SharedPort:
    """The one open port below the lines of several devices: the first opens it, the last shuts it."""

    def __init__(self) -> None:
        self.users = 0
        self.settings: tuple[object, ...] = ()
        self.port: SerialPort | None = None
        self.stack = AsyncExitStack()
        self.opening = asyncio.Lock()
        self.turn = asyncio.Lock()
        self.quiet_since = 0.0


_shared: dict[str, _SharedPort] = {}
"""By real path. Of the process, as the lock on the device file is: here its devices meet."""


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
        key = options.port if "://" in options.port else os.path.realpath(options.port)  # noqa: ASYNC240 - no disk behind it
        shared = _shared.get(key)
        if shared is None or (shared.port is not None and shared.port.lost):
            shared = _shared[key] = _SharedPort()
        shared.users += 1
        try:
            async with shared.opening:
                if shared.port is None:
                    shared.settings = _settings(options)
                    port = await shared.stack.enter_async_context(SerialPort.open(options, clock))
                    port.switch_direction(options.rs485)
                    shared.port = port
            if shared.settings != _settings(options):
                raise LinkError(f"{options.port}: another device on it has other line settings")
            yield cls(shared, shared.port, options)
        finally:
            shared.users -= 1
            if not shared.users:
                if _shared.get(key) is shared:
                    del _shared[key]
                await shared.stack.aclose()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """The line for oneself, for an exchange of several steps; those who wait keep their order."""
        async with self._shared.turn:
            turn = Turn(self._port, self._options, self._shared.quiet_since)
            try:
                yield turn
            finally:
                self._shared.quiet_since = asyncio.get_running_loop().time()

    async def idle(self, seconds: float) -> None:
        """Sleep, but not through the loss of the port. Raises: LinkLost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._port.watch()

    async def exchange(self, request: bytes, parse: Callable[[bytes], T | None]) -> tuple[T, Stamp]:
        """Send a request and read its answer; as `Turn.send` and `Turn.receive`."""
        async with self.turn() as turn:
            await turn.send(request)
            return await turn.receive(parse)


class Turn:
    """While it lasts nobody else uses the line."""

    def __init__(self, port: SerialPort, options: LineOptions, quiet_since: float) -> None:
        self.port = port
        self._options = options
        self._quiet_since = quiet_since
        self._echo = b""

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

    async def receive(
        self, parse: Callable[[bytes], T | None], *, timeout_s: float | None = None
    ) -> tuple[T, Stamp]:
        """What `parse` makes of all bytes since the request, once it makes something of them.

        `parse` gives None while the answer is unfinished. `timeout_s` (the option `timeout` unless given) is
        how long the line may be silent, before the answer and within it.

        Raises: LinkSilent, when nothing comes; FrameError: what `parse` raises, "cut" for an answer that
        breaks off, "too long"; LinkLost.
        """
        patience_s = self._options.timeout if timeout_s is None else timeout_s
        heard = b""
        first: Stamp | None = None
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    data, at = await self.port.read()
            except TimeoutError:
                if heard:
                    raise FrameError("cut") from None
                raise LinkSilent(f"{self.port.name}: no answer") from None
            data = self._less_echo(data)
            if data and first is None:
                first = at
            heard += data
            if first is not None and (parsed := parse(heard)) is not None:
                return parsed, first
            if len(heard) > LONGEST_ANSWER:
                raise FrameError("too long")

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
