"""Lines of JSON as boards print them, and what becomes of lines that are none."""

import asyncio
import json
import math
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.driver import Frame
from drivers.instrument import PtyInstrument
from drivers.json import DRIVER, Options, simulator
from drivers.json.codec import JsonLines
from drivers.testing.contract import is_scalar, is_subsequence
from drivers.testing.listening import ListeningContract
from gateway.clock import system_clock
from gateway.model import Value


class TestContract(ListeningContract):
    name = "json"


NO_VALUE = "null or not a finite number"


def decoder(*, max_line: int = 4096, max_depth: int = 8) -> JsonLines:
    return JsonLines(max_line=max_line, max_depth=max_depth)


def decoded(*chunks: bytes, max_line: int = 4096, max_depth: int = 8) -> tuple[list[Frame], JsonLines]:
    lines = decoder(max_line=max_line, max_depth=max_depth)
    frames = [frame for chunk in chunks for frame in lines.feed(chunk)]
    return [*frames, *lines.finish()], lines


def values_of(line: bytes) -> dict[str, Value]:
    [frame], _ = decoded(line)
    return frame.values


def rejections(*chunks: bytes, max_line: int = 4096) -> dict[str, int]:
    frames, lines = decoded(*chunks, max_line=max_line)
    assert frames == []
    return dict(lines.rejected)


# What becomes a value


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (b'{"temperature":21.5}', {"temperature": 21.5}),
        (b'{"count":812,"zero":0,"below":-40}', {"count": 812, "zero": 0, "below": -40}),
        (b'{"door":"open","empty":""}', {"door": "open", "empty": ""}),
        (b'{"fan":true,"pump":false}', {"fan": True, "pump": False}),
        (b'{"small":1e-7,"big":1.5E+8}', {"small": 1e-7, "big": 1.5e8}),
        (b'{"air":{"co2":612,"pm":{"2_5":4}}}', {"air.co2": 612, "air.pm.2_5": 4}),
        (b'{ "spaced" : 1 , "out" : 2 }', {"spaced": 1, "out": 2}),
        (b'{"unit":"\xc2\xb0C","sensor \xe2\x84\x961":1}', {"unit": "°C", "sensor №1": 1}),
        (b'{"escaped":"a\\"b\\u00e9\\n","key\\t1":2}', {"escaped": 'a"bé\n', "key\t1": 2}),
        (b"{}", {}),
        (b'{"nested":{}}', {}),
    ],
)
def test_object_becomes_its_values(line: bytes, values: dict[str, Value]) -> None:
    found = values_of(line)
    assert found == values
    assert [type(value) for value in found.values()] == [type(value) for value in values.values()]


@pytest.mark.parametrize(
    ("line", "values", "dropped"),
    [
        (b'{"a":null,"b":1}', {"b": 1}, {NO_VALUE: 1}),
        (b'{"a":[1,2],"b":1,"c":[]}', {"b": 1}, {"array": 2}),
        (b'{"a":[{"b":1}],"c":{"d":null}}', {}, {"array": 1, NO_VALUE: 1}),
        (b'{"":1,"b":2}', {"b": 2}, {"without a name": 1}),
        (b'{"":{"a":1},"b":{"":2,"c":3}}', {"b.c": 3}, {"without a name": 2}),
    ],
)
def test_what_cannot_be_a_value_is_dropped_and_counted(
    line: bytes, values: dict[str, Value], dropped: dict[str, int]
) -> None:
    [frame], lines = decoded(line)
    assert frame.values == values
    assert lines.dropped == dropped
    assert not lines.rejected


NO_NUMBERS = (
    "NaN nan NAN -nan +nan inf -inf INF +Inf Infinity -Infinity ovf -ovf 1e999 -1e999 1E+400 2.5e0309"
)


@pytest.mark.parametrize("word", [*NO_NUMBERS.split(), "1" + "0" * 309, "-1" + "0" * 400])
def test_number_that_is_none_is_dropped_and_the_rest_of_its_line_is_kept(word: str) -> None:
    line = f'{{"before":1,"it":{word},"deep":{{"it": {word} ,"list":[{word}]}},"after":"{word}"}}'
    [frame], lines = decoded(line.encode())
    assert frame.values == {"before": 1, "after": word}
    assert lines.dropped == {NO_VALUE: 2, "array": 1}


@pytest.mark.parametrize(
    "text", ["nan", "it is inf here", 'say \\"nan\\" 1e999', "\\\\", "nan\\\\", ",inf,", ":ovf}"]
)
def test_words_inside_a_text_are_left_alone(text: str) -> None:
    line = f'{{"nan":"{text}","x":nan,"inf {text}":1}}'.encode()
    meant = text.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\")
    assert values_of(line) == {"nan": meant, f"inf {meant}": 1}


@pytest.mark.parametrize(
    "word", ["nano", "xnan", "inf1", "1nan", "nan.0", "none", "True", "0x1F", "01", "1.", ".5"]
)
def test_other_words_spoil_their_line(word: str) -> None:
    assert rejections(f'{{"a":{word}}}\n'.encode()) == {"not valid JSON": 1}


@pytest.mark.parametrize(
    "number", [2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)], ids=lambda number: f"{number:+d}"
)
def test_integer_of_64_bits_is_exact(number: int) -> None:
    [value] = values_of(b'{"n":%d}' % number).values()
    assert value == number
    assert type(value) is int
    assert orjson.loads(orjson.dumps(value)) == number


@pytest.mark.parametrize(
    "number", [2**64, -(2**63) - 1, 10**30, -(10**308)], ids=lambda number: f"{float(number):+.0e}"
)
def test_integer_beyond_64_bits_becomes_the_nearest_float(number: int) -> None:
    [value] = values_of(b'{"n":%d}' % number).values()
    assert value == float(number)
    assert type(value) is float
    assert orjson.loads(orjson.dumps(value)) == value


def test_integer_of_ten_thousand_digits_is_dropped() -> None:
    [frame], lines = decoded(b'{"n":' + b"9" * 10_000 + b',"m":1}', max_line=20_000)
    assert frame.values == {"m": 1}
    assert lines.dropped == {NO_VALUE: 1}


@pytest.mark.parametrize(
    "line", [b'{"a":1,"a":2}', b'{"a":{"b":1},"a.b":2}', b'{"a.b":1,"a":{"b":2}}', b'{"a":{"b":1},"a":2}']
)
def test_of_two_values_with_the_same_name_the_last_one_counts(line: bytes) -> None:
    assert list(values_of(line).values()) == [2]


@pytest.mark.parametrize("max_depth", [1, 2, 5])
def test_objects_deeper_than_allowed_are_dropped_whole(max_depth: int) -> None:
    line = b'{"v":1,"d":' * 8 + b"2" + b"}" * 8
    [frame], lines = decoded(line, max_depth=max_depth)
    assert list(frame.values) == ["d." * depth + "v" for depth in range(max_depth)]
    assert lines.dropped == {"nested too deep": 1}


# Where a line begins and ends


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n", b"\n\r", b"\n\n\r\n"])
def test_any_line_end_ends_a_line(end: bytes) -> None:
    frames, lines = decoded(b'{"a":1}' + end + b'{"a":2}' + end)
    assert [frame.values for frame in frames] == [{"a": 1}, {"a": 2}]
    assert not lines.rejected


def test_line_comes_as_soon_as_its_end_does() -> None:
    lines = decoder()
    assert list(lines.feed(b'{"a":1}')) == []
    assert [frame.values for frame in lines.feed(b"\r")] == [{"a": 1}]
    assert list(lines.feed(b"\n")) == []


def test_last_line_without_an_end_comes_with_the_end_of_the_stream() -> None:
    lines = decoder()
    assert list(lines.feed(b'{"a":1}')) == []
    assert [frame.values for frame in lines.finish()] == [{"a": 1}]
    assert list(lines.finish()) == []


def test_frames_say_where_they_are() -> None:
    stream = b'boot\r\n\x00\xff {"a":1} \x00\r\n\r\n{"b":2}\n{"broken"\n\t{"c":3}'
    frames, _ = decoded(stream)
    assert [stream[frame.offset : frame.offset + frame.length] for frame in frames] == [
        b'{"a":1}',
        b'{"b":2}',
        b'{"c":3}',
    ]
    assert {frame.id for frame in frames} == {"object"}


@pytest.mark.parametrize("noise", [b"\x00", b"\xff\xfe\xf8", b"\xef\xbb\xbf", b"\x1e", b"\x7f\x80 \t"])
def test_noise_of_a_reset_is_taken_off_both_ends_of_a_line(noise: bytes) -> None:
    [frame], lines = decoded(noise + b'{"a":1}' + noise + b"\r\n")
    assert frame.values == {"a": 1}
    assert not lines.rejected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "not an object"),
        (b'I (312) wifi: {"a":1}', "not an object"),
        (b'ture":21.5}', "not an object"),
        (b"[1,2]", "not an object"),
        (b"21.5", "not an object"),
        (b"null", "not an object"),
        (b"nan", "not an object"),
        (b"\x00\xff\x00", "noise"),
        (b"   ", "noise"),
        (b'{"tempera', "not valid JSON"),
        (b'{"temperature":21.5', "not valid JSON"),
        (b'{"temperature":21.5}}', "not valid JSON"),
        (b'{"temperature":21.5}{"temperature":21.6}', "not valid JSON"),
        (b"{'temperature':21.5}", "not valid JSON"),
        (b'{"a":"\xff"}', "not valid JSON"),
        (b'{"\xc3":1}', "not valid JSON"),
        (b'{"a":"\xed\xa0\x80"}', "not valid JSON"),
        (b'{"a":"\\ud800"}', "not valid JSON"),
        (b'{"a":"tab\there"}', "not valid JSON"),
        (b'{"a":"never ends', "not valid JSON"),
    ],
)
def test_line_that_is_no_object_is_rejected_and_the_next_one_is_read(line: bytes, reason: str) -> None:
    frames, lines = decoded(line + b"\r\n" + b'{"a":1}\r\n')
    assert [frame.values for frame in frames] == [{"a": 1}]
    assert lines.rejected == {reason: 1}


@pytest.mark.parametrize("cut_at", [1, 16, 17, 30, 90])
def test_line_that_grows_too_long_is_given_up_and_counted_once(cut_at: int) -> None:
    too_long = b'{"text":"' + b"x" * 100 + b'"}\r\n'
    frames, lines = decoded(b'{"a":1}\n', too_long[:cut_at], too_long[cut_at:], b'{"a":2}\n', max_line=16)
    assert [frame.values for frame in frames] == [{"a": 1}, {"a": 2}]
    assert lines.rejected == {"too long": 1}


def test_longest_line_allowed_is_read() -> None:
    line = b'{"text":"abcdef"}'
    assert rejections(line + b"\n", max_line=len(line) - 1) == {"too long": 1}
    [frame], _ = decoded(line + b"\n", max_line=len(line))
    assert frame.length == len(line)


# Hostile lines


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", id="arrays"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, id="objects"),
        pytest.param(b'{"a":' * 10_000, id="objects without an end"),
        pytest.param(b'{"a":nan,"b":' + b"[" * 10_000 + b"]" * 10_000 + b"}", id="arrays after a word"),
        pytest.param(b'{"a":"' + b'\\"' * 500_000, id="quotes in a text without an end"),
        pytest.param(b'{"a":' + b'"' * 1_000_000, id="quotes"),
        pytest.param(b"{" + b"nan" * 300_000, id="words"),
        pytest.param(b"{" + b"1e" * 500_000, id="numbers that break off"),
        pytest.param(b"{" + b"-" * 1_000_000, id="signs"),
        pytest.param(b'{"a":' + b"1" * 1_000_000, id="digits"),
    ],
)
def test_hostile_line_is_rejected_in_time(line: bytes) -> None:
    assert rejections(line + b"\n", max_line=1 << 20) == {"not valid JSON": 1}


def test_line_of_a_thousand_names_is_a_thousand_values() -> None:
    line = orjson.dumps({f"n{number}": number for number in range(1000)})
    [frame], _ = decoded(line, max_line=1 << 20)
    assert len(frame.values) == 1000


# Whatever comes


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**320), 10**320)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=30,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=8)


def flattened(found: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Value]]:
    """The README's table, naively."""
    for key, value in found.items():
        if not key or value is None or isinstance(value, list):
            continue
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        elif isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
            try:
                yield prefix + key, float(value)
            except OverflowError:
                continue
        else:
            yield prefix + key, value


@pytest.mark.repetitive
@given(found=OBJECTS, ensure_ascii=st.booleans())
def test_any_object_survives_flattening(found: dict[str, Any], *, ensure_ascii: bool) -> None:
    line = json.dumps(found, ensure_ascii=ensure_ascii).encode()
    [frame], lines = decoded(line, max_line=1 << 20, max_depth=64)
    expected = dict(flattened(found))
    assert frame.values == expected
    assert [type(value) for value in frame.values.values()] == [type(value) for value in expected.values()]
    assert orjson.loads(orjson.dumps(frame.values)) == expected
    assert not lines.rejected


@given(st.text('{}[]",:\\.-+eE019nainfovtru \r\n\x00é', max_size=80))
def test_almost_json_raises_nothing_and_gives_only_values(text: str) -> None:
    frames, _ = decoded(text.encode("latin-1"))
    for frame in frames:
        assert all(name and is_scalar(value) for name, value in frame.values.items())
        orjson.dumps(frame.values)


@pytest.mark.repetitive
@settings(max_examples=50)
@given(st.lists(st.tuples(st.binary(max_size=80), OBJECTS), max_size=6))
def test_noise_that_ends_before_a_line_begins_costs_no_line(
    parts: list[tuple[bytes, dict[str, Any]]],
) -> None:
    stream = b"".join(noise + b"\n" + json.dumps(found).encode() + b"\r\n" for noise, found in parts)
    frames, _ = decoded(stream, max_line=1 << 20, max_depth=64)
    expected = [dict(flattened(found)) for _, found in parts]
    assert is_subsequence(expected, [frame.values for frame in frames])


@given(st.floats(), st.sampled_from(["%f", "%e", "%g", "%.2f"]))
def test_whatever_printf_makes_of_a_float_keeps_its_line(number: float, form: str) -> None:
    [frame], _ = decoded(f'{{"n":{form % number},"m":1}}'.encode())
    assert frame.values["m"] == 1
    assert ("n" in frame.values) is math.isfinite(number)


# On a line


@pytest.mark.real_time
async def test_object_without_values_is_no_reading(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "board") as board:
        options = Options(driver="json", port=str(board.path))
        async with DRIVER.open("board", options, system_clock) as device, asyncio.timeout(20):
            await board.say(b'{}\r\n{"a":null}\r\n{"a":[]}\r\n{"a":1}\r\n')
            async with aclosing(device.readings()) as readings:  # type: ignore[type-var]
                assert (await anext(readings)).values == {"a": 1}


# The simulated board, and the options


def test_boot_of_the_simulated_board_costs_no_reading() -> None:
    telegrams = simulator.telegrams()
    frames, lines = decoded(next(telegrams), next(telegrams))
    assert [set(frame.values) for frame in frames] == [
        {"temperature", "humidity", "pressure", "fan.on", "fan.rpm"}
    ] * 2
    assert lines.rejected == {"not an object": 2}


def test_options_have_the_defaults_the_readme_gives() -> None:
    options = Options(driver="json", port="/dev/ttyUSB0")
    assert (options.baudrate, options.max_line, options.max_depth) == (115_200, 4096, 8)


@pytest.mark.parametrize(
    "options", [{"max_line": "15B"}, {"max_line": "2MiB"}, {"max_depth": 0}, {"max_depth": 65}]
)
def test_options_have_bounds(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options(driver="json", port="/dev/ttyUSB0", **options)
