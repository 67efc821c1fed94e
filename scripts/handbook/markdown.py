"""Markdown as GitHub shows it."""

import re
from collections.abc import Iterable, Sequence

_QUOTED = re.compile(r"(`[^`]*`)")


def prose(text: str) -> str:
    """Words of the program, in which nothing is markup but what stands between backticks."""
    parts = _QUOTED.split(text)
    parts[::2] = [part.replace("<", "&lt;").replace("*", "\\*") for part in parts[::2]]
    return "".join(parts)


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def anchor(heading: str) -> str:
    """What GitHub calls a heading in a link."""
    words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return words.replace(" ", "-")
