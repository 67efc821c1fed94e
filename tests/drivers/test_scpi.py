"""Instruments that are asked in SCPI: their answers, the round of questions, commands."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.driver import Frame
from drivers.instrument import PtyInstrument
from drivers.scpi import DRIVER, Options
from drivers.scpi.answers import Reader
from drivers.scpi.codec import Answers
from drivers.scpi.options import QueryOptions
from drivers.scpi.simulator import Supply
from drivers.testing.asking import AskingContract
from gateway.clock import system_clock
from gateway.errors import FrameError, LinkError, LinkSilent, Refused
from gateway.model import Reading, Value


class TestScpi(AskingContract):
    name = "scpi"


def options(**given: Any) -> Options:
    document = json.dumps({"driver": "scpi", "port": "/dev/null", **given})
    return Options.model_validate_json(document, strict=True)


def decoded(*chunks: bytes, **given: Any) -> tuple[list[Frame], Answers]:
    answers = Answers(options(**given))
    frames = [frame for chunk in chunks for frame in answers.feed(chunk)]
    return [*frames, *answers.finish()], answers


def read(answer: str, **given: Any) -> dict[str, Value]:
    return Reader(QueryOptions(**{"name": "it", "query": "?", **given})).read(answer)


# What an answer means


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("30", 30),
        ("+1.50000E+01", 15.0),
        ("-0.0000A", 0.0),
        ("174.3112mV", 0.1743112),
        ("330.0725K", 330.0725),
        ("5.0000K/m", 5.0),
        ("1.2 MOhm", 1.2e6),
        ("1013 mbar", 1013),
        ("1.5m3/h", 1.5),
        ("12A34B", "12A34B"),
        ("5 E 3 V", 5000),
        ("5\te3 V", "5\te3 V"),
        ("V2 1.2", 1.2),
        ("RNP: 0.200", 0.2),
        ("VOLT:DC 12.5V", 12.5),
        ("STAT:DEV:MB0.H1:HTR:SIG:CURR:-0.0100A", -0.01),
        ("STAT:DEV:MB1.T1:TEMP:LOOP:ENAB:OFF", False),
        ("ON", True),
        ("#H1F", 31),
        ("#B101", 5),
        ("REAR", "REAR"),
        ('"VOLT:DC"', "VOLT:DC"),
        ('"say ""hi"""', 'say "hi"'),
        ("Thu Sep 21 09:06:41 2023", "Thu Sep 21 09:06:41 2023"),
        (
            "KEITHLEY INSTRUMENTS,MODEL DMM6500,04592448,1.7.12b",
            "KEITHLEY INSTRUMENTS,MODEL DMM6500,04592448,1.7.12b",
        ),
        (
            "IDN:OXFORD INSTRUMENTS:MERCURY ITC:232150255:2.6.04.000",
            "IDN:OXFORD INSTRUMENTS:MERCURY ITC:232150255:2.6.04.000",
        ),
        ("", ""),
    ],
)
def test_answer_is_read_without_being_told_how(answer: str, value: Value) -> None:
    found = read(answer)["it"]
    assert found == (pytest.approx(value) if isinstance(value, float) else value)
    assert type(found) is type(value) or isinstance(value, float | int)


def test_list_of_numbers_is_numbered() -> None:
    assert read("1.5,-2,+3E0") == {"it": 1.5, "it_2": -2, "it_3": 3.0}
    assert read("1.5,CV,3") == {"it": "1.5,CV,3"}


@pytest.mark.parametrize("answer", ["9.9E37", "-9.9E+37", "9.91E37", "1E400"])
def test_overload_and_not_a_number_are_no_values(answer: str) -> None:
    assert read(answer) == {}


@pytest.mark.parametrize(
    ("given", "answer", "values"),
    [
        ({"type": "boolean"}, "1", {"it": True}),
        ({"type": "boolean"}, "OUTP OFF", {"it": False}),
        ({"type": "text"}, "0042", {"it": "0042"}),
        ({"type": "integer"}, "+4.00E+00", {"it": 4}),
        ({"scale": 0.25}, "85", {"it": 21.25}),
        ({"scale": 2, "offset": 1}, "CH1:VOLT 5V", {"it": 11}),
        ({"names": {"CV": "voltage", "1": True}}, "MODE CV", {"it": "voltage"}),
        ({"names": {"CV": "voltage", "1": True}}, "1", {"it": True}),
        ({"names": {"CV": "voltage"}}, "7", {"it": 7}),
        ({"fields": ["u", "", "p"]}, "1.5, 2, 3", {"u": 1.5, "p": 3}),
        ({"pattern": "(?P<value>[0-9.]+) at (?P<place>.*)"}, "21.5 at home", {"it": 21.5, "place": "home"}),
    ],
)
def test_answer_is_read_as_it_was_told(given: dict[str, Any], answer: str, values: dict[str, Value]) -> None:
    assert read(answer, **given) == values


def test_part_of_an_answer_may_mean_something_of_its_own() -> None:
    frames, _ = decoded(
        b"1.5,CV,200\n",
        queries=[{"name": "all", "query": "?", "fields": ["u", "mode", "i"]}],
        values={"i": {"scale": 0.001}, "mode": {"names": {"CV": "voltage"}}},
    )
    assert frames[0].values == {"u": 1.5, "mode": "voltage", "i": pytest.approx(0.2)}


@pytest.mark.parametrize(
    ("given", "answer", "reason"),
    [
        ({"type": "number"}, "REAR", "not a number"),
        ({"type": "boolean"}, "2", "not a boolean"),
        ({"fields": ["a", "b"]}, "1", "too few fields"),
        ({"pattern": "(?P<value>x)"}, "1", "pattern does not fit"),
    ],
)
def test_answer_of_another_kind_is_refused(given: dict[str, Any], answer: str, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        read(answer, **given)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("001M982122V", 982.1),
        ("001TVSM207t", "VSM207"),
        ("0011MV079.734e2h", 973.4),
        ("0011MV02URn", "UR"),
        ("0011M3089.274e-8x", 9.274e-8),
        ("001M982122W", "001M982122W"),
    ],
)
def test_gauge_with_a_checksum_of_its_own_is_unwrapped(answer: str, value: Value) -> None:
    assert read(answer)["it"] == (pytest.approx(value) if isinstance(value, float) else value)


def with_checksum(body: str) -> str:
    return body + chr(sum(body.encode()) % 64 + 64)


@pytest.mark.parametrize("body", ["0017MV00ERROR1", "001NO_DEF"])
def test_error_of_such_a_gauge_is_no_value(body: str) -> None:
    with pytest.raises(FrameError, match="error of the instrument"):
        read(with_checksum(body))


# Recorded answers


def test_answers_are_frames_with_their_line_ends() -> None:
    stream = b"1\r\n155\r\r2\n\n3"
    frames, answers = decoded(stream)
    assert [(frame.offset, frame.length, frame.values) for frame in frames] == [
        (0, 3, {"value": 1}),
        (3, 4, {"value": 155}),
        (8, 2, {"value": 2}),
        (11, 1, {"value": 3}),
    ]
    assert not answers.rejected


def test_queries_are_taken_in_their_order() -> None:
    queries = [{"name": "u", "query": "VOLT?"}, {"name": "on", "query": "OUTP?", "type": "boolean"}]
    frames, answers = decoded(b"5.0\n1\n5.1\nREAR\n5.2\n0\n", queries=queries)
    assert [(frame.id, frame.values) for frame in frames] == [
        ("u", {"u": 5.0}),
        ("on", {"on": True}),
        ("u", {"u": 5.1}),
        ("u", {"u": 5.2}),
        ("on", {"on": False}),
    ]
    assert answers.rejected == {"not a boolean": 1}


def test_block_may_hold_line_ends() -> None:
    frames, answers = decoded(b"#15a\nb\r\x00\n#13abc\n#0abc\n#212x\n7\n")
    assert [(frame.offset, frame.length, frame.values) for frame in frames] == [
        (0, 9, {}),
        (9, 7, {"value": "abc"}),
        (22, 6, {"value": "#212x"}),
        (28, 2, {"value": 7}),
    ]
    assert answers.dropped == {"block": 1}
    assert answers.rejected == {"block without a length": 1}


def test_answer_that_is_too_long_or_no_text_is_refused() -> None:
    frames, answers = decoded(
        b"x" * 100 + b"\n1\n\xff\xfe\n" + b"#3999" + b"y" * 200 + b"\n2\n", max_answer="64B"
    )
    assert [frame.values for frame in frames] == [{"value": 1}, {"value": 2}]
    assert answers.rejected == {"too long": 2, "not a text": 1}


@pytest.mark.parametrize(
    "answer", ["1" * 65_000 + "!", "1." * 32_000, "a:" * 32_000, "1 " * 32_000, "-" * 65_000]
)
def test_hostile_answer_is_a_text_in_time(answer: str) -> None:
    [frame], _ = decoded(answer.encode() + b"\n", max_answer="64KiB")
    assert frame.values == {"value": answer.strip()}


@given(
    parts=st.lists(
        st.sampled_from(
            [b"1\n", b"2\r\n", b"3\r", b"#15a\nb\nc\n", b"#15a\n", b"#9", b"#212", b"x" * 70, b"\n", b"\xff"]
        ),
        max_size=12,
    ),
    size=st.integers(1, 90),
)
@example(parts=[b"x" * 70, b"3\r", b"1\n"], size=72)
@example(parts=[b"1\n", b"#15a\nb\nc\n", b"#15a\n", b"x" * 70, b"\n", b"x" * 70, b"3\r", b"1\n"], size=53)
def test_any_split_gives_the_same_answers(parts: list[bytes], size: int) -> None:
    stream = b"".join(parts)
    frames, whole = decoded(stream, max_answer="64B")
    found, split = decoded(*(stream[at : at + size] for at in range(0, len(stream), size)), max_answer="64B")
    assert found == frames
    assert (split.rejected, split.dropped) == (whole.rejected, whole.dropped)


# What people write


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"queries": [{"name": "u", "query": "VOLT?\n"}]}, "one line"),
        ({"queries": [{"name": "u", "query": "?", "pattern": "("}]}, "not closed"),
        ({"queries": [{"name": "u", "query": "?", "pattern": "a"}]}, "no named group"),
        (
            {"queries": [{"name": "u", "query": "?", "pattern": "(?P<a>.)", "fields": ["a"]}]},
            "exclude each other",
        ),
        ({"commands": {"u": {"send": "VOLT {volts}"}}}, "stands value"),
        ({"terminator": ""}, "at least 1"),
        ({"queries": [{"name": "u", "query": "?", "fields": ["a", "a"]}]}, "? tells a twice"),
        ({"queries": [{"name": "u", "query": "?"}], "values": {"i": {}}}, "no query tells i"),
        ({"commands": {"u": {"send": "{value}", "minimum": 2, "maximum": 1}}}, "must not be greater"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(text)):
        options(**given)


def test_metrics_are_described_by_queries_and_commands() -> None:
    found = DRIVER.describe(
        options(
            queries=[
                {"name": "u", "query": "?", "unit": "V", "label": "Voltage", "device_class": "voltage"},
                {"name": "all", "query": "?", "unit": "mA", "fields": ["i", "", "p"]},
                {"name": "t", "query": "?", "pattern": "(?P<value>.*)@(?P<place>.*)"},
            ],
            values={"i": {"unit": "A"}},
            commands={"u": {"send": "VOLT {value}", "maximum": 30}, "reset": {"send": "*RST"}},
        )
    )
    assert list(found) == ["u", "i", "p", "t", "place", "reset"]
    assert (found["u"].unit, found["u"].label) == ("V", "Voltage")
    assert (found["i"].unit, found["p"].unit) == ("A", "")
    assert found["u"].settable is not None
    assert found["u"].settable.maximum == 30
    assert found["reset"].settable is not None
    assert found["reset"].settable.choices == (True,)
    assert list(DRIVER.describe(options())) == ["identity"]


# On a line


class Scripted:
    """Answers each line with the text it was told to, or with what a function makes of it."""

    def __init__(self, answers: Mapping[str, str | Callable[[], str]]) -> None:
        self.answers = dict(answers)
        self.heard: list[str] = []
        self._rest = b""

    def answer(self, heard: bytes) -> bytes:
        *lines, self._rest = (self._rest + heard).split(b"\n")
        said = b""
        for line in map(bytes.decode, lines):
            self.heard.append(line)
            answer = self.answers.get(line, "")
            said += (answer if isinstance(answer, str) else answer()).encode()
        return said


@asynccontextmanager
async def connected(folder: Path, peer: Any, **given: Any) -> AsyncIterator[Any]:
    with PtyInstrument.plugged_in(folder / "line") as instrument:
        opened = options(**{"interval": "10ms", "timeout": "200ms", **given, "port": str(instrument.path)})
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            serving = group.create_task(instrument.serve(peer))
            async with DRIVER.open("supply", opened, system_clock) as device:
                yield device
            serving.cancel()


async def readings(device: Any, count: int) -> list[Reading]:
    async with aclosing(device.readings()) as found:
        return [await anext(found) for _ in range(count)]


TWO = [{"name": "u", "query": "VOLT?"}, {"name": "i", "query": "CURR?", "type": "number"}]


@pytest.mark.real_time
async def test_round_of_questions_is_one_reading(tmp_path: Path) -> None:
    peer = Scripted({"VOLT?": "5.0\r\n", "CURR?": "0.5\r\n"})
    async with connected(tmp_path, peer, queries=TWO, start=["SYST:REM", "*CLS"]) as device:
        assert [reading.values for reading in await readings(device, 2)] == [{"u": 5.0, "i": 0.5}] * 2
    assert peer.heard[:6] == ["SYST:REM", "*CLS", "VOLT?", "CURR?", "VOLT?", "CURR?"]


@pytest.mark.real_time
async def test_answer_that_cannot_be_read_costs_its_value_only(tmp_path: Path) -> None:
    async with connected(tmp_path, Scripted({"VOLT?": "5.0\n", "CURR?": "lots\n"}), queries=TWO) as device:
        assert (await readings(device, 1))[0].values == {"u": 5.0}
        assert device.rejected == {"not a number": 1}


@pytest.mark.real_time
async def test_round_ends_at_a_question_without_answer(tmp_path: Path) -> None:
    three = [*TWO, {"name": "p", "query": "POW?"}]
    peer = Scripted({"VOLT?": "5.0\n", "POW?": "2.5\n"})
    async with connected(tmp_path, peer, queries=three, timeout="30ms") as device:
        assert (await readings(device, 1))[0].values == {"u": 5.0}
        assert device.rejected == {"no answer": 1}
    assert "POW?" not in peer.heard


@pytest.mark.real_time
async def test_question_that_is_never_answered_does_not_hide_those_behind_it(tmp_path: Path) -> None:
    peer = Scripted({"CURR?": "0.5\n"})
    async with connected(tmp_path, peer, queries=TWO, timeout="30ms") as device:
        assert [reading.values for reading in await readings(device, 3)] == [{"i": 0.5}] * 3


@pytest.mark.real_time
async def test_rare_question_that_had_no_answer_is_asked_again_soon(tmp_path: Path) -> None:
    queries = [TWO[0], {**TWO[1], "interval": "1h"}]
    answers = iter([""])
    peer = Scripted({"VOLT?": "5\n", "CURR?": lambda: next(answers, "1\n")})
    async with connected(tmp_path, peer, queries=queries, timeout="30ms") as device:
        assert [reading.values for reading in await readings(device, 3)] == [
            {"u": 5},
            {"u": 5, "i": 1},
            {"u": 5},
        ]


@pytest.mark.real_time
async def test_late_answer_is_not_taken_for_that_to_another_question(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        opened = options(queries=TWO, interval="10ms", timeout="200ms", port=str(instrument.path))

        async def serve() -> None:
            is_late = True
            while heard := await instrument.hear():
                if is_late:
                    is_late = False
                    await asyncio.sleep(0.3)
                for question in heard.splitlines():
                    await instrument.say(b"5.0\n" if question == b"VOLT?" else b"0.5\n")
                    await asyncio.sleep(0.02)

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            serving = group.create_task(serve())
            async with DRIVER.open("supply", opened, system_clock) as device:
                assert [reading.values for reading in await readings(device, 2)] == [{"u": 5.0, "i": 0.5}] * 2
            serving.cancel()


@pytest.mark.real_time
async def test_question_with_an_interval_of_its_own_is_asked_less_often(tmp_path: Path) -> None:
    queries = [TWO[0], {**TWO[1], "interval": "1h"}]
    async with connected(tmp_path, Scripted({"VOLT?": "5\n", "CURR?": "1\n"}), queries=queries) as device:
        found = await readings(device, 3)
    assert [reading.values for reading in found] == [{"u": 5, "i": 1}, {"u": 5}, {"u": 5}]


@pytest.mark.real_time
async def test_without_queries_it_is_asked_who_it_is(tmp_path: Path) -> None:
    async with connected(tmp_path, Supply()) as device:
        assert (await readings(device, 1))[0].values == {"identity": "SALLYPORT,SIM-1326,0001,1.0"}


@pytest.mark.real_time
async def test_another_instrument_is_not_read(tmp_path: Path) -> None:
    async with connected(tmp_path, Supply(), queries=TWO, expect_idn="DMM6500") as device:
        with pytest.raises(LinkError, match=r"SIM-1326.* answers, not 'DMM6500'"):
            await readings(device, 1)
        assert device.rejected["another instrument"] > 1


@pytest.mark.real_time
async def test_block_of_data_is_refused(tmp_path: Path) -> None:
    peer = Scripted({"VOLT?": "#14\x01\n\x02\x03\n", "CURR?": "1\n"})
    async with connected(tmp_path, peer, queries=TWO) as device:
        assert (await readings(device, 1))[0].values == {"i": 1}
        assert device.rejected == {"a block, which has no value": 1}


@pytest.mark.real_time
async def test_errors_of_the_instrument_are_counted(tmp_path: Path) -> None:
    errors = iter(['-113,"Undefined header"\n', '-222,"Data out of range"\n'])
    peer = Scripted({"VOLT?": "5\n", "SYST:ERR?": lambda: next(errors, '0,"No error"\n')})
    async with connected(tmp_path, peer, queries=TWO[:1], error_query="SYST:ERR?") as device:
        await readings(device, 2)
        assert device.dropped == {"error of the instrument": 2}


# Commands


SUPPLY: dict[str, Any] = {
    "queries": [{"name": "u", "query": "MEAS:VOLT?"}],
    "commands": {
        "limit": {"send": "SOUR1:VOLT {value:.2f}", "confirm": "SOUR1:VOLT?", "maximum": 1000},
        "current": {"send": "CURR {value}"},
        "on": {"send": "OUTP1:STAT {value}", "confirm": "OUTP1:STAT?", "names": {"ON": True, "OFF": False}},
        "wrong": {"send": "MAKE:COFFEE", "confirm": ""},
    },
}


@pytest.mark.real_time
@pytest.mark.parametrize("error_query", ["", "SYST:ERR?"])
async def test_command_is_done_once_the_instrument_confirms(tmp_path: Path, error_query: str) -> None:
    async with connected(tmp_path, Supply(), **SUPPLY, error_query=error_query) as device:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(readings(device, 5))
            await device.write("limit", 5.004)
            await device.write("current", 2)
            await device.write("on", True)
            await reading
        assert (await readings(device, 1))[0].values["u"] == pytest.approx(5.0, abs=0.05)
        await device.write("on", False)
        assert (await readings(device, 1))[0].values["u"] == pytest.approx(0.0, abs=0.05)


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("metric", "value", "error_query", "text"),
    [
        ("limit", 99, "SYST:ERR?", r"the instrument says -222,\"Data out of range\""),
        ("limit", 99, "", r"stays at '12.000'"),
        ("wrong", True, "SYST:ERR?", "Undefined header"),
        ("limit", 1001, "", "1000 is the most"),
        ("on", "ON", "", "it may be true, false"),
        ("u", 5, "", "u cannot be set"),
    ],
)
async def test_command_is_refused_with_the_reason(
    tmp_path: Path, metric: str, value: Value, error_query: str, text: str
) -> None:
    async with connected(tmp_path, Supply(), **SUPPLY, error_query=error_query) as device:
        with pytest.raises(Refused, match=text):
            await device.write(metric, value)


@pytest.mark.real_time
async def test_error_of_before_does_not_refuse_a_command(tmp_path: Path) -> None:
    async with connected(tmp_path, Supply(), **SUPPLY, error_query="SYST:ERR?") as device:
        with pytest.raises(Refused):
            await device.write("wrong", True)
        await device.write("limit", 6)


@pytest.mark.real_time
async def test_command_that_nobody_confirms_is_unknown(tmp_path: Path) -> None:
    async with connected(tmp_path, Scripted({}), **SUPPLY, timeout="30ms") as device:
        with pytest.raises(LinkSilent):
            await device.write("current", 1)
