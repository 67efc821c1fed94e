"""All filters of one device, one behind the other."""

from collections import Counter
from collections.abc import Sequence
from math import inf

from gateway.filters.filter import FilterOptions, PerMetric, Values


class Chain:
    def __init__(self, options: Sequence[FilterOptions]) -> None:
        self._names = [each.key() for each in options]
        self._filters = [each.filter() for each in options]
        self._remembering = [each for each in self._filters if isinstance(each, PerMetric)]
        self._hushed = False
        self.due = inf
        """The monotonic moment at which a filter wants a `tick`; infinity: none."""

    @property
    def withheld(self) -> Counter[str]:
        """Values that a filter did not pass on when they came, by its name."""
        counts: Counter[str] = Counter()
        for name, each in zip(self._names, self._filters, strict=True):
            counts[name] += each.withheld
        return +counts

    def take(self, values: Values, now: float) -> Values:
        """What is left of the values of one moment; for the right order, after a `tick` if one is due by then."""
        if self._hushed:
            self._hushed = False
            for each in self._filters:
                each.resume(now)
        left = self._through(values, now, 0)
        self._look()
        return left

    def tick(self, now: float) -> list[Values]:
        """What comes out by itself by now: of the last filters first, whose values are the older ones."""
        out = []
        for at in reversed(range(len(self._filters))):
            each = self._filters[at]
            if each.due <= now and (values := self._through(each.tick(now), now, at + 1)):
                out.append(values)
        self._look()
        return out

    def hush(self) -> None:
        """The device is not online any more: nothing is repeated until it speaks again."""
        self._hushed = True
        for each in self._filters:
            each.hush()
        self._look()

    def _look(self) -> None:
        if self._remembering:
            self.due = min([each.due for each in self._remembering])

    def _through(self, values: Values, now: float, first: int) -> Values:
        for each in self._filters[first:]:
            if not values:
                break
            values = each.take(values, now)
        return values
