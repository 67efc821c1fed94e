"""The log of a gateway as an operator sees it: on a terminal, in a pipe, in systemd's journal."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.logs import MessageId
from tests.support.box import Box
from tests.support.forked import run_sallyport
from tests.support.gateway_process import PATIENCE_S, GatewayProcess

pytestmark = pytest.mark.real_time

PAGE = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()

ESCAPE = "\x1b"


def _config(folder: Path, *, device: str = "boiler", gateway: str = "") -> Path:
    """A gateway without a broker, and a device without a port."""
    file = folder / "gateway.toml"
    file.write_text(
        f'[gateway]\nname = "test"\n{gateway}\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\nretry_max = "200ms"\n'
        f'[devices.{json.dumps(device)}]\ndriver = "json"\nport = "{folder}/port"\nretry_max = "200ms"\n'
        '[journal]\npath = "memory"\n'
    )
    return file


@contextmanager
def _on_a_terminal(config: Path, **environment: str) -> Iterator[Callable[[], str]]:
    """Yields what reads all that a gateway shows, from its start until it has been stopped."""
    ours, theirs = pty.openpty()
    kept = {
        key: value for key, value in os.environ.items() if key not in ("JOURNAL_STREAM", "NO_COLOR", "TERM")
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "run", "--config", str(config)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs,
        env={**kept, "TERM": "xterm", **environment},
    )  # fmt: skip
    os.close(theirs)
    shown = b""

    def until_stopped() -> str:
        nonlocal shown
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # nobody has the other end any more
                return shown.decode()
            if b"boiler: offline" in shown:
                process.send_signal(signal.SIGTERM)

    try:
        yield until_stopped
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_terminal_gets_colours_unless_somebody_does_not_want_them(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with (
        _on_a_terminal(config) as coloured,
        _on_a_terminal(config, NO_COLOR="1") as unwanted,
        _on_a_terminal(config, TERM="dumb") as dumb,
    ):
        assert re.search(r"\x1b\[33mWARNING\x1b\[0m boiler: offline: ", coloured())
        for plain in (unwanted(), dumb()):
            assert re.search(r"^[\d-]+ [\d:]+ WARNING boiler: offline: ", plain, re.MULTILINE)
            assert ESCAPE not in plain


async def test_json_is_one_object_on_each_line(tmp_path: Path) -> None:
    config = _config(tmp_path, gateway='log_format = "json"')
    async with GatewayProcess.running(config) as gateway:
        await gateway.said('"message":"boiler: offline')
        assert await gateway.stop() == 0
    lines = [json.loads(line) for line in gateway.log]
    [offline] = [line for line in lines if line.get("message_id") == MessageId.DEVICE_OFFLINE]
    assert offline["device"] == "boiler"
    assert offline["port"] == f"{tmp_path}/port"
    assert offline["level"] == "warning"
    told = [line["message_id"] for line in lines if "message_id" in line and "broker" not in line]
    assert told == [
        MessageId.GATEWAY_STARTED, MessageId.GATEWAY_READY, MessageId.DEVICE_OFFLINE, MessageId.GATEWAY_STOPPING,
        MessageId.GATEWAY_STOPPED,
    ]  # fmt: skip


async def test_name_that_would_turn_the_direction_of_writing_is_written_out(tmp_path: Path) -> None:
    config = _config(tmp_path, device="boiler\u202e")
    async with GatewayProcess.running(config) as gateway:
        await gateway.said(r"boiler\u202e: offline")


async def test_what_systemd_has_connected_with_its_journal_but_somebody_turned_elsewhere_gets_plain_lines(
    tmp_path: Path,
) -> None:
    environment = {"JOURNAL_STREAM": "9:12345"}
    async with GatewayProcess.running(_config(tmp_path), environment=environment) as gateway:
        await gateway.said("boiler: offline")
        await gateway.stop()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|WARNING) ", line) for line in gateway.log)


def _python(program: str) -> subprocess.CompletedProcess[str]:
    program = f"import logging\nfrom gateway.logs import start_logging\n{program}"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def test_logging_that_is_started_again_goes_on_in_the_new_way() -> None:
    done = _python(
        "start_logging('info')\n"
        "for number in range(30): logging.warning('%d', number)\n"
        "start_logging('error', 'json')\n"
        "logging.warning('not any more')\n"
        "logging.error('still')\n"
    )
    lines = done.stderr.splitlines()
    assert [line[28:] for line in lines[:20]] == [str(number) for number in range(20)]
    assert lines[20][28:] == "10 more like this in the last 1m, the last one: 29"
    assert [json.loads(line)["message"] for line in lines[21:]] == ["still"]


def test_other_level_leaves_the_rations_as_they_are() -> None:
    done = _python(
        "start_logging('info')\n"
        "for level in ('info', 'warning', 'info'):\n"
        "    start_logging(level)\n"
        "    for number in range(10): logging.info('%d', number)\n"
        "    for number in range(10): logging.warning('%d', number)\n"
    )
    lines = [line[28:] for line in done.stderr.splitlines()]
    assert lines.count("9") == 4
    assert lines[-1] == "10 more like this in the last 1m, the last one: 9"


def test_process_that_ends_tells_of_what_was_withheld() -> None:
    done = _python("start_logging('info')\nfor number in range(30): logging.warning('%d', number)\n")
    assert done.stderr.splitlines()[-1].endswith("10 more like this in the last 1m, the last one: 29")


def test_error_that_ends_the_process_cannot_forge_a_line_either() -> None:
    forged = "2026-11-22 17:07:01 INFO    all is well"
    done = _python(f"start_logging('info')\nraise ValueError('x\\n{forged}\\x1b[2J')\n")
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first[20:] == "CRITICAL sallyport: a bug, please report it"
    assert all(line.startswith("    ") for line in rest)
    assert ESCAPE not in done.stderr
    assert rest[-1] == f"    {forged}\\x1b[2J"


def test_command_that_fails_colours_no_terminal_either(tmp_path: Path) -> None:
    done = run_sallyport("run", "--config", f"{tmp_path}/{ESCAPE}[31m\n.toml")
    assert done.returncode
    assert ESCAPE not in done.stderr
    assert rf"{tmp_path}/\x1b[31m\n.toml" in done.stderr


# In a box.

UNIT = """\
[Service]
ExecStart=/usr/local/bin/sallyport run --config /etc/{unit}.toml
User=daemon
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""

CONFIG = """\
[gateway]
name = "test"

[mqtt]
url = "mqtt://127.0.0.1:1883"
retry_max = "200ms"

[journal]
path = "memory"

[devices.boiler]
driver = "json"
port = "/dev/boiler"
retry_max = "200ms"

[devices.pump]
driver = "json"
port = "/dev/pump"
retry_max = "200ms"

[rules.overheat]
when = "boiler.temperature > 80"
"""

HOT = "#!/bin/sh\nwhile sleep 0.1; do printf '{\"temperature\":85}\\n'; done\n"


class Site:
    """A gateway under systemd, and what is in the journal about this one run."""

    def __init__(self, box: Box, unit: str) -> None:
        self.box = box
        self.unit = unit
        self.since = f"--since=@{box.sh('date +%s.%N')}"

    @classmethod
    @contextmanager
    def running(cls, box: Box, config: str, unit: str = "logging") -> Iterator["Site"]:
        site = cls(box, unit)
        box.write(f"/etc/{unit}.toml", config)
        box.write(f"/etc/systemd/system/{unit}.service", UNIT.format(unit=unit))
        box.systemctl("daemon-reload")
        box.systemctl("start", unit)
        try:
            yield site
        finally:
            box.systemctl("stop", unit)
            box.sh(f"rm /etc/{unit}.toml /etc/systemd/system/{unit}.service; systemctl daemon-reload")
            box.systemctl("reset-failed")

    def found(self, *matches: str) -> list[dict[str, Any]]:
        self.box.run("journalctl", "--sync")
        command = ["journalctl", "-u", self.unit, "-o", "json", self.since, *matches]
        return [json.loads(line) for line in self.box.run(*command, check=False).stdout.splitlines()]

    def finds(self, *matches: str, text: str = "") -> dict[str, Any]:
        """Waits for it."""
        deadline = time.monotonic() + PATIENCE_S
        while not (those := [each for each in self.found(*matches) if text in each["MESSAGE"]]):
            assert time.monotonic() < deadline, [each["MESSAGE"] for each in self.found()]
            time.sleep(0.1)
        [entry] = those
        return entry


@pytest.fixture(scope="module")
def site(box: Box) -> Site:
    """With a broker, and a boiler that is too hot, and then unplugged; and it has been stopped."""
    box.write("/run/hot", HOT, mode="755")
    box.systemctl("start", "mosquitto")
    with (
        box.started("socat", "pty,link=/dev/boiler,rawer,mode=666", "exec:/run/hot") as boiler,
        Site.running(box, CONFIG, "sallyport") as running,
    ):
        running.finds(f"MESSAGE_ID={MessageId.ALERT_FIRING}", "RULE=overheat")
        boiler.terminate()
        running.finds(f"MESSAGE_ID={MessageId.DEVICE_OFFLINE}", "DEVICE=boiler")
    box.systemctl("stop", "mosquitto")
    return running


def test_operator_finds_a_line_by_its_device_and_what_has_happened(site: Site) -> None:
    online = site.finds("DEVICE=boiler", f"MESSAGE_ID={MessageId.DEVICE_ONLINE}")
    assert online["MESSAGE"].startswith("boiler: online")
    assert online["PORT"] == "/dev/boiler"
    assert online["PRIORITY"] == "6"
    assert online["SYSLOG_IDENTIFIER"] == "sallyport"
    gone = site.finds("DEVICE=pump", f"MESSAGE_ID={MessageId.DEVICE_OFFLINE}")
    assert gone["MESSAGE"] == "pump: offline: /dev/pump: no such device"
    assert gone["PRIORITY"] == "4"
    assert site.finds("RULE=overheat", f"MESSAGE_ID={MessageId.ALERT_FIRING}")["DEVICE"] == "boiler"
    assert (
        site.finds("BROKER=mqtt", f"MESSAGE_ID={MessageId.BROKER_CONNECTED}")["MESSAGE"] == "broker: online"
    )


def test_first_and_last_words_are_found_with_those_of_their_unit(site: Site) -> None:
    told = [each.get("MESSAGE_ID") for each in site.found()]
    assert MessageId.GATEWAY_STARTED in told
    assert told.count(MessageId.GATEWAY_STOPPED) >= 2


def test_nothing_is_said_twice(site: Site) -> None:
    """As fields, and on standard error as well."""
    ours = [each for each in site.found() if each["SYSLOG_IDENTIFIER"] == "sallyport"]
    assert {each["_TRANSPORT"] for each in ours} == {"journal"}


@pytest.mark.parametrize("command", re.findall(r"^\$ (journalctl .*)$", PAGE, re.MULTILINE))
def test_examples_of_the_page_find_something(site: Site, command: str) -> None:
    done = site.box.run(*shlex.split(command), site.since, "--no-pager", check=False)
    assert done.stderr == ""
    nothing_was_lost = MessageId.READINGS_WERE_LOST in command
    assert ("-- No entries --" in done.stdout) is nothing_was_lost


def test_text_is_lines_with_their_priority(box: Box) -> None:
    with Site.running(box, CONFIG.replace("[mqtt]", 'log_format = "text"\n[mqtt]')) as site:
        line = site.finds(text="pump: offline")
    assert line["MESSAGE"] == "pump: offline: /dev/pump: no such device"
    assert (line["PRIORITY"], line["_TRANSPORT"]) == ("4", "stdout")


def test_json_is_objects_with_their_priority(box: Box) -> None:
    with Site.running(box, CONFIG.replace("[mqtt]", 'log_format = "json"\n[mqtt]')) as site:
        line = site.finds(text="pump: offline")
    assert json.loads(line["MESSAGE"])["device"] == "pump"
    assert (line["PRIORITY"], line["_TRANSPORT"]) == ("4", "stdout")


def test_mistake_in_the_configuration_is_an_error(box: Box) -> None:
    with Site.running(box, CONFIG.replace('name = "test"', 'nam = "test"')) as site:
        line = site.finds("-p", "err", text="nam")
    assert line["MESSAGE"].startswith("/etc/logging.toml:2:1: gateway.nam: unknown key")
