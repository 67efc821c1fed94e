"""Names in an expression: devices and metrics may be called what no Python name can be."""

import keyword
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from difflib import get_close_matches
from functools import cached_property

from gateway.filters.filter import Names

THIS = "this"
"""In a rule for each of several devices: the one it is about."""


class BadExpression(ValueError):
    """It cannot be used; `column` counts characters from 0."""

    def __init__(self, column: int, text: str) -> None:
        super().__init__(f"character {column + 1}: {text}")
        self.column = column
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What is known of a device's metrics before it has said anything."""

    metrics: Collection[str] = ()
    """`*` stands for what the instrument chooses."""
    complete: bool = False
    """Whether it cannot report any other."""

    def knows(self, metric: str) -> bool:
        return metric in Names(self.metrics)


@dataclass(frozen=True)
class Site:
    """What an expression may speak of."""

    devices: Mapping[str, Instrument]
    zone: tzinfo = UTC
    """Of hour() and weekday()."""

    @cached_property
    def _tokens(self) -> re.Pattern[str]:
        known = "|".join(map(re.escape, sorted(self.devices, key=len, reverse=True))) or "(?!)"
        return re.compile(
            r"""(?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""
            rf"|(?<![\w.])(?P<device>{known})(?=\s*(?:\.\s*[^\W\d]|\[))"
            rf"|(?<![\w.])(?:age|stale|offline)\s*\(\s*(?P<argument>{known})(?=\s*\))"
            r"|\.\s*(?P<metric>[^\W\d]\w*)"
            r"""|[\t\n\r]|(?P<bad>[#\\;'"\x00-\x1f\x7f])"""
        )

    def masked(self, text: str) -> str:
        """As long as the text, and for Python's parser: names stand for devices and metrics.

        A name is tried against the known devices first, the longest first: in a site with a device `rack-1`,
        `rack-1.power` is not `rack` minus something.
        """

        def mask(match: re.Match[str]) -> str:
            whole = match[0]
            if match["bad"]:
                raise BadExpression(match.start(), _BAD.get(whole, "this character cannot stand here"))
            if match["text"]:
                return whole
            whole = whole.translate(_BLANKS)
            name = match["device"] or match["argument"] or match["metric"]
            if match["device"] and keyword.iskeyword(name) and text[match.end() :].lstrip().startswith("["):
                return whole  # a list behind in, whatever is called so
            if not name or (match["metric"] and name.isascii() and not keyword.iskeyword(name)):
                return whole
            return whole.removesuffix(name) + "_" * len(name)

        return self._tokens.sub(mask, text)


_BLANKS = str.maketrans("\t\n\r", "   ")
_BAD = {
    "#": "a comment cannot stand in an expression",
    "\\": "a backslash can stand in a text only",
    ";": "an expression cannot hold several",
    "'": "this text does not end",
    '"': "this text does not end",
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a complaint: the nearest name, or else all, if they are few."""
    names = [*known]
    spellings = {each.lower().replace("-", "_"): each for each in names}
    near = get_close_matches(word.lower().replace("-", "_"), spellings, n=1)
    if near:
        return f': did you mean "{spellings[near[0]]}"?'
    few = 12
    return f"; known are {', '.join(names)}" if 0 < len(names) <= few else ""
