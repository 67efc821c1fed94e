"""Rules at work on a time of its own: what devices say goes in, in its order, and what becomes of it comes out.

Around the engine it does what the gateway does around it: a device that is opened and says nothing becomes stale, its
filters speak when they are due, and a port that is down is down for all that is behind it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf, isfinite

from drivers.driver import DriverOptions
from gateway.filters.chain import Chain
from gateway.model import Alert, Availability, Observation, Presence, Reading, Stamp, Tally, Value
from gateway.rules.engine import Engine
from gateway.rules.memory import Memory
from gateway.rules.ports import Ports
from gateway.rules.rule import State
from gateway.rules.rulebook import Rulebook
from gateway.units import written_duration

SLACK_S = 1e-6
"""Far more than rounding costs, far less than anybody writes: within it two moments are the same."""


FIRES = (State.FIRING, State.RESOLVING)
"""As far as anybody is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Of one alert."""

    at: Stamp
    rule: str
    device: str
    before: State
    state: State
    alert: Alert | None
    """What is given out; None: nobody is told. Without a change of state it repeats itself, or is, or is not, quiet."""


Happening = Change | Availability
"""What comes out, in its order."""


@dataclass(slots=True)
class _Actor:
    """What stands where a device's source would."""

    name: str
    options: DriverOptions
    chain: Chain | None
    open: bool = False
    presence: Presence = Presence.OFFLINE
    heard_at: float = 0.0
    watched: bool = False
    """It has an entry among those that may have become quiet."""


class Rehearsal:
    """Moments are seconds since the start, and do not go back; what was due before is done first."""

    def __init__(
        self,
        book: Rulebook,
        devices: Mapping[str, DriverOptions],
        start: Stamp,
        *,
        rules: Collection[str] | None = None,
    ) -> None:
        """Begin.

        Args:
            book: the rules.
            devices: that may be opened.
            start: the clock on the wall at second 0.
            rules: those that take part; None: all.
        """
        self.memory = Memory()
        watches = book.watches(self.memory)
        self.watches = tuple(each for each in watches if rules is None or each.rule.name in rules)
        self._start = start
        self.engine = Engine(self.watches, self.stamp(0.0), heed=self.memory.heed, ports=book.ports)
        self._places = book.ports
        self._ports = Ports(book.ports)
        self._devices = devices
        self._actors: dict[str, _Actor] = {}
        self._filtered: list[_Actor] = []
        self._quiet: list[tuple[float, str]] = []
        self._states: Mapping[tuple[str, str], State] = {}
        self._revision = self.engine.revision
        self._out: list[Happening] = []

    def stamp(self, at: float) -> Stamp:
        return Stamp(self._start.wall_ns + round(at * 1e9), at, self._start.synchronised)

    def open(self, device: str, at: float) -> Sequence[Happening]:
        """Its port is open, and nothing has come yet. Raises: KeyError."""
        self._advance(at, before=at - SLACK_S)
        actor = self._actors.get(device)
        if actor is None:
            options = self._devices[device]
            actor = _Actor(device, options, Chain(options.filters) if options.filters else None)
            self._actors[device] = actor
            if actor.chain is not None:
                self._filtered.append(actor)
        self._opened(actor, at)
        return self._taken()

    def reopen(self, device: str, at: float) -> Sequence[Happening]:
        """Its port is open again, for all that were opened behind it."""
        self._advance(at, before=at - SLACK_S)
        for actor in self._behind_port_of(device):
            self._opened(actor, at)
        return self._taken()

    def hear(self, device: str, at: float, values: Mapping[str, Value]) -> Sequence[Happening]:
        """A reading as the rules get it: what its filters have left."""
        self._advance(at, before=at - SLACK_S)
        self._heard(self._actors[device], at)
        self._tell(Reading(at=self.stamp(at), device=device, values=values))
        return self._taken()

    def read(self, device: str, at: float, values: Mapping[str, Value]) -> Sequence[Happening]:
        """What its driver has yielded, on its way through the filters."""
        self._advance(at, before=at - SLACK_S)
        values = {name: value for name, value in values.items() if _sound(value)}
        if values:
            actor = self._actors[device]
            self._heard(actor, at)
            left = values if actor.chain is None else actor.chain.take(values, at)
            if left:
                self._tell(Reading(at=self.stamp(at), device=device, values=left))
        return self._taken()

    def present(
        self, device: str, at: float, presence: Presence, reason: str, *, port_open: bool = True
    ) -> Sequence[Happening]:
        """Whether it can be believed, whatever it says; a port that is down is down for all that are open behind it."""
        self._advance(at, before=at - SLACK_S)
        for actor in [self._actors[device]] if port_open else self._behind_port_of(device):
            if presence is Presence.ONLINE:
                self._heard(actor, at)
                continue
            actor.open = presence is Presence.STALE
            self._announce(actor, at, presence, reason, port_open=port_open)
        return self._taken()

    def count(self, device: str, at: float, values: Mapping[str, Value]) -> Sequence[Happening]:
        """What the gateway counts of it."""
        self._advance(at, before=at - SLACK_S)
        self._tell(Tally(at=self.stamp(at), device=device, values=values))
        return self._taken()

    def leave(self, device: str, at: float) -> Sequence[Happening]:
        """Nothing is known of it from now on: its silence means nothing."""
        happened = self.until(at)
        self._actors[device].open = False
        return happened

    def until(self, at: float) -> Sequence[Happening]:
        """Time passes, this moment included."""
        self._advance(at + SLACK_S, before=at + SLACK_S)
        self._pass(at + SLACK_S)
        return self._taken()

    @property
    def now(self) -> Stamp:
        return self.engine.now

    def standing(self) -> list[Alert]:
        """All alerts that are pending or fire, now."""
        return self.engine.standing()

    def _behind_port_of(self, device: str) -> list[_Actor]:
        port = self._places.get(device)
        return [each for each in self._actors.values() if self._places.get(each.name) == port]

    def _advance(self, at: float, *, before: float) -> None:
        """Filters speak that are due by now, and devices are stale that became so before that."""
        while self._filtered or (self._quiet and self._quiet[0][0] <= before):
            stale_at = self._quiet[0][0] if self._quiet and self._quiet[0][0] <= before else inf
            waiting = min(self._filtered, key=_due, default=None)
            due = inf if waiting is None or _due(waiting) > at else _due(waiting)
            if stale_at == due == inf:
                return
            if waiting is not None and due <= stale_at:
                assert waiting.chain is not None
                for values in waiting.chain.tick(due):
                    self._tell(Reading(at=self.stamp(due), device=waiting.name, values=values))
            else:
                self._look(self._actors[heappop(self._quiet)[1]], stale_at)

    def _look(self, actor: _Actor, at: float) -> None:
        """Whether it has become stale. One entry for each quiet spell, none for each reading."""
        after = actor.options.stale_after
        actor.watched = False
        if after is None or not actor.open or actor.presence is Presence.STALE:
            return
        if actor.heard_at + after > at:
            self._watch(actor)
        else:
            reason = f"nothing for {written_duration(after)} on {actor.options.port}"
            self._announce(actor, at, Presence.STALE, reason)

    def _watch(self, actor: _Actor) -> None:
        if not actor.watched and actor.options.stale_after is not None:
            actor.watched = True
            heappush(self._quiet, (actor.heard_at + actor.options.stale_after, actor.name))

    def _opened(self, actor: _Actor, at: float) -> None:
        actor.open, actor.heard_at = True, at
        self._watch(actor)
        reason = f"{actor.options.port}: open, no reading yet"
        self._announce(actor, at, Presence.OFFLINE, reason, unproven=True)

    def _heard(self, actor: _Actor, at: float) -> None:
        actor.heard_at = at
        if actor.presence is not Presence.ONLINE or not actor.open:
            actor.open = True
            self._announce(actor, at, Presence.ONLINE, "")
        self._watch(actor)

    def _announce(
        self, actor: _Actor, at: float, presence: Presence, reason: str, *,
        port_open: bool = True, unproven: bool = False,
    ) -> None:  # fmt: skip
        actor.presence = presence
        if presence is not Presence.ONLINE and actor.chain is not None:
            actor.chain.hush()
        event = Availability(
            at=self.stamp(at), device=actor.name, presence=presence, reason=reason, port_open=port_open,
            unproven=unproven,
        )  # fmt: skip
        if not unproven:
            self._out.append(event)
        for each in self._ports.told(event):
            self._tell(each)
        self._tell(event)

    def _tell(self, event: Observation) -> None:
        engine = self.engine
        if engine.due <= event.at.mono:
            self._pass(event.at.mono)
        alerts = engine.on_event(event)
        if alerts or engine.revision != self._revision:
            self._note(event.at, alerts)

    def _pass(self, at: float) -> None:
        engine = self.engine
        while engine.due <= at:
            moment = self.stamp(engine.due)
            alerts = engine.on_time(moment)
            if alerts or engine.revision != self._revision:
                self._note(moment, alerts)
        engine.on_time(self.stamp(at))

    def _note(self, at: Stamp, alerts: list[Alert]) -> None:
        before, after = self._states, self.engine.states()
        self._states, self._revision = after, self.engine.revision
        keys = [(alert.rule, alert.device) for alert in alerts]
        silent = [key for key in {**before, **after} if before.get(key) is not after.get(key)]
        for key, alert in (
            *zip(keys, alerts, strict=True),
            *((key, None) for key in silent if key not in keys),
        ):
            was, is_now = before.get(key, State.INACTIVE), after.get(key, State.INACTIVE)
            change = Change(at=at, rule=key[0], device=key[1], before=was, state=is_now, alert=alert)
            self._out.append(change)

    def _taken(self) -> Sequence[Happening]:
        if not self._out:
            return ()
        out, self._out = self._out, []
        return out


def _due(actor: _Actor) -> float:
    return inf if actor.chain is None else actor.chain.due


def _sound(value: Value) -> bool:
    return not isinstance(value, float) or isfinite(value)
