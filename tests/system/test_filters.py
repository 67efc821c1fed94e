"""Filters at work: from lines on a pty through the daemon to a subscriber of a real broker."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from drivers.instrument import PtyInstrument
from tests.support.gateway_process import GatewayProcess, until
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.real_time


def _config(folder: Path, port: int, filters: str) -> Path:
    file = folder / "gateway.toml"
    file.write_text(
        f'[gateway]\nname = "test"\n[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\n'
        f'[devices.board]\ndriver = "json"\nport = "{folder / "board"}"\nretry_max = "200ms"\n{filters}\n'
        '[journal]\npath = "memory"\n'
    )
    return file


async def _open(subscriber: Subscriber) -> None:
    await until(
        lambda: any("open, no reading" in each.get("reason", "") for each in subscriber.on("availability"))
    )


async def _say(board: PtyInstrument, **values: Any) -> None:
    await board.say(json.dumps(values).encode() + b"\n")


def _heard(subscriber: Subscriber) -> list[tuple[int, dict[str, Any]]]:
    return [(each["seq"], each["values"]) for each in subscriber.readings("board")]


async def test_readings_are_filtered_in_order_before_they_are_numbered_and_the_counters_add_up(
    tmp_path: Path,
) -> None:
    filters = """
    filters = [
      { drop = "id" },
      { rename = { t = "temperature" } },
      { metric = "temperature", calibrate = [[0, 1], [100, 103]] },
      { metric = "temperature", valid_range = { min = -40, max = 125 } },
      { round = 1 },
      { delta = 0.5 },
    ]
    """
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(_config(tmp_path, broker.port, filters)) as gateway,
        ):
            await _open(subscriber)
            for t in (20.0, 20.1, 20.6, 999.0, 20.7, 25.0):
                await _say(board, t=t, id=7)
            await _say(board, t=25.0, door=True)
            await subscriber.has(4)
            assert await gateway.stop() == 0
            await until(lambda: subscriber.on("status/counters"))
    assert _heard(subscriber) == [
        (1, {"temperature": 21.4}), (2, {"temperature": 22.0}), (3, {"temperature": 26.5}), (4, {"door": True}),
    ]  # fmt: skip
    counters = subscriber.on("status/counters")[-1]
    assert counters["devices"]["board"] == {
        "read": 7, "filtered": 3, "made": 0, "withheld": {"drop": 6, "delta": 3, "valid_range": 1},
        "rejected": 0, "dropped": 0, "lost": 0,
    }  # fmt: skip
    assert counters["journal"]["recorded"] == 4
    log = "\n".join(gateway.log)
    assert "board: withheld: 6 drop, 3 delta, 1 valid_range" in log
    assert "stopped: 7 readings read, less 3 filtered, and 0 made by filters, 4 journaled, 0 refused" in log


async def test_filters_that_wait_are_woken(tmp_path: Path) -> None:
    filters = """
    filters = [
      { metric = "t", mean = "200ms" },
      { metric = "door", debounce = "100ms" },
      { metric = "level", heartbeat = "50ms" },
    ]
    """
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(_config(tmp_path, broker.port, filters)) as gateway,
        ):
            await _open(subscriber)
            await board.say(b'{"t":20,"door":true}\n{"t":21,"door":false}\n{"level":5}\n')
            await until(lambda: sum("level" in values for _, values in _heard(subscriber)) >= 10)
            assert [each["state"] for each in subscriber.on("board/availability")][-1] == "online"
            board.unplug()
            await gateway.said("board: offline")
            assert await gateway.stop() == 0
            await until(lambda: subscriber.on("status/counters"))
    seqs, values = zip(*_heard(subscriber), strict=True)
    assert list(seqs) == [*range(1, len(seqs) + 1)]
    assert [each for each in values if "level" not in each] == [{"door": False}, {"t": 20.5}]
    counters = subscriber.on("status/counters")[-1]
    assert counters["devices"]["board"]["made"] == len(values)
    told = re.search(
        r"(\d+) readings read, less (\d+) filtered, and (\d+) made by filters, (\d+)", "\n".join(gateway.log)
    )
    assert told
    assert [*map(int, told.groups())] == [3, 3, len(values), len(values)]
