"""One configured device: its driver's readings, filtered and numbered, onto the bus; and whether it can be believed."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from math import inf, isfinite

from drivers.asking import Asker
from drivers.driver import NO_ANSWER, Device, Driver, DriverOptions, Writable
from drivers.lookout import Lookout
from gateway.bus import EventBus
from gateway.errors import LinkAbsent, LinkError, LinkLost, LinkSilent, Refused
from gateway.filters.chain import Chain
from gateway.logs import MessageId, about
from gateway.model import Availability, Clock, Presence, Reading, Removal, Stamp, Value
from gateway.pacing.backoff import Backoff
from gateway.supervisor import Child, Report
from gateway.units import written_duration

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5

NEWS = {
    Presence.ONLINE: MessageId.DEVICE_ONLINE,
    Presence.STALE: MessageId.DEVICE_STALE,
    Presence.OFFLINE: MessageId.DEVICE_OFFLINE,
}

IN_PLACE = frozenset({"stale_after", "reopen_after", "power_cycle", "retry_max", "metrics", "filters"})
"""Options that can be changed while the port is open: those that are for us, not for the driver."""

STRETCH = 16
"""Readings that a device may put on the bus before it looks whether there is room for them: looking, and
waiting in line, costs as much as a reading."""


class Source:
    def __init__(
        self,
        name: str,
        driver: Driver,
        options: DriverOptions,
        bus: EventBus,
        clock: Clock,
        *,
        last_seq: int = 0,
    ) -> None:
        self.name = name
        self.readings = 0
        """That came from the driver, in this process."""
        self.filtered = 0
        """Of these, the ones of which the filters passed nothing on when they came."""
        self.made = 0
        """Readings that came from the filters by themselves: a heartbeat, the result of a window."""
        self.silent_since: float | None = None
        """When nothing had been heard for too long, or too often no answer, and the port is not known to be away; None:
        otherwise."""
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.handling = ""
        """What is being done to its port and must end by itself: "opening", "closing"."""
        self.handled = 0
        """So often was that begun."""
        self._told: Counter[str] = Counter()
        self._withheld: Counter[str] = Counter()  # by filters that were there before
        self._driver = driver
        self._options = options
        self._bus = bus
        self._clock = clock
        self.seq = last_seq
        """Of the last reading."""
        self._device: Device | None = None
        self._is_asked = False
        self._report: Report | None = None
        self._said: Availability | None = None
        self._heard_at = 0.0
        self._unanswered = ""  # why the port was shut, if that was because nobody answered
        self._port_open: bool | None = None
        self._opened = False
        self._stopped = False
        self._lookout = Lookout(options.port)
        self._stay: asyncio.Timeout | None = None  # at the open port
        self._settled = asyncio.Event()
        self._may_open = asyncio.Event()
        self._may_open.set()
        self._writing: set[asyncio.Timeout] = set()
        # They outlast the port: what they hold is what the device said, whenever its port was opened.
        self._chain = Chain(options.filters) if options.filters else None
        self._armed_for = inf
        self._rearm = asyncio.Event()
        self._retry = Backoff(*_retry(options))

    def child(self) -> Child:
        return Child(
            name=self.name,
            run=self.run,
            restart=self._retry,
            changed=self.announce,
            chance=self._lookout.arrival,
            fields=about(device=self.name, port=self._options.port),
            news=NEWS,
        )

    def change(self, options: DriverOptions) -> None:
        """Other ones from now on, different `IN_PLACE` only; `watch` and `wake` are to be run anew."""
        if options.filters != self._options.filters:
            self._withheld = self.tally_withheld()
            self._chain = Chain(options.filters) if options.filters else None
        if options.stale_after != self._options.stale_after:
            self.silent_since = None
        self._retry.first_s, self._retry.cap_s = _retry(options)
        self._options = options

    @property
    def options(self) -> DriverOptions:
        return self._options

    def succeed(self, former: "Source") -> None:
        """Count on from where it stopped: the same device, opened in another way."""
        self.seq = former.seq
        self.readings, self.filtered, self.made = former.readings, former.filtered, former.made
        self.rejected, self.dropped = former.tally_rejected(), former.tally_dropped()
        self._withheld = former.tally_withheld()
        self._told = Counter(self.rejected)

    @property
    def presence(self) -> Availability | None:
        """What was said last of the device."""
        return self._said

    async def run(self, report: Report) -> None:
        """Raises: LinkError, when the port cannot be opened or goes away, or nobody answers."""
        self._report = report
        while True:
            await self._may_open.wait()
            self._opened = False
            try:
                self._handle("opening")
                await self._lookout.note()
                await self._read(report)
            except LinkSilent:
                self._port_open = True
                self._fall_silent()
                raise
            except LinkLost:
                self._port_open, self.silent_since = False, None
                raise
            except LinkError:
                self._port_open = self._opened  # where another instrument answers, the port is open
                if not self._opened:
                    self.silent_since = None
                raise
            finally:
                self._handle("")
                self._settled.set()

    @asynccontextmanager
    async def shut(self) -> AsyncIterator[None]:
        """While it lasts the port of a device that is silent is not open; that is not announced.

        Whoever is heard meanwhile keeps it: `silent_since` tells.
        """
        self._may_open.clear()
        try:
            if self._stay is not None and self.silent_since is not None:
                self._settled.clear()
                self._stay.reschedule(0)
                await self._settled.wait()
            yield
        finally:
            self._may_open.set()

    @contextmanager
    def closing(self) -> Iterator[None]:
        """For whoever cancels `run`, while it waits for the end: a driver may hang in its own clean-up."""
        self._handle("closing")
        try:
            yield
        finally:
            self._handle("")

    def _handle(self, what: str) -> None:
        self.handling = what
        self.handled += 1

    async def _read(self, report: Report) -> None:
        unanswered, self._unanswered = self._unanswered, ""
        async with self._driver.open(self.name, self._options, self._clock) as device:
            self._handle("")
            self._opened = self._port_open = True
            self._heard_at = asyncio.get_running_loop().time()
            self._device = device
            self._is_asked = isinstance(device, Asker)
            if report.presence is not Presence.STALE:
                await report.waiting(unanswered or f"{self._options.port}: open, no reading yet")
            try:
                await self._take_from(device, report)
                self._unanswered = unanswered
            except LinkSilent as error:
                self._unanswered = str(error)
                raise
            finally:
                self._handle("closing")
                self._device = self._stay = None
                for each in self._writing:  # nobody would hear the answer
                    each.reschedule(0)
                self._writing.clear()
                self._hush()
                self.rejected += device.rejected
                self.dropped += device.dropped

    async def _take_from(self, device: Device, report: Report) -> None:
        """Until it is told to leave the port."""
        stay = asyncio.timeout(None)
        try:
            async with stay, aclosing(device.readings()) as readings:  # type: ignore[type-var]
                self._stay = stay
                async for reading in readings:
                    if not self._sound(reading.values) and not self._mend(reading):
                        continue
                    self._heard_at = reading.at.mono
                    if report.presence is not Presence.ONLINE:
                        await self._come_online(report, stay)
                    self.readings += 1
                    chain = self._chain
                    if chain is not None and not self._filter(chain, reading):
                        if not self.filtered % STRETCH:  # a flood must leave turns to others, too
                            await asyncio.sleep(0)
                        continue
                    self.seq = reading.seq = self.seq + 1
                    if reading.seq % STRETCH:
                        self._bus.put(reading)
                    else:
                        await self._bus.publish(reading)
            raise LinkLost(f"{self._options.port}: the driver has stopped reading")
        except TimeoutError:
            if not stay.expired():
                raise

    async def _come_online(self, report: Report, stay: asyncio.Timeout) -> None:
        self._stay = None  # whoever was told to leave meanwhile would take the reading along
        stay.reschedule(None)
        self.silent_since = None
        self._settled.set()
        await report.online()
        self._stay = stay

    async def write(self, metric: str, value: Value) -> None:
        """Set a metric, by the name and in the unit in which it is published; between two questions to the device.

        Raises: Refused; LinkError: the port is not open, or goes away, or nothing answers; FrameError. Where an
        answer was wanted, it may have been carried out all the same.
        """
        name = self._driver.meant(self._options, metric, value)
        if self._device is None:
            reason = "the port was not opened yet"
            if self._report is not None:
                reason = self._report.reason or "the port has just been shut"
            raise LinkAbsent(f"{metric} cannot be set now: {reason}")
        if not isinstance(self._device, Writable):
            raise Refused(f"{metric} cannot be set: the driver takes no commands")
        try:
            async with asyncio.timeout(None) as shut:
                self._writing.add(shut)
                try:
                    await self._device.write(name, value)
                finally:
                    self._writing.discard(shut)
        except TimeoutError:
            raise LinkLost(f"{self._options.port}: shut while {metric} was being set") from None

    async def watch(self) -> None:
        """Say so when an open port has gone quiet. One timer for each quiet spell, none for each reading."""
        stale_after = self._options.stale_after
        if stale_after is None:
            return
        while True:
            now = asyncio.get_running_loop().time()
            quiet_for = now - self._heard_at
            if self._device is None or self._report is None:
                await asyncio.sleep(stale_after)
            elif quiet_for < stale_after:
                await asyncio.sleep(stale_after - quiet_for)
            else:
                self._fall_silent()
                if self._report.presence is not Presence.STALE:
                    self._hush()
                    await self._report.stale(self._silence(self._device, stale_after))
                await asyncio.sleep(stale_after)

    def _fall_silent(self) -> None:
        if self.silent_since is None:
            self.silent_since = asyncio.get_running_loop().time()

    async def wake(self) -> None:
        """Publish what the filters have to say by themselves, when it is due. No timer for each reading."""
        chain = self._chain
        if chain is None:
            return
        while True:
            self._rearm.clear()
            self._armed_for = chain.due
            wait_s = None if self._armed_for == inf else self._armed_for - self._clock().mono
            try:
                async with asyncio.timeout(wait_s):
                    await self._rearm.wait()
            except TimeoutError:
                for reading in self._due(chain, self._clock()):
                    self._bus.put(reading)  # all of them, before whoever changes the filters cancels the wait
                await self._bus.room(Reading)

    @property
    def port(self) -> str:
        return self._options.port

    @property
    def online(self) -> bool:
        return self._report is not None and self._report.presence is Presence.ONLINE

    def tally_withheld(self) -> Counter[str]:
        """Values that filters did not pass on when they came, by filter."""
        return self._withheld if self._chain is None else self._withheld + self._chain.withheld

    def tally_rejected(self) -> Counter[str]:
        """Broken frames by reason, those of the port that is open included."""
        return self.rejected + (self._device.rejected if self._device is not None else Counter())

    def tally_dropped(self) -> Counter[str]:
        """Values that could not be used, by reason."""
        return self.dropped + (self._device.dropped if self._device is not None else Counter())

    def tell_rejected(self, *, within: str) -> None:
        """One line, if frames were broken, or answers refused or missing, since this was last called.

        That an absent device does not answer is no news.
        """
        rejected = self.tally_rejected()
        fresh, self._told = rejected - self._told, rejected
        if self._report is not None and self._report.presence is not Presence.ONLINE:
            del fresh[NO_ANSWER]
        if fresh:
            what = "broken or missing frames" if NO_ANSWER in fresh else "broken frames"
            if self._is_asked:
                what = "answers refused, broken or missing"
            reasons = ", ".join(f"{count} {reason}" for reason, count in fresh.most_common())
            log.warning(
                "%s: %d %s in the last %s: %s", self.name, fresh.total(), what, within, reasons,
                extra=about(device=self.name, port=self._options.port),
            )  # fmt: skip

    def _filter(self, chain: Chain, reading: Reading) -> bool:
        """Whether anything of it passes."""
        at = reading.at
        if chain.due <= at.mono:
            for due in self._due(chain, at):
                self._bus.put(due)
        reading.values = chain.take(reading.values, at.mono)
        if chain.due < self._armed_for:
            self._rearm.set()
        if reading.values:
            return True
        self.filtered += 1
        return False

    def _due(self, chain: Chain, at: Stamp) -> Iterator[Reading]:
        for values in chain.tick(at.mono):
            self.made += 1
            self.seq += 1
            yield Reading(at=at, device=self.name, values=values, seq=self.seq)

    def _hush(self) -> None:
        if self._chain is not None:
            self._chain.hush()

    @staticmethod
    def _sound(values: Mapping[str, Value]) -> bool:
        """All values are what may travel; checked here, so that no driver can stop the gateway."""
        for name, value in values.items():
            kind = type(value)
            if kind is float:
                if not isfinite(float(value)):
                    return False
            elif kind is not int and kind is not str and kind is not bool:
                return False
            if type(name) is not str:
                return False
        return bool(values)

    def _mend(self, reading: Reading) -> bool:
        """Drop what is no value, and count it; whether anything is left."""
        good = {name: value for name, value in reading.values.items() if self._sound({name: value})}
        self.dropped["not a value"] += len(reading.values) - len(good)
        reading.values = good
        return bool(good)

    async def announce(self, presence: Presence, reason: str) -> None:
        at = self._clock()
        offline = presence is Presence.OFFLINE
        self._said = Availability(
            at=at, device=self.name, presence=presence, reason=reason, port_open=self._port_open,
            unproven=offline and (self._port_open is None or self._device is not None or self._stopped),
        )  # fmt: skip
        await self._bus.publish(self._said)

    async def announce_removal(self) -> None:
        """To be called when nothing runs any more: nobody will ever speak of this device again."""
        reason = "it is not configured any more"
        await self._bus.publish(
            Removal(at=self._clock(), device=self.name, presence=Presence.OFFLINE, reason=reason)
        )

    async def announce_stop(self) -> None:
        """To be called when nothing runs any more: that the gateway is stopped is the last that is said."""
        self._stopped = True
        await self.announce(Presence.OFFLINE, "the gateway was stopped")

    def _silence(self, device: Device, stale_after: float) -> str:
        reason = f"nothing for {written_duration(stale_after)} on {self._options.port}"
        refused = device.rejected - Counter({NO_ANSWER: device.rejected[NO_ANSWER]})
        if refused and not self.readings:
            why = ", ".join(f"{count} {each}" for each, count in refused.most_common(3))
            if self._is_asked:  # a device that refuses what it is asked was asked at the right speed
                reason += f" but {refused.total()} refused or broken answers ({why})"
            else:
                reason += (
                    f" but {refused.total()} broken frames ({why}): is it {self._options.baudrate} baud?"
                )
        return reason


def _retry(options: DriverOptions) -> tuple[float, float]:
    """The first wait at most, and the longest one."""
    return min(FIRST_RETRY_S, options.retry_max), options.retry_max
