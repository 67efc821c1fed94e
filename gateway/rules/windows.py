"""What a rule remembers of a metric over time: bounded, at a constant cost per reading, without rounding that grows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite
from operator import add
from typing import Generic, Protocol, TypeVar

from gateway.model import Value
from gateway.rules.unknown import Unknown

GRAINS = 4096
"""Readings that come within this part of a window's length leave it together, with the first of them: a window holds no
more than so many entries, however fast an instrument talks."""

LONGEST_S = 31 * 86_400.0


S = TypeVar("S")
"""A summary of some readings."""


class Window(Protocol):
    def take(self, value: Value, now: float) -> None: ...

    def value(self, now: float) -> Value | Unknown: ...

    def due(self, now: float) -> float:
        """The monotonic moment after `now` at which the value may change without a reading; infinity: none."""
        ...


Run = tuple[float, float, float, float, float]
"""Some readings in a row: the first's moment and value, the last's, and how much a counter has grown from the first to
the last; one that fell has begun again at 0. (A named tuple would cost twice as much as all the rest.)"""


def _joined(old: Run, new: Run) -> Run:
    first_at, first, _, before, grown = old
    _, then, last_at, last, more = new
    return first_at, first, last_at, last, grown + (then - before if then >= before else then) + more


@dataclass(frozen=True, slots=True)
class Measure(Generic[S]):
    """What is wanted of a window's readings, by way of summaries: two that follow each other make one."""

    of_one: Callable[[float, float], S]
    """From a number and its moment."""
    joined: Callable[[S, S], S]
    """From the older and the newer one."""
    result: Callable[[S], float | Unknown]


class Sliding(Generic[S]):
    """The readings of the last so many seconds: one that came just so long ago is gone.

    Two stacks: entries are put on the one and taken, the oldest first, from the other; when that is empty, the first
    is turned over onto it. Each is handled twice in its life, and nothing is ever subtracted, so that a huge number
    that has left takes no digits of the others with it.
    """

    def __init__(self, seconds: float, measure: Measure[S]) -> None:
        self._seconds = seconds
        self._grain = seconds / GRAINS
        self._of_one, self._joined, self._result = measure.of_one, measure.joined, measure.result
        self._old: list[tuple[float, S]] = []
        """The youngest first; each summary reaches from its entry to the youngest."""
        self._new: list[tuple[float, S]] = []
        """The oldest first; each summary is its entry's own."""
        self._recent: S | None = None  # all of the new ones
        self._nothing = Unknown.NOT_SEEN
        self._leaves_at = inf
        """When the oldest entry does."""

    def take(self, value: Value, now: float) -> None:
        if value.__class__ is str:
            self._nothing = Unknown.TYPE
            return
        if now >= self._leaves_at:
            self._expire(now)
        summary = self._of_one(+value, now)  # type: ignore[operator]  # no text
        new = self._new
        if new and now - new[-1][0] < self._grain:
            began, own = new[-1]
            new[-1] = (began, self._joined(own, summary))
        else:
            new.append((now, summary))
        if self._recent is not None:
            self._recent = self._joined(self._recent, summary)
        else:
            self._recent = summary
            self._nothing = Unknown.EMPTY
            if not self._old:
                self._leaves_at = now + self._seconds

    def value(self, now: float) -> Value | Unknown:
        if now >= self._leaves_at:
            self._expire(now)
        summary = self._recent
        if self._old:
            oldest = self._old[-1][1]
            summary = oldest if summary is None else self._joined(oldest, summary)
        if summary is None:
            return self._nothing
        result = self._result(summary)
        return result if result.__class__ is not float or isfinite(result) else Unknown.OVERFLOW

    def due(self, now: float) -> float:
        self._expire(now)
        return self._leaves_at

    def _expire(self, now: float) -> None:
        while self._leaves_at <= now:
            if not self._old:
                self._turn()
            self._old.pop()
            if not self._old and self._new:
                self._turn()
            # The one place with this sum: rounded otherwise, what is due might still be there.
            self._leaves_at = self._old[-1][0] + self._seconds if self._old else inf

    def _turn(self) -> None:
        began, summary = self._new.pop()
        self._old.append((began, summary))
        while self._new:
            began, own = self._new.pop()
            summary = self._joined(own, summary)
            self._old.append((began, summary))
        self._recent = None


class Count:
    """Of a window's readings, texts too; 0 when they have all left."""

    def __init__(self, seconds: float) -> None:
        self._window = Sliding(seconds, _NUMBER)

    def take(self, value: Value, now: float) -> None:  # noqa: ARG002 - any counts
        self._window.take(0, now)

    def value(self, now: float) -> Value | Unknown:
        count = self._window.value(now)
        return 0 if count is Unknown.EMPTY else count

    def due(self, now: float) -> float:
        return self._window.due(now)


class Change:
    """Whether a value became another one in the last so many seconds; the first one ever is no change.

    Not known before it was watched for so long: nothing may look stuck because we have only just come.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched_since: float | None = None
        self._changed_at: float | None = None
        self._last: Value = 0

    def take(self, value: Value, now: float) -> None:
        if self._watched_since is None:
            self._watched_since = now
        elif value != self._last:
            self._changed_at = now
        self._last = value

    def value(self, now: float) -> Value | Unknown:
        if self._watched_since is None:
            return Unknown.NOT_SEEN
        if self._changed_at is not None and now < self._changed_at + self._seconds:
            return True
        return False if self._watched_since + self._seconds <= now else Unknown.TOO_SHORT

    def due(self, now: float) -> float:
        moments = (self._watched_since, self._changed_at)
        ends = (moment + self._seconds for moment in moments if moment is not None)
        return min((end for end in ends if end > now), default=inf)


def _delta(run: Run) -> float | Unknown:
    first_at, first, last_at, last, _ = run
    return last - first if last_at > first_at else Unknown.TOO_FEW


def _rate(run: Run) -> float | Unknown:
    first_at, _, last_at, _, grown = run
    return grown / (last_at - first_at) if last_at > first_at else Unknown.TOO_FEW


def _itself(number: float) -> float:
    return number


def _run(number: float, at: float) -> Run:
    return at, number, at, number, 0


_MEAN: Measure[tuple[float, int]] = Measure(
    lambda number, _: (number, 1),
    lambda old, new: (old[0] + new[0], old[1] + new[1]),
    lambda total: total[0] / total[1],
)
_LEAST: Measure[float] = Measure(lambda number, _: number, min, _itself)
_MOST: Measure[float] = Measure(lambda number, _: number, max, _itself)
_SUM: Measure[float] = Measure(lambda number, _: number, add, _itself)
_NUMBER: Measure[float] = Measure(lambda _number, _: 1, add, _itself)
_RATE: Measure[Run] = Measure(_run, _joined, _rate)
_DELTA: Measure[Run] = Measure(_run, _joined, _delta)

WINDOWS: Mapping[str, Callable[[float], Window]] = {
    "avg": partial(Sliding, measure=_MEAN),
    "min_over": partial(Sliding, measure=_LEAST),
    "max_over": partial(Sliding, measure=_MOST),
    "sum_over": partial(Sliding, measure=_SUM),
    "count_over": Count,
    "rate": partial(Sliding, measure=_RATE),
    "delta": partial(Sliding, measure=_DELTA),
    "changed": Change,
}
"""By the name of the function, from the window's length in seconds."""
