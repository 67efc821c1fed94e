import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import AlertState, Stamp
from gateway.notify.grouping import Grouping, Rhythm
from gateway.notify.notice import Notice
from tests.gateway.notify.alerts import FIRING, RESOLVED, alert, stamp

WAIT_S, INTERVAL_S, REPEAT_S = 30.0, 300.0, 3600.0


def rhythm(*by: str, wait_s: float = WAIT_S, repeat_s: float = REPEAT_S, resolved: bool = True) -> Rhythm:
    return Rhythm(by=by, wait_s=wait_s, interval_s=INTERVAL_S, repeat_s=repeat_s, resolved=resolved)


def grouping(*by: str, **settings: float) -> Grouping:
    return Grouping(rhythm(*(by or ("rule",)), **settings), gateway="greenhouse")  # type: ignore[arg-type]


def until(group: Grouping, end: float) -> list[tuple[float, Notice]]:
    """All that it tells up to then, each at its moment."""
    told: list[tuple[float, Notice]] = []
    while group.due <= end:
        moment = group.due
        told += [(moment, notice) for notice in group.tick(stamp(moment))]
    return told


def shown(notice: Notice) -> str:
    again = "still " if notice.repeat else ""
    return again + " ".join(f"{each.device}:{each.state}" for each in notice.alerts)


def told(group: Grouping, end: float) -> list[tuple[float, str]]:
    return [(moment, shown(notice)) for moment, notice in until(group, end)]


def test_first_alert_of_a_group_waits_for_others_and_takes_them_along() -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    group.take(alert("b"), stamp(20))
    assert group.due == 30
    assert told(group, 299) == [(30, "a:firing b:firing")]


def test_alert_that_comes_later_waits_for_the_next_look_of_its_group() -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    until(group, 30)
    group.take(alert("b"), stamp(31))
    assert told(group, 400) == [(330, "a:firing b:firing")]


def test_what_has_resolved_is_told_once_and_then_forgotten() -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    until(group, 30)
    group.take(alert("a", RESOLVED), stamp(40))
    assert told(group, 86_400) == [(330, "a:resolved")]
    assert (group.due, group.firing) == (inf, 0)


def test_alert_that_comes_and_goes_before_its_group_was_told_is_not_told() -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    group.take(alert("a", RESOLVED), stamp(10))
    assert told(group, 86_400) == []


def test_alert_that_only_began_to_wait_is_not_taken() -> None:
    group = grouping()
    group.take(alert("a", AlertState.PENDING), stamp(0))
    assert group.due == inf


def test_end_of_an_alert_nobody_knows_is_not_told() -> None:
    group = grouping()
    group.take(alert("a", RESOLVED), stamp(0))
    assert group.due == inf


def test_what_still_fires_is_told_again_after_the_repeat_interval() -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    assert told(group, 8000) == [(30, "a:firing"), (3630, "still a:firing"), (7230, "still a:firing")]


def test_never_repeats_without_a_repeat_interval() -> None:
    group = grouping(repeat_s=inf)
    group.take(alert("a"), stamp(0))
    assert told(group, 1e6) == [(30, "a:firing")]


def test_alert_that_flaps_is_told_once_in_each_interval_at_most() -> None:
    group = grouping()
    notices = []
    for change in range(1000):
        notices += told(group, change * 7)
        group.take(alert("a", RESOLVED if change % 2 else FIRING), stamp(change * 7))
    moments = [moment for moment, _ in notices]
    assert len(moments) > 5
    assert all(later - sooner >= INTERVAL_S for sooner, later in itertools.pairwise(moments))


def test_alerts_are_grouped_by_the_labels_that_were_named() -> None:
    group = grouping("site", "severity")
    group.take(alert("a", labels={"site": "north"}), stamp(0))
    group.take(alert("b", labels={"site": "south"}), stamp(0))
    group.take(alert("c", labels={"site": "north"}), stamp(0))
    group.take(alert("d", severity="critical", labels={"site": "north"}), stamp(0))
    group.take(alert("e"), stamp(0))
    notices = group.tick(stamp(30))
    assert {tuple(each.group.values()): shown(each) for each in notices} == {
        ("north", "warning"): "a:firing c:firing",
        ("south", "warning"): "b:firing",
        ("north", "critical"): "d:firing",
        ("", "warning"): "e:firing",
    }


def test_nothing_is_grouped_where_that_is_asked_for() -> None:
    group = grouping("...")
    group.take(alert("a"), stamp(0))
    group.take(alert("b"), stamp(0))
    group.take(alert("b", rule="other"), stamp(0))
    assert len(group.tick(stamp(30))) == 3


def test_without_labels_all_is_one_group() -> None:
    group = Grouping(rhythm(), gateway="greenhouse")
    group.take(alert("a"), stamp(0))
    group.take(alert("b", rule="other"), stamp(0))
    assert len(group.tick(stamp(30))) == 1


def test_end_of_an_alert_finds_its_group_although_a_label_has_changed() -> None:
    group = grouping("level")
    group.take(alert("a", labels={"level": "80"}), stamp(0))
    until(group, 30)
    group.take(alert("a", RESOLVED, labels={"level": "20"}), stamp(40))
    assert told(group, 3600) == [(330, "a:resolved")]


def test_receiver_that_wants_no_ends_hears_of_none_and_of_each_new_beginning() -> None:
    group = grouping(resolved=False)
    for moment, state in ((0, FIRING), (40, RESOLVED), (700, FIRING)):
        until(group, moment)
        group.take(alert("a", state), stamp(moment))
    assert told(group, 800) == [(730, "a:firing")]
    group.take(alert("b"), stamp(800))
    assert told(group, 1100) == [(1030, "a:firing b:firing")]
    group.take(alert("a", RESOLVED), stamp(1100))
    assert told(group, 1400) == []
    group.take(alert("a"), stamp(1400))
    assert told(group, 1700) == [(1630, "a:firing b:firing")]


def test_withdrawn_alert_is_not_repeated_and_its_end_is_told() -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    until(group, 30)
    group.withdraw("hot", "a")
    assert told(group, 50_000) == []
    group.take(alert("a", RESOLVED), stamp(50_000))
    assert told(group, 60_000) == [(50_030, "a:resolved")]
    assert group.due == inf


def test_end_of_a_withdrawn_alert_finds_its_group_although_a_label_has_changed() -> None:
    group = grouping("level")
    group.take(alert("a", labels={"level": "80"}), stamp(0))
    until(group, 30)
    group.withdraw("hot", "a")
    until(group, 1000)
    group.take(alert("a", RESOLVED, labels={"level": "20"}), stamp(1000))
    assert told(group, 2000) == [(1030, "a:resolved")]


def test_withdrawn_alert_that_was_never_told_leaves_without_a_word() -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    group.withdraw("hot", "a")
    group.withdraw("hot", "nobody knows it")
    group.take(alert("a", RESOLVED), stamp(10))
    assert told(group, 60_000) == []


@pytest.mark.parametrize("between", [31, 1000])
def test_end_of_an_alert_that_was_quiet_all_the_time_is_not_told_beside_others_of_its_group(
    between: float,
) -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    until(group, 30)
    group.take(alert("b", RESOLVED), stamp(between))
    assert told(group, 3600) == []


def test_others_of_a_group_are_still_told_when_one_is_withdrawn() -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    group.take(alert("b"), stamp(0))
    until(group, 30)
    group.withdraw("hot", "a")
    assert told(group, 4000) == [(3630, "still b:firing")]
    group.take(alert("a", RESOLVED), stamp(4000))
    assert told(group, 4500) == [(4230, "b:firing a:resolved")]


def test_wall_clock_changes_nothing() -> None:
    group = grouping()
    group.take(alert("a"), Stamp(10**18, 0.0))
    assert group.tick(Stamp(0, 29.0)) == []
    assert len(group.tick(Stamp(0, 30.0))) == 1


def restarted(group: Grouping, now: float, then: float, *by: str) -> Grouping:
    kept = orjson.loads(orjson.dumps(group.kept(now)))
    after = grouping(*by)
    after.restore(kept, stamp(then))
    return after


def test_restart_forgets_nothing_and_tells_nothing_twice() -> None:
    group = grouping()
    group.take(alert("a"), stamp(1000))
    group = restarted(group, 1010, 5)
    assert told(group, 299) == [(25, "a:firing")]
    group = restarted(group, 100, 7)
    assert told(group, 3000) == []
    group.take(alert("a", RESOLVED), stamp(3000))
    assert [what for _, what in told(group, 4000)] == ["a:resolved"]


def test_restart_keeps_what_was_withdrawn() -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    until(group, 30)
    group.withdraw("hot", "a")
    until(group, 400)
    group = restarted(group, 400, 0)
    group.take(alert("a", RESOLVED), stamp(0))
    assert told(group, 1000) == [(30, "a:resolved")]


def test_restart_with_other_groups_tells_what_fires_anew() -> None:
    group = grouping()
    group.take(alert("a"), stamp(0))
    group.take(alert("b"), stamp(0))
    until(group, 30)
    group.take(alert("b", RESOLVED), stamp(40))
    assert told(restarted(group, 50, 0, "device"), 3000) == [(30, "a:firing")]


@pytest.mark.parametrize("damage", [{}, {"by": ["rule"], "groups": [{}]}, {"by": 7, "groups": []}])
def test_damaged_state_is_refused_and_changes_nothing(damage: dict[str, object]) -> None:
    group = grouping()
    with pytest.raises((KeyError, TypeError, ValueError)):
        group.restore(damage, stamp(0))
    assert group.due == inf


# A second opinion: Alertmanager's rules, as its source has them, looked at once a second.


@dataclass
class Naive:
    """One group."""

    alerts: dict[str, AlertState] = field(default_factory=dict)
    open: bool = False
    next_flush: int = 0
    entry: tuple[set[str], set[str], int] | None = None
    """What was notified last: firing, resolved, when."""

    def take(self, device: str, state: AlertState, now: int) -> None:
        if state is RESOLVED and device not in self.alerts:
            return  # it was silenced until now, and Alertmanager takes resolved alerts for silenced, too
        if not self.open:
            self.open, self.next_flush = True, now + int(WAIT_S)
        self.alerts[device] = state

    def second(self, now: int) -> Iterator[tuple[int, set[str], set[str]]]:
        if not self.open or now < self.next_flush:
            return
        self.next_flush = now + int(INTERVAL_S)
        if not self.alerts:
            self.open = False
            return
        firing = {each for each, state in self.alerts.items() if state is FIRING}
        resolved = set(self.alerts) - firing
        if self.needs_update(firing, resolved, now):
            self.entry = (firing, resolved, now)
            yield now, firing, resolved
        for each in resolved:
            del self.alerts[each]

    def needs_update(self, firing: set[str], resolved: set[str], now: int) -> bool:
        if self.entry is None:
            return bool(firing)
        if firing - self.entry[0]:
            return True
        if not firing:
            return bool(self.entry[0])
        if resolved - self.entry[1]:
            return True
        return now - self.entry[2] >= REPEAT_S


CHANGES = st.lists(
    st.tuples(st.integers(1, 700), st.sampled_from("abc"), st.sampled_from([FIRING, RESOLVED])), max_size=30
)


@given(CHANGES)
def test_tells_what_alertmanager_would_tell(changes: Sequence[tuple[int, str, AlertState]]) -> None:
    ours, naive = grouping(), Naive()
    heard: list[tuple[float, set[str], set[str]]] = []
    expected: list[tuple[int, set[str], set[str]]] = []
    now = 0
    for pause, device, state in [*changes, (9000, "", FIRING)]:
        for second in range(now + 1, now + pause + 1):
            expected += naive.second(second)
        for moment, notice in until(ours, now + pause):
            states = {each.device: each.state for each in notice.alerts}
            firing = {each for each, its in states.items() if its is FIRING}
            heard.append((moment, firing, states.keys() - firing))
        now += pause
        if device:
            ours.take(alert(device, state), stamp(now))
            naive.take(device, state, now)
    assert heard == expected
