from collections.abc import Hashable, Iterator
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Ration(Generic[K]):
    """How many of each kind pass in a period, which begins with the first of them; what is beyond that is counted."""

    def __init__(self, *, most: int, period_s: float) -> None:
        self._most = most
        self._period_s = period_s
        self._begun: dict[K, float] = {}  # in this order, which is also that of their ends
        self._taken: dict[K, int] = {}

    @property
    def due(self) -> float:
        """When the first period ends of which something was withheld; infinity: nothing was."""
        over = (begun for kind, begun in self._begun.items() if self._taken[kind] > self._most)
        return next(over, inf) + self._period_s

    def take(self, kind: K, now: float) -> bool:
        """Whether one more may pass. Whoever calls has taken all that is `over` before."""
        self._begun.setdefault(kind, now)
        self._taken[kind] = self._taken.get(kind, 0) + 1
        return self._taken[kind] <= self._most

    def over(self, now: float) -> Iterator[tuple[K, int]]:
        """Forget the periods that have ended; of each of which something was withheld, its kind and how many."""
        while self._begun:
            kind, begun = next(iter(self._begun.items()))
            if now < begun + self._period_s:
                return
            del self._begun[kind]
            if (withheld := self._taken.pop(kind) - self._most) > 0:
                yield kind, withheld
