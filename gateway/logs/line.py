"""One line of the log as all forms of it have it: bounded, and without a character that a terminal would obey."""

import logging
import traceback
from collections.abc import Mapping
from typing import NamedTuple

from gateway.logs.fields import FIELDS, TRACE

MOST_TEXT = 4096
MOST_FIELD = 256
MOST_TRACE = 16_384
"""Characters; of what is longer, the middle is left out."""


class Line(NamedTuple):
    created: float
    level: int
    text: str
    fields: Mapping[str, str]
    trace: tuple[str, ...] = ()
    """What stands below it, such as where a bug is."""

    @classmethod
    def of(cls, record: logging.LogRecord) -> "Line":
        own = vars(record)
        return cls(
            created=record.created,
            level=record.levelno,
            text=safe(record.getMessage(), MOST_TEXT),
            fields={name: safe(own[name], MOST_FIELD) for name in FIELDS if name in own},
            trace=tuple(_trace(record)),
        )


def safe(text: str, most: int) -> str:
    return shortened(escaped(shortened(text, most)), most)


def escaped(text: str) -> str:
    r"""Line ends, terminal escapes, what turns the direction of writing, and all else that is not seen, as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )


def shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = most // 2
    return f"{text[:kept]} … {len(text) - 2 * kept} characters left out … {text[-kept:]}"


def _trace(record: logging.LogRecord) -> list[str]:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts += traceback.format_exception(*record.exc_info)
    parts += [each for each in (record.stack_info, vars(record).get(TRACE)) if each]
    # Not splitlines(): to that, an instrument's text has many line ends.
    lines = shortened("".join(parts), MOST_TRACE).rstrip("\n").split("\n")
    return [safe(each, MOST_TEXT) for each in lines if each]
