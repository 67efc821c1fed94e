"""One gateway, several brokers; outages, refusals and a full journal; and the counters that account for it."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.instrument import PtyInstrument
from tests.support.gateway_process import GatewayProcess, until
from tests.support.mosquitto import Mosquitto
from tests.support.relay import Relay
from tests.support.rogue_broker import RogueBroker
from tests.support.subscriber import Subscriber

NOT_AUTHORIZED = 0x87

pytestmark = pytest.mark.real_time


def _config(
    folder: Path,
    mqtt: str,
    *,
    journal: str = 'path = "journal.db"',
    devices: tuple[str, ...] = ("board",),
    stop_timeout: str = "5s",
) -> Path:
    file = folder / "gateway.toml"
    tables = "".join(
        f'[devices.{name}]\ndriver = "json"\nport = "{folder / name}"\nretry_max = "200ms"\n'
        for name in devices
    )
    file.write_text(
        f'[gateway]\nname = "test"\nstatus_interval = "1s"\nstop_timeout = "{stop_timeout}"\n'
        f'[mqtt]\nretry_max = "200ms"\n{mqtt}\n'
        f"[journal]\n{journal}\n{tables}"
    )
    return file


def _url(port: int) -> str:
    return f'url = "mqtt://127.0.0.1:{port}"\n'


def _line(number: int) -> bytes:
    return json.dumps({"n": number}).encode() + b"\r\n"


def _numbers(subscriber: Subscriber, device: str = "board") -> list[int]:
    """As they came, alone or in batches, without repeats."""
    found: list[int] = []
    for each in subscriber.got:
        if each.topic == f"sallyport/test/{device}":
            found.append(each.json["values"]["n"])
        elif each.topic == f"sallyport/test/{device}/batch":
            found += [reading["values"]["n"] for reading in each.json]
    return list(dict.fromkeys(found))


async def _open(gateway: GatewayProcess, board: PtyInstrument) -> None:
    """The first reading is number 0, however many of it there are."""
    while not gateway.lines("board: online"):
        await board.say(_line(0))
        await asyncio.sleep(0.05)


def _counters(subscriber: Subscriber) -> Any:
    return subscriber.on("status/counters")[-1]


def _adds_up(counters: Any) -> None:
    """As the README says."""
    journal = counters["journal"]
    devices = counters["devices"].values()
    assert journal["recorded"] == sum(each["read"] - each["filtered"] + each["made"] for each in devices)
    assert journal["recorded"] == journal["journaled"] + journal["refused"]
    for each in counters["brokers"].values():
        settled = each["acknowledged"] + each["set_aside"] + each["evicted"] + each["waiting"]
        assert each["found"] + journal["journaled"] == settled


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[tuple[Mosquitto, Mosquitto]]:
    with Mosquitto.running(tmp_path) as one, Mosquitto.running(tmp_path) as other:
        yield one, other


@pytest.fixture
def board(tmp_path: Path) -> Iterator[PtyInstrument]:
    with PtyInstrument.plugged_in(tmp_path / "board") as board:
        yield board


async def test_broker_that_is_away_does_not_delay_another_and_catches_up_in_batches(
    tmp_path: Path, brokers: tuple[Mosquitto, Mosquitto], board: PtyInstrument
) -> None:
    here, cloud = brokers
    async with (
        Relay.to(cloud.port) as network,
        Subscriber.listening(here.host, here.port) as near,
        Subscriber.listening(cloud.host, cloud.port) as far,
    ):
        further = f'[mqtt.cloud]\n{_url(network.port)}retry_max = "200ms"\ncatch_up = "batched"\n'
        async with GatewayProcess.running(_config(tmp_path, _url(here.port) + further)) as gateway:
            await _open(gateway, board)
            await until(lambda: _numbers(far) == [0])
            await network.cut()
            await gateway.said("broker cloud: offline")
            for number in range(1, 2001):
                await board.say(_line(number))
            await until(lambda: len(_numbers(near)) == 2001)
            assert _numbers(far) == [0]
            await network.mend()
            await until(lambda: len(_numbers(far)) == 2001)
            await board.say(_line(2001))
            await until(lambda: len(_numbers(near)) == len(_numbers(far)) == 2002)
            assert await gateway.stop() == 0
    assert _numbers(near) == _numbers(far) == list(range(2002))
    assert not [each for each in near.got if "/batch" in each.topic]
    assert [each for each in far.got if "/batch" in each.topic]
    for subscriber in (near, far):
        counters = _counters(subscriber)
        _adds_up(counters)
        assert counters["brokers"].keys() == {"mqtt", "cloud"}
        assert counters["brokers"]["cloud"]["connects"] >= 2
    assert len(gateway.lines("broker: ")) == 1  # online


async def test_broker_that_returns_during_the_stop_gets_what_waits_although_the_other_is_done(
    tmp_path: Path, brokers: tuple[Mosquitto, Mosquitto], board: PtyInstrument
) -> None:
    here, cloud = brokers
    async with (
        Relay.to(cloud.port) as network,
        Subscriber.listening(here.host, here.port) as near,
        Subscriber.listening(cloud.host, cloud.port) as far,
    ):
        further = f'[mqtt.cloud]\n{_url(network.port)}retry_max = "200ms"\n'
        config = _config(tmp_path, _url(here.port) + further, journal='path = "memory"', stop_timeout="20s")
        async with GatewayProcess.running(config) as gateway:
            await _open(gateway, board)
            await until(lambda: _numbers(far) == [0])
            await network.cut()
            await gateway.said("broker cloud: offline")
            for number in range(1, 11):
                await board.say(_line(number))
            await until(lambda: len(_numbers(near)) == 11)
            gateway.send(signal.SIGTERM)
            await until(lambda: near.on("status")[-1] == {"state": "offline"})
            await network.mend()
            assert await gateway.ended() == 0
            await until(lambda: far.on("status")[-1] == {"state": "offline"})
    assert _numbers(far) == list(range(11))
    _adds_up(_counters(far))


async def test_second_address_takes_over_and_nothing_is_lost(
    tmp_path: Path, brokers: tuple[Mosquitto, Mosquitto], board: PtyInstrument
) -> None:
    first, second = brokers
    async with (
        Subscriber.listening(first.host, first.port) as one,
        Subscriber.listening(second.host, second.port) as other,
    ):
        urls = f'urls = ["mqtt://127.0.0.1:{first.port}", "mqtt://127.0.0.1:{second.port}"]\n'
        async with GatewayProcess.running(_config(tmp_path, urls)) as gateway:
            await _open(gateway, board)
            await until(lambda: _numbers(one) == [0])
            first.kill()
            await gateway.said("online again")
            for number in range(1, 100):
                await board.say(_line(number))
            await until(lambda: _numbers(other)[-1:] == [99])
            assert await gateway.stop() == 0
    assert set(_numbers(one)) | set(_numbers(other)) == set(range(100))
    assert other.on("status")[-1] == {"state": "offline"}


async def test_counters_add_up_over_an_outage_refusals_and_a_full_journal(
    tmp_path: Path, board: PtyInstrument
) -> None:
    topics = {name: f"sallyport/test/{name}" for name in ("board", "spy", "gaps", "status/counters")}
    with PtyInstrument.plugged_in(tmp_path / "spy") as spy:
        async with RogueBroker.running() as broker:
            broker.reasons[topics["spy"]] = NOT_AUTHORIZED

            def on(topic: str) -> list[Any]:
                return [json.loads(each.payload) for each in broker.messages if each.topic == topics[topic]]

            def newest(device: str) -> Any:
                payloads = [each.payload for each in broker.messages if each.topic == topics[device]]
                return json.loads(payloads[-1])["values"]["n"] if payloads else None

            config = _config(
                tmp_path,
                _url(broker.port),
                journal='max_size = "1MB"\npath = "memory"',
                devices=("board", "spy"),
            )
            async with GatewayProcess.running(config) as gateway:
                await _open(gateway, board)
                while not gateway.lines("spy: online"):
                    await spy.say(_line(0) + b'{"n":broken\r\n')
                    await asyncio.sleep(0.05)
                for number in range(1, 101):
                    await spy.say(_line(number))
                await until(lambda: newest("spy") == 100)
                await broker.kill()
                await gateway.said("broker: offline")
                for number in range(1, 6001):
                    await board.say(_line(number))
                await gateway.said("the oldest readings are lost")
                await broker.start()
                await until(lambda: newest("board") == 6000)
                assert await gateway.stop() == 0
            counters = on("status/counters")[-1]
            gaps = on("gaps")
            arrived = {each["seq"] for each in on("board")}
    _adds_up(counters)
    mqtt, devices = counters["brokers"]["mqtt"], counters["devices"]
    assert mqtt["waiting"] == 0
    assert mqtt["set_aside"] == devices["spy"]["read"] > 100
    assert devices["spy"]["rejected"] > 0
    # Counted where the messages came: what has arrived, and what was announced as lost, is everything.
    assert mqtt["evicted"] == devices["board"]["lost"] == sum(gap["lost"] for gap in gaps) > 0
    assert len(arrived) == mqtt["acknowledged"]
    gone = {seq for gap in gaps for seq in range(gap["first"], gap["last"] + 1)}
    assert arrived | gone == set(range(1, devices["board"]["read"] + 1))
    assert not arrived & gone


@pytest.mark.slow
async def test_broker_that_hangs_up_on_what_it_refuses_costs_just_that(
    tmp_path: Path, board: PtyInstrument
) -> None:
    rights = tmp_path / "acl"
    allowed = ("board", "status/#", "+/availability")
    rights.write_text("".join(f"topic readwrite sallyport/test/{each}\n" for each in allowed))
    # mosquitto 2.0.11 of Debian 12 hangs up after each PUBACK of 0x87, and often before we have read it.
    with (
        Mosquitto.running(tmp_path, listener=f"acl_file {rights}") as broker,
        PtyInstrument.plugged_in(tmp_path / "spy") as spy,
    ):
        config = _config(tmp_path, _url(broker.port), devices=("board", "spy"))
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(config) as gateway,
        ):
            await _open(gateway, board)
            while not gateway.lines("spy: online"):
                await asyncio.sleep(0.05)
                await spy.say(_line(0))
            for number in (1, 2):
                await spy.say(_line(number))
                await board.say(_line(number))
            await until(lambda: 2 in _numbers(subscriber))
            assert await gateway.stop() == 0
    assert _numbers(subscriber) == [0, 1, 2]
    counters = _counters(subscriber)
    _adds_up(counters)
    assert counters["brokers"]["mqtt"]["set_aside"] == counters["devices"]["spy"]["read"]


async def test_counters_are_published_at_their_interval_and_kept_by_the_broker(
    tmp_path: Path, board: PtyInstrument
) -> None:
    with Mosquitto.running(tmp_path) as broker:
        async with GatewayProcess.running(_config(tmp_path, _url(broker.port))) as gateway:
            await _open(gateway, board)
            async with Subscriber.listening(broker.host, broker.port) as subscriber:
                await until(lambda: len(subscriber.on("status/counters")) >= 2)
                assert await gateway.stop() == 0
        async with Subscriber.listening(broker.host, broker.port, "sallyport/test/status/#") as latecomer:
            await until(lambda: len(latecomer.got) == 2)
    _adds_up(_counters(subscriber))
    assert _counters(latecomer)["brokers"]["mqtt"]["waiting"] == 0
    assert all(each.retained for each in latecomer.got)
