"""Sensirion's SPS30, and SHDLC under it."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from struct import pack
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drivers
from drivers.driver import Answering
from drivers.instrument import PtyInstrument
from drivers.sps30 import codec
from drivers.sps30.shdlc import Answer, Request, answer, parse, parse_request, request
from drivers.sps30.simulator import Sensor
from drivers.testing.asking import AskingContract
from gateway.clock import system_clock
from gateway.config import driver_options
from gateway.model import Value

FLOATS = pack(">10f", *range(1, 11))
INTEGERS = pack(">10H", *range(1, 10), 650)


class TestSps30(AskingContract):
    name = "sps30"


class TestSps30InWholeNumbers(AskingContract):
    name = "sps30"
    options: ClassVar[dict[str, Any]] = {**AskingContract.options, "format": "integer"}


def decoded(capture: bytes, **options: str) -> tuple[list[tuple[str, dict[str, Value]]], dict[str, int]]:
    decoder = drivers.find("sps30").decoder(driver_options("sps30", {"names": "protocol", **options}))
    frames = [*decoder.feed(capture), *decoder.finish()]
    return [(frame.id, frame.values) for frame in frames], {**decoder.rejected, **decoder.dropped}


# SHDLC

data = st.binary(max_size=255) | st.lists(
    st.sampled_from(list(b"\x7e\x7d\x11\x13\x5e\x5d")), max_size=255
).map(bytes)


@given(address=st.integers(0, 255), command=st.integers(0, 255), state=st.integers(0, 255), data=data)
def test_what_is_framed_is_parsed_and_holds_no_flag_inside(
    address: int, command: int, state: int, data: bytes
) -> None:
    sent = answer(address, command, state, data)
    assert parse(sent[1:-1]) == Answer(address, command, state, data)
    asked = request(address, command, data)
    assert parse_request(asked[1:-1]) == Request(address, command, data)
    for framed in (sent, asked):
        assert not {0x7E, 0x11, 0x13} & set(framed[1:-1])


@pytest.mark.parametrize(
    ("told", "framed"),
    [
        (request(0, codec.START, b"\x01\x03"), "7E 00 00 02 01 03 F9 7E"),
        (request(0, codec.MEASURED), "7E 00 03 00 FC 7E"),
        (request(0, codec.CLEANING, b"\x00"), "7E 00 80 01 00 7D 5E 7E"),
        (answer(0, codec.START, 0x43), "7E 00 00 43 00 BC 7E"),
        (answer(0, codec.MEASURED, 0), "7E 00 03 00 00 FC 7E"),
    ],
)
def test_frames_are_those_of_the_datasheet(told: bytes, framed: str) -> None:
    assert told == bytes.fromhex(framed)


EMPTY = bytes.fromhex("7E 7E")
BAD = {
    "too short, or a request": ("7E 00 00 00 FF 7E", "length"),
    "less data than said": ("7E 00 00 00 01 FE 7E", "length"),
    "more data than said": ("7E 00 00 00 00 00 FF 7E", "length"),
    "wrong checksum": ("7E 00 00 00 00 FE 7E", "checksum"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_answer_is_refused_and_the_next_one_read(kind: str) -> None:
    framed, reason = BAD[kind]
    good = answer(0, codec.STOP, 0)
    frames, counts = decoded(good + bytes.fromhex(framed) + good)
    assert len(frames) == 2
    assert counts == {reason: 1}


def test_each_bad_answer_of_a_recording_is_counted_once() -> None:
    too_long = b"\x7e\x00\x00\x00\xff" + bytes(256) + b"\x00\x7e"
    frames, counts = decoded(EMPTY + b"".join(bytes.fromhex(bad) for bad, _ in BAD.values()) + too_long)
    assert frames == []
    assert counts == {"empty": 1, "length": 4, "checksum": 1}


def test_a_frame_whose_end_is_lost_does_not_cost_the_next_one() -> None:
    good = answer(0, codec.MEASURED, 0, FLOATS)
    frames, counts = decoded(good[:20] + good + good)
    assert len(frames) == 2
    assert counts == {"length": 1}


def test_two_frames_may_share_the_flag_between_them() -> None:
    first, second = answer(0, codec.MEASURED, 0, FLOATS), answer(0, codec.STOP, 0)
    decoder = drivers.find("sps30").decoder(driver_options("sps30", {}))
    frames = decoder.feed(first + second[1:] + first)
    assert [(frame.offset, frame.length) for frame in frames] == [(0, 47), (47, 6), (53, 47)]
    assert not decoder.rejected


def test_flags_may_fill_the_line_but_a_whole_frame_of_nothing_is_refused() -> None:
    good = answer(0, codec.STOP, 0)
    assert decoded(good + b"\x7e" + good)[1] == {}
    frames, counts = decoded(good + EMPTY + good + b"\x7e" * 50 + good)
    assert len(frames) == 3
    assert counts == {"empty": 2}


def test_a_recording_that_begins_inside_a_frame_is_read_from_the_next_one() -> None:
    good = answer(0, codec.MEASURED, 0, FLOATS)
    frames, counts = decoded(good[10:] + good + good)
    assert len(frames) == 2
    assert counts == {"no start": 1}


def test_a_frame_without_end_is_given_up() -> None:
    good = answer(0, codec.STOP, 0)
    frames, counts = decoded(good + b"\x7e" + bytes(5000) + good + good)
    assert len(frames) == 3
    assert counts == {"too long": 1}


def test_a_recording_of_both_sides_that_begins_with_a_request_gives_both() -> None:
    frames, counts = decoded(request(0, codec.MEASURED) + answer(0, codec.MEASURED, 0, FLOATS))
    assert [kind for kind, _ in frames] == ["shdlc", "SPS30"]
    assert frames[0][1] == {"address": 0, "command": 3, "payload": ""}
    assert counts == {}


# What the sensor says


def test_floats_and_whole_numbers_are_read() -> None:
    [(_, floats)], _ = decoded(answer(0, codec.MEASURED, 0, FLOATS), names="readable")
    assert floats == dict(zip(codec.READABLE, range(1, 11), strict=True))
    [(kind, integers)], _ = decoded(answer(0, codec.MEASURED, codec.FAULT, INTEGERS))
    assert (kind, integers) == ("SPS30", dict(zip(codec.CODES, [*range(1, 10), 0.65], strict=True)))


def test_a_value_that_is_no_number_is_left_out() -> None:
    [(_, values)], _ = decoded(answer(0, codec.MEASURED, 0, pack(">10f", float("nan"), *range(2, 11))))
    assert list(values) == list(codec.CODES[1:])


def test_zeros_are_a_sensor_that_has_just_been_started() -> None:
    assert decoded(answer(0, codec.MEASURED, 0, bytes(40))) == ([], {"warming up": 1})


def test_other_answers_are_frames_and_readable_ones_have_no_values() -> None:
    said = answer(0, codec.START, 0x43)
    assert decoded(said) == ([("shdlc", {"address": 0, "command": 0, "state": 0x43, "payload": ""})], {})
    assert decoded(said, names="readable") == ([("shdlc", {})], {})


def test_a_measurement_of_another_address_is_not_the_sensors() -> None:
    said = answer(7, codec.MEASURED, 0, FLOATS)
    assert decoded(said)[0][0][0] == "shdlc"
    assert decoded(said, address="7")[0][0][0] == "SPS30"


# The sensor on a line


class Told:
    """A sensor that keeps what it was asked, and answers some of it otherwise."""

    def __init__(self, sensor: Answering, otherwise: Callable[[Request], bytes | None]) -> None:
        self.asked: list[Request] = []
        self._sensor = sensor
        self._otherwise = otherwise

    def answer(self, heard: bytes) -> bytes:
        # A question comes whole: it is written at once.
        asked = parse_request(heard[1:-1])
        assert isinstance(asked, Request)
        self.asked.append(asked)
        other = self._otherwise(asked)
        return self._sensor.answer(heard) if other is None else other

    @property
    def commands(self) -> list[int]:
        return [asked.command for asked in self.asked]


async def read(path: Path, sensor: Answering, count: int, **options: str) -> tuple[list[Any], dict[str, int]]:
    pairs = {"port": str(path), "interval": "20ms", "timeout": "1s", **options}
    with PtyInstrument.plugged_in(path) as instrument:
        serving = asyncio.create_task(instrument.serve(sensor))
        async with (
            asyncio.timeout(20),
            drivers.find("sps30").open("workshop", driver_options("sps30", pairs), system_clock) as device,
            aclosing(device.readings()) as readings,  # type: ignore[type-var]
        ):
            found = [(await anext(readings)).values for _ in range(count)]
        serving.cancel()
        await asyncio.wait([serving])
    return found, {**device.rejected, **device.dropped}


@pytest.mark.real_time
async def test_the_first_reading_says_who_it_is_and_all_say_what_is_broken(tmp_path: Path) -> None:
    [first, second], counts = await read(tmp_path / "line", Sensor(0), 2)
    assert first.keys() == drivers.find("sps30").metrics.keys()
    assert (first["serial_number"], first["firmware"]) == ("5D2B0A4E7F1C3A96", "2.2")
    assert first.keys() - second.keys() == {"serial_number", "firmware"}
    assert not any(second[name] for name in second if name.endswith("_fault"))
    assert counts == {}


@pytest.mark.real_time
async def test_protocol_names_are_the_measurement_alone(tmp_path: Path) -> None:
    sensor = Told(Sensor(0), lambda _: None)
    [values], _ = await read(tmp_path / "line", sensor, 1, names="protocol")
    assert tuple(values) == codec.CODES
    assert sensor.commands[:2] == [codec.START, codec.MEASURED]


@pytest.mark.real_time
async def test_the_cleaning_interval_is_written_only_if_it_is_another(tmp_path: Path) -> None:
    sensor = Sensor(0)
    for path, writes in (("one", 2), ("two", 1)):
        told = Told(sensor, lambda _: None)
        await read(tmp_path / path, told, 1, cleaning_interval="2d")
        assert told.commands.count(codec.CLEANING) == writes
    assert sensor.cleaning_s == 172_800


@pytest.mark.real_time
async def test_a_sensor_that_lost_its_power_is_started_again(tmp_path: Path) -> None:
    sensor, others = Sensor(0), iter([True, False])

    def forgets(asked: Request) -> bytes | None:
        if asked.command == codec.MEASURED and sensor_has_measured() and next(others, False):
            sensor.answer(request(0, codec.STOP))
        return None

    def sensor_has_measured() -> bool:
        return told.commands.count(codec.MEASURED) > 1

    told = Told(sensor, forgets)
    found, counts = await read(tmp_path / "line", told, 3)
    assert len(found) == 3
    assert counts == {"not allowed in this state": 1}
    assert told.commands.count(codec.START) == 2


@pytest.mark.real_time
async def test_a_sensor_that_measures_already_is_read(tmp_path: Path) -> None:
    sensor = Sensor(0)
    sensor.answer(request(0, codec.START, b"\x01\x05"))
    [values], counts = await read(tmp_path / "line", sensor, 1)
    assert values["pm10"] > 0
    assert counts == {}


@pytest.mark.real_time
async def test_a_fault_is_asked_for_and_named(tmp_path: Path) -> None:
    def broken(asked: Request) -> bytes | None:
        if asked.command == codec.MEASURED:
            return answer(0, codec.MEASURED, codec.FAULT, FLOATS)
        if asked.command == codec.STATUS:
            return answer(0, codec.STATUS, codec.FAULT, bytes.fromhex("00 20 00 10 00"))
        return None

    [values], _ = await read(tmp_path / "line", Told(Sensor(0), broken), 1)
    assert (values["fan_speed_fault"], values["laser_fault"], values["fan_fault"]) == (True, False, True)


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("said", "reason"), [(b"", "no answer"), (b"\x7e\x00\xd2\x00\x00\x00\x7e", "checksum")]
)
async def test_a_fault_that_cannot_be_named_does_not_cost_the_measurement(
    tmp_path: Path, said: bytes, reason: str
) -> None:
    def broken(asked: Request) -> bytes | None:
        if asked.command == codec.MEASURED:
            return answer(0, codec.MEASURED, codec.FAULT, FLOATS)
        return said if asked.command == codec.STATUS else None

    [values], counts = await read(tmp_path / "line", Told(Sensor(0), broken), 1, timeout="200ms")
    assert values["pm10"] == 4
    assert not [name for name in values if name.endswith("_fault")]
    assert counts == {reason: 1}


@pytest.mark.real_time
async def test_no_new_measurement_is_no_reading_and_errors_are_counted_by_name(tmp_path: Path) -> None:
    others = iter(
        [
            answer(0, codec.MEASURED, 0),
            answer(0, codec.MEASURED, 0, bytes(40)),
            answer(0, codec.MEASURED, 0x28),
            answer(0, codec.MEASURED, 0x55),
            answer(0, codec.MEASURED, 0, FLOATS)[:-2] + b"\x00\x7e",
        ]
    )

    def odd(asked: Request) -> bytes | None:
        return next(others, None) if asked.command == codec.MEASURED else None

    _, counts = await read(tmp_path / "line", Told(Sensor(0), odd), 1)
    assert counts == {
        "no new measurement": 1,
        "warming up": 1,
        "argument out of range": 1,
        "unknown error": 1,
        "checksum": 1,
    }


@pytest.mark.real_time
async def test_firmware_that_does_not_introduce_itself_is_read(tmp_path: Path) -> None:
    def old(asked: Request) -> bytes | None:
        return answer(0, asked.command, 0x02) if asked.command >= codec.INFORMATION else None

    [values], counts = await read(tmp_path / "line", Told(Sensor(0), old), 1)
    assert "firmware" not in values
    assert values["pm1"] > 0
    assert counts == {}
