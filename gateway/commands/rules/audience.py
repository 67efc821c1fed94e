"""Whom a rehearsal would tell, and when: the real grouping, on its time."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.alerting import QUIET
from gateway.config import Config
from gateway.model import Alert, AlertState, Stamp
from gateway.notify.delivery import grouping
from gateway.notify.notice import Notice


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

    def take(self, alert: Alert) -> Iterator[Told]:
        """What is told before this one, which is then on its way."""
        yield from self._tick(alert.at.mono, lambda due: due < alert.at.mono)
        for name in self._rules[alert.rule].notify:
            if alert.state is AlertState.FIRING and any(label in alert.labels for label in QUIET):
                self._groupings[name].withdraw(alert.rule, alert.device)
            else:
                self._groupings[name].take(alert, alert.at)

    def until(self, at: float) -> Iterator[Told]:
        """What is told by now."""
        return self._tick(at, lambda due: due <= at)

    def _tick(self, at: float, is_due: Callable[[float], bool]) -> Iterator[Told]:
        while self._groupings:
            name, group = min(self._groupings.items(), key=lambda each: each[1].due)
            if not is_due(group.due) or group.due > at:
                return
            moment = self._stamp(group.due)
            for notice in group.tick(moment):
                yield Told(moment, name, notice)
