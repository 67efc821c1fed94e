"""Alerts to tell."""

from collections.abc import Mapping

from gateway.model import Alert, AlertState, Stamp, Value

FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED

MORNING_NS = 1_795_370_400 * 10**9
"""2026-11-22, 18:00 UTC."""


def stamp(seconds: float) -> Stamp:
    return Stamp(MORNING_NS + int(seconds * 10**9), seconds)


def alert(
    device: str,
    state: AlertState = FIRING,
    *,
    rule: str = "hot",
    severity: str = "warning",
    value: Value | None = 85.25,
    message: str = "too hot",
    labels: Mapping[str, str] | None = None,
    since: Stamp | None = None,
) -> Alert:
    return Alert(
        at=stamp(0),
        rule=rule,
        device=device,
        state=state,
        since=since or stamp(0),
        value=value,
        severity=severity,
        message=message,
        labels=labels or {},
    )
