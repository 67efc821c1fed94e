"""Opening a journal: making it, finding out what it holds, and what happened to it."""

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from gateway.journal import record, rescue, slate
from gateway.journal.lock import Lock
from gateway.journal.record import Record
from gateway.journal.slate import Side, Slate
from gateway.journal.store import NOTHING, STREAMS, Extent, Limits, Loss, State, Store, Work

SKIPPED = 100_000
"""Numbers that are skipped after a power cut: some may have gone out with readings that the disk does not have."""


@dataclass(slots=True, kw_only=True)
class Files:
    """A journal that is open, and what it holds."""

    lock: Lock
    slate: Slate
    store: Store
    state: State
    at: float
    """The journal's own clock."""
    extents: Mapping[str, Extent]
    """What the database holds."""
    losses: list[Loss] = field(default_factory=list)
    news: list[str] = field(default_factory=list)
    """What the operator should hear, as finished lines."""

    def close(self) -> None:
        self.store.close()
        self.slate.close()
        self.lock.close()


def boot_id() -> str:
    """Another one after each start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def open_files(path: Path, limits: Limits, *, forced: bool, boot: str, wall: int) -> Files:
    """The journal at this path; made anew where there is none or what is there cannot be used.

    Raises: JournalError, when a newer Sallyport wrote it or another process has it; sqlite3.Error, OSError,
    when the disk does not let us.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(path)
    try:
        sides = slate.read(path)
        surface = Slate.open(path, sides[-1].turn if sides else 0)
        try:
            return _opened(path, limits, lock, surface, sides, forced=forced, boot=boot, wall=wall)
        except BaseException:
            surface.close()
            raise
    except BaseException:
        lock.close()
        raise


def start_over(
    path: Path, limits: Limits, state: State, *, run: str, forced: bool, boot: str, wall: int
) -> Files:
    """A new journal for readings that memory has held since the start; what the disk holds is set aside.

    Raises: JournalError, sqlite3.Error, OSError.
    """
    files = open_files(path, limits, forced=forced, boot=boot, wall=wall)
    try:
        files.store.close()
        aside = rescue.set_aside(path, wall)
        if files.extents == dict.fromkeys(STREAMS, NOTHING):
            rescue.remove(aside)
        else:
            files.news.append(
                f"{path}: could not be read at the start: set aside, with its readings, as {aside.name}"
            )
        files.store = Store.open(path, limits, run=run, forced=forced)
        files.store.mark(state, clean=0, boot=boot)
        files.state, files.extents, files.losses = state, files.store.extents(), []
    except BaseException:
        files.slate.close()
        files.lock.close()
        raise
    return files


def replace(path: Path, files: Files, state: State, why: str | None, *, forced: bool, wall: int) -> None:
    """The database, opened once more by a journal that knows its state; `why` it is set aside, if it is to be.

    Raises: sqlite3.Error, OSError.
    """
    files.store.close()
    why = why or rescue.fault(path)
    aside = rescue.set_aside(path, wall) if why else None
    files.store = Store.open(path, files.store.limits, run=files.store.run, forced=forced)
    if aside:
        saved = rescue.copy(aside, files.store)
        files.losses += saved.losses
        files.news.append(f"{path}: {why}: set aside as {aside.name}; {saved}")
    files.extents = files.store.extents()
    files.store.mark(state, clean=0)


def _opened(
    path: Path, limits: Limits, lock: Lock, surface: Slate, sides: Sequence[Side], *,
    forced: bool, boot: str, wall: int,
) -> Files:  # fmt: skip
    fault = rescue.fault(path)
    aside = rescue.set_aside(path, wall) if fault else None
    there = path.exists() and path.stat().st_size > 0
    news = []
    if there and rescue.foreign_log(path):
        log = rescue.set_aside(path, wall, log_only=True)
        news.append(f"{path}: its write-ahead log is another journal's: set aside as {log.name}-wal")
    if not there and not aside:
        sides = []  # a journal that was deleted is made anew
    # The slate alone is good for all numbers, if it is of this boot.
    run = _says(sides[-1], "run") if sides and _says(sides[-1], "boot") == boot else secrets.token_hex(4)
    database = Store.open(path, limits, run=run, forced=forced)
    try:
        sides = [side for side in sides if _says(side, "run") == database.run]
        files = Files(
            lock=lock,
            slate=surface,
            store=database,
            state=State(),
            at=database.age(boot),
            extents={},
            news=news,
        )
        if aside:
            saved = rescue.copy(aside, database)
            files.state = saved.state
            files.losses += saved.losses
            ending = "" if sides else "; a new run begins"
            if not sides:
                files.state.seqs = {}
            news.append(f"{path}: {fault}: set aside as {aside.name}; {saved}{ending}")
        else:
            files.state = database.load()
        if aside or (there and not database.meta("clean")):
            _take_up(path, files, sides, wall)
        if there and not database.meta("clean") and not (sides and _says(sides[-1], "boot") == boot):
            _skip_numbers(files)
        files.extents = database.extents()
        # All of this, and the names of the files, outlive a power cut from here on.
        database.mark(files.state, clean=0, boot=boot)
        _sync_folder(path.parent)
    except BaseException:
        database.close()
        raise
    return files


def _skip_numbers(files: Files) -> None:
    state = files.state
    state.base += SKIPPED
    for device, seq in state.seqs.items():
        reason = "the power was cut: these numbers are skipped"
        files.losses.append(Loss(device, seq + 1, seq + SKIPPED, 0, reason))
        state.seqs[device] = seq + SKIPPED


def _take_up(path: Path, files: Files, sides: Sequence[Side], wall: int) -> None:
    """What stands on the slate goes on top of what the database says."""
    if not sides:
        return
    state = files.state
    for side in sides:
        _merge(state, side)
    stored = orjson.loads(sides[-1].state)["stored"]
    extents = files.store.extents()
    found: dict[str, list[Record]] = {}
    for number, stream in enumerate(STREAMS, 1):
        held = max(extents[stream].last, min(state.cursors[stream].values(), default=0))
        missing = stored[stream] - held
        if missing > 0 and stream == "readings":
            files.news.append(f"{path}: its end is missing: {missing} readings are lost")
            files.losses.append(Loss("(unknown)", 0, 0, missing, "the journal was damaged"))
        found[stream] = []
        for each in _records(sides, number):
            if stream == "readings":
                state.seqs[each.device] = max(each.seq, state.seqs.get(each.device, 0))
            state.lasts[stream] = max(each.offset, state.lasts[stream])
            if each.offset > held:
                found[stream].append(each)
                held = each.offset
    files.store.write(Work(at=files.at, wall=wall, records=found, state=state))


def _merge(state: State, side: Side) -> None:
    said = orjson.loads(side.state)
    state.base = max(state.base, said["base"])
    for device, seq in said["seqs"].items():
        state.seqs[device] = max(seq, state.seqs.get(device, 0))
    for stream in STREAMS:
        state.lasts[stream] = max(state.lasts.get(stream, 0), said["lasts"][stream])
        for reader, offset in said["cursors"][stream].items():
            state.cursors[stream][reader] = max(offset, state.cursors[stream].get(reader, 0))


def _records(sides: Sequence[Side], kind: int) -> Iterator[Record]:
    for side in sides:
        for chunk in side.chunks:
            if chunk.kind == kind:
                yield from record.unpack(chunk.body, chunk.first)


def _says(side: Side, key: str) -> str:
    return str(orjson.loads(side.state)[key])


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
