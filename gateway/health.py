"""Whether the gateway does its work; as long as it does, the service manager's watchdog is fed.

A part is sick when something waits for it and nothing has moved for longer than its patience; idleness is healthy.
A thread of its own looks, so that a loop that stands still is noticed, too. What is sick is said in the log, once, with
the stacks of all tasks and threads, before the watchdog is left to starve.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from itertools import chain
from typing import NamedTuple, Self

from gateway import stacks
from gateway.logs import MessageId, about
from gateway.systemd import ServiceManager

log = logging.getLogger(__name__)

WATCHDOG_S = 30.0
"""What our unit says (WatchdogSec=), for whom `Patience` is made; also where there is no watchdog."""

START_S = 600.0
"""A start may take so long, as long as the loop turns: a damaged journal is saved as it is opened."""

EXTENSION_S = 30.0
"""What is asked for at each look while starting, reloading and stopping: some looks may be late."""

LOOP = "the event loop"
PARTS = "the look at all parts"
"""It fails: whether any of them is stuck is not known."""

LEAVE_S = 1.0
"""For the thread to end; it may be in the middle of writing to a log that is stuck."""


class Pulse(NamedTuple):
    """What a part of the gateway says of itself at this moment."""

    name: str
    waits: object
    """True while something is to be done."""
    moved: object
    """Whatever becomes another value when something has been done."""
    patience_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """For how long nothing may move while something waits. Each is well beyond what happens to the healthy."""

    look_s: float = 3.0
    """Between two looks."""
    loop_s: float = 15.0
    """For the event loop: what takes half a second in it is a bug already."""
    mailbox_s: float = 30.0
    """For whoever reads the bus: they wait for the disk, which is given up after five seconds."""
    forwarder_s: float = 30.0
    """Beyond the broker's `ack_timeout`, after which the forwarder itself gives the link up."""
    disk_s: float = 60.0
    """For one call of the disk. Readings are held in memory and forwarded meanwhile, and a disk that is reset, or a
    stick that tidies up, answers within half a minute or so."""
    hand_s: float = 120.0
    """For a port to be opened or shut and a notice to be handed over, each of which has a shorter time of its own."""
    long_s: float = 600.0
    """For a damaged journal to be read and copied, 512 MB on a slow card; and for a reload, which closes one port after
    the other."""

    @classmethod
    def within(cls, watchdog_s: float) -> Self:
        """All of it in proportion, for a unit with another WatchdogSec=."""
        whole = cls()
        return cls(**{each.name: getattr(whole, each.name) * watchdog_s / WATCHDOG_S for each in fields(cls)})


class _Mark(NamedTuple):
    moved: object
    since_s: float


class Health:
    """`with health.watched():` in the loop, around everything that may get stuck."""

    def __init__(
        self,
        manager: ServiceManager | None = None,
        patience: Patience | None = None,
        *,
        each_look: Callable[[asyncio.AbstractEventLoop], None] = lambda _: None,
    ) -> None:
        """Begin.

        Args:
            manager: whom to tell; without one nobody is told.
            patience: by default in proportion to its watchdog.
            each_look: what else this thread does, which sees a loop that stands still, too.
        """
        self.manager = manager or ServiceManager()
        self.patience = patience or Patience.within(self.manager.watchdog_s or WATCHDOG_S)
        self._each_look = each_look
        self._pulses: Callable[[], Iterable[Pulse]] = tuple
        self._status: Callable[[], str] = lambda: "starting"
        self._over = threading.Event()
        self._may_take_s = START_S
        self._felt: Sequence[Pulse] = ()
        self._turned = True
        self._still_s = 0.0
        self._now_s = 0.0  # while the loop turns: when it stands still, nobody else is to blame
        self._marks: dict[str, _Mark] = {}
        self.stuck: Mapping[str, float] = {}
        """What is stuck, and for how many seconds."""
        self._stage = "starting"

    @contextmanager
    def watched(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._watch, args=[loop], name="health", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(LEAVE_S)

    def ready(self, pulses: Callable[[], Iterable[Pulse]], status: Callable[[], str]) -> None:
        """The gateway runs. Both are called in the loop, at each look."""
        self._pulses, self._status = pulses, status
        self._may_take_s = 0.0
        self._stage = ""
        self.manager.ready()
        self.manager.status(status())
        log.info("ready", extra=about(MessageId.GATEWAY_READY))

    def stopping(self, at_most_s: float) -> None:
        """No reading is taken any more; to hand on what is left may take so long."""
        self._may_take_s = at_most_s
        self._stage = "stopping"
        running = self._status
        self._status = lambda: f"stopping: {running()}"
        self.manager.stopping()
        self.manager.status(self._status())
        self.manager.extend(EXTENSION_S)

    @property
    def unready(self) -> str:
        """Why the gateway does not do its work; empty: it does."""
        stuck = max(self.stuck.items(), key=lambda each: each[1], default=None)
        return self._stage or (f"stuck for {stuck[1]:.0f} s: {stuck[0]}" if stuck is not None else "")

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        before = time.monotonic()
        while not self._over.is_set():
            now = time.monotonic()
            self.look(loop, now - before)
            with suppress(RuntimeError):  # the loop has been closed
                self._each_look(loop)
            before = now
            self._over.wait(self.patience.look_s)

    def look(self, loop: asyncio.AbstractEventLoop, elapsed_s: float) -> None:
        """`elapsed_s`: since the last look."""
        # After a longer time it was the whole process, or the machine, that stood still.
        elapsed_s = min(elapsed_s, 2 * self.patience.look_s)
        sick = self._examined(loop, elapsed_s)
        before, self.stuck = self.stuck, sick
        self._log(loop, before)
        if sick:
            name = max(sick, key=sick.__getitem__)
            self.manager.status(f"stuck for {sick[name]:.0f} s: {name}")
            return
        self.manager.feed()
        if self._may_take_s > 0 or self.manager.is_reloading:
            self._may_take_s -= elapsed_s
            self.manager.extend(EXTENSION_S)

    def _examined(self, loop: asyncio.AbstractEventLoop, elapsed_s: float) -> Mapping[str, float]:
        """What is sick, and for how long it has been stuck."""
        if not self._turned:
            self._still_s += elapsed_s
            if self._still_s < self.patience.loop_s:
                return self.stuck
            return {**self.stuck, LOOP: self._still_s}
        self._still_s = 0.0
        self._now_s += elapsed_s
        before, self._marks = self._marks, {}
        sick = {}
        for name, waits, moved, patience_s in self._felt:
            mark = before.get(name)
            if mark is None or not waits or moved != mark.moved:
                mark = _Mark(moved, self._now_s)
            self._marks[name] = mark
            if (stuck_s := self._now_s - mark.since_s) >= patience_s:
                sick[name] = stuck_s
        self._turned = False
        with suppress(RuntimeError):  # it has been closed
            loop.call_soon_threadsafe(self._turn)
        return sick

    def _turn(self) -> None:
        """In the loop, which has whatever is raised here logged."""
        self._turned = True
        self._felt = [Pulse(PARTS, waits=True, moved=None, patience_s=self.patience.loop_s)]
        self._felt = tuple(self._pulses())
        if not self.stuck:
            self.manager.status(self._status())

    def _log(self, loop: asyncio.AbstractEventLoop, before: Mapping[str, float]) -> None:
        for name in before.keys() - self.stuck.keys():
            log.warning("health: %s: goes on", name)
        for name in self.stuck.keys() - before.keys():
            log.critical(
                "health: %s: stuck: nothing has moved for %.0f s, and something waits. %s Please report this, with"
                " what every task and thread is doing:",
                name, self.stuck[name], self._outlook(), extra=about(MessageId.GATEWAY_SICK),
            )  # fmt: skip
        if self.stuck and not before:
            for stack in chain(stacks.tasks(loop), stacks.threads()):
                log.critical("health: %s:", stack.whose, extra=about(trace=stack.places))

    def _outlook(self) -> str:
        if self.manager.watchdog_s is None:
            return "If it does not go on, restart the gateway."
        return f"If it does not go on, the service manager restarts the gateway within {self.manager.watchdog_s:.0f} s."
