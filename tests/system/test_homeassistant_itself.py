"""Home Assistant itself finds every simulated instrument, without a word of complaint.

`SALLYPORT_HOMEASSISTANT` names a Python that has it; CONTRIBUTING says how to make one.
"""

import asyncio
import json
import os
import tomllib
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

import drivers
from gateway.homeassistant.classes import BINARY_SENSORS, SENSORS, meaning
from tests.drivers.test_metrics import described
from tests.support.gateway_process import GatewayProcess, until
from tests.support.home_assistant import UNAVAILABLE, UNKNOWN, HomeAssistant
from tests.support.instruments import playing, sections
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber

pytestmark = [pytest.mark.slow, pytest.mark.real_time, pytest.mark.timeout(300)]

SCRIPT = Path(__file__).parents[1] / "support" / "home_assistant_itself.py"
LONGEST_ANSWER = 16 * 1024 * 1024


@pytest.fixture
def python() -> str:
    found = os.environ.get("SALLYPORT_HOMEASSISTANT")
    if not found:
        pytest.skip("SALLYPORT_HOMEASSISTANT is not set: no Home Assistant is here")
    return found


class Itself:
    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, python: str, folder: Path, port: int) -> AsyncIterator[Self]:
        process = await asyncio.create_subprocess_exec(
            python,
            str(SCRIPT),
            str(folder / "home-assistant"),
            str(port),
            stdin=PIPE,
            stdout=PIPE,
            limit=LONGEST_ANSWER,
        )
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(60):
            return json.loads(await self._process.stdout.readline())

    async def call(self, domain: str, service: str, **data: Any) -> None:
        await self.ask(call=[domain, service, data])

    async def knows(self, entities: Callable[[], Collection[str]]) -> dict[str, Any]:
        """All that it knows, once that is these, and of most of them a value."""
        async with asyncio.timeout(60):
            while True:
                found: dict[str, Any] = await self.ask(look=True)
                states = found["states"]
                heard = [each for each in states.values() if each["state"] not in (UNKNOWN, UNAVAILABLE)]
                if {*states} == {*entities()} and len(heard) >= 0.7 * len(states):
                    return found
                await asyncio.sleep(0.5)


def _with_micro_sign(unit: str | None) -> str | None:
    """Home Assistant takes both characters, and has changed over to the other."""
    return unit and unit.replace("\u03bc", "\u00b5")


def _taken(told: Any, device_class: str) -> set[str | None]:
    return {_with_micro_sign(unit) for unit in told["units"][device_class]}


async def test_our_table_of_units_and_classes_holds_nothing_that_home_assistant_would_refuse(
    python: str, tmp_path: Path
) -> None:
    with Mosquitto.running(tmp_path) as broker:
        async with Itself.running(python, tmp_path, broker.port) as home:
            told = await home.ask(tables=True)
    for name, known in SENSORS.items():
        if known.units is not None:
            assert known.units <= _taken(told, name), name
        assert known.states <= {*told["states"][name]}, name
    assert {*told["binary"]} >= BINARY_SENSORS
    for name in drivers.DRIVERS:
        for metric_name, metric in described(name):
            unit, device_class, state_class = meaning(metric)
            if device_class:
                assert unit in _taken(told, device_class), metric_name
                assert state_class in {"", *told["states"][device_class]}, metric_name


@pytest.mark.parametrize("layout", ["device", "metric"])
async def test_it_shows_what_we_have_said_and_complains_of_nothing(
    layout: str, python: str, tmp_path: Path
) -> None:
    with Mosquitto.running(tmp_path) as broker:
        file = tmp_path / "gateway.toml"
        head = (
            '[gateway]\nname = "hall"\nstatus_interval = "1s"\n[control]\nset = ["*"]\n'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
        )
        hot = '[rules.hot]\nwhen = "weather.temperature > -100"\n'
        instruments = sections(tmp_path)
        devices = f'layout = "{layout}"\n{instruments}\n{hot}'
        file.write_text(f"{head}{devices}[homeassistant]\n")
        async with (
            playing(tmp_path),
            GatewayProcess.running(file) as gateway,
            HomeAssistant.running(broker.port) as ours,
            Itself.running(python, tmp_path, broker.port) as home,
            Subscriber.listening("127.0.0.1", broker.port, "sallyport/hall/response/set") as answers,
        ):
            await home.ask(look=True)  # it starts first: that leaves little of the machine for anybody else
            for device in tomllib.loads(instruments)["devices"]:
                await until(partial(ours.hears, device))
            seen = await home.knows(lambda: ours.states)
            assert seen["log"] == []
            for entity in ours.entities.values():
                shown = seen["states"][entity.entity_id]
                for key in ("device_class", "state_class"):
                    assert shown.get(key) == entity.config.get(key), (entity.entity_id, key)
                unit, known = (
                    entity.config.get("unit_of_measurement"),
                    SENSORS.get(shown.get("device_class", "")),
                )
                if unit != _with_micro_sign(shown.get("unit_of_measurement")):  # it shows km/h for m/s
                    assert known is not None
                    assert known.units is not None
                    assert {unit, shown["unit_of_measurement"]} <= known.units
            assert {each["via"] for name, each in seen["devices"].items() if name != "hall"} == {"hall"}
            assert seen["states"]["binary_sensor.hall_hot"]["state"] == "on"
            assert "weather" in seen["states"]["binary_sensor.hall_hot"]["message"]

            supply = "hall_supply"
            await home.call("number", "set_value", entity_id=f"number.{supply}_voltage_limit", value=12.5)
            await home.call("switch", "turn_on", entity_id=f"switch.{supply}_on")
            await home.call(
                "select", "select_option", entity_id="select.hall_modbus_relay_pulse", option="100"
            )
            await home.call("button", "press", entity_id="button.hall_balance_tare")
            await until(lambda: len(answers.got) == 4)
            said = [(each.json["status"], each.json["device"], each.json["set"]) for each in answers.got]
            assert sorted(said, key=repr) == [
                ("ok", "balance", {"tare": True}),
                ("ok", "modbus", {"relay_pulse": 100}),
                ("ok", "supply", {"on": True}),
                ("ok", "supply", {"voltage_limit": 12.5}),
            ]

            file.write_text(f"{head}{devices}")
            await gateway.ask(tmp_path, "reload")
            seen = await home.knows(set)
            assert seen["log"] == []
            assert seen["devices"] == {}
            assert await gateway.stop() == 0
