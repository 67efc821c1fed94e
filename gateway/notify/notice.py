"""What a receiver is told at once: the alerts of one group, in words and as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import uuid4

from gateway.kept import number, text, texts, truth, value
from gateway.model import Alert, AlertState, Stamp, Value

MOST_LISTED = 50
"""Alerts that a notice lists; of more it has the number only: a hall of dead sensors must not fill the memory."""

MOST_LINES = 10
"""Alerts that its text names one by one."""

_WORST_FIRST = ("critical", "error", "warning", "info")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    gateway: str
    group: Mapping[str, str]
    """The labels that its alerts have in common, those of `group_by`."""
    at: Stamp
    alerts: tuple[Alert, ...]
    """The firing ones first, the worst first; at most `MOST_LISTED`."""
    firing: int
    resolved: int
    repeat: bool = False
    """Nothing is new: it still fires."""
    id: str = field(default_factory=lambda: uuid4().hex)
    """Stays the same however often it is sent: whoever drops repeats hears it once."""

    @classmethod
    def of(
        cls, gateway: str, group: Mapping[str, str], alerts: list[Alert], at: Stamp, *, repeat: bool
    ) -> Self:
        firing = sum(alert.state is AlertState.FIRING for alert in alerts)
        return cls(
            gateway=gateway,
            group=group,
            at=at,
            alerts=tuple(sorted(alerts, key=_place)[:MOST_LISTED]),
            firing=firing,
            resolved=len(alerts) - firing,
            repeat=repeat,
        )

    @property
    def state(self) -> AlertState:
        """Firing as long as one of them is."""
        return AlertState.FIRING if self.firing else AlertState.RESOLVED

    @property
    def severity(self) -> str:
        """The worst of those that fire; of all of them, when none does."""
        return self.alerts[0].severity

    @property
    def more(self) -> int:
        """Alerts that are not listed."""
        return self.firing + self.resolved - len(self.alerts)

    @property
    def title(self) -> str:
        """`greenhouse: critical: overheat, boiler` · `greenhouse: critical: 3 firing, 1 resolved: overheat`."""
        again = "still " if self.repeat else ""
        if self.firing + self.resolved > 1:
            counts = [f"{again}{self.firing} firing"] if self.firing else []
            counts += [f"{self.resolved} resolved"] if self.resolved else []
            rules = list(dict.fromkeys(alert.rule for alert in self.alerts))
            # A title is one line on a phone.
            about = ", ".join(rules[:3]) + (", …" if len(rules) > 3 else "")  # noqa: PLR2004
            what = f"{', '.join(counts)}: {about}"
        else:
            [alert] = self.alerts
            what = f"{alert.rule}, {alert.device}" if alert.device else alert.rule
            what = f"still firing: {what}" if self.repeat else what
        mark = self.severity if self.firing else "resolved"
        return f"{self.gateway}: {mark}: {what}"

    @property
    def text(self) -> str:
        """A line for each alert, then how many more there are."""
        shown = self.alerts[:MOST_LINES]
        firing = self.firing - sum(alert.state is AlertState.FIRING for alert in shown)
        resolved = self.resolved - len(shown) + self.firing - firing
        lines = [_line(alert) for alert in shown]
        if more := [f"{n} {word}" for n, word in ((firing, "firing"), (resolved, "resolved")) if n]:
            lines.append(f"and {' and '.join(more)} more")
        return "\n".join(lines)


def plain(alert: Alert) -> dict[str, Any]:
    """An alert as data for a file. The monotonic clock means nothing to another boot, and stays behind."""
    return {
        "at": [alert.at.wall_ns, alert.at.synchronised],
        "rule": alert.rule,
        "device": alert.device,
        "state": str(alert.state),
        "since": [alert.since.wall_ns, alert.since.synchronised],
        "value": alert.value,
        "severity": alert.severity,
        "message": alert.message,
        "labels": dict(alert.labels),
    }


def alert_of(data: Mapping[str, Any]) -> Alert:
    """Raises: KeyError, TypeError, ValueError, for what `plain` has not made."""
    return Alert(
        at=_stamp(data["at"]),
        rule=text(data["rule"]),
        device=text(data["device"]),
        state=AlertState(data["state"]),
        since=_stamp(data["since"]),
        value=None if data["value"] is None else value(data["value"]),
        severity=text(data["severity"]),
        message=text(data["message"]),
        labels=texts(data["labels"]),
    )


def plain_notice(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "gateway": notice.gateway,
        "group": dict(notice.group),
        "at": [notice.at.wall_ns, notice.at.synchronised],
        "alerts": [plain(alert) for alert in notice.alerts],
        "firing": notice.firing,
        "resolved": notice.resolved,
        "repeat": notice.repeat,
    }


def notice_of(data: Mapping[str, Any]) -> Notice:
    """Raises: KeyError, TypeError, ValueError, for what `plain_notice` has not made."""
    alerts = tuple(alert_of(each) for each in data["alerts"])
    firing, resolved = number(data["firing"]), number(data["resolved"])
    if not alerts or min(firing, resolved) < 0 or firing + resolved < len(alerts):
        raise ValueError("a notice of nothing, or of fewer than it lists")
    return Notice(
        id=text(data["id"]),
        gateway=text(data["gateway"]),
        group=texts(data["group"]),
        at=_stamp(data["at"]),
        alerts=alerts,
        firing=firing,
        resolved=resolved,
        repeat=truth(data["repeat"]),
    )


def _stamp(data: Any) -> Stamp:
    wall_ns, synchronised = data
    return Stamp(number(wall_ns), 0.0, truth(synchronised))


def rank(severity: str) -> int:
    """0 is the worst; a severity of somebody's own is taken for a warning."""
    known = severity if severity in _WORST_FIRST else "warning"
    return _WORST_FIRST.index(known)


def _place(alert: Alert) -> tuple[bool, int, int, str, str]:
    resolved = alert.state is not AlertState.FIRING
    return resolved, rank(alert.severity), alert.since.wall_ns, alert.rule, alert.device


def _line(alert: Alert) -> str:
    state = "firing" if alert.state is AlertState.FIRING else "resolved"
    since = (_EPOCH + timedelta(seconds=alert.since.wall_ns // 10**9)).strftime("%Y-%m-%d %H:%M:%S UTC")
    doubt = "" if alert.since.synchronised else " (clock not set)"
    name = f"{alert.rule}, {alert.device}" if alert.device else alert.rule
    value = "" if alert.value is None else f", value {_shown(alert.value)}"
    message = f": {alert.message}" if alert.message else ""
    return f"[{alert.severity}] {name}{message} ({state} since {since}{doubt}{value})"


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
