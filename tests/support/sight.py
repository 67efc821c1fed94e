"""What the status page sees, of a gateway with one device that follows a script."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import drivers
from gateway.accounts import Accounts
from gateway.bus import EventBus
from gateway.config import Config
from gateway.devices import Devices
from gateway.health import Health
from gateway.logs import Tail
from gateway.model import Clock
from gateway.overview import Overview
from gateway.request import Verb
from gateway.source import Source
from gateway.supervisor import Supervisor
from gateway.web.sight import Sight
from tests.gateway.test_tallies import delivery
from tests.support.journals import opened
from tests.support.scripted_driver import Instrument, loop_clock

RULES: Mapping[str, Any] = {"firing": 0, "pending": 0, "notify": {}}


def configured(**tables: Any) -> Config:
    return Config.model_validate({"gateway": {"name": "g"}, "journal": {"path": "memory"}, **tables})


async def _nothing_fires(_request: dict[str, Any]) -> dict[str, Any]:
    return {"alerts": [], "silences": []}


@dataclass
class Site:
    """A gateway, as far as somebody looks at it."""

    sight: Sight
    config: Config
    verbs: dict[str, Verb] = field(default_factory=dict)
    reloaded: asyncio.Event = field(default_factory=asyncio.Event)

    def configure(self, **tables: Any) -> None:
        """Another configuration takes effect."""
        self.config = configured(**tables)
        over, self.reloaded = self.reloaded, asyncio.Event()
        over.set()


@asynccontextmanager
async def looked_at(instrument: Instrument, clock: Clock = loop_clock, **tables: Any) -> AsyncIterator[Site]:
    bus = EventBus()
    options = drivers.find("json").options.model_validate({"driver": "json", "port": "/dev/ttyUSB0"})
    source = Source("boiler", instrument.driver(), options, bus, clock)
    async with opened(None) as journal:
        deliveries = [delivery(journal)]
        devices = Devices({}, bus, clock, last_seq=journal.last_seq)
        accounts = Accounts(journal, devices, clock, alerting=lambda: RULES)
        accounts.brokers = deliveries
        site: Site

        def config() -> Config:
            return site.config

        verbs: dict[str, Verb] = {"alert/list": _nothing_fires}
        sight = Sight(
            overview=Overview(config, journal, [source], deliveries, clock),
            accounts=accounts, verbs=verbs, health=Health(), log=Tail(), clock=clock, bus=bus,
            config=config, reloaded=lambda: site.reloaded,
        )  # fmt: skip
        site = Site(sight, configured(**tables), verbs)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(sight.overview.run(bus)),
                group.create_task(Supervisor().run([source.child()])),
            ]
            try:
                yield site
            finally:
                for task in tasks:
                    task.cancel()
