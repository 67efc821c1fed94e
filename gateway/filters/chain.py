"""All filters of one device, one behind the other."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf

from gateway.filters.filter import FilterOptions, Values


class Chain:
    def __init__(self, options: Sequence[FilterOptions]) -> None:
        self._names = [each.key() for each in options]
        self._filters = [each.filter() for each in options]
        self._hushed = False

    @property
    def due(self) -> float:
        """The monotonic moment at which a filter wants a `tick`; infinity: none."""
        return min((each.due for each in self._filters), default=inf)

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
        return self._through(values, now, 0)

    def tick(self, now: float) -> Iterator[Values]:
        """What comes out by itself by now, never empty: the last filters first, whose values are the older ones."""
        for at in reversed(range(len(self._filters))):
            each = self._filters[at]
            if each.due <= now and (values := self._through(each.tick(now), now, at + 1)):
                yield values

    def hush(self) -> None:
        """The device is not online any more: nothing is repeated until it speaks again."""
        self._hushed = True
        for each in self._filters:
            each.hush()

    def _through(self, values: Values, now: float, first: int) -> Values:
        for each in self._filters[first:]:
            if not values:
                break
            values = each.take(values, now)
        return values
