"""When to tell what: alerts in, notices out, as Alertmanager groups and repeats them. Pure: time is passed in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from gateway.kept import span_or_none, text, texts
from gateway.model import Alert, AlertState, Stamp
from gateway.notify.notice import Notice, alert_of, plain

BY_ALERT = "..."
"""In `group_by`: no grouping, each alert is told by itself."""

SLACK_S = 1e-6
"""Far more than rounding costs, far less than anybody measures."""


class Key(NamedTuple):
    """What makes two alerts the same one."""

    rule: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    by: tuple[str, ...]
    """Labels that the alerts of a group have in common; `rule`, `device` and `severity` are labels, too."""
    wait_s: float
    """How long the first alert of a group waits for others."""
    interval_s: float
    """How often a group may tell what is new."""
    repeat_s: float
    """How often it tells what still fires; infinity: never."""
    resolved: bool = True
    """Whether it tells what has resolved."""


@dataclass(slots=True)
class _Group:
    labels: Mapping[str, str]
    due: float = inf
    """Infinite while it has nothing to tell."""
    alerts: dict[Key, Alert] = field(default_factory=dict)
    told_at: float | None = None
    told_firing: frozenset[Key] = frozenset()
    """What its receiver takes to be firing; what of it is not in `alerts` was withdrawn."""
    told_resolved: frozenset[Key] = frozenset()


class Grouping:
    """The alerts of one receiver.

    The first alert of a group opens it; after `wait_s` it is told with all that came meanwhile. From then on the
    group looks every `interval_s` whether there is something new to tell: an alert that fires, or one that has
    resolved; nothing new is told again after `repeat_s`, at the look that follows. An alert that came and went
    before its group was ever told is not told at all. A group without alerts is closed at its next look, so
    that one that flaps is told twice in `interval_s` at most.

    Source: Alertmanager, dispatch/dispatch.go (aggrGroup) and notify/notify.go (DedupStage.needsUpdate).
    """

    def __init__(self, rhythm: Rhythm, *, gateway: str) -> None:
        self._rhythm = rhythm
        self._gateway = gateway
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._homes: dict[Key, tuple[str, ...]] = {}
        """An alert stays in the group that it came into, whatever labels it has when it resolves."""

    @property
    def due(self) -> float:
        """The monotonic moment at which it wants a `tick`; infinity: none."""
        return min((group.due for group in self._groups.values()), default=inf)

    @property
    def firing(self) -> int:
        """Alerts in it that fire."""
        return sum(
            alert.state is AlertState.FIRING
            for group in self._groups.values()
            for alert in group.alerts.values()
        )

    def knows(self, rule: str, device: str) -> bool:
        """Whether this alert is to be told, or its end."""
        return Key(rule, device) in self._homes

    def take(self, alert: Alert, now: Stamp) -> None:
        """A change of an alert that is to be told; one that is pending is not."""
        if alert.state is AlertState.PENDING:
            return
        key = Key(alert.rule, alert.device)
        home = self._homes.get(key)
        if home is None:
            if alert.state is AlertState.RESOLVED:  # it was quiet all the time: nobody knows of its beginning
                return
            labels = self._labels(alert)
            home = tuple(labels.values())
            self._groups.setdefault(home, _Group(labels))
            self._homes[key] = home
        group = self._groups[home]
        group.alerts[key] = alert
        if group.due == inf:
            group.due = now.mono + self._rhythm.wait_s

    def withdraw(self, rule: str, device: str) -> None:
        """Acknowledged, silenced or inhibited: say no more of it, until it is taken again.

        Its end is still told, if its beginning was.
        """
        key = Key(rule, device)
        home = self._homes.get(key)
        if home is not None:
            group = self._groups[home]
            group.alerts.pop(key, None)
            self._settle(group, home)

    def tick(self, now: Stamp) -> Sequence[Notice]:
        """What is to be told by now."""
        notices: list[Notice] = []
        for home, group in list(self._groups.items()):
            if group.due > now.mono:
                continue
            if group.alerts:
                group.due = now.mono + self._rhythm.interval_s
                notices += self._told(group, now)
            else:
                group.due = inf
            self._settle(group, home)
        return notices

    def kept(self, now: float) -> dict[str, Any]:
        """All that it must remember over a restart, as plain data."""
        return {
            "by": list(self._rhythm.by),
            "groups": [
                {
                    "labels": dict(group.labels),
                    "due_s": None if group.due == inf else group.due - now,
                    "alerts": [plain(alert) for alert in group.alerts.values()],
                    "told_s": None if group.told_at is None else now - group.told_at,
                    "told_firing": [[*key] for key in sorted(group.told_firing)],
                    "told_resolved": [[*key] for key in sorted(group.told_resolved)],
                }
                for group in self._groups.values()
            ],
        }

    def restore(self, data: Mapping[str, Any], now: Stamp) -> None:
        """Go on where another one stood; the time between does not count, for nobody can be sure how long it was.

        If it grouped by other labels, what fires is grouped, and told, anew.
        Raises: KeyError, TypeError, ValueError, for what `kept` has not made.
        """
        groups = [_restored(each, now.mono) for each in data["groups"]]
        if tuple(data["by"]) != self._rhythm.by:
            for group in groups:
                for alert in group.alerts.values():
                    if alert.state is AlertState.FIRING:
                        self.take(alert, now)
            return
        for group in groups:
            home = tuple(group.labels.values())
            self._groups[home] = group
            for key in group.alerts.keys() | group.told_firing:
                self._homes[key] = home

    def _told(self, group: _Group, now: Stamp) -> Iterator[Notice]:
        """What is new, or fires for long enough to be told again; what has resolved is over with that."""
        firing = frozenset(key for key, alert in group.alerts.items() if alert.state is AlertState.FIRING)
        resolved = group.alerts.keys() - firing
        new = self._news(group, firing, resolved)
        due_again = group.told_at is not None and now.mono - group.told_at >= self._rhythm.repeat_s - SLACK_S
        if new or (firing and due_again):
            told = [alert for key, alert in group.alerts.items() if key in firing or self._rhythm.resolved]
            if told:
                yield Notice.of(self._gateway, group.labels, told, now, repeat=not new)
            group.told_at = now.mono
            group.told_firing |= firing
            group.told_resolved = frozenset(resolved)
        group.told_firing -= resolved
        for key in resolved:
            del group.alerts[key]

    def _news(self, group: _Group, firing: frozenset[Key], resolved: set[Key]) -> bool:
        if not firing <= group.told_firing:
            return True
        if not firing:
            return bool(group.told_firing & resolved)
        return self._rhythm.resolved and not resolved <= group.told_resolved

    def _settle(self, group: _Group, home: tuple[str, ...]) -> None:
        """Forget what nothing more can be said of."""
        for key in [key for key, place in self._homes.items() if place == home]:
            if key not in group.alerts and key not in group.told_firing:
                del self._homes[key]
        if group.due == inf and not group.alerts and not group.told_firing:
            del self._groups[home]

    def _labels(self, alert: Alert) -> dict[str, str]:
        own = {"rule": alert.rule, "device": alert.device, "severity": alert.severity}
        if BY_ALERT in self._rhythm.by:
            return {"rule": alert.rule, "device": alert.device}
        return {name: own.get(name, alert.labels.get(name, "")) for name in self._rhythm.by}


def _restored(data: Mapping[str, Any], now: float) -> _Group:
    due_s, told_s = span_or_none(data["due_s"]), span_or_none(data["told_s"])
    alerts = [alert_of(each) for each in data["alerts"]]
    return _Group(
        labels=texts(data["labels"]),
        due=inf if due_s is None else now + due_s,
        alerts={Key(alert.rule, alert.device): alert for alert in alerts},
        told_at=None if told_s is None else now - told_s,
        told_firing=frozenset(Key(*map(text, each)) for each in data["told_firing"]),
        told_resolved=frozenset(Key(*map(text, each)) for each in data["told_resolved"]),
    )
