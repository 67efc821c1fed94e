"""Whom a rehearsal would tell, and when: the real grouping, on its time."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.alerting import QUIET
from gateway.config import Config
from gateway.model import Alert, AlertState, Stamp
from gateway.notify.delivery import grouping
from gateway.notify.notice import Notice
from gateway.rules.rehearsal import SLACK_S, Change, Happening


class Told(NamedTuple):
    at: Stamp
    receiver: str
    notice: Notice


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
