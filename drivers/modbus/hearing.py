"""The listening side: whose values it takes, what it calls them, and when it gives a frame up."""

import asyncio
import math
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from drivers.driver import Device, Listener, Names
from drivers.modbus.codec import Conversation
from drivers.modbus.points import BIT_TABLES, PREFIXES, Point, Span, found_in
from drivers.port import SerialPort
from gateway.errors import LinkLost
from gateway.model import Clock, Reading, Stamp, Value

SILENCE_S = 0.5
"""Ends every frame: far longer than a serial server or a busy machine holds bytes back."""

_FLOATS_IN_A_ROW = 2
_SMALLEST, _LARGEST = 1e-4, 1e7
_NEARLY_NOTHING = 1e-12
"""What a sensor says of nothing; but two registers with small whole numbers look smaller still."""


class Ear:
    """Called with what a unit answered for a span."""

    def __init__(self, *, unit: int | None, points: list[Point], names: Names) -> None:
        self._unit = unit
        self._points = points
        self._names = names

    def __call__(self, unit: int, span: Span, data: bytes, dropped: Counter[str]) -> dict[str, Value]:
        if self._unit is not None and unit != self._unit:
            return {}
        if self._points:
            return found_in(span, data, self._points, self._names, dropped)
        if self._names == "protocol":
            if span.table in BIT_TABLES:
                return {}
            return span.protocol_values(data) | floats(span, data)
        return span.protocol_values(data)


def floats(span: Span, data: bytes) -> dict[str, Value]:
    """Pairs of registers that look like 32-bit numbers, two or more in a row, as `hr2:float32-be`.

    What stands between two such numbers and behind them may be zero, or nearly.
    """
    found: dict[str, Value] = {}
    row: dict[str, Value] = {}
    numbers = 0
    pairs = struct.unpack_from(f">{span.length // 2}f", data)
    for at, value in enumerate((*pairs, math.nan)):
        if _SMALLEST <= abs(value) < _LARGEST:
            numbers += 1
        elif value != 0 and not _NEARLY_NOTHING <= abs(value) < _SMALLEST:
            if numbers >= _FLOATS_IN_A_ROW:
                found |= row
            row, numbers = {}, 0
            continue
        elif not numbers:
            continue
        row[f"{PREFIXES[span.table]}{span.first + 2 * at}:float32-be"] = value
    return found


class Bystander(Listener):
    """On a line where others talk: when it falls silent, what is unfinished is noise that may hide good frames."""

    def __init__(self, name: str, port: SerialPort, decoder: Conversation) -> None:
        super().__init__(name, port, decoder)
        self._conversation = decoder

    async def readings(self) -> AsyncIterator[Reading]:
        at = Stamp(0, 0.0)
        while True:
            try:
                async with asyncio.timeout(SILENCE_S if self._conversation.is_waiting else None):
                    data, at = await self._port.read()
                frames = self._conversation.feed(data)
            except TimeoutError:
                frames = self._conversation.finish()
            except LinkLost:
                for reading in self._readings(self._conversation.finish(), at):
                    yield reading
                raise
            for reading in self._readings(frames, at):
                yield reading


def overhearing(
    decoder: Callable[[Any], Conversation],
) -> Callable[[str, Any, Clock], AbstractAsyncContextManager[Device]]:
    """`Driver.open` of a listener."""

    @asynccontextmanager
    async def open_device(name: str, options: Any, clock: Clock) -> AsyncIterator[Device]:
        async with SerialPort.open(options, clock) as port:
            yield Bystander(name, port, decoder(options))

    return open_device
