"""Names that a command line may hold: of what is installed, what is configured, what runs."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import drivers
from gateway import intercom
from gateway.commands.listing import plain
from gateway.config.page import Page
from gateway.config.rules import BUILT_IN
from gateway.errors import ConfigError
from gateway.filters.choice import FILTERS


def names(of: str, config: Path) -> Iterator[tuple[str, str]]:
    """With an explanation each. `of`: the argument, as the parser calls it."""
    match of:
        case "driver" | "drivers":
            yield from ((name, "") for name in drivers.names())
        case "filter":
            yield from ((name, each.model_fields[name].description or "") for name, each in FILTERS.items())
        case "device" | "devices":
            yield from ((name, "") for name in _tables(config, "devices"))
        case "rule":
            yield from ((name, "") for name in dict.fromkeys([*_tables(config, "rules"), *BUILT_IN]))
        case "gateway":
            yield from ((path.stem, "") for path in intercom.running())


def _tables(config: Path, key: str) -> list[str]:
    """None if it cannot be read."""
    with suppress(ConfigError):
        tables = Page.read(config).table.get(key)
        if isinstance(tables, dict):
            return [name for name in tables if name == plain(name)]  # a terminal would obey the others
    return []
