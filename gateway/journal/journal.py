"""Between the bus and the brokers: readings wait here until every broker has them.

    append ─→ memory and slate ─→ readers        at once: `kill -9` costs nothing that anybody has seen
                    └─ what is not delivered ─→ database        within `sync`: what a power cut may cost

While the brokers keep up, nothing goes to the disk but the system's lazy copy of the slate.
"""

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from gateway.clock import system_clock
from gateway.errors import JournalError
from gateway.journal import opening, store
from gateway.journal.losses import Losses
from gateway.journal.opening import Files, boot_id, open_files
from gateway.journal.record import Entry, Record, pack, stretches
from gateway.journal.store import NOTHING, STREAMS, Aside, Done, Extent, Limits, Loss, State, Work
from gateway.journal.stream import OVERHEAD, Stream
from gateway.logs import MessageId, about
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
MOST_UNKNOWN = opening.SKIPPED // 2
"""Numbers that go out in a run while the disk cannot take note of them."""
MOST_UNREADABLE = 3
"""So often an open database may have a place that the disk cannot read, before it is set aside and copied: a bad
sector does not get better, and all that waits behind it would wait for ever."""
STALL_S = 5.0
"""A disk that has not answered for this long is in trouble."""
CLOSE_S = 30.0
"""Nor is it waited for any longer at the end: a service manager would wait for us in vain."""
TICKS = 0.4
"""Of `sync` is one tick: what was read just after one goes to the disk with the second, which takes its time."""
LONGEST_TICK_S = 0.5
READ_AGAIN_S = 1.0
DEAD_S = 60.0
"""A disk that cannot be read for so long is given up, and the backlog on it, for the sake of new readings."""
GAP_S = 1.0
"""Losses are gathered for this long before they are announced."""
MOST_URGENT = 10_000
"""Events that may wait for a broker."""

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
        self.unanswered = self.answered = 0
        """Calls of the disk: under way, and ended."""
        self.reopening = False
        """One of them opens the files anew, which may take long: damaged ones are saved."""
        self._used: float | None = None
        readers = tuple(readers)
        self.readings, self.urgent = self._streams = tuple(
            Stream(name, readers, self._fetch, self._note_commit) for name in STREAMS
        )
        self._path = path
        self._limits = limits
        self._pace(sync_s)
        self._clock = clock
        self._boot = boot
        self._troubled = troubled
        self._loop = asyncio.get_running_loop()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._files: Files | None = None
        self._adjusted = True  # the database knows the limits, and whether it is forced to the disk
        self._state = State()
        self._saved: State | None = None
        self._saved_at = self._opened_at = self._loop.time()
        self._saved_last = 0
        self._trouble_since = 0.0
        self._boundary = dict.fromkeys(STREAMS, 0)  # the newest offsets when the slate was last turned
        self._slate_works = True
        self._slate_dirty = False
        self._full = False
        self._nearly_full = False
        self._unfinished = False
        self._error: Exception | None = None
        self._unreadable_since: float | None = None
        self._unreadable = 0  # so often has this been so of this database
        self._aside: list[Aside] = []
        self._unwritten: list[Loss] = []
        self._work_to_do = asyncio.Event()
        self._moved = asyncio.Event()
        self._hurry = asyncio.Event()  # no time for a tick
        self._closing = False
        self._given_up = False

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
                keeping = group.create_task(journal._keep(), name="journal")
                try:
                    yield journal
                finally:
                    journal.seal()
                    journal._closing = True
                    journal._hurry.set()
                    journal._wake()
                    # Waited for here: the group would cancel it, if the body has failed.
                    ended, _ = await asyncio.wait([keeping], timeout=CLOSE_S)
                    if not ended:
                        journal._give_up()
                        keeping.cancel()
        finally:
            journal.losses.end("closed")
            try:
                # After whatever the thread is doing, and without stopping the loop for that.
                closing = journal._loop.run_in_executor(journal._disk, journal._close_files)
                if not journal._given_up:
                    await closing
            finally:
                journal._disk.shutdown(wait=False)

    def change(self, limits: Limits, sync_s: float | None) -> None:
        """From now on; see `open`."""
        self._limits = limits
        self._pace(sync_s)
        self._adjusted = False
        if not self._always:
            for stream in self._streams:
                stream.show(stream.last)
        self._wake()

    def add_reader(self, reader: str) -> None:
        """One more, who gets what some other one has still to take."""
        for stream in self._streams:
            stream.add_reader(reader)
        self._note_commit()

    def drop_reader(self, reader: str) -> None:
        """Nobody reads in its name any more; what nobody else waits for goes."""
        for stream in self._streams:
            if waiting := stream.drop_reader(reader):
                _tell_unwanted(waiting, stream.name, reader)

    @property
    def devices(self) -> AbstractSet[str]:
        """All that ever had a reading here."""
        return self._state.seqs.keys()

    def last_seq(self, device: str) -> int:
        """Where its numbers go on, in this process or after one before it."""
        return self._state.seqs.get(device, self._state.base)

    async def room(self) -> None:
        """Waits while the disk is too slow for readings."""
        while self.readings.size > HELD_BYTES // 2 and await self._relief():
            pass

    async def append(self, entries: Sequence[Entry]) -> None:
        """Readings, in order, once there is room."""
        await self.room()
        for device, seq, _ in entries:
            self._state.seqs[device] = seq
        self.appended += len(entries)
        if self._may_be_lost():
            entries = self._let_in(entries)
        self._add(self.readings, entries)

    @property
    def urgent_full(self) -> bool:
        """Whether the next event is lost."""
        return self.urgent.last - self.urgent.committed >= MOST_URGENT

    async def append_urgent(self, topic: str, payload: bytes) -> None:
        """An event that does not wait behind a backlog of readings; `topic` is below the gateway's own."""
        if self.urgent_full:
            self.losses.begin(f"{MOST_URGENT} events wait for a broker: newer ones are lost")
            self.losses.add([Loss(topic, 0, 0, 1, "too many events")])
            return
        self._add(self.urgent, [Entry(topic, 0, payload)])

    def set_aside(self, reader: str, record: Record, topic: str, reason: str) -> None:
        """A broker will never take this record: keep it where a person can find it."""
        self._aside.append(Aside(reader, record.device, record.seq, topic, reason, record.payload))
        del self._aside[: -store.KEPT_ASIDE]
        self._wake()

    def seal(self) -> None:
        """Nothing more will be appended: readers finish."""
        for stream in self._streams:
            stream.seal()

    @property
    def used(self) -> float | None:
        """Of the room that there is, 0 to 1, and more when others have taken it; None: not known, without a disk."""
        return self.readings.size / self._limits.max_size if self._path is None else self._used

    async def age(self, reader: str) -> float:
        """For how long the oldest reading that this reader has still to take has been on the disk; 0: it is not."""
        if self._files is None:
            return 0.0
        try:
            at = await self._on_time(self._files.store.written_at, "readings", self.readings.cursor(reader))
        except sqlite3.Error:
            return 0.0  # whoever needs what is there says so
        return 0.0 if at is None else max(0.0, self._now() - at)

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
        self._slate_dirty = True
        if self._files is not None and self._slate_works:
            try:
                kind = STREAMS.index(stream.name) + 1
                self._files.slate.write(kind, records[0].offset, pack(records))
            except OSError as error:
                self._slate_fails()
                self._fall_into_trouble(error)
        if self.trouble:
            self._number_safely()
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
        spare = 0
        while size > room:  # more at once than there is room for
            size -= len(good[spare].payload) + OVERHEAD
            lost.append(Record(0, *good[spare]))
            spare += 1
        if lost:
            self._lose(lost, newest=False)
        return good[spare:]

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
        self._hurry.set()
        self._wake()
        await self._moved.wait()
        return not self.trouble

    def _note_commit(self) -> None:
        self._slate_dirty = True
        self._wake()

    def _wake(self) -> None:
        self._work_to_do.set()

    def _pace(self, sync_s: float | None) -> None:
        self._always = sync_s == 0
        self._tick_s = LONGEST_TICK_S if sync_s is None else min(LONGEST_TICK_S, sync_s * TICKS)
        self._forced = sync_s is not None

    # On the disk.

    async def _open(self) -> None:
        try:
            await self._open_files()
        except (sqlite3.Error, OSError) as error:
            self._fall_into_trouble(error)

    async def _open_files(self) -> None:
        files = await self._on_disk(self._opened, self._opening(open_files, self._limits))
        self.run, self._state = files.run, files.state
        self._opened_at = self._loop.time() - files.at
        for stream in self._streams:
            cursors = files.state.cursors[stream.name]
            stream.last = stream.shown = stream.stored = files.state.lasts.get(stream.name, 0)
            stream.extent = files.extents[stream.name]
            # What is not there any more was delivered, even if there was no time to note that.
            oldest = stream.extent.first - 1 if stream.extent != NOTHING else stream.last
            stream.cursors = {reader: max(cursors.get(reader, 0), oldest) for reader in stream.cursors}
            for reader in cursors.keys() - stream.cursors.keys():
                if (waiting := stream.last - max(cursors[reader], oldest)) > 0:
                    _tell_unwanted(waiting, stream.name, reader)
        self._nearly_full = self.readings.extent != NOTHING
        self._used = await self._on_time(files.store.used)
        self._saved, self._saved_last = self._now_state(), self.readings.last
        self._tell(files)
        self._turn_slate(files, self._now_state())

    def _opening(self, how: Callable[..., Files], *args: object, **options: object) -> Callable[[], Files]:
        return partial(
            how, self._path, *args, forced=self._forced, boot=self._boot, wall=self._wall(), **options
        )

    def _opened(self, opening: Callable[[], Files]) -> Files:
        """In the disk's thread: whoever waits for it may be cancelled, and the files want to be closed then."""
        self._files = opening()
        return self._files

    async def _open_anew(self, opening: Callable[[], Files]) -> Files:
        self.reopening = True
        try:
            return await self._on_time(self._opened, opening)
        finally:
            self.reopening = False

    def _close_files(self) -> None:
        if self._files is not None:
            self._files.close()

    async def _keep(self) -> None:
        """The disk's task: while there is something to do, one transaction in each tick, if one is needed."""
        backoff = Backoff(first_s=0.5, cap_s=30.0)
        took_s = 0.0
        while True:
            if not self._work_to_do.is_set():
                took_s = 0.0
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._state_due_at()):
                    await self._work_to_do.wait()
            self._work_to_do.clear()
            if not self._always:
                # From one beginning to the next: two of them are within `sync`.
                await self._pause(self._tick_s - took_s)
            began = self._loop.time()
            closing, hurry = self._closing, self._hurry.is_set()
            if not closing:
                self._hurry.clear()
            try:
                await self._settle(everything=hurry, closing=closing)
                if closing:
                    await self._finish()
                    return
                backoff.reset()
                self._recover()
                took_s = self._loop.time() - began
            except (sqlite3.Error, OSError, JournalError) as error:
                self._fall_into_trouble(error)
                if closing:
                    self._tell_what_is_lost(error)
                    return
                await self._pause(backoff.next_delay())
                self._wake()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    async def _settle(self, *, everything: bool, closing: bool) -> None:
        """Into the database goes what was not delivered since the tick before this one, or all that was not.

        Raises: sqlite3.Error, OSError, JournalError.
        """
        files = await self._working_files()
        everything = everything or self._always or bool(self.trouble)
        upto = {each.name: each.last if everything else self._boundary[each.name] for each in self._streams}
        records = {each.name: each.unstored(upto[each.name]) for each in self._streams}
        trim = {each.name: each.committed for each in self._streams if each.trimmable}
        aside, self._aside = self._aside, []
        losses, self._unwritten = self._unwritten, []
        state = self._now_state()
        work = Work(
            at=self._now(), wall=self._wall(), records={name: each for name, each in records.items() if each},
            delivered=trim, given=self.readings.given, losses=losses, aside=aside,
            state=state if closing or self._state_is_due(state) else None,
        )  # fmt: skip
        if work.records or trim or aside or losses or work.state or self._unfinished:
            try:
                done = await self._write(files, work, upto)
            except BaseException:
                self._aside = aside + self._aside
                self._unwritten = [*losses, *self._unwritten]
                raise
            self._take_in(done, work)
            if done.short:
                if lost := self.readings.refused(work.records.get("readings", ())):
                    self._lose(lost, newest=False)
                raise files.store.shortage()
        for stream in self._streams:
            stream.store(upto[stream.name])
            if self._always:
                stream.show(stream.stored)
            while stream.size > TAIL_BYTES and stream.first_in_memory <= min(stream.stored, stream.shown):
                excess = (stream.last - stream.first_in_memory) // 8
                stream.forget(min(stream.stored, stream.shown, stream.first_in_memory + excess))
        if self._slate_dirty or not self._slate_works:
            # Numbers of readings that nobody has seen or can see any more need not be remembered.
            self._turn_slate(files, self._now_state() if self.trouble else state)
        self._moved.set()
        if self._unsettled():
            self._wake()

    async def _write(self, files: Files, work: Work, upto: Mapping[str, int]) -> Done:
        for stream in self._streams:
            stream.under_way = upto[stream.name]
        self.readings.evicting = upto["readings"] if self._nearly_full else 0
        try:
            return await self._on_time(files.store.write, work)
        except BaseException as error:
            self._unreadable += store.unreadable(error)
            if lost := self.readings.refused(work.records.get("readings", ())):
                self._lose(lost, newest=False)
            raise
        finally:
            for stream in self._streams:
                stream.under_way = stream.evicting = 0

    def _take_in(self, done: Done, work: Work) -> None:
        self.size, self._full, self._unfinished = done.size, done.full, done.unfinished
        self._used = done.used
        self._nearly_full = done.nearly_full
        for stream in self._streams:
            stream.extent = done.extents[stream.name]
            stream.trimmed = max(stream.trimmed, work.delivered.get(stream.name, 0))
        for extent, losses in done.evicted:
            self.losses.begin(f"{losses[0].reason}: from now on the oldest readings are lost")
            self.losses.add(losses)
            self.readings.lost(extent)
            self.readings.forget(extent.last)
        if work.state is not None:
            self._saved = work.state
            self._saved_at = self._loop.time()
            self._saved_last = work.state.lasts["readings"]

    def _unsettled(self) -> bool:
        return (
            self._slate_dirty
            or self._unfinished
            or any(each.unstored(each.last) or each.trimmable for each in self._streams)
        )

    async def _finish(self) -> None:
        """Nothing is needed but the database any more."""
        assert self._files is not None
        await self._on_time(self._files.mark, self._now_state(), run=self.run, clean=1)
        self._files.slate.wipe()

    def _turn_slate(self, files: Files, state: State) -> None:
        """Raises: OSError."""
        extents = {each.name: each.extent for each in self._streams}
        try:
            files.slate.turn(opening.note(self.run, self._boot, state, extents))
        except OSError:
            self._slate_fails()
            raise
        self._slate_works, self._slate_dirty = True, False
        self._boundary = {each.name: each.last for each in self._streams}

    def _slate_fails(self) -> None:
        """Whoever opens this journal next must know that numbers went out which are not there."""
        assert self._files is not None
        self._slate_works = False
        try:
            self._files.slate.tear()
        except OSError:
            self._begin_run()

    def _number_safely(self) -> None:
        """Of a run, no more numbers than will be skipped go out without the disk's knowing."""
        if self._files is not None and self.readings.last - self._saved_last > MOST_UNKNOWN:
            self._begin_run()

    def _begin_run(self) -> None:
        """One that the disk has never heard of, so that nobody can go on with its numbers."""
        if self._files is not None and self.run == self._files.run:
            self.run = secrets.token_hex(4)
            log.warning("journal: %s: numbers cannot be noted: run %s begins", self._path, self.run)

    async def _fetch(self, stream: str, first: int, limit: int) -> tuple[Sequence[Record], int | None]:
        """Of a backlog; and how far it was looked for."""
        if self._files is not None:
            try:
                records, lost, last = await self._on_time(self._read, stream, first, limit=limit)
            except sqlite3.Error as error:
                self._unreadable_since = self._unreadable_since or self._loop.time()
                if not self.trouble:  # else the whole disk may be away, for a while
                    self._unreadable += store.unreadable(error)
                self._fall_into_trouble(error)
                if self._loop.time() - self._unreadable_since >= DEAD_S:
                    return [], self._write_off(stream)
            else:
                self._unreadable_since = None
                if lost:
                    self.losses.begin("damaged: readings are lost")
                    self.losses.add(lost)
                    self._unwritten += lost
                    self._wake()
                return records, last
        await asyncio.sleep(READ_AGAIN_S)
        return [], first - 1

    def _write_off(self, name: str) -> int:
        """What waits on the disk is lost; up to which offset."""
        stream = self._streams[STREAMS.index(name)]
        first = max(stream.extent.first, stream.committed + 1)
        last = stream.first_in_memory - 1
        if stream.extent != NOTHING and first <= last:
            self.losses.begin(f"{self._path} cannot be read: what waits there is lost")
            lost = [Loss("(unknown)", 0, 0, last + 1 - first, "the disk could not be read")]
            self.losses.add(lost)
            self._unwritten += lost
            stream.lost(Extent(first, last))
        stream.extent = NOTHING
        return last

    def _read(self, stream: str, first: int, *, limit: int) -> tuple[list[Record], list[Loss], int | None]:
        """In the disk's thread: the database that is open by then, if another one takes its place just now."""
        assert self._files is not None
        return self._files.store.read(stream, first, limit=limit)

    # Trouble.

    def _fall_into_trouble(self, error: Exception) -> None:
        if self._error is None or not store.damaged(self._error):
            self._error = error
        self._wake()
        if self.trouble:
            return
        self.trouble = f"{self._path}: {error}"
        self._trouble_since = self._loop.time()
        log.error(
            "journal: %s: from now on readings are held in memory only", self.trouble,
            extra=about(MessageId.JOURNAL_IN_TROUBLE),
        )  # fmt: skip
        self._troubled(self.trouble)
        for stream in self._streams:
            stream.show(stream.last)
        self._moved.set()

    def _recover(self) -> None:
        if self.readings.extent == NOTHING and self.readings.size <= HELD_BYTES // 2:
            self.losses.end("room again")
        if self.trouble and self._slate_works:
            after = written_duration(max(1, round(self._loop.time() - self._trouble_since)))
            log.warning(
                "journal: %s: works again after %s", self._path, after,
                extra=about(MessageId.JOURNAL_WORKS_AGAIN),
            )  # fmt: skip
            self.trouble = ""
            self._error = None
            self._unreadable_since = None  # a failure long ago says nothing of the next one
            self._troubled("")

    def _give_up(self) -> None:
        self._given_up = True
        error = TimeoutError(f"no answer for {written_duration(CLOSE_S)}")
        log.error("journal: %s: %s: it is not waited for any longer", self._path, error)
        self._tell_what_is_lost(error)

    def _tell_what_is_lost(self, error: Exception) -> None:
        if self._files is not None and self._slate_works:
            return  # they stand on the slate
        waiting = sum(len(each.unstored(each.last)) for each in self._streams)
        if waiting:
            log.error(
                "journal: %s: %s: the last %d readings are lost", self._path, error, waiting,
                extra=about(MessageId.READINGS_WERE_LOST),
            )  # fmt: skip

    async def _working_files(self) -> Files:
        """Raises: sqlite3.Error, OSError; JournalError."""
        files = await self._files_that_work()
        if not self._adjusted:
            await self._on_time(files.store.adjust, self._limits, forced=self._forced)
            self._adjusted = True
        return files

    async def _files_that_work(self) -> Files:
        if self._files is None:
            opened = self._opening(opening.start_over, self._limits, self._now_state(), run=self.run)
            files = await self._open_anew(opened)
            self._turn_slate(files, self._now_state())
        elif not self.trouble:
            return self._files
        elif self._error is not None and store.no_room(self._error):
            files = self._files  # readers need it, and to open it again would take more room
            await self._on_time(files.mark, self._now_state(), run=self.run)
            await self._on_time(files.store.check_room)
            files.extents = await self._on_time(files.store.extents)
        else:
            damaged = self._unreadable >= MOST_UNREADABLE or (self._error and store.damaged(self._error))
            why = f"damaged ({self._error})" if damaged else None
            self._error = None  # it is set aside once
            expected = {each.name: each.only_stored for each in self._streams}
            opened = self._opening(
                opening.renew, self._files, self._now_state(), why, run=self.run, expected=expected
            )
            if damaged:
                self._unreadable = 0
            slate = self._files.slate
            files = await self._open_anew(opened)
            if files.slate is not slate:
                self._turn_slate(files, self._now_state())
        for stream in self._streams:
            stream.extent = files.extents[stream.name]
            stream.stored = stream.extent.last
            stream.trimmed = 0
        self._error = None
        self._tell(files)
        return files

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

    def _state_due_at(self) -> float | None:
        """It goes to the disk seldom: the slate has it too."""
        return None if self._saved == self._now_state() else self._saved_at + STATE_S

    def _state_is_due(self, state: State) -> bool:
        late = self._loop.time() - self._saved_at >= STATE_S
        return (late or self.readings.last - self._saved_last >= STATE_RECORDS) and state != self._saved

    def _now(self) -> float:
        """The journal's own clock."""
        return self._loop.time() - self._opened_at

    def _wall(self) -> int:
        return self._clock().wall_ns // NS

    async def _on_time(self, work: Callable[..., T], *args: object, **options: object) -> T:
        """A disk that does not answer is in trouble, long before it does."""
        late = TimeoutError(f"no answer for {written_duration(STALL_S)}")
        timer = self._loop.call_later(STALL_S, self._fall_into_trouble, late)
        try:
            return await self._on_disk(work, *args, **options)
        finally:
            timer.cancel()

    async def _on_disk(self, work: Callable[..., T], *args: object, **options: object) -> T:
        self.unanswered += 1
        try:
            return await self._loop.run_in_executor(self._disk, partial(work, *args, **options))
        finally:
            self.unanswered -= 1
            self.answered += 1


def _tell_unwanted(waiting: int, what: str, reader: str) -> None:
    log.warning(
        "journal: %d %s waited for broker %s, which is not configured any more: it will not get them",
        waiting, what, reader,
        extra=about(broker=reader),
    )  # fmt: skip
