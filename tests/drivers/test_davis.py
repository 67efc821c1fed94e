"""Packets out of a stream, what they say, and how the console is asked; a real one is in test_captures.py."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.checksum import crc16_xmodem
from drivers.davis import DRIVER
from drivers.davis.codec import LENGTH, Packets, metrics
from drivers.davis.options import Options
from drivers.davis.quantities import RainBucket
from drivers.davis.simulator import SimulatedConsole, telegrams
from drivers.driver import Frame, Names
from drivers.instrument import PtyInstrument
from gateway.clock import system_clock
from gateway.errors import LinkSilent
from gateway.model import Reading, Value

DASHES = bytes([0xFF]) * 88


def packet(kind: int, changed: dict[int, bytes], trend: bytes = b"\x00") -> bytes:
    """All dashes but what is given, by offset."""
    content = bytearray(b"LOO" + trend + bytes([kind]) + b"\x00\x00" + DASHES + b"\n\r")
    for offset, data in changed.items():
        content[offset : offset + len(data)] = data
    return bytes(content) + crc16_xmodem(bytes(content)).to_bytes(2, "big")


def word(number: int) -> bytes:
    return struct.pack("<h" if number < 0 else "<H", number)


def decoded(
    *chunks: bytes, names: Names = "readable", bucket: RainBucket = "0.01in"
) -> tuple[list[Frame], Packets]:
    decoder = Packets(names=names, bucket=bucket)
    frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return [*frames, *decoder.finish()], decoder


def values(
    kind: int,
    changed: dict[int, bytes],
    names: Names = "readable",
    bucket: RainBucket = "0.01in",
    **more: bytes,
) -> dict[str, Value]:
    [frame], _ = decoded(packet(kind, changed, **more), names=names, bucket=bucket)
    return frame.values


# The stream

WARM = packet(0, {12: word(725)})


def test_packets_stand_between_acknowledgements_and_line_ends() -> None:
    frames, decoder = decoded(b"\n\r\x06" + WARM + b"\x06LO" + packet(1, {}) + b"\n\rL")
    assert [(frame.id, frame.offset, frame.length) for frame in frames] == [
        ("LOOP", 3, 99),
        ("LOOP2", 105, 99),
    ]
    assert not decoder.rejected


def test_damaged_packet_costs_only_itself() -> None:
    damaged = bytearray(WARM)
    damaged[50] ^= 4
    frames, decoder = decoded(WARM + damaged + WARM)
    assert [frame.offset for frame in frames] == [0, 2 * LENGTH]
    assert decoder.rejected == {"checksum": 1}


@pytest.mark.parametrize("kept", [3, 50, 98])
def test_packet_that_is_cut_by_the_next_costs_only_itself(kept: int) -> None:
    frames, decoder = decoded(WARM[:kept] + WARM)
    assert [frame.offset for frame in frames] == [kept]
    assert decoder.rejected == {"checksum": 1}


def test_packet_that_the_end_cuts_is_not_counted() -> None:
    frames, decoder = decoded(WARM + WARM[:-1])
    assert len(frames) == 1
    assert not decoder.rejected


def test_kind_that_nobody_knows_is_refused() -> None:
    frames, decoder = decoded(packet(7, {}) + WARM)
    assert len(frames) == 1
    assert decoder.rejected == {"unknown kind": 1}


@given(st.lists(st.sampled_from([WARM, WARM[:40], b"LOO", b"LO", b"\x06", b"\n\r"]), max_size=8))
def test_any_split_gives_the_same(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    whole, at_once = decoded(stream)
    bytewise, one_by_one = decoded(*(bytes([byte]) for byte in stream))
    assert bytewise == whole
    assert one_by_one.rejected == at_once.rejected


# Values


def test_what_the_console_shows_as_dashes_is_absent() -> None:
    dashed = {9: word(0x7FFF), 12: word(0x7FFF), 16: word(0x7FFF), 44: word(0x7FFF), 7: word(0)}
    assert values(0, dashed | {3: b"P", 89: b"\x00"}).keys() <= {
        *("evapotranspiration_day", "evapotranspiration_month", "evapotranspiration_year"),
        *("transmitter_batteries", "console_battery_voltage", "forecast_rule", "alarms"),
    }
    assert not values(1, dashed | {3: b"P"}).keys() - {
        "evapotranspiration_day",
        "pressure",
        "pressure_raw",
        "altimeter",
    }


@pytest.mark.parametrize(
    ("kind", "changed", "readable", "protocol"),
    [
        (0, {7: word(29_921)}, ("barometer", 1013.24), ("barometer", 29.921)),
        (0, {12: word(-58)}, ("temperature", -21.0), ("outTemp", -5.8)),
        (0, {9: word(698)}, ("indoor_temperature", 21.0), ("inTemp", 69.8)),
        (0, {14: b"\x0a"}, ("wind_speed", 4.47), ("windSpeed", 10)),
        (0, {15: b"\x0a"}, ("wind_speed_10min", 4.47), ("windSpeed10", 10)),
        (1, {18: word(105)}, ("wind_speed_10min", 4.69), ("windSpeed10", 10.5)),
        (1, {22: word(31)}, ("wind_gust_10min", 13.86), ("windGust10", 31)),
        (0, {16: word(360)}, ("wind_direction", 0), ("windDir", 0)),
        (0, {16: word(1)}, ("wind_direction", 1), ("windDir", 1)),
        (0, {18: b"\x5a"}, ("extra_temperature_1", -17.78), ("extraTemp1", 0)),
        (0, {32: b"\x5a"}, ("leaf_temperature_4", -17.78), ("leafTemp4", 0)),
        (0, {40: b"\x37"}, ("extra_humidity_7", 55), ("extraHumid7", 55)),
        (0, {43: b"\x37"}, ("uv_index", 5.5), ("UV", 5.5)),
        (0, {62: b"\x19"}, ("soil_moisture_1", 25), ("soilMoist1", 25)),
        (0, {67: b"\x0f"}, ("leaf_wetness_2", 15), ("leafWet2", 15)),
        (0, {58: word(100)}, ("evapotranspiration_month", 25.4), ("monthET", 1)),
        (0, {56: word(100)}, ("evapotranspiration_day", 2.54), ("dayET", 0.1)),
        (0, {87: word(780)}, ("console_battery_voltage", 4.57), ("consBatteryVoltage", 4.57)),
        (0, {86: b"\x05"}, ("transmitter_batteries", 5), ("txBatteryStatus", 5)),
        (0, {48: word(6 << 12 | 21 << 7 | 26)}, ("storm_began", "2026-06-21"), ("stormStart", 1_782_000_000)),
        (1, {30: word(-4)}, ("dew_point", -20.0), ("dewpoint", -4)),
        (1, {39: word(101)}, ("thsw_index", 38.33), ("THSW", 101)),
        (1, {67: word(29_000)}, ("pressure", 982.05), ("pressure", 29)),
    ],
)
def test_value(
    kind: int, changed: dict[int, bytes], readable: tuple[str, Value], protocol: tuple[str, float]
) -> None:
    name, value = readable
    assert values(kind, changed)[name] == value
    name, value = protocol
    assert values(kind, changed, "protocol")[name] == pytest.approx(value)


@pytest.mark.parametrize(
    ("bucket", "inches", "millimetres"),
    [("0.01in", 0.07, 1.778), ("0.2mm", 0.05511811, 1.4), ("0.1mm", 0.027559055, 0.7)],
)
def test_rain_is_counted_in_tips_of_the_bucket(bucket: RainBucket, inches: float, millimetres: float) -> None:
    rain = {50: word(7), 41: word(7)}
    told = values(0, rain, bucket=bucket)
    assert (told["rain_day"], told["rain_rate"]) == (millimetres, millimetres)
    assert values(0, rain, "protocol", bucket)["dayRain"] == pytest.approx(inches)
    assert metrics("readable", bucket)["rain_day"].unit == "mm"


@pytest.mark.parametrize(
    ("trend", "text"),
    [
        (-60, "falling rapidly"),
        (-20, "falling slowly"),
        (0, "steady"),
        (20, "rising slowly"),
        (60, "rising rapidly"),
    ],
)
def test_trend_of_the_barometer_is_in_words(trend: int, text: str) -> None:
    for kind in (0, 1):
        assert values(kind, {}, trend=struct.pack("b", trend))["barometer_trend"] == text


def test_console_of_before_2002_has_no_trend() -> None:
    assert "barometer_trend" not in values(0, {}, trend=b"P")


def test_forecast_and_sun_are_in_words() -> None:
    told = values(0, {89: b"\x07", 90: b"\x2c", 91: word(521), 93: word(2118)})
    assert told["forecast"] == "partly cloudy, cloudy, rain"
    assert (told["forecast_rule"], told["sunrise"], told["sunset"]) == (44, "05:21", "21:18")


def test_alarms_are_named() -> None:
    silent = {70: bytes(16)}
    assert values(0, silent)["alarms"] == "none"
    ringing = {70: b"\x01\x01" + bytes(2) + b"\x08\x02" + bytes(6) + b"\x04" + bytes(3)}
    assert values(0, ringing)["alarms"] == (
        "barometer falling, rain rate, humidity high, extra 1 temperature high, soil moisture 1 low"
    )
    assert values(0, ringing, "protocol")["extraAlarm2"] == 2
    assert "insideAlarm" not in values(0, silent, "protocol")


@pytest.mark.parametrize("day", [0, 15 << 12 | 1 << 7 | 26, 2 << 12 | 31 << 7 | 26])
def test_day_that_is_none_is_absent(day: int) -> None:
    for names in ("readable", "protocol"):
        assert not {"storm_began", "stormStart"} & values(0, {48: word(day)}, names).keys()


@pytest.mark.parametrize("names", ["readable", "protocol"])
def test_all_that_is_read_is_described(names: Names) -> None:
    options = Options.model_validate({"driver": "davis", "port": "/dev/null", "names": names})
    described = DRIVER.describe(options)
    everything = b"".join(islice(telegrams(), 50)) + packet(0, {70: bytes([255]) * 16})
    frames, _ = decoded(everything, names=names)
    assert {name for frame in frames for name in frame.values} <= described.keys()


# Asking


def options(port: Path, **given: object) -> Options:
    return Options.model_validate(
        {"driver": "davis", "port": str(port), "interval": "10ms", "timeout": "300ms", **given}
    )


@asynccontextmanager
async def asked(
    folder: Path, answer: Callable[[bytes], bytes], **given: object
) -> AsyncIterator[AsyncIterator[Reading]]:
    with PtyInstrument.plugged_in(folder / "line") as instrument:

        async def serve() -> None:
            while heard := await instrument.hear():
                await instrument.say(answer(heard))

        serving = asyncio.create_task(serve())
        try:
            async with (
                asyncio.timeout(20),
                DRIVER.open("roof", options(instrument.path, **given), system_clock) as device,
                aclosing(device.readings()) as readings,  # type: ignore[type-var]
            ):
                yield readings
        finally:
            serving.cancel()
            await asyncio.wait([serving])


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("packets", "command", "some"),
    [
        ("loop", b"LOOP 1\n", {"rain_month", "barometer"}),
        ("loop2", b"LPS 2 1\n", {"dew_point", "barometer"}),
        ("both", b"LPS 3 2\n", {"dew_point", "rain_month", "barometer"}),
    ],
)
async def test_reading_is_what_was_asked_for(
    tmp_path: Path, packets: str, command: bytes, some: set[str]
) -> None:
    console = SimulatedConsole()
    heard = b""

    def answer(data: bytes) -> bytes:
        nonlocal heard
        heard += data
        return console.answer(data)

    async with asked(tmp_path, answer, packets=packets) as readings:
        reading = await anext(readings)
    assert some <= reading.values.keys()
    assert heard.startswith(b"\n\n" + command)  # the first call wakes it and is not answered


@pytest.mark.real_time
async def test_console_in_the_middle_of_packets_is_woken(tmp_path: Path) -> None:
    """Somebody else's LOOP goes on until it hears the call."""
    console = SimulatedConsole()
    console.answer(b"\n")

    def answer(data: bytes) -> bytes:
        return (WARM[40:] if data == b"\n" else b"") + console.answer(data)

    async with asked(tmp_path, answer) as readings:
        assert (await anext(readings)).values["indoor_humidity"] == 45.0


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"\x21", "refused"),
        (b"\x15", "refused"),
        (b"\x18", "refused"),
        (b"what?", "no acknowledgement"),
        (b"\x06" + WARM[:-1] + b"\x00", "checksum"),
        (b"\x06" + WARM[:50], "cut"),
    ],
)
async def test_answer_that_is_none_costs_its_round(tmp_path: Path, said: bytes, reason: str) -> None:
    asked_for = 0

    def answer(data: bytes) -> bytes:
        nonlocal asked_for
        if data == b"\n":
            return b"\n\r"
        asked_for += 1
        return said if asked_for == 1 else b"\x06" + WARM

    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:

        async def serve() -> None:
            while heard := await instrument.hear():
                await instrument.say(answer(heard))

        serving = asyncio.create_task(serve())
        try:
            async with (
                asyncio.timeout(20),
                DRIVER.open("roof", options(instrument.path), system_clock) as device,
            ):
                async with aclosing(device.readings()) as readings:  # type: ignore[type-var]
                    assert (await anext(readings)).values["temperature"] == 22.5
                assert device.rejected == {reason: 1}
        finally:
            serving.cancel()
            await asyncio.wait([serving])


@pytest.mark.real_time
async def test_console_that_never_wakes_is_silent(tmp_path: Path) -> None:
    called = 0

    def answer(data: bytes) -> bytes:
        nonlocal called
        called += data.count(b"\n")
        return b""

    async with asked(tmp_path, answer, timeout="50ms") as readings:
        with pytest.raises(LinkSilent):
            await anext(readings)
    assert called == 9  # three rounds of three calls


def test_simulated_console_knows_its_commands() -> None:
    console = SimulatedConsole()
    assert console.answer(b"VER\n") == b""  # asleep
    assert console.answer(b"\nTE") == b"\n\r"
    assert console.answer(b"ST\n") == b"\n\rTEST\n\r"
    assert console.answer(b"VER\nNVER\n") == b"\n\rOK\n\rApr 10 2013\n\r\n\rOK\n\r3.80\n\r"
    assert console.answer(b"LPS 9 1\n") == b"\x21"
    assert len(console.answer(b"LOOP 2\n")) == 1 + 2 * LENGTH
