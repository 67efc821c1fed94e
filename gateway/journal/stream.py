"""Records of one kind, in order, some in memory and the rest on the disk; each reader has a cursor of its own."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from gateway.journal.record import CHUNK_RECORDS, Entry, Record
from gateway.journal.store import NOTHING, Extent

OVERHEAD = 200
"""Bytes that a record costs in memory besides its payload (CPython 3.11, measured with tracemalloc)."""
SPENT = 1024
"""Records that may linger in memory after they are not needed any more: lists are cut seldom."""

Fetch = Callable[[str, int, int], Awaitable[tuple[Sequence[Record], int | None]]]
"""From the disk: stream, first offset, how many; records, and the last offset looked at, None beyond the end."""


class Stream:
    """What readers see is `after`, `commit` and their cursor; the rest is the journal's."""

    def __init__(self, name: str, readers: Iterable[str], fetch: Fetch, moved: Callable[[], None]) -> None:
        self.name = name
        self.last = 0
        """The newest offset that was given out."""
        self.shown = 0
        """The newest that readers may see."""
        self.stored = 0
        """Up to here, everything that is not delivered is in the database."""
        self.extent: Extent = NOTHING
        """What is in the database."""
        self.trimmed = 0
        """Up to here, the database has been told what is delivered; it keeps whole chunks."""
        self.under_way = 0
        """Up to here it will be there soon, if all goes well."""
        self.evicting = 0
        """Up to here it may be evicted at this moment."""
        self.size = 0
        """Bytes in memory."""
        self.sealed = False
        self.cursors = dict.fromkeys(readers, 0)
        self._fetch = fetch
        self._moved = moved
        self._tail: list[Record] = []
        self._spent = 0  # so many of them, the oldest ones, are not needed any more
        self._given: dict[str, int] = {}  # by reader, the newest offset it was given
        self._overtaken: deque[Record] = (
            deque()
        )  # had to leave memory while they were on their way to a broker
        self._holes: deque[Extent] = deque()  # lost, and some reader has not passed them
        self._grown: asyncio.Future[None] | None = None

    # For readers.

    def cursor(self, reader: str) -> int:
        """Everything up to this offset is delivered; it survives a restart."""
        return self.cursors[reader]

    def behind(self, reader: str) -> int:
        """Records beyond the reader's cursor."""
        cursor = self.cursors[reader]
        lost = sum(hole.last - max(cursor, hole.first - 1) for hole in self._holes if hole.last > cursor)
        return self.last - cursor - lost

    def oldest(self, reader: str) -> int:
        """The oldest record that the reader has still to take, and that is not lost; beyond `last`: there is none."""
        there = (
            self.first_in_memory if self.extent == NOTHING else min(self.extent.first, self.first_in_memory)
        )
        return max(self.cursors[reader] + 1, there)

    async def after(self, reader: str, offset: int, *, limit: int) -> Sequence[Record]:
        """The next records beyond this offset; waits for the first one. Empty: sealed, and there are no more.

        No more than `limit`, but a chunk that comes from the disk is not cut for that. What a reader was given
        stays until it is committed, even if the journal is full: it may be on its way.
        """
        records = await self._next(reader, offset, limit)
        if records:
            self._given[reader] = records[-1].offset
        return records

    async def _next(self, reader: str, offset: int, limit: int) -> Sequence[Record]:
        while True:
            if offset >= self.shown:
                if self.sealed and self.shown == self.last:
                    return []
                await self._growth()
            elif offset + 1 >= self.first_in_memory and offset >= self.evicting:
                start = self._spent + offset + 1 - self.first_in_memory
                return self._tail[start : start + min(limit, self.shown - offset)]
            elif offset < max(self.extent.last, self.evicting):
                self._given[reader] = max(offset + limit + CHUNK_RECORDS, self._given.get(reader, 0))
                records, looked_at = await self._fetch(self.name, offset + 1, limit)
                if records:
                    return records
                offset = max(offset, self.extent.last if looked_at is None else looked_at)
            elif self._overtaken and offset < self._overtaken[-1].offset:
                return [each for each in self._overtaken if each.offset > offset][:limit]
            else:  # what was between has gone
                offset = max(offset, self.first_in_memory - 1)

    def commit(self, reader: str, offset: int) -> None:
        """Everything up to this offset is delivered, as far as this reader is concerned."""
        if offset <= self.cursors[reader]:
            return
        self.cursors[reader] = offset
        self._forget_delivered()

    def _forget_delivered(self) -> None:
        committed = self.committed
        self.forget(committed)
        while self._overtaken and self._overtaken[0].offset <= committed:
            self._overtaken.popleft()
        while self._holes and self._holes[0].last <= committed:
            self._holes.popleft()
        self._moved()

    # For the journal.

    def add_reader(self, reader: str) -> None:
        """One more, who gets what some other one has still to take."""
        self.cursors[reader] = self.committed

    def drop_reader(self, reader: str) -> int:
        """It has gone, and another one is there; how many records it had still to take."""
        waiting = self.behind(reader)
        del self.cursors[reader]
        self._given.pop(reader, None)
        self._forget_delivered()
        return waiting

    @property
    def committed(self) -> int:
        """Everything up to this offset has reached every reader."""
        return min(self.cursors.values(), default=0)

    @property
    def waiting(self) -> int:
        """Records that some reader has still to take, the lost ones among them."""
        return self.last - self.committed

    @property
    def first_in_memory(self) -> int:
        return self.last + 1 - (len(self._tail) - self._spent)

    @property
    def only_stored(self) -> Extent:
        """What is waited for in the database, and not in memory."""
        only = Extent(
            max(self.extent.first, self.committed + 1), min(self.extent.last, self.first_in_memory - 1)
        )
        return only if only.first <= only.last else NOTHING

    @property
    def trimmable(self) -> bool:
        """Something in the database is delivered, and it may be the rest of a chunk."""
        return self.extent != NOTHING and max(self.extent.first, self.trimmed + 1) <= self.committed

    @property
    def given(self) -> int:
        """Up to here, everything that is not delivered may be on its way."""
        upto = self.committed
        for reader in sorted(self.cursors, key=self.cursors.__getitem__):
            if self.cursors[reader] <= upto:
                upto = max(upto, self._given.get(reader, 0))
        return upto

    def add(self, entries: Iterable[Entry]) -> list[Record]:
        offset = self.last
        records = []
        size = 0
        for device, seq, payload in entries:
            offset += 1
            # A copy: orjson's own bytes keep the 4 KiB that they were written into.
            records.append(Record(offset, device, seq, bytes(memoryview(payload))))
            size += len(payload)
        self.last = offset
        self.size += size + OVERHEAD * len(records)
        self._tail += records
        return records

    def show(self, offset: int) -> None:
        self.shown = max(self.shown, offset)
        if self._grown is not None:
            self._grown.set_result(None)
            self._grown = None

    def seal(self) -> None:
        self.sealed = True
        self.show(self.shown)

    def unstored(self, upto: int) -> Sequence[Record]:
        """In memory, not delivered, and not in the database."""
        first = max(self.stored, self.committed) + 1
        start = self._spent + max(0, first - self.first_in_memory)
        tail = self._tail[start : self._spent + max(0, upto + 1 - self.first_in_memory)]
        return [each for each in self._overtaken if each.offset >= first] + tail if self._overtaken else tail

    def store(self, upto: int) -> None:
        """Up to here, the database has everything that is not delivered."""
        self.stored = max(self.stored, upto)
        while self._overtaken and self._overtaken[0].offset <= self.stored:
            self._overtaken.popleft()

    def forget(self, offset: int) -> list[Record]:
        """Drop everything up to this offset from memory."""
        count = offset + 1 - self.first_in_memory
        if count <= 0:
            return []
        gone = self._tail[self._spent : self._spent + count]
        self._spent += len(gone)
        self.size -= sum(len(each.payload) for each in gone) + OVERHEAD * len(gone)
        if self._spent > SPENT or self._spent == len(self._tail):
            del self._tail[: self._spent]
            self._spent = 0
        return gone

    def evict(self) -> Record | None:
        """Drop the oldest record from memory, and say which it was if it is lost now."""
        [record] = self.forget(self.first_in_memory)
        if record.offset <= max(self.committed, self.stored, self.under_way):
            return None
        if record.offset <= self.given:
            self._overtaken.append(record)
            return None
        self.lost(Extent(record.offset, record.offset))
        return record

    def refused(self, records: Iterable[Record]) -> list[Record]:
        """The database has not taken these; those of them that have left memory meanwhile, and are lost now."""
        held = {each.offset for each in self._overtaken}
        lost = []
        for record in records:
            if not max(self.committed, self.stored) < record.offset < self.first_in_memory:
                continue
            if record.offset > self.given:
                self.lost(Extent(record.offset, record.offset))
                lost.append(record)
            elif record.offset not in held:
                self._overtaken.append(record)
        self._overtaken = deque(sorted(self._overtaken))
        return lost

    def lost(self, hole: Extent) -> None:
        """These offsets are gone."""
        if self._holes and self._holes[-1].last + 1 == hole.first:
            hole = Extent(self._holes.pop().first, hole.last)
        if hole.last > self.committed:
            self._holes.append(hole)

    async def _growth(self) -> None:
        if self._grown is None:
            self._grown = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._grown)
