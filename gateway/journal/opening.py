"""Opening a journal: making it, finding out what it holds, and what happened to it."""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import orjson

from gateway.journal import record, rescue, slate
from gateway.journal.lock import Lock
from gateway.journal.record import Record
from gateway.journal.slate import Side, Slate
from gateway.journal.store import (
    DAMAGE,
    NOTHING,
    STREAMS,
    Extent,
    Limits,
    Loss,
    State,
    Store,
    Work,
    damaged,
)

SKIPPED = 1_000_000
"""Numbers that are skipped when it is not known which went out last: after a power cut, or trouble with the disk."""


@dataclass(slots=True, kw_only=True)
class Files:
    """A journal that is open, and what it holds."""

    lock: Lock
    slate: Slate
    run: str = field(init=False)
    """As the database has it."""
    store: Store = field(init=False)
    state: State = field(init=False)
    at: float = field(init=False)
    """The journal's own clock."""
    extents: Mapping[str, Extent] = field(init=False)
    """What the database holds."""
    losses: list[Loss] = field(default_factory=list)
    news: list[str] = field(default_factory=list)
    """What the operator should hear, as finished lines."""

    def mark(self, state: State, *, run: str, clean: int = 0) -> None:
        """Raises: sqlite3.Error, OSError."""
        self.store.mark(state, run=run, clean=clean)
        self.run = run

    def close(self) -> None:
        self.store.close()
        self.slate.close()
        self.lock.close()


def note(run: str, boot: str, state: State, extents: Mapping[str, Extent]) -> bytes:
    """What stands at the beginning of a slate."""
    return orjson.dumps(
        {
            "run": run, "boot": boot, "base": state.base, "seqs": state.seqs, "lasts": state.lasts,
            "cursors": state.cursors, "extents": {stream: tuple(each) for stream, each in extents.items()},
        }
    )  # fmt: skip


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
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        make = partial(Store.open, path, limits, run=run, state=state, forced=forced)
        aside, files.store = _replaced(path, wall, make)
        if files.extents == dict.fromkeys(STREAMS, NOTHING):
            rescue.remove(aside)
        else:
            files.news.append(
                f"{path}: could not be read at the start: set aside, with its readings, as {aside.name}"
            )
        files.store.mark(state, clean=0, boot=boot)
        files.run, files.state, files.extents, files.losses = run, state, files.store.extents(), []
    except BaseException:
        files.close()
        raise
    return files


def renew(
    path: Path, files: Files, state: State, why: str | None, *,
    run: str, expected: Mapping[str, Extent], forced: bool, boot: str, wall: int,
) -> Files:  # fmt: skip
    """All files, opened once more by a journal that knows its state; `why` the database is set aside, if it is to be.

    `expected`: what of the database nobody else has.
    Raises: sqlite3.Error, OSError; JournalError, when another process has taken it meanwhile.
    """
    if not files.lock.holds(path):  # another disk stands there now
        files.lock.close()
        files.lock = Lock(path)
        surface = Slate.open(path, files.slate.last)
        files.slate.close()
        files.slate = surface
    old = files.store
    why = why or rescue.fault(path)
    make = partial(Store.open, path, old.limits, run=run, state=state, forced=forced)
    aside = None
    if why:
        old.close()
        aside, store = _replaced(path, wall, make)
    else:  # until this one works, readers may go on with the old one
        store = make()
    try:
        if aside:
            saved = rescue.copy(aside, store, expected)
            files.losses += saved.losses
            files.news.append(f"{path}: {why}: set aside as {aside.name}; {saved}")
        store.mark(state, clean=0, boot=boot, run=run)
        files.extents = store.extents()
    except BaseException:
        store.close()
        raise
    old.close()
    store.untold = old.untold
    files.store, files.run = store, run
    return files


def _opened(
    path: Path, limits: Limits, lock: Lock, surface: Slate, sides: Sequence[Side], *,
    forced: bool, boot: str, wall: int,
) -> Files:  # fmt: skip
    news = []
    if rescue.foreign_log(path):
        log = rescue.set_aside(path, wall, log_only=True)
        news.append(f"{path}: its write-ahead log is another journal's: set aside as {log.name}-wal")
    files = Files(lock=lock, slate=surface, news=news)
    fault = rescue.fault(path)
    try:
        _fill(files, path, limits, sides, fault, forced=forced, boot=boot, wall=wall)
    except DAMAGE as error:
        if fault or not damaged(error):
            raise
        fault = f"damaged ({error})"  # in a place where the first look did not go
        files = Files(lock=lock, slate=surface, news=news)
        _fill(files, path, limits, sides, fault, forced=forced, boot=boot, wall=wall)
    return files


def _fill(
    files: Files, path: Path, limits: Limits, sides: Sequence[Side], fault: str | None, *,
    forced: bool, boot: str, wall: int,
) -> None:  # fmt: skip
    there = not fault and path.exists() and path.stat().st_size > 0
    if not there and not fault:
        sides = []  # a journal that was deleted is made anew
    # The slate alone is good for all numbers, if it is of this boot; of one that is not known, it may not be.
    of_this_boot = bool(boot) and bool(sides) and _says(sides[-1], "boot") == boot
    run = _says(sides[-1], "run") if of_this_boot else secrets.token_hex(4)
    state = State()
    for side in sides:
        if _says(side, "run") == run:
            _merge(state, side)
    make = partial(Store.open, path, limits, run=run, state=state, forced=forced)
    aside, store = _replaced(path, wall, make) if fault else (None, make())
    files.store = store
    try:
        files.run = store.run
        sides = [side for side in sides if _says(side, "run") == files.run]
        unclean = bool(aside) or (there and not store.meta("clean"))
        if aside:
            saved = rescue.copy(aside, store, _expected(sides))
            files.state = saved.state
            files.losses += saved.losses
            ending = "" if sides else "; a new run begins"
            if not sides:
                files.state.seqs = {}
            files.news.append(f"{path}: {fault}: set aside as {aside.name}; {saved}{ending}")
        else:
            files.state = store.load()
        files.at = store.age(boot)
        if unclean and sides:
            _take_up(path, files, sides, wall, counted=bool(aside))
        if unclean and sides and sides[-1].torn:
            _skip_numbers(files, "the journal was damaged, or could not be written")
        elif unclean and not (aside or (sides and of_this_boot)):
            _skip_numbers(files, "the power was cut")
        files.extents = store.extents()
        with suppress(OSError):  # whoever writes it next will see
            files.slate.turn(note(files.run, boot, files.state, files.extents))
        # All of this, and the names of the files, outlive a power cut from here on.
        store.mark(files.state, clean=0, boot=boot)
        _sync_folder(path.parent)
    except BaseException:
        store.close()
        raise


def _replaced(path: Path, wall: int, make: Callable[[], Store]) -> tuple[Path, Store]:
    """What stands there is set aside, unless nothing can be made in its place: then it stays for the next attempt."""
    aside = rescue.set_aside(path, wall)
    try:
        return aside, make()
    except BaseException:
        rescue.put_back(aside, path)
        raise


def _skip_numbers(files: Files, why: str) -> None:
    state = files.state
    state.base += SKIPPED
    for device, seq in state.seqs.items():
        reason = f"{why}: these numbers are skipped"
        files.losses.append(Loss(device, seq + 1, seq + SKIPPED, 0, reason))
        state.seqs[device] = seq + SKIPPED


def _take_up(path: Path, files: Files, sides: Sequence[Side], wall: int, *, counted: bool) -> None:
    """What stands on the slate goes on top of what the database says; `counted`: so is what the database lacks."""
    state = files.state
    for side in sides:
        _merge(state, side)
    said = orjson.loads(sides[-1].state)
    extents = files.store.extents()
    found: dict[str, list[Record]] = {}
    for number, stream in enumerate(STREAMS, 1):
        taken = min(state.cursors[stream].values(), default=0)
        held = max(extents[stream].last, files.store.gone(stream), taken)
        found[stream] = []
        missing = 0
        for each in _records(sides, number):
            if stream == "readings":
                state.seqs[each.device] = max(each.seq, state.seqs.get(each.device, 0))
            state.lasts[stream] = max(each.offset, state.lasts[stream])
            if each.offset > held:
                found[stream].append(each)
                missing += each.offset - held - 1
                held = each.offset
        missing += max(0, said["lasts"][stream] - held)
        if missing and not counted:
            files.news.append(f"{path}: its end is missing: {missing} {stream} are lost")
            files.losses.append(Loss("(unknown)", 0, 0, missing, "the journal was damaged"))
    done = files.store.write(Work(at=files.at, wall=wall, records=found, state=state))
    files.losses += [loss for each in done.evicted for loss in each.losses]


def _expected(sides: Sequence[Side]) -> dict[str, Extent]:
    """What the database held when the slate was turned last, as far as it was not delivered."""
    expected = dict.fromkeys(STREAMS, NOTHING)
    if sides:
        said = orjson.loads(sides[-1].state)
        for stream, (first, last) in said["extents"].items():
            waiting = max(first, min(said["cursors"][stream].values(), default=0) + 1)
            expected[stream] = Extent(waiting, last) if waiting <= last else NOTHING
    return expected


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
