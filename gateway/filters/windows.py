"""Filters over a window of values or of time: median, mean, min, max, moving and exponential average."""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import exp, fsum, inf
from typing import Annotated, Any, Protocol, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from gateway.filters.filter import NUMBERS, Cell, Filter, MetricFilterOptions, PerMetric
from gateway.filters.pace import SLACK_S, Grid
from gateway.units import DURATION_SCHEMA, duration, written_duration

LARGEST = 10_000
"""Values that a window may hold; one of time that sees more of them forgets the oldest."""

LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Extent:
    """So many values, or so much time."""

    values: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return str(self.values) if self.values else f'"{written_duration(self.seconds)}"'


def _extent(written: Any) -> Extent:
    if type(written) is int and 1 <= written <= LARGEST:
        return Extent(values=written)
    if (seconds := _seconds(written)) is not None:
        return Extent(seconds=seconds)
    raise ValueError(f'must be a number of values, 1 to {LARGEST}, or a time with its unit, "1ms" to "1d"')


def _seconds(written: Any) -> float | None:
    try:
        seconds = duration(written)
    except ValueError:
        return None
    return seconds if 0.001 <= seconds <= LONGEST_S else None  # noqa: PLR2004


AnyExtent = Annotated[
    Extent,
    PlainValidator(_extent),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": LARGEST}, DURATION_SCHEMA]}),
]

_EVERY = (
    'How often a result comes out: after so many values, or "10s", if one has come since; without it, {}.'
)


class _Paced(MetricFilterOptions):
    """What says when results come out."""

    send_every: AnyExtent | None = Field(default=None, description=_EVERY.format("after each value"))
    send_first_at: int = Field(
        default=1,
        ge=1,
        le=LARGEST,
        description="Where results come after so many values: the first one comes after this many.",
    )

    @property
    def pace(self) -> Extent:
        """`send_every`, or what takes its place."""
        return self.send_every or Extent(values=1)

    @model_validator(mode="after")
    def _begins(self) -> Self:
        if self.pace.seconds and "send_first_at" in self.model_fields_set:
            raise ValueError(f"send_first_at goes with results by number; here they come every {self.pace}")
        if self.pace.values and self.send_first_at > self.pace.values:
            raise ValueError(f"send_first_at must not be more than send_every, which is {self.pace}")
        return self


class _Window(_Paced):
    send_every: AnyExtent | None = Field(default=None, description=_EVERY.format("once for each window"))

    @property
    def window(self) -> Extent:
        extent: Extent = getattr(self, self.key())
        return extent

    @property
    def pace(self) -> Extent:
        return self.send_every or self.window

    def _filter(
        self, of_window: Callable[[Collection[float]], float], of_tally: Callable[["Tally"], float] | None
    ) -> Filter:
        window, pace = self.window, self.pace

        def make() -> Cell:
            held: Held = Tallied(of_tally) if of_tally and window == pace else Sliding(window, of_window)
            return Paced(held, pace, self.send_first_at)

        return PerMetric(self.metric, NUMBERS, make)


_SPAN = 'of the last so many numbers, or of those of the last "30s"'


class Median(_Window):
    median: AnyExtent = Field(description=f"The median {_SPAN}.")

    def filter(self) -> Filter:
        return self._filter(median, None)


class Mean(_Window):
    mean: AnyExtent = Field(description=f"The mean {_SPAN}.")

    def filter(self) -> Filter:
        return self._filter(mean, lambda tally: tally.total / tally.count)


class Min(_Window):
    min: AnyExtent = Field(description=f"The least {_SPAN}.")

    def filter(self) -> Filter:
        return self._filter(min, lambda tally: tally.lowest)


class Max(_Window):
    max: AnyExtent = Field(description=f"The most {_SPAN}.")

    def filter(self) -> Filter:
        return self._filter(max, lambda tally: tally.highest)


class MovingAverage(_Window):
    moving_average: AnyExtent = Field(description=f"The mean {_SPAN}, with each number that comes.")
    send_every: AnyExtent | None = Field(default=None, description=_EVERY.format("after each value"))

    @property
    def pace(self) -> Extent:
        return self.send_every or Extent(values=1)

    def filter(self) -> Filter:
        return self._filter(mean, None)


@dataclass(frozen=True, slots=True)
class Weight:
    """How much a new number counts."""

    share: float = 0.0
    seconds: float = 0.0
    """Or, as a time constant: the longer the number before has stood, the less of it is left."""

    def after(self, passed_s: float) -> float:
        return self.share or 1 - exp(-max(passed_s, 0.0) / self.seconds)


def _weight(written: Any) -> Weight:
    if type(written) in (int, float) and 0 < written <= 1:
        return Weight(share=float(written))
    if type(written) is int and 1 < written <= LARGEST:
        return Weight(share=2 / (written + 1))
    if (seconds := _seconds(written)) is not None:
        return Weight(seconds=seconds)
    raise ValueError(
        f"must be the weight of a new number, more than 0 and up to 1, or a number of values up to {LARGEST},"
        ' or a time with its unit, "1ms" to "1d"'
    )


_AnyWeight = Annotated[
    Weight,
    PlainValidator(_weight),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": LARGEST}, DURATION_SCHEMA]}
    ),
]


class ExponentialAverage(_Paced):
    exponential_average: _AnyWeight = Field(
        description="The mean in which a new number has this weight and all before it the rest: 0.1, or n from 2 on"
        ' for 2 / (n + 1), or "30s", the time after which an old number has lost 63 % of its weight.'
    )

    def filter(self) -> Filter:
        return PerMetric(
            self.metric,
            NUMBERS,
            lambda: Paced(Smoothed(self.exponential_average), self.pace, self.send_first_at),
        )


def mean(values: Collection[float]) -> float:
    return fsum(values) / len(values)


def median(values: Collection[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


class Held(Protocol):
    """The numbers of one metric that go into its next result."""

    def add(self, value: float, now: float) -> None: ...

    def result(self, now: float) -> float | None: ...


class Sliding:
    def __init__(self, window: Extent, of_window: Callable[[Collection[float]], float]) -> None:
        self._length_s = window.seconds or inf
        self._of_window = of_window
        self._numbers: deque[tuple[float, float]] = deque(maxlen=window.values or LARGEST)

    def add(self, value: float, now: float) -> None:
        self._numbers.append((now, value))
        self._forget(now)

    def result(self, now: float) -> float | None:
        self._forget(now)
        return self._of_window([value for _, value in self._numbers]) if self._numbers else None

    def _forget(self, now: float) -> None:
        since = now - self._length_s - SLACK_S  # rounding must not cost a window its first value
        while self._numbers and self._numbers[0][0] < since:
            self._numbers.popleft()


class Tally:
    """What numbers leave behind when they need not be kept."""

    __slots__ = ("count", "highest", "lowest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.lowest = inf
        self.highest = -inf


class Tallied:
    """Windows that do not overlap: of any number of values, nothing is held."""

    def __init__(self, of_tally: Callable[[Tally], float]) -> None:
        self._of_tally = of_tally
        self._tally = Tally()

    def add(self, value: float, now: float) -> None:  # noqa: ARG002
        tally = self._tally
        tally.total += value
        tally.count += 1
        tally.lowest = min(tally.lowest, value)
        tally.highest = max(tally.highest, value)

    def result(self, now: float) -> float | None:  # noqa: ARG002
        tally, self._tally = self._tally, Tally()
        return self._of_tally(tally) if tally.count else None


class Smoothed:
    def __init__(self, weight: Weight) -> None:
        self._weight = weight
        self._average: float | None = None
        self._at = 0.0

    def add(self, value: float, now: float) -> None:
        if self._average is None:
            self._average = float(value)
        else:
            weight = self._weight.after(now - self._at)
            self._average = weight * value + (1 - weight) * self._average
        self._at = now

    def result(self, now: float) -> float | None:  # noqa: ARG002
        return self._average


class Paced(Cell):
    """Results after so many numbers, or at equal distances in time from the first number on."""

    def __init__(self, held: Held, pace: Extent, send_first_at: int) -> None:
        self._held = held
        self._grid = Grid(pace.seconds) if pace.seconds else None
        self._every = pace.values
        self._missing = send_first_at

    def take(self, value: float, now: float) -> float | None:
        float(value)  # an integer beyond its range must not get in: it would spoil the whole window
        self._held.add(value, now)
        if self._grid is not None:
            if self.due == inf:
                self.due = self._grid.after(now)
            return None
        self._missing -= 1
        if self._missing > 0:
            return None
        self._missing = self._every
        return self._held.result(now)

    def tick(self, now: float) -> float | None:  # noqa: ARG002
        """Of the window that ends when it was due: who wakes us may be late."""
        ended, self.due = self.due, inf
        return self._held.result(ended)
