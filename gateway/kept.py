"""What another process has left in a file, checked where it enters: nobody knows who has had the file since.

All of these raise ValueError for what nobody here has written.
"""

from typing import Any

from gateway.model import Value

LONGEST_S = 1e10
"""No span is longer, so that every moment made of one has a date."""
_LARGEST = 2**62


def text(kept: Any) -> str:
    if isinstance(kept, str):
        return kept
    raise ValueError(f"{kept!r} is no text")


def texts(kept: Any) -> dict[str, str]:
    """By name."""
    if isinstance(kept, dict):
        return {text(name): text(value) for name, value in kept.items()}
    raise ValueError(f"{kept!r} holds no texts")


def truth(kept: Any) -> bool:
    if isinstance(kept, bool):
        return kept
    raise ValueError(f"{kept!r} is neither true nor false")


def number(kept: Any) -> int:
    """A count, or nanoseconds since 1970."""
    if isinstance(kept, int) and not isinstance(kept, bool) and abs(kept) < _LARGEST:
        return kept
    raise ValueError(f"{kept!r} is no whole number, or too large")


def span(kept: Any) -> float:
    """Seconds."""
    if isinstance(kept, int | float) and not isinstance(kept, bool) and abs(kept) <= LONGEST_S:
        return float(kept)
    raise ValueError(f"{kept!r} is no span of time")


def span_or_none(kept: Any) -> float | None:
    return None if kept is None else span(kept)


def value(kept: Any) -> Value:
    if isinstance(kept, bool | int | float | str):
        return kept
    raise ValueError(f"{kept!r} is no value")
