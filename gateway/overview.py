"""The gateway as it is now, for whoever looks: devices with their values and the last minutes, brokers, journal."""

import asyncio
import math
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import orjson

from drivers.driver import DriverOptions
from gateway import __version__, wire
from gateway.bus import EventBus, Overflow
from gateway.config import Config
from gateway.config.catalogue import Catalogue
from gateway.devices import KIND
from gateway.errors import Refused
from gateway.filters.filter import MOST_METRICS
from gateway.journal.journal import Journal
from gateway.model import Clock, Observation, Reading, Stamp, Value
from gateway.plan import Plan, Verb
from gateway.publish.delivery import Delivery
from gateway.request import Nothing, Request, Text
from gateway.source import Source
from gateway.ucum import symbol

SAMPLE_S = 2.0
SAMPLES = 150
"""Of each number: the last five minutes."""

MOST_DEVICES = 32
"""In one answer, where their last minutes are asked for: all of hundreds would take the loop's time from readings."""

RATE_SAMPLES = 6
MAILBOX = 256


class _Asked(Request):
    devices: list[Text] | None = None
    """None: all."""
    history: bool = False
    """Whether the last minutes of each number are told, too."""


class Trace:
    """The last `SAMPLES` samples of a number; NaN where there was none. Four bytes each: there may be thousands."""

    def __init__(self) -> None:
        self._samples = array("f", [math.nan]) * SAMPLES

    def note(self, at: int, value: float) -> None:
        self._samples[at % SAMPLES] = value

    def until(self, at: int) -> list[float | None]:
        """The oldest first; None where there was none. `at` is the sample that was noted last."""
        begin = (at + 1) % SAMPLES
        return [None if math.isnan(each) else each for each in self._samples[begin:] + self._samples[:begin]]


class Face:
    """What one device shows."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        """What was heard last of each metric."""
        self.at: Stamp | None = None
        """When it was heard last."""
        self.changed = 0
        """The turn in which something of it was; see `Overview.turn`."""
        self.traces: dict[str, Trace] = {}
        self._options: DriverOptions | None = None
        self._counts: deque[int] = deque(maxlen=RATE_SAMPLES)

    def take(self, reading: Reading) -> None:
        self.values.update(reading.values)
        self.at = reading.at
        # At once: to look for the first key again after each is quadratic.
        for name in [*islice(self.values, max(0, len(self.values) - MOST_METRICS))]:
            del self.values[name]
            self.traces.pop(name, None)

    def sample(self, at: int, source: Source) -> None:
        self._counts.append(source.readings)
        for name, value in self.values.items():
            trace = self.traces.get(name)
            if isinstance(value, str):
                if trace is not None:  # its samples go on, with none
                    trace.note(at, math.nan)
                continue
            if trace is None:
                trace = self.traces[name] = Trace()
            trace.note(at, _sample(value) if source.online else math.nan)

    @property
    def rate(self) -> float:
        """Readings a second, of late."""
        if not self._counts:
            return 0.0
        return (self._counts[-1] - self._counts[0]) / (max(1, len(self._counts) - 1) * SAMPLE_S)

    def metrics(self, options: DriverOptions, *, until: int | None) -> Iterator[dict[str, Any]]:
        """`options`: of the device, as they are now; `until`: the sample with which histories end, None: without."""
        if options is not self._options:
            self._options, self._catalogue = options, Catalogue(options)
        for name, value in self.values.items():
            metric = self._catalogue.metric(name)
            told = {
                "name": wire.portable(name),
                "label": wire.portable(
                    metric.label if metric is not None and "*" not in metric.label else name
                ),
                "unit": symbol(metric.unit) if metric is not None else "",
                "value": wire.portable(value),
            }
            if until is not None and (trace := self.traces.get(name)):
                told["history"] = trace.until(until)
            yield told


class Overview:
    """Kept up to date at the price of an assignment for each value; nobody who looks can hold up anything."""

    def __init__(
        self,
        config: Callable[[], Config],
        journal: Journal,
        sources: Iterable[Source],
        deliveries: Iterable[Delivery],
        clock: Clock,
    ) -> None:
        """Configuration, sources and deliveries are those that are there at each look."""
        self.turn = 0
        """Grows with all that changes: who has seen one turn needs what changed later only."""
        self._config = config
        self._journal = journal
        self._sources = sources
        self._deliveries = deliveries
        self._clock = clock
        self._since = clock()
        self.sampled = 0
        """Samples of each number that were taken."""
        self._faces: dict[str, Face] = {}

    async def run(self, bus: EventBus) -> None:
        """Endless."""
        news = bus.subscribe(Observation, name="overview", capacity=MAILBOX, overflow=Overflow.WAIT)
        with news:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sample(), name="overview: samples")
                async for batch in news.batches():
                    self.turn += 1
                    for event in batch:
                        face = self._face(event.device)
                        face.changed = self.turn
                        if isinstance(event, Reading):
                            face.take(event)

    def change(self, plan: Plan) -> None:
        """Forget what devices have said that are read in another way now, or whose values are called otherwise."""
        for step in plan.steps:
            if step.kind == KIND and (step.verb is not Verb.CHANGE or "filters" in step.keys):
                self._faces.pop(step.name, None)

    async def tell(self, request: dict[str, Any]) -> Mapping[str, Any]:
        """The verb."""
        asked = _Asked.of(request)
        sources = {source.name: source for source in self._sources}
        wanted = dict.fromkeys(sources if asked.devices is None else asked.devices)
        if asked.history and (asked.devices is None or len(wanted) > MOST_DEVICES):
            raise Refused(f"history: is of {MOST_DEVICES} devices at most: name them in devices")
        for name in wanted:
            if name not in sources:
                raise Refused(f"{name}: no such device; there are {', '.join(sorted(sources)) or 'none'}")
        devices = []
        for name in wanted:
            devices.append(self.device(sources[name], history=asked.history))
            await asyncio.sleep(0)  # readings are to come between them
        return {
            **self.gateway(),
            "devices": devices,
            "brokers": self.brokers(),
            "journal": self.journal(),
        }

    def ping(self, request: dict[str, Any]) -> Mapping[str, Any]:
        """The verb: whether somebody is there, and who."""
        Nothing.of(request)
        return self.gateway()

    def tell_journal(self, request: dict[str, Any]) -> Mapping[str, Any]:
        """The verb: what waits for whom."""
        Nothing.of(request)
        options, journal = self._config().journal, self._journal
        return {
            **self.journal(), "max_size": options.max_size, "size": journal.size, "run": journal.run,
            "brokers": {
                each.name: {
                    "connected": each.forwarder.connected, "waiting": each.forwarder.readings.waiting,
                    "urgent_waiting": each.forwarder.urgent.waiting, "evicted": each.forwarder.readings.evicted,
                    "set_aside": each.forwarder.readings.set_aside,
                }
                for each in self._deliveries
            },
        }  # fmt: skip

    def gateway(self) -> dict[str, Any]:
        now = self._clock()
        told = {
            "gateway": self._config().gateway.name, "version": __version__, "time": wire.rfc3339(now.wall_ns),
            "since": wire.rfc3339(self._since.wall_ns), "up_s": round(now.mono - self._since.mono, 3),
        }  # fmt: skip
        return told if now.synchronised else {**told, "clock": wire.UNSYNCHRONISED}

    def devices(self, *, after: int = -1, history: bool = False) -> list[dict[str, Any]]:
        """Those of which something has changed after that turn."""
        return [self.device(source, history=history) for source in self.changed(after)]

    def changed(self, after: int = -1) -> list[Source]:
        """Of which something has changed after that turn."""
        return [source for source in self._sources if self._face(source.name).changed > after]

    def device(self, source: Source, *, history: bool = False) -> dict[str, Any]:
        face = self._face(source.name)
        presence = source.presence
        told = {} if presence is None else orjson.loads(wire.encode_availability(presence))
        rejected, options = source.tally_rejected(), source.options
        metrics = [*face.metrics(options, until=self.sampled if history else None)]
        age_s = None if face.at is None else round(max(0.0, self._clock().mono - face.at.mono), 3)
        return {
            "name": source.name, "driver": options.driver, "port": options.port, "state": "offline", **told,
            "age_s": age_s, "rate": round(face.rate, 3), "read": source.readings, "rejected": dict(rejected),
            "metrics": metrics,
        }  # fmt: skip

    def brokers(self) -> list[dict[str, Any]]:
        """The main one first."""
        return [
            {
                "name": each.name, "connected": each.forwarder.connected, "connects": each.forwarder.connects,
                "waiting": each.forwarder.readings.waiting, "acknowledged": each.forwarder.readings.acknowledged,
                "set_aside": each.forwarder.readings.set_aside, "evicted": each.forwarder.readings.evicted,
            }
            for each in self._deliveries
        ]  # fmt: skip

    def journal(self) -> dict[str, Any]:
        options, journal = self._config().journal, self._journal
        return {
            "path": None if options.in_memory else str(options.path), "used": journal.used,
            "trouble": journal.trouble, "recorded": journal.appended, "refused": journal.refused,
        }  # fmt: skip

    def _face(self, device: str) -> Face:
        face = self._faces.get(device)
        if face is None:
            face = self._faces[device] = Face()
        return face

    async def _sample(self) -> None:
        while True:
            self.sampled += 1
            self.turn += 1
            there = {source.name: source for source in self._sources}
            self._faces = {name: face for name, face in self._faces.items() if name in there}
            for source in there.values():
                self._face(source.name).sample(self.sampled, source)
            await asyncio.sleep(SAMPLE_S)


def _sample(value: float) -> float:
    """Beyond what four bytes hold, as far as they do."""
    return max(-_LARGEST, min(_LARGEST, float(value))) if -_HUGE < value < _HUGE else math.nan


_LARGEST = 3.4e38
_HUGE = 2**1023
