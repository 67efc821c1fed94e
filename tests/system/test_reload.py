"""Another configuration while the gateway runs: what stays the same notices nothing, what is wrong changes nothing."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.account import Account
from tests.support.gateway_process import GatewayProcess, until
from tests.support.mosquitto import Mosquitto
from tests.support.plant import Plant
from tests.support.recorder import Recorder

pytestmark = pytest.mark.real_time

STEADY, SHAKY = range(12), range(12, 16)
"""Instruments whose devices stay, or change in place; and those that are opened anew, taken out and put in."""


class Paper:
    """A configuration that somebody edits at random."""

    def __init__(self, plant: Plant, broker: int, dice: random.Random) -> None:
        self._plant = plant
        self._broker = broker
        self._dice = dice
        self._options: dict[str, dict[str, str]] = {"gateway": {}, "mqtt": {}, "journal": {}, "rules": {}}
        self._device_options: list[dict[str, str]] = [{} for _ in plant.instruments]
        self._there = set(range(len(plant.instruments)))
        self._backup = False
        self.file = plant.instruments[0].path.parent / "gateway.toml"
        self.write()

    def write(self, nonsense: str = "") -> None:
        lines = ['[gateway]\nname = "test"\nstop_timeout = "5s"', *self._table("gateway")]
        lines += [
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{self._broker}"\nretry_max = "200ms"',
            *self._table("mqtt"),
        ]
        if self._backup:
            lines += [
                f'[mqtt.backup]\nurl = "mqtt://127.0.0.1:{self._broker}"\nprefix = "backup"\nretry_max = "200ms"'
            ]
        lines += ["[journal]", *self._table("journal")]
        for number in sorted(self._there):
            path = self._plant.instruments[number].path
            lines += [f'[devices.{path.name}]\ndriver = "json"\nport = "{path}"\nretry_max = "200ms"']
            lines += [f"{key} = {value}" for key, value in self._device_options[number].items()]
        for name, text in self._options["rules"].items():
            lines += [f"[rules.{name}]", text]
        self.file.write_text("\n".join([*lines, nonsense, ""]))

    def _table(self, name: str) -> list[str]:
        return [f"{key} = {value}" for key, value in self._options[name].items()]

    def edit(self) -> bool:
        """Something else; whether it can be used."""
        dice = self._dice
        if dice.random() < 0.25:
            self.write(dice.choice(NONSENSE))
            return False
        edits: list[Callable[[], Any]] = [
            self._change_in_place, self._open_anew, self._take_out, self._put_in, self._rule, self._journal,
            self._gateway, self._session, self._second_broker, lambda: None,
        ]  # fmt: skip
        for each in dice.sample(edits, dice.choice([1, 1, 2, 3])):
            each()
        self.write()
        return True

    def restore(self) -> None:
        """As it was in the beginning."""
        self.__init__(self._plant, self._broker, self._dice)  # type: ignore[misc]

    def _change_in_place(self) -> None:
        options = self._device_options[self._dice.choice(STEADY)]
        options["stale_after"] = self._dice.choice(['"60s"', '"90s"', '"never"'])
        options["filters"] = self._dice.choice(["[]", '[{ rename = { t = "temperature" } }]'])

    def _open_anew(self) -> None:
        self._device_options[self._dice.choice(SHAKY)]["baudrate"] = self._dice.choice(["9600", "19200"])

    def _take_out(self) -> None:
        self._there -= {self._dice.choice(SHAKY)}

    def _put_in(self) -> None:
        self._there |= {self._dice.choice(SHAKY)}

    def _rule(self) -> None:
        name = f"rule{self._dice.randrange(4)}"
        if name in self._options["rules"] and self._dice.random() < 0.5:
            del self._options["rules"][name]
        else:
            self._options["rules"][name] = self._dice.choice(RULES)

    def _journal(self) -> None:
        self._options["journal"]["sync"] = self._dice.choice(['"200ms"', '"1s"', '"always"', '"never"'])
        self._options["journal"]["max_size"] = self._dice.choice(['"100MB"', '"200MB"'])

    def _gateway(self) -> None:
        self._options["gateway"]["log_level"] = self._dice.choice(['"info"', '"warning"'])
        self._options["gateway"]["status_interval"] = self._dice.choice(['"1s"', '"60s"'])

    def _session(self) -> None:
        self._options["mqtt"]["window"] = self._dice.choice(["20", "100"])

    def _second_broker(self) -> None:
        self._backup = not self._backup


NONSENSE = [
    "[devices.p0]", "nonsense = 1", '[devices.x]\ndriver = "jsn"\nport = "/dev/x"', '[rules.x]\nwhen = "p0.t >"',
    "[", '[mqtt.tls]\nca = "nowhere.pem"', '[rules.x]\nwhen = "nobody.t > 1"',
]  # fmt: skip
RULES = [
    'when = "p0.t > 20"', 'when = "avg(p1.t, \'10s\') > 20"\nfor = "1s"', 'each = "*"\nwhen = "this.t > 100"',
    'when = "offline(p2)"\nenabled = false',
]  # fmt: skip


async def _reloaded(folder: Path, *, times: int) -> None:
    dice = random.Random(times)
    with Mosquitto.running(folder) as broker, Recorder() as recorder, Plant.running(folder) as plant:
        recorder.listen(broker.host, broker.port)
        account = Account(recorder.heard)
        paper = Paper(plant, broker.port, dice)
        async with GatewayProcess.running(paper.file) as gateway, asyncio.TaskGroup() as group:
            await plant.read_by(gateway)
            talking = group.create_task(plant.talk())
            await until(lambda: len(account.take().numbers) == len(plant.instruments))
            await gateway.ask(folder, "reload")
            await asyncio.sleep(1)
            threads, descriptors = gateway.threads, gateway.descriptors
            outcomes = [0, 0]
            for _ in range(times):
                good = paper.edit()
                answer = await gateway.ask(folder, "reload")
                assert answer["status"] == ("ok" if good else "error"), answer
                outcomes[good] += 1
            assert min(outcomes) > times / 10
            paper.restore()
            assert (await gateway.ask(folder, "reload"))["status"] == "ok"
            ports = [each.path for each in plant.instruments]
            await until(lambda: gateway.listens_to(ports))
            await until(lambda: not gateway.descriptors - descriptors)
            assert gateway.threads <= threads + 1
            talking.cancel()
            await plant.pause()
            await account.complete(plant)
            assert await gateway.stop() == 0
        steady = {plant.instruments[number].path.name: plant.instruments[number].read for number in STEADY}
    account.take()
    assert account.missing(steady) == {}
    assert account.repeats == 0
    assert account.altered == []
    assert account.disordered == []
    assert account.unannounced == {}
    assert len(account.runs) == 1


async def test_reloads_lose_and_repeat_nothing_whatever_somebody_writes(tmp_path: Path) -> None:
    await _reloaded(tmp_path, times=60)


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_500_reloads_lose_and_repeat_nothing_whatever_somebody_writes(tmp_path: Path) -> None:
    await _reloaded(tmp_path, times=500)
