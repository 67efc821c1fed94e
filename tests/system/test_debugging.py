"""A gateway that is looked into while it runs, and one under a profiler."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from drivers.instrument import PtyInstrument
from tests.support.box import Box
from tests.support.box_site import clear
from tests.support.box_site import configure as configure_box
from tests.support.forked import sallyport
from tests.support.gateway_process import PATIENCE_S, GatewayProcess, until
from tests.support.rogue_driver import installed

pytestmark = pytest.mark.real_time

ROOT = Path(__file__).parents[2]


def configure(folder: Path, device: str, *, log_level: str = "info") -> Path:
    file = folder / "gateway.toml"
    file.write_text(
        f'[gateway]\nname = "test"\nstop_timeout = "100ms"\nlog_level = "{log_level}"\n'
        '[mqtt]\nurl = "mqtt://127.0.0.1:1"\n[mqtt.cloud]\nurl = "mqtt://127.0.0.1:2"\n'
        f'[journal]\npath = "memory"\n[live]\nlisten = "{folder / "live"}"\n{device}'
    )
    return file


@pytest.fixture
def board(tmp_path: Path) -> Iterator[str]:
    """As a device of a configuration."""
    with PtyInstrument.plugged_in(tmp_path / "board") as instrument:
        yield f'[devices.board]\ndriver = "json"\nport = "{instrument.path}"\n'


def rogue(deed: str) -> str:
    return f'[devices.rogue]\ndriver = "rogue"\nport = "/dev/null"\ndeed = "{deed}"\n'


async def asked(*arguments: str, folder: Path) -> tuple[int, str, str]:
    return await sallyport(*arguments, environment={"RUNTIME_DIRECTORY": str(folder / "run")})


async def test_dump_shows_tasks_threads_and_queues_by_socket_and_by_signal_whatever_is_logged(
    tmp_path: Path, board: str
) -> None:
    async with GatewayProcess.running(configure(tmp_path, board, log_level="error")) as gateway:
        await until(lambda: gateway.listens_to([tmp_path / "board"]))
        status, out, err = await asked("dump", folder=tmp_path)
        assert (status, err) == (0, "")
        await asyncio.sleep(1)
        status, as_json, _ = await asked("dump", "--json", folder=tmp_path)
        gateway.send(signal.SIGUSR1)
        await gateway.said("dump: queues: live: {}")
        assert await gateway.stop() == 0
    told: dict[str, Any] = json.loads(as_json)
    names = {kind: {name for group in told[kind] for name in group["names"]} for kind in ("tasks", "threads")}
    assert {"board", "recorder", "overview", "broker", "broker cloud", "live: events"} <= names["tasks"]
    assert {"health"} <= names["threads"]
    assert {"journal", "overview", "gaps"} <= told["queues"]["bus"].keys()
    assert told["queues"]["brokers"].keys() == {"mqtt", "cloud"}
    assert told["queues"]["journal"]["readings"] == 0
    for kind, found in names.items():
        for name in found - {"intercom: caller"}:
            assert re.search(rf"^{kind} .*{re.escape(name)}", out, re.MULTILINE), name
            if name != "health":  # the one that writes it
                assert any(re.search(rf"dump: {kind} .*{re.escape(name)}", line) for line in gateway.log), (
                    name
                )
    assert "  brokers: cloud: readings: waiting: 0" in out.splitlines()
    assert any("gateway/source.py" in line for line in gateway.log)


def test_dump_of_a_service_is_in_systemds_journal(box: Box) -> None:
    configure_box(box)
    try:
        box.systemctl("start", "sallyport")
        box.systemctl("kill", "--signal=USR1", "sallyport")
        while not any(line.startswith("dump: queues: live:") for line in box.journal("sallyport")):
            time.sleep(0.2)
        entries = [
            each for each in box.journal_entries("sallyport") if "dump: tasks board:" in each["MESSAGE"]
        ]
        assert {each["PRIORITY"] for each in entries} == {"7"}
        assert any("gateway/supervisor.py" in each["MESSAGE"] for each in entries)
        shown = box.sh("sallyport dump | grep -A3 '^tasks board'")
        assert "gateway/supervisor.py" in shown
        assert box.properties("sallyport", "ActiveState", "NRestarts") == {
            "ActiveState": "active",
            "NRestarts": "0",
        }
    finally:
        clear(box)


async def test_loop_that_stands_still_is_seen_too(tmp_path: Path) -> None:
    file = configure(tmp_path, rogue("wedges the loop"))
    async with GatewayProcess.running(file, environment=installed(tmp_path / "site")) as gateway:
        await gateway.said("rogue: online")
        await asyncio.sleep(0.5)
        asking = asyncio.create_task(asked("dump", folder=tmp_path))
        gateway.send(signal.SIGUSR1)
        await gateway.said("dump: threads MainThread")
        await gateway.said("_Rogue._misbehave")
        status, out, err = await asking
        gateway.kill()
    assert (status, out) == (1, "")
    assert "the gateway has not answered for 5 s" in err
    assert "kill --signal=USR1" in err


async def test_asking_for_a_dump_ends_nothing_at_whatever_moment_it_comes(tmp_path: Path, board: str) -> None:
    async with GatewayProcess.running(configure(tmp_path, board), anew=True) as gateway:
        await until(lambda: gateway.ignores(signal.SIGUSR1))
        asking = asyncio.create_task(_ask_again_and_again(gateway))
        await gateway.said("ready")
        assert await gateway.stop() == 0
        await asking


BEFORE_THE_REST = """\
import signal, sys
def note(event, arguments):
    if event == "import" and arguments[0] == "gateway.commands.run":
        print(signal.getsignal(signal.SIGUSR1).name)
sys.addaudithook(note)
from gateway import cli
cli.main(["run", "--config", "/nowhere"])
"""


def test_asking_for_a_dump_ends_nothing_while_most_of_the_program_is_still_to_be_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_THE_REST],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "SIG_IGN\n", done.stderr


async def _ask_again_and_again(gateway: GatewayProcess) -> None:
    with suppress(ProcessLookupError):
        while True:
            os.kill(int(gateway.proc.name), signal.SIGUSR1)
            await asyncio.sleep(0.002)


async def test_debugging_names_the_task_that_holds_the_loop_up_and_what_was_not_closed(
    tmp_path: Path,
) -> None:
    file = configure(tmp_path, rogue("dawdles"))
    async with GatewayProcess.running(file, "--debug", environment=installed(tmp_path / "site")) as gateway:
        await gateway.said("Executing <Task pending name='rogue'")
        await gateway.said("ResourceWarning: unclosed <socket.socket")
        assert await gateway.stop() == 0
    [slow] = [line for line in gateway.log if "Executing <Task" in line and "'rogue'" in line]
    assert float(re.findall(r"took ([\d.]+) seconds", slow)[0]) >= 0.5


@pytest.mark.parametrize(
    ("tool", "file", "holds"),
    [
        ("pyinstrument", "profile.html", "</html>"),
        ("pyinstrument", "profile.json", '"$schema": "https://www.speedscope.app/file-format-schema.json"'),
        ("yappi", "profile.callgrind", "events: Ticks"),
    ],
)
async def test_profile_of_a_gateway_at_work_is_written_when_it_is_stopped(
    tmp_path: Path, board: str, tool: str, file: str, holds: str
) -> None:
    pytest.importorskip(tool)
    config = configure(tmp_path, board)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts.benchmarks.profiling", "--with", tool, "--output", str(tmp_path / file),
        "run", "--config", str(config),
        cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path / "run")},
    )  # fmt: skip
    assert process.stderr is not None
    said = b""
    async with asyncio.timeout(PATIENCE_S):
        while b"ready" not in said:
            said += await process.stderr.readline()
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGINT)
        said += await process.stderr.read()
        assert await process.wait() == 0
    text = (tmp_path / file).read_text()
    assert holds in text
    assert "supervisor.py" in text
    assert b"profiling: 0 s" in said
    assert said.decode().splitlines()[-1].startswith(f"{tmp_path / file}: open it")


def test_profile_ends_by_itself_and_says_what_it_cannot_look_at(tmp_path: Path) -> None:
    pytest.importorskip("yappi")
    command = [sys.executable, "-m", "scripts.benchmarks.profiling", "--with", "yappi", "--for", "2s"]
    command += ["--output", str(tmp_path / "profile")]
    done = subprocess.run(
        [*command, "demo"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "Supervisor._keep" in done.stderr
    assert (tmp_path / "profile").exists()
    for mistake, words in (
        (["tail"], "tail: only demo and run are at work until they are stopped"),
        (["--output", "/nowhere/profile", "demo"], "--output /nowhere/profile: No such file or directory"),
    ):
        done = subprocess.run(
            [*command, *mistake], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 2
        assert words in done.stderr
