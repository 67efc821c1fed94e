"""The live feed of a real gateway: watched by many, one of whom stalls, while readings go on."""

import asyncio
import signal
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from drivers.instrument import PtyInstrument
from gateway.config import load
from gateway.errors import ConfigError
from tests.support.feed import Feed
from tests.support.gateway_process import PATIENCE_S, GatewayProcess, until
from tests.support.mosquitto import Mosquitto
from tests.support.plant import Plant
from tests.support.ports import free_port
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.real_time

WATCHERS, READINGS, RATE = 50, 4000, 400


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto.running(tmp_path) as running:
        yield running


def by_device(readings: Iterable[Any]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for each in readings:
        found[each["device"]].append(each["seq"])
    return found


async def test_fifty_watch_and_one_stalls_and_one_comes_and_goes_and_nobody_else_notices(
    tmp_path: Path, broker: Mosquitto
) -> None:
    port = free_port()
    with Plant.running(tmp_path, rate=RATE) as plant:
        file = plant.gateway_config(broker.port, journal=f'[live]\nlisten = "127.0.0.1:{port}"')
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(file) as gateway,
            AsyncExitStack() as stack,
        ):
            await gateway.said("live: whoever connects")
            feeds = [await stack.enter_async_context(Feed.open(port)) for _ in range(WATCHERS)]
            stalled = stack.enter_context(socket.socket())
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.setblocking(False)
            await asyncio.get_running_loop().sock_connect(stalled, ("127.0.0.1", port))
            visits: list[Sequence[Any]] = []
            guest = asyncio.create_task(_come_and_go(port, visits))
            await plant.read_by(gateway)
            await plant.talk(READINGS)
            await plant.pause()
            guest.cancel()
            await asyncio.wait([guest])
            await subscriber.has(READINGS)
            late = await _rest(stalled, READINGS)
            assert await gateway.stop() == 0
            for feed in feeds:
                await feed.hung_up()
    published = {each.path.name: [*range(1, len(each.read) + 1)] for each in plant.instruments}
    for feed in feeds:
        assert feed.dropped == 0
        assert by_device(feed.events("reading")) == published
        assert feed.got[-1]["reason"] == "the gateway was stopped"
    assert {name: [each["seq"] for each in subscriber.readings(name)] for name in published} == published
    assert 0 < sum(each["event"] == "reading" for each in late) < READINGS
    assert len(visits) > 3
    assert all(map(_goes_on_from_its_states, visits))
    assert len(gateway.lines("live")) == 1


async def _come_and_go(port: int, visits: list[Sequence[Any]]) -> None:
    while True:
        async with Feed.open(port) as feed:
            await until(lambda: feed.data.count(b'"event":"reading"') > READINGS / 40)
            visits.append(feed.got)


def _goes_on_from_its_states(got: Sequence[Any]) -> bool:
    """No reading is missing between what a device was when somebody came and what he was told from then on."""
    known: dict[str, int] = {}
    for each in got:
        if each["event"] == "device":
            numbers = [metric["value"] for metric in each["metrics"] if metric["name"] == "n"]
            known[each["device"]] = numbers[0] if numbers else -1
        elif each["event"] == "reading":
            if each["values"]["n"] > known.get(each["device"], -1) + 1:
                return False
            known[each["device"]] = each["values"]["n"]
    return True


async def _rest(stalled: socket.socket, readings: int) -> list[Any]:
    """All that has been said of so many readings, when somebody reads at last: told, or told as lost."""
    data = b""
    lines: list[Any] = []
    while sum(each.get("lines", each["event"] == "reading") for each in lines) < readings:
        async with asyncio.timeout(PATIENCE_S):
            data += await asyncio.get_running_loop().sock_recv(stalled, 65536)
        whole, _, data = data.rpartition(b"\n")
        lines += map(orjson.loads, whole.splitlines())
    return lines


@pytest.fixture
def board(tmp_path: Path) -> Iterator[PtyInstrument]:
    with PtyInstrument.plugged_in(tmp_path / "board") as instrument:
        yield instrument


def configure(folder: Path, live: str, further: str = "") -> Path:
    file = folder / "gateway.toml"
    file.write_text(
        '[gateway]\nname = "test"\nstop_timeout = "100ms"\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n'
        f'[journal]\npath = "memory"\n[live]\n{live}\n'
        f'[devices.board]\ndriver = "json"\nport = "{folder / "board"}"\nretry_max = "200ms"\n{further}'
    )
    return file


async def test_feed_tells_what_is_read_what_it_means_and_alerts_and_is_moved_by_a_reload(
    tmp_path: Path, board: PtyInstrument
) -> None:
    rule = '[rules.hot]\nwhen = "board.t > 80"\n'
    first, second = tmp_path / "live.sock", free_port()
    file = configure(tmp_path, f'listen = "unix:{first}"', rule)
    async with GatewayProcess.running(file) as gateway:
        await until(lambda: first.exists() and gateway.listens_to([tmp_path / "board"]))
        async with Feed.open(first) as feed:
            await board.say(b'{"t": 90.5}\n')
            await feed.has("alert")
            assert feed.got[0]["gateway"] == "test"
            [device] = feed.events("device")
            assert (device["device"], device["driver"]) == ("board", "json")
            [reading] = feed.events("reading")
            assert (reading["device"], reading["seq"], reading["values"]) == ("board", 1, {"t": 90.5})
            assert [each["state"] for each in feed.events("availability")] == ["online"]
            assert [(each["rule"], each["state"]) for each in feed.events("alert")] == [("hot", "firing")]
            configure(tmp_path, f'listen = "127.0.0.1:{second}"', rule)
            answer = await gateway.ask(tmp_path, "reload")
            assert answer["plan"] == ["change: live (listen)"]
            await feed.hung_up()
        assert not first.exists()
        await gateway.said(f"live: whoever connects to 127.0.0.1:{second}")
        async with Feed.open(second) as feed:
            await feed.has("device")
            assert feed.events("device")[0]["metrics"][0]["value"] == 90.5
            await board.say(b'{"t": 91}\n')
            await feed.has("reading")
            assert [each["seq"] for each in feed.events("reading")] == [2]
        assert await gateway.stop() == 0


async def test_port_in_use_is_said_once_and_the_gateway_reads_on_and_listens_when_it_is_free(
    tmp_path: Path, board: PtyInstrument
) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as taken:
        async with GatewayProcess.running(configure(tmp_path, f'listen = "127.0.0.1:{port}"')) as gateway:
            await until(lambda: gateway.listens_to([tmp_path / "board"]))
            await board.say(b'{"t": 1}\n')
            await gateway.said("board: online")
            await gateway.said(f"live: cannot listen on 127.0.0.1:{port}: another program listens there")
            taken.close()
            await gateway.said(f"live: whoever connects to 127.0.0.1:{port}")
            assert len(gateway.lines("live")) == 2
            async with Feed.open(port) as feed:
                await feed.has("device")
                gateway.send(signal.SIGTERM)
                await feed.hung_up()
                assert feed.got[-1]["state"] == "offline"
            assert await gateway.ended() == 0


@pytest.mark.parametrize("live", ['listen = "0.0.0.0:4040"', 'listen = "plant:4040"', 'listens = "/run/x"'])
def test_feed_for_everybody_or_nobody_is_a_mistake(tmp_path: Path, live: str) -> None:
    with pytest.raises(ConfigError, match=r"gateway.toml:9:1: live.listen"):
        load(configure(tmp_path, live))
