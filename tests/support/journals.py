"""A journal with the settings that a test does not care about, and what is in it."""

import asyncio
import resource
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import pytest

from gateway.journal.journal import Journal
from gateway.journal.record import Entry, Record
from gateway.journal.store import Limits
from gateway.model import Gap
from tests.support.shown_writer import payload

MB = 10**6
BOOT = "this boot"


def opened(
    path: Path | None,
    *,
    readers: Iterable[str] = ("mqtt",),
    max_size: int = 1000 * MB,
    max_age_s: float | None = None,
    min_free: int = 0,
    drop_oldest: bool = True,
    sync_s: float | None = 0.2,
    boot: str = BOOT,
    troubled: Callable[[str], None] = lambda _: None,
) -> AbstractAsyncContextManager[Journal]:
    limits = Limits(max_size=max_size, max_age_s=max_age_s, min_free=min_free, drop_oldest=drop_oldest)
    return Journal.open(path, readers=readers, limits=limits, sync_s=sync_s, boot=boot, troubled=troubled)


async def fill(journal: Journal, count: int, *, device: str = "boiler", size: int = 130) -> None:
    """In one turn of the loop."""
    first = journal.last_seq(device) + 1
    await journal.append([Entry(device, seq, payload(seq, size)) for seq in range(first, first + count)])


async def stream_in(journal: Journal, count: int, *, device: str = "boiler", size: int = 130) -> None:
    """As instruments do: a few at a time, while everything else goes on."""
    for _ in range(count // 50):
        await fill(journal, 50, device=device, size=size)
        await asyncio.sleep(0.01)


async def drained(
    journal: Journal, reader: str = "mqtt", *, limit: int = 1000, commits: bool = True
) -> list[Record]:
    """What this reader has still to take. Waits for the disk, not for what is not there yet."""
    stream = journal.readings
    found: list[Record] = []
    offset = stream.cursor(reader)
    while offset < stream.last:
        try:
            async with asyncio.timeout(3):
                records = await stream.after(reader, offset, limit=limit)
        except TimeoutError:  # the newest had to go
            break
        assert records[0].offset > offset
        found += records
        offset = records[-1].offset
        if commits:
            stream.commit(reader, offset)
    assert [each.offset for each in found] == sorted({each.offset for each in found})
    return found


async def waiting(journal: Journal, reader: str = "mqtt") -> list[Record]:
    return await drained(journal, reader, commits=False)


async def settled() -> None:
    """The disk's task has nothing to do any more: numbers and cursors are saved within ten seconds."""
    await asyncio.sleep(30)


def seqs(records: Iterable[Record]) -> list[int]:
    return [each.seq for each in records]


def by_device(records: Iterable[Record]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for each in records:
        found[each.device].append(each.seq)
    return found


def gaps(journal: Journal) -> list[Gap]:
    """Those that nobody has taken yet."""
    taken = []
    while (gap := journal.take_gap()) is not None:
        taken.append(gap)
    return taken


def missing(gaps: Sequence[Gap]) -> list[int]:
    """Each number of the gaps, all of one device."""
    assert len({gap.device for gap in gaps}) <= 1
    return [seq for gap in gaps for seq in range(gap.first, gap.last + 1)]


def files(path: Path) -> int:
    """Bytes of the journal's files."""
    return sum(
        each.stat().st_size for each in path.parent.glob(f"{path.name}*") if ".broken-" not in each.name
    )


def left_behind(journal: Journal, path: Path, folder: Path, *, power_cut: bool = False) -> Path:
    """The journal's files as `kill -9` at this moment would leave them, or as a power cut may.

    Between two transactions, that is: the disk's thread is not in one, and the loop waits for it.
    """
    folder.mkdir()

    def copy() -> None:
        with files_end_at(-1):
            copy_all()

    def copy_all() -> None:
        for each in path.parent.glob(f"{path.name}*"):
            if ".broken-" not in each.name and not (power_cut and "slate" in each.name):
                shutil.copy(each, folder)

    journal._disk.submit(copy).result()
    return folder / path.name


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file grows beyond this many bytes, as if the disk were full: real writes, real errors (EFBIG). -1: any may."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, in memory."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "journal-test", folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)
