"""What one rule says, and the state machine of one alert: moments and conditions in, turns out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from math import inf
from typing import Protocol, TypedDict

from gateway.kept import span, span_or_none, truth
from gateway.model import Stamp, Value
from gateway.pacing.debounce import Debounce
from gateway.pacing.throttle import Flapping, Throttle
from gateway.rules.message import Message


class Condition(Protocol):
    @property
    def judge(self) -> Callable[[Stamp], object]:
        """True, False, or anything else: unknown. Never raises; the moments that it is given do not go back."""

    @property
    def timed(self) -> bool:
        """Whether it may ever change without an event."""

    def due(self, at: Stamp) -> float:
        """The monotonic moment, later than this one, at which it may change without an event; infinity: none."""


class OnStale(StrEnum):
    """What it means that a device whose values a condition reads has gone quiet."""

    HOLD = "hold"
    """Nothing: neither does it fire, nor is it resolved, until the device speaks again."""
    FIRE = "fire"
    """What it would mean that the condition is true."""
    RESOLVE = "resolve"
    """What it would mean that the condition is false, and `clear` true."""


@dataclass(frozen=True, slots=True)
class Flap:
    changes: int
    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    name: str
    for_s: float = 0.0
    keep_for_s: float = 0.0
    on_stale: OnStale = OnStale.HOLD
    flap: Flap | None = None
    repeat_s: float | None = None
    enabled: bool = True
    severity: str = "warning"
    message: Message = field(default_factory=lambda: Message(""))
    labels: Mapping[str, str] = field(default_factory=dict)
    inhibited_by: tuple[str, ...] = ()
    """Rules: while one of them fires for the same device, or its port, or for none, this one is kept quiet."""
    of_silence: bool = False
    """It says that something is not heard; the rule `PORT_DOWN` inhibits that without being named."""


def _nothing(_name: str) -> Value | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A rule about one device, or about none in particular, with its conditions."""

    rule: Rule
    when: Condition
    clear: Condition | None = None
    """Without one it is over as soon as `when` is false; where both are true, `when` counts."""
    device: str = ""
    devices: frozenset[str] = frozenset()
    """Events of these may change a condition."""
    needs: frozenset[str] = frozenset()
    """Of these, the ones without which it is stale: not those whose age or staleness is what it asks for."""
    look: Callable[[str], Value | None] = _nothing
    """The value of a name in the message."""
    metric: str = ""
    """The name of the value that the alert carries."""


_NEVER = object()
"""What no condition ever is."""


class State(StrEnum):
    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVING = "resolving"
    """Firing still: it is over, but not for long enough, or it changes too often."""


class Turn(Enum):
    FIRED = "fired"
    RESOLVED = "resolved"
    REPEATED = "repeated"


class Kept(TypedDict):
    """An alarm as plain data: how long ago what happened."""

    believed: bool
    firing: bool
    differs_s: float | None
    changes_s: list[float]
    repeated_s: float | None


class Alarm:
    """The state machine of one alert.

    inactive → pending    the condition is true, and has to be for `for_s`
    → firing              it was for so long
    → resolving           it is over, and has to be for `keep_for_s`, or until it does not flap any more
    → inactive            it was for so long

    Unknown moves nothing: a wait goes on, and what is known next decides whether it was one.
    """

    __slots__ = (
        "_clear", "_debounce", "_flapping", "_judge", "_repeat", "_rule", "_timed", "_when",
        "absent", "due", "firing", "revision", "steady",
    )  # fmt: skip

    def __init__(self, rule: Rule, when: Condition, clear: Condition | None = None) -> None:
        self._rule = rule
        self._when = when
        self._clear = clear
        self._judge = when.judge
        self._timed = when.timed or (clear is not None and clear.timed)
        self._debounce = Debounce(rise_s=rule.for_s, fall_s=rule.keep_for_s)
        self._flapping = Flapping(rule.flap.changes, rule.flap.within_s) if rule.flap else None
        self._repeat = Throttle(rule.repeat_s) if rule.repeat_s else None
        self.absent = False
        """Whether a device that it needs has gone quiet."""
        self.firing = False
        self.due = inf
        """The monotonic moment at which it wants a `step`, whatever comes."""
        self.steady: object = _NEVER
        """What the condition was, if a step would change nothing as long as it is the same and nothing is due; when a
        condition may change by itself, whoever calls asks that anew."""
        self.revision = 0
        """Grows with each change of what `kept` tells."""

    @property
    def state(self) -> State:
        if self.firing:
            over = not self._debounce.believed or self._debounce.differs_since is not None
            return State.RESOLVING if over else State.FIRING
        return State.INACTIVE if self._debounce.differs_since is None else State.PENDING

    @property
    def pending_since(self) -> float | None:
        return self._debounce.differs_since

    @property
    def of_silence(self) -> bool:
        """Whether it fires, if it does, since nothing is heard."""
        return self._rule.of_silence or (self.absent and self._rule.on_stale is OnStale.FIRE)

    def step(self, at: Stamp, judged: object = _NEVER) -> Turn | None:
        """What happens now. Whoever calls has seen to it that nothing is due before.

        `judged`: what the condition is, if it has been asked.
        """
        now = at.mono
        debounce = self._debounce
        believed, since = debounce.believed, debounce.differs_since
        if judged is _NEVER:
            judged = self._judge(at)
        if debounce.update(self._heard(judged, at), now) is not believed and self._flapping is not None:
            self._flapping.changed(now)
        turn = self._turn(now)
        if turn or debounce.believed is not believed or debounce.differs_since != since:
            self.revision += 1
        self.due = self._next(at)
        plain = self._clear is None or judged is True or not debounce.believed
        self.steady = judged if plain and not self.absent else _NEVER
        return turn

    def kept(self, now: float) -> Kept:
        """For `restore`, in another process."""
        since = self._debounce.differs_since
        return {
            "believed": self._debounce.believed,
            "firing": self.firing,
            "differs_s": None if since is None else now - since,
            "changes_s": [now - each for each in self._flapping.moments] if self._flapping else [],
            "repeated_s": now - (self._repeat.opens_at - self._repeat.period_s)
            if self._repeat and self.firing
            else None,
        }

    def restore(self, kept: Kept, now: float) -> None:
        """Go on where another one stopped; `now`: its moment on this clock, what has passed since included."""
        differs_s = span_or_none(kept["differs_s"])
        self._debounce.believed = truth(kept["believed"])
        self._debounce.differs_since = None if differs_s is None else now - differs_s
        self.firing = truth(kept["firing"])
        self.steady = _NEVER
        if self._flapping:
            for each in kept["changes_s"]:
                self._flapping.changed(now - span(each))
        if self._repeat and self.firing:
            said_s = span_or_none(kept["repeated_s"])
            self._repeat.opens_at = now - (said_s or 0.0) + self._repeat.period_s

    def _heard(self, judged: object, at: Stamp) -> bool | None:
        """Whether it is to be believed that it fires."""
        when = self._told(judged, meaning=True)
        if self._clear is None or when or not self._debounce.believed:
            return when
        clear = self._told(self._clear.judge(at), meaning=False)
        return None if clear is None else not clear

    def _told(self, judged: object, *, meaning: bool) -> bool | None:
        """`meaning`: what the answer would be, if being stale meant that it fires."""
        if self.absent:
            if self._rule.on_stale is OnStale.HOLD:
                return None
            return meaning is (self._rule.on_stale is OnStale.FIRE)
        return judged if isinstance(judged, bool) else None

    def _turn(self, now: float) -> Turn | None:
        firing = self._debounce.believed or (self._flapping is not None and self._flapping.calm_at > now)
        if firing is not self.firing:
            self.firing = firing
            if firing and self._repeat is not None:
                self._repeat.opens_at = now + self._repeat.period_s
            return Turn.FIRED if firing else Turn.RESOLVED
        if firing and self._repeat is not None and self._repeat.passes(now):
            return Turn.REPEATED
        return None

    def _next(self, at: Stamp) -> float:
        due = self._debounce.due
        if self.firing:
            if self._repeat is not None:
                due = min(due, self._repeat.opens_at)
            if self._flapping is not None and not self._debounce.believed:
                due = min(due, self._flapping.calm_at)
        if self._timed:
            due = min(due, self._when.due(at))
            if self._clear is not None:
                due = min(due, self._clear.due(at))
        return due
