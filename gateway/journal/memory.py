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
        self._lost = 0
        self._max_size = max_size
        self._when_full = when_full
        self._records: deque[Record] = deque()
        self._size = 0
        self._next = 1
        self._sealed = False
        self._grown = asyncio.Event()
        self._full = False  # from the first loss until it is accounted for
        self._losing: Counter[str] = Counter()  # by device, not accounted for yet
        self._shown = 0  # the highest offset that a reader has seen
        self._overtaken: deque[Record] = deque()  # forced out after a reader had seen them: may arrive yet

    @property
    def lost(self) -> int:
        return self._lost + len(self._overtaken)

    def __len__(self) -> int:
        return len(self._records)

    async def append(self, device: str, seq: int, payload: bytes) -> None:
        payload = bytes(memoryview(payload))  # orjson's own keeps the 4 KiB that it was written into
        cost = len(payload) + OVERHEAD
        if self._size + cost > self._max_size:
            self._tell_that_it_is_full()
            if self._when_full is WhenFull.DROP_NEWEST or cost > self._max_size:
                self._lose(device)
                return
            while self._size + cost > self._max_size:
                forced_out = self._forget_first()
                if forced_out.offset <= self._shown:
                    self._overtaken.append(forced_out)
                else:
                    self._lose(forced_out.device)
        elif (self._full or self._losing) and self._size <= self._max_size // 2:
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
        # Who reads on from before them has not delivered them, and will not see them again.
        while self._overtaken and self._overtaken[-1].offset > offset:
            self._lose(self._overtaken.pop().device)
        # Records are numbered without holes from the first one on, so the place follows from the number.
        start = max(0, offset + 1 - self._records[0].offset)
        records = list(islice(self._records, start, start + limit))
        self._shown = records[-1].offset
        return records

    def commit(self, offset: int) -> None:
        while self._records and self._records[0].offset <= offset:
            self._forget_first()
        while self._overtaken and self._overtaken[0].offset <= offset:
            self._overtaken.popleft()  # it has arrived after all

    def seal(self) -> None:
        self._sealed = True
        self._grown.set()
        if self._losing:
            self._account("closed")

    def _forget_first(self) -> Record:
        record = self._records.popleft()
        self._size -= len(record.payload) + OVERHEAD
        return record

    def _tell_that_it_is_full(self) -> None:
        if not self._full:
            which = "oldest" if self._when_full is WhenFull.DROP_OLDEST else "newest"
            log.warning(
                "journal: full (%s): from now on the %s readings are lost",
                written_size(self._max_size),
                which,
            )
        self._full = True

    def _lose(self, device: str) -> None:
        self._losing[device] += 1
        self._lost += 1

    def _account(self, now: str) -> None:
        by_device = ", ".join(f"{device} {count}" for device, count in self._losing.most_common())
        log.warning(
            "journal: %s; %d readings were lost%s",
            now,
            self._losing.total(),
            by_device and f": {by_device}",
        )
        self._losing.clear()
        self._full = False
