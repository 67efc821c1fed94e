"""`frame`: a binary protocol that the configuration describes, without a line of Python."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from drivers.asking import Answered, Asker, asking
from drivers.driver import Clues, Device, Driver, Frame, Listener, Metric, Simulation, listening
from drivers.frame.codec import AnyDecoder, Pieces, decoder
from drivers.frame.description import OTHER
from drivers.frame.options import FieldOptions, Options
from drivers.frame.simulator import telegrams
from drivers.line import Line, Turn
from drivers.port import SerialPort
from gateway.errors import FrameError, LinkLost, LinkSilent
from gateway.model import Clock, Reading, Stamp, Value

__all__ = ["DRIVER", "Options"]

LEAST_HEARD = 1024
"""Bytes among which an answer is sought, however short its frames are."""


class SilenceListener(Listener):
    """A device that talks by itself, and whose frames a silence ends."""

    def __init__(self, name: str, port: SerialPort, options: Options) -> None:
        self._pausing = decoder(options)
        super().__init__(name, port, self._pausing)
        self._silence_s = options.silence

    async def readings(self) -> AsyncIterator[Reading]:
        spoken = False
        at = Stamp(0, 0.0)  # for nobody: before the first bytes a decoder holds nothing
        while True:
            try:
                async with asyncio.timeout(self._silence_s if spoken else None):
                    data, heard_at = await self._port.read()
            except LinkLost:
                for reading in self._readings(self._pausing.finish(), at):
                    yield reading
                raise
            except TimeoutError:
                spoken = False
                for reading in self._readings(self._pausing.pause(), at):
                    yield reading
                continue
            if not spoken:
                at = heard_at
            spoken = True
            for reading in self._readings(self._pausing.feed(data), at):
                yield reading


class Asked(Asker):
    """A device that answers a request with a frame."""

    def __init__(self, name: str, line: Line, options: Options) -> None:
        super().__init__(name, line, options)
        self._described = options
        self._request = options.request or b""

    async def ask(self) -> Answered:
        answer = decoder(self._described)
        try:
            async with self._line.turn() as turn:
                await turn.send(self._request)
                frames, at = await self._answer(turn, answer)
        finally:
            self.dropped += answer.dropped
        values: dict[str, Value] = {}
        for frame in frames:
            values |= frame.values
        return Answered(values, at)

    async def _answer(self, turn: Turn, answer: AnyDecoder) -> tuple[Iterable[Frame], Stamp]:
        fed = 0

        def parse(heard: bytes) -> list[Frame] | None:
            nonlocal fed
            frames = answer.feed(heard[fed:])
            fed = len(heard)
            return [frame for frame in frames if frame.id != OTHER] or None

        if not isinstance(answer, Pieces):
            try:
                return await turn.receive(parse, longest=max(LEAST_HEARD, 4 * self._described.max_length))
            except FrameError as error:
                # "cut" is said of whatever nothing came of; the decoder may know better.
                [*reasons] = answer.rejected
                raise FrameError(reasons[-1] if reasons else str(error)) from None
        heard, at = await turn.receive(lambda heard: heard)
        try:
            while True:
                answer.feed(heard)
                if answer.is_too_long:
                    raise FrameError("too long")
                heard, _ = await turn.receive(lambda heard: heard, timeout_s=self._described.silence)
        except LinkSilent:
            frames = answer.pause()
        if answer.rejected:
            [reason] = answer.rejected
            raise FrameError(reason)
        return frames, at


@asynccontextmanager
async def _open_for_silences(name: str, options: Options, clock: Clock) -> AsyncIterator[Device]:
    async with SerialPort.open(options, clock) as port:
        yield SilenceListener(name, port, options)


@asynccontextmanager
async def _open(name: str, options: Options, clock: Clock) -> AsyncIterator[Device]:
    if options.request is not None:
        how = asking(Asked)
    else:
        how = listening(decoder) if options.silence is None else _open_for_silences
    async with how(name, options, clock) as device:
        yield device


def _described(options: Options) -> Mapping[str, Metric]:
    fields = {**options.fields}
    for frame in options.frames.values():
        fields |= frame.fields
    return {name: _metric(name, field) for name, field in fields.items()}


def _metric(name: str, field: FieldOptions) -> Metric:
    state_class = field.state_class
    if state_class is None:
        state_class = "measurement" if field.is_number else ""
    return Metric(field.unit, field.label or name, field.device_class, state_class)


DRIVER = Driver(
    summary="a binary protocol that the configuration describes",
    options=Options,
    decoder=decoder,
    open=_open,
    described=_described,
    complete=True,
    simulation=Simulation(telegrams=telegrams),
    clues=Clues(heard=False),
)
