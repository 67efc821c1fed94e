"""The wall clock is set, by years, under a running gateway: only what is written on the wire may change."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

import pytest

from drivers.instrument import PtyInstrument
from tests.support.gateway_process import GatewayProcess, until
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber
from tests.support.wall_clock import WallClock

pytestmark = pytest.mark.real_time

STALE_AFTER_S = 2


def _days_off(written: str) -> int:
    return round((datetime.fromisoformat(written) - datetime.now(UTC)) / timedelta(days=1))


async def test_a_step_of_the_wall_clock_changes_the_time_of_readings_and_nothing_else(tmp_path: Path) -> None:
    wall_clock = WallClock(tmp_path)
    config = tmp_path / "gateway.toml"
    steps = [400, -400, 400, -400]
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        config.write_text(
            f'[gateway]\nname = "test"\n[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\nkeepalive = "2s"\n'
            f'[devices.board]\ndriver = "json"\nport = "{board.path}"\nstale_after = "{STALE_AFTER_S}s"\n'
        )
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(config, environment=wall_clock.environment) as gateway,
        ):

            def told() -> list[str]:
                return [each.get("reason") or each["state"] for each in subscriber.on("availability")]

            await until(lambda: told()[-1:] == [f"{board.path}: open, no reading yet"])
            await board.say(b'{"n":0}\n')
            await subscriber.has(1)
            for number, days in enumerate(steps, 1):
                # Staleness is looked at before the next reading comes, and finds the wall elsewhere.
                wall_clock.step(days)
                await asyncio.sleep(0.7 * STALE_AFTER_S)
                await board.say(b'{"n":%d}\n' % number)
                await subscriber.has(1 + number)
            await until(lambda: told()[-1].startswith("nothing for"))
            # The port comes back, and by the wall it is two years too early to try it again.
            wall_clock.step(400)
            board.unplug()
            await gateway.said("board: offline")
            wall_clock.step(-400)
            board.plug_in()
            await until(lambda: told()[-1].endswith("no reading yet"))
            await board.say(b'{"n":5}\n')
            await subscriber.has(6)
            await gateway.stop()

    readings = [json.loads(each.payload) for each in subscriber.got if each.topic == "sallyport/test/board"]
    assert [each["values"]["n"] for each in readings] == [0, 1, 2, 3, 4, 5]
    assert [each["seq"] for each in readings] == [1, 2, 3, 4, 5, 6]
    assert [_days_off(each["time"]) for each in readings] == [0, *steps, -400]
    states = [state for state, _ in groupby(each["state"] for each in subscriber.on("availability"))]
    assert states == ["offline", "online", "stale", "offline", "online", "offline"]
    said = [line.split()[1].rstrip(":") for line in gateway.lines("board:")]
    assert said == ["online", "stale", "offline", "online"]
    assert gateway.lines("broker:") == ["broker: online"]
