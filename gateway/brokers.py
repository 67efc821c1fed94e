"""All configured brokers at work: each gets everything, started, stopped and changed while the others go on."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.config import MAIN_BROKER, Config, MqttOptions
from gateway.journal.journal import Journal
from gateway.plan import Plan, Verb
from gateway.publish.broker import Broker
from gateway.publish.delivery import Delivery
from gateway.supervisor import Supervisor

LEAVE_S = 2.0
"""A broker that is left may take so long to acknowledge what is on its way to it; the rest is sent to the next one."""

KIND = "mqtt"

Ways = Mapping[str, Sequence[Broker]]


class _Courier(NamedTuple):
    supervisor: Supervisor
    task: asyncio.Task[None]


class Brokers:
    def __init__(self, config: Config, journal: Journal, *, counters: Callable[[], bytes]) -> None:
        """Raises: ConfigError, when the TLS files cannot be used."""
        self._gateway = config.gateway.name
        self._journal = journal
        self._first = journal.readings.last
        self._counters = counters
        self._deliveries: dict[str, Delivery] = {}
        self._couriers: dict[str, _Courier] = {}
        self._group: asyncio.TaskGroup | None = None
        for name, ways in ways_to(config, config.brokers).items():
            self._deliver(name, config.brokers[name], ways)

    def __iter__(self) -> Iterator[Delivery]:
        """The main one first."""
        return iter([*self._deliveries.values()])

    def __getitem__(self, name: str) -> Delivery:
        return self._deliveries[name]

    def start(self, group: asyncio.TaskGroup) -> None:
        """Deliver, until the journal is sealed and everything is delivered."""
        self._group = group
        for delivery in self:
            self._begin(delivery)

    async def change(self, plan: Plan, ways: Ways) -> list[Delivery]:
        """Carry out what is planned; those whose notices are still to be posted.

        A new one gets what some other one has still to get, and all that comes.
        """
        for name in _named(plan.of(KIND, Verb.STOP)):
            await self._end(self._deliveries[name])
            del self._deliveries[name]
            self._journal.drop_reader(name)
        blank = []
        for name in _named(plan.of(KIND, Verb.RESTART)):
            delivery = self._deliveries[name]
            await self._end(delivery)
            delivery.change(plan.config.brokers[name], ways[name])
            blank.append(delivery)
        for name in _named(plan.of(KIND, Verb.START)):
            self._journal.add_reader(name)
            delivery = self._deliver(name, plan.config.brokers[name], ways[name])
            delivery.joined_after = self._journal.readings.last - self._first
            blank.append(delivery)
        for delivery in blank:
            self._begin(delivery)
        return blank

    def working(self, *, kept: bool) -> list[asyncio.Task[None]]:
        """Those that can hand something over now, or would lose it; `kept`: what is left waits on the disk.

        To be called when the journal is sealed: they do what they can, without a long wait between two attempts.
        """
        for courier in self._couriers.values():
            courier.supervisor.hasten()
        return [
            courier.task
            for name, courier in self._couriers.items()
            if (forwarder := self._deliveries[name].forwarder).connected or (forwarder.waiting and not kept)
        ]

    def give_up(self) -> None:
        for courier in self._couriers.values():
            courier.task.cancel()

    def _deliver(self, name: str, mqtt: MqttOptions, ways: Sequence[Broker]) -> Delivery:
        title = "broker" if name == MAIN_BROKER else f"broker {name}"
        self._deliveries[name] = Delivery(
            name, mqtt, ways, self._journal, gateway=self._gateway, counters=self._counters, title=title
        )
        return self._deliveries[name]

    def _begin(self, delivery: Delivery) -> None:
        assert self._group is not None
        supervisor = Supervisor()
        task = self._group.create_task(supervisor.run([delivery.child()]), name=f"forwarder: {delivery.name}")
        self._couriers[delivery.name] = _Courier(supervisor, task)

    async def _end(self, delivery: Delivery) -> None:
        courier = self._couriers[delivery.name]
        if delivery.forwarder.connected:
            delivery.forwarder.leave()
            await asyncio.wait([courier.task], timeout=LEAVE_S)
        courier.task.cancel()
        await asyncio.wait([courier.task])
        del self._couriers[delivery.name]


def ways_to(config: Config, brokers: Iterable[str]) -> Ways:
    """To these of its brokers. Reads certificates. Raises: ConfigError, when the TLS files cannot be used."""
    return {name: Broker.ways(config.brokers[name], client_id=config.client_id(name)) for name in brokers}


def new_ways(plan: Plan) -> Ways:
    """Those that `change` wants. Reads certificates. Raises: ConfigError, when the TLS files cannot be used."""
    return ways_to(plan.config, _named(plan.of(KIND, Verb.START, Verb.RESTART)))


def _named(names: Iterable[str]) -> list[str]:
    """As the journal knows them; a plan has no name for the main one."""
    return [name or MAIN_BROKER for name in names]
