"""Home Assistant finds what the gateway reads: a gateway as a process, mosquitto, instruments, and a Home Assistant."""

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from drivers.instrument import PtyInstrument
from gateway.commands.replay import SETTLING_S
from gateway.homeassistant.discovery import SETTLE_S
from tests.support.gateway_process import PATIENCE_S, GatewayProcess, until
from tests.support.home_assistant import UNAVAILABLE, UNKNOWN, HomeAssistant
from tests.support.instruments import playing, sections
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.real_time


class Site:
    """One board that prints JSON, and what somebody writes about it."""

    def __init__(self, folder: Path, broker: Mosquitto, board: PtyInstrument) -> None:
        self.file = folder / "gateway.toml"
        self.broker = broker
        self.board = board
        self.folder = folder
        self.write()

    @classmethod
    @asynccontextmanager
    async def built(cls, folder: Path) -> AsyncIterator["Site"]:
        with Mosquitto.running(folder) as broker, PtyInstrument.plugged_in(folder / "board") as board:
            yield cls(folder, broker, board)

    def write(
        self,
        *,
        device: str = "",
        table: str = "[homeassistant]\n",
        mqtt: str = "",
        name: str = "board",
        rules: str = "",
    ) -> None:
        self.file.write_text(
            f'[gateway]\nname = "g"\n{table}'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{self.broker.port}"\nretry_max = "200ms"\n{mqtt}'
            f'[devices.{name}]\ndriver = "json"\nport = "{self.board.path}"\nretry_max = "200ms"\n{device}{rules}'
        )

    async def reload(self, gateway: GatewayProcess, **written: str) -> list[str]:
        self.write(**written)
        answer = await gateway.ask(self.folder, "reload")
        assert answer["status"] == "ok", answer
        plan: list[str] = answer["plan"]
        return plan

    async def say(self, values: Mapping[str, Any]) -> None:
        await self.board.opened()
        await asyncio.sleep(SETTLING_S)
        await self.board.say(json.dumps(values).encode() + b"\n")

    async def says_until(
        self, values: Mapping[str, Any], home: HomeAssistant, entity_id: str, state: str
    ) -> None:
        """A value that came before Home Assistant knew of the metric has not been heard by it."""

        async def keep_saying() -> None:
            while True:
                await self.say(values)
                await asyncio.sleep(0.1)

        saying = asyncio.create_task(keep_saying())
        try:
            await until(lambda: home.states.get(entity_id) == state)
        finally:
            saying.cancel()
            await asyncio.wait([saying])


def _is(home: HomeAssistant, entity_id: str, state: str) -> bool:
    return home.states.get(entity_id) == state


def _is_about(home: HomeAssistant, entity_id: str, value: float, within: float = 0.1) -> bool:
    state = home.states.get(entity_id, UNKNOWN)
    return state not in (UNKNOWN, UNAVAILABLE) and abs(float(state) - value) < within


async def _answers_elsewhere(broker: Mosquitto) -> None:
    """To whoever wishes to have the answer where Home Assistant would hear it."""
    wishes = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's, not annotated
    wishes.ResponseTopic = "homeassistant/cover/x/config"
    async with aiomqtt.Client(broker.host, broker.port, protocol=aiomqtt.ProtocolVersion.V5) as anna:
        await anna.subscribe("sallyport/hall/response/ping", qos=1)
        await anna.publish("sallyport/hall/request/ping", b"{}", qos=1, properties=wishes)
        async with asyncio.timeout(PATIENCE_S):
            async for message in anna.messages:
                assert orjson.loads(message.payload)["status"] == "ok"
                return


@pytest.mark.timeout(300)  # all instruments at once: much work on a busy machine
async def test_every_simulated_instrument_is_found_with_its_values(tmp_path: Path) -> None:
    devices = sections(tmp_path)
    with Mosquitto.running(tmp_path) as broker, Mosquitto.running(tmp_path) as other:
        file = tmp_path / "gateway.toml"
        file.write_text(
            '[gateway]\nname = "hall"\nstatus_interval = "1s"\n[control]\nset = ["*"]\n'
            '[homeassistant]\nbrokers = ["mqtt", "bare"]\n'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
            f'[mqtt.bare]\nurl = "mqtt://127.0.0.1:{other.port}"\nlayout = "metric"\n{devices}'
        )
        async with (
            playing(tmp_path),
            HomeAssistant.running(broker.port) as home,
            HomeAssistant.running(other.port) as bare,
            GatewayProcess.running(file) as gateway,
        ):
            for each in (home, bare):
                for device in tomllib.loads(devices)["devices"]:
                    await until(partial(each.hears, device))
                await until(partial(_is_about, each, "sensor.hall_weather_temperature", 0, within=50))
                await until(partial(_is, each, "binary_sensor.hall_connected", "on"))
                await until(partial(_is, each, "binary_sensor.hall_journal", "off"))
                via = each.entity("sensor.hall_weather_temperature").device["via_device"]
                assert [via] == each.entity("binary_sensor.hall_connected").device["identifiers"]
                assert each.complaints == []
                assert max(each.sizes) < 64 * 1024
            for entity_id, value, volts in (
                ("number.hall_supply_voltage_limit", 7.5, 7.5),
                ("switch.hall_supply_on", False, 0.0),
                ("switch.hall_supply_on", True, 7.5),
            ):
                assert entity_id not in bare.states, "nobody listens there"
                await home.set(entity_id, value)
                await until(partial(_is_about, home, "sensor.hall_supply_voltage", volts))
            await _answers_elsewhere(broker)
            assert await gateway.stop() == 0
            await until(lambda: home.states["binary_sensor.hall_connected"] == "off")
            assert home.states["sensor.hall_weather_temperature"] == UNAVAILABLE
            assert home.complaints + bare.complaints == []
            assert not [line for line in gateway.log if " ERROR " in line]


async def test_metric_that_nobody_described_is_found_when_it_comes_and_means_what_the_table_says(
    tmp_path: Path,
) -> None:
    async with Site.built(tmp_path) as site:
        site.write(device='metrics.t = { unit = "Cel", label = "Air", device_class = "temperature" }\n')
        async with (
            HomeAssistant.running(site.broker.port) as home,
            GatewayProcess.running(site.file) as gateway,
        ):
            await site.says_until({"t": 21.5, "lamp": True, "mode": "heat"}, home, "sensor.g_board_t", "21.5")
            await site.says_until({"t": 22, "lamp": False, "late": 7}, home, "sensor.g_board_late", "7")
            assert home.states["binary_sensor.g_board_lamp"] == "off"
            assert home.states["sensor.g_board_mode"] == "heat", (
                "it stays as it was while nothing is said of it"
            )
            config = home.entity("sensor.g_board_t").config
            assert (config["name"], config["unit_of_measurement"]) == ("Air", "°C")
            assert (config["device_class"], config["expire_after"]) == ("temperature", 120)
            assert home.entity("sensor.g_board_late").config["name"] == "late"
            assert home.complaints == []
            assert await gateway.stop() == 0


async def test_device_that_is_stale_is_unavailable_and_so_is_one_whose_gateway_is_killed(
    tmp_path: Path,
) -> None:
    async with Site.built(tmp_path) as site:
        site.write(device='stale_after = "1s"\n')
        async with (
            HomeAssistant.running(site.broker.port) as home,
            GatewayProcess.running(site.file) as gateway,
        ):
            await site.says_until({"t": 1}, home, "sensor.g_board_t", "1")
            await until(lambda: home.states["sensor.g_board_t"] == UNAVAILABLE)
            await site.says_until({"t": 2}, home, "sensor.g_board_t", "2")
            gateway.kill()
            await until(lambda: home.states["sensor.g_board_t"] == UNAVAILABLE)
            assert home.states["binary_sensor.g_connected"] == "off"


async def test_everything_is_said_again_when_home_assistant_says_that_it_is_there(tmp_path: Path) -> None:
    async with Site.built(tmp_path) as site, GatewayProcess.running(site.file) as gateway:
        async with Subscriber.listening("127.0.0.1", site.broker.port, "homeassistant/device/#") as nobody:
            await site.say({"t": 1})
            await until(lambda: len({each.topic for each in nobody.got}) == 2)
        async with aiomqtt.Client("127.0.0.1", site.broker.port) as client:  # somebody has tidied up
            for topic in {each.topic for each in nobody.got}:
                await client.publish(topic, b"", qos=1, retain=True)
        async with HomeAssistant.running(site.broker.port) as home:
            await until(lambda: len(home.discovered) == 2)
            assert "sensor.g_board_t" in home.states
            for _ in range(20):
                await home.say_it_is_there()
            await asyncio.sleep(2 * SETTLE_S)
            assert len(home.discovered) == 2, "it is not said again at once"
        site.broker.stop()
        site.broker.start()  # without persistence: it has forgotten what was retained
        async with Subscriber.listening("127.0.0.1", site.broker.port, "homeassistant/device/#") as nobody:
            await until(lambda: len({each.topic for each in nobody.got}) == 2)
        assert await gateway.stop() == 0


async def test_device_and_metric_that_leave_the_configuration_leave_home_assistant(tmp_path: Path) -> None:
    async with Site.built(tmp_path) as site, HomeAssistant.running(site.broker.port) as home:
        async with GatewayProcess.running(site.file) as gateway:
            await site.says_until({"t": 1, "u": 2}, home, "sensor.g_board_u", "2")
            assert "change: devices.board (filters)" in await site.reload(
                gateway, device='filters = [{ drop = "u" }]\n'
            )
            await until(lambda: "sensor.g_board_u" not in home.states)
            assert "sensor.g_board_t" in home.states
            await site.reload(gateway, name="other")
            await until(lambda: "sensor.g_board_t" not in home.states)
            await site.says_until({"t": 3, "u": 4}, home, "sensor.g_other_u", "4")
            assert await gateway.stop() == 0
        site.write(name="other", device='filters = [{ drop = "u" }]\n')
        async with GatewayProcess.running(site.file, anew=True) as gateway:  # with another seed of hashes
            await until(lambda: "sensor.g_other_u" not in home.states)
            assert "sensor.g_other_t" in home.states, "what was seen before the restart is still known"
            assert await gateway.stop() == 0
        site.write(name="third")
        async with GatewayProcess.running(site.file) as gateway:
            await until(lambda: "sensor.g_other_t" not in home.states)
            assert "binary_sensor.g_connected" in home.states
            assert await gateway.stop() == 0
        assert home.complaints == []


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "while it is stopped"])
async def test_without_its_table_nothing_is_left_in_home_assistant(running: bool, tmp_path: Path) -> None:
    async with Site.built(tmp_path) as site, HomeAssistant.running(site.broker.port) as home:
        async with GatewayProcess.running(site.file) as gateway:
            await site.says_until({"t": 1}, home, "sensor.g_board_t", "1")
            if running:
                assert await site.reload(gateway, table="") == ["stop: homeassistant"]
                await until(lambda: not home.entities)
                assert await site.reload(gateway) == ["start: homeassistant"]
                await site.says_until({"t": 2}, home, "sensor.g_board_t", "2")
                return
            assert await gateway.stop() == 0
        site.write(table="")
        for _ in range(2):
            async with GatewayProcess.running(site.file) as gateway:
                await gateway.said("broker: online")
                await until(lambda: not home.entities)
                assert await gateway.stop() == 0
        kept = json.loads((tmp_path / "state" / "journal.db-homeassistant.json").read_text())
        assert kept["posted"] == {}, "what is cleared need not be cleared again"


async def test_another_prefix_or_layout_takes_effect_in_place(tmp_path: Path) -> None:
    async with (
        Site.built(tmp_path) as site,
        HomeAssistant.running(site.broker.port) as home,
        HomeAssistant.running(site.broker.port, prefix="ha/two", name="second") as second,
        GatewayProcess.running(site.file) as gateway,
    ):
        await site.says_until({"t": 1}, home, "sensor.g_board_t", "1")
        table = '[homeassistant]\ndiscovery_prefix = "ha/two"\n'
        assert await site.reload(gateway, table=table) == ["change: homeassistant (discovery_prefix)"]
        await site.says_until({"t": 2}, second, "sensor.g_board_t", "2")
        await until(lambda: not home.entities)
        await site.reload(gateway, table=table, mqtt='layout = "metric"\nprefix = "plant/hall"\n')
        await until(lambda: second.entity("sensor.g_board_t").config["state_topic"] == "plant/hall/g/board/t")
        await site.says_until({"t": 3, "text": "a" * 300}, second, "sensor.g_board_t", "3")
        await until(lambda: "sensor.g_board_text" in second.states)
        count = len(second.discovered)
        await second.say_it_is_there()
        await until(lambda: len(second.discovered) == count + 2)
        assert home.complaints + second.complaints == []
        assert await gateway.stop() == 0


async def test_alert_is_a_problem_with_its_message(tmp_path: Path) -> None:
    async with Site.built(tmp_path) as site:
        hot = '[rules.hot]\nwhen = "board.t > 50"\nmessage = "{board.t} degrees"\n'
        site.write(rules=f'{hot}[rules.any]\neach = "*"\nwhen = "this.t > 60"\n')
        async with (
            HomeAssistant.running(site.broker.port) as home,
            GatewayProcess.running(site.file) as gateway,
        ):
            await site.says_until({"t": 55}, home, "binary_sensor.g_hot", "on")
            assert home.entity("binary_sensor.g_hot").attributes["message"] == "55 degrees"
            await site.says_until({"t": 65}, home, "binary_sensor.g_board_any", "on")
            await site.says_until({"t": 5}, home, "binary_sensor.g_board_any", "off")
            assert home.complaints == []
            assert await gateway.stop() == 0


async def test_second_broker_is_told_what_it_has_only_if_it_is_named(tmp_path: Path) -> None:
    async with Site.built(tmp_path) as site:
        with Mosquitto.running(tmp_path) as other:
            mqtt = f'[mqtt.home]\nurl = "mqtt://127.0.0.1:{other.port}"\nprefix = "p"\nretry_max = "200ms"\n'
            site.write(mqtt=mqtt, table='[homeassistant]\nbrokers = ["home"]\n')
            async with (
                HomeAssistant.running(site.broker.port) as nobody,
                HomeAssistant.running(other.port) as home,
                GatewayProcess.running(site.file) as gateway,
            ):
                await site.says_until({"t": 1}, home, "sensor.g_board_t", "1")
                await until(lambda: home.states["binary_sensor.g_connected"] == "on")
                assert nobody.discovered == []
                assert home.entity("sensor.g_board_t").config["state_topic"] == "p/g/board"
                assert await gateway.stop() == 0
