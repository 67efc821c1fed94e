"""What may happen to a machine, and what the gateway makes of it: each row of the table in docs/operations.md.

What the page says is to be seen is looked for where an operator would look: `…` in it is whatever stands there.
"""

import asyncio
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.logs import MessageId
from tests.support.box import ROOT, SHARED, Box
from tests.support.box_site import BOARD, CONFIG, clear, configure, start_board, start_broker, subscribed
from tests.support.gateway_process import until
from tests.support.subscriber import Subscriber
from tests.support.wall_clock import WallClock

pytestmark = pytest.mark.real_time

PATIENCE_S = 100.0

STATE = "/var/lib/sallyport"

SETTINGS = "[Service]\nWatchdogSec=10s\n"
"""The unit's watchdog, but for what follows from it: the status is written every second instead of every three."""


@dataclass(frozen=True)
class Row:
    """Of the table."""

    what: str
    seen: Sequence[str]
    """Patterns."""
    tests: Sequence[str]


def _rows() -> list[Row]:
    section = (ROOT / "docs/operations.md").read_text().split("\n## ")[1]
    cells = [line.split(" | ") for line in section.splitlines() if line.startswith("| ")][2:]
    return [
        Row(
            what.removeprefix("| "),
            [".*?".join(map(re.escape, text.split("…"))) for text in re.findall("`([^`]+)`", seen)],
            re.findall(r"\S+\.py::\w+", lost),
        )
        for what, _, seen, lost in cells
    ]


ROWS = _rows()


def test_every_row_of_the_page_names_its_tests_and_every_test_has_its_row() -> None:
    assert len(ROWS) >= 12
    assert all(row.tests for row in ROWS)
    named = {test for row in ROWS for test in row.tests}
    for test in named:
        file, name = test.split("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), test
    here = str(Path(__file__).relative_to(ROOT))
    ours = re.findall(r"^(?:async )?def (test_\w+)\(\s*machine:", Path(__file__).read_text(), re.MULTILINE)
    assert {test for test in named if test.startswith(here)} == {f"{here}::{name}" for name in ours}


class Machine:
    """A machine with a gateway, and somebody who keeps what there was to be seen."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._seen: list[str] = []

    def start(self) -> None:
        self.box.systemctl("start", "sallyport")

    async def until(self, pattern: str) -> None:
        """`systemctl status` shows it; subscribers go on listening meanwhile."""
        status = "systemctl status --no-pager --full --lines 100 sallyport"
        loop = f"until shown=$({status} || true); grep -qE -- {shlex.quote(pattern)} <<<$shown; do sleep 0.2; done"
        shown = await asyncio.to_thread(self.box.sh, f'{loop}; echo "$shown"', timeout=PATIENCE_S)
        self._seen.append(shown)

    async def backlog(self, at_least: int) -> None:
        await self.until(f"broker not connected, backlog [0-9]{{{len(str(at_least))},}}")

    def properties(self, *names: str) -> dict[str, str]:
        return self.box.properties("sallyport", *names)

    def note(self, text: str) -> None:
        self._seen.append(text)

    def showed(self, row: Row, subscriber: Subscriber | None = None) -> None:
        """All that the page says."""
        names = {str(each): each.name for each in MessageId}
        for entry in self.box.journal_entries("sallyport"):
            self.note(f"{names.get(str(entry.get('MESSAGE_ID')), '')} {entry.get('MESSAGE')}")
        for each in subscriber.got if subscriber else ():
            self.note(f"{each.topic} {each.payload.decode()}")
        seen = "\n".join(self._seen)
        for pattern in row.seen:
            assert re.search(pattern, seen), f"{pattern} was not to be seen:\n{seen}"


@pytest.fixture
def machine(box: Box) -> Iterator[Machine]:
    box.write("/etc/systemd/system/sallyport.service.d/test.conf", SETTINGS)
    box.systemctl("daemon-reload")
    yield Machine(box)
    box.run("umount", STATE, check=False)
    clear(box)


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """The one that names this test."""
    [found] = [
        each for each in ROWS if any(test.endswith(f"::{request.function.__name__}") for test in each.tests)
    ]
    return found


def _mount(box: Box, options: str) -> None:
    """A file system of its own for the journal."""
    box.sh(
        f"mkdir -p {STATE}; mount -t tmpfs -o mode=700,uid=sallyport,gid=sallyport,{options} tmpfs {STATE}"
    )


def _fill(box: Box) -> None:
    """Others take all that is left."""
    box.sh(
        f"dd if=/dev/zero of={STATE}/of-others bs=64k status=none || dd if=/dev/zero of={STATE}/more bs=1k || true"
    )


def _seqs(readings: Sequence[Any]) -> list[int]:
    return [each["seq"] for each in readings]


def _said(readings: Sequence[Any]) -> list[int]:
    """What the instrument counted."""
    return [each["values"]["n"] for each in readings]


def _once(readings: Sequence[Any]) -> list[Any]:
    """Without those that came once more, as nobody knew whether they had arrived: QoS 1."""
    return [*{each["seq"]: each for each in readings}.values()]


def _complete(readings: Sequence[Any]) -> None:
    """Each once and in order, and nothing of what the instrument has said is missing in between."""
    assert _seqs(readings) == [*range(1, len(readings) + 1)]
    assert _said(readings) == [*range(_said(readings)[0], _said(readings)[0] + len(readings))]


def _pauses(readings: Sequence[Any]) -> int:
    """How often the instrument has said something that was not read."""
    said = _said(readings)
    return sum(after != before + 1 for before, after in pairwise(said))


async def test_killed_gateway_is_started_again_and_loses_what_was_said_meanwhile(
    machine: Machine, row: Row
) -> None:
    box = machine.box
    start_broker(box)
    start_board(box)
    configure(box)
    async with subscribed(box) as subscriber:
        machine.start()
        await subscriber.has(20)
        box.systemctl("kill", "--signal=KILL", "sallyport")
        killed = len(subscriber.readings())
        await subscriber.has(killed + 20)
        await machine.until("1 device, 1 online, broker connected")
        assert machine.properties("NRestarts") == {"NRestarts": "1"}
        box.systemctl("stop", "sallyport")
        machine.showed(row, subscriber)
        readings = _once(subscriber.readings())
    assert _seqs(readings) == [*range(1, len(readings) + 1)]
    assert _pauses(readings) == 1
    assert len({each["run"] for each in readings}) == 1


async def test_disk_that_is_full_costs_nothing_that_fits_into_memory(machine: Machine, row: Row) -> None:
    box = machine.box
    _mount(box, "size=120m")
    start_broker(box)
    start_board(box)
    configure(box)
    async with subscribed(box) as subscriber:
        machine.start()
        await subscriber.has(20)
        _fill(box)
        await machine.until("broker connected.*readings are held in memory")
        full = len(subscriber.readings())
        await subscriber.has(full + 20)
        box.systemctl("stop", "broker")
        await machine.backlog(100)
        box.sh(f"rm {STATE}/of-others {STATE}/more")
        await machine.until("journal.db: works again after")
        start_broker(box)
        await machine.until("broker connected")
        box.systemctl("stop", "sallyport")
        await subscriber.has(full + 120)
        machine.showed(row, subscriber)
        _complete(_once(subscriber.readings()))
        assert subscriber.on("/gaps") == []


async def test_backlog_on_a_disk_that_fills_up_is_delivered_or_accounted_for(machine: Machine) -> None:
    box = machine.box
    _mount(box, "size=120m")
    start_broker(box)
    start_board(box)
    configure(box)
    async with subscribed(box) as subscriber:
        machine.start()
        await subscriber.has(20)
        box.systemctl("stop", "broker")
        await machine.backlog(100)
        _fill(box)
        await machine.until("readings are held in memory")
        start_broker(box)
        await machine.until("broker connected, backlog [0-9],")
        box.systemctl("stop", "sallyport")
        [read] = re.findall(r"stopped: (\d+) readings read", "\n".join(box.journal("sallyport")))

        def lost() -> list[int]:
            return [seq for gap in subscriber.on("/gaps") for seq in range(gap["first"], gap["last"] + 1)]

        await until(lambda: len(_once(subscriber.readings())) + len(lost()) >= int(read))
        seqs = _seqs(_once(subscriber.readings()))
        assert len(lost()) == sum(gap["lost"] for gap in subscriber.on("/gaps"))
        assert sorted([*seqs, *lost()]) == [*range(1, int(read) + 1)]
        assert seqs == sorted(seqs)


async def test_journal_that_cannot_be_written_holds_nobody_up(machine: Machine, row: Row) -> None:
    box = machine.box
    _mount(box, "ro")
    start_broker(box)
    start_board(box)
    configure(box)
    async with subscribed(box) as subscriber:
        machine.start()
        await subscriber.has(20)
        await machine.until("broker connected.*Read-only file system")
        box.sh(f"mount -o remount,rw {STATE}; chown root:root {STATE}; chmod 755 {STATE}")
        box.systemctl("restart", "sallyport")
        await machine.until('broker connected, backlog [0-9]+"')
        count = len(subscriber.readings())
        await subscriber.has(count + 20)
        machine.showed(row, subscriber)
        box.systemctl("stop", "sallyport")
        readings = subscriber.readings()
    assert box.sh(f"stat -c '%U %a' {STATE}; ls {STATE}").splitlines()[:2] == ["sallyport 700", "journal.db"]
    runs: dict[str, list[Any]] = {each["run"]: [] for each in readings}
    for each in readings:
        runs[each["run"]].append(each)
    assert len(runs) == 2
    for each in runs.values():
        _complete(each)


async def test_broker_that_comes_later_than_the_gateway_gets_all_that_was_read(
    machine: Machine, row: Row
) -> None:
    box = machine.box
    start_broker(box)
    start_board(box)
    configure(box)
    async with subscribed(box) as subscriber:
        box.systemctl("stop", "broker")
        machine.start()
        await machine.backlog(100)
        assert subscriber.got == []
        start_broker(box)
        await subscriber.has(120)
        await machine.until("broker connected")
        machine.showed(row, subscriber)
        _complete(subscriber.readings())


async def test_devices_that_are_not_there_at_the_start_are_read_when_they_come(
    machine: Machine, row: Row
) -> None:
    box = machine.box
    start_broker(box)
    configure(box, '[gateway]\nname = "test"\n')
    async with subscribed(box) as subscriber:
        machine.start()
        await machine.until("0 devices, 0 online, broker connected")
        await machine.until("sallyport ports")
        configure(box)
        box.systemctl("restart", "sallyport")
        await machine.until("1 device, 0 online, broker connected")
        start_board(box)
        await subscriber.has(20)
        await machine.until("1 device, 1 online")
        machine.showed(row, subscriber)
        _complete(subscriber.readings())


WRONG = '[gateway]\nname = "test"\n\n[devices.board]\ndriver = "jsn"\nport = "/run/board"\n'


async def test_wrong_configuration_is_shown_and_not_tried_again_until_it_is_mended(
    machine: Machine, row: Row
) -> None:
    box = machine.box
    start_broker(box)
    start_board(box)
    configure(box, WRONG)
    async with subscribed(box) as subscriber:
        assert box.run("systemctl", "start", "sallyport", check=False).returncode == 1
        await machine.until("Active: failed")
        machine.showed(row)
        assert machine.properties("ActiveState", "NRestarts") == {"ActiveState": "failed", "NRestarts": "0"}
        configure(box)
        machine.start()
        await subscriber.has(5)


async def test_wrong_configuration_at_a_reload_changes_nothing(machine: Machine, row: Row) -> None:
    box = machine.box
    start_broker(box)
    start_board(box)
    configure(box)
    async with subscribed(box) as subscriber:
        machine.start()
        await subscriber.has(20)
        before = machine.properties("MainPID")
        configure(box, WRONG)
        assert box.run("systemctl", "reload", "sallyport", check=False).returncode != 0
        await machine.until("reload: refused")
        await machine.until("gateway.toml:5:")
        asked = box.run("sallyport", "reload", check=False)
        assert (asked.returncode, asked.stdout) == (78, "")
        assert "gateway.toml:5:" in asked.stderr
        machine.note(f"sallyport reload {asked.stderr}")
        await subscriber.has(len(subscriber.readings()) + 20)
        machine.showed(row, subscriber)
        _complete(subscriber.readings())
        assert machine.properties("MainPID") == before
        assert [each["state"] for each in subscriber.on("/test/status")] == ["online"]


CREDENTIAL = "/etc/sallyport/credentials/mqtt-password"


async def test_missing_credential_is_named_with_the_place_where_it_belongs(
    machine: Machine, row: Row
) -> None:
    box = machine.box
    start_broker(box)
    password = 'username = "greenhouse"\npassword = { credential = "mqtt-password" }\n'
    configure(box, CONFIG.replace("[mqtt]\n", f"[mqtt]\n{password}"))
    assert box.run("systemctl", "start", "sallyport", check=False).returncode == 1
    await machine.until("credential .mqtt-password. not found")
    assert machine.properties("ActiveState", "NRestarts") == {"ActiveState": "failed", "NRestarts": "0"}
    box.write(CREDENTIAL, "hunter2\n", mode="600")
    box.systemctl("daemon-reload")
    machine.start()
    await machine.until("broker connected")
    box.sh(f"mv {CREDENTIAL} /root/mqtt-password")
    assert box.run("systemctl", "restart", "sallyport", check=False).returncode == 1
    await machine.until("status=243/CREDENTIALS")
    box.sh(f"mv /root/mqtt-password {CREDENTIAL}")
    await machine.until("broker connected")
    machine.showed(row)


async def test_clock_that_is_set_by_a_year_changes_the_time_of_readings_only(
    machine: Machine, row: Row
) -> None:
    box = machine.box
    wall_clock = WallClock(box.shared)
    library = Path(wall_clock.environment["LD_PRELOAD"])
    shutil.copy(library, box.shared)
    box.shared.chmod(0o755)  # the service's user reads it
    settings = {
        **wall_clock.environment,
        "LD_PRELOAD": str(SHARED / library.name),
        "FAKETIME_TIMESTAMP_FILE": str(SHARED / "wall_clock"),
    }
    environment = "".join(f"Environment={name}={value}\n" for name, value in settings.items())
    box.write("/etc/systemd/system/sallyport.service.d/test.conf", SETTINGS + environment)
    box.systemctl("daemon-reload")
    start_broker(box)
    start_board(box)
    configure(box, f'[gateway]\nname = "test"\n{BOARD}stale_after = "1s"\n')
    async with subscribed(box) as subscriber:
        machine.start()
        await subscriber.has(20)
        for days in (400, -400, 0):
            wall_clock.step(days)
            await subscriber.has(len(subscriber.readings()) + 60)  # longer than a device may be silent
        await machine.until("1 device, 1 online, broker connected")
        machine.showed(row, subscriber)
        _complete(subscriber.readings())
        years = {each["time"][:4] for each in subscriber.readings()}
        states = [each["state"] for each in subscriber.on("board/availability")]
    assert len(years) == 3
    assert states[states.index("online") :] == ["online"]
    assert machine.properties("NRestarts") == {"NRestarts": "0"}
    log = "\n".join(box.journal("sallyport"))
    assert "offline" not in log, log


async def test_stop_without_a_broker_keeps_the_backlog_for_the_next_start(machine: Machine, row: Row) -> None:
    box = machine.box
    start_broker(box)
    start_board(box)
    configure(
        box, CONFIG.replace("[mqtt]", 'stop_timeout = "10min"\n[mqtt]')
    )  # it would wait for a broker so long
    async with subscribed(box) as subscriber:
        machine.start()
        await subscriber.has(20)
        box.systemctl("stop", "broker")
        await machine.backlog(100)
        box.systemctl("stop", "sallyport")
        assert machine.properties("ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
        start_broker(box)
        await subscriber.returned()
        count = len(subscriber.readings())
        machine.start()
        await subscriber.has(count + 120)
        await machine.until("broker connected")
        box.systemctl("stop", "sallyport")
        machine.showed(row, subscriber)
        readings = _once(subscriber.readings())
    assert _seqs(readings) == [*range(1, len(readings) + 1)]
    assert _pauses(readings) == 1
