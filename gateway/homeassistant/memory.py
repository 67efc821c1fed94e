"""What must not be forgotten over a restart: what each device has shown, and what stands at the brokers.

    {"version": 1, "seen": {"boiler": {"as": "json readable", "metrics": {"t": "number"}}},
     "posted": {"mqtt": {"homeassistant/device/…/config": {"sensor_t": "sensor"}}}}

Without it, after a restart, half of the entities would be gone until their metrics come again, and what has left the
configuration in between would stand in Home Assistant for good.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from gateway.homeassistant.entities import Kind
from gateway.kept import text, texts
from gateway.remembrance import put_in_place

log = logging.getLogger(__name__)

VERSION = 1
PATIENCE_S = 1.0
"""For a disk that hangs: the stop of the gateway does not wait for it longer."""

Platforms = dict[str, str]
"""Of a device's entities, by their keys."""


@dataclass(slots=True)
class Seen:
    """What a device has shown."""

    as_: str
    """How it was read: what another driver called so is another metric."""
    kinds: dict[str, Kind] = field(default_factory=dict)


@dataclass(slots=True)
class Contents:
    seen: dict[str, Seen] = field(default_factory=dict)
    posted: dict[str, dict[str, Platforms]] = field(default_factory=dict)
    """By broker and topic, what may stand there. A broker that is in the configuration no more may come back."""


class Memory:
    def __init__(self, path: Path | None) -> None:
        """`path`: None where nothing is kept."""
        self._path = path
        self._trouble = ""
        self._written = b""
        """As it stands there, if it is ours."""
        self._wanted = b""
        self._writing: asyncio.Task[None] | None = None

    def found(self) -> Contents:
        """What a process before this one has left; nothing, if that cannot be read. Blocks."""
        if self._path is None:
            return Contents()
        try:
            return _contents(orjson.loads(self._path.read_bytes()))
        except FileNotFoundError:
            self._written = _encoded(Contents())  # who has no Home Assistant gets no file
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning(
                "homeassistant: what was announced before cannot be read from %s (%s): what has left the"
                " configuration meanwhile must be removed in Home Assistant by hand", self._path, error,
            )  # fmt: skip
        return Contents()

    async def keep(self, contents: Contents) -> None:
        """Unless it is there already. Returns when it is on the disk, or cannot be written soon."""
        self._wanted = _encoded(contents)
        if self._path is None:
            return
        # One writing at a time: else what is older could be the last that takes its place.
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(self._path), name="homeassistant: memory")
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.shield(self._writing)
        except TimeoutError:
            self._fall_into_trouble("the disk does not answer")

    async def _write(self, path: Path) -> None:
        """What is wanted, and then what is wanted by then, whether or not anybody still waits for it."""
        tried = None
        while (wanted := self._wanted) not in (self._written, tried):
            tried = wanted
            try:
                await asyncio.to_thread(put_in_place, path, wanted)
            except OSError as error:
                self._fall_into_trouble(error.strerror or repr(error))
            else:
                self._written, self._trouble = wanted, ""

    def _fall_into_trouble(self, why: str) -> None:
        if not self._trouble:
            log.warning("homeassistant: what is announced cannot be written to %s: %s", self._path, why)
        self._trouble = why


def _encoded(contents: Contents) -> bytes:
    return orjson.dumps(
        {
            "version": VERSION,
            "seen": {name: {"as": seen.as_, "metrics": seen.kinds} for name, seen in contents.seen.items()},
            "posted": contents.posted,
        }
    )


def _contents(kept: Mapping[str, object]) -> Contents:
    """Raises: ValueError, KeyError, TypeError, AttributeError, for what nobody here has written."""
    if kept["version"] != VERSION:
        raise ValueError(f"version {kept['version']}")
    seen, posted = _table(kept["seen"]), _table(kept["posted"])
    return Contents(
        {
            name: Seen(
                text(each["as"]), {metric: Kind(kind) for metric, kind in texts(each["metrics"]).items()}
            )
            for name, each in ((text(name), _table(each)) for name, each in seen.items())
        },
        {
            text(broker): {text(topic): texts(platforms) for topic, platforms in _table(topics).items()}
            for broker, topics in posted.items()
        },
    )


def _table(kept: object) -> Mapping[str, object]:
    if isinstance(kept, dict):
        return kept
    raise ValueError(f"{kept!r} is no table")
