"""How a line of the log looks: for people, for journald without its own protocol, for programs."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from gateway.logs.line import Line

_SYSLOG = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLOURS = {
    logging.DEBUG: _DIM,
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}


class Form(logging.Formatter):
    def __init__(self, lay_out: Callable[[Line], str]) -> None:
        super().__init__()
        self._lay_out = lay_out

    def format(self, record: logging.LogRecord) -> str:
        return self._lay_out(Line.of(record))


def priority(level: int) -> int:
    """As syslog(3) and journald count."""
    return _SYSLOG.get(level, _SYSLOG[logging.INFO])


def plain(line: Line) -> str:
    return _indented(f"{_time(line)} {_level(line)} {line.text}", line)


def coloured(line: Line) -> str:
    colour = _COLOURS.get(line.level, "")
    return _indented(f"{_DIM}{_time(line)}{_RESET} {colour}{_level(line)}{_RESET} {line.text}", line)


def prefixed(line: Line) -> str:
    """`<4>message`: journald takes the priority from there and adds the time itself (sd-daemon(3))."""
    return _with_priority(_indented(line.text, line), line)


def as_json(line: Line) -> str:
    """One object, with its fields in small letters."""
    time = datetime.fromtimestamp(line.created, UTC).isoformat(timespec="milliseconds")
    said: dict[str, object] = {
        "time": time.replace("+00:00", "Z"),
        "level": logging.getLevelName(line.level).lower(),
        "message": line.text,
        **{name.lower(): value for name, value in line.fields.items()},
    }
    if line.trace:
        said["trace"] = line.trace
    return orjson.dumps(said).decode()


def prefixed_json(line: Line) -> str:
    return _with_priority(as_json(line), line)


def _with_priority(text: str, line: Line) -> str:
    prefix = f"<{priority(line.level)}>"
    return "\n".join(prefix + each for each in text.split("\n"))


def _indented(first: str, line: Line) -> str:
    # So that no text in a traceback passes for a line of its own.
    return "\n    ".join((first, *line.trace))


def _time(line: Line) -> str:
    return datetime.fromtimestamp(line.created, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _level(line: Line) -> str:
    return f"{logging.getLevelName(line.level):<7}"
