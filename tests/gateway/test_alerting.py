"""Rules at work on a journal, without a broker: what they hand on, tell, do and remember, over restarts."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import orjson

from gateway import config
from gateway.alerting import Alerting, beside
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
    async def at_work(cls, folder: Path, tables: str, *devices: str) -> AsyncIterator[Self]:
        """What it remembers is in the folder, from one to the next; its journal is new each time."""
        file = folder / "gateway.toml"
        sources = "".join(
            f'[devices.{name}]\ndriver = "json"\nport = "/dev/{name}"\n' for name in devices or DEVICES
        )
        file.write_text(f'[journal]\npath = "journal.db"\n{sources}{tables}')
        loaded = config.load(file)
        book = config.rulebook(loaded.rules, loaded.devices, loaded.gateway.zone)
        async with opened(None) as journal:
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
        if not stream.last:
            return []
        records = await stream.after("mqtt", 0, limit=100_000)
        return [(each.device, orjson.loads(each.payload)["state"]) for each in records]


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
