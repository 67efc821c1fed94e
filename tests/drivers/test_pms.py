"""Sensors for dust and air: the models that the captures do not hold, and what tells models apart."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from struct import pack

import pytest

import drivers
from drivers.driver import Frame
from drivers.instrument import PtyInstrument
from drivers.pms.codec import MODELS
from drivers.pms.simulator import telegrams
from gateway.clock import system_clock
from gateway.config import driver_options
from gateway.errors import ConfigError
from gateway.model import Value


def decoded(capture: bytes, **options: str) -> tuple[list[Frame], dict[str, int]]:
    decoder = drivers.find("pms").decoder(driver_options("pms", options))
    frames = [*decoder.feed(capture), *decoder.finish()]
    return frames, {**decoder.rejected, **decoder.dropped}


def plantower(*words: int) -> bytes:
    body = pack(f">2sH{len(words)}H", b"BM", 2 * len(words) + 2, *words)
    return body + sum(body).to_bytes(2, "big")


def winsen(*words: int) -> bytes:
    body = pack(f">B{len(words)}H", 0x86, *words)
    return b"\xff" + body + bytes([-sum(body) & 0xFF])


MASS = (1, 2, 3, 4, 5, 6)
MASS_READ: dict[str, Value] = {"pm1_cf1": 1, "pm2_5_cf1": 2, "pm10_cf1": 3, "pm1": 4, "pm2_5": 5, "pm10": 6}
COUNTS = (900, 300, 90, 30, 9, 1)
COUNTS_READ: dict[str, Value] = {
    "particles_0_3": 9.0,
    "particles_0_5": 3.0,
    "particles_1": 0.9,
    "particles_2_5": 0.3,
    "particles_5": 0.09,
    "particles_10": 0.01,
}
FOUR_COUNTS_READ = {name: value for name, value in COUNTS_READ.items() if name[10:] not in ("5", "10")}

EXAMPLES: Mapping[str, tuple[str, bytes, dict[str, Value]]] = {
    "pms3003": ("PMS3003", plantower(*MASS, 0, 0, 0x5100), MASS_READ),
    "pms5003": ("PMSx003", plantower(*MASS, *COUNTS, 0x9700), MASS_READ | COUNTS_READ),
    "pms5003s": (
        "PMS5003S",
        plantower(*MASS, *COUNTS, 28),
        MASS_READ | COUNTS_READ | {"formaldehyde": 0.028},
    ),
    "pms5003t": (
        "PMS5003T",
        plantower(*MASS, *COUNTS[:4], 0x10000 - 52, 810, 0x9A00),
        MASS_READ | FOUR_COUNTS_READ | {"temperature": -5.2, "humidity": 81.0},
    ),
    "pms5003st": (
        "PMS5003ST",
        plantower(*MASS, *COUNTS, 28, 0x10000 - 52, 810, 0, 0x9100),
        MASS_READ | COUNTS_READ | {"formaldehyde": 0.028, "temperature": -5.2, "humidity": 81.0},
    ),
    "sds011": ("SDS01x", bytes.fromhex("AAC0D4043A0AA1601DAB"), {"pm2_5": 123.6, "pm10": 261.8}),
    "sds198": ("SDS198", bytes.fromhex("AACF0E001000E9050CAB"), {"pm100": 16}),
    "hpma115s0": ("HPMA115S0", bytes.fromhex("4005040030003156"), {"pm2_5": 48, "pm10": 49}),
    "hpma115c0": (
        "HPMA115C0",
        bytes.fromhex("400D0400040007000900170000000084"),
        {"pm1": 4, "pm2_5": 7, "pm4": 9, "pm10": 23},
    ),
    "mcu680": (
        "MCU680",
        bytes.fromhex("5A5A3F0F097D0AC4018B89301900009EF2000549"),
        {
            "temperature": 24.29,
            "humidity": 27.56,
            "pressure": 1012.57,
            "iaq": 25,
            "iaq_accuracy": 3,
            "gas_resistance": 40.69,
            "altitude": 5,
        },
    ),
    "zh03b": ("ZH0xx", winsen(133, 150, 101), {"pm2_5": 133, "pm10": 150, "pm1": 101}),
}
"""By model: the id, a frame and what it says."""


@pytest.mark.parametrize("model", EXAMPLES)
def test_model_is_recognised_and_read(model: str) -> None:
    sensor, frame, values = EXAMPLES[model]
    for options in ({}, {"model": model}):
        frames, counts = decoded(frame, **options)
        assert [(each.offset, each.length, each.id) for each in frames] == [(0, len(frame), sensor)]
        assert frames[0].values == pytest.approx(values)
        assert counts == {}


@pytest.mark.parametrize("model", EXAMPLES)
@pytest.mark.parametrize("names", ["readable", "protocol"])
def test_values_of_a_model_are_those_it_describes(model: str, names: str) -> None:
    _, frame, _ = EXAMPLES[model]
    driver = drivers.find("pms")
    for given in ("auto", model):
        options = driver_options("pms", {"names": names, "model": given})
        described = driver.describe(options)
        assert all(metric.label for metric in described.values())
        [found] = driver.decoder(options).feed(frame)
        assert found.values.keys() <= described.keys()
        assert given == "auto" or found.values.keys() == described.keys()


@pytest.mark.parametrize("model", EXAMPLES)
def test_damaged_frame_of_any_model_is_refused(model: str) -> None:
    _, frame, _ = EXAMPLES[model]
    for at in range(4, len(frame)):
        damaged = frame[:at] + bytes([frame[at] ^ 0x10]) + frame[at + 1 :]
        frames, counts = decoded(damaged, model=model)
        assert not frames
        assert sum(counts.values()) == 1


def test_frames_of_all_models_may_stand_in_one_stream() -> None:
    frames, counts = decoded(b"".join(frame for _, frame, _ in EXAMPLES.values()))
    assert [frame.id for frame in frames] == [sensor for sensor, _, _ in EXAMPLES.values()]
    assert counts == {}


def test_a_model_takes_no_frames_of_another() -> None:
    _, frame, _ = EXAMPLES["sds011"]
    assert decoded(frame, model="pms5003") == ([], {"no header": 1})


def test_formaldehyde_of_zero_follows_formaldehyde() -> None:
    without = plantower(*MASS, *COUNTS, 0)
    frames, _ = decoded(without + EXAMPLES["pms5003s"][1] + without)
    assert [frame.values.get("formaldehyde") for frame in frames] == [None, 0.028, 0.0]


def test_warm_air_without_dust_is_no_count() -> None:
    clean = plantower(*[0] * 10, 215, 480, 0x9A00)
    [frame], _ = decoded(clean)
    assert (frame.values["temperature"], frame.values["humidity"]) == (21.5, 48.0)


def test_smoke_does_not_hide_humidity_behind_a_known_version() -> None:
    smoke = plantower(*MASS, 9000, 6000, 3000, 900, 300, 250, 0x9A00)
    [frame], _ = decoded(smoke)
    assert frame.values["humidity"] == 25.0


def test_a_honeywell_that_talks_by_itself_fills_two_words_of_a_plantower_frame() -> None:
    frame = plantower(0, 12, 17, *[0] * 10)
    for options in ({}, {"model": "hpma115s0"}):
        [found], _ = decoded(frame, **options)
        assert (found.id, found.values) == ("HPMA115S0", {"pm2_5": 12, "pm10": 17})


def test_a_winsen_that_talks_by_itself_leaves_the_first_words_out() -> None:
    [found], _ = decoded(plantower(0, 0, 0, 4, 5, 6, 0, 0, 0), model="zh03b")
    assert found.values == {"pm1": 4, "pm2_5": 5, "pm10": 6}


@pytest.mark.parametrize(
    "frame",
    [
        plantower(*[0] * 9),
        plantower(*[0] * 13),
        plantower(*[0] * 17),
        bytes.fromhex("AAC000000000000000AB"),
        bytes.fromhex("AACF00000000000000AB"),
        bytes.fromhex("40050400000000B7"),
        bytes.fromhex("5A5A3F0F00000000000000000000000000000002"),
        winsen(0, 0, 0),
    ],
)
def test_zeros_are_a_sensor_that_warms_up(frame: bytes) -> None:
    assert decoded(frame) == ([], {"warming up": 1})


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("pms5003", bytes.fromhex("424D0004E1010175")),
        ("sds011", bytes.fromhex("AAC506010100FF FF06AB".replace(" ", ""))),
        ("hpma115s0", b"\xa5\xa5"),
        ("hpma115c0", b"\x96\x96"),
    ],
)
def test_answers_to_commands_are_frames_without_values(model: str, answer: bytes) -> None:
    [frame], counts = decoded(answer, model=model)
    assert (frame.values, counts) == ({}, {})


def wakeable() -> list[str]:
    return [name for name, model in MODELS.items() if model.wake]


@pytest.mark.real_time
@pytest.mark.parametrize("model", wakeable())
async def test_a_sensor_is_woken_when_the_port_is_opened(model: str, tmp_path: Path) -> None:
    _, frame, values = EXAMPLES.get(model, EXAMPLES["pms5003" if model.startswith("pms") else "sds011"])
    path = tmp_path / "line"
    options = driver_options("pms", {"port": str(path), "model": model, "wake": "true"})
    with PtyInstrument.plugged_in(path) as instrument:
        async with (
            asyncio.timeout(20),
            drivers.find("pms").open("balcony", options, system_clock) as device,
            aclosing(device.readings()) as readings,  # type: ignore[type-var]
        ):
            heard = b""
            while len(heard) < len(MODELS[model].wake):
                heard += await instrument.hear()
            await instrument.say(frame)
            assert (await anext(readings)).values == pytest.approx(values)
    assert heard == MODELS[model].wake


@pytest.mark.parametrize("model", ["auto", "pms3003"])
def test_a_sensor_without_a_known_command_cannot_be_woken(model: str) -> None:
    with pytest.raises(ConfigError, match="wake: cannot be true"):
        driver_options("pms", {"model": model, "wake": "true"})


def test_every_wake_command_has_its_checksum() -> None:
    for name in wakeable():
        wake = MODELS[name].wake
        if name.startswith("pms"):
            halves = (wake[:7], wake[7:])
            assert all(sum(half[:-2]) == int.from_bytes(half[-2:], "big") for half in halves)
        elif name.startswith("sds"):
            halves = (wake[:19], wake[19:])
            assert all(sum(half[2:17]) & 0xFF == half[17] for half in halves)
        elif name.startswith("hpma"):
            assert all(sum(half) & 0xFF == 0 for half in (wake[:4], wake[4:]))
        elif name.startswith("zh"):
            assert all(sum(half[1:]) & 0xFF == 0 for half in (wake[:9], wake[9:]))


def test_simulated_sensor_is_taken_for_what_it_is() -> None:
    stream = telegrams(1)
    frames, counts = decoded(b"".join(next(stream) for _ in range(1500)))
    assert {frame.id for frame in frames} == {"PMSx003"}
    assert counts == {}
