"""Rules at work on a journal, without a broker: what they hand on, tell, do and remember, over restarts."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import orjson
import pytest

from gateway import config
from gateway.alerting import LATE_S, Alerting, beside
from gateway.bus import EventBus
from gateway.journal.journal import Journal
from gateway.model import Availability, Presence, Reading, Value
from tests.support.journals import opened
from tests.support.scripted_driver import loop_clock

DEVICES = ("boiler", "pump")
ONCALL = '[notify.oncall]\nurl = "http://127.0.0.1:9/"\nsecret = "a key"\n'
HOT = '[rules.hot]\nwhen = "boiler.t > 80"\nmessage = "{boiler.t}"\n'


class Post:
    """Alerting at work."""

    def __init__(self, alerting: Alerting, bus: EventBus, journal: Journal) -> None:
        self.alerting = alerting
        self.journal = journal
        self.done: list[tuple[str, str, Value]] = []
        self._bus = bus

    @classmethod
    @asynccontextmanager
    async def at_work(cls, folder: Path, tables: str, *, full: bool = False) -> AsyncIterator[Self]:
        """What it remembers is in the folder, from one to the next; its journal is new each time, and may be full."""
        file = folder / "gateway.toml"
        sources = "".join(f'[devices.{name}]\ndriver = "json"\nport = "/dev/{name}"\n' for name in DEVICES)
        file.write_text(f'[journal]\npath = "journal.db"\n{sources}{tables}')
        loaded = config.load(file)
        book = config.rulebook(loaded.rules, loaded.devices, loaded.gateway.zone)
        async with opened(None) as journal:
            while full and not journal.urgent_full:
                await journal.append_urgent("gaps", b"{}")
            bus = EventBus()

            async def write(device: str, metric: str, value: Value) -> None:
                post.done.append((device, metric, value))

            alerting = Alerting(loaded, book, bus, journal, loop_clock, write=write)
            post = cls(alerting, bus, journal)
            async with asyncio.TaskGroup() as group:
                alerting.start(group)
                await asyncio.sleep(0)
                yield post
                await alerting.finish_actions()
                await alerting.finish_judging()
                bus.close()
                await alerting.finish_handing()
                notifying = alerting.finish_notifying()
                notifying.cancel()
                await asyncio.wait([notifying])
                await alerting.finish()

    async def says(self, value: Value, device: str = "boiler") -> None:
        await self._bus.publish(Reading(at=loop_clock(), device=device, values={"t": value}))
        await asyncio.sleep(0.2)

    async def goes(self, presence: Presence, device: str = "boiler") -> None:
        await self._bus.publish(
            Availability(at=loop_clock(), device=device, presence=presence, reason="why", port_open=True)
        )
        await asyncio.sleep(0.2)

    async def ask(self, verb: str, **request: Any) -> Any:
        return await self.alerting.desk.verbs[verb](request)

    async def published(self) -> list[tuple[str, str]]:
        """Topic and state, in order."""
        stream = self.journal.urgent
        if stream.last == stream.cursor("mqtt"):
            return []
        records = await stream.after("mqtt", stream.cursor("mqtt"), limit=100_000)
        found = [(each.device, each.payload) for each in records if each.device.startswith("alerts/")]
        return [(topic, orjson.loads(payload)["state"] if payload else "cleared") for topic, payload in found]

    def drain(self) -> None:
        """The broker is back, and has taken all that there is."""
        self.journal.urgent.commit("mqtt", self.journal.urgent.last)


def remembered(folder: Path) -> Path:
    return beside(folder / "journal.db")


EVERYTHING = f"""{ONCALL}
[rules.hot]
when = "boiler.t > 80"
repeat = "5s"
flap = {{ changes = 4, within = "1m" }}
notify = ["oncall"]
labels = {{ site = "north" }}
[rules.each]
each = "*"
when = "this.t > 80"
for = "30s"
notify = ["oncall"]
[rules.quick]
each = "*"
when = "this.t > 80"
on_stale = "fire"
inhibited_by = ["hot"]
notify = ["oncall"]
"""
FOREIGN: list[Any] = [None, -1, 1e300, 2**63, "x", [], [None], {"a": 1}]


def places(data: Any, *above: str | int) -> Iterator[tuple[str | int, ...]]:
    """Of all values, and of one only among those that a list repeats."""
    yield above
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        if key == 0 or isinstance(key, str) or not isinstance(value, dict):
            yield from places(value, *above, key)


def changed(data: bytes, place: tuple[str | int, ...], value: Any) -> bytes:
    changed = at = orjson.loads(data)
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return orjson.dumps(changed)


async def busy(post: Post) -> None:
    await post.ask("alert/silence", device="pump", labels={"a": "b"}, **{"for": "1h"})
    for device in DEVICES:
        await post.says(90, device)
    await post.goes(Presence.STALE, "pump")
    await post.ask("alert/ack", rule="hot")
    await asyncio.sleep(31)
    await post.says(20)
    await post.says(90)


@pytest.mark.repetitive
async def test_file_in_which_something_was_changed_is_set_aside_or_harmless(tmp_path: Path) -> None:
    file = remembered(tmp_path)
    async with Post.at_work(tmp_path, EVERYTHING) as post:
        await busy(post)
    whole = file.read_bytes()
    told = {"device": "pump", "metric": "t", "value": 3, "rule": "hot", "about": "boiler"}
    alert = orjson.loads(whole)["parts"]["notify"]["oncall"]["grouping"]["groups"][0]["alerts"][0]
    waiting = [{**told, "waited_s": 1.0, "tried": True}]
    notice = {
        "id": "1", "gateway": "g", "group": {}, "at": alert["at"], "alerts": [alert], "firing": 1, "resolved": 0,
        "repeat": False,
    }  # fmt: skip
    whole = changed(whole, ("parts", "actions"), {"firing": [["hot", "boiler", 1]], "waiting": waiting})
    whole = changed(whole, ("parts", "notify", "oncall", "waiting"), [{"notice": notice, "waited_s": 1.0}])
    whole = changed(whole, ("parts", "unsaid"), [alert])
    set_aside = 0
    for number, place in enumerate(places(orjson.loads(whole))):
        for value in FOREIGN[number % 8 :: 8] if place else ():
            file.write_bytes(changed(whole, place, value))
            async with Post.at_work(tmp_path, EVERYTHING) as post:
                await busy(post)
                await post.ask("alert/list")
                post.alerting.counters()
            aside = file.with_name(f"{file.name}.unreadable")
            set_aside += aside.exists()
            aside.unlink(missing_ok=True)
    assert set_aside > 80


EACH = HOT.replace("boiler.", "this.") + 'each = "*"\n'
"""Its alerts have topics of their own."""
TOPIC = "alerts/hot/boiler"


@pytest.mark.parametrize("restart", [False, True])
async def test_end_of_an_alert_whose_rule_is_gone_waits_for_room_and_comes_where_its_beginning_is(
    tmp_path: Path, restart: bool
) -> None:
    async with Post.at_work(tmp_path, EACH) as post:
        await post.says(90)
        assert await post.published() == [(TOPIC, "firing")]
    async with Post.at_work(tmp_path, "", full=True) as post:
        await asyncio.sleep(3 * LATE_S)
        if not restart:
            post.drain()
            await asyncio.sleep(3 * LATE_S)
            assert await post.published() == [(TOPIC, "resolved"), (TOPIC, "cleared")]
            return
    async with Post.at_work(tmp_path, "") as post:
        await asyncio.sleep(3 * LATE_S)
        assert await post.published() == [(TOPIC, "resolved"), (TOPIC, "cleared")]
    async with Post.at_work(tmp_path, EACH) as post:
        await post.says(90)
        assert await post.published() == [(TOPIC, "firing")]


async def test_topic_of_an_alert_that_is_over_is_forgotten(tmp_path: Path) -> None:
    async with Post.at_work(tmp_path, EACH) as post:
        await post.says(90)
        await post.says(20)
    async with Post.at_work(tmp_path, HOT) as post:
        await post.says(90)
        assert await post.published() == [(TOPIC, "cleared"), ("alerts/hot", "firing")]


async def test_receiver_that_is_new_is_told_of_what_fires_unless_it_is_quiet(tmp_path: Path) -> None:
    cold = HOT.replace("hot", "cold")
    async with Post.at_work(tmp_path, HOT + cold) as post:
        await post.says(90)
        await post.ask("alert/ack", rule="cold")
    told = 'notify = ["oncall"]\n'
    for _ in range(2):
        async with Post.at_work(tmp_path, ONCALL + HOT + told + cold + told) as post:
            oncall = post.alerting.receivers["oncall"]
            assert oncall.counters()["firing"] == 1
            assert oncall.knows("hot", "boiler")
            await asyncio.sleep(60)
            assert oncall.waiting == 1
            assert await post.published() == []


async def test_what_was_not_said_yet_of_a_rule_that_is_switched_off_moves_nothing(tmp_path: Path) -> None:
    told = f'{HOT}notify = ["oncall"]\n'
    async with Post.at_work(tmp_path, ONCALL + told, full=True) as post:
        await post.says(90)
    orders = 'do = [{ device = "valve", set = { open = true } }]\n'
    valve = (
        '[devices.valve]\ndriver = "modbus"\nport = "/dev/valve"\n'
        'registers.open = { table = "coil", address = 3, type = "bool", writable = true }\n'
    )
    async with Post.at_work(tmp_path, f"{valve}{ONCALL}{told}{orders}enabled = false\n") as post:
        await asyncio.sleep(1)
        assert await post.published() == [
            ("alerts/hot", "firing"),
            ("alerts/hot", "resolved"),
            ("alerts/hot", "cleared"),
        ]
        assert post.done == []
