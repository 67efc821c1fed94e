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
from tests.support.box import SHARED, Box
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
        MessageId.GATEWAY_STARTED, MessageId.DEVICE_OFFLINE, MessageId.GATEWAY_STOPPING, MessageId.GATEWAY_STOPPED,
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
    assert lines[20][28:] == "10 more like this within 1m, the last one: 29"
    assert [json.loads(line)["message"] for line in lines[21:]] == ["still"]


def test_process_that_ends_tells_of_what_was_withheld() -> None:
    done = _python("start_logging('info')\nfor number in range(30): logging.warning('%d', number)\n")
    assert done.stderr.splitlines()[-1].endswith("10 more like this within 1m, the last one: 29")


def test_error_that_ends_the_process_cannot_forge_a_line_either() -> None:
    forged = "2026-11-22 17:07:01 INFO    all is well"
    done = _python(f"start_logging('info')\nraise ValueError('x\\n{forged}\\x1b[2J')\n")
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first[20:] == "CRITICAL sallyport: a bug, please report it"
    assert all(line.startswith("    ") for line in rest)
    assert ESCAPE not in done.stderr
    assert rest[-1] == f"    {forged}\\x1b[2J"


# In a box.

UNIT = f"""\
[Service]
ExecStartPre=-/usr/bin/mkdir -p /run/site
ExecStart=/usr/local/bin/sallyport run --config {SHARED}/gateway.toml
Environment=STATE_DIRECTORY=/run/site
"""

CONFIG = """\
[gateway]
name = "test"

[mqtt]
url = "mqtt://127.0.0.1:1883"
retry_max = "200ms"

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


@pytest.fixture(scope="module")
def site(box: Box) -> Iterator[Box]:
    """A gateway under systemd with a broker and a boiler that is too hot, which is then unplugged; it was stopped."""
    (box.shared / "gateway.toml").write_text(CONFIG)
    box.write("/etc/systemd/system/sallyport.service", UNIT)
    box.write("/run/hot", HOT, mode="755")
    box.systemctl("daemon-reload")
    box.systemctl("start", "mosquitto")
    with box.started("socat", "pty,link=/dev/boiler,rawer", "exec:/run/hot"):
        box.systemctl("start", "sallyport")
        _wait_for(box, MessageId.ALERT_FIRING, "RULE=overheat")
    _wait_for(box, MessageId.DEVICE_OFFLINE, "DEVICE=boiler")
    box.systemctl("stop", "sallyport")
    yield box
    box.systemctl("stop", "mosquitto")
    box.sh("rm /etc/systemd/system/sallyport.service; systemctl daemon-reload")


def _found(box: Box, *matches: str) -> list[dict[str, Any]]:
    box.run("journalctl", "--sync")
    done = box.run("journalctl", "-u", "sallyport", "-o", "json", *matches, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _wait_for(box: Box, message_id: MessageId, *matches: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not _found(box, f"MESSAGE_ID={message_id}", *matches):
        assert time.monotonic() < deadline, [each["MESSAGE"] for each in _found(box)]
        time.sleep(0.1)


def test_operator_finds_a_line_by_its_device_and_what_has_happened(site: Box) -> None:
    [online] = _found(site, "DEVICE=boiler", f"MESSAGE_ID={MessageId.DEVICE_ONLINE}")
    assert online["MESSAGE"].startswith("boiler: online")
    assert online["PORT"] == "/dev/boiler"
    assert online["PRIORITY"] == "6"
    assert online["SYSLOG_IDENTIFIER"] == "sallyport"
    [gone] = _found(site, "DEVICE=pump", f"MESSAGE_ID={MessageId.DEVICE_OFFLINE}")
    assert gone["MESSAGE"] == "pump: offline: /dev/pump: no such device"
    assert gone["PRIORITY"] == "4"
    [alert] = _found(site, "RULE=overheat", f"MESSAGE_ID={MessageId.ALERT_FIRING}")
    assert alert["DEVICE"] == "boiler"
    assert [each["MESSAGE"] for each in _found(site, f"MESSAGE_ID={MessageId.BROKER_CONNECTED}")] == [
        "broker: online"
    ]


def test_first_and_last_words_are_found_with_those_of_their_unit(site: Box) -> None:
    told = [each.get("MESSAGE_ID") for each in _found(site)]
    assert MessageId.GATEWAY_STARTED in told
    assert told.count(MessageId.GATEWAY_STOPPED) >= 2


def test_nothing_is_said_twice(site: Box) -> None:
    """As fields and on standard error as well."""
    ours = [
        each for each in _found(site) if each.get("_TRANSPORT") in ("journal", "stdout") and "_PID" in each
    ]
    assert ours
    assert {each["_TRANSPORT"] for each in ours if each["SYSLOG_IDENTIFIER"] == "sallyport"} == {"journal"}


@pytest.mark.parametrize("command", re.findall(r"^\$ (journalctl .*)$", PAGE, re.MULTILINE))
def test_examples_of_the_page_are_ones_that_journalctl_takes(site: Box, command: str) -> None:
    done = site.run(*shlex.split(command), "--no-pager", check=False)
    assert done.stderr == ""
    # Nothing was lost here.
    assert ("-- No entries --" in done.stdout) == ("a06e95561d32473a9549711c8485da6f" in command)


def test_text_is_lines_with_their_priority_and_json_is_objects(site: Box) -> None:
    for form in ("text", "json"):
        (site.shared / "gateway.toml").write_text(CONFIG.replace("[mqtt]", f'log_format = "{form}"\n[mqtt]'))
        since = site.sh("date +%s.%N")
        site.systemctl("start", "sallyport")
        deadline = time.monotonic() + PATIENCE_S
        while not (
            found := [
                each for each in _found(site, f"--since=@{since}") if "pump: offline" in each["MESSAGE"]
            ]
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        site.systemctl("stop", "sallyport")
        [line] = found
        assert line["PRIORITY"] == "4"
        assert line["_TRANSPORT"] == "stdout"
        assert "MESSAGE_ID" not in line
        if form == "json":
            assert json.loads(line["MESSAGE"])["device"] == "pump"
        else:
            assert line["MESSAGE"] == "pump: offline: /dev/pump: no such device"
