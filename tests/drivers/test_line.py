"""A line with questions and answers on it, alone and shared."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.asking import UNANSWERED_AT_MOST, Answered, Asker, AskingOptions
from drivers.instrument import PtyInstrument
from drivers.line import LONGEST_ANSWER, Line
from drivers.port import place
from drivers.ports import holders
from gateway.clock import system_clock
from gateway.errors import FrameError, LinkAbsent, LinkError, LinkLost, LinkSilent

pytestmark = pytest.mark.real_time

PATIENCE_S = 20


def options(port: Path, **others: object) -> AskingOptions:
    written = {"driver": "", "port": str(port), "timeout": "300ms", "interval": "10ms", **others}
    return AskingOptions.model_validate(written)


def whole_line(data: bytes) -> bytes | None:
    """An answer ends with LF."""
    return data if data.endswith(b"\n") else None


@asynccontextmanager
async def answering(instrument: PtyInstrument, answer: Callable[[bytes], bytes]) -> AsyncIterator[None]:
    class Simulated:
        def __init__(self) -> None:
            self._held = b""

        def answer(self, heard: bytes) -> bytes:
            *questions, self._held = (self._held + heard).split(b"\n")
            return b"".join(answer(question) for question in questions)

    serving = asyncio.create_task(instrument.serve(Simulated()))
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def test_answer_comes_with_the_moment_it_began(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, lambda q: q.upper() + b"\n"),
            Line.open(options(instrument.path), system_clock) as line,
        ):
            before = system_clock()
            answer, at = await line.exchange(b"volts?\n", whole_line)
            assert answer == b"VOLTS?\n"
            assert before.mono <= at.mono <= system_clock().mono


async def test_what_came_unasked_is_no_answer(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, lambda _: b"right\n"),
            Line.open(options(instrument.path), system_clock) as line,
        ):
            await instrument.say(b"late answer to another question\n")
            await instrument.heard_out()
            await asyncio.sleep(0.05)  # the system may still have it on its way
            assert (await line.exchange(b"?\n", whole_line))[0] == b"right\n"


async def test_silence_and_a_broken_answer_are_told_apart(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        answers = {b"cut": b"half an ans", b"babble": b"x" * (LONGEST_ANSWER + 1), b"good": b"good\n"}
        async with (
            answering(instrument, lambda q: answers.get(q, b"")),
            Line.open(options(instrument.path), system_clock) as line,
        ):
            with pytest.raises(LinkSilent, match=f"^{instrument.path}: no answer$"):
                await line.exchange(b"silence\n", whole_line)
            with pytest.raises(FrameError, match=r"^cut$"):
                await line.exchange(b"cut\n", whole_line)
            with pytest.raises(FrameError, match=r"^too long$"):
                await line.exchange(b"babble\n", whole_line)
            await asyncio.sleep(0.1)  # what is left of the babble passes
            assert (await line.exchange(b"good\n", whole_line))[0] == b"good\n"


async def test_what_the_parser_refuses_is_the_reason(tmp_path: Path) -> None:
    def parse(_: bytes) -> bytes | None:
        raise FrameError("checksum")

    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, lambda _: b"x\n"),
            Line.open(options(instrument.path), system_clock) as line,
        ):
            with pytest.raises(FrameError, match=r"^checksum$"):
                await line.exchange(b"?\n", parse)


async def test_echo_of_the_adapter_is_left_out(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, lambda q: q + b"\n" + b"answer\n"),
            Line.open(options(instrument.path, echo=True), system_clock) as line,
        ):
            assert (await line.exchange(b"question\n", whole_line))[0] == b"answer\n"


async def test_echo_that_differs_is_a_collision(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, lambda _: b"qXestion\nanswer\n"),
            Line.open(options(instrument.path, echo=True), system_clock) as line,
        ):
            with pytest.raises(FrameError, match=r"^echo differs$"):
                await line.exchange(b"question\n", whole_line)


async def test_devices_on_one_line_take_turns(tmp_path: Path) -> None:
    busy = 0

    def answer(question: bytes) -> bytes:
        return question + b"\n"

    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, answer),
            Line.open(options(instrument.path), system_clock) as one,
            Line.open(options(instrument.path), system_clock) as other,
        ):

            async def ask(line: Line, name: bytes) -> list[bytes]:
                nonlocal busy
                answers = []
                for number in range(20):
                    async with line.turn() as turn:
                        busy += 1
                        assert busy == 1
                        await turn.send(b"%b %d\n" % (name, number))
                        answers.append((await turn.receive(whole_line))[0])
                        busy -= 1
                return answers

            ones, others = await asyncio.gather(ask(one, b"one"), ask(other, b"other"))
    assert ones == [b"one %d\n" % number for number in range(20)]
    assert others == [b"other %d\n" % number for number in range(20)]


async def test_turn_that_is_cancelled_is_the_next_ones(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, lambda q: q + b"\n" if q == b"good" else b""),
            Line.open(options(instrument.path), system_clock) as one,
            Line.open(options(instrument.path), system_clock) as other,
        ):
            waiting = asyncio.create_task(one.exchange(b"silence\n", whole_line))
            await asyncio.sleep(0.05)
            waiting.cancel()
            assert (await other.exchange(b"good\n", whole_line))[0] == b"good\n"
            await asyncio.wait([waiting])
            assert waiting.cancelled()


async def test_late_answer_to_a_cancelled_question_is_not_the_next_ones(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            Line.open(options(instrument.path), system_clock) as one,
            Line.open(options(instrument.path), system_clock) as other,
            asyncio.timeout(PATIENCE_S),
        ):
            asking = asyncio.create_task(one.exchange(b"slow\n", whole_line))
            assert await instrument.hear() == b"slow\n"
            asking.cancel()
            following = asyncio.create_task(other.exchange(b"next\n", whole_line))
            await asyncio.sleep(0.1)
            await instrument.say(b"answer to slow\n")
            assert await instrument.hear() == b"next\n"
            await instrument.say(b"answer to next\n")
            assert (await following)[0] == b"answer to next\n"


async def test_babble_that_drips_does_not_hold_the_line(tmp_path: Path) -> None:
    async def drip(instrument: PtyInstrument) -> None:
        while True:
            await instrument.say(b"x")
            await asyncio.sleep(0.05)

    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            asyncio.timeout(PATIENCE_S / 4),
            Line.open(options(instrument.path), system_clock) as line,
        ):
            dripping = asyncio.create_task(drip(instrument))
            with pytest.raises(FrameError, match=r"^too long$"):
                await line.exchange(b"?\n", whole_line, longest=64)
            dripping.cancel()
            await asyncio.wait([dripping])


async def test_turnaround_is_kept_within_a_turn(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, lambda q: q + b"\n"),
            Line.open(options(instrument.path, turnaround="60ms"), system_clock) as line,
            line.turn() as turn,
        ):
            await turn.send(b"one\n")
            await turn.receive(whole_line)
            before = asyncio.get_running_loop().time()
            await turn.send(b"two\n")
            assert asyncio.get_running_loop().time() - before >= 0.05


async def test_port_that_cannot_switch_direction_is_shut_again(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        wrong = options(instrument.path, rs485="rts")
        outcomes = await asyncio.gather(
            *(_opened(wrong) for _ in range(3)), _opened(options(instrument.path)), return_exceptions=True
        )
        assert [str(outcome).partition(":")[2][:11] for outcome in outcomes[:3]] == [" its driver"] * 3
        assert outcomes[3] is None


async def _opened(wanted: AskingOptions) -> None:
    async with asyncio.timeout(PATIENCE_S), Line.open(wanted, system_clock):
        pass


async def test_port_is_shut_by_the_last_one(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with answering(instrument, lambda q: q + b"\n"):
            async with Line.open(options(instrument.path), system_clock) as one:
                async with Line.open(options(instrument.path), system_clock):
                    pass
                assert (await one.exchange(b"still?\n", whole_line))[0] == b"still?\n"
            assert (
                len(holders(str(instrument.path.resolve()))) <= 1
            )  # the simulated instrument's own end at most


async def test_line_whose_link_came_while_it_was_opened_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        places = chain([str(tmp_path / "line")], repeat(place(str(tmp_path / "line"))))
        monkeypatch.setattr("drivers.line.place", lambda _: next(places))
        async with (
            asyncio.timeout(PATIENCE_S),
            Line.open(options(instrument.path), system_clock),
            Line.open(options(instrument.path), system_clock),
        ):
            pass
        async with Line.open(options(instrument.path), system_clock):
            pass


async def test_other_settings_on_the_same_line_are_refused(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with Line.open(options(instrument.path), system_clock):
            with pytest.raises(LinkError, match="another device on it has other line settings"):
                async with Line.open(options(instrument.path, baudrate=2400), system_clock):
                    pass


async def test_hang_up_is_heard_by_all_and_the_line_opens_again(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            Line.open(options(instrument.path), system_clock) as one,
            Line.open(options(instrument.path), system_clock) as other,
        ):
            instrument.unplug()
            for line in (one, other):
                with pytest.raises(LinkLost):
                    await line.exchange(b"?\n", whole_line)
            with pytest.raises(LinkAbsent):
                async with Line.open(options(instrument.path), system_clock):
                    pass
            instrument.plug_in()
            async with (
                answering(instrument, lambda q: q + b"\n"),
                Line.open(options(instrument.path), system_clock) as fresh,
            ):
                assert (await fresh.exchange(b"back?\n", whole_line))[0] == b"back?\n"
                with pytest.raises(LinkLost):
                    await other.exchange(b"?\n", whole_line)


async def test_opening_that_is_cancelled_leaves_the_line_to_others(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:

        async def opened() -> None:
            async with Line.open(options(instrument.path), system_clock):
                await asyncio.sleep(PATIENCE_S)

        for turns in range(8):
            opening = asyncio.create_task(opened())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait([opening])
        async with (
            answering(instrument, lambda q: q + b"\n"),
            Line.open(options(instrument.path), system_clock) as line,
        ):
            assert (await line.exchange(b"free?\n", whole_line))[0] == b"free?\n"


async def test_turnaround_is_kept_between_exchanges(tmp_path: Path) -> None:
    moments: list[float] = []

    def answer(question: bytes) -> bytes:
        moments.append(asyncio.get_running_loop().time())
        return question + b"\n"

    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, answer),
            Line.open(options(instrument.path, turnaround="50ms"), system_clock) as line,
        ):
            for _ in range(3):
                await line.exchange(b"?\n", whole_line)
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert all(pause >= 0.05 for pause in pauses)


@pytest.mark.parametrize(
    ("table", "stale_after"),
    [
        ({"interval": "1s"}, 60),
        ({"interval": "1m"}, 180),
        ({"interval": "1m", "stale_after": "2m"}, 120),
        ({"interval": "1m", "stale_after": "never"}, None),
        ({"driver": "d0"}, 180),
        ({"driver": "d0", "mode": "D", "interval": "1h"}, 180),
        ({"driver": "mbus"}, 900),
        ({"driver": "mbus", "interval": "1h"}, 3 * 3600),
        ({"driver": "text", "poll": "?", "interval": "1h"}, 3 * 3600),
        ({"driver": "text", "interval": "1h"}, 60),
        ({"driver": "scpi", "queries": [{"name": "u", "query": "?", "interval": "1h"}]}, 3 * 3600),
        (
            {
                "driver": "modbus",
                "registers": {"a": {"address": 1, "interval": "1m"}, "b": {"address": 2, "interval": "1h"}},
            },
            180,
        ),
        ({"driver": "modbus", "mode": "listen", "interval": "1h"}, 60),
    ],
)
def test_device_is_not_stale_between_two_rounds(table: dict[str, Any], stale_after: float | None) -> None:
    name = table.get("driver")
    kind = drivers.find(name).options if name else AskingOptions
    found = kind.model_validate({"driver": "", "port": "/dev/null", **table})
    assert found.stale_after == stale_after


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tcp://Gateway:4001", "TCP://gateway:4001"),
        ("usb:0403:6001:FT12", "USB:403:6001:FT12"),
        ("/dev/../dev/null", "/dev/null"),
        ("usb:what", "usb:what"),
    ],
)
def test_port_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert place(one) == place(other)


def test_serial_number_tells_ports_apart() -> None:
    assert place("usb:0403:6001:FT12") != place("usb:0403:6001:ft12")


async def test_hang_up_is_noticed_between_two_rounds(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, lambda _: b"1\n"),
            Line.open(options(instrument.path), system_clock) as line,
        ):
            device = Thermometer("boiler", line, options(instrument.path, interval="1h"))
            async with aclosing(device.readings()) as readings:  # type: ignore[type-var]
                await anext(readings)
                resting = asyncio.ensure_future(anext(readings))
                await asyncio.sleep(0.05)
                instrument.unplug()
                with pytest.raises(LinkLost):
                    await resting


class Thermometer(Asker):
    def __init__(self, name: str, line: Line, options: AskingOptions) -> None:
        super().__init__(name, line, options)
        self.due: list[float] = []
        """When each round after the first one was."""

    async def ask(self) -> Answered:
        answer, at = await self._line.exchange(b"t?\n", whole_line)
        return Answered({"temperature": float(answer)}, at)

    async def rest(self, due: float) -> float:
        self.due.append(await super().rest(due))
        return self.due[-1]


async def test_rounds_keep_to_their_grid(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, lambda _: b"1\n"),
            Line.open(options(instrument.path), system_clock) as line,
        ):
            device = Thermometer("boiler", line, options(instrument.path, interval="50ms"))
            moments = []
            async with aclosing(device.readings()) as readings:  # type: ignore[type-var]
                for number in range(20):
                    moments.append((await anext(readings)).at.mono)
                    if number == 5:
                        await asyncio.sleep(0.12)  # a round that is missed is not made up for
    assert all(due <= moment for due, moment in zip(device.due, moments[1:], strict=True))
    steps = [(later - earlier) / 0.05 for earlier, later in pairwise(device.due)]
    assert steps == pytest.approx([max(round(step), 1) for step in steps])
    assert steps[4] > 2.5


async def test_rounds_without_an_answer_are_counted_and_too_many_are_a_silent_link(tmp_path: Path) -> None:
    answers = iter([b"1\n", b"", b"2\n", *[b""] * UNANSWERED_AT_MOST])
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with (
            answering(instrument, lambda _: next(answers, b"")),
            Line.open(options(instrument.path, timeout="50ms"), system_clock) as line,
        ):
            device = Thermometer("boiler", line, options(instrument.path, timeout="50ms"))
            found = []
            with pytest.raises(LinkSilent):
                async for reading in device.readings():
                    found.append(reading.values["temperature"])  # noqa: PERF401 - it raises
    assert found == [1, 2]
    assert device.rejected == {"no answer": 1 + UNANSWERED_AT_MOST}
