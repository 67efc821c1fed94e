"""What a filter is: the values of one moment in, values out, and the moment at which it wants to be woken."""

import fnmatch
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from math import inf, isfinite
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from gateway.errors import Refused
from gateway.model import Value

Values = Mapping[str, Value]
"""By metric; all of one moment."""

NUMBERS = frozenset({int, float})
STATES = frozenset({bool})
ALL = frozenset({int, float, bool, str})

MOST_METRICS = 1024
"""Of one device that a filter remembers something of: an instrument that makes up names must not fill the memory.
Beyond them the metric that came first is forgotten, and begins anew when it comes again."""


class Filter(ABC):
    due = inf
    """The monotonic moment at which it wants a `tick`; infinity: none."""

    def __init__(self) -> None:
        self.withheld = 0
        """Values that it did not pass on when they came."""

    @abstractmethod
    def take(self, values: Values, now: float) -> Values:
        """What passes of the values of one moment; whoever calls has seen to it that nothing is due before."""

    def tick(self, now: float) -> Values:  # noqa: ARG002
        """What is due by now, each metric once, however many moments were missed."""
        return {}

    def hush(self) -> None:  # noqa: B027 - most have nothing to do
        """The device has gone quiet: stop repeating what it said."""

    def resume(self, now: float) -> None:  # noqa: B027 - most have nothing to do
        """It speaks again, whatever of it comes through to this filter."""


class Names:
    """A choice of metrics: names, in which `*` stands for any characters and `?` for one."""

    def __init__(self, globs: Iterable[str]) -> None:
        self._exact = frozenset(globs)
        self._all = "*" in self._exact
        self._matches = [
            re.compile(fnmatch.translate(glob.replace("[", "[[]"))).match
            for glob in self._exact
            if set(glob) & set("*?")
        ]

    def __contains__(self, name: str) -> bool:
        return self._all or name in self._exact or any(match(name) for match in self._matches)


class Cell(ABC):
    """What a filter remembers of one metric."""

    due = inf

    @abstractmethod
    def take(self, value: Any, now: float) -> Value | None:
        """What comes out when this comes in; None: nothing, for now."""

    def tick(self, now: float) -> Value | None:  # noqa: ARG002
        """What comes out by itself at `due`, which is over."""
        return None

    def hush(self) -> None:  # noqa: B027 - most have nothing to do
        """See `Filter.hush`."""

    def resume(self, now: float) -> None:  # noqa: B027 - most have nothing to do
        """See `Filter.resume`."""


class PerMetric(Filter):
    """A filter with a memory of its own for each metric."""

    def __init__(self, metrics: Collection[str], kinds: frozenset[type], make: Callable[[], Cell]) -> None:
        """`kinds`: the types of values that it is for; others pass untouched."""
        super().__init__()
        self._metrics = Names(metrics)
        self._kinds = kinds
        self._make = make
        self._cells: dict[str, Cell] = {}

    def take(self, values: Values, now: float) -> Values:
        passed = {}
        for name, value in values.items():
            if type(value) not in self._kinds or name not in self._metrics:
                passed[name] = value
                continue
            cell = self._cells.get(name) or self._new(name)
            try:
                result = cell.take(value, now)
            except OverflowError:  # an integer beyond the range of a float
                result = None
            if result is None or not _finite(result):
                self.withheld += 1
            else:
                passed[name] = result
            self.due = min(self.due, cell.due)
        return passed

    def tick(self, now: float) -> Values:
        passed = {}
        for name, cell in self._cells.items():
            if cell.due > now:
                continue
            try:
                result = cell.tick(now)
            except OverflowError:  # a sum; its numbers counted as withheld when they came
                continue
            if result is not None and _finite(result):
                passed[name] = result
        self._look()
        return passed

    def hush(self) -> None:
        for cell in self._cells.values():
            cell.hush()
        self._look()

    def resume(self, now: float) -> None:
        for cell in self._cells.values():
            cell.resume(now)
        self._look()

    def _look(self) -> None:
        self.due = min((cell.due for cell in self._cells.values()), default=inf)

    def _new(self, name: str) -> Cell:
        if len(self._cells) >= MOST_METRICS:
            del self._cells[next(iter(self._cells))]
        cell = self._cells[name] = self._make()
        return cell


class Mapped(Filter):
    """A filter without a memory: each number by itself."""

    def __init__(
        self,
        metrics: Collection[str],
        function: Callable[[float], float | None],
        kinds: frozenset[type] = NUMBERS,
    ) -> None:
        """`function`: may return None, and may overflow: nothing comes out then."""
        super().__init__()
        self._metrics = Names(metrics)
        self._function = function
        self._kinds = kinds

    def take(self, values: Values, now: float) -> Values:  # noqa: ARG002
        passed = {}
        for name, value in values.items():
            if type(value) not in self._kinds or name not in self._metrics:
                passed[name] = value
                continue
            try:
                result = self._function(value)  # type: ignore[arg-type]  # by its kind
            except OverflowError:
                result = None
            if result is None or not _finite(result):
                self.withheld += 1
            else:
                passed[name] = result
        return passed


def _finite(value: Value) -> bool:
    return type(value) is not float or isfinite(value)


def _globs(written: Any) -> Any:
    if isinstance(written, str):
        return (written,)
    if isinstance(written, list) and all(isinstance(each, str) for each in written):
        return tuple(written)
    raise ValueError('must be a name in quotes, or an array of names, such as ["temperature", "*_voltage"]')


Globs = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_globs),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]
"""One name or several, with wildcards."""


class FilterOptions(BaseModel, ABC):
    """What one writes for a filter; the first field of its own has the filter's name."""

    # Built when it is first used: all of them at once would cost each start more than 10 ms.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def key(cls) -> str:
        return next(iter(cls.__annotations__))

    @abstractmethod
    def filter(self) -> Filter:
        """A new one, which has seen nothing yet."""

    def before(self, metric: str, value: Value) -> str:  # noqa: ARG002
        """What a metric is called in front of this filter that shall be set, so that behind it this value is seen.

        Raises: Refused, when it cannot be told.
        """
        return metric


class MetricFilterOptions(FilterOptions):
    metric: Globs = Field(
        default=("*",),
        description="The metrics it is for: a name or an array of names, with * and ? as wildcards; all without it.",
    )


class CorrectingFilterOptions(MetricFilterOptions):
    """Of a filter behind which a number means something else than the instrument says."""

    def before(self, metric: str, value: Value) -> str:
        if type(value) in NUMBERS and metric in Names(self.metric):
            raise Refused(f"{metric} cannot be set: what is seen of it is made by the filter {self.key()}")
        return metric
