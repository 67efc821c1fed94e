"""A journal that cannot be used: why, where it is kept for whoever wants to look, and what can be read of it."""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.journal import record, store
from gateway.journal.store import APPLICATION_ID, DAMAGE, STREAMS, Extent, Loss, Row, State, Store

NEWEST_FORMAT = 4


@dataclass(slots=True)
class Saved:
    kept: int = 0
    losses: list[Loss] = field(default_factory=list)
    state: State = field(default_factory=State)

    def __str__(self) -> str:
        lost = sum(loss.lost for loss in self.losses)
        return f"{self.kept} readings were saved from it" + (f", {lost} are lost" if lost else "")


def fault(path: Path) -> str | None:
    """Why this is no journal that can be used; None if it can, or if there is nothing yet.

    Not everything is read: a damaged chunk shows when its turn comes, and a damaged page stops SQLite.
    Raises: JournalError, when a newer Sallyport made it; sqlite3.Error, OSError, when it cannot be looked at.
    """
    _, wal, *_ = store.files(path)
    if not path.exists() or not path.stat().st_size:
        # SQLite would delete a log without its database, and whatever is in it.
        return "it is empty, but its write-ahead log is not" if wal.exists() and wal.stat().st_size else None
    with path.open("rb") as file:
        header = file.read(100)
    # SQLite would take such a file for one of a later version, and not write it.
    # Source: sqlite.org/fileformat2.html, sections 1.3.3 and 1.3.10.
    if header[18:20] not in (b"\1\1", b"\2\2") or int.from_bytes(header[44:48]) > NEWEST_FORMAT:
        return "damaged (its header), or no database at all"
    try:
        with closing(_connect(path)) as db:
            return _verdict(path, db)
    except UnicodeDecodeError:
        return "damaged"  # so much that SQLite's words about it cannot be read
    except sqlite3.DatabaseError as error:
        if not store.damaged(error):
            raise
        return f"damaged ({error})"


def _verdict(path: Path, db: sqlite3.Connection) -> str | None:
    anything = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        return "it is a database of another program" if anything else "it is an empty database"
    store.refuse_newer(path, db)
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables.issuperset((*STREAMS, "meta", "cursors", "devices", "gaps", "aside")):
        return "damaged (parts of it are missing)"
    if not (isinstance(_salt(db), str) and isinstance(_meta(db, "run"), str)):
        return "damaged (it does not say whose it is)"
    return None


def foreign_log(path: Path) -> bool:
    """Whether the write-ahead log is another journal's: SQLite would bring it into this one.

    Raises: OSError.
    """
    _, wal, *_ = store.files(path)
    if not path.exists() or not wal.exists() or not wal.stat().st_size:
        return False
    try:
        with closing(_connect(path, "immutable=1")) as alone:
            salt = _salt(alone)
    except sqlite3.DatabaseError:
        salt = None
    if not (isinstance(salt, str) and _SALT.fullmatch(salt)):
        return False  # no journal; or its pages were half brought into it, and are whole with the log
    try:
        with closing(_connect(path)) as db:
            return bool(_salt(db) != salt)
    except sqlite3.DatabaseError as error:
        return store.damaged(error)


def set_aside(path: Path, wall: int, *, log_only: bool = False) -> Path:
    """Its new name, which has a date in it."""
    stem = f"{path.name}.broken-{datetime.fromtimestamp(wall, UTC):%Y-%m-%dT%H%M%SZ}"
    aside, number = path.with_name(stem), 1
    while any(file.exists() for file in store.files(aside)):
        number += 1
        aside = path.with_name(f"{stem}-{number}")
    for old, new in zip(store.files(path), store.files(aside), strict=True):
        if old.exists() and not (log_only and old == path):
            old.rename(new)
    return aside


def put_back(aside: Path, path: Path) -> None:
    """In the place of whatever stands there now."""
    remove(path)
    for old, new in zip(store.files(aside), store.files(path), strict=True):
        if old.exists():
            old.rename(new)


def remove(path: Path) -> None:
    for file in store.files(path):
        file.unlink(missing_ok=True)


def copy(aside: Path, into: Store, expected: Mapping[str, Extent]) -> Saved:
    """What can be read of it, from both ends: damage is often a place in the middle."""
    saved = Saved()
    try:
        with closing(_connect(aside)) as db:
            # Not an empty one: SQLite would delete its log, even so.
            if aside.stat().st_size and db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
                salt = str(_salt(db))
                for stream in STREAMS:
                    saved.kept += _copy(db, into, stream, salt)
                saved.state = Store(aside, db, into.limits, salt).load()
    except DAMAGE:
        pass  # as far as one can read
    for stream, extent in into.extents().items():
        saved.state.lasts[stream] = max(saved.state.lasts.get(stream, 0), extent.last)
        if missing := into.missing(stream, expected[stream]):
            saved.losses.append(Loss("(unknown)", 0, 0, missing, "the journal was damaged"))
    return saved


def _copy(db: sqlite3.Connection, into: Store, stream: str, salt: str) -> int:
    last = 0

    def readable(which: str) -> Iterator[Row]:
        nonlocal last
        query = f"SELECT last, first, at, wall, devices, records, crc FROM {stream} {which}"  # noqa: S608 - ours
        try:
            for *row, crc in db.execute(query):
                if _sound(row, crc, salt):
                    last = row[0]
                    yield tuple(row)
        except DAMAGE:
            return

    kept = into.adopt(stream, readable("ORDER BY last"))
    return kept + into.adopt(stream, readable(f"WHERE first > {last} ORDER BY last DESC"))


def _sound(row: Sequence[Any], crc: int, salt: str) -> bool:
    last, first, at, wall, devices, chunk = row
    try:
        store.stretches(devices)
        held = len(record.unpack(chunk, first)) == last - first + 1
        return held and record.checksum(chunk, salt) == crc and at >= 0 and wall >= 0
    except DAMAGE:
        return False


def _connect(path: Path, how: str = "mode=ro") -> sqlite3.Connection:
    # Only to look: the last connection that may write brings the log into the file as it is closed.
    db = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None, timeout=2.0)
    db.text_factory = lambda content: content.decode(errors="replace")
    return db


_SALT = re.compile(r"[0-9a-f]{16}")


def _salt(db: sqlite3.Connection) -> Any:
    return _meta(db, "salt")


def _meta(db: sqlite3.Connection, key: str) -> Any:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None
