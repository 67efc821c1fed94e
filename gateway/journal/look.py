"""Looking into a journal, also beside the gateway that is writing it."""

import sqlite3
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from gateway.errors import JournalError
from gateway.journal import lock, record, slate, store
from gateway.journal.opening import open_files
from gateway.journal.record import Record
from gateway.journal.store import APPLICATION_ID, Aside, Limits, Loss

ROWS = 16
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
        newest = db.execute("SELECT ifnull(max(last), 0) FROM readings").fetchone()[0]
        newest = max((newest, *(each.offset for each in _on_slate(path))))
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
    return View(
        run=run,
        size=sum(file.stat().st_size for file in _there(path)),
        waiting={reader: max(0, newest - max(cursor, first - 1)) for reader, cursor in cursors.items()},
        oldest_wall=oldest,
        gaps=[(wall, Loss(*loss)) for wall, *loss in reversed(gaps)],
        aside=[(wall, Aside(*each)) for wall, *each in reversed(aside)],
    )


def records(path: Path) -> Iterator[Record]:
    """The readings that some broker has still to take, in order. Raises: JournalError."""
    with _reading(path) as db:
        yield from _records(path, db, min(_cursors(path, db).values(), default=0))


def purge(path: Path, *, boot: str, wall: int) -> None:
    """Delete everything that waits; numbers go on.

    Raises: JournalError, also while a gateway has it.
    """
    with _reading(path):
        pass  # it is one
    try:
        files = open_files(path, Limits(max_size=sys.maxsize), forced=True, boot=boot, wall=wall)
        try:
            files.store.purge(files.state, files.losses, wall)
            files.mark(files.state, run=files.run, clean=1)
            files.slate.wipe()
        finally:
            files.close()
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"{path}: {error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if path not in _there(path):
        raise JournalError(f"{path}: there is no journal (yet)")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise JournalError(f"{path}: this is no journal of Sallyport")
            store.refuse_newer(path, db)
            yield db
    except store.DAMAGE as error:
        raise JournalError(f"{path}: {error}") from error


def _there(path: Path) -> Sequence[Path]:
    """Its files.

    Raises: JournalError, when one may not be looked at, or is a pipe, say: whoever opened it might wait for ever.
    """
    found = []
    for each in (*store.files(path), *slate.paths(path), lock.beside(path)):
        try:
            mode = each.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            why = f"{error.strerror}: only who owns the journal, and root, may look there"
            raise JournalError(f"{each}: {why}") from None
        if not stat.S_ISREG(mode):
            raise JournalError(
                f"{each}: no gateway has made this, it is no file: find out who has, and remove it"
            )
        found.append(each)
    return found


def _cursors(path: Path, db: sqlite3.Connection) -> dict[str, int]:
    cursors = dict(db.execute("SELECT reader, offset FROM cursors WHERE stream = 'readings'"))
    for side in slate.read(path):
        for reader, offset in orjson.loads(side.state)["cursors"]["readings"].items():
            cursors[reader] = max(offset, cursors.get(reader, 0))
    return cursors


def _records(path: Path, db: sqlite3.Connection, offset: int) -> Iterator[Record]:
    """From the database, then what is on the slate only."""
    # A few rows at a time: while a query is open, SQLite cannot begin its log anew, and the gateway's would grow.
    query = f"SELECT last, first, records FROM readings WHERE last > ? ORDER BY last LIMIT {ROWS}"  # noqa: S608
    while rows := db.execute(query, (offset,)).fetchall():
        for last, first, chunk in rows:
            with suppress(*store.DAMAGE):  # the gateway will say so
                yield from [each for each in record.unpack(chunk, first) if each.offset > offset]
            offset = last
    for each in _on_slate(path):
        if each.offset > offset:
            offset = each.offset
            yield each


def _on_slate(path: Path) -> Iterator[Record]:
    for side in slate.read(path):
        for chunk in side.chunks:
            if chunk.kind == READINGS:
                yield from record.unpack(chunk.body, chunk.first)
