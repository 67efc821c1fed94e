"""`mhz19`: Winsen's infrared CO2 sensors, MH-Z19 and its relatives."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

from pydantic import Field

from drivers.asking import Answered, Asker, AskingOptions, asking
from drivers.driver import Clues, Driver, Metric, Simulation
from drivers.line import Line, Turn
from drivers.mhz19.codec import (
    MEASUREMENT,
    Answers,
    answer_in,
    detection_range,
    is_warming_up,
    self_calibration,
    values,
)
from drivers.mhz19.simulator import Sensor, telegrams
from gateway.errors import FrameError, LinkSilent

SETTLING_S = 0.2
"""How long an acknowledgement of a setting is waited for; most models send none."""

LONGEST_HEARD = 256
"""Bytes: an answer, with noise before it."""

CO2 = Metric("[ppm]", "Carbon dioxide", "carbon_dioxide", "measurement")
TEMPERATURE = Metric("Cel", "Temperature inside the sensor", "temperature", "measurement")
METRICS = {"co2": CO2, "temperature": TEMPERATURE}


class Options(AskingOptions):
    self_calibration: bool | None = Field(
        default=None,
        description="Whether the sensor takes the lowest of each day for 400 ppm; false where nobody airs for days."
        " Told at the start; without it, left as it is.",
    )
    range: Literal[1000, 2000, 3000, 5000, 10_000] | None = Field(
        default=None, description="Measure up to so many ppm. Told at the start; without it, left as it is."
    )
    temperature: bool = Field(
        default=False,
        description="Report the temperature too, in whole degrees; undocumented, and zero or constant in MH-Z14.",
    )


class Mhz19(Asker):
    def __init__(self, name: str, line: Line, options: Options) -> None:
        super().__init__(name, line, options)
        self._names = options.names
        self._temperature = options.temperature
        self._settings = []
        if options.self_calibration is not None:
            self._settings.append(self_calibration(on=options.self_calibration))
        if options.range is not None:
            self._settings.append(detection_range(options.range))

    async def ask(self) -> Answered:
        async with self._line.turn() as turn:
            while self._settings:
                await self._set(turn, self._settings[0])
                del self._settings[0]
            await turn.send(MEASUREMENT)
            frame, at = await turn.receive(_answer, longest=LONGEST_HEARD)
        if is_warming_up(frame):
            self.dropped["warming up"] += 1
            return Answered({}, at)
        return Answered(values(frame, names=self._names, temperature=self._temperature), at)

    async def _set(self, turn: Turn, command: bytes) -> None:
        await turn.send(command)
        with suppress(LinkSilent, FrameError):
            await turn.receive(lambda heard: heard[8:] or None, timeout_s=SETTLING_S)


def _answer(heard: bytes) -> bytes | None:
    frame, refused = answer_in(heard)
    if refused:
        raise FrameError(refused)
    return frame


def _decoder(options: Options) -> Answers:
    return Answers(names=options.names, temperature=options.temperature)


def _described(options: Options) -> Mapping[str, Metric]:
    if options.names == "protocol":
        return {"CO2": CO2}
    return METRICS if options.temperature else {"co2": CO2}


DRIVER = Driver(
    summary="Winsen MH-Z19, MH-Z14, MH-Z16: CO2 sensors",
    maker="Winsen",
    model="MH-Z19",
    options=Options,
    decoder=_decoder,
    open=asking(Mhz19),
    metrics=METRICS,
    described=_described,
    complete=True,
    simulation=Simulation(telegrams=telegrams, answering=Sensor, talks=False),
    clues=Clues(heard=False, questions=({},)),
)
