"""All who are told of alerts: an outbox each, and the task that runs it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.config import NotifyOptions
from gateway.logs import about
from gateway.model import Clock
from gateway.notify.delivery import outbox
from gateway.notify.outbox import Outbox
from gateway.pacing.backoff import Backoff
from gateway.supervisor import Child, Supervisor

log = logging.getLogger(__name__)

RETRY = 1.0, 60.0
"""Seconds after which an outbox that met a bug of ours is run again: first, at most."""


class _Courier(NamedTuple):
    supervisor: Supervisor
    task: asyncio.Task[None]


class Receivers:
    def __init__(
        self,
        notify: Mapping[str, NotifyOptions],
        *,
        gateway: str,
        clock: Clock,
        changed: Callable[[], None],
        settled: Callable[[], Awaitable[None]],
    ) -> None:
        """`changed`, `settled`: see Outbox."""
        self._notify = dict(notify)
        self._gateway = gateway
        self._clock = clock
        self._changed = changed
        self._settled = settled
        self._outboxes = {name: self._outbox(name, options) for name, options in notify.items()}
        self._couriers: dict[str, _Courier] = {}
        self._group: asyncio.TaskGroup | None = None
        self._ending = asyncio.Event()

    def __iter__(self) -> Iterator[Outbox]:
        return iter(self._outboxes.values())

    def __getitem__(self, name: str) -> Outbox:
        return self._outboxes[name]

    async def run(self) -> None:
        """Until `end`, and until each has tried to tell what waits."""
        async with asyncio.TaskGroup() as self._group:
            for each in self:
                self._employ(each)
            await self._ending.wait()

    def end(self) -> None:
        for each in self:
            each.end()
        for courier in self._couriers.values():
            courier.supervisor.hasten()
        self._ending.set()

    async def change(self, notify: Mapping[str, NotifyOptions]) -> None:
        """While it runs. Who is told in another way goes on with what was not told yet."""
        for name in [name for name, options in self._notify.items() if notify.get(name) != options]:
            if name in self._couriers:
                courier = self._couriers.pop(name)
                courier.task.cancel()
                await asyncio.wait([courier.task])
            former = self._outboxes.pop(name)  # not before: what comes meanwhile is for it, too
            if name in notify:
                self._add(name, notify[name]).restore(former.kept())
            elif _owes(former.kept()):
                _tell_dropped(name)
        for name in notify.keys() - self._outboxes.keys():
            self._add(name, notify[name])
        self._notify = dict(notify)

    def counters(self) -> dict[str, Any]:
        return {each.name: each.counters() for each in self}

    def kept(self) -> dict[str, Any]:
        return {each.name: each.kept() for each in self}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Before `run`. Raises: KeyError, TypeError, ValueError, for what `kept` has not made."""
        for name, each in kept.items():
            if name in self._outboxes:
                self._outboxes[name].restore(each)
            elif _owes(each):
                _tell_dropped(name)

    def _add(self, name: str, options: NotifyOptions) -> Outbox:
        added = self._outboxes[name] = self._outbox(name, options)
        self._employ(added)
        return added

    def _outbox(self, name: str, options: NotifyOptions) -> Outbox:
        return outbox(
            name,
            options,
            gateway=self._gateway,
            clock=self._clock,
            changed=self._changed,
            settled=self._settled,
        )

    def _employ(self, each: Outbox) -> None:
        if self._group is None:
            return  # `run` will
        supervisor = Supervisor()
        child = Child(
            name=f"notify {each.name}",
            run=each.run,
            restart=Backoff(*RETRY),
            fields=about(receiver=each.name),
        )
        task = self._group.create_task(supervisor.run([child]), name=f"notify {each.name}")
        self._couriers[each.name] = _Courier(supervisor, task)


def _owes(kept: Mapping[str, Any]) -> bool:
    """Whether there is something to tell, if only that what was told is over."""
    return bool(kept["waiting"] or any(each["alerts"] for each in kept["grouping"]["groups"]))


def _tell_dropped(name: str) -> None:
    log.warning(
        "notify %s: is not configured any more; what it had to tell is dropped", name,
        extra=about(receiver=name),
    )  # fmt: skip
