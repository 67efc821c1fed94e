"""What rules do to devices: commands in, at once; writes out, for each device in their order, until they are done."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from drivers.driver import is_same
from gateway.config.actions import Action
from gateway.errors import FrameError, LinkError, LinkSilent, Refused
from gateway.kept import number, span, text, truth, value
from gateway.logs import about
from gateway.model import Alert, AlertState, Clock, Value
from gateway.pacing.backoff import Backoff
from gateway.rules.names import THIS
from gateway.supervisor import Report

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
RETRY_MAX_S = 5.0
"""The longest wait between two attempts at a device."""
NOT_ANY_MORE = "the rule does not say so any more"
MOST_BUGS = 3
"""So many times a write may end in a bug of ours before it gives way to the others."""

Write = Callable[[str, str, Value], Awaitable[None]]
"""Set a metric of a device. Raises: Refused, LinkError, FrameError."""


class _Cause(NamedTuple):
    """An alert."""

    rule: str
    about: str


@dataclass(slots=True, eq=False)
class _Order:
    device: str
    metric: str
    value: Value
    cause: _Cause
    since: float
    tried: bool = False
    bugs: int = 0

    @property
    def fields(self) -> dict[str, str]:
        return about(device=self.device, rule=self.cause.rule)

    def __str__(self) -> str:
        """As the log has it."""
        about = f" ({self.cause.about})" if self.cause.about else ""
        value = orjson.dumps(self.value).decode()
        return f"action of {self.cause.rule}{about}: {self.device}.{self.metric} = {value}"


@dataclass(slots=True)
class _Queue:
    """What one device is still to be told, each metric once."""

    orders: dict[str, _Order] = field(default_factory=dict)
    in_hand: _Order | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Actions:
    """Of all rules. Run it under a supervisor.

    An alert does what it does when it fires, and not again when it repeats itself; also while it is acknowledged,
    silenced or inhibited, since that is about who is told, and a pump that runs dry is to stop whoever sleeps.

    Each write is tried once at least, then again while its alert fires. At least once: if the process is killed, what
    was not known to be done is done again.
    """

    def __init__(self, write: Write, clock: Clock, changed: Callable[[], None]) -> None:
        """`changed`: called when `kept` has something new to say; it must not wait."""
        self._write = write
        self._clock = clock
        self._changed = changed
        self._firing: dict[_Cause, int] = {}
        """Alerts that have done something: since when they fire."""
        self._queues: dict[str, _Queue] = {}
        self._outcomes = Counter(done=0, refused=0, given_up=0, replaced=0)
        self._failed = 0
        self._fresh = asyncio.Event()
        self._ending = False

    @property
    def waiting(self) -> int:
        """Writes that are still to be done."""
        return sum(len(queue.orders) for queue in self._queues.values())

    def counters(self) -> dict[str, int]:
        """What became of the writes; `failed`: attempts after which one went on waiting."""
        return {"waiting": self.waiting, **self._outcomes, "failed": self._failed}

    def take(self, alert: Alert, actions: Sequence[Action]) -> None:
        """To be called with each alert that is given out, and what its rule does."""
        cause, since_ns = _Cause(alert.rule, alert.device), alert.since.wall_ns
        if alert.state is AlertState.RESOLVED:
            if self._firing.pop(cause, None) is not None:
                self._give_up_on(cause)
                self._changed()
        elif alert.state is AlertState.FIRING and actions and self._firing.get(cause) != since_ns:
            self._firing[cause] = since_ns
            now = self._clock().mono
            for action in actions:
                device = alert.device if action.device == THIS else action.device
                for metric, value in action.set_.items():
                    self._put(_Order(device, metric, value, cause, now))
            self._changed()

    def end(self) -> None:
        """What waits is tried once more; then `run` returns. The rest is `kept`."""
        self._ending = True
        self._fresh.set()
        for queue in self._queues.values():
            queue.wake.set()

    async def run(self, report: Report) -> None:  # noqa: ARG002 - there is no way to all devices that could be up or down
        async with asyncio.TaskGroup() as group:
            working: dict[str, asyncio.Task[None]] = {}
            while True:
                self._fresh.clear()
                for device, queue in self._queues.items():
                    if queue.orders and (device not in working or working[device].done()):
                        working[device] = group.create_task(self._work(queue), name=f"actions: {device}")
                if self._ending:
                    break
                await self._fresh.wait()
        if left := [str(order) for order in self._orders()]:
            log.warning("left for the next start: %s", "; ".join(left))

    def kept(self) -> dict[str, Any]:
        """All that must outlast the process, as plain data."""
        now = self._clock().mono
        return {
            "firing": [[*cause, since_ns] for cause, since_ns in self._firing.items()],
            "waiting": [
                {
                    "device": order.device, "metric": order.metric, "value": order.value, "rule": order.cause.rule,
                    "about": order.cause.about, "waited_s": now - order.since, "tried": order.tried,
                }
                for order in self._orders()
            ],
        }  # fmt: skip

    def restore(self, data: Mapping[str, Any], actions: Mapping[str, Sequence[Action]]) -> None:
        """Before `run`. What a rule does not do any more, by `actions`, is given up.

        Raises: KeyError, TypeError, ValueError, for what `kept` has not made.
        """
        now = self._clock().mono
        firing = {
            _Cause(text(rule), text(about)): number(since_ns) for rule, about, since_ns in data["firing"]
        }
        orders = [
            _Order(
                text(each["device"]), text(each["metric"]), value(each["value"]),
                _Cause(text(each["rule"]), text(each["about"])),
                now - span(each["waited_s"]), tried=truth(each["tried"]),
            )
            for each in data["waiting"]
        ]  # fmt: skip
        self._firing |= firing
        for order in orders:
            if _is_done_by(actions.get(order.cause.rule, ()), order):
                self._put(order)
            else:
                self._count(order, "given_up", NOT_ANY_MORE)

    def change(self, actions: Mapping[str, Sequence[Action]]) -> None:
        """What a rule does not do any more is given up, but for the write that is being tried."""
        for queue in self._queues.values():
            for order in [*queue.orders.values()]:
                if order is not queue.in_hand and not _is_done_by(actions.get(order.cause.rule, ()), order):
                    self._settle(queue, order, "given_up", NOT_ANY_MORE)

    def _put(self, order: _Order) -> None:
        queue = self._queues.setdefault(order.device, _Queue())
        older = queue.orders.pop(order.metric, None)
        queue.orders[order.metric] = order
        if older is not None and older is not queue.in_hand:  # else it may still be done
            self._count(older, "replaced", str(order))
        queue.wake.set()
        self._fresh.set()

    def _orders(self) -> Iterator[_Order]:
        for queue in self._queues.values():
            yield from queue.orders.values()

    def _give_up_on(self, cause: _Cause) -> None:
        for queue in self._queues.values():
            for order in [*queue.orders.values()]:
                if order.cause == cause and order.tried and order is not queue.in_hand:
                    self._settle(queue, order, "given_up", "the alert is resolved")

    async def _work(self, queue: _Queue) -> None:
        """Until there is nothing to do."""
        backoff = Backoff(first_s=FIRST_RETRY_S, cap_s=RETRY_MAX_S)
        while queue.orders:
            queue.wake.clear()
            is_last = self._ending
            for order in [*queue.orders.values()]:
                if queue.orders.get(order.metric) is order and not await self._reached(queue, order):
                    break
            if is_last:
                return
            if queue.orders:
                with suppress(TimeoutError):
                    async with asyncio.timeout(backoff.next_delay()):
                        await queue.wake.wait()

    async def _reached(self, queue: _Queue, order: _Order) -> bool:
        """Try it; whether there is a way to the device."""
        order.bugs += 1
        if order.bugs > MOST_BUGS:
            self._settle(queue, order, "given_up", "a bug of ours, see above in the log")
            return True
        queue.in_hand = order
        try:
            await self._write(order.device, order.metric, order.value)
        except Refused as error:
            self._settle(queue, order, "refused", str(error))
        except (LinkError, FrameError) as error:
            order.bugs = 0
            self._postpone(queue, order, error)
            return isinstance(error, LinkSilent | FrameError)
        except asyncio.CancelledError:
            order.bugs -= 1
            raise
        else:
            self._settle(queue, order, "done")
        finally:
            queue.in_hand = None
        return True

    def _postpone(self, queue: _Queue, order: _Order, error: Exception) -> None:
        newer = queue.orders.get(order.metric)
        if newer is not order:
            self._settle(queue, order, "replaced", f"{newer}, after {error}")
        elif order.cause not in self._firing:
            self._settle(queue, order, "given_up", f"the alert is resolved, and {error}")
        else:
            self._failed += 1
            if not order.tried:
                log.warning("%s: tried again while the alert fires: %s", order, error, extra=order.fields)
                order.tried = True
                self._changed()

    def _settle(self, queue: _Queue, order: _Order, outcome: str, why: str = "") -> None:
        if queue.orders.get(order.metric) is order:
            del queue.orders[order.metric]
        self._count(order, outcome, why)
        self._changed()

    def _count(self, order: _Order, outcome: str, why: str) -> None:
        self._outcomes[outcome] += 1
        if outcome == "done":
            log.info("%s: done after %.1f s", order, self._clock().mono - order.since, extra=order.fields)
        else:
            log.warning("%s: %s: %s", order, outcome.replace("_", " "), why, extra=order.fields)


def _is_done_by(actions: Sequence[Action], order: _Order) -> bool:
    about = order.cause.about
    return any(
        order.device == (about if each.device == THIS else each.device)
        and order.metric in each.set_
        and is_same(each.set_[order.metric], order.value)
        for each in actions
    )
