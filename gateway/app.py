"""The composition root: what exists, who feeds whom, in what order it stops."""

import asyncio
import logging
from contextlib import AsyncExitStack
from itertools import chain, repeat

import drivers
from gateway import __version__, wire
from gateway.accounts import Accounts
from gateway.bus import EventBus, Overflow, Subscription
from gateway.config import MAIN_BROKER, Config
from gateway.journal.journal import Entry, Journal, WhenFull
from gateway.model import Availability, Clock, Presence, Reading, system_clock
from gateway.publish.delivery import Delivery
from gateway.publish.embedded import embedded_broker
from gateway.source import Source
from gateway.supervisor import Supervisor
from gateway.units import written_duration

log = logging.getLogger(__name__)

MAILBOX = 1024
"""Events a subscriber may lag behind before the devices are slowed down."""


async def run(config: Config, stop: asyncio.Event, clock: Clock = system_clock) -> None:
    """The gateway, until `stop` is set and everything read has been handed on.

    Raises: Unreachable, when the embedded broker cannot start.
    """
    async with AsyncExitStack() as stack:
        for mqtt in config.brokers.values():
            if mqtt.embedded:
                await stack.enter_async_context(embedded_broker(mqtt.embedded_port))
        journal = await stack.enter_async_context(
            Journal.open(
                None,
                readers=config.brokers,
                max_size=config.journal.max_size,
                when_full=WhenFull(config.journal.when_full),
            )
        )
        await _Gateway(config, journal, clock).run(stop)


class _Gateway:
    def __init__(self, config: Config, journal: Journal, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._bus = EventBus()
        self._journal = journal
        self._sources = [
            Source(name, drivers.find(options.driver), options, self._bus, clock)
            for name, options in config.devices.items()
        ]
        self._accounts = Accounts(journal, self._sources, clock)
        self._deliveries = self._accounts.deliveries = [
            Delivery(
                name,
                mqtt,
                journal,
                gateway=config.gateway.name,
                client_id=config.client_id(name),
                counters=self._accounts.as_json,
                title="broker" if name == MAIN_BROKER else f"broker {name}",
            )
            for name, mqtt in config.brokers.items()
        ]

    async def run(self, stop: asyncio.Event) -> None:
        for delivery in self._deliveries:
            delivery.board.post(delivery.topics.online(self._clock().wall_ns, __version__))
        readings = self._bus.subscribe(Reading, name="journal", capacity=MAILBOX, overflow=Overflow.WAIT)
        presences = self._bus.subscribe(
            Availability, name="availability", capacity=MAILBOX, overflow=Overflow.WAIT
        )
        brokers = Supervisor()
        with readings, presences:
            async with asyncio.TaskGroup() as group:
                forwarding = {
                    each: group.create_task(brokers.run([each.child]), name=f"forwarder: {each.name}")
                    for each in self._deliveries
                }
                announcing = group.create_task(self._announce_gaps(), name="gaps")
                counting = group.create_task(self._publish_counters(), name="counters")
                recording = group.create_task(self._record(readings), name="recorder")
                posting = group.create_task(self._post(presences), name="availability")
                reading = group.create_task(self._read(), name="devices")
                await stop.wait()

                # Cancel the sources, drain the rest.
                reading.cancel()
                await asyncio.wait([reading])
                for source in self._sources:
                    await source.announce(Presence.OFFLINE, "the gateway was stopped")
                self._bus.close()
                await recording
                await posting
                counting.cancel()
                self._journal.seal()
                brokers.hasten()
                # A broker that is away and has got everything is not waited for.
                working = [
                    task
                    for each, task in forwarding.items()
                    if each.forwarder.connected or each.forwarder.waiting
                ]
                if working:
                    await asyncio.wait(working, timeout=self._config.gateway.stop_timeout)
                for task in (announcing, *forwarding.values()):
                    task.cancel()
        self._accounts.tell()

    async def _read(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(Supervisor().run(source.child() for source in self._sources), name="supervisor")
            for source in self._sources:
                group.create_task(source.watch(), name=f"{source.name}: staleness")
            group.create_task(self._tell_rejected(), name="broken frames")

    async def _tell_rejected(self) -> None:
        for pause_s in chain([60], repeat(3600)):
            await asyncio.sleep(pause_s)
            for source in self._sources:
                source.tell_rejected(within=written_duration(pause_s))

    async def _record(self, readings: Subscription[Reading]) -> None:
        async for reading in readings:
            payload = wire.encode(reading, self._journal.run)
            await self._journal.append([Entry(reading.device, reading.seq, payload)])
            self._accounts.recorded += 1

    async def _post(self, presences: Subscription[Availability]) -> None:
        async for presence in presences:
            for delivery in self._deliveries:
                delivery.board.post(delivery.topics.availability(presence))

    async def _announce_gaps(self) -> None:
        async for gap in self._journal.gaps():
            self._accounts.note(gap)
            await self._journal.append_urgent("gaps", wire.encode_gap(gap))

    async def _publish_counters(self) -> None:
        while True:
            await asyncio.sleep(self._config.gateway.status_interval)
            for delivery in self._deliveries:
                delivery.post_counters()
