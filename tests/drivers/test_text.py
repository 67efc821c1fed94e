"""Lines of text: what balances and multimeters print, patterns, tables, and commands."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.driver import Frame
from drivers.instrument import PtyInstrument
from drivers.testing.listening import ListeningContract
from drivers.text import DRIVER, Options
from drivers.text.codec import TextLines
from gateway.clock import system_clock
from gateway.errors import GatewayError, LinkSilent, Refused
from gateway.model import Reading, Value


class TestText(ListeningContract):
    name = "text"


class TestTextWithPatterns(ListeningContract):
    name = "text"
    options = {"patterns": {"kern": r"(?P<sign>[-+])(?P<grams>\d+\.\d+) G (?P<stable>[SU])"}}  # noqa: RUF012


def options(**given: Any) -> Options:
    document = json.dumps({"driver": "text", "port": "/dev/null", **given})
    return Options.model_validate_json(document, strict=True)


def decoded(*chunks: bytes, **given: Any) -> tuple[list[Frame], TextLines]:
    lines = TextLines(options(**given))
    frames = [frame for chunk in chunks for frame in lines.feed(chunk)]
    return [*frames, *lines.finish()], lines


def values_of(line: str, **given: Any) -> dict[str, Value]:
    [frame], _ = decoded(line.encode(), **given)
    return frame.values


def why(line: str, **given: Any) -> list[str]:
    frames, lines = decoded(line.encode(), **given)
    assert frames == []
    return list(lines.rejected)


# What instruments print by themselves


@pytest.mark.parametrize(
    ("line", "values"),
    [
        # KERN: 14 and 15 characters, other units, the field for sorting
        ("+0026.90 G U", {"weight": 26.9, "stable": False}),
        ("-0000.04 G S", {"weight": -0.04, "stable": True}),
        ("+00402.95 G U", {"weight": 402.95, "stable": False}),
        ("+002014.8CT U", {"weight": 2014.8, "stable": False}),
        ("+0001.234LB S", {"weight": 1.234, "stable": True}),
        ("+0000012.PC S", {"pieces": 12.0, "stable": True}),
        ("+0050.00 % S", {"percentage": 50.0, "stable": True}),
        ("+0026.90 G G S", {"weight": 26.9, "stable": True}),
        # Mettler Toledo
        ("S S     100.00 g", {"weight": 100.0, "stable": True}),
        ("S D    -100.01 g", {"weight": -100.01, "stable": False}),
        ("TA A      10.50 kg", {"weight": 10.5}),
        # A&D and indicators like it
        ("ST,+00026.90  g", {"weight": 26.9, "stable": True}),
        ("US,-00026.90  g", {"weight": -26.9, "stable": False}),
        ("ST,GS,+   26.90kg", {"weight": 26.9, "stable": True}),
        ("QT,+00000012 PC", {"pieces": 12.0, "stable": True}),
        # Ohaus, Sartorius, and others whose format does not show itself
        ("     26.90 g", {"weight": 26.9}),
        ("     26.90 g ?", {"weight": 26.9, "stable": False}),
        ("N     +   26.90 g  ", {"weight": 26.9}),
        ("+   26.9[0] g", {"weight": 26.9}),
        ("Gross: 12,5 kg", {"weight": 12.5}),
        # Multimeters and thermometers
        ("QM,+0.001 V DC", {"voltage": 0.001}),
        ("DC-003.45   mV", {"voltage": -3.45}),
        ("DC  0.002   V ", {"voltage": 0.002}),
        ("+1.2345E-03", {"value": 0.0012345}),
        ("OHM 3.999  MOhm", {"resistance": 3.999}),
        ("4.7 kΩ", {"resistance": 4.7}),
        ("21.5 °C", {"temperature": 21.5}),
        ("T1: 21.5 C", {"temperature": 21.5}),
        ("49.98Hz", {"frequency": 49.98}),
        ("0.5 uA AC", {"current": 0.5}),
        ("1013.2 hPa", {"pressure": 1013.2}),
        ("12.5 L", {"volume": 12.5}),
        ("Low: 5 V", {"voltage": 5}),
        ("42", {"value": 42.0}),
    ],
)
def test_line_of_a_usual_instrument_is_understood(line: str, values: dict[str, Value]) -> None:
    [frame], _ = decoded(line.encode(), names="protocol")
    assert frame.values == pytest.approx(values)
    assert frame.id == next(iter(values))


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("+0001.000LB S", "weight", 453.59237),
        ("+0005.000CT S", "weight", 1.0),
        ("S S 1.5 kg", "weight", 1500),
        ("DC-003.45   mV", "voltage", -0.00345),
        ("3.3 nF", "capacitance", 3.3e-9),
        ("273.15 K", "temperature", 0),
        ("212 °F", "temperature", 100),
        ("1 bar", "pressure", 1e5),
    ],
)
def test_readable_values_are_in_the_unit_of_their_metric(line: str, name: str, value: float) -> None:
    assert values_of(line)[name] == pytest.approx(value)


@pytest.mark.parametrize(
    ("format_", "line", "stable"),
    [
        ("sartorius", "N     +   26.90 g  ", True),
        ("sartorius", "+   26.90    ", False),
        ("ohaus", "   26.90 g     N", True),
        ("ohaus", "   26.90 g ?   N", False),
        ("kern", "+0026.90 G S", True),
        ("kern", "+0026.90 GLS", True),
        ("kern", "+00026.90CTHU", False),
        ("and", "US,+00026.90  g", False),
        ("mt-sics", "S S     100.00 g", True),
    ],
)
def test_format_says_what_its_mark_means(format_: str, line: str, stable: bool) -> None:
    assert values_of(line, format=format_)["stable"] is stable


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("OL,+9999999E+19", "overload"),
        ("S +", "overload"),
        ("-  OL  V", "overload"),
        ("        High ", "overload"),
        ("DC  0.L   mV", "overload"),
        ("+9999.99 G E", "overload"),
        ("ES", "error of the instrument"),
        ("S I", "error of the instrument"),
        ("Err 54", "error of the instrument"),
        ("hello", "no match"),
        ("12 parrots", "no match"),
        ("1e999 V", "no match"),
        ("1 g" + " " * 30 + "x" * 64, "no match"),
    ],
)
def test_line_without_a_value_is_refused_with_the_reason(line: str, reason: str) -> None:
    assert why(line) == [reason]


def test_balance_that_does_not_say_whether_it_stands_still_gives_its_weight() -> None:
    for format_ in ("auto", "kern"):
        assert values_of("+0026.90 G  ", format=format_) == {"weight": 26.9}


@pytest.mark.parametrize(
    ("line", "grams"),
    [("+0026.90 GLS", 26.9), ("+002014.8CTHU", 402.96), ("+0001.50KGGS", 1500), ("12.3 TLS", 464.932179)],
)
def test_unit_of_a_balance_ends_where_the_result_of_its_limits_begins(line: str, grams: float) -> None:
    assert values_of(line)["weight"] == pytest.approx(grams)


def test_noise_around_a_line_is_passed_over() -> None:
    assert values_of("\x00 +0026.90 G S\x00") == {"weight": 26.9, "stable": True}


# Patterns


CLIMATE = {
    "patterns": {
        "climate": r"T=(?P<t>\S+) H=(?P<h>\S+)(?: door=(?P<door>\w+))?",
        "pump": "pump (?P<pump>on|off)",
    }
}


def test_first_pattern_that_fits_gives_the_id_and_the_values() -> None:
    frames, lines = decoded(b"> T=21.5 H=45 door=open\r\npump on\nboot\nT=20 H=44\n", **CLIMATE)
    assert [(frame.id, frame.values) for frame in frames] == [
        ("climate", {"t": 21.5, "h": 45, "door": "open"}),
        ("pump", {"pump": "on"}),
        ("climate", {"t": 20, "h": 44}),
    ]
    assert lines.rejected == {"no match": 1}


def test_value_has_the_type_scale_and_meaning_it_was_given() -> None:
    meant = {
        "t": {"type": "number", "scale": 0.1, "offset": -40, "unit": "Cel"},
        "h": {"type": "integer", "scale": 2},
        "door": {"names": {"open": True, "shut": False}},
    }
    assert values_of("T=610 H=20.3 door=open", **CLIMATE, values=meant) == {
        "t": pytest.approx(21.0),
        "h": 41,
        "door": True,
    }
    assert values_of("T=610 H=20.3 door=open", **CLIMATE, values=meant, names="protocol") == {
        "t": 610,
        "h": 20,
        "door": True,
    }


@pytest.mark.parametrize(
    ("kind", "printed", "value"),
    [
        ("auto", "007", 7),
        ("auto", "1e3", 1000.0),
        ("auto", "-.5", -0.5),
        ("auto", "1_0", "1_0"),
        ("auto", "0x1F", "0x1F"),
        ("text", "007", "007"),
        ("boolean", "ON", True),
        ("boolean", "0", False),
    ],
)
def test_type_decides_how_a_text_is_read(kind: str, printed: str, value: Value) -> None:
    found = values_of(f"pump={printed}", patterns={"it": r"=(?P<x>\S+)"}, values={"x": {"type": kind}})
    assert found == {"x": value}
    assert type(found["x"]) is type(value)


@pytest.mark.parametrize(
    ("kind", "printed"),
    [
        ("auto", "nan"),
        ("auto", "-inf"),
        ("auto", "---"),
        ("number", "abc"),
        ("boolean", "maybe"),
        ("number", "1e999"),
        ("integer", "1e999"),
    ],
)
def test_value_that_cannot_be_read_is_dropped_and_the_rest_is_kept(kind: str, printed: str) -> None:
    [frame], lines = decoded(
        f"{printed};5".encode(), patterns={"it": "(?P<x>[^;]*);(?P<y>.*)"}, values={"x": {"type": kind}}
    )
    assert frame.values == {"y": 5}
    assert lines.dropped == {"a value cannot be read": 1}


def test_decimal_comma_is_a_point() -> None:
    assert values_of("T=1.021,5 H=45", **CLIMATE, decimal=",") == {"t": 1021.5, "h": 45}


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("12.5", "12.5"),
        ("1.0215", "1.0215"),
        ("1.021", 1021),
        ("-1.234.567,25", -1234567.25),
        ("1.2.3", "1.2.3"),
    ],
)
def test_point_between_thousands_is_no_decimal_point(printed: str, value: Value) -> None:
    assert values_of(printed, columns=["x"], separator=";", decimal=",") == {"x": value}


@pytest.mark.parametrize("text", ["1" * 65_000 + "!", "1." * 32_000, "1 " * 32_000 + "x", "-" * 65_000 + "x"])
def test_hostile_value_is_a_text_in_time(text: str) -> None:
    assert values_of(text, columns=["x"], max_line="64KiB") == {"x": text}


# Tables


def test_columns_are_values_by_name() -> None:
    frames, lines = decoded(
        b'12:00:01;21.5;"on";\r\n12:00:02;21.6;off\n12:00:02;;off;5\n',
        columns=["", "t", "pump", "n"],
        separator=";",
    )
    assert [(frame.id, frame.values) for frame in frames] == [
        ("row", {"t": 21.5, "pump": "on"}),
        ("row", {"pump": "off", "n": 5}),
    ]
    assert lines.rejected == {"another number of columns": 1}


def test_header_line_names_the_columns() -> None:
    frames, _ = decoded(b"time,air.temp,n\n1,21.5,3\n", header=True)
    assert [frame.values for frame in frames] == [{}, {"time": 1, "air_temp": 21.5, "n": 3}]


def test_column_that_the_header_repeats_is_numbered() -> None:
    frames, _ = decoded(b"t,t,t_2,,t,\n1,2,3,4,5,6\n", header=True)
    assert frames[1].values == {"t": 1, "t_2": 2, "t_2_2": 3, "t_3": 5}


def test_header_line_is_skipped_where_the_columns_have_names() -> None:
    frames, _ = decoded(b"time,air.temp,n\n1,21.5,3\n", header=True, columns=["", "t", ""])
    assert [frame.values for frame in frames] == [{}, {"t": 21.5}]


# Lines


def test_line_may_have_an_end_of_its_own() -> None:
    frames, lines = decoded(
        b"1 V\x03\r2 V\x03", b"\r\x03\r3 V", terminator="\x03\r", patterns={"v": r"(?P<v>\d+)"}
    )
    assert [(frame.offset, frame.length, frame.values) for frame in frames] == [
        (0, 3, {"v": 1}),
        (5, 3, {"v": 2}),
        (12, 3, {"v": 3}),
    ]
    assert not lines.rejected


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_line_that_grows_too_long_is_given_up_and_counted_once(size: int) -> None:
    stream = (
        b"1 V\x03\r" + b"x" * 17 + b"\x03\r" + b"2" * 200 + b"\x033 V\x03\r4 V\x03\r" + b"5" * 16 + b"\x03\r"
    )
    frames, lines = decoded(
        *(stream[at : at + size] for at in range(0, len(stream), size)),
        terminator="\x03\r",
        max_line="16B",
        patterns={"v": r"^(?P<v>\d+)"},
    )
    assert [(frame.offset, frame.values["v"]) for frame in frames] == [
        (0, 1),
        (stream.index(b"4 V"), 4),
        (stream.index(b"5"), int("5" * 16)),
    ]
    assert lines.rejected == {"too long": 2}


def test_characters_are_read_in_their_encoding() -> None:
    line = "21,5 °C".encode("latin-1")
    [frame], _ = decoded(line, encoding="latin-1")
    assert frame.values == {"temperature": 21.5}
    assert decoded(line)[1].rejected == {"no match": 1}


# What people write


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"patterns": {"x": "(?P<a>"}}, "a ( is not closed"),
        ({"patterns": {"x": "a"}, "columns": ["a"]}, "exclude each other"),
        ({"columns": ["a", "a"]}, "same name"),
        ({"poll": "?\r", "header": True}, "no header line"),
        ({"encoding": "klingon"}, "is not known"),
        ({"encoding": "base64"}, "is not known"),
        ({"commands": {"x": {"send": "{volts}"}}}, "stands value"),
        ({"commands": {"x": {"send": "{value.__class__}"}}}, "stands value"),
        ({"commands": {"x": {"send": "T", "acknowledged": "["}}}, "not closed"),
        ({"format": "rubbish"}, "kern"),
        ({"patterns": {"x": "a"}}, "x has no named group"),
        ({"columns": ["a"], "values": {"b": {"unit": "V"}}}, "nothing tells b"),
        ({"patterns": {"x": "(?P<a>.)"}, "values": {"b": {"unit": "V"}}}, "nothing tells b"),
        ({"commands": {"x": {"send": "{value}", "minimum": 2, "maximum": 1}}}, "must not be greater"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text.replace("(", r"\(")):
        options(**given)


def test_metrics_are_described_by_what_the_options_say() -> None:
    given = options(
        **CLIMATE,
        values={"t": {"unit": "Cel", "device_class": "temperature", "state_class": "measurement"}},
        commands={"pump": {"send": "p{value}\n", "choices": ["on", "off"]}},
    )
    found = DRIVER.describe(given)
    assert list(found) == ["t", "h", "door", "pump"]
    assert (found["t"].unit, found["t"].label, found["t"].device_class) == ("Cel", "T", "temperature")
    assert found["pump"].settable is not None
    assert found["pump"].settable.choices == ("on", "off")
    assert DRIVER.describe(options(header=True)) == {}
    assert DRIVER.describe(options())["weight"].unit == "g"
    assert DRIVER.describe(options(names="protocol"))["weight"].unit == ""


# Commands


COMMANDS = {
    "tare": {"send": "T\r\n", "acknowledged": "^T S", "refused": "^T [-+I]"},
    "target": {"send": "SET {value:.1f}\r\n", "minimum": 0, "maximum": 100, "acknowledged": "^OK"},
    "light": {"send": "L{value}\r\n", "choices": [True, False]},
}


@asynccontextmanager
async def instrument(folder: Path, **given: Any) -> AsyncIterator[tuple[PtyInstrument, Any]]:
    with PtyInstrument.plugged_in(folder / "line") as instrument:
        opened = options(**{"timeout": "200ms", "commands": COMMANDS, **given, "port": str(instrument.path)})
        async with asyncio.timeout(20), DRIVER.open("balance", opened, system_clock) as device:
            yield instrument, device


class Scripted:
    """Answers each command with the text it was told to."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self.answers = answers
        self.heard: list[bytes] = []
        self._rest = b""

    def answer(self, heard: bytes) -> bytes:
        *commands, self._rest = (self._rest + heard).split(b"\r\n")
        self.heard += commands
        return b"".join(self.answers.get(command, b"") for command in commands)


async def read_on(device: Any, into: list[Reading]) -> None:
    async with aclosing(device.readings()) as readings:
        async for reading in readings:
            into.append(reading)  # noqa: PERF401 - endless


@asynccontextmanager
async def answering(
    folder: Path, answers: dict[bytes, bytes], **given: Any
) -> AsyncIterator[tuple[Any, Scripted, list[Reading]]]:
    script, found = Scripted(answers), list[Reading]()
    async with instrument(folder, **given) as (pty, device), asyncio.TaskGroup() as group:
        tasks = [group.create_task(pty.serve(script)), group.create_task(read_on(device, found))]
        yield device, script, found
        for task in tasks:
            task.cancel()


@pytest.mark.real_time
@pytest.mark.parametrize("given", [{}, {"poll": "SI\r\n", "interval": "10ms"}], ids=["talking", "asked"])
async def test_command_is_done_once_the_instrument_has_said_yes(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    answers = {
        b"SI": b"S S 5.00 g\r\n",
        b"T": b"S D 1.00 g\r\nT S 5.00 g\r\nS S 0.00 g\r\n",
        b"SET 50.5": b"OK\r\n",
        b"SET 99.0": b"T +\r\n",
    }
    async with answering(tmp_path, answers, **given) as (device, script, found):
        await device.write("tare", True)
        await device.write("target", 50.46)
        await device.write("light", False)
        with pytest.raises(GatewayError, match=r"no answer|cut"):
            await device.write("target", 99)
        while b"L0" not in script.heard or not found:
            await asyncio.sleep(0.01)
        assert [command for command in script.heard if command != b"SI"] == [
            b"T",
            b"SET 50.5",
            b"L0",
            b"SET 99.0",
        ]


@pytest.mark.real_time
@pytest.mark.parametrize("given", [{}, {"poll": "SI\r\n", "interval": "10ms"}], ids=["talking", "asked"])
async def test_command_is_refused_with_what_the_instrument_says(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    async with answering(tmp_path, {b"T": b"T I\r\n", b"SI": b"S S 1.00 g\r\n"}, **given) as (device, _, _):
        with pytest.raises(Refused, match="the instrument says 'T I'"):
            await device.write("tare", True)


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("weight", 5, "weight cannot be set"),
        ("target", 101, "100 is the most"),
        ("target", "warm", "must be a number"),
        ("tare", False, "it may be true"),
        ("light", 1, "it may be true, false"),
    ],
)
async def test_value_that_is_not_allowed_is_not_sent(
    tmp_path: Path, metric: str, value: Value, text: str
) -> None:
    async with answering(tmp_path, {}) as (device, script, _):
        with pytest.raises(Refused, match=text):
            await device.write(metric, value)
        assert script.heard == []


# Asked


@pytest.mark.real_time
async def test_line_is_asked_for_and_overload_costs_its_round(tmp_path: Path) -> None:
    answers = {b"SI": b"SI\r\nS +\r\n"}
    async with answering(tmp_path, answers, poll="SI\r\n", interval="10ms") as (device, script, found):
        while not device.rejected:
            await asyncio.sleep(0.01)
        assert device.rejected == {"overload": device.rejected["overload"]}
        script.answers[b"SI"] = b"SI\r\nS S 7.00 g\r\n"
        while not found:
            await asyncio.sleep(0.01)
        assert found[0].values == {"weight": 7.0, "stable": True}


@pytest.mark.real_time
async def test_silence_is_reported(tmp_path: Path) -> None:
    async with instrument(tmp_path, poll="SI\r\n", interval="10ms", timeout="20ms") as (_, device):
        with pytest.raises(LinkSilent):
            await read_on(device, [])
