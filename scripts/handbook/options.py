"""The options of a table: what one writes, the default, the bounds, what they mean, how a reload changes them."""

import types
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.config import Config, key_of, tables, written
from gateway.config.broker_url import BrokerUrl
from gateway.config.complaints import bounds
from gateway.config.options import Sync
from gateway.config.secret import Secret
from gateway.filters.choice import FILTERS
from gateway.plan import Verb, plan
from gateway.units import Duration, DurationOrNever, Size
from scripts.handbook.markdown import code, prose, table

_UNITS = {
    Duration: "duration",
    DurationOrNever: 'duration or `"never"`',
    Sync: 'duration, `"always"` or `"never"`',
    Size: "size",
    Secret: "secret",
}
_MARKS = {get_args(kind)[1]: words for kind, words in _UNITS.items()}
"""By the validator that makes a text such a value."""

_PLAIN: Mapping[type, str] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    Path: "path",
    BrokerUrl: "URL",
}
_OTHER_VALUES = {"url": BrokerUrl("mqtt", "elsewhere", 1883), "urls": (BrokerUrl("mqtt", "elsewhere", 1883),)}
_NOT_SHOWN = "—"

Nested = tuple[str, type[BaseModel]]
"""A table in a table: the key that it belongs to, and what may stand in it."""


def rows(
    model: type[BaseModel],
    at: str,
    effects: Mapping[str, str] | None = None,
    *,
    but: frozenset[str] = frozenset(),
) -> str:
    """A table of all options, each with an anchor; `but` leaves some out."""
    columns = ["option", "is", "default", "", *(["changed by a reload"] if effects is not None else [])]
    lines = [
        [
            f'<a id="{at}.{key}"></a>{code(key)}',
            kind(field),
            default(field),
            meaning(field),
            *([effects[key]] if effects is not None else []),
        ]
        for key, field in fields(model).items()
        if key not in but
    ]
    return table(columns, lines)


def fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    return {key_of(name, field): field for name, field in model.model_fields.items()}


def nested(model: type[BaseModel], *, known: tuple[type[BaseModel], ...] = ()) -> Iterator[Nested]:
    """Tables that options are made of, and theirs; filters have a page of their own."""
    for key, field in fields(model).items():
        for inner in tables(field):
            if inner not in (*known, *FILTERS.values()):
                yield key, inner
                yield from (
                    (f"{key}.{deeper}", each) for deeper, each in nested(inner, known=(*known, inner))
                )


def kind(field: FieldInfo) -> str:
    """What one writes."""
    for mark in field.metadata:
        if words := _mark(mark):
            return words
    return _words(field.annotation)


def _mark(mark: object) -> str:
    return next((words for known, words in _MARKS.items() if mark == known), "")


def _words(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        words = next(filter(None, map(_mark, inner[1:])), "") or _words(inner[0])
    elif origin is Literal:
        words = _listed([code(_toml(each)) for each in inner])
    elif origin in (Union, types.UnionType):
        anything = {*inner} >= {str, bool, int, float}
        each_kind = dict.fromkeys(_words(each) for each in inner if each is not type(None))
        words = "any value" if anything else _listed([*each_kind])
    elif origin is tuple:
        count = "" if inner[-1] is Ellipsis else f" of {len(inner)}"
        words = f"array{count}: {_words(inner[0])}"
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        words = f"table, by name: {_words(inner[1])}"
    else:
        words = _simple(annotation)
    return words


def _simple(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _listed([code(_toml(each.value)) for each in annotation])
    return _PLAIN.get(annotation, "text")


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _listed(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory not in (None, dict):
        return _NOT_SHOWN  # of this machine, or a table
    return code(written(field)) or _NOT_SHOWN


def meaning(field: FieldInfo) -> str:
    words = prose(field.description or "")
    if limits := bounds(field):
        words += f" {limits[0].upper()}{limits[1:]}."
    most = next((each.max_length for each in field.metadata if hasattr(each, "max_length")), None)
    if most is not None:
        words += f" No more than {most} {'entries' if kind(field).startswith(('array', 'table')) else 'characters'}."
    return words


def effects(section: str, name: str, model: type[BaseModel]) -> Mapping[str, str]:
    """What a reload does when an option of a table is another one; `name`: of the table, "" for one that is alone.

    Nothing is asked but the plan that the gateway itself makes.
    """
    return {key: _effect(section, name, model, attribute) for attribute, key in _attributes(model)}


def _attributes(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    return ((name, key_of(name, field)) for name, field in model.model_fields.items())


def _effect(section: str, name: str, model: type[BaseModel], attribute: str) -> str:
    field = model.model_fields[attribute]
    required: dict[str, Any] = {
        each: object() for each, about in model.model_fields.items() if about.is_required()
    }
    before = model.model_construct(**required)
    after = before.model_copy(update={attribute: _OTHER_VALUES.get(attribute, object())})
    old, new = (
        Config().model_copy(update={section: {name: options} if name else options})
        for options in (before, after)
    )
    key = field.alias or attribute
    [verb] = [step.verb for step in plan(old, new).steps if key in step.keys]
    match verb, section:
        case Verb.CHANGE, _:
            return "in place"
        case Verb.LATER, _:
            return "at the next start"
        case Verb.RESTART, "devices":
            return "opens the port anew"
        case Verb.RESTART, "mqtt":
            return "connects anew"
        case _:
            return "starts it anew"
