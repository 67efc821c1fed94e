"""The journal's database, as plain blocking functions: one connection, one thread, one transaction for each `write`.

A row holds a chunk of records, not one: that costs a tenth of a row for each, and space is given back as fast
as it fills. What a chunk held is known without reading it, so that it can be accounted for when it goes.
"""

import errno
import json
import math
import os
import secrets
import sqlite3
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from gateway.errors import JournalError
from gateway.journal import record
from gateway.journal.record import Record, Stretch
from gateway.units import written_size

APPLICATION_ID = 0x53414C59
SCHEMA_VERSION = 1
PAGE = 4096
STREAMS = ("readings", "urgent")
"""A table for each."""
KEPT_GAPS = 1000
KEPT_ASIDE = 1000
VACUUM_PAGES = 256
"""Given back in one step, so that the steps are short."""
LARGEST_WAL = 1024
"""Pages, after which the write-ahead log is brought into the file."""
EVICT_ROWS = 16
READ_BYTES = 1_000_000
ROW = 30
"""Bytes that a record takes besides its payload."""

DAMAGE = (sqlite3.Error, struct.error, ValueError, TypeError, OverflowError)
"""What a file may raise in which stands what nobody ever wrote. Not each `sqlite3.Error` says so: see `damaged`."""
_DAMAGED = frozenset(
    (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        # The schema is not the one that it claims to be.
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
    )
)

_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) WITHOUT ROWID, STRICT",
    *(
        f"CREATE TABLE {stream} (last INTEGER PRIMARY KEY, first INTEGER NOT NULL, at REAL NOT NULL,"
        " wall INTEGER NOT NULL, devices TEXT NOT NULL, crc INTEGER NOT NULL, records BLOB NOT NULL) STRICT"
        for stream in STREAMS
    ),
    (
        "CREATE TABLE cursors (stream TEXT, reader TEXT, offset INTEGER NOT NULL, PRIMARY KEY (stream, reader))"
        " WITHOUT ROWID, STRICT"
    ),
    "CREATE TABLE devices (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID, STRICT",
    (
        "CREATE TABLE gaps (id INTEGER PRIMARY KEY, wall INTEGER NOT NULL, device TEXT NOT NULL,"
        " first INTEGER NOT NULL, last INTEGER NOT NULL, lost INTEGER NOT NULL, reason TEXT NOT NULL) STRICT"
    ),
    (
        "CREATE TABLE aside (id INTEGER PRIMARY KEY, wall INTEGER NOT NULL, reader TEXT NOT NULL,"
        " device TEXT NOT NULL, seq INTEGER NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,"
        " payload BLOB NOT NULL) STRICT"
    ),
)

SCANT = 256 * 1024
"""With less room than this on the disk, memory is the better place."""


class Loss(NamedTuple):
    """Readings that are gone."""

    device: str
    first: int
    last: int
    lost: int
    reason: str


class Aside(NamedTuple):
    """A record that a broker will never take."""

    reader: str
    device: str
    seq: int
    topic: str
    reason: str
    payload: bytes


Row = tuple[int, int, float, int, str, bytes]
"""Of a stream's table, without the checksum."""


class Extent(NamedTuple):
    """The offsets of a stream that the database holds."""

    first: int
    last: int


NOTHING = Extent(0, 0)


class Eviction(NamedTuple):
    """Readings that had to go, as one chunk held them."""

    extent: Extent
    losses: list[Loss]


@dataclass(slots=True, kw_only=True)
class State:
    """What must not be forgotten besides the records."""

    seqs: dict[str, int] = field(default_factory=dict)
    lasts: dict[str, int] = field(default_factory=dict)
    """By stream: the newest offset that was given out."""
    cursors: dict[str, dict[str, int]] = field(default_factory=lambda: {stream: {} for stream in STREAMS})
    base: int = 0
    """Where the numbers of a device begin that is not known yet."""


@dataclass(slots=True, kw_only=True)
class Work:
    """One transaction."""

    at: float
    """The journal's own clock, seconds: it stands still while the machine is off, and never jumps."""
    wall: int
    """Seconds; for people."""
    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    delivered: Mapping[str, int] = field(default_factory=dict)
    """Everything up to these offsets may go."""
    given: int = 0
    """Readings up to this offset may be on their way: they are not evicted."""
    losses: Sequence[Loss] = ()
    aside: Sequence[Aside] = ()
    state: State | None = None


@dataclass(slots=True, kw_only=True)
class Done:
    extents: Mapping[str, Extent]
    evicted: Sequence[Eviction]
    size: int
    """Bytes of the files."""
    used: float
    """Of the room that there is for it: 0 to 1, and more when somebody else has taken that."""
    nearly_full: bool
    """So that the next write may evict."""
    full: bool
    """It keeps no more than this; the oldest has gone, or the newest must."""
    short: bool
    """The disk has no room for the records, whatever was given up: they were not written."""
    unfinished: bool
    """There is more space to give back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    max_size: int
    """Bytes of all files."""
    max_age_s: float | None = None
    min_free: int = 0
    """Bytes of the file system that are left to others."""
    drop_oldest: bool = True


class Store:
    def __init__(self, path: Path, db: sqlite3.Connection, limits: Limits, salt: str) -> None:
        self.limits = limits
        self.salt = salt
        """What tells this database from any other; `run` may change, this does not."""
        self.untold: list[Eviction] = []
        """What is gone, and no `Done` has said so: something failed after it went."""
        self._path = path
        self._db = db
        self._seqs: dict[str, int] = {}  # as the database has them
        self._damaged: set[tuple[str, int]] = set()  # chunks that have been reported

    @classmethod
    def open(cls, path: Path, limits: Limits, *, run: str, state: State, forced: bool) -> Self:
        """`run` and `state`: for a new file. `forced`: each transaction is on the disk when it ends.

        Raises: sqlite3.Error, OSError; JournalError, when a newer Sallyport wrote it.
        """
        if not path.exists() or not path.stat().st_size:
            # Elsewhere, and moved here when it is whole: a start that is interrupted leaves no half of a journal.
            draft = path.with_name(f"{path.name}-draft")
            for file in files(draft):
                file.unlink(missing_ok=True)
            # SQLite's own files follow it.
            os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            made = cls._connected(draft, limits, forced=True)
            try:
                made.create(run, state)
            finally:
                made.close()
            draft.rename(path)
        return cls._connected(path, limits, forced=forced)

    @classmethod
    def _connected(cls, path: Path, limits: Limits, *, forced: bool) -> Self:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
        db.text_factory = lambda content: content.decode(errors="replace")
        opened = cls(path, db, limits, secrets.token_hex(8))
        try:
            db.execute(f"PRAGMA page_size = {PAGE}")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            opened.adjust(limits, forced=forced)
            db.execute(
                "PRAGMA secure_delete = OFF"
            )  # Debian builds it in: what goes would be written once more
            db.execute("PRAGMA cache_size = -1000")
            refuse_newer(path, db)
            if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                opened.salt = str(opened.meta("salt"))
        except BaseException:
            db.close()
            raise
        return opened

    def adjust(self, limits: Limits, *, forced: bool) -> None:
        """`forced`: each transaction is on the disk when it ends. Raises: sqlite3.Error, OSError."""
        self._db.execute(f"PRAGMA synchronous = {'FULL' if forced else 'NORMAL'}")
        # The log has its part of the room, and not more than all of it when there is less than there was.
        disk = os.statvfs(self._path.parent)
        share = min(limits.max_size, disk.f_blocks * disk.f_frsize) // 16
        wal_pages = max(16, min(LARGEST_WAL, share // PAGE))
        self._db.execute(f"PRAGMA wal_autocheckpoint = {wal_pages}")
        self._db.execute(f"PRAGMA journal_size_limit = {wal_pages * PAGE}")
        self.limits = limits

    def create(self, run: str, state: State) -> None:
        """The tables of a new file. Raises: sqlite3.Error."""
        with self._transaction():
            for statement in _TABLES:
                self._db.execute(statement)
            # In one with the tables: a run never exists without its numbers.
            self._set_meta(run=run, salt=self.salt)
            self._save(state)
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        # The file says who it is, whatever becomes of the log.
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @property
    def run(self) -> str:
        return str(self.meta("run"))

    def write(self, work: Work) -> Done:
        """Raises: sqlite3.Error, OSError."""
        evicted: list[Eviction] = []
        with self._transaction():
            for stream, offset in work.delivered.items():
                self._db.execute(f"DELETE FROM {stream} WHERE last <= ?", (offset,))  # noqa: S608 - ours
                self._set_meta(**{f"gone {stream}": offset})
            if self.limits.max_age_s is not None:
                evicted += self._evict_older(work.at - self.limits.max_age_s, work.given)
            coming = sum(len(each.payload) + ROW for records in work.records.values() for each in records)
            evicted += self._make_room(work.given, coming)  # what goes leaves its pages to what comes
            short = bool(work.records) and self._used() + min(coming, SCANT) > self._disk_room()
            if not short:
                for stream, records in work.records.items():
                    self._insert(stream, records, work)
                evicted += self._make_room(work.given)
            if evicted:
                newest = max(evicted[-1].extent.last, self.gone("readings"))
                self._set_meta(**{"gone readings": newest})
            self._note(work, evicted)
            if work.state is not None:
                self._save(work.state)
                self._set_meta(at=work.at, boottime=boottime())
        self.untold += evicted
        done = self._measure(self.untold, short=short)
        self.untold = []
        return done

    def check_room(self) -> None:
        """Raises: OSError, when the disk has none for us, whatever we give up."""
        may_give_up = self.limits.drop_oldest and self._extent("readings") != NOTHING
        if not may_give_up and self._used() + SCANT > self._disk_room():
            raise self.shortage()

    def shortage(self) -> OSError:
        free, kept = written_size(self._free()), written_size(self.limits.min_free)
        return OSError(errno.ENOSPC, f"too little of the disk is free ({free}; journal.min_free is {kept})")

    def read(self, stream: str, first: int, *, limit: int) -> tuple[list[Record], list[Loss], int | None]:
        """Whole chunks from the one that holds `first` on; what was damaged, once; the last offset looked at.

        Raises: sqlite3.Error.
        """
        found: list[Record] = []
        lost: list[Loss] = []
        looked_at, size = None, 0
        rows = self._db.execute(
            f"SELECT last, first, devices, crc, records FROM {stream} WHERE last >= ? ORDER BY last",  # noqa: S608
            (first,),
        )
        for last, start, devices, crc, chunk in rows:
            records = self._opened(chunk, start, last, crc)
            found += records
            if not records and (stream, last) not in self._damaged:
                self._damaged.add((stream, last))
                lost += _losses(devices, "the journal was damaged")
            looked_at = last
            size += len(chunk)
            if len(found) >= limit or size >= READ_BYTES:
                break
        rows.close()
        if found and found[0].offset < first:
            found = [each for each in found if each.offset >= first]
        return found, lost, looked_at

    def used(self) -> float:
        """See `Done`. Raises: sqlite3.Error, OSError."""
        room = self._room()
        return self._used() / room if room else 1.0

    def written_at(self, stream: str, beyond: int) -> float | None:
        """When the oldest record beyond this offset was, by the journal's own clock; None: it is not here.

        Raises: sqlite3.Error.
        """
        row = self._db.execute(
            f"SELECT at FROM {stream} WHERE last > ? ORDER BY last LIMIT 1",  # noqa: S608 - ours
            (beyond,),
        ).fetchone()
        return None if row is None else float(row[0])

    def gone(self, stream: str) -> int:
        """What is not here any more up to this offset was delivered or evicted."""
        return int(self.meta(f"gone {stream}") or 0)

    def extents(self) -> dict[str, Extent]:
        return {stream: self._extent(stream) for stream in STREAMS}

    def load(self) -> State:
        """Raises: whatever `damaged` says yes to."""
        cursors: dict[str, dict[str, int]] = {stream: {} for stream in STREAMS}
        for stream, reader, offset in self._db.execute("SELECT stream, reader, offset FROM cursors"):
            cursors.setdefault(stream, {})[reader] = int(offset)
        seqs = {str(name): int(seq) for name, seq in self._db.execute("SELECT name, seq FROM devices")}
        for (text,) in self._db.execute("SELECT devices FROM readings"):
            for device, stretch in stretches(text).items():
                seqs[device] = max(stretch.last, seqs.get(device, 0))
        lasts = {stream: int(self.meta(f"last {stream}") or 0) for stream in STREAMS}
        for stream, extent in self.extents().items():
            lasts[stream] = max(lasts[stream], extent.last, *cursors[stream].values(), 0)
        return State(seqs=seqs, lasts=lasts, cursors=cursors, base=int(self.meta("base") or 0))

    def _save(self, state: State) -> None:
        changed = {name: seq for name, seq in state.seqs.items() if self._seqs.get(name) != seq}
        self._db.executemany("REPLACE INTO devices VALUES (?, ?)", changed.items())
        self._seqs = dict(state.seqs)
        self._db.execute("DELETE FROM cursors")  # a broker that was taken out of the configuration has none
        self._db.executemany(
            "INSERT INTO cursors VALUES (?, ?, ?)",
            [
                (stream, reader, offset)
                for stream, readers in state.cursors.items()
                for reader, offset in readers.items()
            ],
        )
        self._set_meta(base=state.base)
        for stream, last in state.lasts.items():
            self._set_meta(**{f"last {stream}": last})

    def adopt(self, stream: str, rows: Iterable[Row]) -> int:
        """Chunks of another database; how many records they hold."""
        count = 0
        with self._transaction():
            for last, first, at, wall, devices, chunk in rows:
                crc = record.checksum(chunk, self.salt)
                self._db.execute(
                    f"INSERT OR IGNORE INTO {stream} VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
                    (last, first, at, wall, devices, crc, chunk),
                )
                count += last - first + 1
        return count

    def age(self, boot: str) -> float:
        """What the journal's own clock shows now."""
        at = float(self.meta("at") or 0)
        if self.meta("boot") == boot:
            at += max(0.0, boottime() - float(self.meta("boottime") or 0))
        newest = self._db.execute("SELECT at FROM readings ORDER BY last DESC LIMIT 1").fetchone()
        return max(at, *newest) if newest else at

    def missing(self, stream: str, expected: Extent) -> int:
        """How many records are not there, of those that should be and between those that are."""
        query = f"SELECT min(first), max(last), sum(last - first + 1) FROM {stream}"  # noqa: S608 - ours
        first, last, count = self._db.execute(query).fetchone()
        if first is None:
            return expected.last - expected.first + 1 if expected != NOTHING else 0
        if expected != NOTHING:
            first, last = min(first, expected.first), max(last, expected.last)
        return max(0, int(last - first + 1 - count))

    def meta(self, key: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _set_meta(self, **values: str | float) -> None:
        self._db.executemany("REPLACE INTO meta VALUES (?, ?)", values.items())

    def mark(self, state: State, **values: str | float) -> None:
        """Note this, and bring everything from the write-ahead log into the file and to the disk."""
        with suppress(sqlite3.Error):  # on a disk that was full, the log is the room that there is
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        with self._transaction():
            self._save(state)
            self._set_meta(**values)
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def purge(self, state: State, losses: Iterable[Loss], wall: int) -> None:
        """Everything that waits is given up, and the readings are noted."""
        given_up: dict[str, Loss] = {}
        with self._transaction():
            for (devices,) in self._db.execute("SELECT devices FROM readings ORDER BY last"):
                for loss in _losses(devices, "purged"):
                    before = given_up.get(loss.device, loss._replace(lost=0))
                    given_up[loss.device] = before._replace(last=loss.last, lost=before.lost + loss.lost)
            self._note(Work(at=0, wall=wall, losses=[*losses, *given_up.values()]), ())
            for stream in STREAMS:
                self._db.execute(f"DELETE FROM {stream}")  # noqa: S608 - ours
                state.cursors[stream] = dict.fromkeys(state.cursors[stream], state.lasts[stream])
        self._db.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._seqs = {}
            with suppress(sqlite3.Error):  # SQLite has rolled back by itself
                self._db.execute("ROLLBACK")
            raise

    def _insert(self, stream: str, records: Sequence[Record], work: Work) -> None:
        # OR REPLACE: a commit that reported an error may have happened all the same.
        self._db.executemany(
            f"INSERT OR REPLACE INTO {stream} VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
            (
                (
                    each[-1].offset,
                    each[0].offset,
                    work.at,
                    work.wall,
                    json.dumps(record.stretches(each), ensure_ascii=False),
                    record.checksum(chunk := record.pack(each), self.salt),
                    chunk,
                )
                for each in record.chunks(records)
            ),
        )

    def _make_room(self, given: int, coming: int = 0) -> Iterator[Eviction]:
        # What brokers must hear first is little, and stays.
        while self.limits.drop_oldest and self._used() + coming > self._room():
            short = self._disk_room() < self._share()
            gone = self._evict(given, "the disk was nearly full" if short else "the journal was full")
            if not gone:
                return
            yield from gone

    def _evict_older(self, than: float, given: int) -> Iterator[Eviction]:
        while gone := self._evict(given, "too old", older=than):
            yield from gone

    def _evict(self, given: int, reason: str, *, older: float = math.inf) -> list[Eviction]:
        """Some of the oldest chunks; not those of which a record may be on its way."""
        # Those at the beginning: to look through all of them each time would cost more than all the rest.
        rows = self._db.execute(
            "DELETE FROM readings WHERE at < ? AND last IN"
            " (SELECT last FROM readings WHERE first > ? ORDER BY last LIMIT ?) RETURNING first, last, devices",
            (older, given, EVICT_ROWS),
        ).fetchall()
        return [
            Eviction(Extent(first, last), _losses(devices, reason)) for first, last, devices in sorted(rows)
        ]

    def _note(self, work: Work, evicted: Iterable[Eviction]) -> None:
        lost = [loss for each in evicted for loss in each.losses]
        gaps = [(work.wall, *loss) for loss in (*work.losses, *lost)]
        if gaps:
            self._db.executemany(
                "INSERT INTO gaps (wall, device, first, last, lost, reason) VALUES (?, ?, ?, ?, ?, ?)", gaps
            )
            self._db.execute("DELETE FROM gaps WHERE id <= (SELECT max(id) FROM gaps) - ?", (KEPT_GAPS,))
        if work.aside:
            self._db.executemany(
                "INSERT INTO aside (wall, reader, device, seq, topic, reason, payload) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(work.wall, *each) for each in work.aside],
            )
            self._db.execute("DELETE FROM aside WHERE id <= (SELECT max(id) FROM aside) - ?", (KEPT_ASIDE,))

    def _measure(self, evicted: Sequence[Eviction], *, short: bool) -> Done:
        spare = self._pragma("freelist_count")
        # Some pages are kept for what comes next: to grow and to shrink all the time would be work for nothing.
        kept = max(64, self._pragma("page_count") // 4) if self._free() > self.limits.min_free else 0
        unfinished = spare > kept
        if unfinished:
            # A script, because execute() would stop after the first page.
            self._db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
            unfinished = spare - VACUUM_PAGES > kept
            if not unfinished:
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # which cuts the file
        return Done(
            extents=self.extents(),
            evicted=evicted,
            size=sum(file.stat().st_size for file in files(self._path) if file.exists()),
            used=self.used(),
            nearly_full=bool(evicted) or self._used() > self._room() // 2,
            full=not self.limits.drop_oldest and self._used() > self._share(),
            short=short,
            unfinished=unfinished,
        )

    def _opened(self, chunk: bytes, first: int, last: int, crc: int) -> list[Record]:
        """Nothing, if it is not what was written."""
        if record.checksum(chunk, self.salt) != crc:
            return []
        records = record.unpack(chunk, first)
        return records if records[-1].offset == last else []

    def _extent(self, stream: str) -> Extent:
        query = f"SELECT ifnull(min(first), 0), ifnull(max(last), 0) FROM {stream}"  # noqa: S608 - ours
        return Extent(*self._db.execute(query).fetchone())

    def _used(self) -> int:
        return (self._pragma("page_count") - self._pragma("freelist_count")) * PAGE

    def _room(self) -> int:
        """For what is used of the file: its share, or less when the disk has less."""
        return min(self._share(), self._disk_room())

    def _share(self) -> int:
        """Of `max_size`, besides the log."""
        return max(0, self.limits.max_size - self._wal())

    def _disk_room(self) -> int:
        pages = self._pragma("page_count") * PAGE
        # A log that finds no room for what is to be deleted would be the end of it.
        kept_free = max(self.limits.min_free, self._wal())
        return max(0, pages + self._free() - kept_free)

    def _wal(self) -> int:
        """What the log may need."""
        return self._pragma("wal_autocheckpoint") * PAGE * 2

    def _free(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])


def files(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(f"{path.name}{suffix}") for suffix in ("", "-wal", "-shm", "-journal"))


def damaged(error: BaseException) -> bool:
    """The file itself is no good, whatever the disk."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None) or 0
        return code & 0xFF in _DAMAGED
    return isinstance(error, DAMAGE)


def unreadable(error: BaseException) -> bool:
    """The disk could not read a part of the file."""
    return getattr(error, "sqlite_errorcode", None) in (
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
    )


def no_room(error: BaseException) -> bool:
    """The disk is full, and all else is well."""
    if isinstance(error, sqlite3.Error):
        return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def refuse_newer(path: Path, db: sqlite3.Connection) -> None:
    """Raises: JournalError."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path}: a newer Sallyport wrote this journal (schema {version}, this one knows {SCHEMA_VERSION}):"
            " install that version again, or name another journal.path"
        )


def stretches(text: str) -> dict[str, Stretch]:
    """Raises: ValueError, TypeError: it is damaged."""
    return {device: Stretch(*map(int, numbers)) for device, numbers in dict(json.loads(text)).items()}


def boottime() -> float:
    """Seconds since the machine started, asleep or not; no clock step moves it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _losses(text: str, reason: str) -> list[Loss]:
    try:
        return [Loss(device, *numbers, reason) for device, numbers in stretches(text).items()]
    except (ValueError, TypeError):  # it is damaged
        return [Loss("(unknown)", 0, 0, 1, reason)]
