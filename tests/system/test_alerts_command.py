"""`sallyport alerts` as a person types it, against a gateway's door, desk and engine on a real broker."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import config
from gateway.clock import system_clock
from gateway.control import Control
from gateway.model import Alert, Reading, Stamp
from gateway.publish.broker import Broker
from gateway.publish.link import LinkPublisher
from gateway.publish.publisher import Message
from gateway.rules.desk import Desk
from gateway.rules.engine import Engine
from gateway.rules.message import Message as Text
from gateway.rules.rule import Rule
from gateway.supervisor import Supervisor
from tests.contracts.publisher import deliver
from tests.gateway.rules.stage import Values, at_once, hot
from tests.support.alarms import Alarms
from tests.support.amqtt_process import AmqttProcess
from tests.support.forked import sallyport
from tests.support.gateway_process import until
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port
from tests.support.rogue_broker import RogueBroker

pytestmark = pytest.mark.real_time


def clock() -> Stamp:
    """Whatever the machine thinks of its own."""
    return system_clock()._replace(synchronised=True)


class Gateway:
    """What stands behind `sallyport alerts`: two rules about a boiler and an oven."""

    def __init__(self, file: Path) -> None:
        self.alerts: list[Alert] = []
        self.file = file
        values = Values()
        overheat = Rule(name="overheat", severity="critical", message=Text("{boiler.temperature} °C"))
        slow = Rule(name="slow", for_s=3600)
        watches = [hot(values, overheat), hot(values, overheat, "oven"), hot(values, slow)]
        self.engine = Engine(watches, clock(), heed=values.heed)
        desk = Desk(lambda: self.engine, clock, self.alerts.extend, at_once)
        loaded = config.load(file)
        self.control = Control(
            loaded.mqtt,
            Broker.ways(loaded.mqtt, client_id=loaded.client_id()),
            desk.verbs,
            gateway=loaded.gateway.name,
            connected=lambda: True,
        )

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, port: int, *, version: str = "5") -> AsyncIterator["Gateway"]:
        gateway = cls(configured(folder, port, version=version))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(Supervisor().run([gateway.control.child]))
            await until(lambda: gateway.control.listening)
            yield gateway
            task.cancel()

    def heat(self, *devices: str) -> None:
        for device in devices:
            self.alerts += self.engine.on_event(
                Reading(at=clock(), device=device, values={"temperature": 85})
            )


def configured(folder: Path, *ports: int, version: str = "5", name: str = "greenhouse") -> Path:
    file = folder / "gateway.toml"
    urls = ", ".join(f'"mqtt://127.0.0.1:{port}"' for port in ports)
    file.write_text(
        f'[gateway]\nname = "{name}"\n[mqtt]\nurls = [{urls}]\nversion = "{version}"\nconnect_timeout = "2s"\n'
        '[journal]\npath = "memory"\n'
    )
    return file


async def alerts(file: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    return await sallyport("alerts", "--config", file, *arguments, environment=environment)


async def test_list_shows_what_fires_what_is_pending_and_the_silences(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        async with Gateway.running(tmp_path, broker.port) as gateway:
            assert await alerts(gateway.file) == (0, "no alert fires or is pending\n", "")
            gateway.heat("boiler")
            assert (await alerts(gateway.file, "ack", "overheat", "--by", "anna"))[0] == 0
            done = await alerts(gateway.file, "silence", "--rule", "sl*", "--for", "90m", "--by", "bert")
            assert done == (0, "silence-1: silenced for 1h 30m\n", "")
            status, out, err = await alerts(gateway.file)
            as_json = await alerts(gateway.file, "--json")
    heads, first, second, nothing, silences, silence = out.splitlines()
    assert (status, err, nothing) == (0, "", "")
    assert heads.split() == [
        "severity", "state", "rule", "device", "for", "since", "value", "quiet", "message",
    ]  # fmt: skip
    assert re.fullmatch(
        r"critical +firing +overheat +boiler +\d+s +\S{19}Z +acknowledged by anna +85 °C", first
    )
    assert re.fullmatch(r"warning +pending +slow +boiler +\d+s +\S{19}Z +silenced by bert", second)
    assert silences.split() == ["silence", "rule", "device", "labels", "ends", "in", "by"]
    assert re.fullmatch(r"silence-1 +sl\* +\* +(1h 30m|1h 29m) +bert", silence)
    found = json.loads(as_json[1])
    assert [each["rule"] for each in found["alerts"]] == ["overheat", "slow"]
    assert found["silences"][0]["by"] == "bert"


async def test_alert_is_acknowledged_by_whoever_has_logged_in(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        async with Gateway.running(tmp_path, broker.port) as gateway:
            gateway.heat("boiler", "oven")
            assert await alerts(gateway.file, "ack", "overheat") == (
                1, "", 'sallyport: overheat: fires for several devices: "boiler", "oven"; say which, or "*"\n',
            )  # fmt: skip
            done = await alerts(gateway.file, "ack", "overheat", "oven", LOGNAME="carla", SUDO_USER="")
            assert done == (0, "overheat, oven: acknowledged by carla\n", "")
            assert gateway.alerts[-1].labels == {"acknowledged": "carla"}
            done = await alerts(gateway.file, "ack", "overheat", "oven", LOGNAME="root", SUDO_USER="bert")
            assert done[1] == "overheat, oven: acknowledged by bert\n"
            done = await alerts(gateway.file, "ack", "overheat", "*", "--by", "dora")
            assert done[1] == "overheat, boiler: acknowledged by dora\noverheat, oven: acknowledged by dora\n"


async def test_silence_begins_and_is_taken_back(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        async with Gateway.running(tmp_path, broker.port) as gateway:
            gateway.heat("boiler")
            silencing = (
                "silence",
                "--label",
                "severity=critical",
                "--for",
                "2h",
                "--name",
                "works",
                "--by",
                "anna",
            )
            assert await alerts(gateway.file, *silencing) == (0, "works: silenced for 2h\n", "")
            assert gateway.alerts[-1].labels == {"silenced": "anna"}
            assert await alerts(gateway.file, "unsilence", "works") == (0, "works: taken back\n", "")
            assert gateway.alerts[-1].labels == {}
            assert await alerts(gateway.file, "unsilence", "works") == (
                1, "", "sallyport: works: no such silence\n",
            )  # fmt: skip
            done = await alerts(gateway.file, "silence", "--rule", "overhaet", "--until", "2099-01-01")
            assert done[0] == 1
            done = await alerts(gateway.file, "silence", "--rule", "overhaet", "--for", "1d 2h")
            assert done[0] == 1
            done = await alerts(gateway.file, "silence", "--rule", "overhaet", "--for", "1d")
            assert done == (0, "silence-1: silenced for 1d\n", "nothing that is watched now matches it\n")
            assert (await alerts(gateway.file, "silence", "--for", "1d"))[2].startswith(
                "sallyport: needs a rule"
            )
            done = await alerts(gateway.file, "silence", "--for", "1d", "--label", "site")
            assert done == (2, "", "sallyport alerts: --label site: must be NAME=VALUE\n")


async def test_broker_of_3_1_1_and_one_that_is_away_before_it_will_do(tmp_path: Path) -> None:
    with AmqttProcess.running() as broker:
        async with Gateway.running(tmp_path, broker.port, version="3.1.1") as gateway:
            gateway.heat("boiler")
            configured(tmp_path, free_port(), broker.port, version="3.1.1")
            done = await alerts(gateway.file, "ack", "overheat", "--by", "anna")
            assert done == (0, "overheat, boiler: acknowledged by anna\n", "")


SILENCE = {
    "nowhere": ", and the broker has never heard of it: is this the configuration that it runs with?",
    "offline": ": it is not running, or has lost this broker",
    "online": (
        " though it is online: its log says if the broker does not let it listen; see whether this user may read"
        " sallyport/online/response/alert/list"
    ),
}


async def test_gateway_that_does_not_answer_is_named_with_what_to_look_at(tmp_path: Path) -> None:
    async def asked(name: str) -> tuple[int, str, str]:
        (tmp_path / name).mkdir()
        return await alerts(configured(tmp_path / name, broker.port, name=name))

    with Mosquitto.running(tmp_path) as broker:
        somebody = Broker(host=broker.host, port=broker.port, client_id="somebody")
        async with LinkPublisher(somebody).connect() as session:
            said = [
                Message(f"sallyport/{state}/status", json.dumps({"state": state}).encode(), retain=True)
                for state in ("offline", "online")
            ]
            for state, strange in (("offline", b"[]"), ("online", b"no JSON")):
                said.append(Message(f"sallyport/{state}/response/alert/list", strange, retain=True))
            await deliver(session, said)
        done = await asyncio.gather(*map(asked, SILENCE))
    assert done == [
        (1, "", f"sallyport: {broker.host}:{broker.port}: gateway {name} does not answer{why}\n")
        for name, why in SILENCE.items()
    ]


async def test_broker_that_is_away_or_takes_no_requests_is_named(tmp_path: Path) -> None:
    file = configured(tmp_path, port := free_port())
    assert await alerts(file) == (1, "", f"sallyport: 127.0.0.1:{port}: Connection refused\n")
    file = configured(tmp_path, port, other := free_port())
    refused = f"127.0.0.1:{port}: Connection refused; 127.0.0.1:{other}: Connection refused"
    assert await alerts(file) == (1, "", f"sallyport: {refused}\n")
    async with RogueBroker.running() as rogue:
        file = configured(tmp_path, rogue.port)
        topic = "sallyport/greenhouse/request/alert/list"
        rogue.reasons[topic] = 0x87
        why = f"127.0.0.1:{rogue.port}: the broker does not take requests on {topic}: Not authorized (0x87)"
        assert await alerts(file) == (1, "", f"sallyport: {why}\n")


async def test_what_was_answered_outlasts_kill_9_at_once(tmp_path: Path) -> None:
    async with Alarms.at(tmp_path) as site:
        config = site.config('[rules.hot]\nwhen = "board.t > 80"\n')
        async with site.running(config) as gateway:
            await site.open(gateway)
            await site.say(t=90)
            await until(lambda: site.stories == [("hot", "firing")])
            done = await alerts(config, "silence", "--device", "elsewhere", "--for", "1h", "--by", "bert")
            gateway.kill()
            assert done[:2] == (0, "silence-1: silenced for 1h\n")
        async with site.running(config) as gateway:
            await gateway.said("broker: online")
            await until_it_listens(config)
            done = await alerts(config, "ack", "hot", "--by", "anna")
            gateway.kill()
            assert done == (0, "hot, board: acknowledged by anna\n", "")
        async with site.running(config) as gateway:
            await gateway.said("broker: online")
            await until_it_listens(config)
            _, out, _ = await alerts(config, "--json")
            await gateway.stop()
    found = json.loads(out)
    [hot] = [each for each in found["alerts"] if each["rule"] == "hot"]
    [silence] = found["silences"]
    assert hot["labels"] == {"acknowledged": "anna"}
    assert (silence["device"], silence["by"]) == ("elsewhere", "bert")
    assert 3500 < silence["left_s"] < 3600
    assert [each.quiet for each in site.told] == ["", "acknowledged by anna"]


async def until_it_listens(file: Path) -> None:
    async with asyncio.timeout(60):
        while (await alerts(file))[0]:
            pass
