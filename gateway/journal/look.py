"""Looking into a journal, also beside the gateway that is writing it."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from gateway.errors import JournalError
from gateway.journal import record, slate, store
from gateway.journal.lock import Lock
from gateway.journal.record import Record
from gateway.journal.store import APPLICATION_ID, STREAMS, Aside, Loss

READINGS = 1
"""The kind of the slate's chunks that hold readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    run: str
    size: int
    """Bytes of all its files."""
    waiting: Mapping[str, int]
    """Readings that each broker has still to take."""
    oldest_wall: int | None
    """When the oldest reading that waits on the disk was written; seconds. None without any."""
    gaps: Sequence[tuple[int, Loss]]
    """The last ones, with when they were noted; oldest first."""
    aside: Sequence[tuple[int, Aside]]
    """What brokers would not take, likewise."""


def view(path: Path, *, last: int) -> View:
    """With so many of the gaps and of what was set aside. Raises: JournalError."""
    with _reading(path) as db:
        cursors = _cursors(path, db)
        newest = max((each.offset for each in _records(path, db, 0)), default=0)
        oldest = db.execute(
            "SELECT min(wall) FROM readings WHERE last > ?", (min(cursors.values(), default=0),)
        ).fetchone()[0]
        first = db.execute("SELECT ifnull(min(first), 1) FROM readings").fetchone()[0]
        gaps = db.execute(
            "SELECT wall, device, first, last, lost, reason FROM gaps ORDER BY id DESC LIMIT ?", (last,)
        ).fetchall()
        aside = db.execute(
            "SELECT wall, reader, device, seq, topic, reason, payload FROM aside ORDER BY id DESC LIMIT ?",
            (last,),
        ).fetchall()
        run = db.execute("SELECT value FROM meta WHERE key = 'run'").fetchone()[0]
    files = [*store.files(path), *slate.paths(path)]
    return View(
        run=run,
        size=sum(file.stat().st_size for file in files if file.exists()),
        waiting={reader: max(0, newest - max(cursor, first - 1)) for reader, cursor in cursors.items()},
        oldest_wall=oldest,
        gaps=[(wall, Loss(*loss)) for wall, *loss in reversed(gaps)],
        aside=[(wall, Aside(*each)) for wall, *each in reversed(aside)],
    )


def records(path: Path) -> Iterator[Record]:
    """The readings that some broker has still to take, in order. Raises: JournalError."""
    with _reading(path) as db:
        yield from _records(path, db, min(_cursors(path, db).values(), default=0))


def purge(path: Path) -> None:
    """Delete everything that waits; numbers go on.

    Raises: JournalError, also while a gateway has it.
    """
    with _reading(path):
        pass  # it is one
    try:
        holder = Lock(path)
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as db:
                state = store.Store(path, db, store.Limits(max_size=0), "").load()
                db.execute("BEGIN IMMEDIATE")
                db.executemany("REPLACE INTO devices VALUES (?, ?)", state.seqs.items())
                for stream in STREAMS:
                    db.execute("REPLACE INTO meta VALUES (?, ?)", (f"last {stream}", state.lasts[stream]))
                    db.execute(
                        "UPDATE cursors SET offset = ? WHERE stream = ?", (state.lasts[stream], stream)
                    )
                    db.execute(f"DELETE FROM {stream}")  # noqa: S608 - ours
                db.execute("DELETE FROM gaps")
                db.execute("DELETE FROM aside")
                db.execute("COMMIT")
                db.executescript("PRAGMA incremental_vacuum")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            holder.close()
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"{path}: {error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise JournalError(f"{path}: there is no journal (yet)")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise JournalError(f"{path}: this is no journal of Sallyport")
            store.refuse_newer(path, db)
            yield db
    except sqlite3.Error as error:
        raise JournalError(f"{path}: {error}") from error


def _cursors(path: Path, db: sqlite3.Connection) -> dict[str, int]:
    cursors = dict(db.execute("SELECT reader, offset FROM cursors WHERE stream = 'readings'"))
    for side in slate.read(path):
        for reader, offset in orjson.loads(side.state)["cursors"]["readings"].items():
            cursors[reader] = max(offset, cursors.get(reader, 0))
    return cursors


def _records(path: Path, db: sqlite3.Connection, offset: int) -> Iterator[Record]:
    """From the database, then what is on the slate only."""
    for last, first, chunk in db.execute(
        "SELECT last, first, records FROM readings WHERE last > ? ORDER BY last", (offset,)
    ):
        yield from (each for each in record.unpack(chunk, first) if each.offset > offset)
        offset = last
    for side in slate.read(path):
        for chunk in side.chunks:
            if chunk.kind == READINGS:
                for each in record.unpack(chunk.body, chunk.first):
                    if each.offset > offset:
                        offset = each.offset
                        yield each
