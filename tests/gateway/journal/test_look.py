"""Looking into a journal, also while it is written, and emptying it."""

import asyncio
import os
import re
from functools import partial
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import lock, look
from tests.support.journals import (
    BOOT,
    drained,
    files,
    fill,
    gaps,
    left_behind,
    opened,
    seqs,
    settled,
    waiting,
)


def purge(path: Path) -> None:
    look.purge(path, boot=BOOT, wall=0)


async def test_view_of_a_journal_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with pytest.raises(JournalError, match="there is no journal"):
        look.view(path, last=10)
    assert lock.holder(path) is None
    async with opened(path, readers=["one", "two"]) as journal:
        assert lock.holder(path)
        await fill(journal, 1000)
        await settled()
        await fill(journal, 50)
        await drained(journal, "one")
        journal.readings.commit("two", 300)
        await asyncio.sleep(0.15)  # in the slate, not in the database
        view = look.view(path, last=10)
        assert view.run == journal.run
        assert view.waiting == {"one": 0, "two": 750}
        assert [each.seq for each in look.records(path)] == list(range(301, 1051))
        with pytest.raises(JournalError, match="in use by"):
            purge(path)
    view = look.view(path, last=10)
    assert view.waiting == {"one": 0, "two": 750}
    assert (view.gaps, view.aside) == ([], [])
    assert view.size > 750 * 130
    assert lock.holder(path) is None


@pytest.mark.parametrize("killed", [False, True])
async def test_purged_journal_goes_on_with_its_numbers(tmp_path: Path, killed: bool) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await fill(journal, 20_000)
        await settled()
        await fill(journal, 50)
        await journal.append_urgent("gaps", b"{}")
        run = journal.run
        if killed:
            path = left_behind(journal, path, tmp_path / "killed")
    purge(path)
    assert list(look.records(path)) == []
    assert look.view(path, last=10).waiting == {"mqtt": 0}
    assert files(path) < 200_000
    [(_, loss)] = look.view(path, last=1).gaps
    assert (loss.device, loss.last, loss.reason) == ("boiler", 20_050, "purged")
    async with opened(path) as journal:
        assert (journal.run, journal.last_seq("boiler"), gaps(journal)) == (run, 20_050, [])
        assert journal.readings.behind("mqtt") == journal.urgent.behind("mqtt") == 0
        await fill(journal, 1)
        assert seqs(await waiting(journal)) == [20_051]


async def test_long_export_does_not_let_the_log_grow(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, max_size=10**6) as journal:
        await fill(journal, 3000)
        await settled()
        exported = look.records(path)
        next(exported)
        for _ in range(100):
            await fill(journal, 200)
            await asyncio.sleep(0.2)
        assert Path(f"{path}-wal").stat().st_size < 500_000
        assert sum(1 for _ in exported) > 256


@pytest.mark.parametrize("content", [b"", b"To be or not to be" * 100])
async def test_file_that_is_no_journal_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    for what in (lambda: look.view(path, last=1), lambda: list(look.records(path)), lambda: purge(path)):
        with pytest.raises(JournalError, match=r"journal\.db: "):
            what()
    assert path.read_bytes() == content


@pytest.mark.parametrize("suffix", ["", "-wal", "-slate0", "-slate1", ".lock"])
async def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await fill(journal, 10)
    strange = tmp_path / f"journal.db{suffix}"
    for put in (os.mkfifo, partial(os.symlink, "/dev/null")):
        strange.unlink(missing_ok=True)
        put(strange)
        with pytest.raises(JournalError, match=re.escape(f"{strange}: no gateway has made this")):
            look.view(path, last=1)
        with pytest.raises(JournalError, match="no gateway has made this"):
            purge(path)


async def test_lock_is_neither_taken_through_a_link_nor_waited_for(tmp_path: Path) -> None:
    path, target = tmp_path / "journal.db", tmp_path / "elsewhere"
    lock.beside(path).symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        lock.Lock(path)
    assert not target.exists()
    lock.beside(path).unlink()
    os.mkfifo(lock.beside(path))
    assert lock.holder(path) is None
