"""A site in which conditions are what a test says they are, and time passes when it says so."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from gateway.model import Alert, Availability, Observation, Presence, Reading, Stamp, Value
from gateway.rules.engine import Engine
from gateway.rules.rule import Rule, Watch

WALL_NS = 1_700_000_000_000_000_000


def stamp(now: float, wall_step_s: float = 0.0) -> Stamp:
    return Stamp(WALL_NS + round((now + wall_step_s) * 1e9), now)


async def at_once() -> None:
    """What has been done is remembered already."""


class Values:
    """The last value of each metric of each device: what conditions look at."""

    def __init__(self) -> None:
        self.known: dict[str, Value] = {}

    def heed(self, event: Observation) -> None:
        if isinstance(event, Reading):
            for name, value in event.values.items():
                self.known[f"{event.device}.{name}"] = value

    def look(self, name: str) -> Value | None:
        return self.known.get(name)


@dataclass
class Told:
    """A condition by a function of the values; unknown while one that it names is not there."""

    values: Values
    name: str
    is_true: Callable[[Any], bool] = bool
    asked: int = field(default=0, init=False)
    timed: bool = field(default=False, init=False)

    @property
    def judge(self) -> Callable[[Stamp], object]:
        return self._judge

    def due(self, at: Stamp) -> float:  # noqa: ARG002
        return inf

    def _judge(self, at: Stamp) -> object:  # noqa: ARG002
        self.asked += 1
        value = self.values.look(self.name)
        return None if value is None else self.is_true(value)


def above(values: Values, name: str, limit: float) -> Told:
    return Told(values, name, lambda value: value > limit)


def hot(values: Values, rule: Rule, device: str = "boiler", **changed: Any) -> Watch:
    """Its temperature is above 80."""
    needs = frozenset({device})
    when = above(values, f"{device}.temperature", 80)
    watch = Watch(rule=rule, when=when, device=device, devices=needs, needs=needs, look=values.look)
    return replace(watch, **changed)


class Site:
    def __init__(self, values: Values, *watches: Watch, start: float = 0.0, **ports: str) -> None:
        self.engine = Engine(watches, stamp(start), heed=values.heed, ports=ports)
        self.alerts: list[Alert] = []

    def reading(self, now: float, value: Value, device: str = "boiler", metric: str = "temperature") -> None:
        self.hear(Reading(at=stamp(now), device=device, values={metric: value}))

    def presence(self, now: float, presence: Presence, device: str = "boiler") -> None:
        self.hear(Availability(at=stamp(now), device=device, presence=presence, reason=""))

    def hear(self, event: Observation) -> None:
        self.take(self.engine.on_event(event))

    def until(self, now: float) -> None:
        self.take(self.engine.on_time(stamp(now)))

    def take(self, alerts: Iterable[Alert]) -> None:
        self.alerts += alerts

    @property
    def story(self) -> list[tuple[float, str]]:
        return [(alert.at.mono, alert.state.value) for alert in self.alerts]
