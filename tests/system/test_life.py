"""What the daemon says to whoever supervises it, and what the log holds when it is stuck."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.instrument import PtyInstrument
from tests.support.gateway_process import GatewayProcess, until
from tests.support.mosquitto import Mosquitto
from tests.support.rogue_driver import installed
from tests.support.service_manager import FakeServiceManager

pytestmark = pytest.mark.real_time

NOBODY = 9
"""The port of discard(9), which no machine has any more: connections are refused."""


def _config(folder: Path, *devices: str, broker: int = NOBODY, gateway: str = "", extra: str = "") -> Path:
    file = folder / "gateway.toml"
    tables = "".join(
        f'[devices.{each}]\nretry_max = "200ms"\n{rest}\n'
        for each, _, rest in (device.partition("\n") for device in devices)
    )
    file.write_text(
        f'[gateway]\nname = "test"\n{gateway}\n[mqtt]\nurl = "mqtt://127.0.0.1:{broker}"\nretry_max = "200ms"\n'
        f'[journal]\npath = "journal.db"\n{tables}\n{extra}'
    )
    return file


def _board(folder: Path) -> str:
    return f'board\ndriver = "json"\nport = "{folder / "board"}"'


def _rogue(deed: str) -> str:
    return f'rogue\ndriver = "rogue"\nport = "/dev/null"\ndeed = "{deed}"'


@asynccontextmanager
async def _supervised(
    config: Path, *, watchdog_s: float | None = None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[GatewayProcess, FakeServiceManager]]:
    with FakeServiceManager.listening(config.parent / "notify") as manager:
        wishes = {"NOTIFY_SOCKET": manager.address}
        if watchdog_s is not None:
            wishes["WATCHDOG_USEC"] = str(int(watchdog_s * 1e6))
        async with GatewayProcess.running(config, environment={**wishes, **(environment or {})}) as gateway:
            yield gateway, manager


async def _heard(manager: FakeServiceManager, text: str) -> None:
    await until(lambda: any(each.startswith(text) for each in manager.listen()))


async def test_ready_waits_neither_for_a_broker_nor_for_instruments(tmp_path: Path) -> None:
    async with _supervised(_config(tmp_path, _board(tmp_path))) as (gateway, manager):
        await _heard(manager, "STATUS=1 device, 0 online, broker not connected, backlog 0")
        states = [each for each in manager.heard if not each.startswith(("STATUS", "WATCHDOG", "EXTEND"))]
        assert states == ["READY=1"]
        assert manager.heard.index("READY=1") < manager.heard.index(
            "STATUS=1 device, 0 online, broker not connected, backlog 0"
        )
        assert await gateway.stop() == 0
        assert "STOPPING=1" in manager.listen()


async def test_configuration_that_is_wrong_is_never_ready(tmp_path: Path) -> None:
    async with _supervised(_config(tmp_path, _board(tmp_path), extra="typo = 1")) as (gateway, manager):
        assert await gateway.ended() == 78
        assert "READY=1" not in manager.listen()


async def test_status_says_how_devices_and_broker_are(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = _config(tmp_path, _board(tmp_path), _rogue("never opens"), broker=broker.port)
        async with _supervised(config, watchdog_s=3, environment=installed(tmp_path / "site")) as (
            gateway,
            manager,
        ):
            await gateway.said("broker: online")
            await until(lambda: gateway.listens_to([tmp_path / "board"]))
            await board.say(b'{"n": 1}\n')
            await _heard(manager, "STATUS=2 devices, 1 online, broker connected, backlog 0")
            broker.stop()
            await gateway.said("broker: offline")
            await board.say(b'{"n": 2}\n')
            await _heard(manager, "STATUS=2 devices, 1 online, broker not connected, backlog 1")


async def test_status_names_several_brokers_and_a_journal_in_trouble(tmp_path: Path) -> None:
    config = _config(tmp_path, extra='[mqtt.second]\nurl = "mqtt://127.0.0.1:19"\n')
    (tmp_path / "journal.db").mkdir()
    (tmp_path / "gateway.toml").write_text(config.read_text().replace("journal.db", "file/journal.db"))
    (tmp_path / "file").write_text("no folder")
    async with _supervised(config) as (_, manager):
        await _heard(
            manager, "STATUS=0 devices, 0 online, 0 of 2 brokers connected, backlog 0, readings are held"
        )


async def test_draining_that_goes_on_asks_for_more_time(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        slow = "catch_up_rate = 20\n"
        config = _config(tmp_path, _board(tmp_path), gateway='stop_timeout = "60s"', broker=broker.port)
        config.write_text(config.read_text().replace("retry_max", slow + "retry_max", 1))
        async with _supervised(config, watchdog_s=3) as (gateway, manager):
            await gateway.said("broker: online")
            await until(lambda: gateway.listens_to([tmp_path / "board"]))
            broker.stop()
            await gateway.said("broker: offline")
            for number in range(1200):
                await board.say(json.dumps({"n": number}).encode() + b"\n")
            await _heard(manager, "STATUS=1 device, 1 online, broker not connected, backlog 1200")
            broker.start()
            await gateway.said("broker: online again")
            gateway.send(signal.SIGTERM)
            await _heard(manager, "STOPPING=1")
            manager.heard.clear()
            await until(lambda: manager.listen().count("EXTEND_TIMEOUT_USEC=30000000") > 3)
            backlogs = [
                int(found[1])
                for each in manager.heard
                if (found := re.match(r"STATUS=stopping: .*backlog (\d+)$", each))
            ]
            assert backlogs == sorted(backlogs, reverse=True)
            assert len(backlogs) > 1


STUCK = {
    "wedges the loop": ("the event loop", "rogue_driver.py:"),
    "never opens": ("device rogue: opening", "in _open"),
    "never shuts": ("device rogue: closing", "in _open"),
    "never leaves": ("device rogue: closing", "in _Rogue.readings"),
    "holds the disk's thread": ("journal: the disk", "in Journal._on_disk"),
}


async def _is_diagnosed(folder: Path, deed: str, part: str, place: str) -> None:
    """Played here is what systemd does: without food for its watchdog, it ends the process with SIGABRT."""
    folder.mkdir()
    config = _config(folder, _rogue(deed))
    async with _supervised(config, watchdog_s=2, environment=installed(folder / "site")) as (
        gateway,
        manager,
    ):
        await _heard(manager, "WATCHDOG=1")
        if deed == "never leaves":
            await gateway.said("rogue: online")
            _config(folder)
            gateway.send(signal.SIGHUP)
        await gateway.said(f"health: {part}: stuck: nothing has moved for ")
        for each in ("health: task devices:", place, "health: thread MainThread:"):
            await gateway.said(each)
        manager.listen()
        manager.heard.clear()
        await _heard(manager, "STATUS=stuck for ")
        assert "WATCHDOG=1" not in manager.heard, deed
        assert len([line for line in gateway.log if ": stuck: " in line]) == 1, deed
        assert await gateway.stop(signal.SIGABRT) == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in "\n".join(gateway.log)


async def test_what_is_stuck_is_in_the_log_with_all_stacks_before_the_watchdog_starves(
    tmp_path: Path,
) -> None:
    async with asyncio.TaskGroup() as group:
        for number, (deed, (part, place)) in enumerate(STUCK.items()):
            group.create_task(_is_diagnosed(tmp_path / str(number), deed, part, place))


async def test_thread_that_keeps_the_interpreter_is_named_by_the_signal_that_ends_it(tmp_path: Path) -> None:
    config = _config(tmp_path, _rogue("keeps the interpreter"))
    environment = installed(tmp_path / "site")
    async with _supervised(config, watchdog_s=2, environment=environment) as (gateway, manager):
        await _heard(manager, "WATCHDOG=1")
        await gateway.said("rogue: online")
        while True:  # until nothing is said for as long as systemd would wait
            manager.listen()
            manager.heard.clear()
            await asyncio.sleep(2)
            if not manager.listen():
                break
        assert await gateway.stop(signal.SIGABRT) == -signal.SIGABRT
        said = "\n".join(gateway.log)
        assert "Fatal Python error: Aborted" in said
        assert "rogue_driver.py" in said[said.index("Fatal Python error") :]


async def test_gateway_that_a_bug_ends_says_so_and_ends_though_a_thread_does_not(tmp_path: Path) -> None:
    config = _config(tmp_path, _rogue("ends the gateway and keeps a thread"))
    async with _supervised(config, environment=installed(tmp_path / "site")) as (gateway, _):
        assert await gateway.ended() == 1
        await gateway.said("sallyport: a bug, please report it")
        await gateway.said("BeyondRepair: nobody catches this")


async def test_reload_that_meets_a_bug_is_refused_and_the_gateway_goes_on_as_it_was(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = _config(tmp_path, _board(tmp_path))
        async with _supervised(config, environment=installed(tmp_path / "site")) as (gateway, manager):
            await until(lambda: gateway.listens_to([tmp_path / "board"]))
            _config(tmp_path, _board(tmp_path), _rogue("cannot be configured"))
            for verb in ("plan", "reload"):
                answer = await gateway.ask(tmp_path, verb)
                assert answer == {
                    "status": "error",
                    "error": "internal error (RuntimeError): the gateway's log has more",
                }
            await gateway.said("reload: a bug, please report it", times=2)
            await gateway.said("RuntimeError: neither good nor bad", times=2)
            await gateway.said("reload: refused, everything stays as it was")
            states = [each for each in manager.listen() if each.startswith(("READY", "RELOADING"))]
            assert [each.partition("=")[0] for each in states] == ["READY", "RELOADING", "READY"]
            await board.say(b'{"n": 1}\n')
            await _heard(manager, "STATUS=1 device, 1 online")
            _config(tmp_path, _board(tmp_path), _rogue("nothing"))
            assert (await gateway.ask(tmp_path, "reload"))["plan"] == ["start: devices.rogue"]
