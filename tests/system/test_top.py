"""`sallyport top` on a real terminal, before a gateway that is a process of its own."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.instrument import PtyInstrument
from gateway.intercom import MOST_CALLERS
from tests.support.forked import run_sallyport
from tests.support.gateway_process import GatewayProcess, until
from tests.support.terminal import Terminal

pytestmark = pytest.mark.real_time

COLOUR = re.compile(rb"\x1b\[(?:[0-9]+;)*(?:[34][0-8]|9[0-7])(?:;[0-9]+)*m")


def configured(folder: Path, *names: str, extra: str = "") -> Path:
    """A site whose broker is away."""
    file = folder / "gateway.toml"
    devices = "".join(
        f'[devices."{name}"]\ndriver = "json"\nport = "{folder / name}"\nretry_max = "200ms"\n'
        for name in names
    )
    file.write_text(
        f'[gateway]\nname = "plant"\nstop_timeout = "1s"\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n'
        f'[journal]\npath = "memory"\n[rules.clock_unsynchronised]\nenabled = false\n{devices}{extra}'
    )
    return file


RULES = """
[rules.warm]
when = "boiler.temperature > 20"
message = "it is {boiler.temperature:.1f}"
[rules.hot]
when = "boiler.temperature > 90"
severity = "critical"
"""


@asynccontextmanager
async def plant(folder: Path, extra: str = RULES) -> AsyncIterator[tuple[GatewayProcess, PtyInstrument]]:
    """A boiler that speaks, and a pump that is not there."""
    with PtyInstrument.plugged_in(folder / "boiler") as boiler:
        async with GatewayProcess.running(configured(folder, "boiler", "pump", extra=extra)) as gateway:
            await until(lambda: gateway.listens_to([folder / "boiler"]))
            await boiler.say(b'{"temperature": 21.5, "pump": {"on": true}}\n')
            await gateway.said("boiler: online")
            yield gateway, boiler


def given_back(terminal: Terminal) -> bool:
    return (
        terminal.after == terminal.before
        and terminal.cursor_shown
        and terminal.wraps
        and not terminal.on_other_screen
    )


async def test_top_shows_devices_values_brokers_and_alerts(tmp_path: Path) -> None:
    async with plant(tmp_path) as (_, boiler), Terminal.top(tmp_path, columns=200) as terminal:
        await terminal.shows(
            "plant", "1/2 devices online", "mqtt not connected, 1 waiting", "journal in memory"
        )
        await terminal.shows("● boiler    online", "temperature", "21.5", "pump.on", "true")
        await terminal.shows("● pump      offline", "pump: no such device")
        await terminal.shows("warning firing", "warm, boiler: it is 21.5", "1 alert")
        await terminal.shows("▁")
        await boiler.say(b'{"temperature": 95}\nbroken\n')
        await terminal.shows("critical firing", "hot, boiler", "2 alerts", "95")
        await until(lambda: re.search(r"boiler +online .* 1  ", terminal.text))
        await terminal.shows("█")
        assert terminal.on_other_screen
        terminal.press("q")
        assert await terminal.ended() == 0
    assert given_back(terminal)


async def test_keys_choose_sort_fold_and_filter(tmp_path: Path) -> None:
    async with plant(tmp_path) as _, Terminal.top(tmp_path) as terminal:
        await terminal.shows("temperature", "warm, boiler")
        assert "warm, boiler" in terminal.chosen
        terminal.press("j")
        await until(lambda: "port_down" in terminal.chosen or "boiler" in terminal.chosen)
        terminal.press("\x1b[F")  # end
        await until(lambda: "pump      offline" in terminal.chosen)
        terminal.press("2")
        await until(
            lambda: terminal.text.index("pump      offline") < terminal.text.index("boiler    online")
        )
        await terminal.shows("1-4 by state")
        terminal.press("1")
        await until(
            lambda: terminal.text.index("boiler    online") < terminal.text.index("pump      offline")
        )
        terminal.press("e")  # all are unfolded: fold them
        await until(lambda: "temperature 21.5  pump.on true" in terminal.text)
        terminal.press("/pump.o")
        await until(lambda: "pump      offline" not in terminal.text and "warm" not in terminal.text)
        await terminal.shows("boiler    online", "show what holds: pump.o_")
        terminal.press("\x7f" * 2 + "\r")
        await terminal.shows("/ only 'pump'", "pump      offline")
        terminal.press("/")
        await terminal.shows("show what holds")
        terminal.press("\x1b")  # escape alone
        await terminal.shows("/ filter", "warm, boiler")
        terminal.press("?")
        await terminal.shows("acknowledge this alert", "Any key goes on.")
        terminal.press("q")
        await terminal.shows("● boiler")
        terminal.press("q")
        assert await terminal.ended() == 0


async def test_alert_is_acknowledged_and_silenced_where_the_cursor_is(tmp_path: Path) -> None:
    async with plant(tmp_path) as (gateway, boiler), Terminal.top(tmp_path) as terminal:
        await terminal.shows("warm, boiler")
        terminal.press("a")
        await terminal.shows("acknowledged by anna")
        await boiler.say(b'{"temperature": 95}\n')
        await terminal.shows("critical firing")
        terminal.press("\x1b[H")
        await until(lambda: "hot, boiler" in terminal.chosen)
        terminal.press("s")
        await terminal.shows("silence it for: 1h_")
        terminal.press("\x7f\x7f\x7f")
        terminal.press("soon\r")
        await terminal.shows("must be a duration with its unit")
        terminal.press("s\x7f\x7f\x7f30m\r")
        await terminal.shows("silenced by anna")
        listed = await gateway.ask(tmp_path, "alert/list")
        [silence] = listed["silences"]
        assert (silence["rule"], silence["device"], silence["by"]) == ("hot", "boiler", "anna")
        assert 1700 < silence["left_s"] <= 1800
        terminal.press("\x1b[Fa")
        await terminal.shows("go to an alert first")


@pytest.mark.parametrize(
    ("how", "status"),
    [("q", 0), ("\x03", 0), (signal.SIGINT, 0), (signal.SIGTERM, -1), (signal.SIGHUP, -1)],
    ids=["q", "Ctrl-C", "SIGINT", "SIGTERM", "SIGHUP"],
)
async def test_terminal_is_as_it_was_however_top_ends(how: Any, status: int, tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "boiler"):
        async with GatewayProcess.running(configured(tmp_path, "boiler")), _started(tmp_path) as terminal:
            assert terminal.mode != terminal.before
            assert not terminal.cursor_shown
            assert not terminal.wraps, "a character may be wider there than we think"
            if isinstance(how, signal.Signals):
                terminal.process.send_signal(how)
                status = 128 + how if status else 0
            else:
                terminal.press(how)
            assert await terminal.ended() == status
    assert given_back(terminal)


@asynccontextmanager
async def _started(folder: Path, **how: Any) -> AsyncIterator[Terminal]:
    await until(lambda: [*(folder / "run").glob("*.sock")])
    async with Terminal.top(folder, **how) as terminal:
        await terminal.shows("plant", "boiler")
        yield terminal


async def test_terminal_is_as_it_was_when_top_fails() -> None:
    program = "from gateway.commands.top.screen import Screen\nwith Screen():\n    raise RuntimeError('ours')"
    async with Terminal.running(sys.executable, "-c", program) as terminal:
        assert await terminal.ended() == 1
    assert given_back(terminal)
    assert "RuntimeError: ours" in terminal.text


async def test_shell_has_its_terminal_while_top_is_stopped(tmp_path: Path) -> None:
    run = {"RUNTIME_DIRECTORY": str(tmp_path / "run"), "PS1": "shell> ", "HISTFILE": ""}
    async with (
        plant(tmp_path) as (_, boiler),
        Terminal.running("bash", "--norc", "--noprofile", environment=run) as terminal,
    ):
        await terminal.shows("shell>")
        terminal.press(f"{sys.executable} -m gateway top --every 200ms; echo ended with $?\n")
        await terminal.shows("● boiler")
        terminal.press("\x1a")
        await terminal.shows("Stopped")
        assert not terminal.on_other_screen
        assert terminal.cursor_shown
        terminal.press("echo it is $((6 * 7))\n")
        await terminal.shows("it is 42")
        await boiler.say(b'{"temperature": 33.25}\n')
        terminal.press("fg\n")
        await terminal.shows("● boiler", "33.25")
        assert terminal.on_other_screen
        terminal.press("q")
        await until(lambda: not terminal.on_other_screen)
        terminal.press("exit\n")
        await terminal.ended()


async def test_nothing_is_stopped_where_no_shell_could_go_on_with_it(tmp_path: Path) -> None:
    async with (
        plant(tmp_path) as (_, boiler),
        Terminal.top(tmp_path) as terminal,
    ):  # as of `ssh -t host sallyport top`
        await terminal.shows("● boiler")
        terminal.press("\x1a")
        await boiler.say(b'{"temperature": 33.25}\n')
        await terminal.shows("● boiler", "33.25")
        terminal.press("\x1a")
        await boiler.say(b'{"temperature": 34.75}\n')
        await terminal.shows("34.75")
        assert terminal.on_other_screen
        terminal.press("q")
        assert await terminal.ended() == 0
    assert given_back(terminal)


async def test_terminal_that_does_not_know_its_size_is_a_usual_one(tmp_path: Path) -> None:
    command = f"stty columns 0 rows 0; exec {sys.executable} -m gateway top"  # a serial line
    environment = {"RUNTIME_DIRECTORY": str(tmp_path / "run")}
    async with (
        plant(tmp_path) as _,
        Terminal.running("sh", "-c", command, environment=environment, columns=80, rows=24) as terminal,
    ):
        await terminal.shows("● boiler    online", "21.5")
        assert "q quit" in terminal.lines[-1]


async def test_gateway_that_too_many_ask_is_asked_again(tmp_path: Path) -> None:
    async with plant(tmp_path) as _, Terminal.top(tmp_path) as terminal:
        await terminal.shows("● boiler")
        [place] = (tmp_path / "run").glob("*.sock")
        callers = [await asyncio.open_unix_connection(place) for _ in range(MOST_CALLERS)]
        await terminal.shows("does not answer: too many ask at once")
        for _, writer in callers:
            writer.close()
        await until(lambda: "does not answer" not in terminal.text)
        assert "● boiler" in terminal.text


async def test_screen_follows_the_terminal_s_size_down_to_nearly_nothing(tmp_path: Path) -> None:
    async with plant(tmp_path) as _, Terminal.top(tmp_path, columns=60, rows=12) as terminal:
        await terminal.shows("boiler")
        assert "q quit" in terminal.lines[-1]
        terminal.resize(140, 40)
        await until(lambda: "q quit" in terminal.lines[-1] and "s silence" in terminal.lines[-1])
        terminal.resize(20, 3)
        await until(lambda: terminal.lines[-1].startswith("q quit"))
        terminal.resize(3, 1)
        await asyncio.sleep(0.3)
        assert terminal.process.returncode is None
        terminal.resize(100, 30)
        await terminal.shows("● boiler    online")


async def test_nothing_is_coloured_where_that_is_not_wanted(tmp_path: Path) -> None:
    async with (
        plant(tmp_path) as _,
        Terminal.top(tmp_path) as coloured,
        Terminal.top(tmp_path, environment={"NO_COLOR": "1"}) as sober,
    ):
        await coloured.shows("● boiler", "21.5")
        await sober.shows("● boiler", "21.5")
        await asyncio.sleep(0.3)
    assert COLOUR.search(coloured.raw)
    assert not COLOUR.search(sober.raw)


async def test_terminal_that_knows_ascii_only_gets_nothing_else(tmp_path: Path) -> None:
    environment = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
    }
    async with plant(tmp_path) as (_, boiler), Terminal.top(tmp_path, environment=environment) as terminal:
        await terminal.shows("* boiler", "21.5")
        await boiler.say('{"wärme": "21 °C"}\n'.encode())
        await terminal.shows("w?rme", "21 ?C")
    assert terminal.raw.isascii()


async def test_gateway_that_goes_and_comes_back_is_waited_for(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "boiler") as boiler:
        file = configured(tmp_path, "boiler")
        async with GatewayProcess.running(file) as gateway:
            await until(lambda: gateway.listens_to([tmp_path / "boiler"]))
            await boiler.say(b'{"temperature": 21.5}\n')
            await gateway.said("boiler: online")
            top = Terminal.top(tmp_path)
            terminal = await top.__aenter__()
            try:
                await terminal.shows("21.5")
                await gateway.stop()
                await terminal.shows("plant  does not answer: No such file or directory", "21.5")
                async with GatewayProcess.running(file) as again:
                    await until(lambda: again.listens_to([tmp_path / "boiler"]))
                    await boiler.say(b'{"temperature": 22.5}\n')
                    await terminal.shows("22.5")
                    assert "does not answer" not in terminal.text
            finally:
                await top.__aexit__(None, None, None)


async def test_instrument_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    async with plant(tmp_path) as (_, boiler), Terminal.top(tmp_path) as terminal:
        await terminal.shows("boiler")
        evil = {"t\x1b[2J\x1b]0;owned\x07": "\x1b[41mred\r\n\x9b31m", "after": 7}
        await boiler.say(json.dumps(evil).encode() + b"\n")
        await terminal.shows("after", "t\\x1b[2J\\x1b]0;o", "\\x1b[41mred\\x0d")
    assert b"\x1b]0;" not in terminal.raw
    assert b"\x9b31m" not in terminal.raw.replace(b"\xc2\x9b31m", b"\x9b31m")
    assert b"\x1b[41m" not in terminal.raw


async def test_hall_of_200_instruments_with_20_values_each_is_scrolled_through(tmp_path: Path) -> None:
    names = [f"meter-{number:03}" for number in range(200)]
    with ExitStack() as stack:
        meters = [stack.enter_context(PtyInstrument.plugged_in(tmp_path / name)) for name in names]
        async with GatewayProcess.running(configured(tmp_path, *names)) as gateway:
            await until(lambda: gateway.listens_to([tmp_path / name for name in names]))
            for number, meter in enumerate(meters):
                values = {f"value-{each:02}": number + each / 100 for each in range(20)}
                await meter.say(json.dumps(values).encode() + b"\n")
            async with Terminal.top(tmp_path, rows=40) as terminal:
                await terminal.shows("200/200 devices online", "● meter-000")
                assert "value-00 0 " in terminal.text
                assert "meter-037" not in terminal.text
                terminal.press("\x1b[6~")  # a page
                await terminal.shows("● meter-037")
                terminal.press("\x1b[F")
                await terminal.shows("● meter-199")
                terminal.press("e")
                await until(lambda: "value-" in terminal.chosen or "meter-199" in terminal.chosen)
                terminal.press("\x1b[F")
                await terminal.shows("value-19", "199.19")
                await terminal.shows("▁")
                terminal.press("k" * 45)
                await terminal.shows("197.1")
                terminal.press("/meter-123\r")
                await terminal.shows("● meter-123", "123.19")
                assert "meter-122" not in terminal.text
                terminal.press("q")
                assert await terminal.ended() == 0


NO_TERMINAL = "needs a terminal to draw on; `sallyport status` prints what is to be seen"


def test_where_there_is_no_terminal_top_says_what_to_do() -> None:
    done = run_sallyport("top")
    assert (done.returncode, done.stdout) == (2, "")
    assert NO_TERMINAL in done.stderr


async def test_terminal_that_only_prints_is_none() -> None:
    async with Terminal.sallyport("top", environment={"TERM": "dumb"}) as terminal:
        assert await terminal.ended() == 2
    assert NO_TERMINAL in terminal.text


async def test_top_without_what_it_draws_with_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise ImportError")
    async with Terminal.top(tmp_path, environment={"PYTHONPATH": str(tmp_path)}) as terminal:
        assert await terminal.ended() == 2
    assert "pip install 'sallyport[cli]'" in terminal.text


async def test_interval_without_a_unit_is_refused(tmp_path: Path) -> None:
    async with Terminal.top(tmp_path, "--every", "1") as terminal:
        assert await terminal.ended() == 2
    assert "must be a duration with its unit" in terminal.text


async def test_where_no_gateway_runs_top_says_so_and_leaves_the_terminal_alone(tmp_path: Path) -> None:
    async with Terminal.top(tmp_path) as terminal:
        assert await terminal.ended() == 1
    assert "no gateway runs on this machine" in terminal.text
    assert b"\x1b[" not in terminal.raw
