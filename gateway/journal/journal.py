"""The journal while it lives in memory: bounded, in order, lost with the process."""

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self

from gateway.journal.record import Entry, Record
from gateway.journal.stream import OVERHEAD, Stream
from gateway.model import Gap, system_clock
from gateway.units import written_size

__all__ = ["Entry", "Journal", "Record", "Stream", "WhenFull"]

log = logging.getLogger(__name__)


class WhenFull(StrEnum):
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"


class Aside(NamedTuple):
    reader: str
    record: Record
    topic: str
    reason: str


class Journal:
    def __init__(self, *, readers: Iterable[str], max_size: int, when_full: WhenFull) -> None:
        self.run = secrets.token_hex(4)
        self.readings = Stream(readers)
        self.urgent = Stream(readers)
        self.aside: deque[Aside] = deque(maxlen=1000)
        self._max_size = max_size
        self._when_full = when_full
        self._last_seq: dict[str, int] = {}
        self._full = False
        self._losing: Counter[str] = Counter()
        self._gaps: asyncio.Queue[Gap] = asyncio.Queue()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path | None,  # noqa: ARG003 - memory is all there is
        *,
        readers: Iterable[str],
        max_size: int = 10**9,
        when_full: WhenFull = WhenFull.DROP_OLDEST,
    ) -> AsyncIterator[Self]:
        yield cls(readers=readers, max_size=max_size, when_full=when_full)

    def last_seq(self, device: str) -> int:
        return self._last_seq.get(device, 0)

    async def append(self, entries: Sequence[Entry]) -> None:
        for device, seq, given in entries:
            self._last_seq[device] = seq
            payload = bytes(memoryview(given))
            cost = len(payload) + OVERHEAD
            if self.readings.size + cost > self._max_size:
                self._tell_that_it_is_full()
                if self._when_full is WhenFull.DROP_NEWEST or cost > self._max_size:
                    self._lose(device, seq, "refused: the journal is full")
                    continue
                while self.readings.size + cost > self._max_size:
                    oldest = self.readings.forget_first()
                    self._lose(oldest.device, oldest.seq, "evicted: the journal is full")
            elif (self._full or self._losing) and self.readings.size <= self._max_size // 2:
                self._account("room again")
            self.readings.add(Entry(device, seq, payload))

    async def append_urgent(self, topic: str, payload: bytes) -> None:
        self.urgent.add(Entry(topic, 0, payload))

    def set_aside(self, reader: str, record: Record, topic: str, reason: str) -> None:
        self.aside.append(Aside(reader, record, topic, reason))

    def seal(self) -> None:
        self.readings.seal()
        self.urgent.seal()
        if self._losing:
            self._account("closed")

    async def gaps(self) -> AsyncIterator[Gap]:
        while True:
            yield await self._gaps.get()

    def _tell_that_it_is_full(self) -> None:
        if not self._full:
            which = "oldest" if self._when_full is WhenFull.DROP_OLDEST else "newest"
            log.warning(
                "journal: full (%s): from now on the %s readings are lost",
                written_size(self._max_size),
                which,
            )
        self._full = True

    def _lose(self, device: str, seq: int, reason: str) -> None:
        self._losing[device] += 1
        self._gaps.put_nowait(
            Gap(at=system_clock(), device=device, first=seq, last=seq, lost=1, reason=reason)
        )

    def _account(self, now: str) -> None:
        by_device = ", ".join(f"{device} {count}" for device, count in self._losing.most_common())
        log.warning("journal: %s; %d readings were lost: %s", now, self._losing.total(), by_device)
        self._losing.clear()
        self._full = False
