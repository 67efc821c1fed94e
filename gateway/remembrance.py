"""What rules and notifications must not forget over a restart: one small file beside the journal.

    {"version": 1, "boot": "…", "mono": 123.4, "wall_ns": 17…, "synchronised": true, "parts": {"rules": {…}, …}}

It is written anew, beside the old one, and takes its place: whoever kills the process finds one or the other, whole.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from gateway.kept import number, span, truth
from gateway.model import Clock, Stamp

log = logging.getLogger(__name__)

VERSION = 1
RESTLESS_S = 5.0
"""So far apart are two writings at least, when only waits have begun or ended: a value that flickers must not
wear out an SD card. The first after a rest is at once."""
WEIGHTY_S = 0.05
"""And so far when an alert, a command or a message is to be remembered."""
RETRY_S = 30.0
PATIENCE_S = 1.0
"""For a disk that hangs: no alert waits longer for it."""


@dataclass(frozen=True, slots=True)
class Memento:
    """What was found at the start."""

    parts: Mapping[str, Any]
    outage_s: float
    """How long nobody was there, as well as that can be known; 0 when it cannot."""
    same_boot: bool
    """Whether the machine has not been started since: what was written to any file is still there."""


class Remembrance:
    """`note` says that something has changed, `run` writes it down. No path: nothing is kept."""

    def __init__(
        self, path: Path | None, boot: str, clock: Clock, parts: Callable[[], Mapping[str, Any]]
    ) -> None:
        self.writing = False
        """The disk has not answered yet."""
        self.writes = 0
        self._path = path
        self._boot = boot
        self._clock = clock
        self._parts = parts
        self._changed = asyncio.Event()
        self._weighty = asyncio.Event()
        self._wrote = asyncio.Event()
        self._noted = self._written = 0
        self._trouble = ""
        # One thread: what is written later lies on the disk later, even if nobody waits for the former any more. Its
        # name is one that the stop of the process does not wait for without end.
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal: rules")

    def found(self) -> Memento | None:
        """What another process has left; one that cannot be read is set aside, and said so."""
        if self._path is None:
            return None
        try:
            return self._read(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.set_aside(error)
            return None

    def set_aside(self, error: Exception) -> None:
        """It holds what nobody here has written."""
        assert self._path is not None
        aside = self._path.with_name(f"{self._path.name}.unreadable")
        log.warning(
            "rules: what they remembered cannot be read (%s); it is set aside as %s. Waits, silences and notifications"
            " begin anew",
            _reason(error),
            aside,
        )
        try:
            self._path.replace(aside)
        except OSError:
            log.debug("rules: it cannot be set aside either", exc_info=True)

    def note(self, *, weighty: bool) -> None:
        self._noted += 1
        self._changed.set()
        if weighty:
            self._weighty.set()

    async def settled(self) -> None:
        """Returns when all that has been noted by now is on the disk, or cannot be written soon."""
        noted = self._noted
        if self._written < noted:  # even what is light is not left for later while somebody waits for it
            self._weighty.set()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while self._path is not None and not self._trouble and self._written < noted:
                    await self._wrote.wait()
        except TimeoutError:
            self._fall_into_trouble("the disk does not answer")

    async def close(self) -> None:
        """The last word; when nobody runs it any more."""
        self.note(weighty=True)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.write()
        except TimeoutError:
            self._fall_into_trouble("the disk does not answer")
        self._disk.shutdown(wait=False)

    async def run(self) -> None:
        """Until it is cancelled, then `close` says the last word; at once where nothing is kept."""
        while self._path is not None:
            await self._changed.wait()
            await self.write()
            if self._trouble:
                await asyncio.sleep(RETRY_S)
                self._changed.set()
                continue
            try:
                async with asyncio.timeout(RESTLESS_S):
                    await asyncio.sleep(WEIGHTY_S)
                    await self._weighty.wait()
            except TimeoutError:
                pass

    async def write(self) -> None:
        if self._path is None:
            return
        noted = self._noted
        self._changed.clear()
        self._weighty.clear()
        loop, work = asyncio.get_running_loop(), partial(put_in_place, self._path, self._content())
        self.writing = True
        try:
            await loop.run_in_executor(self._disk, work)
        except OSError as error:
            self._fall_into_trouble(error.strerror or repr(error))
        else:
            if self._trouble:
                log.info("rules: what they remember is written to %s again", self._path)
            self._trouble = ""
            self._written = noted
        finally:
            self.writing = False
            self.writes += 1
        wrote, self._wrote = self._wrote, asyncio.Event()
        wrote.set()

    def _fall_into_trouble(self, why: str) -> None:
        if not self._trouble:
            log.warning("rules: what they remember cannot be written to %s: %s", self._path, why)
        self._trouble = why

    def _content(self) -> bytes:
        now = self._clock()
        return orjson.dumps(
            {
                "version": VERSION, "boot": self._boot, "mono": now.mono, "wall_ns": now.wall_ns,
                "synchronised": now.synchronised, "parts": self._parts(),
            }
        )  # fmt: skip

    def _read(self, content: bytes) -> Memento:
        data = orjson.loads(content)
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']}")
        now = self._clock()
        then = Stamp(number(data["wall_ns"]), span(data["mono"]), truth(data["synchronised"]))
        # The same start of the machine, the same monotonic clock: exact, whoever sets the one on the wall.
        same_boot = data["boot"] == self._boot
        if same_boot:
            outage_s = now.mono - then.mono
        elif now.synchronised and then.synchronised:
            outage_s = (now.wall_ns - then.wall_ns) / 1e9
        else:
            outage_s = 0.0
        return Memento(data["parts"], max(0.0, outage_s), same_boot)


def _reason(error: Exception) -> str:
    """For people who know no Python."""
    if isinstance(error, OSError):
        return error.strerror or repr(error)
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def put_in_place(path: Path, content: bytes) -> None:
    """Whoever reads it finds what was there before, or all of this. Blocks. Raises: OSError."""
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # else a power cut may leave the new name and none of the content
    fresh.replace(path)
