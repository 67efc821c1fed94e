"""Words on a terminal: none that it obeys, in tables, and how long something has lasted."""

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import orjson


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = [heads, *rows]
    widths = [max(map(_width, column)) for column in zip_longest(*shown, fillvalue="")]
    for row in shown:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _width(text: str) -> int:
    """On a terminal (Unicode Standard Annex 11)."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(char: str) -> int:
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "FW" else 1


def span(seconds: float) -> str:
    """`45s`, `12m`, `3h 5m`, `2d 4h`."""
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    parts = {"d": days, "h": hours, "m": minutes} if whole >= 60 else {"s": whole}  # noqa: PLR2004 - a minute
    said = [f"{number}{unit}" for unit, number in parts.items() if number]
    return " ".join(said[:2]) or "0s"


def plain(value: Any) -> str:
    """For a terminal: without control characters; text as it is, all else as JSON."""
    # orjson escapes those of ASCII only.
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
