"""Serial bytes in, readings out on a real broker, from one TOML file; the daemon is a process of its own."""

import asyncio
import json
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from drivers.instrument import PtyInstrument
from tests.support.gateway_process import GatewayProcess, until
from tests.support.mosquitto import Mosquitto
from tests.support.relay import Relay
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.real_time


SMALL = 'path = "memory"\nmax_size = "1MB"'


def _config(
    folder: Path,
    port: int,
    *,
    extra: str = "",
    device: str = "",
    name: str = "board",
    stop_timeout: str = "5s",
    journal: str = 'path = "journal.db"',
) -> Path:
    file = folder / "gateway.toml"
    file.write_text(
        f'[gateway]\nname = "test"\nstop_timeout = "{stop_timeout}"\n'
        f'[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\nretry_max = "200ms"\n{extra}\n'
        f'[devices.{name}]\ndriver = "json"\nport = "{folder / name}"\nretry_max = "200ms"\n{device}\n'
        f"[journal]\n{journal}\n"
    )
    return file


def _line(number: int) -> bytes:
    return json.dumps({"n": number}).encode() + b"\r\n"


def _numbers(readings: list[Any]) -> list[int]:
    return [each["values"]["n"] for each in readings]


async def _open(subscriber: Subscriber) -> None:
    """Until the gateway reads the port: what is said before that is lost, as on any serial line."""
    await until(
        lambda: any(
            "open, no reading yet" in each.get("reason", "") for each in subscriber.on("availability")
        )
    )


async def _take_away(broker: Mosquitto, network: Relay) -> None:
    broker.kill()
    await network.cut()


async def _bring_back(broker: Mosquitto, network: Relay, subscriber: Subscriber) -> None:
    """The subscriber first: a broker that was killed has forgotten it, and would give it nothing."""
    broker.start()
    await subscriber.returned()
    await network.mend()


async def test_a_reading_goes_from_the_line_to_the_subscriber(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(_config(tmp_path, broker.port)) as gateway,
        ):
            await _open(subscriber)
            await board.say(b'{"temperature":21.5,"fan":{"on":true},"door":"open"}\r\n')
            await subscriber.has(1)
            await gateway.stop()
    [got] = [each for each in subscriber.got if each.topic == "sallyport/test/board"]
    assert not got.retained
    # "clock" is there while this machine's own is not synchronised.
    assert set(got.json) - {"clock"} == {"time", "seq", "run", "values"}
    assert got.json["seq"] == 1
    assert got.json["values"] == {"temperature": 21.5, "fan.on": True, "door": "open"}
    assert got.json["time"].endswith("Z")


async def test_orderly_life_as_seen_on_the_retained_topics(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with Subscriber.listening(broker.host, broker.port) as subscriber:
            async with GatewayProcess.running(_config(tmp_path, broker.port)) as gateway:
                await _open(subscriber)
                await board.say(_line(1))
                await subscriber.has(1)
                assert await gateway.stop() == 0
            await until(lambda: len(subscriber.on("status")) == 2)
    online, offline = subscriber.on("status")
    assert online["state"] == "online"
    assert set(online) == {"state", "since", "version"}
    assert offline == {"state": "offline"}
    states = [(each["state"], each.get("reason")) for each in subscriber.on("board/availability")]
    assert states[-2:] == [("online", None), ("offline", "the gateway was stopped")]
    assert not [line for line in gateway.log if "WARNING" in line or "Traceback" in line]


async def test_last_will_says_offline_when_the_gateway_is_killed(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board"):
        async with Subscriber.listening(broker.host, broker.port) as subscriber:
            async with GatewayProcess.running(_config(tmp_path, broker.port)) as gateway:
                await _open(subscriber)
                gateway.send(signal.SIGKILL)
                await gateway.ended()
            await until(lambda: {"state": "offline"} in subscriber.on("status"))
    assert subscriber.on("board/availability")[-1]["state"] == "offline"


async def test_layout_metric_publishes_each_value_bare_on_a_topic_of_its_own(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = _config(tmp_path, broker.port, extra='layout = "metric"\nprefix = "plant/hall-2"')
        async with (
            Subscriber.listening(broker.host, broker.port, "plant/#") as subscriber,
            GatewayProcess.running(config) as gateway,
        ):
            await _open(subscriber)
            await board.say(b'{"t":21.5,"on":true,"door":"open","a":{"b/c":1}}\n')
            await until(lambda: sum("/board/" in each.topic for each in subscriber.got) >= 6)
            await gateway.stop()
    values = {
        each.topic: each.payload
        for each in subscriber.got
        if not each.topic.endswith(("status", "status/counters", "availability"))
    }
    assert values == {
        "plant/hall-2/test/board/t": b"21.5",
        "plant/hall-2/test/board/on": b"true",
        "plant/hall-2/test/board/door": b"open",
        "plant/hall-2/test/board/a.b_c": b"1",
    }


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_broker_that_goes_away_costs_no_reading(tmp_path: Path, version: str) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with (
            Relay.to(broker.port) as network,
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(
                _config(tmp_path, network.port, extra=f'version = "{version}"')
            ) as gateway,
        ):
            await _open(subscriber)
            for number in range(50):
                await board.say(_line(number))
            await subscriber.has(50)
            await _take_away(broker, network)
            await gateway.said("offline")
            for number in range(50, 500):
                await board.say(_line(number))
            await asyncio.sleep(0.5)
            await _bring_back(broker, network, subscriber)
            await gateway.said("online again")
            await board.say(_line(500))
            await until(lambda: 500 in _numbers(subscriber.readings()))
            assert await gateway.stop() == 0
    # What was under way when the broker died may come twice; (run, seq) tells.
    readings = subscriber.readings()
    assert list(dict.fromkeys(_numbers(readings))) == list(range(501))
    assert list(dict.fromkeys(each["seq"] for each in readings)) == list(range(1, 502))
    assert len({each["run"] for each in readings}) == 1
    about = gateway.lines("broker")
    assert len(about) == 3
    assert about[0].endswith(": online")
    assert ": offline: " in about[1]
    assert ": online again after " in about[2]
    assert not any("Traceback" in line for line in gateway.log)


async def test_port_that_is_pulled_comes_back_by_itself_under_another_path(tmp_path: Path) -> None:
    with (
        Mosquitto.running(tmp_path) as broker,
        PtyInstrument.plugged_in(tmp_path / "board") as board,
        PtyInstrument.plugged_in(tmp_path / "other socket") as elsewhere,
    ):
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(_config(tmp_path, broker.port)) as gateway,
        ):
            await _open(subscriber)
            await board.say(_line(0))
            await subscriber.has(1)
            board.unplug()
            await until(
                lambda: subscriber.on("availability")[-1].get("reason", "").endswith("no such device")
            )
            board.path.symlink_to(elsewhere.path)
            await until(
                lambda: subscriber.on("availability")[-1].get("reason", "").endswith("no reading yet")
            )
            await elsewhere.say(_line(1))
            await subscriber.has(2)
            await gateway.stop()
    assert _numbers(subscriber.readings()) == [0, 1]
    assert [each["seq"] for each in subscriber.readings()] == [1, 2]
    about = gateway.lines("board")
    assert about[:2] == ["board: online", f"board: offline: {board.path}: unplugged or hung up"]
    assert about[2].startswith("board: online again after ")
    assert len(about) == 3
    offline = [each for each in subscriber.on("availability") if each["state"] == "offline"]
    assert f"{board.path}: unplugged or hung up" in [each["reason"] for each in offline]
    assert f"{board.path}: no such device" in [each["reason"] for each in offline]


async def test_what_came_before_a_hang_up_is_published(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(_config(tmp_path, broker.port)) as gateway,
        ):
            await _open(subscriber)
            for number in range(20):
                await board.say(_line(number))
            await subscriber.has(20)
            await board.say(_line(20) + b'{"n":21}')  # whole, but for its line end
            await subscriber.has(21)
            board.unplug()
            await gateway.said("board: offline")
            await subscriber.has(22)
            await gateway.stop()
    assert _numbers(subscriber.readings()) == list(range(22))


async def test_port_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        board = PtyInstrument(tmp_path / "board")
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(_config(tmp_path, broker.port)) as gateway,
        ):
            await gateway.said(f"board: offline: {board.path}: no such device")
            board.plug_in()
            try:
                await _open(subscriber)
                await board.say(_line(1))
                await subscriber.has(1)
                await gateway.stop()
            finally:
                board.unplug()
    assert len(gateway.lines("board")) == 2


async def test_sigterm_while_the_broker_is_away_ends_in_time_and_the_next_start_delivers_what_is_left(
    tmp_path: Path,
) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = _config(tmp_path, broker.port, stop_timeout="500ms")
        async with Subscriber.listening(broker.host, broker.port) as subscriber:
            async with GatewayProcess.running(config) as gateway:
                await _open(subscriber)
                await board.say(_line(0))
                await subscriber.has(1)
                broker.kill()
                await gateway.said("offline")
                for number in range(1, 11):
                    await board.say(_line(number))
                await asyncio.sleep(0.3)
                assert await gateway.stop() == 0
            kept = f"the broker has not taken 10 readings: they stay in {tmp_path}/journal.db"
            assert kept in "\n".join(gateway.log)
            assert not any("Traceback" in line for line in gateway.log)
            broker.start()
            await subscriber.returned()
            async with GatewayProcess.running(config) as again:
                await subscriber.has(11)
                assert await again.stop() == 0
    readings = subscriber.readings()
    assert _numbers(readings) == list(range(11))
    assert [each["seq"] for each in readings] == list(range(1, 12))
    assert len({each["run"] for each in readings}) == 1


async def test_path_memory_says_what_is_lost_with_the_process(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = _config(tmp_path, broker.port, stop_timeout="500ms", journal=SMALL)
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(config) as gateway,
        ):
            await _open(subscriber)
            broker.kill()
            await gateway.said("offline")
            for number in range(1, 11):
                await board.say(_line(number))
            await asyncio.sleep(0.3)
            assert await gateway.stop() == 0
    assert "the broker has not taken the last 10 readings: they are lost" in "\n".join(gateway.log)
    assert [each.name for each in tmp_path.iterdir() if "journal" in each.name] == []


async def test_without_a_journal_on_disk_a_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with (
            Relay.to(broker.port) as network,
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(
                _config(tmp_path, network.port, stop_timeout="20s", journal=SMALL)
            ) as gateway,
        ):
            await _open(subscriber)
            await _take_away(broker, network)
            await gateway.said("offline")
            for number in range(10):
                await board.say(_line(number))
            await asyncio.sleep(0.3)
            gateway.send(signal.SIGTERM)
            await gateway.said("stopping")
            await _bring_back(broker, network, subscriber)
            assert await gateway.ended() == 0
            await subscriber.has(10)
    assert list(dict.fromkeys(_numbers(subscriber.readings()))) == list(range(10))


async def test_sigterm_while_the_port_is_away_ends_at_once(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(_config(tmp_path, broker.port)) as gateway,
        ):
            await _open(subscriber)
            await board.say(_line(0))
            await subscriber.has(1)
            board.unplug()
            await gateway.said("board: offline")
            assert await gateway.stop(signal.SIGINT) == 0
            await until(lambda: subscriber.on("status")[-1] == {"state": "offline"})
    assert len(gateway.lines("board")) == 2
    assert not any("Traceback" in line for line in gateway.log)


@pytest.mark.parametrize("way_out", ["refused", "deaf"])
async def test_sigterm_with_nothing_to_deliver_and_no_broker_ends_at_once_and_quietly(
    tmp_path: Path, way_out: str
) -> None:
    with socket.socket() as deaf:  # takes connections and never says a word
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        port = deaf.getsockname()[1] if way_out == "deaf" else 1
        config = _config(tmp_path, port, stop_timeout="10m", extra='connect_timeout = "5m"')
        async with GatewayProcess.running(config) as gateway:
            await gateway.said("board: offline")
            await asyncio.sleep(0.3)
            assert await gateway.stop() == 0
    assert not any("Traceback" in line or "never retrieved" in line for line in gateway.log)


async def test_stop_under_a_flood_accounts_for_every_reading(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = _config(tmp_path, broker.port, stop_timeout="100ms", journal=SMALL)
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(config) as gateway,
        ):
            await _open(subscriber)
            flood = asyncio.create_task(board.play((_line(n) * 20 for n in range(10**6)), every_s=0))
            await until(lambda: len(subscriber.got) > 500)
            assert await gateway.stop() == 0
            flood.cancel()
            await asyncio.wait([flood])
            log = "\n".join(gateway.log)
            told = re.search(r"(\d+) readings read, (\d+) journaled, 0 refused", log)
            settled = re.search(
                r"(\d+) acknowledged, 0 set aside, (\d+) forced out of the journal, (\d+) left", log
            )
            assert told
            assert settled
            await until(lambda: len(subscriber.got) > int(settled[1]))
            await subscriber.has(int(settled[1]))
    assert int(told[1]) == int(told[2]) == sum(map(int, settled.groups()))


async def test_second_signal_stops_at_once(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "board") as board:
        config = _config(tmp_path, 1, stop_timeout="10m", journal=SMALL)  # nobody listens there
        async with GatewayProcess.running(config) as gateway:
            await gateway.said("broker: offline: 127.0.0.1:1: ")
            while not gateway.lines("board: online"):  # what comes before it has opened the port is lost
                await board.say(_line(1))
                await asyncio.sleep(0.05)
            gateway.send(signal.SIGTERM)
            await gateway.said("SIGTERM: stopping")
            assert await gateway.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert "SIGTERM again: stopping at once" in gateway.log[-1]


async def test_full_buffer_gives_up_the_oldest_counts_and_says_so(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with (
            Relay.to(broker.port) as network,
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(_config(tmp_path, network.port, journal=SMALL)) as gateway,
        ):
            await _open(subscriber)
            await _take_away(broker, network)
            await gateway.said("offline")
            for number in range(8000):
                await board.say(_line(number))
            await gateway.said("the oldest readings are lost")
            await board.say(_line(8000))
            await board.heard_out()
            await asyncio.sleep(0.5)
            await _bring_back(broker, network, subscriber)
            await until(lambda: 8000 in _numbers(subscriber.readings()))
            await board.say(_line(8001))
            await until(lambda: 8001 in _numbers(subscriber.readings()))
            assert await gateway.stop() == 0
    numbers = list(dict.fromkeys(_numbers(subscriber.readings())))
    assert numbers == list(range(numbers[0], 8002))
    assert numbers[0] > 1000
    [line] = [line for line in gateway.log if "room again" in line]
    assert f"{numbers[0]} readings were lost: board {numbers[0]}" in line


async def test_input_without_a_frame_end_costs_bounded_memory(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(_config(tmp_path, broker.port), anew=True) as gateway,
        ):
            await _open(subscriber)
            before = gateway.memory()
            for _ in range(2000):
                await board.say(b"x" * 4096)
            await board.say(b"\n" + _line(1))
            await subscriber.has(1)
            assert gateway.memory() - before < 4 << 20
            await gateway.stop()
    assert "board: rejected: 1 too long" in gateway.lines("board")


async def test_the_captures_of_real_receivers_arrive_as_their_expected_values_say(
    tmp_path: Path, captures: Path
) -> None:
    files = sorted((captures / "nmea0183").glob("*.nmea"))
    assert files
    expected = []
    for file in files:
        frames = json.loads(file.with_suffix(".expected.json").read_text())["frames"]
        expected += [
            {each["metric"]: each["value"] for each in frame["readings"] if each["value"] is not None}
            for frame in frames
        ]
    expected = [values for values in expected if values]
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "gps") as gps:
        config = _config(tmp_path, broker.port, name="gps")
        config.write_text(config.read_text().replace('"json"', '"nmea0183"'))
        async with (
            Subscriber.listening(broker.host, broker.port) as subscriber,
            GatewayProcess.running(config) as gateway,
        ):
            await _open(subscriber)
            for file in files:
                await gps.say(file.read_bytes() + b"\r\n")
            await subscriber.has(len(expected))
            assert await gateway.stop() == 0
    readings = subscriber.readings("gps")
    assert len(readings) == len(expected)
    assert [each["seq"] for each in readings] == list(range(1, len(expected) + 1))
    for reading, values in zip(readings, expected, strict=True):
        assert reading["values"].keys() == values.keys()
        for metric, value in values.items():
            assert reading["values"][metric] == (
                pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            )
