"""What Home Assistant is told of a device: all its entities in one message, and of the gateway itself in another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from gateway import __version__
from gateway.homeassistant import templates
from gateway.homeassistant.entities import Config, Named, Place, entity, entity_id, identifier, unique
from gateway.publish.publisher import Message

MOST_ENTITIES = 256
"""Of one device: an instrument that makes up names must not fill Home Assistant's memory."""
LARGEST = 120 * 1024
"""Bytes of what is said of one device's entities: brokers in the cloud take no message of more than 128 KB."""

GATEWAY = "status"
"""Where a device's name would stand; no device is called so."""

Components = dict[str, Config]


@dataclass(frozen=True, slots=True)
class Announcement:
    """Of one device at one broker."""

    topic: str
    device: Config
    shared: Config
    """What goes for all of its entities."""
    components: Components
    left_out: int = 0
    """Entities for which there was no room."""

    @property
    def platforms(self) -> Mapping[str, str]:
        return {key: config["platform"] for key, config in self.components.items()}

    def message(self, gone: Mapping[str, str]) -> Message:
        """`gone`: platforms of entities that are to be forgotten, by their keys; as far as there is room."""
        forgotten = [
            (key, {"platform": platform}) for key, platform in gone.items() if key not in self.components
        ]
        content = {
            "device": self.device,
            "origin": {"name": "Sallyport", "sw_version": __version__},
            **self.shared,
            "qos": 1,
            "components": _as_far_as_there_is_room([*self.components.items(), *forgotten]),
        }
        return Message(self.topic, orjson.dumps(content), retain=True)


def topic(prefix: str, gateway: str, device: str) -> str:
    """Each gateway has a level of its own, so that a broker can be told who may write there."""
    return f"{prefix}/device/sallyport_{identifier(gateway)}/{identifier(device)}/config"


def of_device(
    prefix: str,
    place: Place,
    metrics: Iterable[Named],
    rules: Iterable[str],
    *,
    maker: str,
    model: str,
) -> Announcement | None:
    """None for a device of which nothing is known yet. `rules`: those that have an alert of their own for it."""
    topics = place.topics
    shared: Config = {
        "availability": [_available(topics.status), _available(topics.of_availability(place.device))],
        "availability_mode": "all",
    }
    if not place.by_metric:
        shared["state_topic"] = topics.of_device(place.device)
    found = [each for each in (entity(metric, place) for metric in metrics) if each is not None]
    if not found:
        return None
    alerts = [_alert(place, rule, place.device) for rule in rules]
    components = _as_far_as_there_is_room([*alerts, *found][:MOST_ENTITIES])
    left_out = len(alerts) + len(found) - len(components)
    device: Config = {
        "identifiers": [unique(place.gateway, place.device)],
        "name": place.device,
        **({"manufacturer": maker} if maker else {}),
        **({"model": model} if model else {}),
        "via_device": unique(place.gateway),
    }
    return Announcement(topic(prefix, place.gateway, place.device), device, shared, components, left_out)


def of_gateway(
    prefix: str,
    place: Place,
    rules: Iterable[str],
    *,
    broker: str,
    url: str | None,
) -> Announcement:
    """Itself, behind which all its devices are.

    Args:
        prefix: of all that is said to Home Assistant.
        place: where it is; its device is `GATEWAY`.
        rules: those that have one alert.
        broker: at which this is said, as the counters know it.
        url: of its status page, if it has one that others can reach.
    """
    topics, gateway = place.topics, place.gateway
    diagnostic = {"entity_category": "diagnostic"}
    here = {"availability": [_available(topics.status)]}
    parts: dict[str, Config] = {
        "connected": {
            "platform": "binary_sensor", "name": "Connected", "device_class": "connectivity",
            "state_topic": topics.status, "value_template": templates.CONNECTED, **diagnostic,
        },
        "journal": {
            "platform": "binary_sensor", "name": "Journal in trouble", "device_class": "problem",
            "state_topic": topics.status, "value_template": templates.JOURNAL_TROUBLE, **here, **diagnostic,
        },
        "started": {
            "platform": "sensor", "name": "Started", "device_class": "timestamp",
            "state_topic": topics.status, "value_template": templates.SINCE, **here, **diagnostic,
        },
        "waiting": {
            "platform": "sensor", "name": "Readings that wait", "state_class": "measurement",
            "unit_of_measurement": "readings", "state_topic": topics.of_counters,
            "value_template": templates.waiting(broker), **here, **diagnostic,
        },
    }  # fmt: skip
    itself = [
        (
            name,
            {
                "unique_id": f"{unique(gateway)}#{name}",
                "default_entity_id": entity_id(config["platform"], gateway, name),
                **config,
            },
        )
        for name, config in parts.items()
    ]
    parts_and_alerts = [*itself, *(_alert(place, rule) for rule in rules)]
    components = _as_far_as_there_is_room(parts_and_alerts[:MOST_ENTITIES])
    left_out = len(parts_and_alerts) - len(components)
    device: Config = {
        "identifiers": [unique(gateway)],
        "name": gateway,
        "manufacturer": "Sallyport",
        "model": "Gateway",
        "sw_version": __version__,
        **({"configuration_url": url} if url else {}),
    }
    shared: Config = {"availability_mode": "all"}
    return Announcement(topic(prefix, gateway, GATEWAY), device, shared, components, left_out)


def _alert(place: Place, rule: str, *device: str) -> tuple[str, Config]:
    """Of a rule; with `device`, the one about it."""
    where = place.topics.of_alert(rule, *device)
    return f"alert_{identifier(rule)}", {
        "platform": "binary_sensor",
        "unique_id": f"{unique(place.gateway, *device)}#alert/{rule}",
        "name": f"Alert {rule}",
        "default_entity_id": entity_id("binary_sensor", place.gateway, *device, rule),
        "device_class": "problem",
        "state_topic": where,
        "value_template": templates.FIRING,
        "json_attributes_topic": where,
        "json_attributes_template": templates.ATTRIBUTES,
        "availability": [_available(place.topics.status)],
    }


def _available(where: str) -> Config:
    return {"topic": where, "value_template": templates.AVAILABLE}


def _as_far_as_there_is_room(entities: Iterable[tuple[str, Config]]) -> Components:
    """The first of them."""
    components: Components = {}
    size = 0
    for key, config in entities:
        size += len(orjson.dumps({key: config}))
        if size > LARGEST:
            break
        components[key] = config
    return components
