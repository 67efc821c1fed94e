"""All configured devices at work: started, stopped and changed one by one while the others go on."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain, repeat
from typing import Any

import orjson

import drivers
from drivers.driver import DriverOptions
from gateway import wire
from gateway.bus import EventBus
from gateway.errors import Refused
from gateway.model import Availability, Clock, Value
from gateway.plan import Plan, Verb
from gateway.request import Nothing
from gateway.source import Source
from gateway.supervisor import Supervisor
from gateway.units import written_duration

KIND = "devices"


class Devices:
    def __init__(
        self,
        devices: Mapping[str, DriverOptions],
        bus: EventBus,
        clock: Clock,
        *,
        last_seq: Callable[[str], int],
    ) -> None:
        """`last_seq`: where the numbers of a device stopped that was read by a process before this one."""
        self.gone: Counter[str] = Counter()
        """What devices have read, filtered and made that are not there any more."""
        self._bus = bus
        self._clock = clock
        self._last_seq = last_seq
        self._stopped_at: dict[str, int] = {}
        """Of devices that are not there any more: the last number, which may not be in the journal yet."""
        self._sources: dict[str, Source] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._aides: dict[str, list[asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None
        for name, options in devices.items():
            self._sources[name] = self._source(name, options)

    def __iter__(self) -> Iterator[Source]:
        return iter([*self._sources.values()])

    async def run(self) -> None:
        """Endless."""
        async with asyncio.TaskGroup() as self._group:
            for source in self:
                self._begin(source)
            await self._tell_rejected()

    async def close(self, plan: Plan) -> None:
        """Ports that are not read any more, or in another way, are closed."""
        for name in plan.of(KIND, Verb.STOP, Verb.RESTART):
            await self._end(name)
        for name in plan.of(KIND, Verb.STOP):
            source = self._sources.pop(name)
            self._stopped_at[name] = source.seq
            self.gone.update(read=source.readings, filtered=source.filtered, made=source.made)
            await source.announce_removal()

    async def open(self, plan: Plan) -> None:
        """The rest of what is planned; those that stay as they are notice nothing of it."""
        options = plan.config.devices
        for name in plan.of(KIND, Verb.CHANGE):
            await _ended(self._aides.pop(name, []))
            self._sources[name].change(options[name])
            self._assist(self._sources[name])
        for name in plan.of(KIND, Verb.RESTART):
            former, self._sources[name] = self._sources[name], self._source(name, options[name])
            self._sources[name].succeed(former)
            self._begin(self._sources[name])
        for name in plan.of(KIND, Verb.START):
            self._sources[name] = self._source(name, options[name])
            self._begin(self._sources[name])

    def tell(self, request: dict[str, Any]) -> Mapping[str, Any]:
        """What is known of each, for whoever asks on this machine or over MQTT."""
        Nothing.of(request)
        return {"pid": os.getpid(), "devices": {source.name: _told(source) for source in self}}

    def presences(self) -> list[Availability]:
        """What was said last of each that is being read, in the order in which it was said.

        Of one that is about to be opened in another way it would be news of a port that it has left.
        """
        said = (self._sources[name].presence for name in self._reading)
        return sorted((each for each in said if each is not None), key=lambda each: each.at.mono)

    @property
    def former(self) -> AbstractSet[str]:
        """The names of those that are not there any more."""
        return self._stopped_at.keys()

    async def write(self, device: str, metric: str, value: Value) -> None:
        """Raises: Refused; LinkError; FrameError."""
        if device not in self._sources:
            raise Refused("there is no such device any more")
        await self._sources[device].write(metric, value)

    def _source(self, name: str, options: DriverOptions) -> Source:
        last_seq = max(self._last_seq(name), self._stopped_at.pop(name, 0))
        return Source(name, drivers.find(options.driver), options, self._bus, self._clock, last_seq=last_seq)

    def _begin(self, source: Source) -> None:
        if self._group is None:
            return  # `run` will
        name = source.name
        supervision = Supervisor().run([source.child()])
        self._reading[name] = self._group.create_task(supervision, name=f"{name}: supervisor")
        self._assist(source)

    def _assist(self, source: Source) -> None:
        if self._group is not None:
            self._aides[source.name] = [
                self._group.create_task(source.watch(), name=f"{source.name}: staleness"),
                self._group.create_task(source.wake(), name=f"{source.name}: filters"),
            ]

    async def _end(self, name: str) -> None:
        tasks = self._aides.pop(name, [])
        if name in self._reading:
            tasks.append(self._reading.pop(name))
        with self._sources[name].closing():
            await _ended(tasks)

    async def _tell_rejected(self) -> None:
        for pause_s in chain([60], repeat(3600)):
            await asyncio.sleep(pause_s)
            for source in self:
                source.tell_rejected(within=written_duration(pause_s))


def _told(source: Source) -> dict[str, Any]:
    presence = source.presence
    told = {} if presence is None else orjson.loads(wire.encode_availability(presence))
    return {**told, "read": source.readings, "rejected": source.tally_rejected().total()}


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
