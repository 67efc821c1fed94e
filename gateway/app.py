"""The composition root: what exists, who feeds whom, in what order it stops."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from itertools import chain, repeat

import drivers
from gateway import __version__, wire
from gateway.accounts import Accounts
from gateway.alerting import Alerting
from gateway.bus import EventBus, Overflow, Subscription
from gateway.clock import system_clock
from gateway.config import MAIN_BROKER, Config, rulebook
from gateway.control import Control
from gateway.errors import Refused
from gateway.journal.journal import Journal
from gateway.journal.record import Entry
from gateway.journal.store import Limits
from gateway.model import Availability, Clock, Gap, Reading, Value
from gateway.publish.delivery import Delivery
from gateway.publish.embedded import embedded_broker
from gateway.recovery import Recovery
from gateway.source import Source
from gateway.supervisor import Supervisor
from gateway.tallies import Tallies
from gateway.units import written_duration

log = logging.getLogger(__name__)

MAILBOX = 64
"""Events a subscriber may lag behind before the devices are slowed down; so many readings pass in one turn
of the loop, whatever the number of ports, so that a flood leaves turns enough to whoever forwards them."""

FLOOD_BACKLOG = 1024
FLOOD_PAUSE_S = 0.001
"""Reading costs less than forwarding, and a flood would take all turns: while so many readings wait already, each
full mailbox is followed by so long a pause, which leaves the machine to the forwarder and the broker. The pause is
short enough for some 30,000 readings/s and more while no broker is there."""


async def run(config: Config, stop: asyncio.Event, clock: Clock = system_clock) -> None:
    """The gateway, until `stop` is set and everything read has been handed on.

    Raises: Unreachable, when the embedded broker cannot start; JournalError, when another process has the
    journal or a newer Sallyport wrote it.
    """
    async with AsyncExitStack() as stack:
        for mqtt in config.brokers.values():
            if mqtt.embedded:
                await stack.enter_async_context(embedded_broker(mqtt.embedded_port))
        troubled = asyncio.Event()
        journal = await stack.enter_async_context(_journal(config, clock, lambda _: troubled.set()))
        await _Gateway(config, journal, clock, troubled).run(stop)


def _journal(
    config: Config, clock: Clock, troubled: Callable[[str], None]
) -> AbstractAsyncContextManager[Journal]:
    options = config.journal
    limits = Limits(
        max_size=options.max_size, max_age_s=options.max_age, min_free=options.min_free,
        drop_oldest=options.when_full == "drop_oldest",
    )  # fmt: skip
    path = None if options.in_memory else options.path
    return Journal.open(
        path, readers=config.brokers, limits=limits, sync_s=options.sync, clock=clock, troubled=troubled
    )


class _Gateway:
    def __init__(self, config: Config, journal: Journal, clock: Clock, troubled: asyncio.Event) -> None:
        """`troubled`: set when the journal falls into trouble, and when that is over."""
        self._config = config
        self._clock = clock
        self._since_ns = clock().wall_ns
        self._troubled = troubled
        self._bus = EventBus()
        self._journal = journal
        self._sources = [
            Source(
                name, drivers.find(options.driver), options, self._bus, clock, last_seq=journal.last_seq(name)
            )
            for name, options in config.devices.items()
        ]
        book = rulebook(config.rules, config.devices, config.gateway.zone)
        self._alerting = Alerting(config, book, self._bus, journal, clock, write=self._write)
        self._accounts = Accounts(journal, self._sources, clock, alerting=self._alerting.counters)
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

        self._tallies = Tallies(journal, self._sources, self._deliveries, clock)
        main = self._deliveries[0].forwarder
        self._control = Control(
            config.mqtt,
            self._alerting.desk.verbs,
            gateway=config.gateway.name,
            client_id=config.client_id(),
            connected=lambda: main.connected,
        )

    async def run(self, stop: asyncio.Event) -> None:
        self._post_status()
        readings = self._bus.subscribe(Reading, name="journal", capacity=MAILBOX, overflow=Overflow.WAIT)
        presences = self._bus.subscribe(
            Availability, name="availability", capacity=MAILBOX, overflow=Overflow.WAIT
        )
        gaps = self._bus.subscribe(Gap, name="gaps", capacity=MAILBOX, overflow=Overflow.WAIT)
        supervisors = {delivery: Supervisor() for delivery in self._deliveries}
        with readings, presences, gaps:
            async with asyncio.TaskGroup() as group:
                forwarding = {
                    delivery: group.create_task(
                        supervisor.run([delivery.child]), name=f"forwarder: {delivery.name}"
                    )
                    for delivery, supervisor in supervisors.items()
                }
                self._alerting.start(group)
                listening = group.create_task(Supervisor().run([self._control.child]), name="control")
                announcing = group.create_task(self._record_gaps(gaps), name="gaps")
                losing = group.create_task(self._publish_gaps(), name="losses")
                counting = group.create_task(self._publish_counters(), name="counters")
                telling = group.create_task(self._tell_trouble(), name="status")
                recording = group.create_task(self._record(readings), name="recorder")
                posting = group.create_task(self._post(presences), name="availability")
                reading = group.create_task(self._read(), name="devices")
                tallying = group.create_task(self._tallies.run(self._bus), name="tallies")
                await stop.wait()

                # Cancel the sources, drain the rest.
                listening.cancel()
                await self._alerting.finish_actions()
                reading.cancel()
                tallying.cancel()
                await asyncio.wait([reading, tallying, listening])
                for source in self._sources:
                    await source.announce_stop()
                await self._alerting.finish_judging()
                losing.cancel()
                await asyncio.wait([losing])
                self._bus.close()
                await recording
                await posting
                await announcing
                await self._alerting.finish_handing()
                while (gap := self._journal.take_gap()) is not None:
                    await self._record_gap(gap)
                counting.cancel()
                telling.cancel()
                notifying = self._alerting.finish_notifying()
                self._journal.seal()
                for supervisor in supervisors.values():
                    supervisor.hasten()
                # Only for what can be handed over now, or would be lost: the rest waits on the disk.
                kept = not self._config.journal.in_memory and not self._journal.trouble
                working = [
                    task
                    for each, task in forwarding.items()
                    if each.forwarder.connected or (each.forwarder.waiting and not kept)
                ]
                await asyncio.wait([*working, notifying], timeout=self._config.gateway.stop_timeout)
                for task in (*forwarding.values(), notifying):
                    task.cancel()
                await asyncio.wait([notifying])
                await self._alerting.finish()
        self._accounts.tell(None if self._config.journal.in_memory else self._config.journal.path)

    async def _write(self, device: str, metric: str, value: Value) -> None:
        """Raises: Refused; LinkError; FrameError."""
        for source in self._sources:
            if source.name == device:
                return await source.write(metric, value)
        raise Refused("there is no such device any more")

    async def _read(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(Supervisor().run(source.child() for source in self._sources), name="supervisor")
            for source in self._sources:
                group.create_task(source.watch(), name=f"{source.name}: staleness")
                group.create_task(source.wake(), name=f"{source.name}: filters")
            group.create_task(Supervisor().run([Recovery(self._sources).child]), name="recovery")
            group.create_task(self._tell_rejected(), name="broken frames")

    async def _tell_rejected(self) -> None:
        for pause_s in chain([60], repeat(3600)):
            await asyncio.sleep(pause_s)
            for source in self._sources:
                source.tell_rejected(within=written_duration(pause_s))

    async def _record(self, readings: Subscription[Reading]) -> None:
        async for batch in readings.batches():
            await self._journal.room()
            run = self._journal.run  # not before the loop, nor before the wait: another one may have begun
            await self._journal.append(
                [Entry(reading.device, reading.seq, wire.encode(reading, run)) for reading in batch]
            )
            if len(batch) == MAILBOX and self._journal.readings.waiting > FLOOD_BACKLOG:
                await asyncio.sleep(FLOOD_PAUSE_S)

    async def _publish_gaps(self) -> None:
        async for gap in self._journal.gaps():
            await self._bus.publish(gap)

    async def _record_gaps(self, gaps: Subscription[Gap]) -> None:
        async for gap in gaps:
            await self._record_gap(gap)

    async def _record_gap(self, gap: Gap) -> None:
        self._accounts.note(gap)
        await self._journal.append_urgent("gaps", wire.encode_gap(gap, self._journal.run))

    async def _post(self, presences: Subscription[Availability]) -> None:
        async for presence in presences:
            for delivery in self._deliveries:
                delivery.board.post(delivery.topics.availability(presence))

    def _post_status(self) -> None:
        trouble = self._journal.trouble
        held = f"readings are held in memory: {trouble}" if trouble else ""
        for delivery in self._deliveries:
            delivery.board.post(delivery.topics.online(self._since_ns, __version__, held))

    async def _tell_trouble(self) -> None:
        while True:
            await self._troubled.wait()
            self._troubled.clear()
            self._post_status()

    async def _publish_counters(self) -> None:
        while True:
            await asyncio.sleep(self._config.gateway.status_interval)
            for delivery in self._deliveries:
                delivery.post_counters()
