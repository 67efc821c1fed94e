"""What happens in a rehearsal, in words."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from gateway.alerting import QUIET
from gateway.commands.listing import plain
from gateway.commands.rules.audience import Deed, Told
from gateway.commands.rules.wording import value as written
from gateway.model import Availability, Value
from gateway.rules.rehearsal import FIRES, Change
from gateway.rules.rule import State


def clocked(seconds: float) -> str:
    """`1h2m3.5s`."""
    rest = Decimal(str(round(seconds, 3)))
    written = ""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        count, rest = divmod(rest, length)
        written += f"{count:f}{unit}" if count else ""
    return f"{written}{rest.normalize():f}s" if rest or not written else written


def named(rule: str, device: str) -> str:
    """As one may write it in a test."""
    return plain(f"{rule}/{device}" if device else rule)


def settings(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{plain(name)} = {plain(written(value))}" for name, value in values.items())


class Chronicle:
    def __init__(self) -> None:
        self._quiet: dict[tuple[str, str], str] = {}

    def line(self, what: Change | Availability | Told | Deed) -> str:
        match what:
            case Told():
                return f"{what.receiver} is told: {plain(what.notice.title)}"
            case Deed():
                return f"{what.device} is set by {what.rule}: {settings(what.set_)}"
            case Availability():
                return f"{what.device}: {what.presence}" + (f": {plain(what.reason)}" if what.reason else "")
            case Change():
                return f"{named(what.rule, what.device)}: {self._turn(what)}"

    def _turn(self, change: Change) -> str:
        alert, key = change.alert, (change.rule, change.device)
        if alert is None:
            return _SILENT.get((change.before, change.state), str(change.state))
        before = self._quiet.pop(key, "")
        if change.state not in FIRES:
            return "resolved" if change.state is State.INACTIVE else "resolved, and pending"
        quiet = ", ".join(f"{label} by {alert.labels[label]}" for label in QUIET if label in alert.labels)
        if quiet:
            self._quiet[key] = quiet
        if change.before not in FIRES:
            text = f"firing: {plain(alert.message)}"
            return f"{text} ({quiet})" if quiet else text
        if quiet != before:
            return quiet or "not quiet any more"
        return "told again"


_SILENT = {
    (State.PENDING, State.INACTIVE): "not pending any more",
    (State.RESOLVING, State.FIRING): "firing still, nobody is told",
}


def table(rows: Iterable[tuple[float, str]]) -> list[str]:
    shown = [(clocked(at), text) for at, text in rows]
    width = max((len(moment) for moment, _ in shown), default=0)
    return [f"{moment:>{width}}  {text}" for moment, text in shown]
