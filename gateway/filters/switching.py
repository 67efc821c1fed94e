"""Filters of booleans: settle, delayed_on, delayed_off. Only changes come out of them; the first state is one."""

from math import inf

from pydantic import Field

from gateway.filters.filter import STATES, Cell, Filter, MetricFilterOptions, PerMetric
from gateway.filters.pace import Period


class Settle(MetricFilterOptions):
    settle: Period = Field(
        description="Lets a change of a true/false value pass at once, and the next ones only when it has stayed the"
        " same for this long."
    )

    def filter(self) -> Filter:
        return PerMetric(self.metric, STATES, lambda: Settling(self.settle))


class Settling(Cell):
    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._heard: bool | None = None
        self._said: bool | None = None

    def take(self, value: bool, now: float) -> bool | None:
        if value is self._heard:
            return None
        self._heard = value
        steady = self.due == inf
        self.due = now + self._period_s
        return self._say(value) if steady else None

    def tick(self, now: float) -> bool | None:  # noqa: ARG002
        self.due = inf
        assert self._heard is not None, "due only after something was heard"
        return self._say(self._heard)

    def _say(self, value: bool) -> bool | None:
        if value is self._said:
            return None
        self._said = value
        return value


class DelayedOn(MetricFilterOptions):
    delayed_on: Period = Field(
        description="Lets true pass when it has stayed for this long; false passes at once, and ends the wait."
    )

    def filter(self) -> Filter:
        return PerMetric(self.metric, STATES, lambda: Delayed(self.delayed_on, slow=True))


class DelayedOff(MetricFilterOptions):
    delayed_off: Period = Field(
        description="Lets false pass when it has stayed for this long; true passes at once, and ends the wait."
    )

    def filter(self) -> Filter:
        return PerMetric(self.metric, STATES, lambda: Delayed(self.delayed_off, slow=False))


class Delayed(Cell):
    def __init__(self, period_s: float, *, slow: bool) -> None:
        """`slow`: the state that has to wait."""
        self._period_s = period_s
        self._slow = slow
        self._said: bool | None = None

    def take(self, value: bool, now: float) -> bool | None:
        if value is self._slow:
            if self.due == inf and self._said is not value:
                self.due = now + self._period_s
            return None
        self.due = inf
        return self._say(value)

    def tick(self, now: float) -> bool | None:  # noqa: ARG002
        self.due = inf
        return self._say(self._slow)

    def _say(self, value: bool) -> bool | None:
        if value is self._said:
            return None
        self._said = value
        return value
