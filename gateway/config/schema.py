"""JSON Schema of the configuration, for editors: what they offer, explain and mark as wrong.

What a schema cannot say is left to `sallyport check`: bounds of durations and sizes, what belongs together, expressions
of rules, whether a file is there. It refuses nothing that `check` takes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

import drivers
from drivers.driver import Driver
from gateway.config.complaints import bounds, key_of, writer
from gateway.config.notify import NotifyOptions
from gateway.config.options import Config, DeviceName, MqttOptions, Site
from gateway.config.rules import BUILT_IN, RuleName, RuleOptions
from gateway.filters.choice import FILTERS

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DEFINITIONS = "#/$defs/"
_MODE: JsonSchemaMode = "validation"
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def schema() -> Schema:
    """Of a whole file, with the drivers that are installed here."""
    known, unusable = _drivers()
    models: dict[str, Any] = {
        **{f"devices.{name}": driver.options for name, driver in known.items()},
        **{f"filters.{key}": model for key, model in FILTERS.items()},
        "site": Site, "mqtt": MqttOptions, "rule": RuleOptions, "notify": NotifyOptions,
        "device name": DeviceName, "rule name": RuleName,
    }  # fmt: skip
    inputs = [(key, _MODE, TypeAdapter(model).core_schema) for key, model in models.items()]
    made, made_definitions = _Generator(ref_template=_DEFINITIONS + "{model}").generate_definitions(inputs)
    definitions: dict[str, Schema] = {str(name): each for name, each in made_definitions.items()}
    found = {key: _resolved(each, definitions) for (key, _), each in made.items()}
    named = {name: f"devices.{name}" for name in known}
    for name, key in named.items():
        found[key]["properties"]["driver"] = {"const": name, "description": known[name].summary}
        found[key]["properties"]["filters"]["items"] = _ref("filter")
    definitions |= found
    definitions["filter"] = {
        **_one_of(({"required": [key]}, _ref(f"filters.{key}")) for key in FILTERS),
        "minProperties": 1,
        "propertyNames": {"enum": sorted({key for model in FILTERS.values() for key in model.model_fields})},
    }
    definitions["device"] = _device(named, unusable)
    definitions["broker"] = {
        **found["mqtt"], "oneOf": [{"required": ["url"]}, {"required": ["urls"]}]
    }  # fmt: skip
    definitions["built-in-rule"] = {key: each for key, each in found["rule"].items() if key != "required"}
    tables = {
        **found["site"]["properties"],
        "mqtt": {
            **found["mqtt"],
            "not": {"required": ["url", "urls"]},
            "additionalProperties": _ref("broker"),
        },
        "devices": _by_name(found["device name"], _ref("device")),
        "rules": {
            **_by_name(found["rule name"], _ref("rule")),
            "properties": {name: _ref("built-in-rule") for name in BUILT_IN},
        },
        "notify": _by_name(found["rule name"], _ref("notify")),
    }
    for name, table in tables.items():
        table["description"] = Config.model_fields[name].description
    return {
        "$schema": _DIALECT,
        "title": "Sallyport's configuration",
        "type": "object",
        "properties": tables,
        "additionalProperties": False,
        "$defs": {name: definitions[name] for name in sorted(_reached(tables, definitions))},
    }


def _drivers() -> tuple[Mapping[str, Driver], list[str]]:
    """Those that are installed, and the names of those that cannot be loaded."""
    known, unusable = {}, []
    for name in drivers.names():
        try:
            known[name] = drivers.find(name)
        except (ImportError, AttributeError, TypeError):
            unusable.append(name)
    return known, unusable


def _device(named: Mapping[str, str], unusable: list[str]) -> Schema:
    kinds = [
        ({"properties": {"driver": {"const": name}}, "required": ["driver"]}, _ref(key))
        for name, key in named.items()
    ]
    about = {"enum": sorted([*named, *unusable]), "description": "Which driver reads it."}
    return {**_one_of(kinds), "properties": {"driver": about}, "required": ["driver", "port"]}


def _one_of(kinds: Iterable[tuple[Schema, Schema]]) -> Schema:
    """Of a table that is one of several kinds, each with what tells it from the others, and what must then hold.

    `oneOf` alone would do, but what is wrong with one kind would then be reported as no kind at all. The last, always
    true part of `anyOf` makes the others hints: some editors look there for what they may offer, and not behind `if`.
    """
    chosen = [*kinds]
    return {
        "type": "object",
        "allOf": [{"if": condition, "then": table} for condition, table in chosen],
        "anyOf": [*(table for _, table in chosen), {}],
        "additionalProperties": True,
    }


def _reached(part: Any, definitions: Mapping[str, Schema]) -> set[str]:
    """The definitions that it stands on."""
    reached: set[str] = set()
    parts = [part]
    while parts:
        match parts.pop():
            case {"$ref": str(ref), **rest}:
                name = ref.removeprefix(_DEFINITIONS)
                parts += [*rest.values(), *([] if name in reached else [definitions[name]])]
                reached.add(name)
            case dict() as table:
                parts += table.values()
            case list() as array:
                parts += array
    return reached


def _by_name(name: Schema, table: Schema) -> Schema:
    return {"type": "object", "propertyNames": name, "additionalProperties": table}


def _ref(name: str) -> Schema:
    return {"$ref": f"{_DEFINITIONS}{name}"}


def _resolved(made: Schema, definitions: Mapping[str, Schema]) -> Schema:
    return definitions[made["$ref"].removeprefix(_DEFINITIONS)] if "$ref" in made else made


class _Generator(GenerateJsonSchema):
    """Values as people write them: with their units, and never null, which TOML has not."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        made.pop("title", None)
        model: type[BaseModel] = schema["cls"]
        for name, field in model.model_fields.items():
            _explain(made["properties"][key_of(name, field)], field)
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:  # noqa: ARG002
        """Another's driver may validate in a way that says nothing of what it takes: anything may stand there."""
        return {}


def _explain(made: Schema, field: FieldInfo) -> None:
    """Bounds of what has a unit are words: the schema sees a text."""
    if made.get("type") not in ("integer", "number"):
        for key in _BOUNDS:
            made.pop(key, None)
        if words := bounds(field):
            made["description"] = f"{made.get('description', '')} {words.capitalize()}.".lstrip()
    default = None if field.is_required() else writer(field)(field.default)
    if isinstance(default, bool | int | float | str) and default != "":
        made["default"] = default
