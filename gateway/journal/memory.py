"""The journal while it lives in memory: bounded, in order, lost with the process."""

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import Sequence
from enum import StrEnum
from itertools import islice

from gateway.journal.journal import Record
from gateway.units import written_size

log = logging.getLogger(__name__)

OVERHEAD = 200
"""Bytes that a record costs besides its payload (CPython 3.11, measured with tracemalloc)."""


class WhenFull(StrEnum):
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"


class MemoryJournal:
    def __init__(self, *, max_size: int, when_full: WhenFull) -> None:
        self.run = secrets.token_hex(4)
        self.lost = 0
        self._max_size = max_size
        self._when_full = when_full
        self._records: deque[Record] = deque()
        self._size = 0
        self._next = 1
        self._sealed = False
        self._grown = asyncio.Event()
        self._losing: Counter[str] = Counter()  # by device, since the buffer filled up

    def __len__(self) -> int:
        return len(self._records)

    async def append(self, device: str, seq: int, payload: bytes) -> None:
        cost = len(payload) + OVERHEAD
        if self._size + cost > self._max_size:
            if self._when_full is WhenFull.DROP_NEWEST or cost > self._max_size:
                self._lose(device)
                return
            while self._size + cost > self._max_size:
                self._lose(self._forget_first().device)
        elif self._losing and self._size <= self._max_size // 2:
            self._account("room again")
        self._records.append(Record(self._next, device, seq, payload))
        self._next += 1
        self._size += cost
        self._grown.set()

    async def after(self, offset: int, *, limit: int) -> Sequence[Record]:
        while self._next - 1 <= offset or not self._records:
            if self._sealed:
                return []
            self._grown.clear()
            await self._grown.wait()
        # Records are numbered without holes from the first one on, so the place follows from the number.
        start = max(0, offset + 1 - self._records[0].offset)
        return list(islice(self._records, start, start + limit))

    def commit(self, offset: int) -> None:
        while self._records and self._records[0].offset <= offset:
            self._forget_first()

    def seal(self) -> None:
        self._sealed = True
        self._grown.set()
        if self._losing:
            self._account("closed")

    def _forget_first(self) -> Record:
        record = self._records.popleft()
        self._size -= len(record.payload) + OVERHEAD
        return record

    def _lose(self, device: str) -> None:
        if not self._losing:
            which = "oldest" if self._when_full is WhenFull.DROP_OLDEST else "newest"
            log.warning(
                "journal: full (%s): from now on the %s readings are lost",
                written_size(self._max_size),
                which,
            )
        self._losing[device] += 1
        self.lost += 1

    def _account(self, now: str) -> None:
        by_device = ", ".join(f"{device} {count}" for device, count in self._losing.most_common())
        log.warning("journal: %s; %d readings were lost: %s", now, self._losing.total(), by_device)
        self._losing.clear()
