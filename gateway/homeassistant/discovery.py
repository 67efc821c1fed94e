"""Discovery at work: readings seen → announcements at the brokers, again when Home Assistant says that it is there."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import drivers
from drivers.driver import DriverOptions, Settable
from gateway import wire
from gateway.bus import EventBus, Overflow
from gateway.config import MAIN_BROKER, Config, HomeAssistantOptions
from gateway.config.catalogue import Catalogue, may_come
from gateway.config.rules import is_built_in
from gateway.errors import Refused
from gateway.filters.filter import MOST_METRICS, Names
from gateway.filters.naming import name_before
from gateway.homeassistant import announcement
from gateway.homeassistant.announcement import GATEWAY, Announcement
from gateway.homeassistant.classes import meaning
from gateway.homeassistant.entities import KINDS, Named, Place, kind_after
from gateway.homeassistant.memory import Memory, Platforms, Seen
from gateway.logs import about
from gateway.model import Reading
from gateway.pacing.backoff import Backoff
from gateway.publish.aiomqtt_publisher import Heard
from gateway.publish.delivery import Delivery
from gateway.publish.publisher import Message
from gateway.supervisor import Child, Report

log = logging.getLogger(__name__)

MAILBOX = 256
SETTLE_S = 2.0
"""So long, about, what has been seen is gathered before it is announced: an instrument shows its metrics one after the
other. Not all gateways of a site answer a Home Assistant that has just started in the same moment."""
BIRTH = b"online"
BIRTH_EVERY_S = 30.0
"""It starts once in days; whoever says so all the time must not have megabytes said for a few bytes each second."""
EXPIRY = 2.0
"""Times `stale_after`: the availability says it first, and this is for the case that nobody is there to say it."""


class Discovery:
    """What stands at the brokers for Home Assistant: kept up to date, cleared when it is over, restart or not."""

    def __init__(
        self,
        config: Callable[[], Config],
        deliveries: Iterable[Delivery],
        memory: Memory,
        bus: EventBus,
        may_set: Callable[[str, str], bool],
    ) -> None:
        """Begin; `child` is to be run.

        Args:
            config: as it is at each look.
            deliveries: likewise.
            memory: what is remembered over a restart.
            bus: where the readings are.
            may_set: whether a metric of a device may be set at the main broker; at others nobody listens.
        """
        self._config = config
        self._deliveries = deliveries
        self._memory = memory
        self._may_set = may_set
        self._bus = bus
        self._kept = memory.found()
        self._messages: dict[str, dict[str, Message]] = {}
        """What this process has posted, by broker and topic."""
        self._renew: set[str] = set()
        """Devices of which something else is to be said, or may be."""
        self._gone: dict[tuple[str, str], Platforms] = {}
        """By broker and topic, entities of former days that Home Assistant is to forget."""
        self._said: dict[tuple[str, str], Platforms] = {}
        """By broker and topic, what stands there once the broker has taken what was posted last."""
        self._known: dict[str, tuple[DriverOptions, Catalogue]] = {}
        self._full: set[str] = set()
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._due = asyncio.Event()
        self._born = asyncio.Event()
        self._anew = False
        self.child = Child(name="homeassistant", run=self.run, restart=Backoff(first_s=1.0, cap_s=60.0))

    def topics(self) -> Mapping[str, Callable[[Heard], None]]:
        """What is to be heard at the main broker."""
        options = self._config().homeassistant
        return {} if options is None else {options.birth_topic: self.hear}

    def says(self) -> tuple[str, ...]:
        """Where it speaks, or Home Assistant does: there, and below."""
        options = self._config().homeassistant
        return () if options is None else (options.discovery_prefix, options.birth_topic)

    def hear(self, heard: Heard) -> None:
        """Home Assistant is there. One that has said so before we came has found what is retained."""
        if heard.payload == BIRTH and not heard.retained:
            self._born.set()

    async def run(self, _report: Report) -> None:
        """Endless."""
        await self.change()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announce(), name="homeassistant: announcements")
            group.create_task(self._follow_births(), name="homeassistant: births")
            while True:
                await self._wanted.wait()
                hearing = group.create_task(self._watch(), name="homeassistant: metrics")
                await self._unwanted.wait()
                hearing.cancel()

    async def change(self, blank: Iterable[Delivery] = ()) -> None:
        """Another configuration, or the first one. `blank`: where nothing stands of what was posted."""
        for delivery in blank:
            self._messages.pop(delivery.name, None)
        here, not_here = self._wanted, self._unwanted
        if self._config().homeassistant is None:
            here, not_here = not_here, here
        here.set()
        not_here.clear()
        await self._forget_what_cannot_come()
        self._say_all()

    async def finish(self) -> None:
        """The last word of what is remembered, when nothing runs any more."""
        await self._remember()

    async def _follow_births(self) -> None:
        """The first at once, those of the time after it together."""
        while True:
            await self._born.wait()
            self._born.clear()
            self._anew = True
            self._due.set()
            await asyncio.sleep(BIRTH_EVERY_S)

    async def _watch(self) -> None:
        # What is missed here comes again; nobody waits for us.
        readings = self._bus.subscribe(
            Reading, name="homeassistant", capacity=MAILBOX, overflow=Overflow.DROP_OLDEST
        )
        with readings:
            async for batch in readings.batches():
                for reading in batch:
                    self._see(reading)

    def _see(self, reading: Reading) -> None:
        options = self._config().devices.get(reading.device)
        if options is None:  # it has just been taken out
            return
        seen = self._kept.seen.get(reading.device)
        if seen is None:
            seen = self._kept.seen[reading.device] = Seen(_read_as(options))
        kinds = seen.kinds
        for name, value in reading.values.items():
            kind = KINDS[type(value)]
            if kinds.get(name) is kind:
                continue
            published = wire.portable(name)
            before = kinds.get(published)
            if before is None and (len(kinds) >= MOST_METRICS or not may_come(options, published)):
                continue
            metric = self._catalogue(reading.device, options).metric(published)
            after = kind_after(before, kind, measured=metric is not None and any(meaning(metric)))
            if after is not before:
                kinds[published] = after
                self._renew.add(reading.device)
                self._due.set()

    async def _announce(self) -> None:
        for settle_s in chain([0.0], repeat(SETTLE_S)):
            await self._due.wait()
            await asyncio.sleep(settle_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            self._due.clear()
            if self._anew:
                self._anew = False
                self._messages.clear()
                self._say_all()
            while self._renew:  # one after the other, so that readings pass between two
                name = self._renew.pop()
                for delivery in self._deliveries:
                    self._post(delivery, name)
                await asyncio.sleep(0)
            await self._remember()

    def _say_all(self) -> None:
        for delivery in self._deliveries:
            self._clear(delivery)
        self._renew.update((GATEWAY, *self._config().devices))
        self._due.set()

    def _clear(self, delivery: Delivery) -> None:
        """What is over."""
        stands = self._kept.posted.get(delivery.name, {})
        options, config = self._config().homeassistant, self._config()
        wanted: set[str] = set()
        if options is not None and delivery.name in options.brokers:
            for name in (GATEWAY, *config.devices):
                wanted.add(announcement.topic(options.discovery_prefix, config.gateway.name, name))
        for topic in stands.keys() - wanted:
            self._clear_topic(delivery, topic)

    def _clear_topic(self, delivery: Delivery, topic: str) -> None:
        self._said[delivery.name, topic] = {}
        message = Message(topic, b"", retain=True)
        messages = self._messages.setdefault(delivery.name, {})
        if messages.get(topic) != message:
            messages[topic] = message
            delivery.board.clear(topic)

    def _post(self, delivery: Delivery, name: str) -> None:
        """What is said of a device, or of the gateway, if that is another than what was posted."""
        options, config = self._config().homeassistant, self._config()
        if options is None or delivery.name not in options.brokers or name not in (GATEWAY, *config.devices):
            return
        stands = self._kept.posted.setdefault(delivery.name, {})
        topic = announcement.topic(options.discovery_prefix, config.gateway.name, name)
        announced = self._announcement(options, delivery, name)
        if announced is None:
            if topic in stands:
                self._clear_topic(delivery, topic)
            return
        self._complain(name, announced.left_out)
        gone = self._gone.setdefault((delivery.name, topic), {})
        gone.update(stands.get(topic, {}))
        stands[topic] = {**gone, **announced.platforms}
        self._said[delivery.name, topic] = dict(announced.platforms)
        message = announced.message(gone)
        messages = self._messages.setdefault(delivery.name, {})
        if messages.get(topic) != message:
            messages[topic] = message
            delivery.board.post(message)

    async def _remember(self) -> None:
        """What a broker has not taken yet may stand there as it was, beside what is to stand there."""
        for delivery in self._deliveries:
            topics = self._kept.posted.get(delivery.name, {})
            for topic in [*filter(delivery.board.has_taken, topics)]:
                if said := self._said.get((delivery.name, topic)):
                    topics[topic] = said
                else:
                    del topics[topic]
            if not topics:
                self._kept.posted.pop(delivery.name, None)
        await self._memory.keep(self._kept)

    def _announcement(
        self, options: HomeAssistantOptions, delivery: Delivery, name: str
    ) -> Announcement | None:
        config = self._config()
        prefix, by_metric = options.discovery_prefix, config.brokers[delivery.name].layout == "metric"
        rules = {
            rule: each.each
            for rule, each in config.rules.items()
            if each.enabled and not is_built_in(rule, each)
        }
        place = Place(config.gateway.name, name, delivery.topics, by_metric)
        if name == GATEWAY:
            single = [rule for rule, each in rules.items() if each is None]
            return announcement.of_gateway(prefix, place, single, broker=delivery.name, url=config.web.url)
        device = config.devices[name]
        place = replace(place, expire_after=_expiry(device, by_metric=by_metric))
        driver = drivers.find(device.driver)
        about_it = [rule for rule, each in rules.items() if each is not None and name in Names(each)]
        return announcement.of_device(
            prefix,
            place,
            self._metrics(name, device, heard=delivery.name == MAIN_BROKER),
            about_it,
            maker=driver.maker,
            model=driver.model,
        )

    def _metrics(self, device: str, options: DriverOptions, *, heard: bool) -> Iterator[Named]:
        """What can be set, if somebody has configured that or it was seen; then what was seen, in that order.

        `heard`: whether somebody hears there what is to be set.
        """
        catalogue = self._catalogue(device, options)
        seen = self._kept.seen.get(device)
        kinds = seen.kinds if seen is not None else {}
        settable = {
            name: metric.settable
            for name, metric in catalogue
            if heard
            and metric.settable is not None
            and self._may_set(device, name)
            and (name in kinds or _is_configured(options, name))
            and _may_be_set(options, name, metric.settable)
        }
        for name in dict.fromkeys((*settable, *kinds)):
            yield Named(
                name, catalogue.label(name), kinds.get(name), catalogue.metric(name), settable.get(name)
            )

    def _catalogue(self, device: str, options: DriverOptions) -> Catalogue:
        if device not in self._known or self._known[device][0] is not options:
            self._known[device] = options, Catalogue(options)
        return self._known[device][1]

    async def _forget_what_cannot_come(self) -> None:
        devices = self._config().devices
        self._known = {name: known for name, known in self._known.items() if name in devices}
        self._full &= devices.keys()
        for name in [*self._kept.seen]:
            # Readings pass between two, and so may another configuration.
            seen, options = self._kept.seen.get(name), self._config().devices.get(name)
            if seen is not None and options is not None and seen.as_ == _read_as(options):
                seen.kinds = {each: kind for each, kind in seen.kinds.items() if may_come(options, each)}
            else:
                self._kept.seen.pop(name, None)
            await asyncio.sleep(0)

    def _complain(self, name: str, left_out: int) -> None:
        if not left_out or name in self._full:
            return
        self._full.add(name)
        if name == GATEWAY:
            log.warning(
                "homeassistant: there are more rules than Home Assistant is told of: %d are left out; their alerts are"
                " published all the same", left_out,
            )  # fmt: skip
        else:
            log.warning(
                "homeassistant: %s has more metrics than Home Assistant is told of: %d are left out; drop those that"
                " nobody needs by its filters", name, left_out, extra=about(device=name),
            )  # fmt: skip


def beside(journal: Path) -> Path:
    """Where it remembers, for a gateway with this journal."""
    return journal.with_name(f"{journal.name}-homeassistant.json")


def _read_as(options: DriverOptions) -> str:
    return f"{options.driver} {options.names}"


def _expiry(options: DriverOptions, *, by_metric: bool) -> int | None:
    """None where a value may rightly be old.

    A filter may hold back what has not changed; and not each metric is in each reading, so that its own topic may be
    quiet.
    """
    if options.stale_after is None or options.filters or by_metric:
        return None
    return math.ceil(EXPIRY * options.stale_after)


def _is_configured(options: DriverOptions, name: str) -> bool:
    """Whether the device's table speaks of it, and not only the protocol: not every instrument has all of that."""
    return "*" not in name and name_before(options.filters, name) not in drivers.find(options.driver).metrics


def _may_be_set(options: DriverOptions, name: str, settable: Settable) -> bool:
    trial = settable.choices[0] if settable.choices else settable.minimum or settable.maximum or 0.0
    if not settable.choices and settable.minimum == settable.maximum and settable.minimum is not None:
        return False
    try:
        drivers.find(options.driver).meant(options, name, trial)
    except Refused:
        return False
    return True
