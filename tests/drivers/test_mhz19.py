"""Winsen's CO2 sensors."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, ClassVar

import pytest

import drivers
from drivers.driver import Answering
from drivers.instrument import PtyInstrument
from drivers.mhz19.codec import MEASUREMENT, answer_in, command, detection_range, self_calibration
from drivers.mhz19.simulator import Sensor, telegrams
from drivers.testing.asking import AskingContract
from gateway.clock import system_clock
from gateway.config import driver_options
from gateway.model import Value

WARMING_UP = bytes.fromhex("FF 86 00 00 00 00 00 00 7A")
ANSWER = bytes.fromhex("FF 86 02 20 00 00 00 00 58")
"""The manual's example: 544 ppm."""


class TestMhz19(AskingContract):
    name = "mhz19"
    options: ClassVar[dict[str, Any]] = {**AskingContract.options, "range": 5000}


def decoded(capture: bytes, **options: str) -> tuple[list[dict[str, Value]], dict[str, int]]:
    decoder = drivers.find("mhz19").decoder(driver_options("mhz19", options))
    frames = [*decoder.feed(capture), *decoder.finish()]
    return [frame.values for frame in frames], {**decoder.rejected, **decoder.dropped}


def test_the_manuals_example_is_read() -> None:
    assert decoded(ANSWER) == ([{"co2": 544}], {})
    assert decoded(ANSWER, names="protocol") == ([{"CO2": 544}], {})
    assert decoded(ANSWER, temperature="true") == ([{"co2": 544, "temperature": -40}], {})


def test_an_answer_of_zeros_is_no_reading() -> None:
    assert decoded(WARMING_UP) == ([], {"warming up": 1})


@pytest.mark.parametrize(
    ("capture", "counts"),
    [
        (ANSWER[:4], {}),
        (bytes.fromhex("FF 87 01 F4 00 00 00 00 84"), {"no header": 1}),
        (bytes.fromhex("FF 86 01 F4 00 00 00 00 84"), {"checksum": 1}),
    ],
)
def test_a_bad_answer_is_counted_unless_the_end_cuts_it(capture: bytes, counts: dict[str, int]) -> None:
    assert decoded(capture) == ([], counts)


def test_an_answer_inside_a_refused_one_is_found() -> None:
    assert decoded(ANSWER[:5] + ANSWER) == ([{"co2": 544}], {"checksum": 1})


def test_settings_are_those_of_the_documents() -> None:
    assert command(0x86) == MEASUREMENT
    assert self_calibration(on=True) == bytes.fromhex("FF 01 79 A0 00 00 00 00 E6")
    assert self_calibration(on=False) == bytes.fromhex("FF 01 79 00 00 00 00 00 86")
    assert detection_range(2000) == bytes.fromhex("FF 01 99 00 00 00 07 D0 8F")


def test_an_answer_may_stand_behind_an_acknowledgement_and_noise() -> None:
    acknowledgement = bytes.fromhex("FF 79 01 00 00 00 00 00 86")
    assert answer_in(acknowledgement + b"\xff\x86" + ANSWER) == (ANSWER, "")
    assert answer_in(ANSWER[:-1]) == (None, "")
    assert answer_in(ANSWER[:-1] + b"\x00") == (None, "checksum")


class Recorded:
    """A sensor that keeps what it was told."""

    def __init__(self, sensor: Answering, answer: Callable[[bytes], bytes] | None = None) -> None:
        self.heard = b""
        self._answer = answer or sensor.answer

    def answer(self, heard: bytes) -> bytes:
        self.heard += heard
        return self._answer(heard)


async def read(path: Path, sensor: Recorded, count: int, **options: object) -> list[Value]:
    settings = driver_options("mhz19", {"port": str(path), "interval": "20ms", "timeout": "1s"})
    settings = settings.model_copy(update=options)
    with PtyInstrument.plugged_in(path) as instrument:
        serving = asyncio.create_task(instrument.serve(sensor))
        async with (
            asyncio.timeout(20),
            drivers.find("mhz19").open("room", settings, system_clock) as device,
            aclosing(device.readings()) as readings,  # type: ignore[type-var]
        ):
            found = [(await anext(readings)).values["co2"] for _ in range(count)]
        serving.cancel()
        await asyncio.wait([serving])
    return found


@pytest.mark.real_time
async def test_settings_are_told_once_before_the_first_question(tmp_path: Path) -> None:
    sensor = Recorded(Sensor(0))
    await read(tmp_path / "line", sensor, 2, self_calibration=False, range=5000)
    assert sensor.heard.startswith(self_calibration(on=False) + detection_range(5000) + MEASUREMENT * 2)


@pytest.mark.real_time
async def test_without_settings_the_sensor_is_left_as_it_is(tmp_path: Path) -> None:
    sensor = Recorded(Sensor(0))
    await read(tmp_path / "line", sensor, 1)
    assert sensor.heard.startswith(MEASUREMENT)


@pytest.mark.real_time
async def test_a_sensor_that_warms_up_gives_no_reading_until_it_measures(tmp_path: Path) -> None:
    answers = iter([WARMING_UP, ANSWER[:-1] + b"\x00", ANSWER])
    sensor = Recorded(Sensor(0), lambda _heard: next(answers, b""))
    assert await read(tmp_path / "line", sensor, 1) == [544]


def test_simulated_sensor_answers_questions_in_pieces_and_ignores_others() -> None:
    sensor = Sensor(0)
    expected = telegrams(0)
    assert sensor.answer(MEASUREMENT[:4]) == b""
    assert sensor.answer(MEASUREMENT[4:] + MEASUREMENT) == next(expected) + next(expected)
    assert sensor.answer(self_calibration(on=True) + MEASUREMENT[:-1] + b"\x00") == b""
    assert sensor.answer(MEASUREMENT) == next(expected)
