"""Rules at work: what they find is published, told, logged and remembered."""

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway import wire
from gateway.actions import Actions, Write
from gateway.bus import EventBus, Overflow, Subscription
from gateway.config import Config, RuleOptions
from gateway.config.actions import Action
from gateway.journal.journal import Journal
from gateway.journal.opening import boot_id
from gateway.kept import text
from gateway.logs import MessageId, about
from gateway.model import Alert, AlertState, Availability, Clock, Observation
from gateway.notify.notice import alert_of, plain
from gateway.notify.receivers import Receivers
from gateway.pacing.backoff import Backoff
from gateway.publish.topics import safe
from gateway.remembrance import Memento, Remembrance
from gateway.rules.desk import Desk
from gateway.rules.engine import ACKNOWLEDGED, INHIBITED, SILENCED
from gateway.rules.judge import Judge
from gateway.rules.rulebook import Rulebook
from gateway.supervisor import Child, Supervisor

log = logging.getLogger(__name__)

MAILBOX = 64
ALERTS_MAILBOX = 1024
"""They wait for the disk, and no reading is to wait for them."""
QUIET = (ACKNOWLEDGED, SILENCED, INHIBITED)
ACTIONS_S = 1.0
"""So long devices may take for what rules tell them when the gateway is stopped; the rest is done after its start."""
MOST_SAID = 1000
NOTHING = b""
"""As a retained message: there is none any more."""
LATE_S = 5.0
RETRY = 1.0, 60.0
"""Seconds after which an outbox that met a bug of ours is run again: first, at most."""


class Alerting:
    def __init__(
        self, config: Config, book: Rulebook, bus: EventBus, journal: Journal, clock: Clock, *, write: Write
    ) -> None:
        """`write`: sets a metric of a device, for what rules do."""
        self._config = config
        self._book = book
        self._bus = bus
        self._journal = journal
        self._clock = clock
        self._write = write
        self._rules = _enabled(config)
        self._unsaid: list[Alert] = []
        """Given out by the engine, and not yet in the journal."""
        self._late: dict[str, Alert] = {}
        """By topic, of these the ones that the journal had no room for."""
        self._said: deque[tuple[int, Alert]] = deque(maxlen=MOST_SAID)
        """The last ones in the journal, each with its offset there: a power cut may take them."""
        self._topics: dict[tuple[str, str], str] = {}
        """Where the retained messages are of what fires, by rule and device: the rule may be gone when its end is
        in the journal."""
        self._spoken: set[str] = set()
        """Topics at which an alert stands, over or not."""
        self._uncleared = False
        """Nothing is to stand at some of them, and the journal has no room for that."""
        path = None if config.journal.in_memory else beside(config.journal.path)
        self._remembrance = Remembrance(path, boot_id(), clock, self._parts)
        self._begin()
        if (memento := self._remembrance.found()) is not None:
            try:
                self._restore(memento)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self._remembrance.set_aside(error)
                self._begin()

    @property
    def remembrance(self) -> Remembrance:
        return self._remembrance

    def start(self, group: asyncio.TaskGroup) -> None:
        """Hear what is published from now on. It ends with the five `finish…`, in their order."""
        observations = self._bus.subscribe(
            Observation, name="rules", capacity=MAILBOX, overflow=Overflow.WAIT
        )
        alerts = self._bus.subscribe(Alert, name="alerts", capacity=ALERTS_MAILBOX, overflow=Overflow.WAIT)
        self._observations = observations
        self._judging = group.create_task(self._judge(observations), name="rules")
        self._handing = group.create_task(self._hand_on(alerts), name="alerts")
        self._acting = group.create_task(self._act_on(), name="actions")
        self._notifying = group.create_task(self.receivers.run(), name="notifications")
        self._remembering = [
            group.create_task(self._remembrance.run(), name="what rules remember"),
            group.create_task(self._catch_up(), name="late alerts"),
        ]

    async def finish_actions(self) -> None:
        """While the devices can still be reached: what waits is tried once more, and what is left is remembered."""
        self.actions.end()
        await asyncio.wait([self._acting], timeout=ACTIONS_S)
        self._acting.cancel()

    async def finish_judging(self) -> None:
        """All that was published is judged. Who asks at the `desk` from now on is refused."""
        self._observations.end()
        await self._judging
        self.desk.close()

    async def finish_handing(self) -> None:
        """All alerts are in the journal; the bus is closed."""
        await self._handing

    def finish_notifying(self) -> asyncio.Task[None]:
        """What waits to be told is tried once more by the task that is returned, which may be cancelled."""
        self.receivers.end()
        return self._notifying

    async def change(self, config: Config, book: Rulebook, presences: Iterable[Availability]) -> None:
        """Other rules and receivers from now on: what fires, waits or was told goes on where it was.

        `presences`: how the devices are.
        """
        self._config, self._rules = config, _enabled(config)
        await self.receivers.change(config.notify)
        self.ruling.change(book, presences)
        self.actions.change(self._done_by_rules())
        self._deal_out()
        self._weighty()
        await self._clear_topics()

    async def repeat(self) -> None:
        """Say again what fires: a broker has come that has not heard of it."""
        for alert in self.ruling.engine.standing():
            topic = self._topics.get((alert.rule, alert.device))
            if alert.state is AlertState.FIRING and topic is not None and not self._journal.urgent_full:
                await self._journal.append_urgent(topic, wire.encode_alert(alert))

    async def finish(self) -> None:
        """The last word of what is remembered."""
        for task in self._remembering:
            task.cancel()
        await asyncio.wait(self._remembering)
        await self._remembrance.close()

    async def _judge(self, observations: Subscription[Observation]) -> None:
        for alert in [*self._unsaid]:
            await self._bus.publish(alert)
        await self._clear_topics()
        await self.ruling.run(observations)

    async def _hand_on(self, alerts: Subscription[Alert]) -> None:
        """Until the bus is closed: into the journal, which no outage empties, and to the receivers.

        First of all it is remembered that they are to be said: whoever kills the process has them said again, and
        none is forgotten.
        """
        async for batch in alerts.batches():
            self._weighty()
            await self._remembrance.settled()
            for alert in batch:
                _log(alert)
                self._act(alert)
                self._tell(alert)
                await self._publish(alert)
            self._weighty()
        await self._publish_late()

    async def _act_on(self) -> None:
        await Supervisor().run([Child(name="actions", run=self.actions.run, restart=Backoff(*RETRY))])

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
            "actions": self.actions.counters(),
            "notify": self.receivers.counters(),
        }

    def _begin(self) -> None:
        self.ruling = Judge(self._book, self._bus, self._clock, changed=self._changed, given_out=self._unsaid)
        self.desk = Desk(lambda: self.ruling.engine, self.ruling.now, self.ruling.put, self._remembered)
        self.actions = Actions(self._write, self._clock, self._weighty)
        self.receivers = Receivers(
            self._config.notify,
            gateway=self._config.gateway.name,
            clock=self._clock,
            changed=self._weighty,
            settled=self._remembrance.settled,
        )

    def _restore(self, memento: Memento) -> None:
        parts = memento.parts
        unsaid = [alert_of(each) for each in parts["unsaid"]]
        if not memento.same_boot:
            unsaid = [*(alert_of(each) for each in parts["said"]), *unsaid]
        self.receivers.restore(parts["notify"])
        self.actions.restore(parts["actions"], self._done_by_rules())
        gone = self.ruling.engine.restore(parts["rules"], self._clock(), memento.outage_s)
        self._topics = {(text(rule), text(device)): text(topic) for rule, device, topic in parts["topics"]}
        self._spoken = {text(topic) for topic in parts.get("spoken", self._topics.values())}
        self._unsaid += [*unsaid, *gone]
        self._deal_out()

    def _parts(self) -> Mapping[str, Any]:
        return {
            "rules": self.ruling.engine.export(self._clock()),
            "unsaid": [plain(each) for each in self._unsaid],
            "said": [plain(each) for _, each in self._said],
            "topics": [[*key, topic] for key, topic in self._topics.items()],
            "spoken": sorted(self._spoken),
            "actions": self.actions.kept(),
            "notify": self.receivers.kept(),
        }

    def _act(self, alert: Alert) -> None:
        rule = self._rules.get(alert.rule)
        self.actions.take(alert, rule.do if rule is not None else ())

    async def _publish(self, alert: Alert) -> None:
        topic = self._topic(alert.rule, alert.device)
        older = self._late.pop(topic, None)
        if older is not None and older is not alert:
            self._unsaid.remove(older)
            del self._topics[older.rule, older.device]
        self._topics[alert.rule, alert.device] = topic
        if self._journal.urgent_full:  # of each alert the newest state must not be lost
            self._late[topic] = alert
            return
        await self._journal.append_urgent(topic, wire.encode_alert(alert))
        self._spoken.add(topic)
        self._unsaid.remove(alert)
        self._said.append((self._journal.urgent.last, alert))
        if alert.state is AlertState.RESOLVED:
            del self._topics[alert.rule, alert.device]
            if (alert.rule, alert.device) not in self.ruling.watched:
                await self._clear_topics()

    async def _publish_late(self) -> None:
        for alert in [*self._late.values()]:
            await self._publish(alert)

    async def _clear_topics(self) -> None:
        """Where an alert stands that nobody will ever say anything of again."""
        used = {self._topic(*key) for key in self.ruling.watched}.union(self._topics.values(), self._late)
        self._uncleared = False
        for topic in sorted(self._spoken - used):
            if self._journal.urgent_full:
                self._uncleared = True
                return
            await self._journal.append_urgent(topic, NOTHING)
            self._spoken.discard(topic)

    async def _catch_up(self) -> None:
        while True:
            await asyncio.sleep(LATE_S)
            await self._publish_late()
            if self._uncleared:
                await self._clear_topics()
            self._forget_said()

    def _forget_said(self) -> None:
        """Those that are safe: on the disk, or with every broker."""
        safe_to, before = max(self._journal.urgent.stored, self._journal.urgent.committed), len(self._said)
        while self._said and self._said[0][0] <= safe_to:
            self._said.popleft()
        if len(self._said) < before:
            self._weighty()

    def _changed(self) -> None:
        self._remembrance.note(weighty=False)

    def _weighty(self) -> None:
        self._remembrance.note(weighty=True)

    async def _remembered(self) -> None:
        self._weighty()
        await self._remembrance.settled()

    def _topic(self, name: str, device: str) -> str:
        """Below `alerts/`: one for each rule, and each device of a rule for several."""
        rule = self._rules.get(name)
        several = rule is not None and rule.each is not None
        now = f"alerts/{safe(name)}/{safe(device)}" if several else f"alerts/{safe(name)}"
        return self._topics.get((name, device), now)

    def _tell(self, alert: Alert) -> None:
        """The end of an alert is for whoever was told of its beginning, whatever the rule says by then."""
        quiet = alert.state is AlertState.FIRING and not _is_loud(alert)
        told_of = self._told_of(alert)
        for each in self.receivers:
            if each.name in told_of:
                if quiet:
                    each.withdraw(alert.rule, alert.device)
                else:
                    each.take(alert)
            elif alert.state is AlertState.RESOLVED and each.knows(alert.rule, alert.device):
                each.take(alert)

    def _deal_out(self) -> None:
        """What fires is for whom the rules name now."""
        for alert in self.ruling.engine.standing():
            for each in self.receivers:
                if each.name not in self._told_of(alert):
                    each.withdraw(alert.rule, alert.device)
                elif _is_loud(alert) and not each.knows(alert.rule, alert.device):
                    each.take(alert)  # the receiver is new, or the rule's word for it is

    def _done_by_rules(self) -> Mapping[str, Sequence[Action]]:
        return {name: rule.do for name, rule in self._rules.items()}

    def _told_of(self, alert: Alert) -> Collection[str]:
        rule = self._rules.get(alert.rule)
        return rule.notify if rule is not None else ()


def beside(journal: Path) -> Path:
    """Where rules remember, for a gateway with this journal."""
    return journal.with_name(f"{journal.name}-rules.json")


def _enabled(config: Config) -> Mapping[str, RuleOptions]:
    return {name: rule for name, rule in config.rules.items() if rule.enabled}


def _is_loud(alert: Alert) -> bool:
    return alert.state is AlertState.FIRING and not any(label in alert.labels for label in QUIET)


def _log(alert: Alert) -> None:
    name = f"{alert.rule} ({alert.device})" if alert.device else alert.rule
    quiet = "".join(f", {label} by {alert.labels[label]}" for label in QUIET if label in alert.labels)
    if alert.state is AlertState.FIRING:
        level = logging.INFO if quiet else logging.WARNING
        log.log(
            level, "alert %s: firing%s: %s", name, quiet, alert.message,
            extra=about(MessageId.ALERT_FIRING, rule=alert.rule, device=alert.device),
        )  # fmt: skip
    else:
        message_id = MessageId.ALERT_RESOLVED if alert.state is AlertState.RESOLVED else None
        log.info(
            "alert %s: %s%s", name, alert.state, quiet,
            extra=about(message_id, rule=alert.rule, device=alert.device),
        )  # fmt: skip
