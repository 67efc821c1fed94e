"""A file that somebody wrote: what it says, where, and what is wrong there; the only file that knows TOML."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ValidationError

from gateway.config import complaints, syntax
from gateway.config.complaints import Model, Problem, Section
from gateway.config.locator import KeyPath, Places, Position, nearest
from gateway.errors import ConfigError

LARGEST = 4 * 1024 * 1024
"""Bytes of a file; a thousand instruments take a tenth of it."""
DEEPEST = 100
"""Tables in tables."""

_BARE_KEY = re.compile("[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Page:
    path: Path
    text: str
    table: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises: ConfigError."""
        text = _text(path)
        return cls(path, text, _parsed(path, text))

    def lines(self, found: Iterable[Problem]) -> tuple[str, ...]:
        """What is to be said, each once, in the order of their places: `file:line:col: key: what is wrong`."""
        placed = sorted({(self._place(problem), dotted(problem.at), problem.text) for problem in found})
        return tuple(
            f"{self.path}:{at.line}:{at.column}: {key}{': ' if key else ''}{text}" for at, key, text in placed
        )

    def where(self, at: KeyPath) -> str:
        """`file:line:col`, of a value or of the nearest table that would hold it."""
        place = nearest(self._places.positions, at)
        return f"{self.path}:{place.line}:{place.column}"

    @cached_property
    def _places(self) -> Places:
        return Places(self.text)

    def _place(self, problem: Problem) -> Position:
        if problem.character is None or problem.at not in self._places.positions:
            return nearest(self._places.positions, problem.at)
        return self._places.inside(problem.at, problem.character)


def dotted(path: KeyPath) -> str:
    """As in TOML; an array's elements count from 0."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{as_key(part)}" for part in path)[1:]


def as_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def value_of(text: str) -> Any:
    """Of one value as it is written in a file; of what is none, the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:  # no TOML, or a number of thousands of digits
        return text


def validated(
    section: Section[Model],
    folder: Path,
    found: list[Problem],
    everywhere: Mapping[str, type[BaseModel]],
    extra: Literal["ignore"] | None = None,
) -> Model | None:
    """None, when something is wrong, which is then added to `found`.

    Args:
        section: what is written, and the model that it must fit.
        folder: where paths that are not whole begin.
        found: what is wrong.
        everywhere: all tables of such a file, by their headers.
        extra: "ignore" leaves unknown keys alone.
    """
    # As JSON, whose types are TOML's but for dates: strict validation of Python values would
    # refuse an array where a tuple is meant, and a text where an enum or a path is.
    document = json.dumps(section.table, default=str)
    try:
        return section.model.model_validate_json(document, strict=True, context=folder, extra=extra)
    except ValidationError as error:
        found += complaints.problems(error, section, everywhere)
    return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: this is a folder; name the file in it") from error
    except PermissionError as error:
        raise ConfigError(f"{path}: the user that Sallyport runs as may not read it") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise ConfigError(f"{path}: is larger than {LARGEST // 1024**2} MB: this is no configuration")
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
    # Raised out here, like the next one: the error itself carries the file's text, passwords and all.
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    raise ConfigError(f"{path}:{line}:{column}: this character is not UTF-8: save the file as UTF-8")


def _parsed(path: Path, text: str) -> dict[str, Any]:
    refusal = "maximum recursion depth exceeded"
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits
        refusal = str(error)
    else:
        if not _goes_deeper(table, DEEPEST):  # a.a.a.a… stops nobody before it has come here
            return table
    at, reason = syntax.explained(text, refusal)
    raise ConfigError(f"{path}:{at.line}:{at.column}: {reason}")


def _goes_deeper(value: Any, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_goes_deeper(each, levels - 1) for each in inside)
