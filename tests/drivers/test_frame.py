"""Frames by description: what one may write, and what the decoder makes of it."""

import asyncio
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drivers
import drivers.frame.simulator
import drivers.mhz19.simulator
import drivers.pms.simulator
from drivers.checksum import CHECKSUMS
from drivers.driver import Answering, Frame
from drivers.frame import DRIVER, Options
from drivers.frame.codec import decoder
from drivers.instrument import PtyInstrument
from drivers.testing.asking import AskingContract
from drivers.testing.contract import cut
from gateway.clock import system_clock
from gateway.config import driver_options, load
from gateway.errors import ConfigError
from gateway.model import Value

FOLDER = Path(drivers.__file__).parent / "frame"
CAPTURES = Path(os.environ.get("SALLYPORT_CAPTURES", "."))

Table = dict[str, Any]


def example(name: str) -> Table:
    [table] = tomllib.loads((FOLDER / name).read_text())["devices"].values()
    return dict(table)


def options(table: Mapping[str, Any]) -> Options:
    document = json.dumps({"driver": "frame", "port": "/dev/null", **table})
    return Options.model_validate_json(document, strict=True)


def decoded(table: Mapping[str, Any], *chunks: bytes) -> tuple[list[Frame], dict[str, int]]:
    frame = decoder(options(table))
    frames = [each for chunk in chunks for each in frame.feed(chunk)]
    return [*frames, *frame.finish()], {**frame.rejected, **frame.dropped}


def values(fields: Table, frame: bytes, **table: Any) -> tuple[dict[str, Value], dict[str, int]]:
    """Of one frame that nothing but the end of the stream ends."""
    [found], counts = decoded({"silence": "1s", "fields": fields, **table}, frame)
    return found.values, counts


# The examples, against the native drivers


class TestFrameThatIsAsked(AskingContract):
    """An MH-Z19, by its description."""

    name = "frame"

    def sample(self) -> dict[str, Table]:
        return {"room": example("examples/mhz19.toml")}

    def telegrams(self, seed: int) -> Iterator[bytes]:
        return drivers.mhz19.simulator.telegrams(seed)

    @property
    def answering(self) -> Answering:
        return drivers.mhz19.simulator.Sensor(0)


NATIVE: Mapping[str, tuple[str, Mapping[str, str], Callable[[int], Iterator[bytes]]]] = {
    "sample.toml": ("pms", {"model": "sds011"}, drivers.frame.simulator.telegrams),
    "examples/pms5003.toml": ("pms", {"model": "pms5003"}, drivers.pms.simulator.telegrams),
    "examples/mhz19.toml": ("mhz19", {"temperature": "true"}, drivers.mhz19.simulator.telegrams),
}
"""By description: the driver that reads the same."""

RECORDED = {"sample.toml": "sds01x", "examples/pms5003.toml": "pmsx003", "examples/mhz19.toml": "mhz19b"}


def told(frames: Sequence[Frame]) -> list[tuple[int, int, dict[str, Value]]]:
    return [(frame.offset, frame.length, frame.values) for frame in frames]


def assert_same_as_native(name: str, capture: bytes) -> None:
    driver, given, _ = NATIVE[name]
    native = drivers.find(driver).decoder(driver_options(driver, given))
    expected = [*native.feed(capture), *native.finish()]
    found, _ = decoded(example(name), capture)
    assert told(found) == told(expected)
    assert found


@pytest.mark.parametrize("name", NATIVE)
def test_a_described_sensor_says_what_its_own_driver_says(name: str) -> None:
    telegrams = [*islice(NATIVE[name][2](3), 50)]
    assert_same_as_native(name, b"??".join(telegrams))


@pytest.mark.skipif(
    not CAPTURES.joinpath("pms").is_dir(), reason="SALLYPORT_CAPTURES does not name the captures"
)
@pytest.mark.parametrize("name", NATIVE)
def test_a_described_sensor_says_of_its_captures_what_its_own_driver_says(name: str) -> None:
    assert_same_as_native(name, (CAPTURES / "pms" / f"{RECORDED[name]}.bin").read_bytes())


@pytest.mark.parametrize("name", NATIVE)
def test_an_example_is_a_configuration(name: str) -> None:
    [device] = load(FOLDER / name).devices.values()
    metrics = DRIVER.describe(device)
    assert all(metric.unit for metric in metrics.values())


# Fields


@pytest.mark.parametrize(
    ("field", "frame", "value"),
    [
        ({"at": 1}, "01 FE", 254),
        ({"at": 1, "type": "i8"}, "01 FE", -2),
        ({"at": 0, "type": "u16"}, "01 FE", 510),
        ({"at": 0, "type": "u16", "order": "little"}, "01 FE", 0xFE01),
        ({"at": -2, "type": "i16"}, "00 00 FF FE", -2),
        ({"at": -3, "type": "u16"}, "00 01 02 03", 0x0102),
        ({"at": 0, "type": "u24"}, "01 02 03", 0x010203),
        ({"at": 0, "type": "i48"}, "FF FF FF FF FF FF", -1),
        ({"at": 0, "type": "u64"}, "FF FF FF FF FF FF FF FF", 2**64 - 1),
        ({"at": 0, "type": "f32"}, pack(">f", 1.5).hex(), 1.5),
        ({"at": 0, "type": "f64", "order": "little"}, pack("<d", -0.25).hex(), -0.25),
        ({"at": 0, "type": "bcd", "length": 3}, "12 34 56", 123456),
        ({"at": 0, "type": "bcd", "length": 3, "order": "little", "scale": 0.1}, "56 34 12", 12345.6),
        ({"at": 0, "type": "ascii", "length": 4}, b"ok \x00".hex(), "ok"),
        ({"at": 0, "type": "number", "length": 6}, b" +12.5".hex(), 12.5),
        ({"at": 0, "type": "number", "length": 3, "scale": 10}, b"042".hex(), 420),
        ({"at": 0, "mask": 0xF0, "shift": 4}, "A5", 10),
        ({"at": 0, "shift": 1}, "05", 2),
        ({"at": 0, "bits": [2, 4]}, "B4", 5),
        ({"at": 0, "bit": 7}, "80", True),
        ({"at": 0, "bit": 6}, "80", False),
        ({"at": 0, "enum": {"0": "off", "0x10": "on"}}, "10", "on"),
        ({"at": 0, "bits": [4, 7], "enum": {"1": "on"}}, "1F", "on"),
        ({"at": 0, "scale": 0.1}, "06", 0.6),
        ({"at": 0, "scale": 0.5, "add": -40}, "06", -37.0),
        ({"at": 0, "scale": 2.5}, "06", 15.0),
        ({"at": 0, "scale": 10, "add": 1}, "06", 61),
        ({"at": 0, "add": -40}, "06", -34),
        ({"at": 0, "valid": [6, 6]}, "06", 6),
    ],
)
def test_a_field_is_read_as_it_is_described(field: Table, frame: str, value: Value) -> None:
    found, counts = values({"x": field}, bytes.fromhex(frame))
    assert found == {"x": value}
    assert isinstance(found["x"], type(value))
    assert counts == {}


@pytest.mark.parametrize(
    ("field", "frame", "reason"),
    [
        ({"at": 2}, "01 02", "frame too short for a field"),
        ({"at": -3, "type": "u16"}, "01 02", "frame too short for a field"),
        ({"at": 0, "type": "f32"}, "7F C0 00 00", "not a finite number"),
        ({"at": 0, "type": "bcd", "length": 1}, "1A", "not BCD"),
        ({"at": 0, "type": "number", "length": 3}, b"a12".hex(), "not a number"),
        ({"at": 0, "type": "number", "length": 3}, b"nan".hex(), "not a number"),
        ({"at": 0, "type": "number", "length": 3}, b"1_2".hex(), "not a number"),
        ({"at": 0, "enum": {"0": "off"}}, "01", "not in enum"),
        ({"at": 0, "valid": [0, 5]}, "06", "out of range"),
        ({"at": 0, "type": "f64", "scale": 1e300}, pack(">d", 1e300).hex(), "out of range"),
    ],
)
def test_a_value_that_cannot_be_used_is_dropped_and_the_others_stay(
    field: Table, frame: str, reason: str
) -> None:
    found, counts = values({"x": field, "y": {"at": 0}}, bytes.fromhex(frame))
    assert found == {"y": bytes.fromhex(frame)[0]}
    assert counts == {reason: 1}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_every_checksum_may_be_used_by_its_name(name: str) -> None:
    width, calculate = CHECKSUMS[name]
    body = b"\x02hello"
    table = {"start": "02", "length": {"fixed": 6 + width}, "order": "little", "fields": {"x": {"at": 1}}}
    table["checksum"] = {"name": name}
    frame = body + calculate(body).to_bytes(width, "little")
    assert len(decoded(table, frame)[0]) == 1
    assert decoded(table, frame[:-1] + bytes([frame[-1] ^ 1])) == ([], {"checksum": 1})


def test_a_checksum_has_its_range_place_order_and_constants() -> None:
    covered = b"\x01\x02\x03"
    table = {"start": "AA", "end": "BB", "length": {"fixed": 9}, "fields": {"x": {"at": 3}}}
    table["checksum"] = {
        "name": "sum16",
        "first": 3,
        "last": 5,
        "at": 1,
        "order": "little",
        "accept": ["FF FF"],
    }
    rest = covered + b"\x00\x00\xbb"
    for stands, is_good in ((b"\x06\x00", True), (b"\xff\xff", True), (b"\x00\x06", False)):
        frames, _ = decoded(table, b"\xaa" + stands + rest)
        assert bool(frames) is is_good
    by_default = {**table, "checksum": {"name": "sum8"}}
    frame = b"\xaa" + bytes(6)
    assert len(decoded(by_default, frame + b"\xaa\xbb")[0]) == 1
    to_the_end = {**table, "checksum": {"name": "sum8", "at": 1, "first": 2, "last": -1}}
    assert len(decoded(to_the_end, b"\xaa\xbe" + bytes([0, 3] + [0] * 4) + b"\xbb")[0]) == 1


# Where frames begin and end

COUNTED = {
    "start": "AA 55",
    "length": {"at": 2, "type": "u16", "order": "little", "times": 2, "add": 5},
    "checksum": {"name": "sum8", "first": 2},
    "max_length": 15,
    "fields": {"first": {"at": 4}, "last": {"at": -2}},
}


def counted(*words: int) -> bytes:
    body = pack(f"<H{len(words)}H", len(words), *words)
    return b"\xaa\x55" + body + bytes([sum(body) & 0xFF])


def test_a_frame_may_say_how_long_it_is() -> None:
    frames, counts = decoded(COUNTED, counted(1, 0x200) + counted(3))
    assert [frame.values for frame in frames] == [{"first": 1, "last": 2}, {"first": 3, "last": 0}]
    assert counts == {}


def test_a_frame_that_says_it_is_too_long_is_refused_at_once() -> None:
    assert decoded(COUNTED, b"\xaa\x55\xff\xff" + counted(1))[1] == {"length": 1}
    assert len(decoded(COUNTED, counted(1, 2, 3, 4, 5))[0]) == 1
    assert decoded(COUNTED, counted(1, 2, 3, 4, 5, 6))[1]["length"] == 1


def test_a_frame_inside_a_refused_one_is_found_and_what_is_between_is_counted_once() -> None:
    good = counted(7)
    frames, counts = decoded(COUNTED, b"noise" + good + counted(1, 2, 3)[:6] + good + b"\xaa")
    assert len(frames) == 2
    assert counts == {"no start": 1, "checksum": 1}


def test_frames_may_end_with_a_delimiter_alone() -> None:
    table = {"end": "0D 0A", "max_length": 8, "fields": {"x": {"at": 0, "type": "number", "length": 3}}}
    frames, counts = decoded(table, b"1.5\r\n" + b"?" * 20 + b"\r\n2.5\r", b"\n3.5")
    assert [frame.values for frame in frames] == [{"x": 1.5}, {"x": 2.5}]
    assert counts == {"too long": 1}


def test_frames_may_have_a_start_and_a_delimiter() -> None:
    table = {"start": "02", "end": "03", "max_length": 8, "fields": {"x": {"at": 1}}}
    table["checksum"] = {"name": "xor8", "first": 1}
    stream = b"\x02\x41\x41\x03" + b"?" + b"\x02" + bytes(20) + b"\x02\x42\x42\x03" + b"\x02\x42\x43\x03"
    frames, counts = decoded(table, stream)
    assert [(frame.offset, frame.values["x"]) for frame in frames] == [(0, 0x41), (26, 0x42)]
    assert counts == {"no start": 2, "too long": 1, "checksum": 1}


def test_frames_without_a_start_are_found_by_their_checksum() -> None:
    table = {"length": {"fixed": 4}, "checksum": {"name": "crc16-modbus", "order": "little"}}
    body = b"\x11\x22"
    frame = body + CHECKSUMS["crc16-modbus"][1](body).to_bytes(2, "little")
    frames, _ = decoded({**table, "fields": {"x": {"at": 0}}}, b"\x99" * 3 + frame + frame)
    assert [found.offset for found in frames] == [3, 7]


def test_a_silence_ends_what_is_unfinished() -> None:
    frame = decoder(options({**COUNTED, "silence": "20ms"}))
    good = counted(7)
    assert frame.feed(good[:-1]) == []
    assert frame.pause() == []
    assert frame.rejected == {"cut": 1}
    assert [found.offset for found in frame.feed(good)] == [len(good) - 1]
    assert frame.pause() == []
    assert frame.rejected == {"cut": 1}


def test_a_delimited_frame_that_a_silence_cuts_is_counted() -> None:
    frame = decoder(options({"end": "0A", "silence": "20ms", "fields": {"x": {"at": 0}}}))
    assert frame.feed(b"ab") == frame.pause() == frame.pause() == []
    assert [found.values for found in frame.feed(b"c\n")] == [{"x": 0x63}]
    assert frame.rejected == {"cut": 1}


def test_frames_that_only_silence_ends_are_judged_then() -> None:
    table = {"silence": "20ms", "start": "01", "max_length": 3, "fields": {"x": {"at": 1}}}
    frame = decoder(options(table))
    found = []
    for heard in (b"\x01\x05", b"\x02\x05", b"\x01\x05\x00\x00", b"", b"\x01\x06"):
        assert frame.feed(heard) == []
        found += frame.pause()
    assert [(each.offset, each.values) for each in found] == [(0, {"x": 5}), (8, {"x": 6})]
    assert frame.rejected == {"start": 1, "too long": 1}


def test_frames_of_several_kinds_have_common_and_own_fields() -> None:
    table = {
        "start": "AA",
        "length": {"fixed": 4},
        "fields": {"unit": {"at": 1}},
        "frames": {
            "air": {"match": {"at": 2, "bytes": "01"}, "fields": {"temperature": {"at": 3, "unit": "Cel"}}},
            "door": {"match": {"at": 2, "bytes": "02"}, "fields": {"open": {"at": 3, "bit": 0}}},
        },
    }
    frames, _ = decoded(table, bytes.fromhex("AA 07 01 15  AA 07 02 01  AA 07 03 00"))
    assert [(frame.id, frame.values) for frame in frames] == [
        ("air", {"unit": 7, "temperature": 21}),
        ("door", {"unit": 7, "open": True}),
        ("other", {"unit": 7}),
    ]
    metrics = DRIVER.describe(options(table))
    assert metrics.keys() == {"unit", "temperature", "open"}
    assert (metrics["temperature"].unit, metrics["temperature"].state_class) == ("Cel", "measurement")
    assert metrics["open"].state_class == ""


TABLES: list[Table] = [
    COUNTED,
    {**COUNTED, "length": {"fixed": 7}},
    {"start": "AA", "length": {"fixed": 3}, "checksum": {"name": "xor8"}, "fields": {"x": {"at": 1}}},
    {"length": {"fixed": 3}, "checksum": {"name": "sum8"}, "fields": {"x": {"at": 1}}},
    {"start": "AA 55", "end": "55 AA", "max_length": 9, "fields": {"x": {"at": 2}}},
    {"end": "55", "max_length": 5, "fields": {"x": {"at": 0}}},
    {"start": "AA", "end": "55", "length": {"at": 1}, "max_length": 9, "fields": {"x": {"at": 0}}},
    {"silence": "1s", "start": "AA", "max_length": 9, "fields": {"x": {"at": 0}}},
]
pieces = st.sampled_from(
    [counted(1), counted(2, 3), b"\xaa", b"\x55", b"\xaa\x55", b"\x55\xaa", b"\x03", b"\x00" * 4]
)


@given(
    table=st.sampled_from(TABLES),
    stream=st.lists(pieces | st.binary(max_size=4), max_size=20).map(b"".join),
    places=st.lists(st.integers(0, 200), max_size=12),
)
def test_any_split_gives_the_same_frames_and_counts_for_any_description(
    table: Table, stream: bytes, places: list[int]
) -> None:
    whole = decoded(table, stream)
    assert decoded(table, *cut(stream, places)) == whole
    assert decoded(table, *(bytes([byte]) for byte in stream)) == whole


def test_starts_at_every_byte_cost_bounded_work_and_a_frame_is_found_after_them() -> None:
    length, flood = 1024, 65_536
    table = {"start": "AA", "length": {"fixed": length}, "max_length": length, "fields": {"x": {"at": 1}}}
    frame = decoder(options({**table, "checksum": {"name": "sum8"}}))
    for _ in range(flood // 256):
        assert frame.feed(b"\xaa" * 256) == []
    assert frame.rejected.keys() == {"checksum"}
    assert 1 < frame.rejected["checksum"] * length < 5 * flood
    good = b"\xaa" + bytes(length - 2) + b"\xaa"
    assert frame.feed(good * 3)


# What is refused

GOOD: Table = {"start": "AA", "length": {"fixed": 4}, "fields": {"x": {"at": 1}}}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"length": None}, "has frames without an end: it needs length, end or silence"),
        ({"fields": {}}, "has no fields"),
        ({"start": ""}, "has nothing to know a frame by"),
        ({"start": "A"}, 'start: must be bytes in hexadecimal digits, such as "AA C0"'),
        ({"length": {"fixed": 300}}, "max_length must be 300 or more"),
        ({"length": {}}, "length: must have either fixed, or at"),
        ({"length": {"fixed": 4, "at": 1}}, "length: must have either fixed, or at"),
        ({"checksum": {"name": "crc7"}}, "checksum.name: must be one of xor8"),
        ({"checksum": {"name": "sum8", "accept": ["FF FF"]}}, "not 1 bytes long, as sum8 is"),
        ({"checksum": {"name": "sum8", "at": 9}}, "has its checksum outside its 4 bytes"),
        ({"checksum": {"name": "crc16-modbus", "at": 3}}, "has its checksum outside its 4 bytes"),
        ({"checksum": {"name": "sum8", "first": 2, "last": 1}}, "has a checksum of no bytes: from 2 to 1"),
        ({"length": {"at": 300}}, "has its length outside its 256 bytes"),
        ({"length": {"at": 1}, "fields": {"x": {"at": 300}}}, "has the field x outside its 256 bytes"),
        ({"fields": {"x": {"at": 1, "bit": 9}}}, "fields.x: has no bit 9: it is u8, with bits 0 to 7"),
        ({"fields": {"x": {"at": 3, "type": "u16"}}}, "has the field x outside its 4 bytes"),
        ({"fields": {"x": {"at": -5}}}, "has the field x outside its 4 bytes"),
        ({"fields": {"x": {"at": -1, "type": "u16"}}}, "fields.x: reaches beyond the frame's end"),
        ({"fields": {"x": {"at": 1, "type": "u12"}}}, "fields.x.type: must be"),
        ({"fields": {"x": {"at": 1, "scael": 2}}}, 'fields.x.scael: unknown key; did you mean "scale"'),
        ({"fields": {"x": {}}}, "fields.x.at: missing"),
        ({"fields": {"x": {"at": 1, "type": "bcd"}}}, "fields.x: needs a length: it is bcd"),
        ({"fields": {"x": {"at": 1, "length": 2}}}, "fields.x: must not have a length: it is u8"),
        ({"fields": {"x": {"at": 1, "type": "f32", "bit": 1}}}, "need a whole number, and is f32"),
        ({"fields": {"x": {"at": 1, "bits": [5, 4]}}}, "fields.x.bits: must be [lowest, highest]"),
        ({"fields": {"x": {"at": 1, "bits": [1, 4], "bit": 1}}}, "must have only one of bit, bits"),
        ({"fields": {"x": {"at": 1, "bit": 1, "scale": 2}}}, "need a number: it is a text, a bit"),
        ({"fields": {"x": {"at": 1, "bit": 1, "enum": {"1": "on"}}}}, "must not have an enum"),
        ({"fields": {"x": {"at": 1, "enum": {"on": "1"}}}}, "fields.x.enum: must have whole numbers as keys"),
        ({"fields": {"x": {"at": 1, "valid": [2, 1]}}}, "fields.x.valid: must be [least, most]"),
        ({"frames": {"a": {"match": {"at": 1, "bytes": ""}, "fields": {}}}}, "frames.a.match.bytes: must"),
        ({"frames": {"a": {"fields": {}}}}, "frames.a.match: missing"),
    ],
)
def test_a_wrong_description_is_explained_at_its_place(change: Table, complaint: str, tmp_path: Path) -> None:
    table = {"driver": "frame", "port": "/dev/null", **GOOD, **change}
    text = "".join(f"{key} = {toml(value)}\n" for key, value in table.items() if value is not None)
    file = tmp_path / "gateway.toml"
    file.write_text(f"[devices.x]\n{text}")
    with pytest.raises(ConfigError) as caught:
        load(file)
    [problem] = caught.value.problems
    assert complaint in problem
    assert "devices.x" in problem


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


# On a line


@asynccontextmanager
async def opened(table: Table, path: Path) -> Any:
    device_options = options({**table, "port": str(path)})
    async with (
        asyncio.timeout(20),
        DRIVER.open("device", device_options, system_clock) as device,
        aclosing(device.readings()) as readings,  # type: ignore[type-var]
    ):
        yield device, readings


SILENT = {"silence": "60ms", "fields": {"x": {"at": 0}, "last": {"at": -1}}}


@pytest.mark.real_time
async def test_a_device_is_read_whose_frames_only_silence_ends(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with opened(SILENT, instrument.path) as (_, readings):
            for frame in (b"\x01\x02", b"\x03"):
                await instrument.say(frame)
                reading = await anext(readings)
                assert reading.values == {"x": frame[0], "last": frame[-1]}
            await instrument.say(b"\x04\x05")
            waiting = asyncio.create_task(anext(readings))
            await asyncio.sleep(0.01)
            instrument.unplug()
            assert (await waiting).values["x"] == 4


@pytest.mark.real_time
async def test_line_that_is_never_silent_does_not_keep_an_answer_waiting(tmp_path: Path) -> None:
    async def babble(instrument: PtyInstrument) -> None:
        while True:
            await instrument.say(b"\x07")
            await asyncio.sleep(0.02)

    table = {**SILENT, "max_length": 8, "request": "AA", "interval": "20ms", "timeout": "1s"}
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with opened(table, instrument.path) as (device, readings):
            babbling = asyncio.create_task(babble(instrument))
            waiting = asyncio.create_task(anext(readings))
            async with asyncio.timeout(30):  # eight bytes without a gap, which a busy machine makes rare
                while not device.rejected["too long"]:
                    await asyncio.sleep(0.02)
            for task in (babbling, waiting):
                task.cancel()
            await asyncio.wait([babbling, waiting])


class Says:
    def __init__(self, *answers: bytes) -> None:
        self.heard = b""
        self._answers = iter(answers)

    def answer(self, heard: bytes) -> bytes:
        self.heard += heard
        return next(self._answers, b"")


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("table", "answers", "value", "rejected"),
    [
        ({**SILENT, "start": "07"}, (b"\x08\x09", b"\x07\x05"), 7, {"start": 1}),
        (
            GOOD | {"checksum": {"name": "sum8"}},
            (b"\xaa\x01\x02\x00", b"\xaa\x09\x00\xb3"),
            9,
            {"checksum": 1},
        ),
        (GOOD, (b"\xaa\x01", b"?\xaa\x09\x00\x00"), 9, {"cut": 1}),
    ],
)
async def test_an_answer_is_a_frame_and_a_bad_one_is_counted(
    table: Table, answers: tuple[bytes, ...], value: int, rejected: dict[str, int], tmp_path: Path
) -> None:
    asked = {**table, "request": "AA 01", "interval": "20ms", "timeout": "100ms"}
    says = Says(*answers)
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        serving = asyncio.create_task(instrument.serve(says))
        async with opened(asked, instrument.path) as (device, readings):
            assert (await anext(readings)).values["x"] == value
            assert device.rejected == rejected
        serving.cancel()
        await asyncio.wait([serving])
    assert says.heard.startswith(b"\xaa\x01\xaa\x01")
