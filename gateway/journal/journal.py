"""Between the bus and the brokers: readings wait here until every broker has them.

    append ─→ memory and slate ─→ readers        at once: `kill -9` costs nothing that anybody has seen
                    └─ what is not delivered ─→ database        within `sync`: what a power cut may cost

While the brokers keep up, nothing goes to the disk but the system's lazy copy of the slate.
"""

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import orjson

from gateway.clock import system_clock
from gateway.journal import opening, store
from gateway.journal.losses import Losses
from gateway.journal.opening import Files, boot_id, open_files
from gateway.journal.record import Entry, Record, pack, stretches
from gateway.journal.store import NOTHING, STREAMS, Aside, Done, Limits, Loss, State, Work
from gateway.journal.stream import OVERHEAD, Stream
from gateway.model import Clock, Gap
from gateway.pacing.backoff import Backoff
from gateway.units import written_duration, written_size

log = logging.getLogger(__name__)

T = TypeVar("T")

TAIL_BYTES = 2_000_000
"""Of records kept in memory although the database has them, for readers that are nearly up to date."""
HELD_BYTES = 8_000_000
"""Of records that only memory has, while the disk is in trouble."""
STATE_S = 10.0
"""How often numbers and cursors go to the disk."""
STATE_RECORDS = opening.SKIPPED // 4
"""And after so many records: what is skipped after a power cut must be more than was given out since."""
STALL_S = 5.0
"""A disk that has not answered for this long is in trouble."""
LONGEST_TICK_S = 0.5
READ_AGAIN_S = 1.0
GAP_S = 1.0
"""Losses are gathered for this long before they are announced."""
MOST_URGENT = 10_000
"""Events that may wait for a broker."""
MOST_ASIDE = 1000

NS = 10**9


class Journal:
    """`async with Journal.open(…)`. All of it belongs to one event loop."""

    def __init__(
        self, path: Path | None, *, readers: Iterable[str], limits: Limits, sync_s: float | None,
        clock: Clock, boot: str, troubled: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.run = secrets.token_hex(4)
        self.trouble = ""
        """Why readings are held in memory; empty while all is well."""
        self.appended = 0
        self.refused = 0
        """Readings that `drop_newest` did not let in."""
        self.losses = Losses()
        self.size = 0
        """Bytes on the disk."""
        readers = tuple(readers)
        self.readings, self.urgent = self._streams = tuple(
            Stream(name, readers, self._fetch, self._wake) for name in STREAMS
        )
        self._path = path
        self._limits = limits
        self._always = sync_s == 0
        self._tick_s = LONGEST_TICK_S if sync_s is None else min(LONGEST_TICK_S, sync_s / 2)
        self._forced = sync_s is not None
        self._clock = clock
        self._boot = boot
        self._troubled = troubled
        self._loop = asyncio.get_running_loop()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._files: Files | None = None
        self._state = State()
        self._saved: State | None = None
        self._saved_at = self._opened_at = self._loop.time()
        self._saved_last = 0
        self._trouble_since = 0.0
        self._boundary = dict.fromkeys(STREAMS, 0)  # the newest offsets when the slate was last turned
        self._slate_works = True
        self._slate_dirty = False
        self._full = False
        self._unfinished = False
        self._damaged: str | None = None
        self._aside: list[Aside] = []
        self._unwritten: list[Loss] = []
        self._work_to_do = asyncio.Event()
        self._moved = asyncio.Event()
        self._closing = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path | None, *, readers: Iterable[str], limits: Limits, sync_s: float | None = 0.2,
        clock: Clock = system_clock, boot: str | None = None, troubled: Callable[[str], None] = lambda _: None,
    ) -> AsyncIterator[Self]:  # fmt: skip
        """In a file, or in memory alone.

        A disk that does not let us is no reason to fail: readings are then held in memory, and `troubled` is
        told why, and with an empty text that it is over.
        `sync_s`: how often it is forced to the disk; 0 before anybody sees a record, None never.
        `boot`: which start of the machine this is.
        Raises: JournalError, when another process has the journal or a newer Sallyport wrote it.
        """
        journal = cls(
            path, readers=readers, limits=limits, sync_s=sync_s, clock=clock,
            boot=boot_id() if boot is None else boot, troubled=troubled,
        )  # fmt: skip
        try:
            if path is None:
                yield journal
                return
            await journal._open()
            async with asyncio.TaskGroup() as group:
                group.create_task(journal._keep(), name="journal")
                try:
                    yield journal
                finally:
                    journal.seal()
                    journal._closing.set()
                    journal._wake()
        finally:
            journal.losses.end("closed")
            if journal._files is not None:
                journal._files.close()
            journal._disk.shutdown()

    def last_seq(self, device: str) -> int:
        """Where its numbers go on, in this process or after one before it."""
        return self._state.seqs.get(device, self._state.base)

    async def append(self, entries: Sequence[Entry]) -> None:
        """Readings, in order. Waits while the disk is too slow for them."""
        while self.readings.size > HELD_BYTES // 2 and await self._relief():
            pass
        for device, seq, _ in entries:
            self._state.seqs[device] = seq
        self.appended += len(entries)
        if self._may_be_lost():
            entries = self._let_in(entries)
        self._add(self.readings, entries)

    async def append_urgent(self, topic: str, payload: bytes) -> None:
        """An event that does not wait behind a backlog of readings; `topic` is below the gateway's own."""
        if self.urgent.last - self.urgent.committed >= MOST_URGENT:
            self.losses.begin(f"{MOST_URGENT} events wait for a broker: newer ones are lost")
            self.losses.add([Loss(topic, 0, 0, 1, "too many events")])
            return
        self._add(self.urgent, [Entry(topic, 0, payload)])

    def set_aside(self, reader: str, record: Record, topic: str, reason: str) -> None:
        """A broker will never take this record: keep it where a person can find it."""
        self._aside.append(Aside(reader, record.device, record.seq, topic, reason, record.payload))
        del self._aside[:-MOST_ASIDE]
        self._wake()

    def seal(self) -> None:
        """Nothing more will be appended: readers finish."""
        for stream in self._streams:
            stream.seal()

    async def gaps(self) -> AsyncIterator[Gap]:
        """What was lost, soon after it was. Endless."""
        while True:
            await self.losses.some()
            await asyncio.sleep(GAP_S)
            while (gap := self.take_gap()) is not None:
                yield gap

    def take_gap(self) -> Gap | None:
        """One that nobody has taken yet."""
        if not self.losses.pending:
            return None
        device, first, last, lost, reason = self.losses.pending.popleft()
        return Gap(at=self._clock(), device=device, first=first, last=last, lost=lost, reason=reason)

    # In memory.

    def _add(self, stream: Stream, entries: Iterable[Entry]) -> None:
        records = stream.add(entries)
        if not records:
            return
        if self._files is not None and not self._always and self._slate_works:
            try:
                kind = STREAMS.index(stream.name) + 1
                self._files.slate.write(kind, records[0].offset, pack(records))
                self._slate_dirty = True
            except OSError as error:
                self._slate_works = False
                self._fall_into_trouble(error)
        if not self._always or self.trouble or self._path is None:
            stream.show(stream.last)
        self._wake()

    def _may_be_lost(self) -> bool:
        """Memory is all there is, or the journal takes nothing new."""
        return self._full or self._path is None or bool(self.trouble)

    def _let_in(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Those that there is room for, made if need be."""
        room = self._limits.max_size if self._path is None else HELD_BYTES
        stream = self.readings
        if self._path is None and stream.size <= room // 2:
            self.losses.end("room again")
        good = []
        size = stream.size
        for entry in entries:
            cost = len(entry.payload) + OVERHEAD
            newest = not self._limits.drop_oldest
            if cost > room or (newest and (self._full or size + cost > room)):
                self._lose([Record(0, *entry)], newest=True)
                self.refused += 1
            else:
                good.append(entry)
                size += cost
        lost = []
        while stream.size and size > room:
            before = stream.size
            if (record := stream.evict()) is not None:
                lost.append(record)
            size -= before - stream.size
        if lost:
            self._lose(lost, newest=False)
        return good

    def _lose(self, records: Sequence[Record], *, newest: bool) -> None:
        which = "newest" if newest else "oldest"
        if self.trouble:
            what = f"memory is full ({written_size(HELD_BYTES)}) while the disk is in trouble"
        else:
            what = f"full ({written_size(self._limits.max_size)})"
        self.losses.begin(f"{what}: from now on the {which} readings are lost")
        lost = [Loss(device, *each, what) for device, each in stretches(records).items()]
        self.losses.add(lost)
        self._unwritten = [*self._unwritten, *lost][-store.KEPT_GAPS :]

    async def _relief(self) -> bool:
        """Slow down whoever reads the instruments, as long as the disk works at all; false when it does not."""
        if self._path is None or self.trouble:
            return False
        self._moved.clear()
        try:
            async with asyncio.timeout(STALL_S):
                await self._moved.wait()
        except TimeoutError:
            self._fall_into_trouble(TimeoutError(f"no answer for {written_duration(STALL_S)}"))
        return not self.trouble

    def _wake(self) -> None:
        self._work_to_do.set()

    # On the disk.

    async def _open(self) -> None:
        try:
            await self._open_files()
        except (sqlite3.Error, OSError) as error:
            self._fall_into_trouble(error)

    async def _open_files(self) -> None:
        assert self._path is not None
        files = await self._on_disk(
            open_files, self._path, self._limits, forced=self._forced, boot=self._boot, wall=self._wall()
        )
        self._files = files
        self.run, self._state = files.store.run, files.state
        self._opened_at = self._loop.time() - files.at
        for stream in self._streams:
            cursors = files.state.cursors[stream.name]
            stream.last = stream.shown = stream.stored = files.state.lasts.get(stream.name, 0)
            stream.extent = files.extents[stream.name]
            oldest = stream.extent.first - 1 if stream.extent != NOTHING else stream.last
            stream.cursors = {reader: cursors.get(reader, oldest) for reader in stream.cursors}
            self._boundary[stream.name] = stream.last
        self._tell(files)
        self._turn_slate(files)

    async def _keep(self) -> None:
        """The disk's task: while there is something to do, one transaction in each tick, if one is needed."""
        backoff = Backoff(first_s=0.5, cap_s=30.0)
        while True:
            await self._work_to_do.wait()
            self._work_to_do.clear()
            if not self._always:
                await self._pause(self._tick_s)
            closing = self._closing.is_set()
            try:
                await self._settle(closing=closing)
                if closing:
                    await self._finish()
                    return
                backoff.reset()
                self._recover()
            except (sqlite3.Error, OSError) as error:
                self._fall_into_trouble(error)
                if closing:
                    self._tell_what_is_lost(error)
                    return
                await self._pause(backoff.next_delay())
                self._wake()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _settle(self, *, closing: bool) -> None:
        """Into the database goes what was not delivered since the tick before this one.

        Raises: sqlite3.Error, OSError.
        """
        files = await self._working_files()
        everything = self._always or closing or bool(self.trouble)
        upto = {each.name: each.last if everything else self._boundary[each.name] for each in self._streams}
        records = {each.name: each.unstored(upto[each.name]) for each in self._streams}
        trim = {
            each.name: each.committed
            for each in self._streams
            if each.extent != NOTHING and each.extent.first <= each.committed
        }
        aside, self._aside = self._aside, []
        losses, self._unwritten = self._unwritten, []
        work = Work(
            at=self._now(), wall=self._wall(), records={name: each for name, each in records.items() if each},
            delivered=trim, given=self.readings.given, losses=losses, aside=aside,
            state=self._due_state(at_once=closing),
        )  # fmt: skip
        if work.records or trim or aside or losses or work.state or self._unfinished:
            try:
                done = await self._on_disk(files.store.write, work)
            except BaseException:
                self._aside = aside + self._aside
                self._unwritten = losses + self._unwritten
                raise
            self._take_in(done, work)
        for stream in self._streams:
            stream.stored = max(stream.stored, upto[stream.name])
            if self._always:
                stream.show(stream.stored)
            while stream.size > TAIL_BYTES and stream.first_in_memory <= min(stream.stored, stream.shown):
                excess = (stream.last - stream.first_in_memory) // 8
                stream.forget(min(stream.stored, stream.shown, stream.first_in_memory + excess))
        if self._slate_dirty or not self._slate_works:
            self._turn_slate(files)
        self._moved.set()
        if self._unsettled():
            self._wake()

    def _take_in(self, done: Done, work: Work) -> None:
        self.size, self._full, self._unfinished = done.size, done.full, done.unfinished
        for stream in self._streams:
            stream.extent = done.extents[stream.name]
        for extent, losses in done.evicted:
            self.losses.begin(f"{losses[0].reason}: from now on the oldest readings are lost")
            self.losses.add(losses)
            self.readings.lost(extent)
        if work.state is not None:
            self._saved = work.state
            self._saved_at = self._loop.time()
            self._saved_last = self.readings.last

    def _unsettled(self) -> bool:
        return (
            self._slate_dirty
            or self._unfinished
            or self._saved != self._now_state()
            or any(
                each.unstored(each.last) or (each.extent != NOTHING and each.extent.first <= each.committed)
                for each in self._streams
            )
        )

    async def _finish(self) -> None:
        """Nothing is needed but the database any more."""
        assert self._files is not None
        await self._on_disk(self._files.store.mark, self._now_state(), clean=1)
        self._files.slate.wipe()

    def _turn_slate(self, files: Files) -> None:
        state = self._now_state()
        said = {
            "run": self.run, "boot": self._boot, "base": state.base, "seqs": state.seqs, "lasts": state.lasts,
            "cursors": state.cursors, "stored": {each.name: each.extent.last for each in self._streams},
        }  # fmt: skip
        files.slate.turn(orjson.dumps(said))
        self._slate_works, self._slate_dirty = True, False
        self._boundary = {each.name: each.last for each in self._streams}

    async def _fetch(self, stream: str, first: int, limit: int) -> tuple[Sequence[Record], int]:
        """Of a backlog; and how far it was looked for."""
        if self._files is not None and not self.trouble:
            try:
                records, lost, last = await self._on_disk(self._files.store.read, stream, first, limit=limit)
            except sqlite3.Error as error:
                self._fall_into_trouble(error)
                self._wake()
            else:
                if lost:
                    self.losses.begin("damaged: readings are lost")
                    self.losses.add(lost)
                return records, last
        await asyncio.sleep(READ_AGAIN_S)
        return [], first - 1

    # Trouble.

    def _fall_into_trouble(self, error: Exception) -> None:
        if isinstance(error, sqlite3.Error) and store.damaged(error):
            self._damaged = f"damaged ({error})"
        if self.trouble:
            return
        self.trouble = f"{self._path}: {error}"
        self._trouble_since = self._loop.time()
        log.error("journal: %s: from now on readings are held in memory only", self.trouble)
        self._troubled(self.trouble)
        for stream in self._streams:
            stream.show(stream.last)
        self._moved.set()

    def _recover(self) -> None:
        if self.readings.extent == NOTHING and self.readings.size <= HELD_BYTES // 2:
            self.losses.end("room again")
        if self.trouble and self._slate_works:
            after = written_duration(max(1, round(self._loop.time() - self._trouble_since)))
            log.warning("journal: %s: works again after %s", self._path, after)
            self.trouble = ""
            self._troubled("")

    def _tell_what_is_lost(self, error: Exception) -> None:
        waiting = sum(len(each.unstored(each.last)) for each in self._streams)
        if waiting:
            log.error("journal: %s: %s: the last %d readings are lost", self._path, error, waiting)

    async def _working_files(self) -> Files:
        """Raises: sqlite3.Error, OSError; JournalError."""
        assert self._path is not None
        if self._files is None:
            self._files = await self._on_disk(
                opening.start_over, self._path, self._limits, self._now_state(), run=self.run,
                forced=self._forced, boot=self._boot, wall=self._wall(),
            )  # fmt: skip
        elif self.trouble:
            await self._on_disk(
                opening.replace, self._path, self._files, self._now_state(), self._damaged,
                forced=self._forced, wall=self._wall(),
            )  # fmt: skip
        else:
            return self._files
        self._damaged = None
        for stream in self._streams:
            stream.extent = self._files.extents[stream.name]
        self._tell(self._files)
        return self._files

    def _tell(self, files: Files) -> None:
        for line in files.news:
            log.warning("journal: %s", line)
        self.losses.add(files.losses)
        self._unwritten += files.losses
        files.news, files.losses = [], []

    # What is known.

    def _now_state(self) -> State:
        state = self._state
        return State(
            seqs=dict(state.seqs),
            lasts={each.name: each.last for each in self._streams},
            cursors={each.name: dict(each.cursors) for each in self._streams},
            base=state.base,
        )

    def _due_state(self, *, at_once: bool) -> State | None:
        """For the disk, where it goes seldom: the slate has it too."""
        due = (
            at_once
            or self._loop.time() - self._saved_at >= STATE_S
            or self.readings.last - self._saved_last >= STATE_RECORDS
        )
        if not due or (state := self._now_state()) == self._saved:
            return None
        return state

    def _now(self) -> float:
        """The journal's own clock."""
        return self._loop.time() - self._opened_at

    def _wall(self) -> int:
        return self._clock().wall_ns // NS

    async def _on_disk(self, work: Callable[..., T], *args: object, **options: object) -> T:
        return await self._loop.run_in_executor(self._disk, partial(work, *args, **options))
