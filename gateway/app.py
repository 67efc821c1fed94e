"""The composition root: what exists, who feeds whom, in what order it stops."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from gateway import __version__, vitals, wire
from gateway.accounts import Accounts
from gateway.alerting import Alerting
from gateway.brokers import Brokers
from gateway.bus import EventBus, Overflow, Subscription
from gateway.clock import system_clock
from gateway.config import MAIN_BROKER, Config, JournalOptions
from gateway.control import Control
from gateway.devices import Devices
from gateway.dump import Dump
from gateway.health import Health, Pulse
from gateway.homeassistant import discovery
from gateway.homeassistant.discovery import Discovery
from gateway.homeassistant.memory import Memory
from gateway.intercom import intercom
from gateway.journal.journal import Journal
from gateway.journal.record import Entry
from gateway.journal.store import Limits
from gateway.live import FAREWELL_S, Live
from gateway.logs import Tail
from gateway.loudness import Loudness
from gateway.model import Availability, Clock, Gap, Reading, Removal
from gateway.overview import Overview
from gateway.publish.delivery import Delivery
from gateway.publish.embedded import embedded_broker
from gateway.recovery import Recovery
from gateway.reloading import Change, Reloading, compiled
from gateway.request import Verb
from gateway.supervisor import Supervisor
from gateway.switchboard import Switchboard
from gateway.tallies import Tallies

log = logging.getLogger(__name__)

MAILBOX = 64
"""Events a subscriber may lag behind before the devices are slowed down; so many readings pass in one turn
of the loop, whatever the number of ports, so that a flood leaves turns enough to whoever forwards them."""

FLOOD_BACKLOG = 1024
FLOOD_PAUSE_S = 0.001
"""Reading costs less than forwarding, and a flood would take all turns: while so many readings wait already, each
full mailbox is followed by so long a pause, which leaves the machine to the forwarder and the broker. The pause is
short enough for some 30,000 readings/s and more while no broker is there."""


STOP_SPARE_S = 60.0
"""What a stop may take besides `gateway.stop_timeout`: the journal alone waits for half of it for a slow disk."""

RELOAD_S = 15.0
"""And so long a reload may take to come to its end before that: ports are closed, brokers told farewell."""


def _nothing_to_adjust(_config: Config) -> None:
    """There is nothing around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the process around it gives a gateway."""

    health: Health = field(default_factory=Health)
    """Whoever looks after us, and tells the service manager."""
    dump: Dump = field(default_factory=Dump)
    """Whoever says what all are doing, when he is asked."""
    file: Path | None = None
    """The configuration, to be read again; None: it cannot be."""
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody wants that to be done."""
    adjust: Callable[[Config], None] = _nothing_to_adjust
    """Called when another configuration has taken effect, for what is not the gateway's own, such as the log."""
    log: Tail = field(default_factory=Tail)
    """The last lines of the log."""
    intercom: Path | None = None
    """The socket on which requests from this machine come in."""
    live: Sequence[socket.socket] = ()
    """Sockets, open already, on which the live feed is asked for."""


async def run(
    config: Config,
    stop: asyncio.Event,
    clock: Clock = system_clock,
    surroundings: Surroundings = Surroundings(),
) -> None:
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
        gateway = _Gateway(config, journal, clock, troubled, surroundings)
        await stack.enter_async_context(intercom(surroundings.intercom, gateway.verbs))
        await gateway.run(stop)


def _journal(
    config: Config, clock: Clock, troubled: Callable[[str], None]
) -> AbstractAsyncContextManager[Journal]:
    options = config.journal
    path = None if options.in_memory else options.path
    return Journal.open(
        path, readers=config.brokers, limits=_limits(options), sync_s=options.sync, clock=clock, troubled=troubled
    )  # fmt: skip


def _limits(options: JournalOptions) -> Limits:
    return Limits(
        max_size=options.max_size, max_age_s=options.max_age, min_free=options.min_free,
        drop_oldest=options.when_full == "drop_oldest",
    )  # fmt: skip


class _Gateway:
    def __init__(
        self, config: Config, journal: Journal, clock: Clock, troubled: asyncio.Event, surroundings: Surroundings
    ) -> None:  # fmt: skip
        """`troubled`: set when the journal falls into trouble, and when that is over."""
        self._config = config
        self._clock = clock
        self._since_ns = clock().wall_ns
        self._troubled = troubled
        self._surroundings = surroundings
        self._bus = EventBus()
        self._journal = journal
        self._devices = Devices(config.devices, self._bus, clock, last_seq=journal.last_seq)
        self._recovery = Recovery(self._devices)
        self._alerting = Alerting(
            config, compiled(config), self._bus, journal, clock, write=self._devices.write
        )
        self._accounts = Accounts(journal, self._devices, clock, alerting=self._alerting.counters)
        self._brokers = Brokers(config, journal, counters=self._accounts.as_json)
        self._accounts.brokers = self._brokers
        self._tallies = Tallies(journal, self._devices, self._brokers, clock)
        self._overview = Overview(lambda: self._config, journal, self._devices, self._brokers, clock)
        self._live = Live(
            config.live, self._bus, self._devices, run=lambda: journal.run, about=self._overview.gateway,
            state=self._overview.device, passed=surroundings.live,
        )  # fmt: skip
        remembered = None if config.journal.in_memory else discovery.beside(config.journal.path)
        self._discovery = Discovery(
            lambda: self._config, self._brokers, Memory(remembered), self._bus, self._may_set
        )
        self._presences: dict[str, Availability] = {}
        """As they were posted last."""
        self._changed = asyncio.Event()
        """Set when another configuration takes effect."""
        self._reloading = Reloading(
            surroundings.file, lambda: self._config, self._carry_out, surroundings.health.manager,
            self._devices.restart,
        )  # fmt: skip
        self._switchboard = Switchboard(self._devices)
        self._loudness = Loudness()
        self.verbs: Mapping[str, Verb] = {
            **self._alerting.desk.verbs, **self._reloading.verbs, "devices": self._devices.tell,
            "overview": self._overview.tell, "ping": self._overview.ping, "journal": self._overview.tell_journal,
            "log/level": self._loudness.change, "set": self._switchboard.set_,
            "dump": surroundings.dump.tell,
        }  # fmt: skip
        """What can be asked for."""
        self._control: Control | None = None

    async def run(self, stop: asyncio.Event) -> None:
        self._introduce(self._brokers)
        readings = self._bus.subscribe(Reading, name="journal", capacity=MAILBOX, overflow=Overflow.WAIT)
        presences = self._bus.subscribe(
            Availability, name="availability", capacity=MAILBOX, overflow=Overflow.WAIT
        )
        gaps = self._bus.subscribe(Gap, name="gaps", capacity=MAILBOX, overflow=Overflow.WAIT)
        with readings, presences, gaps:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    name: group.create_task(work, name=name)
                    for name, work in (
                        ("control", self._listen()),
                        ("gaps", self._record_gaps(gaps)),
                        ("losses", self._publish_gaps()),
                        ("counters", self._publish_counters()),
                        ("status", self._tell_trouble()),
                        ("recorder", self._record(readings)),
                        ("availability", self._post(presences)),
                        ("devices", self._devices.run()),
                        ("recovery", Supervisor().run([self._recovery.child])),
                        ("overview", self._overview.run(self._bus)),
                        ("live", Supervisor().run([self._live.child])),
                        ("homeassistant", Supervisor().run([self._discovery.child])),
                        ("tallies", self._tallies.run(self._bus)),
                        ("status page", self._show()),
                        ("reloads", self._reloading.run(self._surroundings.reload)),
                    )
                }
                self._brokers.start(group)
                self._alerting.start(group)
                await asyncio.sleep(0)  # all of them have begun
                health = self._surroundings.health
                health.ready(self._pulses, self._status)
                self._surroundings.dump.ready(self._depths)
                await stop.wait()
                health.stopping(self._config.gateway.stop_timeout + STOP_SPARE_S)
                await self._finish(tasks)
        self._accounts.tell(None if self._config.journal.in_memory else self._config.journal.path)

    async def _finish(self, tasks: Mapping[str, asyncio.Task[None]]) -> None:
        """Cancel the sources, drain the rest."""
        await self._reloading.end(RELOAD_S)
        await _cancelled(tasks["reloads"], tasks["control"], tasks["status page"])
        await self._alerting.finish_actions()
        await _cancelled(
            tasks["devices"], tasks["recovery"], tasks["tallies"], tasks["overview"], tasks["homeassistant"]
        )
        for source in self._devices:
            await source.announce_stop()
        await self._alerting.finish_judging()
        await _cancelled(tasks["losses"])
        self._bus.close()
        self._live.end()
        await tasks["recorder"]
        await tasks["availability"]
        await tasks["gaps"]
        await self._alerting.finish_handing()
        while (gap := self._journal.take_gap()) is not None:
            await self._record_gap(gap)
        await _cancelled(tasks["counters"], tasks["status"])
        notifying = self._alerting.finish_notifying()
        self._journal.seal()
        # Only for what can be handed over now, or would be lost: the rest waits on the disk.
        kept = not self._config.journal.in_memory and not self._journal.trouble
        working = self._brokers.working(kept=kept)
        await asyncio.wait([*working, notifying], timeout=self._config.gateway.stop_timeout)
        self._brokers.give_up()
        await _cancelled(notifying)
        await asyncio.wait([tasks["live"]], timeout=FAREWELL_S)
        await _cancelled(tasks["live"])
        await self._alerting.finish()
        self._loudness.end()
        await self._discovery.finish()

    def _pulses(self) -> Iterator[Pulse]:
        return vitals.pulses(
            self._bus,
            self._journal,
            alerting=self._alerting,
            sources=self._devices,
            recovery=self._recovery,
            deliveries=self._brokers,
            reloading=self._reloading,
            patience=self._surroundings.health.patience,
        )

    def _depths(self) -> Mapping[str, Any]:
        return vitals.depths(
            self._bus,
            self._journal,
            alerting=self._alerting,
            deliveries=self._brokers,
            control=self._control,
            live=self._live,
        )

    def _status(self) -> str:
        return vitals.status(self._journal, self._devices, self._brokers)

    async def _carry_out(self, change: Change) -> None:
        """Those that have to go first, then what decides, then those that come."""
        wanted = change.plan
        heard = self._discovery.topics().keys()
        old, self._config = self._config, wanted.config
        if wanted.config.journal != old.journal:
            self._journal.change(_limits(wanted.config.journal), wanted.config.journal.sync)
        await self._devices.close(wanted)
        blank = await self._brokers.change(wanted, change.ways)
        self._introduce(blank)
        if _decides(old) != _decides(wanted.config):
            await self._alerting.change(wanted.config, change.book, self._devices.presences())
        await self._devices.open(wanted)
        self._overview.change(wanted)
        await self._discovery.change(blank)
        if blank:
            await self._alerting.repeat()
        listening_is_another = (
            self._brokers[MAIN_BROKER] in blank
            or _hears(old) != _hears(wanted.config)
            or self._discovery.topics().keys() != heard
        )
        if self._control is not None and listening_is_another:
            self._control.retire()
        self._loudness.end()
        self._live.change(wanted.config.live)
        self._surroundings.adjust(wanted.config)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _show(self) -> None:
        """The status page, while one is configured. Who has none does without its packages, too."""
        while True:
            changed = self._changed
            if self._config.web.listen is None:
                await changed.wait()
                continue
            # Reading its packages takes a third of a second, and seconds on a small machine.
            await asyncio.to_thread(import_module, "gateway.web.server")
            from gateway.web.server import Web  # noqa: PLC0415
            from gateway.web.sight import Sight  # noqa: PLC0415

            sight = Sight(
                overview=self._overview, accounts=self._accounts, verbs=self.verbs, bus=self._bus,
                health=self._surroundings.health, log=self._surroundings.log, clock=self._clock,
                config=lambda: self._config, reloaded=lambda: self._changed,
            )  # fmt: skip
            await Supervisor().run([Web(sight).child])

    async def _listen(self) -> None:
        while True:
            if self._config.control.enabled:
                self._control = self._new_control()
                await Supervisor().run([self._control.child])
                self._control = None
            else:
                await self._changed.wait()

    def _new_control(self) -> Control:
        main = self._brokers[MAIN_BROKER]
        set_ = partial(self._switchboard.set_, may_set=self._may_set)
        return Control(
            self._config.mqtt,
            main.ways,
            {**self.verbs, "set": set_},
            gateway=self._config.gateway.name,
            connected=lambda: main.forwarder.connected,
            options=lambda: self._config.control,
            settable=self._devices.settable,
            hears=self._discovery.topics(),
            says=self._discovery.says,
        )

    def _may_set(self, device: str, metric: str) -> bool:
        """Over MQTT, as it is configured now."""
        return self._config.control.may_set(device, metric)

    # From the bus to the journal and the brokers.

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
            if isinstance(presence, Removal):
                self._clear(presence.device)
                continue
            self._presences[presence.device] = presence
            for delivery in self._brokers:
                delivery.board.post(delivery.topics.availability(presence))

    def _clear(self, device: str) -> None:
        """Nothing is to stand at a broker of a device that is not there any more."""
        self._presences.pop(device, None)
        for delivery in self._brokers:
            delivery.board.clear(delivery.topics.of_availability(device))

    def _introduce(self, deliveries: Iterable[Delivery]) -> None:
        """All that is to stand at brokers who may have heard of us long ago, or never."""
        self._post_status(deliveries)
        gone = (self._journal.devices | self._devices.former) - self._config.devices.keys()
        for delivery in deliveries:
            for presence in self._presences.values():
                delivery.board.post(delivery.topics.availability(presence))
            for device in gone:
                delivery.board.clear(delivery.topics.of_availability(device))

    def _post_status(self, deliveries: Iterable[Delivery]) -> None:
        trouble = self._journal.trouble
        held = f"readings are held in memory: {trouble}" if trouble else ""
        for delivery in deliveries:
            delivery.board.post(delivery.topics.online(self._since_ns, __version__, held))

    async def _tell_trouble(self) -> None:
        while True:
            await self._troubled.wait()
            self._troubled.clear()
            self._post_status(self._brokers)

    async def _publish_counters(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.gateway.status_interval):
                    await self._changed.wait()
                continue
            for delivery in self._brokers:
                delivery.post_counters()


def _hears(config: Config) -> tuple[bool, bool]:
    """All that its subscriptions depend on, the broker apart."""
    return config.control.enabled, bool(config.control.set_)


def _decides(config: Config) -> tuple[object, ...]:
    """All that rules depend on."""
    return config.rules, config.notify, config.devices, config.gateway.zone


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
