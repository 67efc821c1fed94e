"""`sps30`: Sensirion's sensor for particulate matter, on its serial line."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Literal

from pydantic import Field

from drivers.asking import Answered, Asker, AskingOptions, asking
from drivers.driver import NO_ANSWER, Clues, Driver, Metric, Simulation
from drivers.line import Line, Turn
from drivers.sps30 import codec
from drivers.sps30.codec import Exchanges
from drivers.sps30.shdlc import LONGEST, Answer, request
from drivers.sps30.simulator import Sensor, telegrams
from gateway.errors import FrameError, LinkSilent
from gateway.model import Stamp, Value
from gateway.units import Duration

FORMATS = {"float": b"\x01\x03", "integer": b"\x01\x05"}

LONGEST_HEARD = 4 * LONGEST
"""Bytes: an answer, with late ones and noise before it."""

NOT_ALLOWED = codec.ERRORS[0x43]


def _mass(size: str, device_class: str = "") -> Metric:
    return Metric("ug/m3", f"Particles up to {size} µm", device_class, "measurement")


def _count(size: str) -> Metric:
    return Metric("/cm3", f"Number of particles from 0.3 to {size} µm", "", "measurement")


MEASUREMENTS: Mapping[str, Metric] = {
    "pm1": _mass("1", "pm1"),
    "pm2_5": _mass("2.5", "pm25"),
    "pm4": _mass("4"),
    "pm10": _mass("10", "pm10"),
    "particles_0_5": _count("0.5"),
    "particles_1": _count("1"),
    "particles_2_5": _count("2.5"),
    "particles_4": _count("4"),
    "particles_10": _count("10"),
    "particle_size": Metric("um", "Typical size of the particles", "", "measurement"),
}
ABOUT: Mapping[str, Metric] = {
    "fan_speed_fault": Metric("", "The fan's speed is out of range", "problem"),
    "laser_fault": Metric("", "The laser's current is out of range", "problem"),
    "fan_fault": Metric("", "The fan stands still", "problem"),
    "serial_number": Metric("", "Serial number"),
    "firmware": Metric("", "Version of the firmware"),
}
METRICS = {**MEASUREMENTS, **ABOUT}
NO_FAULT: Mapping[str, Value] = {name: False for name in ABOUT if name.endswith("_fault")}


class Options(AskingOptions):
    baudrate: int = Field(default=115_200, ge=50, le=4_000_000, description="Bits per second on the line.")
    address: int = Field(default=0, ge=0, le=254, description="The sensor's address; an SPS30 has 0.")
    format: Literal["float", "integer"] = Field(
        default="float",
        description='"float", or "integer": whole numbers, shorter on the line; for firmware 2.0 and later.',
    )
    cleaning_interval: Duration | None = Field(
        default=None,
        ge=0,
        le=4_294_967_295,
        description="How often it blows its fan clean; 0s: never. Told at the start; without it, left as it is"
        " (delivered: a week).",
    )


class Sps30(Asker):
    def __init__(self, name: str, line: Line, options: Options) -> None:
        super().__init__(name, line, options)
        self._address = options.address
        self._readable = options.names == "readable"
        self._names = options.names
        self._format = FORMATS[options.format]
        self._cleaning = options.cleaning_interval
        self._measures = False
        self._about: dict[str, Value] | None = None

    async def ask(self) -> Answered:
        async with self._line.turn() as turn:
            if not self._measures:
                await self._start(turn)
            try:
                answer, at = await self._exchange(turn, codec.MEASURED)
            except FrameError as error:
                # It has been without power, and does not measure any more.
                self._measures = str(error) != NOT_ALLOWED
                raise
            if not codec.is_measurement(answer.data) or not any(answer.data):
                self.dropped["warming up" if answer.data else "no new measurement"] += 1
                return Answered({}, at)
            values = codec.measured(answer.data, self._names)
            if self._readable:
                values |= await self._faults(turn, answer.state)
                values |= self._about or {}
                self._about = {}
        return Answered(values, at)

    async def _start(self, turn: Turn) -> None:
        if self._about is None:
            self._about = await self._introduced(turn) if self._readable else {}
        if self._cleaning is not None:
            seconds = round(self._cleaning).to_bytes(4, "big")
            answer, _ = await self._exchange(turn, codec.CLEANING, b"\x00")
            if answer.data != seconds:  # its memory wears out
                await self._exchange(turn, codec.CLEANING, b"\x00" + seconds)
            self._cleaning = None
        try:
            await self._exchange(turn, codec.START, self._format)
        except FrameError as error:
            if str(error) != NOT_ALLOWED:  # it measures already
                raise
        self._measures = True

    async def _introduced(self, turn: Turn) -> dict[str, Value]:
        """What its firmware tells of itself."""
        about: dict[str, Value] = {}
        with suppress(FrameError):
            answer, _ = await self._exchange(turn, codec.INFORMATION, b"\x03")
            about["serial_number"] = codec.text(answer.data)
        with suppress(FrameError):
            answer, _ = await self._exchange(turn, codec.VERSION)
            about["firmware"] = ".".join(map(str, answer.data[:2]))
        return about

    async def _faults(self, turn: Turn, state: int) -> dict[str, Value]:
        if not state & codec.FAULT:
            return dict(NO_FAULT)
        try:
            answer, _ = await self._exchange(turn, codec.STATUS, b"\x00")
        except (FrameError, LinkSilent) as error:  # what was measured is good all the same
            self.rejected[NO_ANSWER if isinstance(error, LinkSilent) else str(error)] += 1
            return {}
        return codec.faults(answer.data)

    async def _exchange(self, turn: Turn, command: int, data: bytes = b"") -> tuple[Answer, Stamp]:
        """Raises: FrameError, for an error that the answer states too; LinkSilent; LinkLost."""
        await turn.send(request(self._address, command, data))
        answer, at = await turn.receive(
            partial(_answer, address=self._address, command=command), longest=LONGEST_HEARD
        )
        if complaint := codec.error(answer.state):
            raise FrameError(complaint)
        return answer, at


def _answer(heard: bytes, *, address: int, command: int) -> Answer | None:
    answer, refused = codec.answer_in(heard, address, command)
    if refused:
        raise FrameError(refused)
    return answer


def _decoder(options: Options) -> Exchanges:
    return Exchanges(address=options.address, names=options.names)


def _described(options: Options) -> Mapping[str, Metric]:
    if options.names == "readable":
        return METRICS
    frame = {
        "address": Metric("", "Address"),
        "command": Metric("", "Command"),
        "state": Metric("", "State"),
        "payload": Metric("", "Data, in hexadecimal digits"),
    }
    return {**dict(zip(codec.CODES, MEASUREMENTS.values(), strict=True)), **frame}


DRIVER = Driver(
    summary="Sensirion SPS30: particulate matter, over SHDLC",
    maker="Sensirion",
    model="SPS30",
    options=Options,
    decoder=_decoder,
    open=asking(Sps30),
    metrics=METRICS,
    described=_described,
    complete=True,
    clues=Clues(heard=False, questions=({},)),
    simulation=Simulation(telegrams=telegrams, answering=Sensor, talks=False),
)
