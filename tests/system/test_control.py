"""Devices set and the gateway asked over MQTT: the daemon, a real broker, instruments that obey."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from drivers.instrument import PtyInstrument
from drivers.scpi.simulator import Supply
from gateway.config import ControlOptions, load
from gateway.config.control import VERBS
from tests.support.forked import sallyport
from tests.support.gateway_process import GatewayProcess, until
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.real_time

PAGE = (Path(__file__).parents[2] / "docs" / "control.md").read_text()
EXAMPLES = re.findall(r"^    (\S+) +(\S.*)\n    (response/\S+) +(\{.*\})$", PAGE, re.MULTILINE)
[CONFIGURED] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
[PORT] = re.findall(r'^port = "(.*)"$', CONFIGURED, re.MULTILINE)

ROOT = "sallyport/greenhouse"
VARYING = {"path", "recorded", "run", "since", "size", "time", "up_s", "used", "waiting"}
"""Keys of answers whose values the page cannot know."""


class Site:
    """The one of the page: its supply, its broker, somebody at that."""

    def __init__(self, folder: Path, broker: Mosquitto, gateway: GatewayProcess, ears: Subscriber) -> None:
        self.folder = folder
        self.broker = broker
        self.gateway = gateway
        self.ears = ears

    @classmethod
    @asynccontextmanager
    async def at_work(cls, folder: Path, control: str | None = None) -> AsyncIterator["Site"]:
        """`control`: what stands in [control] in place of what the page has."""
        with Mosquitto.running(folder) as broker, PtyInstrument.plugged_in(folder / "supply") as line:
            _write(folder, broker.port, control)
            async with (
                Subscriber.listening(broker.host, broker.port, f"{ROOT}/#") as ears,
                GatewayProcess.running(folder / "gateway.toml") as gateway,
                asyncio.TaskGroup() as group,
            ):
                serving = group.create_task(line.serve(Supply()))
                site = cls(folder, broker, gateway, ears)
                await until(lambda: ears.readings("supply"))
                yield site
                assert await gateway.stop() == 0
                serving.cancel()

    def write(self, control: str) -> None:
        _write(self.folder, self.broker.port, control)

    async def listens(self) -> None:
        """As soon as it does, it answers."""
        seen = len(self.answers("ping"))
        async with asyncio.timeout(30):
            while len(self.answers("ping")) == seen:
                await self.tell("request/ping", "{}")
                await asyncio.sleep(0.2)

    def answers(self, verb: str) -> list[Any]:
        return [each.json for each in self.ears.got if each.topic == f"{ROOT}/response/{verb}"]

    async def tell(self, topic: str, payload: str) -> None:
        async with aiomqtt.Client(self.broker.host, self.broker.port) as client:
            await client.publish(f"{ROOT}/{topic}", payload, qos=1)

    async def tells(self, topic: str, payload: str, verb: str = "set") -> Any:
        before = len(self.answers(verb))
        await self.tell(topic, payload)
        await until(lambda: len(self.answers(verb)) > before)
        return self.answers(verb)[before]

    async def ask(self, request: Mapping[str, Any]) -> Any:
        """On this machine."""
        [path] = (self.folder / "run").glob("*.sock")
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(json.dumps(request).encode() + b"\n")
        answer = json.loads(await reader.readline())
        writer.close()
        return answer

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await sallyport(*arguments, environment={"RUNTIME_DIRECTORY": str(self.folder / "run")})

    async def seen(self, **values: Any) -> None:
        await until(lambda: self.ears.readings("supply")[-1]["values"].items() >= values.items())


def _write(folder: Path, port: int, control: str | None) -> None:
    text = CONFIGURED.replace(PORT, str(folder / "supply")).replace('interval = "1s"', 'interval = "50ms"')
    if control is not None:
        text = re.sub(r"\[control\]\n.*?\n\n", f"[control]\n{control}\n\n", text, flags=re.DOTALL)
    (folder / "gateway.toml").write_text(
        f'{text}\n[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\nretry_max = "200ms"\n[journal]\npath = "journal.db"\n'
    )


def _known(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Of an answer, what the page can know; this machine's clock may be wrong."""
    return {
        key: _known(each) if isinstance(each, dict) else "…" if key in VARYING else each
        for key, each in answer.items()
        if key != "clock"
    }


async def test_each_message_of_the_page_is_answered_as_it_says(tmp_path: Path) -> None:
    assert len(EXAMPLES) >= 10
    async with Site.at_work(tmp_path) as site:
        await site.listens()
        for topic, payload, response, expected in EXAMPLES:
            answer = await site.tells(topic, payload, response.removeprefix("response/"))
            wanted = json.loads(expected.replace(PORT, str(tmp_path / "supply")))
            assert _known(answer) == _known(wanted), topic
        await site.seen(voltage_limit=7.5)
        [line] = re.findall(r"^    (asked on .*)$", PAGE, re.MULTILINE)
        assert site.gateway.lines("asked on")[0] == line


def test_page_has_a_row_for_each_verb() -> None:
    [table] = re.findall(r"^\| verb \| key \| \|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    rows = [re.findall(r"`([a-z/]+)`", line.split("|")[1]) for line in table.splitlines()[1:]]
    assert sorted(verb for row in rows for verb in row) == sorted(VERBS)


def test_page_says_what_is_allowed_without_a_list() -> None:
    [row] = re.findall(r"^\| `allow` \|.*\| (.*) \|$", PAGE, re.MULTILINE)
    assert re.findall(r'`"(.*?)"`', row) == [*ControlOptions().allow]


async def test_device_restarted_on_request_counts_on(tmp_path: Path) -> None:
    async with Site.at_work(tmp_path) as site:
        await site.listens()
        for _ in range(3):
            await site.tells("request/device/restart", '{"device":"supply"}', "device/restart")
            seen = len(site.ears.readings("supply"))
            await until(lambda seen=seen: len(site.ears.readings("supply")) > seen + 2)  # type: ignore[misc]
        seqs = [each["seq"] for each in site.ears.readings("supply")]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_reload_changes_what_may_be_set_on_the_same_connection(tmp_path: Path) -> None:
    async with Site.at_work(tmp_path, 'set = ["supply.on"]') as site:
        await site.listens()
        limit, on = '{"values":{"voltage_limit":5}}', '{"values":{"on":true}}'
        assert (await site.tells("supply/set", on))["status"] == "ok"
        assert (await site.tells("supply/set", limit))["status"] == "error"
        site.write('set = ["supply.voltage_limit"]\nrate = 50\nallow = ["ping", "reload"]')
        answer = await site.tells("request/reload", "{}", "reload")
        assert answer["plan"] == ["change: control (allow, set, rate)"]
        assert (await site.tells("supply/set", on))["status"] == "error"
        assert (await site.tells("supply/set", limit))["status"] == "ok"
        assert (await site.tells("request/devices", "{}", "devices"))["status"] == "error"


async def test_reload_switches_listening_off_and_on(tmp_path: Path) -> None:
    async with Site.at_work(tmp_path, "") as site:
        await site.listens()
        await site.tell("supply/set", '{"values":{"voltage_limit":5}}')  # nobody hears it
        site.write("enabled = false")
        assert (await site.tells("request/reload", "{}", "reload"))["status"] == "ok"
        async with asyncio.timeout(30):  # what is asked while it leaves may still be answered
            while True:
                seen = len(site.answers("ping"))
                await site.tell("request/ping", "{}")
                await asyncio.sleep(0.5)
                if len(site.answers("ping")) == seen:
                    break
        assert (await site.ask({"verb": "ping"}))["gateway"] == "greenhouse"
        site.write('set = ["supply.*"]')
        assert (await site.ask({"verb": "reload"}))["plan"] == ["change: control (enabled, set)"]
        await site.listens()
        assert (await site.tells("supply/set", '{"values":{"voltage_limit":6}}'))["set"] == {
            "voltage_limit": 6
        }
        assert len(site.answers("set")) == 1
        broker = (await site.ask({"verb": "overview"}))["brokers"][0]
        assert broker["connects"] == 1  # the connection of the readings has noticed nothing


async def test_on_this_machine_everything_may_be_set_and_asked(tmp_path: Path) -> None:
    async with Site.at_work(tmp_path, "enabled = false") as site:
        site.broker.kill()
        status, out, err = await site.run("set", "supply", "voltage_limit=9.5", "on=false")
        assert (status, out, err) == (0, "supply.voltage_limit = 9.5\nsupply.on = false\n", "")
        refused, level, wrong = await asyncio.gather(
            site.run("set", "supply", "voltage_limit=41"),
            site.run("ask", "log/level", '{"level": "debug", "for": "1h"}'),
            site.run("ask", "ping", "[]"),
        )
        assert refused == (1, "", "sallyport: voltage_limit cannot be 41: 32 is the most\n")
        assert (level[0], json.loads(level[1])) == (0, {"logger": "", "level": "debug", "for": "1h"})
        assert wrong == (2, "", "sallyport ask: []: must be a JSON object, such as {}\n")
        await until(lambda: any(" DEBUG " in each for each in site.gateway.log))
        assert (await site.ask({"verb": "device/restart", "device": "supply"}))["device"] == "supply"
        assert (await site.ask({"verb": "fly"}))["error"].startswith("there is no such verb; there are ")
        site.broker.start()
        await site.seen(voltage_limit=9.5)
        assert [line for line in site.gateway.lines("asked on this machine: set") if line.endswith(": done")]


async def test_commands_and_readings_go_on_while_the_broker_comes_and_goes(tmp_path: Path) -> None:
    async with Site.at_work(tmp_path) as site:
        for limit in (1, 2, 3):
            await site.listens()
            assert (await site.tells("supply/voltage_limit/set", str(limit)))["set"] == {
                "voltage_limit": limit
            }
            await site.seen(voltage_limit=limit)
            site.broker.kill()
            await asyncio.sleep(0.1)
            site.broker.start()
        assert not [line for line in site.gateway.log if "a bug" in line]


def test_verbs_of_the_configuration_are_those_of_the_page_too(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIGURED)
    assert load(file).warnings == ()
