"""The rules' async shell: bus → engine → bus, woken by events and by due times."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf

from gateway.bus import EventBus, Subscription
from gateway.model import Alert, Availability, Clock, Observation, Reading, Removal, Stamp
from gateway.rules.engine import Engine
from gateway.rules.memory import Memory
from gateway.rules.ports import Ports
from gateway.rules.rule import Watch
from gateway.rules.rulebook import Rulebook


@dataclass(slots=True, kw_only=True)
class _Tick(Observation):
    """Something is due: sent through the mailbox, so that what came before it is judged before it."""


class Judge:
    """What is published while it rules goes through its mailbox; nothing that it says waits for a reading."""

    def __init__(
        self,
        book: Rulebook,
        bus: EventBus,
        clock: Clock,
        *,
        changed: Callable[[], None],
        given_out: list[Alert],
    ) -> None:
        """Begin.

        Args:
            book: the rules.
            bus: for the alerts.
            clock: now.
            changed: called when the engine has something new to `export`; it must not wait.
            given_out: gets each alert before it is published; whoever has taken care of it takes it out.
        """
        self.memory = Memory()
        self.watches = tuple(book.watches(self.memory))
        self.engine = Engine(self.watches, clock(), heed=self.memory.heed, ports=book.ports)
        self.watched = _watched(self.watches)
        """Rule and device of each watch that is enabled."""
        self._book = book
        self._bus = bus
        self._clock = clock
        self._changed = changed
        self._given_out = given_out
        self._ports = Ports(book.ports)
        self._mail: Subscription[Observation] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = inf
        self._revision = self.engine.revision

    async def run(self, mail: Subscription[Observation]) -> None:
        """Until the mailbox ends. Alerts are published on the bus; this waits while their mailboxes are full."""
        self._mail = mail
        self._arm()
        try:
            async for batch in mail.batches():
                self.put(self._judged(batch))
                await self._bus.room(Alert)
        finally:
            self._mail = None
            if self._timer is not None:
                self._timer.cancel()

    def change(self, book: Rulebook, presences: Iterable[Availability]) -> None:
        """Other rules from now on; what was published before is judged by the old ones.

        A rule goes on where it was, windows included, as far as it reads what it read before. `presences`: how the
        devices are, for rules that have never heard of them.
        """
        at = self.now()
        self.put(self.engine.on_time(at))
        memory = Memory(self.memory)
        watches = tuple(book.watches(memory))
        engine = Engine(watches, at, heed=memory.heed, ports=book.ports)
        alerts = engine.succeed(self.engine, at, changed=book.rewritten(self._book))
        memory.settle()
        self._ports.change(book.ports)
        self.memory, self.watches, self.engine, self._book = memory, watches, engine, book
        self.watched = _watched(watches)
        alerts += self._judged([*presences])
        self._armed_for = inf
        self._changed()
        self.put([*alerts, *engine.on_time(at)])

    def put(self, alerts: Sequence[Alert]) -> None:
        """Publish what the engine has given out: also after each command to it, whether or not it was nothing."""
        self._given_out += alerts
        if self.engine.revision != self._revision:
            self._revision = self.engine.revision
            self._changed()
        if self._mail is not None:
            self._arm()
        for alert in alerts:
            self._bus.put(alert)

    def now(self) -> Stamp:
        """When all that was published before has been judged: a command does not come through the mailbox."""
        if self._mail is not None:
            self.put(self._judged(self._mail.take()))
        return self._clock()

    def _judged(self, batch: Sequence[Observation]) -> list[Alert]:
        alerts: list[Alert] = []
        engine = self.engine
        for event in batch:
            match event:
                case Reading():
                    alerts += engine.on_event(event)
                case _Tick():
                    self._armed_for = inf
                    alerts += engine.on_time(event.at)
                case Removal():  # the rules about it go with it: that it has gone offline is not what was meant
                    engine.forget(event.device)
                case Availability():
                    for each in self._ports.told(event):
                        alerts += engine.on_event(each)
                    alerts += engine.on_event(event)
                case _:
                    alerts += engine.on_event(event)
        return alerts

    def _arm(self) -> None:
        due = self.engine.due
        if due < self._armed_for:
            if self._timer is not None:
                self._timer.cancel()
            self._armed_for = due
            wait_s = max(0.0, due - self._clock().mono)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _tick(self) -> None:
        if self._mail is not None:
            self._mail.put(_Tick(at=self._clock(), device=""))


def _watched(watches: Iterable[Watch]) -> frozenset[tuple[str, str]]:
    return frozenset((watch.rule.name, watch.device) for watch in watches if watch.rule.enabled)
