"""Filters of time and change, for values of any kind: delta, throttle, heartbeat, debounce."""

import re
from dataclasses import dataclass
from math import floor, inf
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from gateway.filters.filter import ALL, NUMBERS, Cell, Filter, MetricFilterOptions, PerMetric
from gateway.model import Value
from gateway.units import Duration

Period = Annotated[Duration, Field(ge=0.001, le=30 * 86_400)]

SLACK_S = 1e-6
"""Far more than rounding costs, far less than anybody measures."""

_PERCENT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*%", re.ASCII)


@dataclass(frozen=True, slots=True)
class Step:
    """How much a value must differ."""

    absolute: float = 0.0
    part: float = 0.0
    """Of the value before."""

    def after(self, value: float) -> float:
        return self.absolute + abs(value) * self.part


def _step(written: Any) -> Step:
    if type(written) in (int, float) and 0 <= written < inf:
        return Step(absolute=float(written))
    if isinstance(written, str) and (match := _PERCENT.fullmatch(written.strip())):
        return Step(part=float(match[1]) / 100)
    raise ValueError('must be a number that is not negative, or a percentage in quotes, such as "5%"')


_AnyStep = Annotated[
    Step,
    PlainValidator(_step),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": rf"^\s*{_PERCENT.pattern}\s*$", "examples": ["5%"]},
            ]
        }
    ),
]


class Delta(MetricFilterOptions):
    delta: _AnyStep = Field(
        description="Lets a number pass that differs from the last one that passed by more than this: 0.5, or"
        ' "5%" of that one; 0: whatever differs. The first one passes.'
    )

    def filter(self) -> Filter:
        return PerMetric(self.metric, NUMBERS, lambda: Changed(self.delta))


class Changed(Cell):
    def __init__(self, step: Step) -> None:
        self._step = step
        self._last: float | None = None

    def take(self, value: float, now: float) -> Value | None:  # noqa: ARG002
        float(value)  # an integer beyond its range must not become what all others are compared with
        if self._last is not None and abs(value - self._last) <= self._step.after(self._last):
            return None
        self._last = value
        return value


class Throttle(MetricFilterOptions):
    throttle: Period = Field(
        description="Withholds what comes sooner than this after the last value that passed. The first one passes."
    )

    def filter(self) -> Filter:
        return PerMetric(self.metric, ALL, lambda: Spaced(self.throttle))


class Spaced(Cell):
    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._open_at = -inf

    def take(self, value: Value, now: float) -> Value | None:
        if now < self._open_at:
            return None
        self._open_at = now + self._period_s
        return value


class Heartbeat(MetricFilterOptions):
    heartbeat: Period = Field(
        description="Says the last value this often, counted from the first one, whether or not a new one has come,"
        " as long as the device is online; values do not pass when they come."
    )
    optimistic: bool = Field(default=False, description="With heartbeat: values pass when they come, too.")

    def filter(self) -> Filter:
        return PerMetric(self.metric, ALL, lambda: Beating(self.heartbeat, optimistic=self.optimistic))


class Grid:
    """Moments at equal distances from the first value on."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._start: float | None = None

    def after(self, now: float) -> float:
        """The first one later than now; the first call lays the grid."""
        if self._start is None:
            self._start = now
        # A moment of the grid itself may be rounded to just before it, and would come twice.
        count = floor((now - self._start + SLACK_S) / self._period_s) + 1
        return self._start + count * self._period_s


class Beating(Cell):
    def __init__(self, period_s: float, *, optimistic: bool) -> None:
        self._grid = Grid(period_s)
        self._optimistic = optimistic
        self._last: Value | None = None

    def take(self, value: Value, now: float) -> Value | None:
        self._last = value
        if self.due == inf:
            self.due = self._grid.after(now)
        return value if self._optimistic else None

    def tick(self, now: float) -> Value | None:
        self.due = self._grid.after(now)
        return self._last

    def hush(self) -> None:
        self.due = inf

    def resume(self, now: float) -> None:
        self.due = self._grid.after(now)


class Debounce(MetricFilterOptions):
    debounce: Period = Field(
        description="Lets a value pass when no other has come for this long; one that comes before takes its place,"
        " and the wait begins anew."
    )

    def filter(self) -> Filter:
        return PerMetric(self.metric, ALL, lambda: Steady(self.debounce))


class Steady(Cell):
    """The same value again is no other one: instruments repeat themselves, and would never be believed."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._waiting: Value | None = None

    def take(self, value: Value, now: float) -> Value | None:
        if self._waiting is None or value != self._waiting:
            self.due = now + self._period_s
        self._waiting = value
        return None

    def tick(self, now: float) -> Value | None:  # noqa: ARG002
        value, self._waiting, self.due = self._waiting, None, inf
        return value
