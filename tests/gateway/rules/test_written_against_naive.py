"""Rules as they are written, beside a reference that keeps all that was ever heard and asks all of it anew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Alert, Availability, Observation, Presence, Reading, Stamp, Value
from gateway.rules.engine import Engine
from gateway.rules.memory import Memory
from gateway.rules.names import THIS, Instrument, Site
from gateway.rules.rule import Flap, OnStale, Rule
from gateway.rules.rulebook import Rulebook, Statute
from tests.gateway.rules import naive
from tests.gateway.rules.naive import Moment
from tests.gateway.rules.stage import WALL_NS

DEVICES = ("hall-1", "hall-2", "pump")
EACH = ("hall-*",)
SITE = Site({device: Instrument() for device in DEVICES})


@dataclass
class Heard:
    """All that this process was told of one device."""

    readings: list[tuple[int, dict[str, Value]]] = field(default_factory=list)
    stale: bool | None = None
    offline: bool | None = None

    def said(self, metric: str) -> list[tuple[int, float]]:
        return [(at, values[metric]) for at, values in self.readings if metric in values]  # type: ignore[misc]  # numbers


Ask = Callable[[dict[str, Heard], int], float | bool | None]


@dataclass(frozen=True)
class Part:
    """An expression, and what it is from all that was heard; None: unknown."""

    text: str
    ask: Ask
    measured: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    """Devices of which the age or staleness is asked."""

    def __repr__(self) -> str:
        return self.text


def _last(device: str, metric: str, back: int = 1) -> Ask:
    def ask(heard: dict[str, Heard], _now: int) -> float | None:
        said = heard[device].said(metric)
        return said[-back][1] if len(said) >= back else None

    return ask


def _over(device: str, metric: str, seconds: int, result: Callable[[list[float]], float | None]) -> Ask:
    def ask(heard: dict[str, Heard], now: int) -> float | None:
        said = heard[device].said(metric)
        return result([value for at, value in said if at + seconds > now]) if said else None

    return ask


def _compared(left: Part, limit: int) -> Part:
    def ask(heard: dict[str, Heard], now: int) -> bool | None:
        value = left.ask(heard, now)
        return None if value is None else value > limit

    return Part(f"{left.text} > {limit}", ask, left.measured, left.asked)


def _quotient(device: str) -> Part:
    def ask(heard: dict[str, Heard], now: int) -> float | None:
        below = _last(device, "y")(heard, now)
        return 2 / below if below else None

    return Part(f"2 / {device}.y", ask, frozenset({device}))


def _values(device: str, seconds: int) -> list[Part]:
    here = frozenset({device})
    return [
        Part(f"{device}.x", _last(device, "x"), here),
        Part(f"{device}.y", _last(device, "y"), here),
        Part(f"previous({device}.x)", _last(device, "x", 2), here),
        Part(f'max_over({device}.x, "{seconds}s")', _over(device, "x", seconds, lambda x: max(x, default=None)), here),
        Part(f'count_over({device}.y, "{seconds}s")', _over(device, "y", seconds, len), here),
        _quotient(device),
    ]  # fmt: skip


def _asked(device: str, seconds: int) -> list[Part]:
    here = frozenset({device})

    def age(heard: dict[str, Heard], now: int) -> bool | None:
        readings = heard[device].readings
        return now - readings[-1][0] >= seconds if readings else None

    return [
        Part(f"stale({device})", lambda heard, _now: heard[device].stale, asked=here),
        Part(f"offline({device})", lambda heard, _now: heard[device].offline, asked=here),
        Part(f'age({device}) >= "{seconds}s"', age, asked=here),
    ]


def _joined(word: str, parts: Sequence[Part]) -> Part:
    decides = word == "or"

    def ask(heard: dict[str, Heard], now: int) -> bool | None:
        truths = [part.ask(heard, now) for part in parts]
        if decides in truths:
            return decides
        return None if None in truths else not decides

    return Part(
        f" {word} ".join(f"({part.text})" for part in parts), ask,
        frozenset().union(*(part.measured for part in parts)),
        frozenset().union(*(part.asked for part in parts)),
    )  # fmt: skip


def _negated(part: Part) -> Part:
    def ask(heard: dict[str, Heard], now: int) -> bool | None:
        truth = part.ask(heard, now)
        return None if truth is None else not truth

    return Part(f"not ({part.text})", ask, part.measured, part.asked)


SECONDS = st.integers(1, 4)


def _conditions(*devices: str) -> st.SearchStrategy[Part]:
    names = st.sampled_from(devices)
    compared = st.builds(
        _compared, st.builds(_values, names, SECONDS).flatmap(st.sampled_from), st.integers(0, 2)
    )
    atoms = st.one_of(compared, compared, st.builds(_asked, names, SECONDS).flatmap(st.sampled_from))
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            inner.map(_negated),
            st.builds(_joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
        ),
        max_leaves=4,
    )


def _for_one(part: Part, device: str) -> Part:
    """With `this` for that device."""

    def ask(heard: dict[str, Heard], now: int) -> float | bool | None:
        return part.ask({**heard, THIS: heard[device]} if device else heard, now)

    def meant(names: frozenset[str]) -> frozenset[str]:
        return frozenset(device if name == THIS else name for name in names)

    return Part(part.text, ask, meant(part.measured), meant(part.asked))


@dataclass(frozen=True)
class Written:
    rule: Rule
    when: Part
    clear: Part | None
    each: bool

    @property
    def statute(self) -> Statute:
        clear = self.clear.text if self.clear else None
        return Statute(rule=self.rule, when=self.when.text, clear=clear, each=EACH if self.each else None)


def _written(*, each: bool) -> st.SearchStrategy[Written]:
    conditions = _conditions(THIS, "pump") if each else _conditions("hall-1", "pump")
    waits = st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.0])
    rules = st.builds(
        Rule,
        name=st.just("r"),
        for_s=waits,
        keep_for_s=waits,
        on_stale=st.sampled_from(OnStale),
        flap=st.none() | st.builds(Flap, st.integers(2, 4), st.sampled_from([4.0, 9.0])),
        repeat_s=st.sampled_from([None, 3.0]),
    )
    return st.builds(Written, rules, conditions, st.none() | conditions, st.just(each))


@dataclass(frozen=True)
class Says:
    device: str
    values: dict[str, Value]
    announced: bool
    """As a source does that was not online."""


@dataclass(frozen=True)
class Goes:
    device: str
    presence: Presence
    unproven: bool


@dataclass(frozen=True)
class Outage:
    seconds: int


@dataclass(frozen=True)
class Step:
    """Of the clock on the wall."""

    seconds: float


SAYS = st.builds(
    Says,
    st.sampled_from(DEVICES),
    st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 3), min_size=1),
    st.booleans(),
)
GOES = st.builds(
    Goes, st.sampled_from(DEVICES), st.sampled_from(Presence), st.sampled_from([False, False, False, True])
)
SECOND = st.lists(
    st.one_of(
        SAYS, SAYS, SAYS, SAYS, GOES, st.builds(Outage, st.integers(1, 7)),
        st.builds(Step, st.sampled_from([3600.0, -3600.0])),
    ),
    max_size=3,
)  # fmt: skip
DAYS = st.lists(SECOND, min_size=1, max_size=25)


class Reference:
    """One watch, by all that was ever heard."""

    def __init__(self, written: Written, device: str) -> None:
        self.rule = written.rule
        self.when = _for_one(written.when, device)
        self.clear = _for_one(written.clear, device) if written.clear else None
        parts = [self.when, *([self.clear] if self.clear else [])]
        asked = frozenset[str]().union(*(part.asked for part in parts))
        self._needs = frozenset[str]().union(*(part.measured for part in parts)) - asked
        self.past: list[Moment] = []

    def note(self, now: int, heard: dict[str, Heard], absent: set[str]) -> None:
        when = self.when.ask(heard, now)
        clear = self.clear.ask(heard, now) if self.clear else None
        self.past.append(Moment(now, _truth(when), _truth(clear), bool(self._needs & absent)))

    @property
    def state(self) -> str:
        return naive.state(self.rule, self.clear is not None, self.past)

    @property
    def alerts(self) -> list[tuple[int, str]]:
        return naive.alerts(self.rule, self.clear is not None, self.past)


def _truth(value: float | bool | None) -> bool | None:
    assert value is None or isinstance(value, bool)
    return value


class Pair:
    """The engine with all rules of a site, and the reference."""

    def __init__(self, written: Written) -> None:
        self._statute = written.statute
        self._references = {device: Reference(written, device) for device in EACH_OF[written.each]}
        self._alerts: dict[str, list[tuple[int, str]]] = {}
        self._ahead_s = 0
        self._wall_step_s = 0.0
        self._absent: set[str] = set()
        self.now = 0
        self._begin()
        self._take([])

    def _begin(self) -> None:
        self._heard = {device: Heard() for device in DEVICES}
        self._spoke: set[str] = set()
        memory = Memory()
        book = Rulebook([self._statute], SITE)
        assert not book.mistakes
        self._watches = {
            watch.device if self._statute.each else "": watch.device for watch in book.watches(memory)
        }
        self._engine = Engine(book.watches(memory), self._stamp, heed=memory.heed)
        self._revision = -1

    @property
    def _stamp(self) -> Stamp:
        return Stamp(WALL_NS + round((self.now + self._wall_step_s) * 1e9), float(self.now + self._ahead_s))

    def live(self, second: Sequence[Says | Goes | Outage | Step]) -> None:
        self.now += 1
        self._pass()
        for event in second:
            match event:
                case Says(device, values, announced):
                    if announced:
                        self._goes(device, Presence.ONLINE, unproven=False)
                    self._heard[device].readings.append((self.now, values))
                    self._heard[device].stale = self._heard[device].offline = False
                    self._tell(Reading(at=self._stamp, device=device, values=values))
                case Goes(device, presence, unproven):
                    self._goes(device, presence, unproven=unproven)
                case Outage(seconds):
                    self._restart(seconds)
                case Step(seconds):
                    self._wall_step_s += seconds

    def compare(self) -> None:
        for device, reference in self._references.items():
            assert self._engine.state("r", self._watches[device]) == reference.state

    def compare_alerts(self) -> None:
        for device, reference in self._references.items():
            assert self._alerts.get(self._watches[device], []) == reference.alerts

    def _pass(self) -> None:
        self._note()
        self._take(self._engine.on_time(self._stamp))
        self.compare()

    def _goes(self, device: str, presence: Presence, *, unproven: bool) -> None:
        if not unproven:
            self._heard[device].stale = presence is not Presence.ONLINE
            self._heard[device].offline = presence is Presence.OFFLINE
        if presence is Presence.ONLINE:
            self._spoke.add(device)
            self._absent.discard(device)
        elif not unproven and (presence is Presence.STALE or device in self._spoke):
            self._absent.add(device)
        at = self._stamp
        self._tell(Availability(at=at, device=device, presence=presence, reason="", unproven=unproven))

    def _tell(self, event: Observation) -> None:
        self._note()
        self._take(self._engine.on_event(event))
        self.compare()

    def _restart(self, seconds: int) -> None:
        """Killed, so that what was written down last is all that is left."""
        self.now += seconds
        self._ahead_s = 1000 - 3 * self._ahead_s - self.now
        self._begin()
        self._take(self._engine.restore(orjson.loads(self._kept), self._stamp, self.now - self._kept_at))
        self._pass()

    def _note(self) -> None:
        for reference in self._references.values():
            reference.note(self.now, self._heard, self._absent)

    def _take(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            said = self._alerts.setdefault(alert.device, [])
            said.append((round(alert.at.mono) - self._ahead_s, alert.state.value))
        if self._engine.revision != self._revision:
            self._revision = self._engine.revision
            self._kept, self._kept_at = orjson.dumps(self._engine.export(self._stamp)), self.now


EACH_OF = {True: ("hall-1", "hall-2"), False: ("",)}


@pytest.mark.repetitive
@settings(max_examples=250)
@given(written=st.booleans().flatmap(lambda each: _written(each=each)), day=DAYS)
def test_rules_as_written_and_the_reference_are_of_one_mind_at_every_instant(
    written: Written, day: list[list[Says | Goes | Outage | Step]]
) -> None:
    pair = Pair(written)
    for second in day:
        pair.live(second)
    pair.live([])
    pair.compare_alerts()
