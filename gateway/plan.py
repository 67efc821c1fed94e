"""What has to be done so that a gateway that runs with one configuration runs with another."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel

from gateway.config import MAIN_BROKER, Config, MqttOptions
from gateway.source import IN_PLACE

NOTHING = "nothing changes"
"""The only line of a plan without steps."""


class Verb(StrEnum):
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    CHANGE = "change"
    """In place: a device's port stays open, a rule keeps its state, a receiver what it has still to be told."""
    LATER = "at the next start"


class Step(NamedTuple):
    verb: Verb
    kind: str
    """Which kind of table, such as `devices`."""
    name: str
    """Empty where there is only one, and for the main broker."""
    keys: tuple[str, ...] = ()
    """What is another, if that is not the whole table."""

    def __str__(self) -> str:
        what = f"{self.kind}.{self.name}" if self.name else self.kind
        return f"{self.verb}: {what}" + (f" ({', '.join(self.keys)})" if self.keys else "")


@dataclass(frozen=True, slots=True)
class Plan:
    config: Config
    """What the gateway runs with when all of it is done: the new configuration, but for what has to wait."""
    steps: tuple[Step, ...]

    def of(self, kind: str, *verbs: Verb) -> list[str]:
        """The names of what one of these is done to."""
        return [step.name for step in self.steps if step.kind == kind and step.verb in verbs]

    @property
    def lines(self) -> list[str]:
        return [str(step) for step in self.steps] or [NOTHING]


def plan(old: Config, new: Config) -> Plan:
    config, waiting = _without_what_waits(old, new)
    steps = (
        *waiting,
        *_options("gateway", old.gateway, config.gateway),
        *_options("journal", old.journal, config.journal),
        *_options("control", old.control, config.control),
        *_options("live", old.live, config.live),
        *_options("web", old.web, config.web),
        *_brokers(old.brokers, config.brokers),
        *_tables("homeassistant", _if_there(old), _if_there(config), None),
        *_tables("devices", old.devices, config.devices, IN_PLACE),
        *_tables("rules", old.rules, config.rules, None),
        *_tables("notify", old.notify, config.notify, None),
    )
    return Plan(config, steps)


def _without_what_waits(old: Config, new: Config) -> tuple[Config, list[Step]]:
    """All topics, or all that waits for a broker, would be others, or the broker itself: not while we run."""
    held: dict[str, Any] = {}
    steps = []
    if old.gateway.name != new.gateway.name:
        held["gateway"] = new.gateway.model_copy(update={"name": old.gateway.name})
        steps.append(Step(Verb.LATER, "gateway", "", ("name",)))
    if old.journal.path != new.journal.path:
        held["journal"] = new.journal.model_copy(update={"path": old.journal.path})
        steps.append(Step(Verb.LATER, "journal", "", ("path",)))
    if _inside(old.mqtt) != _inside(new.mqtt):
        held["mqtt"] = old.mqtt
        steps.append(Step(Verb.LATER, "mqtt", "", _different(old.mqtt, new.mqtt)))
    further = dict(new.further_brokers)
    for name in _all(old.further_brokers, further):
        before, after = old.further_brokers.get(name), further.pop(name, None)
        if _inside(before) != _inside(after):
            keys = () if before is None or after is None else _different(before, after)
            steps.append(Step(Verb.LATER, "mqtt", name, keys))
            after = before
        if after is not None:
            further[name] = after
    return new.model_copy(update={**held, "further_brokers": further}), steps


def _inside(mqtt: MqttOptions | None) -> int | None:
    """Where the broker inside the gateway listens, if it is that one."""
    return mqtt.embedded_port if mqtt is not None and mqtt.embedded else None


def _if_there(config: Config) -> Mapping[str, BaseModel]:
    return {} if config.homeassistant is None else {"": config.homeassistant}


def _options(kind: str, old: BaseModel, new: BaseModel) -> Iterator[Step]:
    if keys := _different(old, new):
        yield Step(Verb.CHANGE, kind, "", keys)


def _brokers(old: Mapping[str, MqttOptions], new: Mapping[str, MqttOptions]) -> Iterator[Step]:
    for step in _tables("mqtt", old, new, frozenset()):
        yield step._replace(name="") if step.name == MAIN_BROKER else step


def _tables(
    kind: str, old: Mapping[str, BaseModel], new: Mapping[str, BaseModel], in_place: frozenset[str] | None
) -> Iterator[Step]:
    """`in_place`: the keys that are changed so; None: all."""
    for name in _all(old, new):
        if name not in new:
            yield Step(Verb.STOP, kind, name)
        elif name not in old:
            yield Step(Verb.START, kind, name)
        elif keys := _different(old[name], new[name]):
            gently = in_place is None or in_place.issuperset(keys)
            yield Step(Verb.CHANGE if gently else Verb.RESTART, kind, name, keys)


def _all(old: Iterable[str], new: Iterable[str]) -> list[str]:
    return [*dict.fromkeys([*old, *new])]


def _different(old: BaseModel, new: BaseModel) -> tuple[str, ...]:
    """The keys that are another, as they are written."""
    if type(old) is not type(new):
        return ("driver",)
    if old == new:
        return ()
    keys = tuple(
        field.alias or name
        for name, field in type(new).model_fields.items()
        if getattr(old, name) != getattr(new, name)
    )
    return keys or ("contents of a file",)
