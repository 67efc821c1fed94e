"""Rules at work: what they find is published, told, logged and remembered."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway import wire
from gateway.bus import EventBus, Overflow, Subscription
from gateway.config import Config
from gateway.journal.journal import Journal
from gateway.journal.opening import boot_id
from gateway.model import Alert, AlertState, Clock, Observation
from gateway.notify.delivery import outbox
from gateway.notify.notice import alert_of, plain
from gateway.notify.outbox import Outbox
from gateway.pacing.backoff import Backoff
from gateway.publish.topics import safe
from gateway.remembrance import Memento, Remembrance
from gateway.rules.engine import ACKNOWLEDGED, INHIBITED, SILENCED
from gateway.rules.judge import Judge
from gateway.rules.rulebook import Rulebook
from gateway.supervisor import Child, Supervisor

log = logging.getLogger(__name__)

MAILBOX = 64
QUIET = (ACKNOWLEDGED, SILENCED, INHIBITED)
LATE_S = 5.0
RETRY = 1.0, 60.0
"""Seconds after which an outbox that met a bug of ours is run again: first, at most."""


class Alerting:
    def __init__(self, config: Config, book: Rulebook, bus: EventBus, journal: Journal, clock: Clock) -> None:
        self._config = config
        self._book = book
        self._bus = bus
        self._journal = journal
        self._clock = clock
        self._unsaid: list[Alert] = []
        """Given out by the engine, and not yet in the journal."""
        self._late: dict[str, Alert] = {}
        """By topic, of these the ones that the journal had no room for."""
        path = None if config.journal.in_memory else beside(config.journal.path)
        self._remembrance = Remembrance(path, boot_id(), clock, self._parts)
        self._begin()
        if (memento := self._remembrance.found()) is not None:
            try:
                self._restore(memento)
            except (KeyError, TypeError, ValueError) as error:
                self._remembrance.set_aside(error)
                self._begin()
        self._notifiers = Supervisor()

    def observations(self) -> Subscription[Observation]:
        return self._bus.subscribe(Observation, name="rules", capacity=MAILBOX, overflow=Overflow.WAIT)

    def alerts(self) -> Subscription[Alert]:
        return self._bus.subscribe(Alert, name="alerts", capacity=MAILBOX, overflow=Overflow.WAIT)

    async def judge(self, observations: Subscription[Observation]) -> None:
        """Until the mailbox ends."""
        for alert in [*self._unsaid]:
            await self._bus.publish(alert)
        await self.ruling.run(observations)

    async def hand_on(self, alerts: Subscription[Alert]) -> None:
        """Until the bus is closed: into the journal, which no outage empties, and to the receivers."""
        async for alert in alerts:
            _log(alert)
            self._tell(alert)
            await self._publish(alert)
            self._remembrance.note(weighty=True)
        await self._publish_late()

    async def notify(self) -> None:
        """Until each outbox has ended."""
        await self._notifiers.run(
            Child(name=f"notify {each.name}", run=each.run, restart=Backoff(*RETRY))
            for each in self.outboxes.values()
        )

    async def remember(self) -> None:
        """Endless."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._remembrance.run(), name="what rules remember")
            group.create_task(self._catch_up(), name="late alerts")

    def end(self) -> None:
        """What waits to be told is tried once more; what is left is remembered."""
        for each in self.outboxes.values():
            each.end()
        self._notifiers.hasten()

    async def last_word(self) -> None:
        self._remembrance.note(weighty=True)
        await self._remembrance.write()

    def counters(self) -> Mapping[str, Any]:
        """How many fire and wait, what could not be known of rules, and what became of the notifications."""
        standing = self.ruling.engine.standing()
        unknown: dict[str, dict[str, int]] = {}
        for watch in self.ruling.watches:
            counts = unknown.setdefault(watch.rule.name, {})
            for why, count in getattr(watch.when, "unknown", {}).items():
                counts[why.value] = counts.get(why.value, 0) + count
        return {
            "firing": sum(each.state is AlertState.FIRING for each in standing),
            "pending": sum(each.state is AlertState.PENDING for each in standing),
            "unknown": {name: counts for name, counts in unknown.items() if counts},
            "notify": {name: each.counters() for name, each in self.outboxes.items()},
        }

    def _begin(self) -> None:
        self.ruling = Judge(self._book, self._bus, self._clock, changed=self._changed, given_out=self._unsaid)
        self.outboxes: Mapping[str, Outbox] = {
            name: outbox(
                name, options, gateway=self._config.gateway.name, clock=self._clock, changed=self._weighty
            )
            for name, options in self._config.notify.items()
        }

    def _restore(self, memento: Memento) -> None:
        parts = memento.parts
        unsaid = [alert_of(each) for each in parts["unsaid"]]
        for name, kept in parts["notify"].items():
            if name in self.outboxes:
                self.outboxes[name].restore(kept)
            else:
                log.warning("notify %s: is not configured any more; what it had to tell is dropped", name)
        gone = self.ruling.engine.restore(parts["rules"], self._clock(), memento.outage_s)
        self._unsaid += [*unsaid, *gone]

    def _parts(self) -> Mapping[str, Any]:
        return {
            "rules": self.ruling.engine.export(self._clock()),
            "unsaid": [plain(each) for each in self._unsaid],
            "notify": {name: each.kept() for name, each in self.outboxes.items()},
        }

    async def _publish(self, alert: Alert) -> None:
        topic = self._topic(alert)
        older = self._late.pop(topic, None)
        if older is not None and older is not alert:
            self._unsaid.remove(older)
        if self._journal.urgent_full:  # of each alert the newest state must not be lost
            self._late[topic] = alert
            return
        await self._journal.append_urgent(topic, wire.encode_alert(alert))
        self._unsaid.remove(alert)

    async def _publish_late(self) -> None:
        for alert in [*self._late.values()]:
            await self._publish(alert)

    async def _catch_up(self) -> None:
        while True:
            await asyncio.sleep(LATE_S)
            await self._publish_late()

    def _changed(self) -> None:
        self._remembrance.note(weighty=False)

    def _weighty(self) -> None:
        self._remembrance.note(weighty=True)

    def _topic(self, alert: Alert) -> str:
        """Below `alerts/`: one for each rule, and each device of a rule for several."""
        rule = self._config.rules.get(alert.rule)
        several = rule is not None and rule.each is not None
        return f"alerts/{safe(alert.rule)}/{safe(alert.device)}" if several else f"alerts/{safe(alert.rule)}"

    def _tell(self, alert: Alert) -> None:
        for each in self._receivers(alert):
            if alert.state is AlertState.FIRING and any(label in alert.labels for label in QUIET):
                each.withdraw(alert.rule, alert.device)
            else:
                each.take(alert)

    def _receivers(self, alert: Alert) -> Iterable[Outbox]:
        rule = self._config.rules.get(alert.rule)
        if rule is None:  # it is gone, and whoever was told of it is told of its end
            return self.outboxes.values()
        return [self.outboxes[name] for name in rule.notify]


def beside(journal: Path) -> Path:
    """Where rules remember, for a gateway with this journal."""
    return journal.with_name(f"{journal.name}-rules.json")


def _log(alert: Alert) -> None:
    name = f"{alert.rule} ({alert.device})" if alert.device else alert.rule
    quiet = "".join(f", {label} by {alert.labels[label]}" for label in QUIET if label in alert.labels)
    if alert.state is AlertState.FIRING:
        level = logging.INFO if quiet else logging.WARNING
        log.log(level, "alert %s: firing%s: %s", name, quiet, alert.message)
    else:
        log.info("alert %s: %s%s", name, alert.state, quiet)
