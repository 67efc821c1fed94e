"""docs/configuration.md."""

from collections.abc import Iterator, Mapping
from typing import get_origin

from pydantic import BaseModel

import drivers
from drivers.asking import AskingOptions
from drivers.driver import DriverOptions
from gateway.config import Config, tables
from gateway.config.rules import BUILT_IN
from scripts.handbook import options
from scripts.handbook.markdown import anchor, code, prose, table

_NOT_WRITTEN = frozenset({"warnings", "further_brokers"})

_BEGINNING = """\
# Configuration reference

Every table and option of the configuration, made by `scripts/docs` of the program itself.
[config/gateway.toml](../config/gateway.toml) has the same options, all commented out, with more words to each: a file
to copy and edit. This page is for looking one up. `sallyport check` holds a file against all of it.

A key that is not listed is an error. How values are written:

| | |
| --- | --- |
| text | in quotes: `"greenhouse"`; in single quotes a backslash is a backslash: `'\\d+'` |
| duration | with its unit: `"250ms"`, `"5s"`, `"10m"`, `"2h"`, `"1d"` |
| size | with its unit: `"64KiB"`, `"512MB"` |
| path | a text; one that does not begin with `/` begins at the folder of the configuration |
| secret | where it is kept: `{ credential = "name" }`, `{ env = "NAME" }` or `{ file = "/path" }`; \
a text works, and is warned about |
| array | in brackets: `["a", "b"]` |
| table | under a header of its own, `[mqtt.tls]`, or in braces: `{ at = 2, type = "u16" }`, in one line |

The last column says how [a reload](reloading.md) changes an option: *in place*, and nothing is interrupted; *connects
anew*, *opens the port anew*, *starts it anew*: what the table is about is stopped and started, and the rest goes on;
*at the next start*, and not before.
"""

_WORDS: Mapping[str, str] = {
    "mqtt": "Each further table `[mqtt.<name>]` is one more broker that gets everything, with the same options; `url`"
    " or `urls` must be written there. An embedded broker begins, moves and ends at the next start only, and so does"
    " all else in its table.",
    "journal": "See [operations](operations.md) for what becomes of a full disk.",
    "rules": "See [alerts](alerts.md), [expressions](expressions.md) and [testing rules](testing-rules.md). Some rules"
    " are there without being written, and a table of the same name changes what it names:"
    f" {', '.join(map(code, BUILT_IN))}.",
    "notify": "See [notifications](notifications.md).",
}
"""Of a table, what none of its options says."""


def page() -> str:
    return "\n".join([_BEGINNING, *_contents(), *_sections()])


def _headers() -> Iterator[tuple[str, str, type[BaseModel]]]:
    """Key, header and model of each table but a device's."""
    for key, field in options.fields(Config).items():
        if key in _NOT_WRITTEN or key == "devices":
            continue
        [model, *_] = tables(field)
        yield key, f"[{key}.<name>]" if _is_named(key) else f"[{key}]", model


def _is_named(key: str) -> bool:
    return get_origin(Config.model_fields[key].annotation) is not None and bool(_mapped(key))


def _mapped(key: str) -> bool:
    return options.kind(Config.model_fields[key]).startswith("table, by name")


def _contents() -> Iterator[str]:
    headers = [(header, Config.model_fields[key].description) for key, header, _ in _headers()]
    headers.append(("[devices.<name>]", Config.model_fields["devices"].description))
    yield table(
        ["table", ""],
        [[f"[`{header}`](#{anchor(header)})", prose(words or "")] for header, words in headers],
    )


def _sections() -> Iterator[str]:
    for key, header, model in _headers():
        yield f"## {code(header)}\n"
        yield f"{prose(Config.model_fields[key].description or '')} {_WORDS.get(key, '')}".rstrip() + "\n"
        effects = options.effects(key, "name" if _is_named(key) else "", model)
        yield options.rows(model, key, effects)
        yield from inner_tables(model, key)
    yield "## `[devices.<name>]`\n"
    yield (
        f"{prose(Config.model_fields['devices'].description or '')} A driver may have other defaults, and options"
        " of its own, on its page.\n"
    )
    effects = options.effects("devices", "name", DriverOptions)
    yield options.rows(DriverOptions, "devices", effects)
    yield from inner_tables(DriverOptions, "devices")
    yield (
        "Those of all devices that are asked, with these drivers: "
        + ", ".join(
            f"[{name}](drivers/{name}.md)"
            for name in drivers.DRIVERS
            if issubclass(drivers.find(name).options, AskingOptions)
        )
        + ":\n"
    )
    effects = options.effects("devices", "name", AskingOptions)
    yield options.rows(AskingOptions, "devices", effects, but=frozenset(DriverOptions.model_fields))
    yield "Filters are described in [filters](filters.md). The drivers, and what each can be told:\n"
    yield table(
        ["driver", "reads", "own options"],
        [
            [
                f"[{name}](drivers/{name}.md)",
                prose(drivers.find(name).summary),
                ", ".join(_own(name)) or _NONE,
            ]
            for name in drivers.DRIVERS
        ],
    )


_NONE = "none"


def _own(name: str) -> Iterator[str]:
    for key in options.fields(drivers.find(name).options):
        if key not in AskingOptions.model_fields:
            yield f"[`{key}`](drivers/{name}.md#{name}.{key})"


def inner_tables(model: type[BaseModel], at: str) -> Iterator[str]:
    """The tables in the options of a table."""
    shown: dict[type[BaseModel], str] = {}
    for path, inner in options.nested(model):
        if inner not in shown:
            shown[inner] = path
            yield f"In a table of `{path}`:\n"
            yield options.rows(inner, f"{at}.{path}")
