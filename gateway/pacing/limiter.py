class Limiter:
    """A token bucket: so many a second in the long run, `burst` at once."""

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = 0.0

    def take(self, count: int, now: float) -> float:
        """Take so many tokens; how long to wait until they are there. Who comes later waits behind that."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - count
        self._at = now
        return max(0.0, -self._tokens / self._rate)
