"""An expression as people write it → a function of the moment: `boiler.temperature > 80 and pump.running`.

Its result is a value or unknown, with the reason. `and` and `or` follow Kleene's logic: what is unknown decides only
where nothing else does, so that `false and unknown` is false and `true and unknown` is unknown.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from math import inf, nextafter
from typing import Any, NamedTuple

from gateway.filters.arithmetic import rounded
from gateway.model import Stamp, Value
from gateway.rules.coder import Age, Coder, Crossing, Hours, Timer
from gateway.rules.memory import Heard, Memory
from gateway.rules.names import THIS, Site
from gateway.rules.unknown import MISHAPS, NotKnown, Unknown, mistyped, reason

LOOK_AGAIN_S = 1.0
"""How often an age is looked at that is not simply compared with a duration."""

CLOCK_S = 60.0
"""How often the hour is looked at, at least: somebody may set the clock."""


class Doubt(NamedTuple):
    """What may be wrong, but cannot be known yet; `column` as in `BadExpression`."""

    column: int
    text: str


class Metric(NamedTuple):
    device: str
    """`this` before the expression is bound to a device."""
    name: str


class Reads(NamedTuple):
    """What an expression looks at."""

    metrics: frozenset[Metric]
    devices: frozenset[str]
    """All: those of the metrics, and those that are asked for."""
    asked: frozenset[str]
    """Of which the age or staleness is."""
    windows: frozenset[tuple[Metric, str, float]]
    """With the function and its seconds."""


@dataclass(frozen=True, slots=True)
class Bound:
    """An expression that looks at one memory."""

    judge: Callable[[Stamp], Value | Unknown]
    """What it is at this moment; never raises."""
    unknown: Counter[Unknown]
    """How often it was unknown, by reason."""
    reads: Reads
    _timers: tuple[Callable[[Stamp], float], ...]

    @property
    def timed(self) -> bool:
        """Whether its value may change though no event comes."""
        return bool(self._timers)

    def due(self, at: Stamp) -> float:
        """The monotonic moment after this one at which to judge again, whatever comes; infinity: none."""
        if len(self._timers) == 1:
            return self._timers[0](at)
        return min([timer(at) for timer in self._timers]) if self._timers else inf


class Expression:
    def __init__(
        self, text: str, site: Site, *, each: Sequence[str] | None = None, condition: bool = True
    ) -> None:
        """Compile it, once; `bind` is cheap.

        Args:
            text: what somebody wrote.
            site: what it may speak of.
            each: the devices that `this` may stand for; None: it is no rule for several.
            condition: whether its result is true, false or unknown, where a number is true unless it is 0; else it
                is any value.

        Raises: BadExpression.
        """
        coder = Coder(text, site, each)
        source = coder.function(condition=condition)
        self.text = text
        self.doubts = tuple(Doubt(*each) for each in coder.doubts)
        self._metrics = [Metric(*each) for each in coder.metrics]
        self._windows = [*coder.windows]
        self._devices = [*coder.devices]
        self._timers = [*coder.timers]
        self._zone = site.zone
        names: dict[str, Any] = {
            **_HELPERS,
            **coder.constants,
            "__builtins__": {},
            "local": _local(site.zone),
        }
        exec(compile(source, "<expression>", "exec"), names)  # noqa: S102 - the coder wrote it, nobody else's text is in it
        self._make: Callable[..., Callable[[Stamp], Value | Unknown]] = names["make"]

    @property
    def constant(self) -> bool:
        """Whether it speaks of nothing, not even of the time."""
        return not self.reads().devices and not self._timers

    def reads(self, this: str = THIS) -> Reads:
        metrics = [Metric(_meant(device, this), name) for device, name in self._metrics]
        windows = [
            (Metric(_meant(each.device, this), each.metric), each.function, each.seconds)
            for each in self._windows
        ]
        asked = frozenset(_meant(device, this) for device in self._devices)
        all_metrics = frozenset(metrics) | {metric for metric, _, _ in windows}
        return Reads(
            all_metrics, asked | {metric.device for metric in all_metrics}, asked, frozenset(windows)
        )

    def first_metric(self, this: str = THIS) -> Metric | None:
        """What it is about first of all."""
        for device, name in (*self._metrics, *((each.device, each.metric) for each in self._windows)):
            return Metric(_meant(device, this), name)
        return None

    def bind(self, memory: Memory, this: str = THIS) -> Bound:
        """Let it look at a memory; `this`: the device that the name stands for."""
        cells = [memory.cell(_meant(device, this), name) for device, name in self._metrics]
        windows = [
            memory.cell(_meant(each.device, this), each.metric).window(each.function, each.seconds)
            for each in self._windows
        ]
        devices = [memory.device(_meant(device, this)) for device in self._devices]
        unknown: Counter[Unknown] = Counter()
        judge = self._make(unknown, *cells, *(each.value for each in windows), *devices)
        timers = [self._timer(each, memory, this) for each in self._timers]
        return Bound(judge, unknown, self.reads(this), (*map(_due, windows), *timers))

    def _timer(self, timer: Timer, memory: Memory, this: str) -> Callable[[Stamp], float]:
        match timer:
            case Crossing(device, seconds):
                return _crossing(memory.device(_meant(device, this)), seconds)
            case Age():
                return lambda at: at.mono + LOOK_AGAIN_S
            case Hours():
                return _next_hour(self._zone)


def _meant(device: str, this: str) -> str:
    return this if device == THIS else device


def _due(window: Any) -> Callable[[Stamp], float]:
    return lambda at: window.due(at.mono)


def _crossing(device: Heard, seconds: float) -> Callable[[Stamp], float]:
    def due(at: Stamp) -> float:
        if isinstance(device.at, Unknown):
            return inf
        moment = device.at + seconds
        if at.mono == moment:  # "more than" becomes true just after it
            return nextafter(moment, inf)
        return moment if at.mono < moment else inf

    return due


def _next_hour(zone: tzinfo) -> Callable[[Stamp], float]:
    def due(at: Stamp) -> float:
        if not at.synchronised:
            return at.mono + CLOCK_S
        local = _moment(at, zone)
        begun = local.replace(minute=0, second=0, microsecond=0)
        return at.mono + min((begun + timedelta(hours=1) - local).total_seconds(), CLOCK_S)

    return due


def _moment(at: Stamp, zone: tzinfo) -> datetime:
    # From whole seconds: a float of nanoseconds may be rounded up, into the next hour.
    return datetime.fromtimestamp(at.wall_ns // 10**9, zone)


def _local(zone: tzinfo) -> Callable[[Stamp], datetime]:
    def local(at: Stamp) -> datetime:
        if not at.synchronised:
            raise NotKnown(Unknown.CLOCK)
        return _moment(at, zone)

    return local


def _truth(value: Any) -> bool:
    """Of what a boolean is wanted of and is none."""
    return bool(+value != 0)


def _equal(one: Any, other: Any) -> bool:
    if one.__class__ is not str:
        return bool(+one == +other)
    return bool(one == other) if other.__class__ is str else mistyped(other)


def _contains(part: Any, whole: Any) -> bool:
    for each in (part, whole):
        if each.__class__ is not str:
            mistyped(each)
    return part in whole


def _overflow() -> float:
    raise NotKnown(Unknown.OVERFLOW)


def _noted(why: Unknown, unknown: Counter[Unknown]) -> Unknown:
    unknown[why] += 1
    return why


_HELPERS: dict[str, Any] = {
    "MISHAPS": MISHAPS,
    "Unknown": Unknown,
    "reason": reason,
    "mistyped": mistyped,
    "truth": _truth,
    "equal": _equal,
    "contains": _contains,
    "overflow": _overflow,
    "noted": _noted,
    "rounded": rounded,
    "abs": abs,
    "min": min,
    "max": max,
    "str": str,
    "bool": bool,
}
