"""An open VE.Direct port: it talks by itself, and takes commands of the hex protocol in between."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from itertools import cycle

from drivers.driver import Frame
from drivers.port import SerialPort
from drivers.vedirect.codec import ERROR, GET, SET, UNKNOWN, Blocks, HexFrame, hex_frame
from drivers.vedirect.metrics import METRICS
from drivers.vedirect.registers import REGISTERS, WRITABLE, called
from gateway.errors import FrameError, LinkLost, LinkSilent, Refused
from gateway.model import Reading, Stamp, Value

_REFUSALS = {
    0x01: "it has no such register",
    0x02: "it does not support that",
    0x04: "it does not take that value",
}
"""By flag of an answer. Source: BlueSolar HEX protocol, section "Get/Set flags"."""


class Talker:
    """Every block and every register is a reading; the answer to a command comes with the readings."""

    def __init__(
        self,
        name: str,
        port: SerialPort,
        decoder: Blocks,
        *,
        registers: tuple[int, ...],
        interval_s: float,
        timeout_s: float,
        readable: bool,
    ) -> None:
        self._name = name
        self._port = port
        self._decoder = decoder
        self._questions = cycle(registers)
        # One after the other: a device that is asked for much at once would print no text meanwhile.
        self._pause_s = interval_s / len(registers) if registers else None
        self._timeout_s = timeout_s
        self._readable = readable
        self._writing = asyncio.Lock()
        self._awaited: tuple[int, asyncio.Future[HexFrame]] | None = None

    @property
    def rejected(self) -> Counter[str]:
        return self._decoder.rejected

    @property
    def dropped(self) -> Counter[str]:
        return self._decoder.dropped

    async def readings(self) -> AsyncIterator[Reading]:
        loop = asyncio.get_running_loop()
        ask_at = None if self._pause_s is None else loop.time()
        at = Stamp(0, 0.0)  # for nobody: before the first bytes a decoder holds nothing
        while True:
            try:
                async with asyncio.timeout_at(ask_at):
                    data, at = await self._port.read()
            except TimeoutError:
                with suppress(LinkLost):  # the next read tells
                    self._port.write(hex_frame(GET, next(self._questions).to_bytes(2, "little") + b"\x00"))
                ask_at = loop.time() + (self._pause_s or 0)
            except LinkLost:
                self._settle(LinkSilent(f"{self._port.name}: went away before it answered"))
                for reading in self._readings(self._decoder.finish(), at):
                    yield reading
                raise
            else:
                for reading in self._readings(self._decoder.feed(data), at):
                    yield reading

    def _readings(self, frames: Iterable[Frame], at: Stamp) -> Iterator[Reading]:
        for frame in frames:
            if isinstance(frame, HexFrame):
                self._hear(frame)
            if frame.values:
                yield Reading(at=at, device=self._name, values=frame.values)

    async def write(self, metric: str, value: Value) -> None:
        number, data = self._command(metric, value)
        async with self._writing:
            answer: asyncio.Future[HexFrame] = asyncio.get_running_loop().create_future()
            self._awaited = number, answer
            try:
                self._port.write(hex_frame(SET, number.to_bytes(2, "little") + b"\x00" + data))
                async with asyncio.timeout(self._timeout_s):
                    frame = await answer
            except TimeoutError:
                raise LinkSilent(f"{self._port.name}: no answer to a command") from None
            finally:
                self._awaited = None
        if frame.command == ERROR:
            raise FrameError("command arrived damaged")
        if frame.command == UNKNOWN:
            raise Refused(f"{metric} cannot be set: the instrument does not know the command")
        if frame.flags:
            reasons = [reason for flag, reason in _REFUSALS.items() if frame.flags & flag]
            raise Refused(f"{metric}: {' and '.join(reasons) or f'refused with flags {frame.flags:#04x}'}")

    def _command(self, metric: str, value: Value) -> tuple[int, bytes]:
        """Register and bytes. Raises: Refused."""
        if self._readable:
            described = METRICS.get(metric)
            if described is None or described.settable is None:
                raise Refused(f"{metric} cannot be set: {', '.join(sorted(WRITABLE))} can")
            described.settable.check(metric, value)
            number = WRITABLE[metric]
            return number, REGISTERS[number].encoded(metric, value)
        for number in WRITABLE.values():
            if called(number) == metric:
                if type(value) is not int:
                    raise Refused(f"{metric} cannot be {value!r}: it must be a whole number")
                return number, REGISTERS[number].packed(metric, value)
        raise Refused(f"{metric} cannot be set: {', '.join(map(called, sorted(WRITABLE.values())))} can")

    def _hear(self, frame: HexFrame) -> None:
        if self._awaited is None:
            return
        number, answer = self._awaited
        is_answer = frame.command in (UNKNOWN, ERROR) or (frame.command == SET and frame.register == number)
        if is_answer and not answer.done():
            answer.set_result(frame)

    def _settle(self, error: LinkSilent) -> None:
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_exception(error)
