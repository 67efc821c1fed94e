"""What pydantic refuses, in the words of the person who wrote the file.

pydantic's own messages are for programmers, and they repeat the value they refuse, which may be a password.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from difflib import get_close_matches
from types import SimpleNamespace
from typing import Any, Generic, NamedTuple, TypeVar, cast, get_args

from pydantic import BaseModel, PlainSerializer, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.config.locator import KeyPath

_RULES = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a text in quotes",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "list_type": "must be an array",
    "tuple_type": "must be an array",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "multiple_of": "must be a multiple of {multiple_of:g}",
    "finite_number": "must be a finite number",
    "string_too_short": "must have {min_length} characters or more",
    "string_too_long": "must have no more than {max_length} characters",
    "too_short": "must have {min_length} items or more",
    "too_long": "must have no more than {max_length} items",
    "string_pattern_mismatch": "must match {pattern}",
    "json_invalid": "a value is nested too deeply",
}
"""By pydantic's error type; a bound, a missing key and an unknown key need more than a sentence."""

_BOUND_ERRORS = ("greater_than_equal", "greater_than", "less_than_equal", "less_than")
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}

_OTHER_WORDS = {
    "address": "url",
    "average": "mean",
    "broker": "url",
    "bytesize": "data_bits",
    "calibrate_linear": "calibrate",
    "calibrate_polynomial": "calibrate",
    "condition": "when",
    "device": "port",
    "duration": "for",
    "expr": "when",
    "exponential_moving_average": "exponential_average",
    "host": "url",
    "hysteresis": "clear",
    "if": "when",
    "multiply": "scale",
    "only_valid_range": "valid_range",
    "path": "port",
    "port": "url",
    "protocol": "driver",
    "server": "url",
    "sliding_window_moving_average": "moving_average",
    "ssl": "tls",
    "throttle_average": "mean",
    "topic": "prefix",
    "tty": "port",
    "type": "driver",
    "user": "username",
}
"""What other programs call a key that some table has."""

_NUMBER = re.compile(r"\d+(\.\d+)?")
_LONGEST_QUOTE = 60

Model = TypeVar("Model", bound=BaseModel)
Class = TypeVar("Class")


class Problem(NamedTuple):
    at: KeyPath
    text: str
    character: int | None = None
    """Of the text that stands there, from 0: which one is wrong."""


@dataclass(frozen=True, slots=True)
class Section(Generic[Model]):
    """A part of the file that one model validates."""

    at: KeyPath
    table: Mapping[str, Any]
    """What is written there."""
    model: type[Model]


def problems(
    error: ValidationError, section: Section[Model], everywhere: Mapping[str, type[BaseModel]]
) -> Iterator[Problem]:
    """One for each thing the model refused. `everywhere`: all tables of a file, by their headers."""
    for details in error.errors(include_url=False, include_input=False):
        loc = tuple(part for part in details["loc"] if part != "[key]")
        path, found = _reached(section.table, loc)
        fields, models = _trail(section.model, loc)
        match details["type"]:
            case "missing":
                path, text = loc, f"missing. {fields[-1].description or ''}".rstrip()
            case "extra_forbidden":
                text = _unknown(section, loc, found, everywhere)
            case _:
                text = _rule(details, fields)
                about_a_key = loc != details["loc"]
                about_a_whole_table = bool(models) and isinstance(found, dict) and text != _RULES["list_type"]
                if text and not about_a_key and not about_a_whole_table and not any(map(_secret, fields)):
                    text += f"; found {_described(found)}{_advice(found, text)}"
        yield Problem((*section.at, *path), text or details["msg"])


def _reached(table: Any, loc: KeyPath) -> tuple[KeyPath, Any]:
    """How much of a location is in the file, and what stands there: pydantic may add the names of types."""
    path: KeyPath = ()
    for part in loc:
        try:
            table = table[part]
        except (KeyError, IndexError, TypeError):
            break
        path = (*path, part)
    return path, table


def _trail(model: type[BaseModel], loc: KeyPath) -> tuple[list[FieldInfo], list[type[BaseModel]]]:
    """The fields on the way to a location below `model`, and the models that may stand there."""
    fields: list[FieldInfo] = []
    models = [model]
    for part in loc:
        met = [field for each in models if (field := _keys(each).get(str(part)))]
        if met:  # otherwise the part is a key of a mapping or the index of an array
            fields += met
            models = [nested for field in met for nested in _mentioned(field.annotation, BaseModel)]
    return fields, models


def tables(field: FieldInfo) -> list[type[BaseModel]]:
    """The models of the tables that may stand in a field."""
    return list(dict.fromkeys(_mentioned(field.annotation, BaseModel)))


def key_of(name: str, field: FieldInfo) -> str:
    """What one writes in the file for a model's field: `class` for a field `class_` with that alias."""
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def _keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {key_of(name, field): field for name, field in model.model_fields.items()}


def _mentioned(annotation: Any, kind: type[Class]) -> Iterator[type[Class]]:
    if isinstance(annotation, type) and issubclass(annotation, kind):
        yield annotation
    for part in get_args(annotation):
        yield from _mentioned(part, kind)


def _secret(field: FieldInfo) -> bool:
    return any(True for kind in (SecretStr, SecretBytes) for _ in _mentioned(field.annotation, kind))


def _unknown(
    section: Section[Model], loc: KeyPath, found: Any, everywhere: Mapping[str, type[BaseModel]]
) -> str:
    key = str(loc[-1])
    _, models = _trail(section.model, loc[:-1])
    known = {name: field for model in models for name, field in _keys(model).items()}
    homes = [header for header, model in everywhere.items() if key in _keys(model)]
    if isinstance(found, dict) and not section.at and len(loc) == 1:
        return f"unknown table; {_table_meant(key, found, sorted(known), homes)}"
    if (meant := _OTHER_WORDS.get(key.lower())) in known:
        return f'unknown key; did you mean "{meant}"? {known[meant].description or ""}'.rstrip()
    if homes:
        return f'unknown key; "{key}" belongs in {" or ".join(homes)}'
    if (meant := closest(key, sorted(known))) is not None:
        return f'unknown key; did you mean "{meant}"?'
    return f"unknown key; allowed are {listed(sorted(known))}"


def _table_meant(key: str, table: Mapping[str, Any], known: list[str], homes: list[str]) -> str:
    meant = closest(key, known)
    if table.keys() & {"driver", "port"}:
        meant = f"devices.{key}"
    elif homes:
        meant = f"{homes[0].strip('[]')}.{key}"
    elif meant and table and all(isinstance(value, dict) for value in table.values()):
        meant = f"{meant}.{next(iter(table))}"
    return f"did you mean [{meant}]?" if meant else f"allowed are {listed(known)}"


def _rule(details: ErrorDetails, fields: list[FieldInfo]) -> str:
    """What is allowed; empty where a validator's message is a finished sentence."""
    kind, context = details["type"], details.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in _BOUND_ERRORS:
        return f"must be {bounds(fields[-1], SimpleNamespace(**context))}"
    if context.get("min_length") == 1:
        return "must not be empty"
    return _RULES.get(kind, "").format(**context).replace("'", '"')


def bounds(field: FieldInfo, *further: object) -> str:
    """What a value may be, as one writes it: `between 1s and 10m`; empty where anything may.

    `further`: where its bounds are, besides the field itself.
    """
    limits = {
        name: writer(field)(limit)
        for name in _BOUNDS
        for constraint in (*further, *field.metadata)
        if (limit := getattr(constraint, name, None)) is not None
    }
    if limits.keys() == {"ge", "le"}:
        return f"between {limits['ge']} and {limits['le']}"
    return " and ".join(f"{_BOUNDS[name]} {limit}" for name, limit in limits.items())


def writer(field: FieldInfo) -> Callable[[Any], Any]:
    """From a field's value to what one writes in the file."""
    for each in field.metadata:
        if isinstance(each, PlainSerializer):
            return cast("Callable[[Any], Any]", each.func)
    return lambda value: value


def _described(value: Any) -> str:
    match value:
        case bool():
            described = str(value).lower()
        case int() | float():
            described = f"the number {value}"
        case str():
            described = f"the text {_quoted(value)}"
        case date() | time():
            described = "a date or time"
        case list():
            described = "an array"
        case _:
            described = "a table"
    return described


def _quoted(text: str) -> str:
    # A URL may hold a password before its @.
    name, _, host = text.rpartition("@")
    shown = f"…@{host}" if name else text
    if len(shown) > _LONGEST_QUOTE:
        shown = shown[:_LONGEST_QUOTE] + "…"
    return json.dumps(shown, ensure_ascii=False)


def _advice(value: Any, rule: str) -> str:
    """How to write what was probably meant."""
    is_text, text = isinstance(value, str), str(value)
    quoted = re.findall('"([^"]*)"', rule)
    bare = re.findall(r"[\w.]+", re.sub('"[^"]*"', "", rule))
    is_number = _NUMBER.fullmatch(text) is not None
    advice = ""
    if isinstance(value, list) and rule == _RULES["dict_type"]:
        advice = ": write the header in single brackets, [name] instead of [[name]]"
    elif isinstance(value, dict) and rule == _RULES["list_type"]:
        advice = ": put square brackets around it, [{ … }]"
    elif (is_text or is_number) and rule == _RULES["list_type"]:
        advice = f": write [{_quoted(text) if is_text else text}]"
    elif is_number and "duration" in bare:
        advice = f': write "{text}s"'
    elif is_text and (text in bare or (is_number and "number" in bare)):
        advice = f": write {text} without quotes"
    elif is_number and not is_text and text in quoted:
        advice = f': write "{text}" in quotes'
    elif is_text and rule.startswith('must be "') and (meant := closest(text, quoted)):
        advice = f': did you mean "{meant}"?'
    return advice


def closest(word: str, known: list[str]) -> str | None:
    """The one that was probably meant."""
    word = _plain(word)
    spellings = {_plain(name): name for name in known}
    near = get_close_matches(word, spellings, n=1) or [each for each in spellings if each.startswith(word)]
    return spellings[near[0]] if len(near) == 1 else None


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def listed(words: list[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
