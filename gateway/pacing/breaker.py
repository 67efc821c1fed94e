from dataclasses import dataclass, field
from math import inf


@dataclass(slots=True)
class Breaker:
    """How much may be risked on somebody who has failed again and again.

    closed     everything
    open       nothing, for `open_s`
    half-open  one; when that has succeeded two, then four, until it is everything again

    One success does not close it: what has failed is somewhere in the whole that follows, and a window that
    fails again would have cost a connection for every single success.
    """

    trips_after: int = 3
    """Failures in a row that open it."""
    open_s: float = 5.0
    failures: int = field(default=0, init=False)
    _trust: float = field(default=inf, init=False)
    _open_until: float = field(default=-inf, init=False)

    @property
    def closed(self) -> bool:
        return self._trust == inf

    def pause(self, now: float) -> float:
        """How long it is still open."""
        return max(0.0, self._open_until - now)

    def risk(self, whole: int) -> int:
        """How much of the whole may be under way at once, when it is not open."""
        return whole if self._trust >= whole else int(self._trust)

    def succeeded(self, whole: int) -> None:
        """What was risked has succeeded."""
        self.failures = 0
        self._trust *= 2
        if self._trust >= whole:
            self._trust = inf

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.failures >= self.trips_after or not self.closed:
            self.failures = 0
            self._trust = 1
            self._open_until = now + self.open_s
