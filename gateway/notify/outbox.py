"""What one receiver is still to be told: grouped, kept, sent one by one; nobody ever waits for it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

from gateway.errors import Declined, Undelivered
from gateway.kept import span
from gateway.logs import about
from gateway.model import Alert, Clock
from gateway.notify.grouping import Grouping
from gateway.notify.notice import Notice, notice_of, plain_notice
from gateway.notify.receiver import Receiver
from gateway.pacing.backoff import Backoff
from gateway.pacing.breaker import Breaker
from gateway.pacing.limiter import Limiter
from gateway.supervisor import Report

log = logging.getLogger(__name__)

BURST = 5
"""Attempts that the rate limit lets through at once."""
MOST_REASONS = 10
"""The last ones that were given up, for the status."""
MOST_BUGS = 3
"""So many times the sending of one notice may end in a bug of ours before it gives way to the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    first_retry_s: float = 1.0
    retry_max_s: float = 300.0
    """The longest wait between two attempts, unless the receiver asks for more."""
    trips_after: int = 5
    """Failures in a row after which it is left alone for `rest_s`: a drawn delay may be next to nothing."""
    rest_s: float = 30.0
    """Less where `retry_max_s` is."""
    per_minute: float = 30.0
    """Attempts, in the long run."""
    give_up_after_s: float = 86_400.0
    most_waiting: int = 200


@dataclass(slots=True)
class _Letter:
    notice: Notice
    since: float
    bugs: int = 0


def nobody() -> None:
    """Nobody keeps it."""


async def at_once() -> None:
    """Nobody keeps it, so that there is nothing to wait for."""


class Outbox:
    """Alerts in, at once; notices out, in their order, each until it is taken. Run it under a supervisor.

    At least once: if an answer is lost on its way, or the process is killed before it was noted, the same notice goes
    out again, with the same id.
    """

    def __init__(
        self,
        name: str,
        receiver: Receiver,
        grouping: Grouping,
        *,
        clock: Clock,
        patience: Patience = Patience(),
        changed: Callable[[], None] = nobody,
        settled: Callable[[], Awaitable[None]] = at_once,
    ) -> None:
        """Begin.

        Args:
            name: for the log.
            receiver: whom to tell.
            grouping: when, and what together.
            clock: now.
            patience: what to do while nobody answers.
            changed: called when `kept` has something new to say; it must not wait.
            settled: waits until what `kept` says is where it outlasts the process, if it can be written.
        """
        self.name = name
        self.delivered = 0
        self.failed = 0
        """Attempts that ended with a notice still here."""
        self.given_up = 0
        """Notices that the receiver declined, or would not take for too long."""
        self.forced_out = 0
        """The oldest notices, dropped for want of room."""
        self.sending = False
        """The receiver has not answered yet."""
        self.attempts = 0
        self.reasons: deque[str] = deque(maxlen=MOST_REASONS)
        """Why the last of those are lost."""
        self._receiver = receiver
        self._grouping = grouping
        self._clock = clock
        self._patience = patience
        self._changed = changed
        self._settled = settled
        self._waiting: deque[_Letter] = deque()
        self._in_hand: _Letter | None = None
        self._backoff = Backoff(first_s=patience.first_retry_s, cap_s=patience.retry_max_s)
        self._breaker = Breaker(
            trips_after=patience.trips_after, open_s=min(patience.rest_s, patience.retry_max_s)
        )
        self._limiter = Limiter(rate=patience.per_minute / 60, burst=min(BURST, patience.per_minute))
        self._regroup = asyncio.Event()
        self._mail = asyncio.Event()
        self._ending = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Notices that are still to arrive."""
        return len(self._waiting) + (self._in_hand is not None)

    def counters(self) -> dict[str, int]:
        return {
            "firing": self._grouping.firing,
            "waiting": self.waiting,
            "delivered": self.delivered,
            "failed": self.failed,
            "given_up": self.given_up,
            "forced_out": self.forced_out,
        }

    def knows(self, rule: str, device: str) -> bool:
        """Whether this alert was told, or is to be, and its end was not."""
        return self._grouping.knows(rule, device)

    def take(self, alert: Alert) -> None:
        self._grouping.take(alert, self._clock())
        self._regroup.set()
        self._changed()

    def withdraw(self, rule: str, device: str) -> None:
        """See `Grouping.withdraw`. What already waits to be sent is sent."""
        self._grouping.withdraw(rule, device)
        self._changed()

    def end(self) -> None:
        """Each notice that waits is tried once more, as long as they arrive; then `run` returns. The rest is `kept`."""
        self._ending.set()
        self._mail.set()

    async def run(self, report: Report) -> None:
        if not self.delivered and not self.waiting:
            await report.waiting("has had nothing to tell yet")
        async with asyncio.TaskGroup() as group:
            grouping = group.create_task(self._group(), name=f"{self.name}: grouping")
            await self._deliver(report)
            grouping.cancel()

    def kept(self) -> dict[str, Any]:
        """All that must outlast the process, as plain data: what waits, what is being grouped, what was told."""
        now = self._clock().mono
        letters = [self._in_hand, *self._waiting] if self._in_hand else self._waiting
        return {
            "waiting": [
                {"notice": plain_notice(letter.notice), "waited_s": now - letter.since} for letter in letters
            ],
            "grouping": self._grouping.kept(now),
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Before `run`. Raises: KeyError, TypeError, ValueError, for what `kept` has not made."""
        now = self._clock()
        letters = [
            _Letter(notice_of(each["notice"]), now.mono - span(each["waited_s"])) for each in data["waiting"]
        ]
        self._grouping.restore(data["grouping"], now)
        for letter in letters:
            self._put(letter)
        self._regroup.set()

    async def _group(self) -> None:
        while True:
            now = self._clock()
            for notice in self._grouping.tick(now):
                if notice.repeat and self._waits(notice.group):
                    continue  # what waits of it says the same
                self._put(_Letter(notice, now.mono))
            due = self._grouping.due
            self._regroup.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due == inf else max(0.0, due - self._clock().mono)):
                    await self._regroup.wait()

    def _waits(self, group: Mapping[str, str]) -> bool:
        letters = [self._in_hand, *self._waiting] if self._in_hand else self._waiting
        return any(letter.notice.group == group for letter in letters)

    def _put(self, letter: _Letter) -> None:
        self._waiting.append(letter)
        if self.waiting > self._patience.most_waiting:
            oldest = self._waiting.popleft()
            self.forced_out += 1
            self._lose(oldest, f"more than {self._patience.most_waiting} are waiting")
        self._mail.set()
        self._changed()

    async def _deliver(self, report: Report) -> None:
        while True:
            if self._in_hand is None and not await self._next():
                return
            assert self._in_hand is not None
            pause_s = self._limiter.take(1, self._clock().mono)
            if pause_s and await self._rest(pause_s):
                return
            await self._settled()
            retry_s = await self._attempt(self._in_hand, report)
            if retry_s is None:
                self._in_hand = None
                self._changed()
            elif self._ending.is_set():
                return
            else:
                await self._rest(retry_s)

    async def _next(self) -> bool:
        """Take the oldest in hand; false, when there is none and none will come."""
        while not self._waiting:
            if self._ending.is_set():
                return False
            self._mail.clear()
            await self._mail.wait()
        self._in_hand = self._waiting.popleft()
        return True

    async def _rest(self, pause_s: float) -> bool:
        """Whether it is over before that, because all is ending."""
        try:
            async with asyncio.timeout(pause_s):
                await self._ending.wait()
        except TimeoutError:
            return False
        return True

    async def _attempt(self, letter: _Letter, report: Report) -> float | None:
        """None, when this one is settled; else the seconds until the next attempt."""
        letter.bugs += 1
        if letter.bugs > MOST_BUGS:
            self._give_up(letter, "a bug of ours, see above in the log")
            return None
        self.attempts += 1
        self.sending = True
        try:
            await self._receiver.send(letter.notice)
        except Undelivered as error:
            letter.bugs = 0
            return await self._failed(letter, error, report)
        except Declined as error:
            self._give_up(letter, str(error))
        else:
            self.delivered += 1
        finally:
            self.sending = False
        self._backoff.reset()
        self._breaker.succeeded(1)
        await report.online()
        return None

    async def _failed(self, letter: _Letter, error: Undelivered, report: Report) -> float | None:
        now = self._clock().mono
        self.failed += 1
        self._breaker.failed(now)
        await report.offline(str(error))
        if now - letter.since >= self._patience.give_up_after_s:
            self._give_up(letter, f"not taken for {now - letter.since:.0f} s: {error}")
            return None
        return max(self._backoff.next_delay(), self._breaker.pause(now), error.after_s)

    def _give_up(self, letter: _Letter, why: str) -> None:
        self.given_up += 1
        self._lose(letter, why)

    def _lose(self, letter: _Letter, why: str) -> None:
        log.warning(
            "%s: not told: %s: %s", self.name, letter.notice.title, why, extra=about(receiver=self.name)
        )
        self.reasons.append(f"{letter.notice.title}: {why}")
