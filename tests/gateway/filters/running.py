"""Filters from what one writes, driven by a table of moments."""

from collections.abc import Iterable
from math import inf
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from gateway.filters.chain import Chain
from gateway.filters.choice import AnyFilter
from gateway.filters.filter import Values
from gateway.model import Value

_LIST: TypeAdapter[Any] = TypeAdapter(tuple[AnyFilter, ...])

Moments = list[tuple[float, Value]]


def chain(*written: dict[str, Any]) -> Chain:
    return Chain(_LIST.validate_json(to_json(written), strict=True))


def outcome(
    chain: Chain, said: Iterable[tuple[float, Values]], until: float = 0.0
) -> list[tuple[float, Values]]:
    """What comes out when, for values that come in when; woken exactly when due, `until` then included."""
    out: list[tuple[float, Values]] = []

    def wake(now: float) -> None:
        while (due := chain.due) <= now and due < inf:
            out.extend((due, dict(values)) for values in chain.tick(due))

    for now, values in said:
        wake(now)
        if passed := chain.take(values, now):
            out.append((now, dict(passed)))
    wake(until)
    return out


def through(said: Moments, *written: dict[str, Any], until: float = 0.0) -> Moments:
    """The same for one metric."""
    out = outcome(chain(*written), [(now, {"x": value}) for now, value in said], until)
    return [(round(now, 9), values["x"]) for now, values in out]
