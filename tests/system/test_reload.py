"""Another configuration while the gateway runs: what stays the same notices nothing, what is wrong changes nothing."""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import aiomqtt
import pytest

from drivers.instrument import PtyInstrument
from tests.support.account import Account
from tests.support.forked import sallyport
from tests.support.gateway_process import GatewayProcess, until
from tests.support.mosquitto import Mosquitto
from tests.support.plant import Plant
from tests.support.ports import free_port
from tests.support.recorder import Recorder
from tests.support.subscriber import Subscriber

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
        self._options["gateway"]["log_format"] = self._dice.choice(['"auto"', '"json"'])
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
            await until(partial(_all_talk_on, plant, [each.said for each in plant.instruments]))
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


def _all_talk_on(plant: Plant, said: Sequence[int]) -> bool:
    """What was said while a port was shut nobody hears: each must have said something since."""
    return all(each.said > before for each, before in zip(plant.instruments, said, strict=True))


@pytest.mark.repetitive
async def test_500_reloads_lose_and_repeat_nothing_whatever_somebody_writes(tmp_path: Path) -> None:
    await _reloaded(tmp_path, times=500)


# One thing after the other.

HOT = '[rules.hot]\neach = "*"\nwhen = "this.t > 80"\n'


class Site:
    """A gateway that reads one board, a broker, a subscriber."""

    def __init__(
        self, folder: Path, broker: Mosquitto, board: PtyInstrument, gateway: GatewayProcess, subscriber: Subscriber
    ) -> None:  # fmt: skip
        self.folder = folder
        self.broker = broker
        self.board = board
        self.gateway = gateway
        self.subscriber = subscriber

    @classmethod
    @asynccontextmanager
    async def at_work(cls, folder: Path, rest: str = "") -> AsyncIterator[Self]:
        with Mosquitto.running(folder) as broker, PtyInstrument.plugged_in(folder / "board") as board:
            config = _write(folder, broker.port, rest)
            async with (
                Subscriber.listening(broker.host, broker.port) as subscriber,
                GatewayProcess.running(config) as gateway,
            ):
                site = cls(folder, broker, board, gateway, subscriber)
                await site.says(90, 1)
                yield site
                assert await gateway.stop() == 0

    def write(self, rest: str = "", **how: str) -> None:
        _write(self.folder, self.broker.port, rest, **how)

    async def reload(self) -> Any:
        return await self.gateway.ask(self.folder, "reload")

    async def says(self, value: float, count: int, device: str = "board") -> None:
        """And the reading arrives, as the so many-th."""
        await until(lambda: self.gateway.listens_to([self.board.path]))
        await self.board.say(b'{"t":%d}\n' % value)
        await self.subscriber.has(count, device)

    def seqs(self, device: str = "board") -> list[int]:
        return [each["seq"] for each in self.subscriber.readings(device)]

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """`sallyport …` on the same machine."""
        return await sallyport(*arguments, environment={"RUNTIME_DIRECTORY": str(self.folder / "run")})


def _write(
    folder: Path, broker: int, rest: str = "", *, name: str = "board", gateway: str = "", mqtt: str = "",
    device: str = "",
) -> Path:  # fmt: skip
    file = folder / "gateway.toml"
    file.write_text(
        f'[gateway]\nname = "test"\n{gateway}\n[mqtt]\nurl = "mqtt://127.0.0.1:{broker}"\nretry_max = "200ms"\n{mqtt}\n'
        f'[devices.{name}]\ndriver = "json"\nport = "{folder / "board"}"\n{device}\n{rest}\n'
    )
    return file


async def test_device_that_is_taken_out_leaves_nothing_at_the_broker_and_counts_on_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with Site.at_work(tmp_path, HOT) as site:
        got = site.subscriber
        await until(lambda: got.left("alerts/hot/board"))
        site.write(HOT, name="other")
        assert (await site.reload())["plan"] == ["stop: devices.board", "start: devices.other"]
        await until(lambda: got.left("board/availability") == b"" == got.left("alerts/hot/board"))
        assert [each["state"] for each in got.on("alerts/hot/board")] == ["firing", "resolved"]
        await site.says(20, 1, "other")
        site.write(HOT)
        await site.reload()
        await site.says(20, 2)
        assert site.seqs() == [1, 2]
        await until(lambda: got.on("board/availability")[-1]["state"] == "online")
        site.write(HOT, gateway='status_interval = "1s"')
        await site.reload()
        await until(lambda: got.on("status/counters"))
        counted = got.on("status/counters")[-1]
        assert counted["gone"] == {"read": 2, "filtered": 0, "made": 0}
        assert counted["journal"]["recorded"] == 2 + counted["devices"]["board"]["read"] == 3


async def test_device_that_was_taken_out_between_two_starts_leaves_nothing_at_the_broker_either(
    tmp_path: Path,
) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with Subscriber.listening(broker.host, broker.port) as got:
            async with GatewayProcess.running(_write(tmp_path, broker.port)) as gateway:
                await until(lambda: gateway.listens_to([board.path]))
                await board.say(b'{"t":1}\n')
                await got.has(1)
                assert await gateway.stop() == 0
            assert got.on("board/availability")[-1]["reason"] == "the gateway was stopped"
            async with GatewayProcess.running(_write(tmp_path, broker.port, name="other")):
                await until(lambda: got.left("board/availability") == b"")


async def test_file_that_cannot_be_used_is_refused_where_it_was_asked_for_and_changes_nothing(
    tmp_path: Path,
) -> None:
    async with Site.at_work(tmp_path) as site:
        site.write("nonsense = 1\n", device='stale_after = "5"')
        answer = await site.reload()
        assert answer["status"] == "error"
        assert len(answer["error"].splitlines()) == 2
        status, out, err = await site.run("reload")
        assert (status, out, err) == (78, "", answer["error"] + "\n")
        status, out, err = await site.run("check", "--plan", str(tmp_path / "gateway.toml"))
        assert (status, out) == (78, "")
        site.gateway.send(signal.SIGHUP)
        await site.gateway.said("reload: refused, everything stays as it was: 2 problems", times=3)
        await site.says(20, 2)
        assert site.gateway.lines("board: ") == ["board: online"]


async def test_reload_by_command_says_what_it_did_and_check_says_it_before(tmp_path: Path) -> None:
    async with Site.at_work(tmp_path) as site:
        site.write(device='parity = "even"', gateway='stop_timeout = "3s"')
        steps = "change: gateway (stop_timeout)", "restart: devices.board (parity)"
        status, out, _ = await site.run("check", "--plan", str(tmp_path / "gateway.toml"))
        assert (status, out.splitlines()[1:]) == (0, [f"reload: {step}" for step in steps])
        assert site.gateway.lines("reload: ") == []
        status, out, err = await site.run("reload")
        assert (status, tuple(out.splitlines()), err) == (0, steps, "")
        await site.says(20, 2)
        assert site.seqs() == [1, 2]
        site.gateway.send(signal.SIGHUP)
        await site.gateway.said("reload: nothing changes")
        status, _, err = await site.run("reload", "--gateway", "barn")
        assert (status, err) == (
            1,
            "sallyport: no gateway barn runs on this machine, or this user may not see it: try sudo\n",
        )


async def test_reload_is_asked_for_over_mqtt_and_answered_though_the_way_to_the_broker_changes(
    tmp_path: Path,
) -> None:
    async with Site.at_work(tmp_path) as site:
        async with aiomqtt.Client(site.broker.host, site.broker.port) as client:
            for number, window in enumerate(("20", "30")):
                site.write(mqtt=f"window = {window}")
                await until(lambda: "control" not in "".join(site.gateway.log))
                while not any(
                    each["transaction"] == number for each in site.subscriber.on("response/reload")
                ):
                    await client.publish(
                        "sallyport/test/request/reload", json.dumps({"transaction": number}), qos=1
                    )
                    await asyncio.sleep(0.3)
        plans = [
            each["plan"]
            for each in site.subscriber.on("response/reload")
            if each["plan"] != ["nothing changes"]
        ]
        assert plans == [["restart: mqtt (window)"]] * 2


async def test_broker_that_comes_gets_everything_and_one_that_goes_hears_a_farewell(tmp_path: Path) -> None:
    async with Site.at_work(tmp_path) as site:
        async with Subscriber.listening(
            site.broker.host, site.broker.port, "second/#", name="second"
        ) as second:
            further = f'[mqtt.second]\nurl = "mqtt://127.0.0.1:{site.broker.port}"\nprefix = "second"\n'
            site.write(further)
            assert (await site.reload())["plan"] == ["start: mqtt.second"]
            await until(lambda: second.on("board/availability"))
            assert second.on("board/availability")[-1]["state"] == "online"
            await site.says(20, 2)
            await second.has(1)
            assert second.readings("board")[-1]["seq"] == 2
            await until(lambda: second.on("test/status")[-1]["state"] == "online")
            site.write()
            assert (await site.reload())["plan"] == ["stop: mqtt.second"]
            await until(lambda: second.on("test/status")[-1]["state"] == "offline")
            await site.says(20, 3)
        assert site.subscriber.on("status/counters") == []
        site.write(gateway='status_interval = "1s"')
        await site.reload()
        await until(lambda: site.subscriber.on("status/counters"))
        counted = site.subscriber.on("status/counters")[-1]
        assert counted["brokers"].keys() == {"mqtt"}
        assert counted["brokers"]["mqtt"]["connects"] == 1  # nobody has touched this one


async def test_broker_that_is_come_back_to_forgets_a_device_that_was_taken_out_meanwhile(
    tmp_path: Path,
) -> None:
    async with Site.at_work(tmp_path, HOT) as site:
        left = site.subscriber.left
        await until(lambda: left("board/availability") and left("alerts/hot/board"))
        _write(tmp_path, free_port(), HOT)
        assert (await site.reload())["plan"] == ["restart: mqtt (url)"]
        _write(tmp_path, free_port(), HOT, name="other")
        assert len((await site.reload())["plan"]) == 3
        site.write(HOT, name="other")
        assert (await site.reload())["plan"] == ["restart: mqtt (url)"]
        await until(lambda: left("board/availability") == b"" == left("alerts/hot/board"))
        await until(lambda: left("other/availability"))


async def test_broker_that_comes_is_told_what_fires(tmp_path: Path) -> None:
    async with Site.at_work(tmp_path, HOT) as site:
        await until(lambda: site.subscriber.left("alerts/hot/board"))
        for count in (2, 3):  # what came before these is acknowledged
            await site.says(90, count)
        async with Subscriber.listening(
            site.broker.host, site.broker.port, "second/#", name="second"
        ) as second:
            further = f'[mqtt.second]\nurl = "mqtt://127.0.0.1:{site.broker.port}"\nprefix = "second"\n'
            site.write(f"{further}{HOT}")
            await site.reload()
            await until(lambda: second.on("alerts/hot/board"))
            assert second.on("alerts/hot/board")[-1] == {
                **site.subscriber.on("alerts/hot/board")[0],
                "time": second.on("alerts/hot/board")[-1]["time"],
            }
            await site.says(20, 4)
            await until(lambda: second.on("alerts/hot/board")[-1]["state"] == "resolved")


async def test_gateway_that_has_lost_its_broker_is_told_of_another_one(tmp_path: Path) -> None:
    async with Site.at_work(tmp_path) as site:
        site.broker.kill()
        await site.gateway.said("broker: offline")
        await until(lambda: site.gateway.listens_to([site.board.path]))
        await site.board.say(b'{"t":20}\n')
        (tmp_path / "other").mkdir()
        with Mosquitto.running(tmp_path / "other") as other:
            async with Subscriber.listening(other.host, other.port) as got:
                _write(tmp_path, other.port)
                status, out, _ = await site.run("reload")
                assert (status, out) == (0, "restart: mqtt (url)\n")
                await got.has(1)
                assert [each["seq"] for each in got.readings("board")] == [2]
                assert got.on("board/availability")[-1]["state"] == "online"


async def test_stop_in_the_middle_of_a_reload_ends_though_the_broker_that_is_left_answers_no_more(
    tmp_path: Path,
) -> None:
    with Mosquitto.running(tmp_path) as broker, PtyInstrument.plugged_in(tmp_path / "board") as board:
        async with GatewayProcess.running(_write(tmp_path, broker.port)) as gateway:
            await gateway.said("broker: online")
            await until(lambda: gateway.listens_to([board.path]))
            broker.freeze()
            await board.say(b'{"t":20}\n')
            _write(tmp_path, broker.port, mqtt="window = 20", device='parity = "even"')
            gateway.send(signal.SIGHUP)
            await until(lambda: not gateway.listens_to([board.path]))  # then it waits for acknowledgements
            assert gateway.lines("reload: ") == []
            assert await gateway.stop() == 0


async def test_device_that_is_moved_to_another_port_does_not_say_of_that_one_what_was_so_of_the_first(
    tmp_path: Path,
) -> None:
    def gps(port: str) -> str:
        return (
            f'[devices.gps]\ndriver = "json"\nport = "{tmp_path / port}"\n'
            '[rules.port_down]\nenabled = true\nfor = "0s"\n'
        )

    with PtyInstrument.plugged_in(tmp_path / "good") as good:
        async with Site.at_work(tmp_path, gps("missing")) as site:
            await until(lambda: site.subscriber.left("_missing"))
            site.write(gps("good"))
            assert (await site.reload())["plan"] == ["restart: devices.gps (port)"]
            await until(lambda: site.gateway.listens_to([good.path]))
            await good.say(b'{"t":1}\n')
            await site.subscriber.has(1, "gps")
            await until(lambda: not site.subscriber.left("_missing"))
            assert site.subscriber.on("_good") == []
