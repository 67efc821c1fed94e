"""Keeps children running: the one place that catches Exception."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.errors import GatewayError, LinkBusy, LinkDenied, Refused
from gateway.logs import MessageId, about
from gateway.model import Presence
from gateway.pacing.backoff import Backoff

log = logging.getLogger(__name__)

STABLE_S = 60.0
"""Online for this long, a child has earned a fresh backoff."""

HASTE_S = 0.5
"""The longest wait between two attempts once the gateway is stopping."""


class Report:
    """How a child is doing: every change is passed on, and logged as one line down, one line up."""

    def __init__(
        self,
        name: str,
        changed: Callable[[Presence, str], Awaitable[None]],
        *,
        fields: Mapping[str, str] | None = None,
        news: Mapping[Presence, MessageId] | None = None,
    ) -> None:
        """`fields`, `news`: as a child has them."""
        self.presence: Presence | None = None
        self.reason = ""
        self.since = asyncio.get_running_loop().time()
        self._name = name
        self._changed = changed
        self._fields = fields or {}
        self._news = news or {}
        self._logged: Presence | None = None
        self._logged_reason = ""
        self._bad_since: float | None = None
        self._stable = False

    async def online(self) -> None:
        if self.presence is Presence.ONLINE:
            return
        if self._bad_since is None:
            log.info("%s: online", self._name, extra=self._about(Presence.ONLINE))
        else:
            away_s = asyncio.get_running_loop().time() - self._bad_since
            log.info("%s: online again after %.0f s", self._name, away_s, extra=self._about(Presence.ONLINE))
        self._bad_since = None
        self._logged = Presence.ONLINE
        await self._set(Presence.ONLINE, "")

    async def stale(self, reason: str) -> None:
        await self._worse(Presence.STALE, reason)

    async def offline(self, reason: str, *, needs_a_hand: bool = False) -> None:
        """A reason that only a person can remove is logged even if it takes the place of another one."""
        await self._worse(Presence.OFFLINE, reason, needs_a_hand=needs_a_hand)

    async def waiting(self, reason: str) -> None:
        """Offline for a reason that is no news: it is passed on, not logged."""
        await self._set(Presence.OFFLINE, reason)

    def take_stability(self) -> bool:
        """Whether it has been online for a stable while since this was last asked."""
        stable, self._stable = self._stable, False
        return stable

    async def _worse(self, presence: Presence, reason: str, *, needs_a_hand: bool = False) -> None:
        if self._logged is not presence or (needs_a_hand and reason != self._logged_reason):
            log.warning("%s: %s: %s", self._name, presence, reason, extra=self._about(presence))
            self._logged, self._logged_reason = presence, reason
        if self._bad_since is None:
            self._bad_since = asyncio.get_running_loop().time()
        await self._set(presence, reason)

    def _about(self, presence: Presence) -> dict[str, str]:
        return {**about(self._news.get(presence)), **self._fields}

    async def _set(self, presence: Presence, reason: str) -> None:
        if (presence, reason) == (self.presence, self.reason):
            return
        if presence is not self.presence:
            now = asyncio.get_running_loop().time()
            self._stable |= self.presence is Presence.ONLINE and now - self.since >= STABLE_S
            self.since = now
        self.presence, self.reason = presence, reason
        await self._changed(presence, reason)


async def _nobody(_presence: Presence, _reason: str) -> None:
    """Nobody wants to hear of it."""


async def _never() -> bool:
    never: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    return await never


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    name: str
    run: Callable[[Report], Awaitable[None]]
    """Returns when its work is done for good; raises to be run again."""
    restart: Backoff
    changed: Callable[[Presence, str], Awaitable[None]] = _nobody
    chance: Callable[[], Awaitable[bool]] = _never
    """Returns when it should be run again at once, such as when its port is there again; true: and then the backoff
    begins anew."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What all its lines in the log are about."""
    news: Mapping[Presence, MessageId] = field(default_factory=dict)
    """What its changes are, for those who search the log for them."""


class Supervisor:
    """Runs each child in a task of its own, again and again, until it returns or the supervisor is cancelled."""

    def __init__(self) -> None:
        self._hasty = False
        self._pauses: set[asyncio.Timeout] = set()
        self._over = False  # Task.cancelling() cannot tell: before Python 3.13 a TaskGroup leaves it wrong

    def hasten(self) -> None:
        """The gateway is stopping: whoever waits to try again tries now."""
        self._hasty = True
        for pause in self._pauses:
            if not pause.expired():
                pause.reschedule(0)

    async def run(self, children: Iterable[Child]) -> None:
        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(self._keep(child), name=child.name) for child in children]
            try:
                if kept:
                    await asyncio.wait(kept)
            finally:
                self._over = True

    async def _keep(self, child: Child) -> None:
        report = Report(child.name, child.changed, fields=child.fields, news=child.news)
        bugs = _Bugs(child)
        try:
            await report.waiting("starting")
            while (failure := await self._failure(child, report)) is not None:
                first = first_cause(failure)
                bugs.report(first, failure)
                reason = str(first) if isinstance(first, GatewayError) else f"internal error: {first!r}"
                await report.offline(reason, needs_a_hand=isinstance(first, LinkBusy | LinkDenied))
                if report.take_stability():
                    child.restart.reset()
                await self._pause(child, bugs)
        except BaseException:
            self._over = True  # of a failure here the others are cancelled before `run` hears of it
            raise

    async def _failure(self, child: Child, report: Report) -> BaseException | None:
        """Why it must be run again; None: it is done for good."""
        try:
            await child.run(report)
        except asyncio.CancelledError as error:
            if self._over:
                raise
            _forget_cancellations()
            return error  # its own, or that of a task it waited for
        except Exception as error:
            if self._over:
                raise asyncio.CancelledError from error  # its clean-up failed, but it is to end all the same
            return error
        return None

    async def _pause(self, child: Child, bugs: "_Bugs") -> None:
        delay_s = child.restart.next_delay()
        if self._hasty:
            await asyncio.sleep(min(delay_s, HASTE_S))
            return
        try:
            async with asyncio.timeout(delay_s) as pause:
                self._pauses.add(pause)
                try:
                    if await self._chance(child, bugs):
                        child.restart.reset()
                finally:
                    self._pauses.discard(pause)
        except TimeoutError:
            pass

    async def _chance(self, child: Child, bugs: "_Bugs") -> bool:
        """One that fails is none: the pause lasts as long as it would without."""
        try:
            return await child.chance()
        except Exception as error:  # noqa: BLE001 - it is reported, as a failure of the child is
            bugs.report(error, error)
            return await _never()


class _Bugs:
    """Those of a child: each is reported with its traceback, once as long as it is the same."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._last: object = None

    def report(self, first: BaseException, whole: BaseException) -> None:
        """`first`: what is to be acted on of the whole."""
        if isinstance(first, GatewayError) or _place(first) == self._last:
            return
        self._last = _place(first)
        extra = {**about(MessageId.BUG), **self._child.fields}
        log.error("%s: a bug, please report it", self._child.name, exc_info=whole, extra=extra)


@contextmanager
def refusing(whose: str) -> Iterator[None]:
    """Around what is done for somebody who asked for it: whatever goes wrong costs him, not the gateway.

    Raises: Refused, in the place of any other error; a bug is in the log.
    """
    try:
        yield
    except GatewayError as error:
        raise Refused(str(error)) from error
    except Exception as error:
        log.exception("%s: a bug, please report it", whose, extra=about(MessageId.BUG))
        # Not its text, which may hold whatever stands in the file.
        raise Refused(f"internal error ({type(error).__name__}): the gateway's log has more") from error


def first_cause(error: BaseException) -> BaseException:
    """What is to be acted on: of a group, its first bug, else its first error."""
    leaves = list(_leaves(error))
    return next((each for each in leaves if not isinstance(each, GatewayError)), leaves[0])


def _forget_cancellations() -> None:
    """A task that counts as cancelled takes its own timeouts for that."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _place(error: BaseException) -> tuple[type[BaseException], str, int]:
    """Where a bug is: the same place is the same bug, whatever its message holds this time."""
    *_, frame = traceback.extract_tb(error.__traceback__)
    return type(error), frame.filename, frame.lineno or 0


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
