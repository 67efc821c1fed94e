"""A condition, taken apart: what each part of it is."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.model import Stamp, Value
from gateway.rules.coder import Coder
from gateway.rules.expression import Expression
from gateway.rules.memory import Memory
from gateway.rules.names import Site
from gateway.rules.unknown import Unknown

Judge = Callable[[Stamp], Value | Unknown]


class Clause(NamedTuple):
    text: str
    depth: int
    """0 for the whole."""
    judge: Judge
    operands: Sequence[tuple[str, Judge]]
    """What it compares, by its text."""


def clauses(text: str, site: Site, each: Sequence[str] | None, memory: Memory, this: str) -> list[Clause]:
    """Of an expression that compiles; to be made before the memory is fed, as windows begin with what comes next."""

    def bound(start: int, end: int, *, condition: bool) -> Judge:
        return Expression(text[start:end], site, each=each, condition=condition).bind(memory, this).judge

    return [
        Clause(
            _on_one_line(text[part.start : part.end]),
            part.depth,
            bound(part.start, part.end, condition=True),
            [
                (_on_one_line(text[start:end]), bound(start, end, condition=False))
                for start, end in part.operands
            ],
        )
        for part in Coder(text, site, each).parts()
    ]


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
