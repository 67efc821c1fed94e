from collections import deque
from dataclasses import dataclass, field
from math import inf


@dataclass(slots=True)
class Throttle:
    """How often something may be said: once in a period, at once when nothing was said for so long."""

    period_s: float
    opens_at: float = -inf
    """When the next one may pass."""

    def passes(self, now: float) -> bool:
        """Whether it may be said now; if so, the period begins anew."""
        if now < self.opens_at:
            return False
        self.opens_at = now + self.period_s
        return True


@dataclass(slots=True)
class Flapping:
    """Whether something changes too often to be followed: so many changes within so long, the last one included."""

    changes: int
    within_s: float
    calm_at: float = field(default=-inf, init=False)
    """Until when it is flapping, unless it changes again."""
    _changed: deque[float] = field(default_factory=deque, init=False)

    def changed(self, now: float) -> None:
        self._changed.append(now)
        if len(self._changed) > self.changes:
            self._changed.popleft()
        if len(self._changed) == self.changes:
            self.calm_at = self._changed[0] + self.within_s

    @property
    def moments(self) -> tuple[float, ...]:
        """The last changes, which another one can be told of after a restart."""
        return tuple(self._changed)
