"""Where the log goes and how it looks there."""

import logging
import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, TextIO

from gateway.logs.fields import MessageId, about
from gateway.logs.forms import Form, as_json, coloured, plain, prefixed, prefixed_json, priority
from gateway.logs.journald import Journald, leads_to_journald
from gateway.logs.line import escaped
from gateway.logs.rationed import Rationed
from gateway.logs.tail import Tail

log = logging.getLogger(__name__)

LogFormat = Literal["auto", "text", "json"]


def start_logging(level: str, form: LogFormat = "auto", tail: Tail | None = None) -> None:
    """From now on; may be called again, when the configuration has changed. Rations go on in the same form.

    `tail`: keeps the last lines, too.
    """
    root = logging.getLogger()
    if not any(each.name == form for each in root.handlers):
        outlets = [_outlet(form, sys.stderr, os.environ), *([] if tail is None else [tail])]
        outlet = Rationed(*outlets)
        outlet.name = form
        logging.basicConfig(handlers=[outlet], force=True)
    set_level(level)
    sys.excepthook = _log_bug


def set_level(level: str) -> None:
    """Of everything that has no level of its own."""
    logging.getLogger().setLevel(level.upper())
    # Libraries speak through our own lines; at their own info level they would report each packet.
    for library in ("asyncio", "mqtt"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # At debug level serialx shows the raw bytes, which is what one looks for then.
    logging.getLogger("serialx").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


def complaint(text: str) -> str:
    """What ends a command, as one line for standard error."""
    prefix = f"<{priority(logging.ERROR)}>" if leads_to_journald(sys.stderr, os.environ) else ""
    return prefix + escaped(text)


def _outlet(form: LogFormat, stream: TextIO, environment: Mapping[str, str]) -> logging.Handler:
    journald = leads_to_journald(stream, environment)
    if journald and form == "auto":
        return Journald(stream)
    if form == "json":
        lay_out = prefixed_json if journald else as_json
    elif journald:
        lay_out = prefixed
    else:
        lay_out = coloured if _shows_colours(stream, environment) else plain
    outlet = logging.StreamHandler(stream)
    outlet.setFormatter(Form(lay_out))
    return outlet


def _shows_colours(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Source: no-color.org."""
    return stream.isatty() and environment.get("TERM") != "dumb" and not environment.get("NO_COLOR")


def _log_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Of what ends the process: Python's own way to say so would let through whatever stands in the error."""
    log.critical(
        "sallyport: a bug, please report it", exc_info=(kind, error, trace), extra=about(MessageId.BUG)
    )
