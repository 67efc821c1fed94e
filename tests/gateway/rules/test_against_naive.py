"""The engine, which remembers as little as it can, beside a reference that remembers all and is asked all anew."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Alert, Availability, Presence, Reading, Stamp
from gateway.rules.engine import Engine
from gateway.rules.rule import Flap, OnStale, Rule, Watch
from tests.gateway.rules import naive
from tests.gateway.rules.naive import Moment
from tests.gateway.rules.stage import WALL_NS, Told, Values

TRUTHS = st.sampled_from([True, True, True, False, False, None, None])
SECONDS = st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.0])


@dataclass(frozen=True)
class Second:
    """What happens in one second."""

    said: tuple[bool | None, bool | None] | None
    """A reading, and what both conditions are with it."""
    absent: bool | None
    """The device goes quiet, or comes back."""
    outage_s: int
    """The gateway stops before it, for so long."""
    wall_step_s: float
    """Somebody sets the clock."""


RULES = st.builds(
    Rule,
    name=st.just("r"),
    for_s=SECONDS,
    keep_for_s=SECONDS,
    on_stale=st.sampled_from(OnStale),
    flap=st.none() | st.builds(Flap, st.integers(2, 4), st.sampled_from([4.0, 9.0])),
    repeat_s=st.sampled_from([None, 3.0]),
)
DAYS = st.lists(
    st.builds(
        Second,
        said=st.none() | st.tuples(TRUTHS, TRUTHS),
        absent=st.sampled_from([None, None, None, None, True, False]),
        outage_s=st.sampled_from([0] * 12 + [1, 2, 7]),
        wall_step_s=st.sampled_from([0.0] * 6 + [3600.0, -3600.0]),
    ),
    max_size=30,
)


def _truth(value: object) -> object:
    return None if value == "unknown" else value


class Pair:
    """An engine and all that it was ever told."""

    def __init__(self, rule: Rule, *, has_clear: bool) -> None:
        self.past: list[Moment] = []
        self.alerts: list[tuple[int, str]] = []
        self._rule = rule
        self._has_clear = has_clear
        self._ahead_s = 0
        """How far the engine's monotonic clock is from that of the test: each start of the machine has its own."""
        self._wall_step_s = 0.0
        self._absent = False
        self._begin(0)
        self._hear(0, [])

    def _begin(self, now: int) -> None:
        values = Values()
        when = Told(values, "d.w", _truth)  # type: ignore[arg-type]  # unknown is not a bool
        clear = Told(values, "d.c", _truth) if self._has_clear else None  # type: ignore[arg-type]
        devices = frozenset({"d"})
        watch = Watch(rule=self._rule, when=when, clear=clear, device="d", devices=devices, needs=devices)
        self.engine = Engine([watch], self._stamp(now), heed=values.heed)
        self._told: tuple[bool | None, bool | None] = (None, None)
        self._revision = -1

    def _stamp(self, now: int) -> Stamp:
        return Stamp(WALL_NS + round((now + self._wall_step_s) * 1e9), float(now + self._ahead_s))

    def restart(self, now: int) -> None:
        """Killed, so that what was written down last is all that is left."""
        self._ahead_s = 1000 - 3 * self._ahead_s - now
        self._begin(now)
        self._hear(now, self.engine.restore(orjson.loads(self._kept), self._stamp(now), now - self._kept_at))

    def set_clock(self, step_s: float) -> None:
        self._wall_step_s += step_s

    def wait(self, now: int, *, awake: bool) -> None:
        self._note(now)
        if awake:
            self._hear(now, self.engine.on_time(self._stamp(now)))

    def presence(self, now: int, *, absent: bool) -> None:
        presence = Presence.STALE if absent else Presence.ONLINE
        self._absent = absent
        self._note(now)
        event = Availability(at=self._stamp(now), device="d", presence=presence, reason="")
        self._hear(now, self.engine.on_event(event))

    def reading(self, now: int, told: tuple[bool | None, bool | None]) -> None:
        self._told = told
        self._note(now)
        w, c = ("unknown" if each is None else each for each in told)
        event = Reading(at=self._stamp(now), device="d", values={"w": w, "c": c})
        self._hear(now, self.engine.on_event(event))

    def compare(self) -> None:
        assert self.engine.state("r", "d") is naive.state(self._rule, self._has_clear, self.past)

    def compare_alerts(self) -> None:
        assert self.alerts == naive.alerts(self._rule, self._has_clear, self.past)

    def _note(self, now: int) -> None:
        self.past.append(Moment(now, *self._told, self._absent))

    def _hear(self, now: int, alerts: Sequence[Alert]) -> None:
        self.alerts += [(round(alert.at.mono) - self._ahead_s, alert.state.value) for alert in alerts]
        if self.engine.revision != self._revision:
            self._revision = self.engine.revision
            self._kept, self._kept_at = orjson.dumps(self.engine.export(self._stamp(now))), now


@pytest.mark.repetitive
@settings(max_examples=1000)
@given(rule=RULES, has_clear=st.booleans(), day=DAYS, awake=st.booleans())
def test_engine_and_reference_are_of_one_mind_at_every_instant(
    rule: Rule, has_clear: bool, day: list[Second], awake: bool
) -> None:
    pair = Pair(rule, has_clear=has_clear)
    now = 0
    for second in day:
        if second.outage_s:
            pair.wait(now, awake=True)
            pair.restart(now + second.outage_s)
            now += second.outage_s
        else:
            now += 1
        pair.set_clock(second.wall_step_s)
        pair.wait(now, awake=awake or bool(second.outage_s))
        if second.absent is not None:
            pair.presence(now, absent=second.absent)
        if second.said is not None:
            pair.reading(now, second.said)
        if awake or second.said is not None or second.absent is not None:
            pair.compare()
    pair.wait(now, awake=True)
    pair.compare_alerts()
