"""Records of one kind, in order; each reader has a cursor of its own."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from gateway.journal.record import Entry, Record

OVERHEAD = 200


class Stream:
    def __init__(self, readers: Iterable[str]) -> None:
        self.last = 0
        self.size = 0
        self._cursors = dict.fromkeys(readers, 0)
        self._records: deque[Record] = deque()
        self._sealed = False
        self._grown = asyncio.Event()

    def cursor(self, reader: str) -> int:
        return self._cursors[reader]

    def behind(self, reader: str) -> int:
        """Records beyond the reader's cursor."""
        return min(len(self._records), self.last - self._cursors[reader])

    async def after(self, offset: int, *, limit: int) -> Sequence[Record]:
        """The next records beyond this offset; waits for the first one. Empty: sealed, and there are no more."""
        while self.last <= offset or not self._records:
            if self._sealed:
                return []
            self._grown.clear()
            await self._grown.wait()
        start = max(0, offset + 1 - self._records[0].offset)
        return list(islice(self._records, start, start + limit))

    def commit(self, reader: str, offset: int) -> None:
        self._cursors[reader] = max(offset, self._cursors[reader])
        committed = min(self._cursors.values())
        while self._records and self._records[0].offset <= committed:
            self.forget_first()

    def add(self, entry: Entry) -> None:
        self.last += 1
        self._records.append(Record(self.last, *entry))
        self.size += len(entry.payload) + OVERHEAD
        self._grown.set()

    def forget_first(self) -> Record:
        record = self._records.popleft()
        self.size -= len(record.payload) + OVERHEAD
        return record

    def seal(self) -> None:
        self._sealed = True
        self._grown.set()

    def __len__(self) -> int:
        return len(self._records)
