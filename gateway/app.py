"""The composition root: what exists, who feeds whom, in what order it stops."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from itertools import chain, repeat

import drivers
from gateway import __version__, wire
from gateway.bus import EventBus, Overflow, Subscription
from gateway.clock import system_clock
from gateway.config import Config, JournalOptions
from gateway.journal.journal import Journal
from gateway.journal.record import Entry
from gateway.journal.store import Limits
from gateway.model import Availability, Clock, Gap, Presence, Reading
from gateway.pacing.backoff import Backoff
from gateway.publish.broker import Broker
from gateway.publish.embedded import embedded_broker
from gateway.publish.forwarder import Forwarder
from gateway.publish.noticeboard import Noticeboard
from gateway.publish.topics import Topics
from gateway.publish.way import publisher_to
from gateway.source import Source
from gateway.supervisor import Child, Supervisor
from gateway.units import written_duration

log = logging.getLogger(__name__)

MAILBOX = 64
"""Events a subscriber may lag behind before the devices are slowed down; so many readings pass in one turn
of the loop, whatever the number of ports, so that a flood leaves turns enough to whoever forwards them."""

FLOOD_BACKLOG = 1024
FLOOD_PAUSE_S = 0.001
"""Reading costs less than forwarding: while the ports give more than leaves and so many readings wait already, each
full mailbox is followed by so long a pause. Ports are read at 40,000 readings/s and more even then."""


async def run(config: Config, stop: asyncio.Event, clock: Clock = system_clock) -> None:
    """The gateway, until `stop` is set and everything read has been handed on.

    Raises: Unreachable, when the embedded broker cannot start; JournalError, when another process has the
    journal or a newer Sallyport wrote it.
    """
    async with AsyncExitStack() as stack:
        if config.mqtt.url.embedded:
            await stack.enter_async_context(embedded_broker(config.mqtt.embedded_port))
        journal = await stack.enter_async_context(_journal(config.journal, clock))
        await _Gateway(config, journal, clock).run(stop)


def _journal(options: JournalOptions, clock: Clock) -> AbstractAsyncContextManager[Journal]:
    limits = Limits(
        max_size=options.max_size, max_age_s=options.max_age, min_free=options.min_free,
        drop_oldest=options.when_full == "drop_oldest",
    )  # fmt: skip
    path = None if options.in_memory else options.path
    return Journal.open(path, readers=["mqtt"], limits=limits, sync_s=options.sync, clock=clock)


class _Gateway:
    def __init__(self, config: Config, journal: Journal, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._bus = EventBus()
        self._journal = journal
        self._board = Noticeboard()
        self._topics = Topics(prefix=config.mqtt.prefix, gateway=config.gateway.name)
        publisher = publisher_to(
            Broker.of(config.mqtt, client_id=config.client_id), will=self._topics.offline()
        )
        layouts = {"device": self._topics.by_device, "metric": self._topics.by_metric}
        self._forwarder = Forwarder(
            journal.readings,
            self._board,
            publisher,
            layouts[config.mqtt.layout],
            farewell=self._topics.offline(),
            ack_timeout_s=config.mqtt.ack_timeout,
        )
        self._forwarding = Child(
            name="broker",
            run=self._forwarder.run,
            restart=Backoff(first_s=0.5, cap_s=config.mqtt.retry_max),
        )
        self._sources = [
            Source(
                name, drivers.find(options.driver), options, self._bus, clock, last_seq=journal.last_seq(name)
            )
            for name, options in config.devices.items()
        ]

    async def run(self, stop: asyncio.Event) -> None:
        self._board.post(self._topics.online(self._clock().wall_ns, __version__))
        readings = self._bus.subscribe(Reading, name="journal", capacity=MAILBOX, overflow=Overflow.WAIT)
        presences = self._bus.subscribe(
            Availability, name="availability", capacity=MAILBOX, overflow=Overflow.WAIT
        )
        gaps = self._bus.subscribe(Gap, name="gaps", capacity=MAILBOX, overflow=Overflow.WAIT)
        broker = Supervisor()
        with readings, presences, gaps:
            async with asyncio.TaskGroup() as group:
                forwarding = group.create_task(broker.run([self._forwarding]), name="forwarder")
                recording = group.create_task(self._record(readings), name="recorder")
                posting = group.create_task(self._post(presences), name="availability")
                announcing = group.create_task(self._record_gaps(gaps), name="gaps")
                losing = group.create_task(self._publish_gaps(), name="losses")
                reading = group.create_task(self._read(), name="devices")
                await stop.wait()

                # Cancel the sources, drain the rest.
                reading.cancel()
                await asyncio.wait([reading])
                for source in self._sources:
                    await source.announce(Presence.OFFLINE, "the gateway was stopped")
                losing.cancel()
                await asyncio.wait([losing])
                self._bus.close()
                await recording
                await posting
                await announcing
                while (gap := self._journal.take_gap()) is not None:
                    await self._record_gap(gap)
                self._journal.seal()
                broker.hasten()
                if self._journal.readings.behind("mqtt") or self._forwarder.connected:
                    await asyncio.wait([forwarding], timeout=self._config.gateway.stop_timeout)
                forwarding.cancel()
        self._account()

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
        run = self._journal.run
        async for batch in readings.batches():
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
        await self._journal.append_urgent("gaps", wire.encode_gap(gap, self._journal.run))

    async def _post(self, presences: Subscription[Availability]) -> None:
        async for presence in presences:
            self._board.post(self._topics.availability(presence))

    def _account(self) -> None:
        """The last lines of the log: everything read has gone somewhere."""
        for source in self._sources:
            for what, tally in (("rejected", source.rejected), ("dropped", source.dropped)):
                if tally:
                    reasons = ", ".join(f"{count} {reason}" for reason, count in tally.most_common())
                    log.info("%s: %s: %s", source.name, what, reasons)
        read = sum(source.readings for source in self._sources)
        log.info(
            "stopped: %d readings read, %d handed to the broker, %d lost by the journal, %d messages refused",
            read, self._forwarder.forwarded, self._journal.losses.total, self._forwarder.rejected,
        )  # fmt: skip
        if left := self._journal.readings.behind("mqtt"):
            if self._config.journal.in_memory:
                log.warning("the broker has not taken the last %d readings: they are lost", left)
            else:
                log.info(
                    "the broker has not taken %d readings: they stay in %s", left, self._config.journal.path
                )
