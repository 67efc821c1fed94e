"""Whom a rehearsal would tell, and when: the real grouping, on its time; and what would be set."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from gateway.alerting import QUIET
from gateway.config import Config
from gateway.model import Alert, AlertState, Stamp, Value
from gateway.notify.delivery import grouping
from gateway.notify.notice import Notice
from gateway.rules.names import THIS
from gateway.rules.rehearsal import FIRES, SLACK_S, Change, Happening


class Told(NamedTuple):
    at: Stamp
    receiver: str
    notice: Notice


class Deed(NamedTuple):
    """What a rule sets."""

    at: Stamp
    rule: str
    device: str
    set_: Mapping[str, Value]


def deeds(config: Config, what: Happening) -> Iterator[Deed]:
    """Of an alert that fires now: not again when it is told of again, and whoever wants quiet."""
    if isinstance(what, Change) and what.state in FIRES and what.before not in FIRES:
        for action in config.rules[what.rule].do:
            device = what.device if action.device == THIS else action.device
            yield Deed(what.at, what.rule, device, action.set_)


class Audience:
    """Everybody takes what they are told at once."""

    def __init__(self, config: Config, stamp: Callable[[float], Stamp]) -> None:
        self._rules = config.rules
        self._stamp = stamp
        self._groupings = {
            name: grouping(options, gateway=config.gateway.name) for name, options in config.notify.items()
        }

    def note(self, what: Happening) -> Iterator[Told]:
        """What is told before this happens; an alert is then on its way."""
        yield from self._tick(lambda due: due < what.at.mono - SLACK_S)
        if isinstance(what, Change) and what.alert is not None:
            self._take(what.alert)

    def until(self, at: float) -> Iterator[Told]:
        """What is told by now."""
        return self._tick(lambda due: due <= at + SLACK_S)

    def _tick(self, is_due: Callable[[float], bool]) -> Iterator[Told]:
        while self._groupings:
            name, group = min(self._groupings.items(), key=lambda each: each[1].due)
            if not is_due(group.due):
                return
            moment = self._stamp(group.due)
            for notice in group.tick(moment):
                yield Told(moment, name, notice)

    def _take(self, alert: Alert) -> None:
        for name in self._rules[alert.rule].notify:
            if alert.state is AlertState.FIRING and any(label in alert.labels for label in QUIET):
                self._groupings[name].withdraw(alert.rule, alert.device)
            else:
                self._groupings[name].take(alert, alert.at)
