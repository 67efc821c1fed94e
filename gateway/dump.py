"""What every task and thread is doing at this moment, and what waits where: into the log, or as an answer.

Places in the program, names of the configuration and numbers: no value and no secret.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

import orjson

from gateway import stacks
from gateway.errors import Refused
from gateway.logs import about
from gateway.pacing.throttle import Throttle
from gateway.request import Nothing

log = logging.getLogger(__name__)

MOST_BYTES = 128 * 1024
"""Of the stacks in an answer."""
MOST_NAMES = 20
PERIOD_S = 1.0
"""Between two answers: to look at everything takes the loop some milliseconds."""


class Group(NamedTuple):
    """Tasks or threads that are at the same place: a hundred devices wait for bytes in the same words."""

    names: list[str]
    """The first `MOST_NAMES`."""
    total: int
    stack: list[str]
    """The outermost call first."""

    @property
    def size(self) -> int:
        return sum(map(len, chain(self.names, self.stack)))

    @property
    def title(self) -> str:
        more = self.total - len(self.names)
        return ", ".join(self.names) + (f" and {more} more" if more else "")


class Dump:
    def __init__(self) -> None:
        self._depths: Callable[[], Mapping[str, Any]] = dict
        self._wanted = False
        self._answers = Throttle(PERIOD_S)

    def ready(self, depths: Callable[[], Mapping[str, Any]]) -> None:
        """The gateway runs. `depths` is called in the loop."""
        self._depths = depths

    def ask(self) -> None:
        """Have it written to the log, at the next `look`.

        That is all that a signal's handler may do: it may have interrupted whoever holds any lock.
        """
        self._wanted = True

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread, so that a loop that stands still can be seen, too."""
        if self._wanted:
            self._wanted = False
            for kind, found in (("tasks", stacks.tasks(loop)), ("threads", stacks.threads())):
                for group in _grouped(found):
                    _say(f"dump: {kind} {group.title}:", "\n".join(group.stack))
            loop.call_soon_threadsafe(self._say_depths)

    def tell(self, request: dict[str, Any]) -> Mapping[str, Any]:
        """The verb. Raises: Refused."""
        Nothing.of(request)
        loop = asyncio.get_running_loop()
        if not self._answers.passes(loop.time()):
            raise Refused("it was asked for a moment ago: once a second is enough")
        room, left_out = MOST_BYTES, 0
        told: dict[str, list[dict[str, Any]]] = {"tasks": [], "threads": []}
        for kind, found in (("tasks", stacks.tasks(loop)), ("threads", stacks.threads())):
            for group in _grouped(found):
                room -= group.size
                if room >= 0:
                    told[kind].append(group._asdict())
                else:
                    left_out += group.total
        return {**told, "left_out": left_out, "queues": self._depths()}

    def _say_depths(self) -> None:
        for name, depths in self._depths().items():
            _say(f"dump: queues: {name}: {orjson.dumps(depths).decode()}")


def _grouped(found: Iterable[stacks.Stack]) -> Iterator[Group]:
    names: dict[str, list[str]] = defaultdict(list)
    for stack in found:
        names[stack.places].append(stack.whose.partition(" ")[2])
    for places, those in names.items():
        yield Group(those[:MOST_NAMES], len(those), places.split("\n"))


def _say(text: str, trace: str = "") -> None:
    """Whatever is logged otherwise, and unrationed: somebody has asked for it."""
    record = log.makeRecord(
        log.name, logging.DEBUG, __file__, 0, "%s", (text,), None, extra=about(trace=trace)
    )
    log.handle(record)
