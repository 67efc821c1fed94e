"""The reference: what an alert's state is, found out anew from all that was ever heard."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.rules.rule import OnStale, Rule, State


class Moment(NamedTuple):
    at: int
    when: bool | None
    clear: bool | None
    absent: bool


def _heard(rule: Rule, has_clear: bool, moment: Moment, believed: bool) -> bool | None:
    """Whether, at this moment, all speaks for it that it fires; None: nothing is known."""
    when, clear = moment.when, moment.clear
    if moment.absent:
        when, clear = {
            OnStale.HOLD: (None, None), OnStale.FIRE: (True, False), OnStale.RESOLVE: (False, True),
        }[rule.on_stale]  # fmt: skip
    if believed and has_clear and when is not True:
        return None if clear is None else not clear
    return when


def _contrary(rule: Rule, has_clear: bool, past: Sequence[Moment], believed: bool) -> int | None:
    """Since when the contrary of what is believed is heard, at the end of this past."""
    since = None
    for moment in reversed(past):
        heard = _heard(rule, has_clear, moment, believed)
        if heard is believed:
            break
        if heard is not None:
            since = moment.at
    return since


def _changes(rule: Rule, has_clear: bool, past: Sequence[Moment]) -> list[int]:
    """The places in the past at which what is believed changed."""
    places: list[int] = []
    for place, moment in enumerate(past):
        believed = len(places) % 2 == 1
        if _heard(rule, has_clear, moment, believed) is not (not believed):
            continue
        since = _contrary(rule, has_clear, past[places[-1] + 1 if places else 0 : place + 1], believed)
        if since is not None and moment.at - since >= (rule.keep_for_s if believed else rule.for_s):
            places.append(place)
    return places


def _fires(rule: Rule, past: Sequence[Moment], changes: Sequence[int], place: int) -> bool:
    before = [past[each].at for each in changes if each <= place]
    if rule.flap:
        recent = [at for at in before if at > past[place].at - rule.flap.within_s]
        if len(recent) >= rule.flap.changes:
            return True
    return len(before) % 2 == 1


def state(rule: Rule, has_clear: bool, past: Sequence[Moment]) -> State:
    changes = _changes(rule, has_clear, past)
    believed = len(changes) % 2 == 1
    contrary = _contrary(rule, has_clear, past[changes[-1] + 1 if changes else 0 :], believed)
    if _fires(rule, past, changes, len(past) - 1):
        return State.FIRING if believed and contrary is None else State.RESOLVING
    return State.INACTIVE if contrary is None else State.PENDING


def alerts(rule: Rule, has_clear: bool, past: Sequence[Moment]) -> list[tuple[int, str]]:
    said: list[tuple[int, str]] = []
    changes = _changes(rule, has_clear, past)
    fired = False
    for place, moment in enumerate(past):
        fires = _fires(rule, past, changes, place)
        if fires is not fired:
            said.append((moment.at, "firing" if fires else "resolved"))
        elif fires and rule.repeat_s and moment.at - said[-1][0] >= rule.repeat_s:
            said.append((moment.at, "firing"))
        fired = fires
    return said
