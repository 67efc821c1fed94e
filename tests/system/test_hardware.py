"""Hardware that hangs, as subscribers see it."""

import asyncio
from pathlib import Path

import pytest

from drivers.instrument import PtyInstrument
from tests.support.gateway_process import GatewayProcess, until
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.real_time


async def test_device_that_hung_is_read_again_and_its_alert_is_over_only_then(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        file = tmp_path / "gateway.toml"
        file.write_text(
            f'[gateway]\nname = "test"\n[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
            f'[journal]\npath = "memory"\n[devices.board]\ndriver = "json"\nport = "{board.path}"\n'
            'stale_after = "1s"\nreopen_after = "1s"\n'
        )
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(file) as gateway,
        ):
            await board.opened()
            while not subscriber.readings():
                await board.say(b'{"t":1}\n')
                await asyncio.sleep(0.05)
            await board.closed()
            await board.opened()
            alerts = subscriber.on("alerts/device_stale/board")
            assert [each["state"] for each in alerts] == ["firing"]
            spoken = len(subscriber.readings())
            while len(subscriber.readings()) == spoken:
                await board.say(b'{"t":2}\n')
                await asyncio.sleep(0.05)
            await until(lambda: subscriber.on("alerts/device_stale/board")[-1]["state"] == "resolved")
            presences = subscriber.on("board/availability")
            await gateway.stop()
    states = [each["state"] for each in presences]
    assert states[states.index("online") :][:3] == ["online", "stale", "online"]
    lines = [line for line in gateway.log if "still silent" in line]
    assert lines[0].endswith(f"board: still silent: {board.path} is closed and opened again, next in 2s")
