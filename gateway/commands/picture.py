"""What a running gateway says of itself, in a few words each: for `status` and `top`.

Everything that comes from elsewhere is `plain`: instruments choose names and texts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.commands.listing import plain, span
from gateway.rules.engine import ACKNOWLEDGED, INHIBITED, SILENCED

Told = Mapping[str, Any]
"""What the verb `overview` or `alert/list` answers, or a part of it."""

ONLINE = "online"

_QUIET = {ACKNOWLEDGED: "acknowledged by", SILENCED: "silenced by", INHIBITED: "inhibited by"}
_OFTEN = 10.0
"""Readings a second from which on a tenth of one says nothing."""
_SELDOM = 0.1
"""Readings a second below which they are counted by the minute."""
_MINUTE_S = 60.0
_SOON_S = 10.0


def rate(device: Told) -> str:
    per_second = device["rate"]
    if per_second >= _OFTEN:
        return f"{per_second:.0f}/s"
    if per_second >= _SELDOM:
        return f"{per_second:.1f}/s"
    return f"{per_second * 60:.1f}/min" if per_second else "-"


def age(device: Told) -> str:
    seconds = device["age_s"]
    if seconds is None:
        return "never"
    return f"{seconds:.1f}s" if seconds < _SOON_S else span(seconds)


def broken(device: Told) -> int:
    return sum(device["rejected"].values())


def reason(device: Told) -> str:
    """Why it is not online; empty if it is."""
    if device["state"] == ONLINE:
        return ""
    return plain(device.get("reason") or "nothing has been heard of it yet")


def value(metric: Told) -> str:
    """With its unit."""
    now = metric["value"]
    said = f"{now:.6g}" if isinstance(now, float) else plain(now)
    return f"{said} {plain(metric['unit'])}".rstrip()


def values(device: Told) -> str:
    return "  ".join(f"{plain(metric['name'])} {value(metric)}" for metric in device["metrics"])


def broker(told: Told) -> str:
    state = "connected" if told["connected"] else "not connected"
    waiting = f", {told['waiting']} waiting" if told["waiting"] else ""
    lost = "".join(
        f", {told[key]} {words}"
        for key, words in (("set_aside", "set aside"), ("evicted", "lost"))
        if told[key]
    )
    return f"{plain(told['name'])} {state}{waiting}{lost}"


def journal(told: Told) -> str:
    where = "in memory" if told["path"] is None else f"{told['used']:.0%} of its room"
    return f"{where}, in trouble: {plain(told['trouble'])}" if told["trouble"] else where


def alert_name(alert: Told) -> str:
    return ", ".join(plain(each) for each in (alert["rule"], alert["device"]) if each)


def quiet(alert: Told) -> str:
    """Who keeps it quiet; empty if nobody does."""
    labels = alert["labels"]
    return plain(", ".join(f"{words} {labels[name]}" for name, words in _QUIET.items() if name in labels))


def fires(alert: Told) -> bool:
    return bool(alert["state"] == "firing")


def problems(overview: Told, alerts: list[Told]) -> Iterator[str]:
    """All that somebody should look at."""
    for each in overview["brokers"]:
        if not each["connected"]:
            yield f"broker {broker(each)}"
    if overview["journal"]["trouble"]:
        yield f"journal {journal(overview['journal'])}"
    for device in overview["devices"]:
        if device["state"] != ONLINE:
            yield f"{plain(device['name'])} is {plain(device['state'])}: {reason(device)}"
    for alert in alerts:
        if fires(alert) and not quiet(alert):
            yield f"alert {alert_name(alert)}: {plain(alert['message'])}"
