"""What Home Assistant is told of one metric: which kind of entity it is, where its value is, how it is set."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from drivers.driver import Metric, Settable
from gateway import wire
from gateway.homeassistant import templates
from gateway.homeassistant.classes import BINARY_SENSORS, TEXTS, meaning
from gateway.model import Value
from gateway.publish.topics import Topics

Config = dict[str, Any]

FARTHEST = 1e9
"""A number that may be anything: Home Assistant wants bounds, and would take 1 and 100."""
FINEST = 0.001
"""The smallest step that Home Assistant takes."""
LONGEST_ID = 64
LONGEST_NAME = 100


class Kind(StrEnum):
    NUMBER = "number"
    STATE = "state"
    TEXT = "text"


KINDS: Mapping[type, Kind] = {float: Kind.NUMBER, int: Kind.NUMBER, bool: Kind.STATE, str: Kind.TEXT}


def kind_after(before: Kind | None, now: Kind, *, measured: bool = False) -> Kind:
    """Of a metric that is something else now: whatever it will be, a text can show it.

    `measured`: it is described as a number: what else it says then, such as "nan" in quotes, is a slip.
    """
    if before is None or before is now:
        return now
    return Kind.NUMBER if measured and Kind.NUMBER in (before, now) else Kind.TEXT


@dataclass(frozen=True, slots=True)
class Named:
    """A metric as it is published."""

    name: str
    label: str
    kind: Kind | None
    """As it was seen; None: not yet."""
    metric: Metric | None
    """What is known of it."""
    settable: Settable | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A device, and how it is published at one broker."""

    gateway: str
    device: str
    topics: Topics
    by_metric: bool
    expire_after: int | None = None
    """Seconds without a message after which a value cannot be believed; None: who may say so is the availability."""


def identifier(name: str) -> str:
    """Of the characters that Home Assistant takes in a topic; other names are told apart by a few more."""
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:LONGEST_ID]
    if plain == name:
        return plain
    return f"{plain}_{hashlib.blake2s(name.encode(errors='replace'), digest_size=3).hexdigest()}"


def shown(label: str) -> str:
    return "".join(char if char.isprintable() else " " for char in label).strip()[:LONGEST_NAME]


def entity_id(platform: str, *names: str) -> str:
    """What it is called in Home Assistant, if that is free and nobody says something else.

    Home Assistant itself writes other letters in Latin ones: `gewachshaus` for `gewächshaus`.
    """
    words = re.sub(r"[\W_]+", "_", "_".join(names).lower()).strip("_")
    return f"{platform}.{words}"


def entity(named: Named, place: Place) -> tuple[str, Config] | None:
    """Its key, which tells it from others of the device, and what is said of it; None: not known what it is."""
    settable = named.settable
    platform, about = _sensor(named, place) if settable is None else _set_by(settable, named, place)
    if not platform:
        return None
    name = wire.portable(named.name)
    key = f"{platform}_{identifier(name)}"
    return key, {
        "platform": platform,
        "unique_id": f"{unique(place.gateway, place.device)}/{name}",
        "name": shown(wire.portable(named.label)) or key,
        "default_entity_id": entity_id(platform, place.gateway, place.device, name),
        **(
            {"state_topic": place.topics.of_metric(place.device, name)}
            if place.by_metric and platform != "button"
            else {}
        ),
        **about,
    }


def unique(gateway: str, *device: str) -> str:
    """In all of Home Assistant. No name of a gateway or a device holds a slash."""
    return "/".join(("sallyport", gateway, *device))


def _sensor(named: Named, place: Place) -> tuple[str, Config]:
    expiry = {} if place.expire_after is None else {"expire_after": place.expire_after}
    match named.kind:
        case Kind.NUMBER:
            return "sensor", {**_number(named, place), **expiry}
        case Kind.STATE:
            device_class = named.metric.device_class if named.metric is not None else ""
            about: Config = {
                "payload_on": "true",
                "payload_off": "false",
                **_template(place, templates.truth(_of(named))),
            }
            if device_class in BINARY_SENSORS:
                about["device_class"] = device_class
            return "binary_sensor", {**about, **expiry}
        case Kind.TEXT:
            device_class = named.metric.device_class if named.metric is not None else ""
            about = _template(place, templates.text(_of(named)), templates.BARE_TEXT)
            if device_class in TEXTS:
                about["device_class"] = device_class
            return "sensor", {**about, **expiry}
        case None:
            return "", {}


def _number(named: Named, place: Place) -> Config:
    # One that nobody has described is likelier measured than a code: so it has a graph.
    told = meaning(named.metric or Metric("", "", state_class="measurement"))
    about = {
        key: value
        for key, value in (
            ("unit_of_measurement", told.unit),
            ("device_class", told.device_class),
            ("state_class", told.state_class),
        )
        if value
    }
    if about:
        return {**about, **_template(place, templates.number(_of(named)), templates.bare_number())}
    return _template(place, templates.text(_of(named)))


def _set_by(settable: Settable, named: Named, place: Place) -> tuple[str, Config]:
    """Number, switch, select, or button."""
    metric = _of(named)
    topic = {"command_topic": place.topics.set_(place.device)}
    choices = settable.choices
    if not choices:
        told = meaning(named.metric or Metric("", ""))
        low, high = bounds = _bounds(settable)
        return "number", {
            **topic,
            "command_template": templates.command(metric),
            **_template(place, templates.number(metric, bounds), templates.bare_number(bounds)),
            "min": low,
            "max": high,
            "step": FINEST,
            "mode": "box",
            **({"unit_of_measurement": told.unit} if told.unit else {}),
            **({"device_class": told.device_class} if told.device_class else {}),
        }
    if len(choices) == 1:
        return "button", {**topic, "payload_press": _command(metric, choices[0])}
    if all(isinstance(choice, bool) for choice in choices):
        return "switch", {
            **topic,
            "payload_on": _command(metric, True),
            "payload_off": _command(metric, False),
            "state_on": "true",
            "state_off": "false",
            **_template(place, templates.truth(metric)),
        }
    options = _options(choices)
    texts = all(isinstance(choice, str) for choice in choices)
    return "select", {
        **topic,
        "options": [*options.values()],
        "command_template": templates.command(metric) if texts else templates.chosen(metric, options),
        **_template(place, templates.choice(metric, options), templates.bare_choice(options)),
    }


def _bounds(settable: Settable) -> tuple[float, float]:
    low, high = settable.minimum, settable.maximum
    if low is None:
        low = -FARTHEST if high is None else min(-FARTHEST, high)
    return low, max(FARTHEST, low) if high is None else high


def _options(choices: Sequence[Value]) -> Mapping[str, str]:
    """What each is called, by the value as Jinja writes it."""
    return {
        templates.literal(choice) if isinstance(choice, str) else wire.scalar(choice).decode(): (
            wire.scalar(choice).decode()
        )
        for choice in choices
    }


def _command(metric: str, value: Value) -> str:
    return wire.command(metric, value).decode()


def _of(named: Named) -> str:
    name: str = wire.portable(named.name)
    return name


def _template(place: Place, whole: str, bare: str = "") -> Config:
    """`whole`: of a reading; `bare`: of a value on a topic of its own, where one is needed."""
    found = bare if place.by_metric else whole
    return {"value_template": found} if found else {}
