"""How much the log says, for a while: the verb `log/level`."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gateway.errors import Refused
from gateway.logs import set_level
from gateway.request import Request, Text
from gateway.rules.names import did_you_mean
from gateway.units import Duration, written_duration

log = logging.getLogger(__name__)

LONGEST_S = 86_400.0
"""Who wants to read more for longer writes it into the configuration."""

OURS = ("gateway", "drivers", "serialx", "mqtt", "asyncio")
"""Whose loggers can be asked for, and those below them."""


def _bounded(seconds: float) -> float:
    if not 0 < seconds <= LONGEST_S:
        raise ValueError("must be longer than nothing, and a day at most")
    return seconds


class _Wanted(Request):
    level: Literal["debug", "info"]
    for_s: Annotated[Duration, AfterValidator(_bounded)] = Field(alias="for")
    logger: Text = ""
    """Empty: all of them."""


class Loudness:
    """It lets the log say more, never less: nobody is to hide in it what he does."""

    def __init__(self) -> None:
        self._back: dict[str, tuple[int, asyncio.TimerHandle]] = {}
        """Of each logger that says more: its level before, and the end of that."""

    def change(self, request: dict[str, Any]) -> Mapping[str, Any]:
        """The verb. Raises: Refused."""
        wanted = _Wanted.of(request)
        name = wanted.logger
        if name and name not in (known := _loggers()):
            raise Refused(f"there is no logger {name}{did_you_mean(name, known)}")
        self._restore(name)
        logger = logging.getLogger(name or None)
        now = logger.getEffectiveLevel()
        if logging.getLevelNamesMapping()[wanted.level.upper()] > now:
            level = logging.getLevelName(now).lower()
            raise Refused(f"the level is {level} already: log/level lets the log say more, not less")
        end = partial(self._end, name, wanted.level)
        handle = asyncio.get_running_loop().call_later(wanted.for_s, end)
        self._back[name] = (logger.level, handle)
        _set(name, wanted.level)
        return {"logger": name, "level": wanted.level, "for": written_duration(wanted.for_s)}

    def end(self) -> None:
        """What is configured holds again."""
        for name in [*self._back]:
            self._restore(name)

    def _end(self, name: str, level: str) -> None:
        self._restore(name)
        log.info("the time is over in which %s was logged%s", level, f" of {name}" if name else "")

    def _restore(self, name: str) -> None:
        if name in self._back:
            level, handle = self._back.pop(name)
            handle.cancel()
            _set(name, logging.getLevelName(level))


def _set(name: str, level: str) -> None:
    if name:
        logging.getLogger(name).setLevel(level.upper())
    else:
        set_level(level.lower())


def _loggers() -> list[str]:
    return [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in OURS]
