"""`sallyport doctor`: the real cause of a device not working, and what to do about it."""

import asyncio
import grp
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.instrument import PtyInstrument
from drivers.testing.instrument import UnrulyInstrument
from gateway import cli
from gateway.commands.doctor import examination
from gateway.commands.doctor.finding import Finding, State
from gateway.commands.doctor.machine import service_finding
from gateway.commands.doctor.running import is_gateway, runs_with
from gateway.commands.ending import EXIT_INTERRUPTED, EXIT_USAGE
from gateway.commands.replay import SETTLING_S
from gateway.commands.simulate import play
from gateway.commands.unit import Service
from tests.support.forked import Forked, sallyport
from tests.support.gateway_process import GatewayProcess, until
from tests.support.mosquitto import Mosquitto, program
from tests.support.ports import free_port
from tests.support.stranger import stranger
from tests.support.usb_tree import Adapter, Machine

pytestmark = pytest.mark.real_time

IN_MEMORY = '[journal]\npath = "memory"\n'
HOLDER = """
import fcntl, sys
port = open(sys.argv[1], "rb+", buffering=0)
fcntl.flock(port, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@dataclass
class Told:
    status: int
    findings: dict[str, dict[str, Any]]
    """By the name of the device, or by what each is about."""
    progress: str

    def cause(self, name: str) -> str:
        cause: str = self.findings[name]["cause"]
        return cause


def told(status: int, out: str, progress: str) -> Told:
    assert "Traceback" not in progress, progress
    findings = [json.loads(line) for line in out.splitlines()]
    return Told(status, {each["name"] or each["about"]: each for each in findings}, progress)


async def doctor(file: Path, *arguments: str, wait: str = "2s", **environment: str) -> Told:
    done = await sallyport(
        "doctor", "--config", file, "--json", "--wait", wait, *arguments, environment=environment
    )
    return told(*done)


def device(name: str, port: object, driver: str = "nmea0183", **options: object) -> str:
    lines = [f"[devices.{name}]", f'driver = "{driver}"', f'port = "{port}"']
    return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in options.items())]) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


@asynccontextmanager
async def playing(driver: str, *instruments: PtyInstrument) -> AsyncIterator[None]:
    simulation = drivers.find(driver).simulation
    assert simulation is not None
    tasks = [asyncio.create_task(play(each, simulation)) for each in instruments]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@asynccontextmanager
async def saying(instrument: PtyInstrument, text: bytes) -> AsyncIterator[None]:
    task = asyncio.create_task(instrument.play(iter(lambda: text, b""), every_s=0.05))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def held(port: Path) -> AsyncIterator[int]:
    """Another process has locked it: its pid."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(port), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"locked\n"
        yield process.pid
    finally:
        process.stdin.close()
        await process.wait()


async def test_all_is_well_where_all_is_well(tmp_path: Path, file: Path) -> None:
    with (
        Mosquitto.running(tmp_path) as broker,
        UnrulyInstrument.plugged_in(tmp_path / "gps", baudrate=4800) as gps,
    ):
        file.write_text(
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n[journal]\npath = "journal.db"\n'
            + device("gps", gps.path, baudrate=4800)
        )
        async with playing("nmea0183", gps):
            seen = await doctor(file)
    assert seen.status == 0
    assert {name: each["state"] for name, each in seen.findings.items() if name != "clock"} == {
        "config": "ok", "journal": "ok", "broker": "ok", "gps": "ok",
    } | ({"service": seen.findings["service"]["state"]} if "service" in seen.findings else {})  # fmt: skip
    assert "lat = " in seen.findings["gps"]["verdict"]
    assert "may be written" in seen.findings["journal"]["verdict"]
    assert not (tmp_path / "journal.db").exists()


async def test_one_reading_is_enough_of_a_device_that_speaks_seldom(tmp_path: Path, file: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "board") as board:
        file.write_text(device("board", board.path, "json"))
        async with asyncio.TaskGroup() as group:
            saying_once = group.create_task(_once_opened(board, b'{"t": 21}\n'))
            seen = await doctor(file, "board", wait="20s")
            saying_once.cancel()
    assert (seen.status, seen.findings["board"]["verdict"]) == (0, "reads: t = 21")


async def _once_opened(instrument: PtyInstrument, text: bytes) -> None:
    await instrument.opened()
    await asyncio.sleep(SETTLING_S)
    await instrument.say(text)


async def test_each_cause_is_told_apart(tmp_path: Path, file: Path) -> None:
    with (
        UnrulyInstrument.plugged_in(tmp_path / "gps", baudrate=4800) as gps,
        UnrulyInstrument.plugged_in(tmp_path / "meter", baudrate=19_200) as meter,
        UnrulyInstrument.plugged_in(tmp_path / "noisy", damage=0.3) as noisy,
        UnrulyInstrument.plugged_in(tmp_path / "ruined", damage=0.9) as ruined,
        UnrulyInstrument.plugged_in(tmp_path / "bus") as bus,
        PtyInstrument.plugged_in(tmp_path / "other") as other,
        PtyInstrument.plugged_in(tmp_path / "mute") as mute,
        PtyInstrument.plugged_in(tmp_path / "deaf") as deaf,
        PtyInstrument.plugged_in(tmp_path / "taken") as taken,
    ):
        text = (
            device("gps", gps.path, baudrate=9600)
            + device("meter", meter.path, "modbus", baudrate=9600)
            + "registers.hr = { address = 12, type = 'float32' }\n"
            + device("noisy", noisy.path, "json")
            + device("ruined", ruined.path, "json")
            + device("near", bus.path, "modbus")
            + "registers.hr = { address = 12, type = 'float32' }\n"
            + device("far", bus.path, "modbus", unit=7, timeout="200ms")
            + "registers.hr = { address = 12, type = 'float32' }\n"
            + device("asks-too-much", bus.path, "modbus")
            + "registers.hr = { address = 9999 }\n"
            + device("other", other.path, "json")
            + device("mute", mute.path, "json")
            + device("deaf", deaf.path, "mhz19", timeout="100ms")
            + device("taken", taken.path)
            + device("gone", "/dev/serial/by-id/usb-none")
            + device("far-away", f"tcp://127.0.0.1:{free_port()}")
        )
        file.write_text(IN_MEMORY + text)
        async with (
            playing("nmea0183", gps),
            playing("modbus", meter, bus),
            saying(other, b"\x91\xd3" * 20),
            saying(noisy, b'{"t": 21}\n'),
            saying(ruined, b'{"t": 21}\n'),
            held(taken.path) as holder,
        ):
            hopeless = ("other", "mute")  # every speed is tried in vain
            seen, others = await asyncio.gather(
                doctor(file, *(name for name in _names(text) if name not in hopeless)),
                doctor(file, *hopeless, wait="500ms"),
            )
    assert (seen.status, others.status) == (1, 1)
    seen.findings |= others.findings
    assert {name: each["cause"] for name, each in seen.findings.items()} == {
        "gps": "line settings", "meter": "line settings", "noisy": "disturbed", "ruined": "disturbed",
        "near": "", "far": "no answer",
        "asks-too-much": "not understood", "other": "not understood", "mute": "no data", "deaf": "no answer",
        "taken": "held", "gone": "absent", "far-away": "unreachable",
    }  # fmt: skip
    do = {name: each["do"] for name, each in seen.findings.items()}
    assert do["gps"] == "set devices.gps.baudrate = 4800"
    assert do["meter"] == "set devices.meter.baudrate = 19200"
    assert [seen.findings[name]["state"] for name in ("noisy", "ruined")] == ["note", "failed"]
    assert "broken frames" in seen.findings["noisy"]["verdict"]
    assert "another device on the same line does" in seen.findings["far"]["verdict"]
    assert do["other"].endswith(f"sallyport sniff {other.path}")
    assert do["deaf"].endswith(f"sallyport sniff {deaf.path} --ask")
    assert f"(pid {holder})" in seen.findings["taken"]["verdict"]
    assert do["taken"] == f"end it: sudo kill {holder}"
    assert do["gone"].startswith("plug it in")
    assert "gps: listening at 9600 8N1 for up to 2 s" in seen.progress
    assert "meter: asking at 9600 8N1" in seen.progress


def _names(text: str) -> list[str]:
    return [line[9:-1] for line in text.splitlines() if line.startswith("[devices.")]


@pytest.fixture
def bare_terminal() -> Iterator[Path]:
    """A terminal's own path: no folder on the way that a stranger may not pass."""
    line, terminal = os.openpty()
    yield Path(os.ttyname(terminal))
    os.close(line)
    os.close(terminal)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A stranger may come here; pytest's own folders are for nobody else."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_port_that_a_stranger_may_not_open_is_told_with_the_command_that_helps(
    open_folder: Path, bare_terminal: Path
) -> None:
    file = open_folder / "gateway.toml"
    file.write_text(device("gps", bare_terminal))
    if os.geteuid() == 0:
        bare_terminal.chmod(0o660)
        os.chown(bare_terminal, -1, grp.getgrnam("dialout").gr_gid)
    done = stranger("doctor", "gps", "--config", str(file), "--json")
    seen = told(done.returncode, done.stdout, done.stderr)
    assert (seen.status, seen.cause("gps")) == (1, "permission")
    assert seen.findings["gps"]["do"] == (
        "sudo usermod -aG dialout nobody, then log in again or restart the service"
    )


def test_stranger_who_may_read_little_is_told_what_to_do(open_folder: Path) -> None:
    file = open_folder / "gateway.toml"
    file.write_text("[mqtt]\n")
    file.chmod(0o600)
    done = stranger("doctor", "--config", str(file), "--json")
    seen = told(done.returncode, done.stdout, done.stderr)
    assert (seen.status, seen.cause("config")) == (1, "permission")
    assert seen.findings["config"]["do"] == f"sudo sallyport doctor --config {file}"
    assert "clock" in seen.findings

    kept = open_folder / "kept"
    kept.mkdir(mode=0o700)
    file.write_text(f'[journal]\npath = "{kept}/inside/journal.db"\n')
    file.chmod(0o644)
    done = stranger("doctor", "--config", str(file), "--json")
    assert told(done.returncode, done.stdout, done.stderr).cause("journal") == "not looked at"
    kept.chmod(0o755)
    done = stranger("doctor", "--config", str(file), "--json")
    journal = told(done.returncode, done.stdout, done.stderr).findings["journal"]
    assert journal["cause"] == "permission"
    assert f"{kept}: user nobody may not write it" in journal["verdict"]
    assert "run the gateway as the user that it belongs to" in journal["do"]


async def test_devices_of_a_gateway_that_runs_are_told_by_it_and_not_disturbed(
    tmp_path: Path, file: Path
) -> None:
    with (
        Mosquitto.running(tmp_path) as broker,
        PtyInstrument.plugged_in(tmp_path / "gps") as gps,
        PtyInstrument.plugged_in(tmp_path / "mute") as mute,
    ):
        file.write_text(
            f'[gateway]\nname = "g"\n[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n{IN_MEMORY}'
            + device("gps", gps.path)
            + device("mute", mute.path, stale_after="500ms")
            + device("gone", "/dev/serial/by-id/usb-none")
        )
        async with playing("nmea0183", gps), GatewayProcess.running(file, anew=True) as gateway:
            await gateway.said("gps: online")
            await gateway.said("mute: stale")
            await gateway.said("gone: offline")
            log = len(gateway.log)
            # One after the other: a broker hangs up on the first of two that call themselves the same.
            asked = await doctor(file, RUNTIME_DIRECTORY=str(tmp_path / "run"))
            heard = await doctor(file)
            assert [line for line in gateway.log[log:] if " alert " not in line] == []
            broker.stop()
            await gateway.said("broker: offline")
            asked_alone, alone = await asyncio.gather(
                doctor(file, RUNTIME_DIRECTORY=str(tmp_path / "run")), doctor(file)
            )
            pid = gateway._process.pid
            await gateway.stop()
    for seen in (asked, heard, asked_alone):
        assert seen.status == 1
        assert {name: seen.cause(name) for name in ("gps", "mute", "gone")} == {
            "gps": "", "mute": "silent", "gone": "absent"
        }  # fmt: skip
        assert f"read by the gateway that runs (pid {pid})" in seen.findings["gps"]["verdict"]
        assert "nothing for 500ms" in seen.findings["mute"]["verdict"]
        assert "no such device" in seen.findings["gone"]["verdict"]
    assert any("0 readings, 0 broken" in line for line in asked.findings["mute"]["details"])
    assert [seen.cause("broker") for seen in (asked, heard, asked_alone, alone)] == [
        "", "", "unreachable", "unreachable"
    ]  # fmt: skip
    # Who may not ask the gateway, and cannot hear it, is told so; the port that it has not got is still looked at.
    assert {name: alone.cause(name) for name in ("gps", "mute", "gone")} == {
        "gps": "gateway", "mute": "gateway", "gone": "gateway"
    }  # fmt: skip
    assert alone.findings["gps"]["do"].startswith("sudo sallyport doctor gps")


async def test_what_the_gateway_that_runs_has_not_read_yet_is_told(tmp_path: Path, file: Path) -> None:
    run = {"RUNTIME_DIRECTORY": str(tmp_path / "run")}
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "gps") as gps:
        text = f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n{IN_MEMORY}'
        file.write_text(text)
        other = tmp_path / "other.toml"
        other.write_text(text + device("gps", gps.path))
        async with playing("nmea0183", gps), GatewayProcess.running(file, anew=True) as gateway:
            await gateway.said("broker: online")
            before = await doctor(file, **run)
            file.write_text(other.read_text())
            changed, elsewhere = await asyncio.gather(doctor(file, **run), doctor(other, **run))
            await gateway.stop()
    assert before.cause("config") == "warnings"
    assert changed.status == 0
    assert (changed.cause("config"), changed.cause("gps")) == ("not loaded", "not loaded")
    assert "start: devices.gps" in changed.findings["config"]["details"]
    assert changed.findings["gps"]["do"] == "sudo sallyport reload"
    # The same name, but not its configuration: that one is nobody's, and the device is looked at.
    assert elsewhere.cause("config") == ""
    assert elsewhere.findings["gps"]["verdict"].startswith("reads: ")


async def test_embedded_broker_of_a_gateway_that_runs_is_no_obstacle(tmp_path: Path, file: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "gps") as gps:
        file.write_text(
            f'[mqtt]\nurl = "embedded"\nembedded_port = {free_port()}\n{IN_MEMORY}' + device("gps", gps.path)
        )
        async with playing("nmea0183", gps), GatewayProcess.running(file, anew=True) as gateway:
            await gateway.said("gps: online")
            await gateway.said("broker: online")
            seen = await doctor(file)
            await gateway.stop()
    assert seen.status == 0
    assert "gateway that runs" in seen.findings["gps"]["verdict"]


async def test_gateway_with_another_configuration_is_not_ours(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(f'[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n{IN_MEMORY}')
    with PtyInstrument.plugged_in(tmp_path / "gps") as gps:
        file.write_text(device("gps", gps.path))
        async with playing("nmea0183", gps), GatewayProcess.running(other, anew=True) as gateway:
            await gateway.said("gateway")
            seen = await doctor(file, "gps")
            await gateway.stop()
    assert seen.findings["gps"]["verdict"].startswith("reads: ")


async def test_mistakes_in_the_configuration_do_not_hide_what_is_right_in_it(
    tmp_path: Path, file: Path
) -> None:
    with PtyInstrument.plugged_in(tmp_path / "gps") as gps:
        file.write_text("[mqtt]\nprot = 1\n" + device("gps", gps.path) + device("bad", "/dev/x", "nothing"))
        async with playing("nmea0183", gps):
            seen = await doctor(file)
    assert seen.status == 1
    assert seen.findings["config"]["verdict"] == f"{file}: 2 mistakes"
    assert seen.findings["config"]["details"][0].startswith(f"{file}:2:1: mqtt.prot")
    assert seen.findings["gps"]["state"] == "ok"
    assert "bad" not in seen.findings


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    """Of a broker that knows "me" by the password "right"."""
    file = tmp_path / "passwords"
    subprocess.run([program("mosquitto_passwd"), "-b", "-c", str(file), "me", "right"], check=True)
    return file


async def test_without_a_configuration_the_command_that_makes_one_is_told(file: Path) -> None:
    seen = await doctor(file)
    assert (seen.status, seen.cause("config")) == (1, "absent")
    assert seen.findings["config"]["do"] == f"sudo sallyport init {file}"
    assert "clock" in seen.findings


async def test_what_devices_need_is_looked_at_too(tmp_path: Path, file: Path, passwords: Path) -> None:
    with Mosquitto.running(tmp_path, listener=f"allow_anonymous false\npassword_file {passwords}") as broker:
        file.write_text(
            f'[mqtt]\nurls = ["mqtt://127.0.0.1:{free_port()}", "mqtt://localhost:{broker.port}"]\n'
            'username = "me"\npassword = "right"\n'
            f'[mqtt.second]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
            '[journal]\npath = "journal.db"\nmin_free = "1000GB"\n'
        )
        seen = await doctor(file)
    assert seen.status == 1
    assert {name: seen.cause(name) for name in ("config", "journal", "broker", "broker second")} == {
        "config": "warnings", "journal": "disk full", "broker": "first address", "broker second": "refused"
    }  # fmt: skip
    assert "right" not in seen.findings["broker"]["verdict"]
    assert "mqtt.username" in seen.findings["broker second"]["do"]
    assert any("there are none" in line for line in seen.findings["config"]["details"])


async def test_usb_adapter_that_fell_off_is_told_of_a_device_that_reads_well(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    said = (
        "usb 1-1.4: New USB device found, idVendor=0403, idProduct=6001, bcdDevice= 6.00",
        "usb 1-1.4: SerialNumber: A50285BI",
        "usb 1-1.4: USB disconnect, device number 5",
    )
    fell_at = time.monotonic() - 90
    log = tmp_path / "kmsg"
    log.write_text(
        "".join(
            f"6,{number},{round((fell_at + number) * 1e6)},-;{line}\n" for number, line in enumerate(said * 2)
        )
    )
    with PtyInstrument.plugged_in(tmp_path / "line") as line:
        machine.plug_in("ttyUSB0", Adapter("0403", "6001", "A50285BI"), terminal=line.path)
        file.write_text(device("gps", "usb:0403:6001") + device("gone", "usb:0403:6001:OTHER"))
        async with playing("nmea0183", line):
            arguments = (file, ["gps", "gone"])
            status = await asyncio.to_thread(
                examination.run, *arguments, as_json=True, wait="2s", kernel_log_at=log
            )
            unread = await asyncio.to_thread(
                examination.run, *arguments, as_json=False, wait="2s", kernel_log_at=tmp_path / "nothing"
            )
    out, _ = capsys.readouterr()
    lines = out.splitlines()
    gone, gps = sorted(map(json.loads, lines[:2]), key=lambda each: str(each["name"]))
    assert (status, unread) == (1, 1)
    assert gps["state"] == "note"
    assert "its USB adapter went away 2 times, last 1m" in gps["verdict"]
    assert gone["cause"] == "absent"
    assert "not plugged in" in gone["verdict"]
    assert "wrong: gone" in out


async def test_it_is_ended_by_one_signal(tmp_path: Path, file: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "mute") as mute:
        file.write_text(device("mute", mute.path))
        async with Forked.running("doctor", "mute", "--config", file) as process:
            assert process.stderr is not None
            assert b"mute: listening" in await process.stderr.readline()
            await until(lambda: os.path.realpath(mute.path) in _open_files(process.pid))
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(20):
                _, rest = await process.communicate()
                assert await process.wait() == EXIT_INTERRUPTED
    assert rest == b""


def _open_files(pid: int) -> list[str]:
    return [os.path.realpath(each) for each in Path(f"/proc/{pid}/fd").iterdir()]


async def test_device_that_is_not_in_the_configuration_is_a_mistake_of_the_command_line(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(device("gps", "/dev/x"))
    arguments = ["doctor", "pump", "--config", str(file)]
    assert await asyncio.to_thread(cli.main, arguments) == EXIT_USAGE
    assert "no device 'pump': there are gps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "is_one"),
    [
        (
            "/opt/sallyport/current/bin/python /opt/sallyport/current/bin/sallyport run --config /etc/g.toml",
            True,
        ),
        ("sallyport run", True),
        ("python3 -P -m gateway run --config g.toml", True),
        ("python3 -m gateway doctor", False),
        ("vi sallyport", False),
        ("run", False),
    ],
)
def test_gateway_that_runs_is_known_by_its_command_line(argv: str, *, is_one: bool) -> None:
    assert is_gateway(argv.split()) is is_one


@pytest.mark.parametrize(
    ("argv", "variable", "ours"),
    [
        ("sallyport run --config {folder}/gateway.toml", "", True),
        ("sallyport run --config=gateway.toml", "", True),
        ("sallyport run --config other.toml", "", False),
        ("sallyport run", "SALLYPORT_CONFIG={folder}/gateway.toml", True),
        ("sallyport run", "SALLYPORT_CONFIG=other.toml", False),
        ("sallyport run", "", True),
    ],
)
def test_gateway_that_runs_is_ours_by_its_configuration(
    tmp_path: Path, file: Path, argv: str, variable: str, *, ours: bool
) -> None:
    process = tmp_path / "process"
    process.mkdir()
    (process / "environ").write_text(f"PATH=/bin\0{variable.format(folder=tmp_path)}\0")
    (process / "cwd").symlink_to(tmp_path)
    assert runs_with(process, argv.format(folder=tmp_path).split(), file) is ours
    assert not runs_with(tmp_path / "ended", ["sallyport", "run"], file)


def test_what_a_person_reads_steers_no_terminal() -> None:
    finding = Finding(
        about="device", name="gps", state=State.WRONG, cause="held", verdict="in use by \x1b[2J",
        remedy="end\nit", details=("\x9b",),
    )  # fmt: skip
    assert [*finding.lines()] == [
        "FAILED  gps: in use by \\x1b[2J",
        "        → end\\x0ait",
        "          \\x9b",
    ]
    assert "\x9b" not in finding.as_json()


@pytest.mark.parametrize(
    ("shown", "state", "words"),
    [
        ({"ActiveState": "active", "SubState": "running", "MainPID": "812", "NRestarts": "0"}, State.WELL, "pid 812"),
        ({"ActiveState": "active", "MainPID": "812", "NRestarts": "3"}, State.DOUBTFUL, "restarted 3 times"),
        ({"ActiveState": "inactive"}, State.DOUBTFUL, "does not run"),
        (
            {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainStatus": "78"},
            State.WRONG, "exit status 78",
        ),
        ({"ActiveState": "activating", "SubState": "auto-restart", "ExecMainStatus": "1"}, State.WRONG, "auto-restart"),
    ],
)  # fmt: skip
def test_service_is_judged_by_what_systemd_says_of_it(
    shown: dict[str, str], state: State, words: str
) -> None:
    finding = service_finding(Service("sallyport", shown))
    assert finding.state is state
    assert words in finding.verdict
    assert bool(finding.remedy) is (state is not State.WELL)
