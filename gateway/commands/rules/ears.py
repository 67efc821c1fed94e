"""What a running gateway publishes of what a rule reads, into a memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.clock import system_clock
from gateway.commands.listening import parsed, readings
from gateway.commands.listing import plain
from gateway.config import Config
from gateway.model import Availability, Presence, Reading, Value
from gateway.publish.topics import Topics, safe
from gateway.rules.explanation import Clause
from gateway.rules.expression import Metric
from gateway.rules.memory import COUNTED, Memory
from gateway.rules.rulebook import STATUS, Article
from gateway.rules.unknown import Unknown


@dataclass(slots=True)
class Watched:
    """The rule about one device, or about none in particular."""

    this: str
    metrics: Sequence[Metric]
    asked: Sequence[str]
    conditions: Mapping[str, Sequence[Clause]]
    said: list[str] = field(default_factory=list)
    """What the gateway itself has published of it."""


def published(of: Metric) -> bool:
    """What the gateway counts is not among a device's values."""
    return of.device != STATUS and not of.name.startswith(COUNTED)


class Ears:
    """What is published of what a rule reads, into a memory."""

    def __init__(
        self,
        article: Article,
        all_watched: Sequence[Watched],
        memory: Memory,
        topics: Topics,
        loaded: Config,
    ) -> None:
        self._memory = memory
        self._watched = {each.this: each for each in all_watched}
        self._metrics = {of for each in all_watched for of in each.metrics if published(of)}
        devices = {of.device for of in self._metrics} | {
            device for each in all_watched for device in each.asked
        }
        self._devices = {topics.of_device(device): device for device in devices & loaded.devices.keys()}
        self._by_metric = loaded.mqtt.layout == "metric"
        self._alerts = topics.of_alerts(article.rule.name)
        self._of_several = article.devices is not None
        self._unheard = set(self._devices.values())

    @property
    def topics(self) -> list[str]:
        """The alert first: it stands there, and all else may have been heard before that has come."""
        below = "+" if self._by_metric else "availability"
        return [
            f"{self._alerts}/+" if self._of_several else self._alerts,
            *(topic for topic in self._devices if not self._by_metric),
            *(f"{topic}/{below}" for topic in self._devices),
        ]

    @property
    def content(self) -> bool:
        """All that can be heard was heard."""
        unseen = any(isinstance(self._memory.cell(*of).value, Unknown) for of in self._metrics)
        return not unseen and not self._unheard

    def hear(self, topic: str, message: Any) -> None:
        above, _, last = topic.rpartition("/")
        if self._alerts in (topic, above):
            self._hear_alert(last if self._of_several else "", parsed(message))
        elif topic in self._devices and (found := readings(message)):
            for each in found[1]:
                self._take(self._devices[topic], each["values"])
        elif above in self._devices and last == "availability":
            self._present(self._devices[above], parsed(message))
        elif above in self._devices:
            self._take_one(self._devices[above], last, parsed(message))

    def _take(self, device: str, values: Mapping[str, Any]) -> None:
        """Anybody may publish anything: what is no value is not heard."""
        sound = {name: each for name, each in values.items() if isinstance(each, Value)}
        self._memory.take(Reading(at=system_clock(), device=device, values=sound))

    def _take_one(self, device: str, level: str, found: Any) -> None:
        """With `layout = "metric"`."""
        self._take(
            device, {of.name: found for of in self._metrics if of.device == device and safe(of.name) == level}
        )

    def _present(self, device: str, found: Any) -> None:
        state = found.get("state") if isinstance(found, dict) else None
        if isinstance(state, str) and state in {*Presence}:
            self._unheard.discard(device)
            presence = Presence(state)
            event = Availability(at=system_clock(), device=device, presence=presence, reason="")
            self._memory.hear(event)

    def _hear_alert(self, level: str, found: Any) -> None:
        for this, watched in self._watched.items():
            if isinstance(found, dict) and level == (safe(this) if this else ""):
                state, since = plain(found.get("state", "")), plain(found.get("since", ""))
                watched.said = [f"the gateway says: {state} since {since}: {plain(found.get('message', ''))}"]
