"""A Home Assistant as far as MQTT sees it: discovers devices, renders their templates, says that it is there, commands.

What it does is what Home Assistant 2026.2 does, where it warns or refuses, this one complains;
`tests/system/test_homeassistant_itself.py` asks the real one.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import aiomqtt
import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

Config = dict[str, Any]

TOPIC = re.compile(r"device/(?:([a-zA-Z0-9_-]+)/)?([a-zA-Z0-9_-]+)/config")
"""Below the prefix."""
SHARED = ("availability", "availability_mode", "state_topic", "command_topic", "qos", "encoding")
UNKNOWN, UNAVAILABLE = "unknown", "unavailable"
LONGEST_STATE = 255


@dataclass
class This:
    """What templates call `this`."""

    entity_id: str
    state: str


@dataclass
class Entity:
    platform: str
    entity_id: str
    config: Config
    device: Config
    value: str | None = None
    attributes: Config = field(default_factory=dict)
    available: dict[str, bool] = field(default_factory=dict)
    """By topic."""

    @property
    def state(self) -> str:
        if not all(self.available.values()):
            return UNAVAILABLE
        return UNKNOWN if self.value is None else self.value

    @property
    def numeric(self) -> bool:
        """Whether its state must be a number."""
        config = self.config
        if config.get("device_class") in {"timestamp", "date", "enum"}:
            return False
        return any(config.get(key) for key in ("device_class", "state_class", "unit_of_measurement"))


class Renderer:
    """Jinja as it is set up there: sandboxed, and what is not defined is complained about."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        complaints = self.complaints

        class Undefined(jinja2.Undefined):
            def __str__(self) -> str:
                complaints.append(f"not defined: {self._undefined_name}")
                return ""

            def __bool__(self) -> bool:
                complaints.append(f"not defined: {self._undefined_name}")
                return False

        self._environment = ImmutableSandboxedEnvironment(undefined=Undefined)
        self._templates: dict[str, jinja2.Template] = {}

    def value(self, template: str, payload: str, this: This) -> str | None:
        """None: the template fails."""
        variables: Config = {
            "value": payload,
            "this": this,
            "has_value": lambda _: this.state not in (UNKNOWN, UNAVAILABLE),
        }
        with suppress(ValueError):
            variables["value_json"] = json.loads(payload)
        return self._rendered(template, variables)

    def command(self, template: str, value: Any) -> str:
        rendered = self._rendered(template, {"value": value})
        assert rendered is not None
        return rendered

    def _rendered(self, template: str, variables: Config) -> str | None:
        if template not in self._templates:
            self._templates[template] = self._environment.from_string(template)
        try:
            return self._templates[template].render(variables).strip()
        except jinja2.TemplateError as error:
            self.complaints.append(f"{template}: {error}")
            return None


class HomeAssistant:
    def __init__(self, client: aiomqtt.Client, prefix: str) -> None:
        self.entities: dict[tuple[str, str], Entity] = {}
        """By topic of discovery and key there."""
        self.discovered: list[str] = []
        """Topics of what came, in this order; of what was cleared, too."""
        self.sizes: list[int] = []
        self._client = client
        self._prefix = prefix
        self._renderer = Renderer()
        self._complaints: list[str] = []
        self._heard: set[str] = set()
        self._by_topic: dict[str, list[Entity]] = {}
        """Made anew when it is empty: a hall of instruments says many hundred things a second."""

    @classmethod
    @asynccontextmanager
    async def running(
        cls, port: int, *, prefix: str = "homeassistant", name: str = "home-assistant"
    ) -> AsyncIterator[Self]:
        status = f"{prefix}/status"
        will = aiomqtt.Will(status, b"offline")
        async with aiomqtt.Client("127.0.0.1", port, identifier=name, will=will) as client:
            home = cls(client, prefix)
            await client.subscribe(f"{prefix}/#", qos=1)
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(home._listen())
                await home.say_it_is_there()
                try:
                    yield home
                finally:
                    listening.cancel()

    async def say_it_is_there(self) -> None:
        await self._client.publish(f"{self._prefix}/status", b"online", qos=1)

    @property
    def complaints(self) -> list[str]:
        return [*self._complaints, *self._renderer.complaints]

    @property
    def states(self) -> dict[str, str]:
        return {each.entity_id: each.state for each in self.entities.values()}

    def entity(self, entity_id: str) -> Entity:
        [found] = [each for each in self.entities.values() if each.entity_id == entity_id]
        return found

    def hears(self, device: str) -> bool:
        """Whether it has a value of it."""
        ours = (each for each in self.entities.values() if each.device["name"] == device)
        return any(each.state not in (UNKNOWN, UNAVAILABLE) for each in ours)

    async def set(self, entity_id: str, value: Any) -> None:
        """As a person does it there: a number, an option, True or False, or None for a button."""
        config = self.entity(entity_id).config
        match entity_id.partition(".")[0]:
            case "switch":
                payload = config["payload_on" if value else "payload_off"]
            case "button":
                payload = config["payload_press"]
            case "number":
                assert config["min"] <= value <= config["max"]
                payload = self._renderer.command(config["command_template"], value)
            case _:
                assert value in config["options"]
                payload = self._renderer.command(config["command_template"], value)
        await self._client.publish(config["command_topic"], payload, qos=1)

    async def _listen(self) -> None:
        async for message in self._client.messages:
            assert isinstance(message.payload, bytes)
            topic, payload = str(message.topic), message.payload
            if topic.startswith(f"{self._prefix}/"):
                await self._discover(topic, payload)
            else:
                self._take(topic, payload.decode())

    async def _discover(self, topic: str, payload: bytes) -> None:
        if topic == f"{self._prefix}/status":
            return
        if not TOPIC.fullmatch(topic.removeprefix(f"{self._prefix}/")):
            self._complaints.append(f"no topic of discovery: {topic}")
            return
        self.discovered.append(topic)
        self._by_topic.clear()
        self.sizes.append(len(payload))
        if not payload:
            self.entities = {key: each for key, each in self.entities.items() if key[0] != topic}
            return
        content = json.loads(payload)
        if not content["device"]["identifiers"] or not content["origin"]["name"]:
            self._complaints.append(f"{topic}: neither device nor origin")
        fresh: set[str] = set()
        for key, config in content["components"].items():
            platform = config.pop("platform")
            if not config:
                self.entities.pop((topic, key), None)
                continue
            whole = {**{name: content[name] for name in SHARED if name in content}, **config}
            fresh |= self._set_up(
                topic, key, Entity(platform, config["default_entity_id"], whole, content["device"])
            )
        if fresh:  # all at once: each answer takes a while
            self._heard |= fresh
            await self._client.subscribe([(each, 1) for each in sorted(fresh)])

    def _set_up(self, topic: str, key: str, entity: Entity) -> AbstractSet[str]:
        """What is to be subscribed."""
        for (_, other), each in self.entities.items():
            same_id = (
                each.platform == entity.platform and each.config["unique_id"] == entity.config["unique_id"]
            )
            if same_id and (other != key or each.device["identifiers"] != entity.device["identifiers"]):
                self._complaints.append(f"{entity.config['unique_id']} is there twice")
        before = self.entities.get((topic, key))
        if before is not None:
            if before.platform != entity.platform:
                self._complaints.append(f"{key} of {topic} cannot become a {entity.platform}")
            entity.value, entity.available, entity.attributes = (
                before.value,
                before.available,
                before.attributes,
            )
        where = {each["topic"] for each in entity.config.get("availability", ())}
        entity.available = {each: entity.available.get(each, False) for each in where}
        self.entities[topic, key] = entity
        self._by_topic.clear()
        for wanted in ("state_topic", "json_attributes_topic"):
            if wanted in entity.config:
                where.add(entity.config[wanted])
        # Those of a new one again: then comes again what is retained there.
        return where if before is None else where - self._heard

    def _listening_to(self, topic: str) -> list[Entity]:
        if not self._by_topic:
            for entity in self.entities.values():
                places = {each["topic"] for each in entity.config.get("availability", ())}
                places |= {entity.config.get("state_topic"), entity.config.get("json_attributes_topic")}
                for each in places - {None}:
                    self._by_topic.setdefault(each, []).append(entity)
        return self._by_topic.get(topic, [])

    def _take(self, topic: str, payload: str) -> None:
        for entity in self._listening_to(topic):
            for place in entity.config.get("availability", ()):
                if place["topic"] == topic:
                    rendered = self._renderer.value(place["value_template"], payload, self._this(entity))
                    if rendered in ("online", "offline"):
                        entity.available[topic] = rendered == "online"
            if entity.config.get("json_attributes_topic") == topic:
                rendered = self._renderer.value(
                    entity.config["json_attributes_template"], payload, self._this(entity)
                )
                entity.attributes = json.loads(rendered or "{}")
            if entity.config.get("state_topic") == topic:
                template = entity.config.get("value_template")
                rendered = (
                    payload
                    if template is None
                    else self._renderer.value(template, payload, self._this(entity))
                )
                if rendered is not None:
                    self._update(entity, rendered)

    def _this(self, entity: Entity) -> This:
        return This(entity.entity_id, entity.state)

    def _update(self, entity: Entity, rendered: str) -> None:
        """As `_update_state` and its like of each platform do."""
        match entity.platform:
            case "sensor":
                self._update_sensor(entity, rendered)
            case "binary_sensor":
                self._update_binary(entity, rendered, "payload_on", "payload_off")
            case "switch":
                self._update_binary(entity, rendered, "state_on", "state_off")
            case "number" if rendered:
                self._check_number(entity, rendered)
                entity.value = rendered
            case "select":
                self._update_select(entity, rendered)

    def _update_sensor(self, entity: Entity, rendered: str) -> None:
        if rendered == "None":
            entity.value = None
        elif not entity.numeric:
            if len(rendered) > LONGEST_STATE:
                self._complaints.append(f"{entity.entity_id}: its state is too long")
            entity.value = rendered
        elif rendered:
            self._check_number(entity, rendered)
            entity.value = rendered

    def _update_binary(self, entity: Entity, rendered: str, on_key: str, off_key: str) -> None:
        on, off = entity.config.get(on_key, "ON"), entity.config.get(off_key, "OFF")
        if rendered in (on, off):
            entity.value = "on" if rendered == on else "off"
        elif rendered:
            self._complaints.append(f"{entity.entity_id}: neither on nor off: {rendered}")

    def _update_select(self, entity: Entity, rendered: str) -> None:
        if rendered.lower() == "none":
            entity.value = None
        elif rendered and rendered not in entity.config["options"]:
            self._complaints.append(f"{entity.entity_id}: no option: {rendered}")
        elif rendered:
            entity.value = rendered

    def _check_number(self, entity: Entity, rendered: str) -> None:
        try:
            float(rendered)
        except ValueError:
            self._complaints.append(f"{entity.entity_id}: no number: {rendered}")
