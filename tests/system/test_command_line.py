"""The commands as a person types them: each a process of its own."""

import asyncio
import json
import os
import pkgutil
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

import gateway.commands
from drivers.instrument import PtyInstrument
from gateway import __version__
from tests.support.forked import run_sallyport
from tests.support.gateway_process import GatewayProcess
from tests.support.mosquitto import Mosquitto, program
from tests.support.ports import free_port

pytestmark = pytest.mark.real_time

IN_MEMORY = '[journal]\npath = "memory"\n'


def _config(folder: Path, text: str) -> Path:
    file = folder / "gateway.toml"
    file.write_text(text)
    return file


@contextmanager
def _held(port: Path) -> Iterator[str]:
    """Another process has locked this port, as other serial programs do: its name and pid."""
    program = (
        "import fcntl, sys, time; line = open(sys.argv[1]); fcntl.flock(line, fcntl.LOCK_EX)\n"
        "print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(port)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield f"{Path(f'/proc/{holder.pid}/comm').read_text().strip()} (pid {holder.pid})"
        holder.kill()


def test_version_is_the_distributions() -> None:
    done = run_sallyport("--version")
    assert (done.returncode, done.stdout) == (0, f"sallyport {__version__}\n")


@pytest.mark.parametrize(
    "command",
    [
        "init",
        "run",
        "check",
        "doctor",
        "dump",
        "demo",
        "tail",
        "journal",
        "alerts",
        "decode",
        "ports",
        "sniff",
        "record",
        "replay",
        "simulate",
        "drivers",
        "filters",
        "rules",
    ],
)
def test_every_command_has_a_help_text(command: str) -> None:
    done = run_sallyport(command, "--help")
    assert done.returncode == 0
    assert command in run_sallyport("--help").stdout
    assert len(done.stdout.splitlines()) > 6


@pytest.mark.repetitive
@pytest.mark.timeout(300)  # some thirty processes, one after the other
def test_every_command_can_be_loaded_by_itself_without_a_word() -> None:
    modules = [f"gateway.commands.{each.name}" for each in pkgutil.iter_modules(gateway.commands.__path__)]
    for module in modules:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), module
    assert len(modules) > 20


def test_wrong_command_line_exits_with_2() -> None:
    assert run_sallyport("fly").returncode == 2
    assert run_sallyport().returncode == 2


@pytest.mark.skipif(find_spec("apprise") is None, reason="Apprise is not installed")
def test_check_finds_a_receiver_that_apprise_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("htps://token")
    file = _config(
        tmp_path, '[notify.oncall]\nurl = { file = "token" }\n[notify.chat]\nurl = "json://localhost"\n'
    )
    done = run_sallyport("check", str(file))
    assert done.returncode == 78
    complaint = f"{file}:2:1: notify.oncall.url: is none that Apprise can use: see its list of services\n"
    assert done.stderr == complaint


def test_check_says_that_a_good_file_is_good(tmp_path: Path) -> None:
    file = _config(
        tmp_path, '[gateway]\nname = "g"\n[devices.board]\ndriver = "json"\nport = "/dev/ttyUSB0"\n'
    )
    done = run_sallyport("check", str(file))
    assert done.returncode == 0
    assert done.stdout == f"{file}: good: gateway g, board, broker mqtt://localhost:1883\n"
    assert not done.stderr


@pytest.mark.parametrize(
    "command", [["check"], ["run", "--config"], ["tail", "--config"], ["alerts", "--config"]]
)
def test_bad_configuration_exits_with_78_and_names_every_problem(tmp_path: Path, command: list[str]) -> None:
    file = _config(
        tmp_path, '[mqtt]\nprot = 1\n[devices.board]\ndriver = "json"\nport = "/dev/x"\nbaudrate = "fast"\n'
    )
    done = run_sallyport(*command, str(file))
    assert done.returncode == 78
    problems = done.stderr.splitlines()
    assert len(problems) == 2
    assert problems[0].startswith(f"{file}:2:1: mqtt.prot: ")
    assert problems[1].startswith(f"{file}:6:1: devices.board.baudrate: ")
    assert not done.stdout


def test_configuration_is_taken_from_the_environment(tmp_path: Path) -> None:
    done = run_sallyport("check", environment={"SALLYPORT_CONFIG": str(tmp_path / "mine.toml")})
    assert done.returncode == 78
    assert done.stderr == f"{tmp_path}/mine.toml: there is no such file\n"


def test_check_connect_says_what_it_found(tmp_path: Path) -> None:
    with (
        Mosquitto.running(tmp_path) as broker,
        PtyInstrument.plugged_in(tmp_path / "good") as good,
        PtyInstrument.plugged_in(tmp_path / "held") as held,
    ):
        devices = "".join(
            f'[devices.{name}]\ndriver = "json"\nport = "{port}"\n'
            for name, port in (("good", good.path), ("held", held.path), ("gone", "/dev/ttyNOT"))
        )
        file = _config(tmp_path, f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n{devices}')
        with _held(held.path) as holder:
            done = run_sallyport("check", "--connect", str(file))
    assert done.returncode == 1
    _, *lines = done.stdout.splitlines()
    assert sorted(lines)[:2] == [
        "FAILED  gone: /dev/ttyNOT: no such device",
        f"FAILED  held: {held.path}: in use by {holder}",
    ]
    assert f"ok      good: {good.path} opened" in lines
    assert f"ok      broker: 127.0.0.1:{broker.port} let us in, MQTT 5" in lines


def test_check_connect_says_that_nobody_listens(tmp_path: Path) -> None:
    port = free_port()
    done = run_sallyport(
        "check", "--connect", str(_config(tmp_path, f'[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\n'))
    )
    assert done.returncode == 1
    assert f"FAILED  broker: 127.0.0.1:{port}: Connection refused" in done.stdout


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_check_connect_says_that_credentials_are_refused_and_never_shows_them(
    tmp_path: Path, version: str
) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run([program("mosquitto_passwd"), "-b", "-c", str(passwords), "me", "right"], check=True)
    with Mosquitto.running(tmp_path, listener=f"allow_anonymous false\npassword_file {passwords}") as broker:
        file = _config(
            tmp_path,
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\nversion = "{version}"\n'
            'username = "me"\npassword = { env = "MQTT_PASSWORD" }\n',
        )
        refused = run_sallyport(
            "check", "--connect", str(file), environment={"MQTT_PASSWORD": "wr0ng-s3cret"}
        )
        good = run_sallyport("check", "--connect", str(file), environment={"MQTT_PASSWORD": "right"})
    assert refused.returncode == 1
    assert "refused: Not authori" in refused.stdout
    assert "wr0ng-s3cret" not in refused.stdout + refused.stderr
    assert good.returncode == 0


def test_check_connect_leaves_a_running_gateway_alone(tmp_path: Path) -> None:
    async def scene() -> None:
        with Mosquitto.running(tmp_path) as broker:
            file = _config(tmp_path, f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n{IN_MEMORY}')
            async with GatewayProcess.running(file) as gateway:
                await gateway.said(": online")
                done = await asyncio.to_thread(run_sallyport, "check", "--connect", str(file))
                assert done.returncode == 0
                await gateway.stop()
            assert not any("offline" in line for line in gateway.log)

    asyncio.run(scene())


def test_run_without_any_device_warns_and_runs(tmp_path: Path) -> None:
    async def scene() -> None:
        with Mosquitto.running(tmp_path) as broker:
            file = _config(tmp_path, f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n{IN_MEMORY}')
            async with GatewayProcess.running(file) as gateway:
                await gateway.said(": online")
                assert await gateway.stop() == 0
            assert any("WARNING" in line and "device" in line for line in gateway.log)

    asyncio.run(scene())


def test_embedded_broker_serves_subscribers_until_the_gateway_stops(tmp_path: Path) -> None:
    port = free_port()

    async def scene() -> bytes:
        with PtyInstrument.plugged_in(tmp_path / "board") as board:
            file = _config(
                tmp_path,
                f'[mqtt]\nurl = "embedded"\nembedded_port = {port}\n'
                f'[devices.board]\ndriver = "json"\nport = "{board.path}"\n{IN_MEMORY}',
            )
            async with GatewayProcess.running(file) as gateway:
                await gateway.said("online")
                subscriber = await asyncio.create_subprocess_exec(
                    program("mosquitto_sub"), "-p", str(port), "-t", "sallyport/+/board", "-C", "1",
                    stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                while subscriber.returncode is None:
                    await board.say(b'{"t":1}\n')
                    try:
                        async with asyncio.timeout(0.1):
                            await subscriber.wait()
                    except TimeoutError:
                        continue
                assert subscriber.stdout is not None
                output = await subscriber.stdout.read()
                assert await gateway.stop() == 0
            assert not any("Traceback" in line for line in gateway.log)
            return output

    assert json.loads(asyncio.run(scene()))["values"] == {"t": 1}


def test_embedded_broker_whose_port_is_taken_says_so(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        file = _config(tmp_path, f'[mqtt]\nurl = "embedded"\nembedded_port = {broker.port}\n{IN_MEMORY}')
        done = run_sallyport("run", "--config", str(file))
    assert done.returncode == 1
    assert f"sallyport: the embedded broker cannot listen on 127.0.0.1:{broker.port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_demos_begun_at_once_have_ports_of_their_own_and_show_readings_and_the_line_to_paste() -> None:
    port = free_port()
    command = [sys.executable, "-m", "gateway", "demo", "--port", str(port)]
    demos = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    brokers, pages = set[str](), set[str]()
    for demo in demos:
        assert demo.stdout is not None
        output = ""
        while "  weather  temperature=" not in output or "  gps  " not in output:
            line = demo.stdout.readline()
            assert line
            output += line.decode()
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=60)
        assert (demo.returncode, errors) == (0, b"")
        [broker] = re.findall(r"mosquitto_sub -h 127.0.0.1 -p (\d+) -t 'sallyport/#' -v", output)
        brokers.add(broker)
        pages.update(re.findall(r"status page: (http://127.0.0.1:\d+/)\n", output))
    assert str(port) in brokers
    assert (len(brokers), len(pages)) == (2, 2)


def test_demo_whose_time_is_over_before_all_of_it_has_begun_ends_cleanly() -> None:
    done = run_sallyport("demo", "--for", "100ms", "--port", str(free_port()))
    assert (done.returncode, done.stderr) == (0, "")
    assert "That was the main job." in done.stdout


def test_demo_ends_cleanly_at_ctrl_c_and_draws_a_table_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "50"}
    demo = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", "--port", str(free_port())],
        stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"temperature" not in shown or b"water_temp" not in shown:
        shown += os.read(ours, 65536)
    demo.send_signal(signal.SIGINT)
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # the terminal's other end is closed
    os.close(ours)
    _, errors = demo.communicate(timeout=30)
    assert (demo.returncode, errors) == (0, b"")
    assert b"weather: online, " in shown


def test_demo_refuses_a_duration_without_a_unit() -> None:
    done = run_sallyport("demo", "--for", "5")
    assert done.returncode == 2
    assert "5s" in done.stderr


def test_tail_prints_readings_as_lines_and_as_json(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        topic = "sallyport/g/boiler"
        reading = (
            '{"time":"2026-11-22T17:07:01.123Z","seq":1,"run":"a","values":{"t":21.5,"door":"open\\u001b"}}'
        )
        batch = f"[{reading},{reading.replace('21.5', '22')}]"
        for where, payload in (
            (topic, reading),
            ("sallyport/g/gps/batch", batch),
            ("sallyport/g/status", "not JSON \x07"),
        ):
            subprocess.run(
                [
                    program("mosquitto_pub"),
                    "-p",
                    str(broker.port),
                    "-q",
                    "1",
                    "-r",
                    "-t",
                    where,
                    "-m",
                    payload,
                ],
                check=True,
            )
        url = f"mqtt://127.0.0.1:{broker.port}"
        lines = run_sallyport("tail", "--url", url, "--count", "3")
        as_json = run_sallyport("tail", "--url", url, "--topic", topic, "--json", "--count", "1")
    assert lines.returncode == as_json.returncode == 0
    assert sorted(lines.stdout.splitlines()) == [
        "              sallyport/g/status  not JSON \\x07",
        "17:07:01.123  boiler  t=21.5  door=open\\x1b",
        "17:07:01.123  gps  t=21.5  door=open\\x1b",
        "17:07:01.123  gps  t=22  door=open\\x1b",
    ]
    assert json.loads(as_json.stdout) == {"topic": topic, "payload": json.loads(reading)}


def test_tail_takes_the_broker_of_a_configuration(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        file = _config(
            tmp_path,
            f'[gateway]\nname = "g"\n[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\nprefix = "plant"\n',
        )
        subprocess.run(
            [
                program("mosquitto_pub"),
                "-p",
                str(broker.port),
                "-q",
                "1",
                "-r",
                "-t",
                "plant/g/x/t",
                "-m",
                "21.5",
            ],
            check=True,
        )
        done = run_sallyport("tail", "--config", str(file), "--count", "1")
    assert done.stdout.split() == ["plant/g/x/t", "21.5"]


@pytest.mark.parametrize(
    ("url", "status", "reason"),
    [
        ("mqtt://127.0.0.1:1", 1, "Connection refused"),
        ("127.0.0.1", 2, "must start with mqtt://"),
        ("embedded", 2, "mqtt://127.0.0.1:1883"),
    ],
)
def test_tail_says_what_is_wrong_with_the_broker(url: str, status: int, reason: str) -> None:
    done = run_sallyport("tail", "--url", url)
    assert done.returncode == status
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_tail_follows_the_second_address_when_the_first_does_not_answer(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        urls = f'["mqtt://127.0.0.1:1", "mqtt://127.0.0.1:{broker.port}"]'
        file = _config(tmp_path, f'[gateway]\nname = "g"\n[mqtt]\nurls = {urls}\n')
        publish = [program("mosquitto_pub"), "-p", str(broker.port), "-r", "-t", "sallyport/g/x", "-m", "1"]
        subprocess.run(publish, check=True)
        done = run_sallyport("tail", "--config", str(file), "--count", "1")
    assert done.returncode == 0
    assert done.stdout.split() == ["sallyport/g/x", "1"]
    assert "127.0.0.1:1: " in done.stderr


def test_check_tries_every_address_of_every_broker(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        url = f"mqtt://127.0.0.1:{broker.port}"
        file = _config(
            tmp_path, f'[mqtt]\nurls = ["{url}", "mqtt://127.0.0.1:1"]\n[mqtt.cloud]\nurl = "{url}"\n'
        )
        done = run_sallyport("check", "--connect", str(file))
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert sum(f"127.0.0.1:{broker.port} let us in" in line for line in lines) == 2
    assert sum(line.startswith("FAILED  broker: 127.0.0.1:1: ") for line in lines) == 1


def test_tail_draws_a_table(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        for topic, payload in (
            ("boiler", '{"values":{"t":21.5}}'),
            ("gps/batch", '[{"values":{"n":1}},{"values":{"n":777}}]'),
            ("boiler/availability", '{"state":"online"}'),
        ):
            subprocess.run(
                [
                    program("mosquitto_pub"),
                    "-p",
                    str(broker.port),
                    "-r",
                    "-t",
                    f"a/b/c/{topic}",
                    "-m",
                    payload,
                ],
                check=True,
            )
        url = f"mqtt://127.0.0.1:{broker.port}"
        done = run_sallyport("tail", "--url", url, "--topic", "a/#", "--table", "--count", "3")
    assert done.returncode == 0
    shown = " ".join(done.stdout.split())
    assert "boiler: online, 1" in shown
    assert "gps: , 2 readings" in shown
    assert "777" in shown  # the newest of its batch
    assert "21.5" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--topic", "a/#/b"], "a/#/b"),
        (["--count", "0"], "1 or more"),
        (["--json", "--table"], "not allowed with"),
    ],
)
def test_tail_says_what_is_wrong_with_its_arguments(
    tmp_path: Path, arguments: list[str], reason: str
) -> None:
    with Mosquitto.running(tmp_path) as broker:
        done = run_sallyport("tail", "--url", f"mqtt://127.0.0.1:{broker.port}", *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_password_without_a_user_is_a_mistake_of_the_command_line() -> None:
    done = run_sallyport(
        "tail", "--url", "mqtt://127.0.0.1:1", environment={"SALLYPORT_MQTT_PASSWORD": "T0PSECRET"}
    )
    assert done.returncode == 2
    assert "--username" in done.stderr
    assert "T0PSECRET" not in done.stderr


def test_demo_without_the_embedded_broker_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "amqtt.py").write_text("raise ImportError")
    done = run_sallyport("demo", "--for", "5s", environment={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr == ("sallyport: the embedded broker needs amqtt: pip install 'sallyport[embedded]'\n")


def test_demo_refuses_a_port_that_is_none() -> None:
    done = run_sallyport("demo", "--port", "99999")
    assert done.returncode == 2
    assert "65535" in done.stderr


def test_tail_into_a_pipe_that_closes_ends_quietly(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        publish = [program("mosquitto_pub"), "-p", str(broker.port), "-t", "sallyport/g/x", "-r", "-m", "1"]
        subprocess.run(publish, check=True)
        url = f"mqtt://127.0.0.1:{broker.port}"
        tail = subprocess.Popen(
            [sys.executable, "-m", "gateway", "tail", "--url", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with tail:
            assert tail.stdout is not None
            assert tail.stderr is not None
            assert tail.stdout.readline().split() == [b"sallyport/g/x", b"1"]
            tail.stdout.close()
            while tail.poll() is None:  # it finds out when it writes
                subprocess.run(publish, check=True)
            assert tail.returncode == 0
            assert b"Traceback" not in tail.stderr.read()


def test_decode_prints_one_object_per_frame_and_counts(tmp_path: Path) -> None:
    capture = tmp_path / "board.txt"
    capture.write_bytes(b'ets Jul 29 2019\r\n{"t":21.5,"on":true}\r\n{"t":2\r\n{"a":{"b":{"c":1}}}')
    done = run_sallyport("decode", "json", str(capture), "--option", "max_depth=2")
    assert done.returncode == 0
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"offset": 17, "length": 20, "id": "object", "values": {"t": 21.5, "on": True}},
        {"offset": 47, "length": 19, "id": "object", "values": {}},
    ]
    assert done.stderr == "frames=2 rejected=2 bytes=66\n"


def test_decode_reads_standard_input() -> None:
    done = run_sallyport("decode", "json", "-", stdin=b'{"t":1}\n')
    assert (done.stdout.count("\n"), done.stderr) == (1, "frames=1 rejected=0 bytes=8\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["jason", "-"], "no driver 'jason': there are d0, davis, dsmr, frame, json"),
        (["json", "/nowhere"], "/nowhere: No such file"),
        (["json", "/"], "/: Is a directory"),
        (["json", "-", "--option", "max_depth"], "write key=value"),
        (["json", "-", "--option", "max_depth=many"], "max_depth"),
        (["json", "-", "--option", "max_dept=4"], "max_depth"),
    ],
)
def test_decode_says_what_is_wrong_with_its_arguments(arguments: list[str], reason: str) -> None:
    done = run_sallyport("decode", *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


DESCRIBED = """
[devices.door]
driver = "frame"
length = { fixed = 2 }
start = "AA"
fields = { open = { at = 1, bit = 0 } }
[devices.board]
driver = "json"
"""


def test_decode_takes_a_description_from_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(DESCRIBED)
    device = f"{tmp_path}/site.toml:door"
    done = run_sallyport(
        "decode", "frame", "-", "--device", device, "--option", "start=AB", stdin=b"\xab\x01?"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"offset": 0, "length": 2, "id": "frame", "values": {"open": True}}
    assert done.stderr == "frames=1 rejected=1 bytes=3\n"


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("", "there is not one device alone; its devices: "),
        (":dor", "there is no [devices.dor]; its devices: "),
        (":board", "it is read by json, not by frame"),
        ("x", "there is no such file"),
    ],
)
def test_decode_says_what_is_wrong_with_a_device(tmp_path: Path, device: str, reason: str) -> None:
    (tmp_path / "site.toml").write_text(DESCRIBED)
    done = run_sallyport("decode", "frame", "-", "--device", f"{tmp_path}/site.toml{device}")
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.repetitive
def test_decode_agrees_with_every_expected_file(captures: Path) -> None:
    for expected_file in sorted((captures / "nmea0183").glob("*.expected.json")):
        expected = json.loads(expected_file.read_text())
        capture = expected_file.parent / expected["capture"]
        done = run_sallyport("decode", "nmea0183", str(capture))
        frames = [json.loads(line) for line in done.stdout.splitlines()]
        ambiguous = sum("ambiguous" in each for each in expected["rejected"])
        counts = dict(pair.split("=") for pair in done.stderr.split())
        assert int(counts["frames"]) == len(frames) == expected["valid_frames"]
        assert (
            expected["rejected_frames"] - ambiguous <= int(counts["rejected"]) <= expected["rejected_frames"]
        )
        assert int(counts["bytes"]) == expected["bytes"]
        for frame, wanted in zip(frames, expected["frames"], strict=True):
            assert (frame["offset"], frame["length"], frame["id"]) == (
                wanted["offset"],
                wanted["length"],
                wanted["id"],
            )
            values = {
                each["metric"]: each["value"] for each in wanted["readings"] if each["value"] is not None
            }
            assert frame["values"].keys() == values.keys()
            for metric, value in values.items():
                got = frame["values"][metric]
                assert got == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)


def test_drivers_lists_and_describes() -> None:
    listed = run_sallyport("drivers").stdout
    assert "json " in listed
    assert "nmea0183 " in listed
    described = run_sallyport("drivers", "nmea0183").stdout
    assert 'driver = "nmea0183"' in described
    assert "baudrate = 4800" in described
    assert "water_temp" in described
    assert run_sallyport("drivers", "modbuss").returncode == 2


def test_drivers_describes_what_may_stand_in_tables_too() -> None:
    described = run_sallyport("drivers", "frame").stdout
    assert "\nsilence = (no default)\n" in described
    assert "\n    at = (required)\n        Its first byte" in described
    assert "\n        bytes = (required)\n" in described  # frames.<name>.match
    assert "send_first_at" not in described  # of a filter


def test_filters_lists_and_describes() -> None:
    listed = run_sallyport("filters").stdout
    assert "median " in listed
    assert "heartbeat " in listed
    described = run_sallyport("filters", "median").stdout
    assert described.startswith("median = (required)\n")
    assert "send_first_at = 1\n" in described
    assert run_sallyport("filters", "medain").returncode == 2
