"""The journal as the operator meets it: `sallyport journal`, two gateways, a folder that cannot be written."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from drivers.instrument import PtyInstrument
from gateway import app
from gateway.config import load
from gateway.journal import journal
from tests.support.forked import run_sallyport
from tests.support.gateway_process import PATIENCE_S, GatewayProcess, until
from tests.support.journals import files_end_at
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.real_time


def _config(folder: Path, port: int, path: str = "journal.db") -> Path:
    file = folder / "gateway.toml"
    file.write_text(
        f'[gateway]\nname = "test"\nstop_timeout = "200ms"\n[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\n'
        f'retry_max = "200ms"\n[journal]\npath = "{path}"\n'
        f'[devices.board]\ndriver = "json"\nport = "{folder / "board"}"\nretry_max = "200ms"\n'
    )
    return file


def _journal(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_sallyport("journal", "--config", config, *arguments)


async def _reads(gateway: GatewayProcess, board: PtyInstrument) -> None:
    """Speak until the gateway listens, then ten readings more."""
    async with asyncio.timeout(PATIENCE_S):
        while not gateway.lines("board: online"):
            await board.say(b'{"n":0}\n')
            await asyncio.sleep(0.05)
    for number in range(1, 11):
        await board.say(b'{"n":%d}\n' % number)


def _count(config: Path) -> int:
    return len(_journal(config, "export").stdout.splitlines())


async def test_journal_shows_exports_and_purges_what_the_broker_has_not_taken(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = _config(tmp_path, 1)  # nobody listens there
        assert "there is no journal (yet)" in _journal(config).stderr
        async with GatewayProcess.running(config) as gateway:
            await _reads(gateway, board)
            await until(lambda: '"n":10' in _journal(config, "export").stdout)
            shown = _journal(config, "show")
            assert shown.returncode == 0
            assert "used by:   python" in shown.stdout
            assert f"waiting:   {_count(config)} readings for mqtt" in shown.stdout
            refused = _journal(config, "purge", "--yes")
            assert refused.returncode == 1
            assert f"{tmp_path}/journal.db: in use by python" in refused.stderr
            assert await gateway.stop() == 0
        lines = [json.loads(line) for line in _journal(config, "export").stdout.splitlines()]
        assert [each["seq"] for each in lines] == list(range(1, len(lines) + 1))
        assert lines[-1]["device"] == "board"
        assert lines[-1]["reading"]["values"] == {"n": 10}
        unsure = _journal(config, "purge")
        assert (unsure.returncode, _count(config)) == (2, len(lines))
        assert "--yes" in unsure.stderr
        assert f"{len(lines)} readings deleted" in _journal(config, "purge", "--yes").stdout
        assert _count(config) == 0


async def test_second_gateway_on_the_same_journal_is_refused(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        config = _config(tmp_path, broker.port)
        async with GatewayProcess.running(config) as gateway:
            await gateway.said("broker: online")
            async with GatewayProcess.running(config) as second:
                assert await second.ended() == 1
            assert f"sallyport: {tmp_path}/journal.db: in use by python" in "\n".join(second.log)
            assert await gateway.stop() == 0


async def test_folder_that_cannot_be_made_costs_no_reading_and_stands_on_the_status(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("this is no folder")
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = _config(tmp_path, broker.port, "kept/journal.db")
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(config) as gateway,
        ):
            await _reads(gateway, board)
            await until(lambda: any(each["values"]["n"] == 10 for each in subscriber.readings()))
            [status] = subscriber.on("/status")
            assert status["journal"].startswith(f"readings are held in memory: {kept}/journal.db: ")
            kept.unlink()  # it is tried again by itself, and the status says so at once
            await until(lambda: len(subscriber.on("/status")) > 1)
            del status["journal"]
            assert subscriber.on("/status")[1:] == [status]
            await gateway.said("works again")
            assert await gateway.stop() == 0
            await until(lambda: subscriber.on("/status")[2:] == [{"state": "offline"}])
        [line] = [each for each in gateway.log if "held in memory" in each]
        assert f"{tmp_path}/kept'" in line
        assert not any("Traceback" in each for each in gateway.log)


async def test_reading_carries_the_run_that_has_begun_since_its_numbers_cannot_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MOST_UNKNOWN", 5)
    stop = asyncio.Event()
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = load(_config(tmp_path, broker.port))
        async with Subscriber.listening(broker.host, broker.port) as subscriber, asyncio.TaskGroup() as group:
            running = group.create_task(app.run(config, stop))

            async def another(count: int) -> None:
                """Until so many runs were seen."""
                async with asyncio.timeout(PATIENCE_S):
                    while len({each["run"] for each in subscriber.readings()}) < count:
                        await board.say(b'{"n":0}\n')
                        await asyncio.sleep(0.05)

            await another(1)
            with files_end_at(1):
                await another(2)
            stop.set()
            await running


async def test_killed_gateway_goes_on_where_it_was(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = _config(tmp_path, broker.port)
        async with Subscriber.listening(broker.host, broker.port) as subscriber:
            for _ in range(3):
                async with GatewayProcess.running(config) as gateway:
                    seen = len(subscriber.readings())
                    await _reads(gateway, board)
                    await until(
                        lambda seen=seen: any(  # type: ignore[misc]
                            each["values"]["n"] == 10 for each in subscriber.readings()[seen:]
                        )
                    )
        readings = subscriber.readings()
        assert len({each["run"] for each in readings}) == 1
        seqs = list(dict.fromkeys(each["seq"] for each in readings))
        assert seqs == list(range(1, len(seqs) + 1))
        by_seq = {each["seq"]: each["time"] for each in readings}
        assert all(by_seq[each["seq"]] == each["time"] for each in readings)  # a repeat is the same reading


async def test_run_that_begins_while_the_disk_cannot_take_note_of_numbers_is_said_in_each_reading(
    tmp_path: Path,
) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(_config(tmp_path, broker.port)) as gateway,
        ):
            await _reads(gateway, board)
            gateway.let_files_grow_to(0)
            await board.say(b'{"n":11}\n')
            await gateway.said("run ")
            [line] = [each for each in gateway.log if "numbers cannot be noted" in each]
            await board.say(b'{"n":12}\n')
            await until(lambda: any(each["values"]["n"] == 12 for each in subscriber.readings()))
            assert subscriber.readings()[-1]["run"] == line.rpartition("run ")[2].split()[0]
