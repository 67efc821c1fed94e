"""A disk that is full, read-only, slow or not there: readings go on, in memory, and it is over by itself."""

import asyncio
import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import journal as journals
from gateway.journal.journal import Journal
from gateway.journal.store import Store
from gateway.logs import MessageId
from tests.support.journals import (
    MB,
    drained,
    files,
    files_end_at,
    fill,
    gaps,
    left_behind,
    missing,
    opened,
    remount,
    seqs,
    settled,
    small_disk,
    stream_in,
    waiting,
)
from tests.support.logged import fields


async def recovered(journal: Journal) -> None:
    async with asyncio.timeout(300):
        while journal.trouble:
            await asyncio.sleep(1)
    await settled()


def about_trouble(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        each.getMessage().partition("journal.db: ")[2]
        for each in caplog.records
        if "held in memory" in each.getMessage() or "works again" in each.getMessage()
    ]


@pytest.mark.parametrize("sync_s", [0.2, 0.0, None], ids=["200ms", "always", "never"])
@pytest.mark.parametrize("room", [0, 1, 20_000], ids=["none", "a byte", "little"])
async def test_disk_that_takes_nothing_for_a_while_is_bridged_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sync_s: float | None, room: int
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "journal.db"
    told: list[str] = []
    async with opened(path, sync_s=sync_s, troubled=told.append) as journal:
        await stream_in(journal, 1000)
        with files_end_at(room):
            await stream_in(journal, 1000)
            await asyncio.sleep(600)
            assert journal.trouble
            await stream_in(journal, 500)
            assert seqs(await waiting(journal)) == list(range(1, 2501))
        await recovered(journal)
        await stream_in(journal, 500)
        assert journal.losses.total == 0
        killed = left_behind(journal, path, tmp_path / "killed")
        last = journal.last_seq("boiler")
    down, up = about_trouble(caplog)
    assert down.endswith("from now on readings are held in memory only")
    assert up.startswith("works again after ")
    assert fields(caplog.records, down) == {"MESSAGE_ID": MessageId.JOURNAL_IN_TROUBLE}
    assert fields(caplog.records, up) == {"MESSAGE_ID": MessageId.JOURNAL_WORKS_AGAIN}
    assert [bool(each) for each in told] == [True, False]
    for each in (path, killed):
        async with opened(each, sync_s=sync_s) as journal:
            assert seqs(await waiting(journal)) == list(range(1, 3001))
            assert (journal.last_seq("boiler"), gaps(journal)) == (last, [])


async def test_full_disk_that_is_freed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(tmp_path / "small", "2m") as folder:
        path = folder / "journal.db"
        async with opened(path) as journal:
            await stream_in(journal, 1000)
            with pytest.raises(OSError, match="No space left"), (folder / "other").open("wb", 0) as other:
                while True:
                    other.write(bytes(4096))
            await stream_in(journal, 4000)
            assert "full" in journal.trouble or "No space" in journal.trouble
            # What waits on the disk can be delivered all the same.
            assert seqs(await drained(journal)) == list(range(1, 5001))
            await stream_in(journal, 1000)
            (folder / "other").unlink()
            await recovered(journal)
            await stream_in(journal, 1000)
            assert journal.losses.total == 0
        async with opened(path) as journal:
            assert seqs(await waiting(journal)) == list(range(5001, 7001))
    assert len(about_trouble(caplog)) == 2


async def test_disk_that_is_too_small_for_what_the_journal_may_hold(tmp_path: Path) -> None:
    """`min_free` alone, without `max_size`, keeps it within what there is: it evicts before the disk is full."""
    with small_disk(tmp_path / "small", "4m") as folder:
        async with opened(folder / "journal.db", min_free=10**6) as journal:
            await stream_in(journal, 30_000)
            assert not journal.trouble
            kept = seqs(await drained(journal))
            assert missing(gaps(journal)) + kept == list(range(1, 30_001))


@pytest.mark.parametrize("drop_oldest", [True, False])
async def test_disk_with_less_than_min_free_is_bridged_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, drop_oldest: bool
) -> None:
    """Whatever others have filled: nothing is thrown away that memory can hold, and it is said once."""
    with small_disk(tmp_path / "small", "8m") as folder:
        path = folder / "journal.db"
        async with opened(path, min_free=5 * MB, drop_oldest=drop_oldest) as journal:
            await stream_in(journal, 1000)
            await settled()
            assert files(path) < 3 * MB
            (folder / "other").write_bytes(bytes(4 * MB))
            await stream_in(journal, 5000)
            await settled()
            assert "too little of the disk is free" in journal.trouble
            assert "journal.min_free is 5MB" in journal.trouble
            assert journal.refused == 0
            told = gaps(journal)
            assert {gap.reason for gap in told} <= {"the disk was nearly full"}
            kept = seqs(await waiting(journal))
            assert (missing(told) if told else []) + kept == list(range(1, 6001))
            assert len(kept) >= 5000 - 50
            (folder / "other").unlink()
            await recovered(journal)
            await stream_in(journal, 1000)
            await settled()
            assert journal.refused == 0
        async with opened(path) as journal:
            assert seqs(await waiting(journal)) == [*kept, *range(6001, 7001)]
    assert len(about_trouble(caplog)) == 2
    assert len([each for each in caplog.messages if "lost" in each]) <= 2


async def test_what_was_given_up_is_announced_even_if_the_disk_fails_right_after_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "4m") as folder:
        async with opened(folder / "journal.db", min_free=MB) as journal:
            while not journal.losses.total:
                await stream_in(journal, 1000)
            with pytest.raises(OSError, match="No space left"), (folder / "other").open("wb", 0) as other:
                while True:
                    other.write(bytes(4096))
            await stream_in(journal, 5000)
            await settled()
            (folder / "other").unlink()
            await recovered(journal)
            kept = seqs(await waiting(journal))
            assert missing(gaps(journal)) + kept == list(range(1, journal.appended + 1))


async def test_broker_that_keeps_up_is_told_everything_however_little_of_the_disk_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "small", "2m") as folder:
        async with opened(folder / "journal.db", min_free=5 * MB, drop_oldest=False) as journal:
            for _ in range(10):
                await stream_in(journal, 200)
                await drained(journal)
                await settled()  # which saves numbers and cursors
            assert (journal.refused, journal.losses.total) == (0, 0)
    assert len(about_trouble(caplog)) <= 1


async def test_read_only_disk_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(tmp_path / "small", "8m") as folder:
        path = folder / "journal.db"
        remount(folder, "ro")
        async with opened(path) as journal:
            run = journal.run
            assert "Read-only file system" in journal.trouble
            await stream_in(journal, 1000)
            assert seqs(await waiting(journal)) == list(range(1, 1001))
            remount(folder, "rw")
            await recovered(journal)
            await stream_in(journal, 100)
            assert journal.run == run
            killed = left_behind(journal, path, tmp_path / "killed")
        for each in (path, killed):
            async with opened(each) as journal:
                assert journal.run == run
                assert seqs(await waiting(journal)) == list(range(1, 1101))
    assert len(about_trouble(caplog)) == 2


async def test_folder_that_cannot_be_made_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "mount").write_text("not a folder yet")
    path = tmp_path / "mount" / "journal.db"
    async with opened(path) as journal:
        assert journal.trouble
        await fill(journal, 10)
        journal.readings.commit("mqtt", 4)
        (tmp_path / "mount").unlink()
        await recovered(journal)
        await fill(journal, 10)
    async with opened(path) as journal:
        assert seqs(await waiting(journal)) == list(range(5, 21))


async def test_journal_that_could_not_be_read_at_the_start_is_kept_with_its_readings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await fill(journal, 100)
        run = journal.run
    with files_end_at(0):
        opening = opened(path)
        journal = await opening.__aenter__()
        assert journal.trouble
        assert journal.run != run  # nobody knows the numbers of the other
        await fill(journal, 10)
    await recovered(journal)
    await opening.__aexit__(None, None, None)
    [aside] = tmp_path.glob("journal.db.broken-*")
    assert f"set aside, with its readings, as {aside.name}" in caplog.text
    async with opened(aside) as journal:
        assert (journal.run, seqs(await waiting(journal))) == (run, list(range(1, 101)))
    async with opened(path) as journal:
        assert seqs(await waiting(journal)) == list(range(1, 11))


async def test_closing_in_trouble_says_what_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal.db"
    opening = opened(path)
    journal = await opening.__aenter__()
    await fill(journal, 100)
    await settled()
    with files_end_at(0):
        await fill(journal, 50)
        run, last = journal.run, journal.last_seq("boiler")
        await opening.__aexit__(None, None, None)
    assert "the last 50 readings are lost" in caplog.text
    async with opened(path) as journal:
        assert seqs(await waiting(journal)) == list(range(1, 101))
        assert journal.run != run or journal.last_seq("boiler") >= last


async def test_trouble_with_the_database_alone_costs_nothing_even_if_the_process_ends_in_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    opening = opened(path)
    journal = await opening.__aenter__()
    await stream_in(journal, 1000)
    await settled()
    with files_end_at(70_000):  # the slate is smaller
        await fill(journal, 50)
        await asyncio.sleep(5)
        await fill(journal, 50)
        assert journal.trouble
        killed = left_behind(journal, path, tmp_path / "killed")
        await opening.__aexit__(None, None, None)
    for each in (path, killed):
        async with opened(each) as journal:
            assert seqs(await waiting(journal)) == list(range(1, 1101))
            assert gaps(journal) == []


@pytest.mark.parametrize("sync_s", [0.2, 0.0], ids=["200ms", "always"])
@pytest.mark.parametrize("room", [0, 1], ids=["none", "a byte"])
async def test_no_number_is_given_out_twice_after_a_process_that_ended_in_trouble(
    tmp_path: Path, room: int, sync_s: float
) -> None:
    path = tmp_path / "journal.db"
    opening = opened(path, sync_s=sync_s)
    journal = await opening.__aenter__()
    await stream_in(journal, 1000)
    await drained(journal)
    with files_end_at(room):
        await fill(journal, 1)  # the disk is found out by this one
        await settled()
        run = journal.run
        await stream_in(journal, 1000)
        shown = seqs(await drained(journal))
        assert len(shown) == 1001
        assert journal.trouble
        killed = left_behind(journal, path, tmp_path / "killed")
        await opening.__aexit__(None, None, None)
    for each in (path, killed):
        async with opened(each, sync_s=sync_s) as journal:
            assert journal.run != run or journal.last_seq("boiler") >= shown[-1]
            if room:  # it could be noted
                assert journal.run == run
                [gap] = gaps(journal)
                assert gap.lost == 0
                assert (gap.first - 1 <= 1001, gap.last >= shown[-1]) == (True, True)
                assert "could not be written" in gap.reason


async def test_more_numbers_than_are_skipped_are_not_given_out_in_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "MOST_UNKNOWN", 2000)
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await stream_in(journal, 1000)
        run = journal.run
        with files_end_at(1):
            for _ in range(10):
                await stream_in(journal, 500)
                await drained(journal)
            assert journal.run != run
            new = journal.run
            cut = left_behind(journal, path, tmp_path / "cut", power_cut=True)
        await recovered(journal)
        assert journal.run == new
        await fill(journal, 10)
        killed = left_behind(journal, path, tmp_path / "killed")
        last = journal.last_seq("boiler")
    async with opened(cut, boot="the next one") as journal:
        assert journal.run == run  # it has never heard of the other
    for each in (path, killed):
        async with opened(each) as journal:
            assert (journal.run, journal.last_seq("boiler")) == (new, last)
            assert seqs(await waiting(journal)) == list(range(6001, 6011))


@pytest.mark.parametrize("drop_oldest", [True, False])
async def test_memory_is_bounded_in_trouble_and_accounts_add_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, drop_oldest: bool
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, drop_oldest=drop_oldest) as journal:
        await stream_in(journal, 1000)
        await settled()
        with files_end_at(1):
            for _ in range(25):
                await stream_in(journal, 500, size=1000)
                if journal.appended == 6000:
                    delivered = seqs(await drained(journal))
            assert journal.readings.size <= journals.HELD_BYTES
            lost = journal.losses.total
            assert lost > 0
        for _ in range(10):  # and while it recovers
            await stream_in(journal, 100, size=1000)
            await asyncio.sleep(1)
        await recovered(journal)
        told = gaps(journal)
        left = seqs(await drained(journal))
        assert journal.readings.behind("mqtt") == 0
        total = journal.losses.total
    which = "oldest" if drop_oldest else "newest"
    assert f"memory is full (8MB) while the disk is in trouble: from now on the {which}" in caplog.text
    assert sum(gap.lost for gap in told) == total
    assert sorted(delivered + missing(told) + left) == list(range(1, journal.appended + 1))


async def test_backlog_on_the_disk_is_not_passed_over_in_trouble(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal.db") as journal:
        await stream_in(journal, 20_000)  # more than memory keeps
        with files_end_at(0):
            await fill(journal, 10)
            await settled()
            assert journal.trouble
            offset = 0
            while offset < 20_010:
                records = await journal.readings.after("mqtt", offset, limit=100)
                assert records[0].offset == offset + 1
                offset = records[-1].offset
        await recovered(journal)
        assert seqs(await drained(journal)) == list(range(1, 20_011))


@pytest.mark.real_time
@pytest.mark.parametrize("sync_s", [0.2, 0.0], ids=["200ms", "always"])
async def test_disk_that_does_not_answer_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sync_s: float
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, sync_s=sync_s) as journal:
        await fill(journal, 10)
        await drained(journal)
        monkeypatch.setattr(journals, "STALL_S", 0.2)
        answer = threading.Event()
        journal._disk.submit(answer.wait)
        for _ in range(60):  # more than memory may hold
            await fill(journal, 500, size=1000)
        assert journal.trouble.endswith("no answer for 200ms")
        assert journal.readings.size <= journals.HELD_BYTES
        kept = seqs(await waiting(journal))
        monkeypatch.undo()  # a busy machine's disk may well take 200 ms
        answer.set()
        async with asyncio.timeout(20):
            while journal.trouble or journal.readings.extent.last < journal.readings.last:
                await asyncio.sleep(0.01)
        left = seqs(await drained(journal))
        assert left[-len(kept) :] == kept
        # What was on its way to the disk then has arrived, though memory had to let it go.
        assert sorted(left + missing(gaps(journal))) == list(range(11, journal.appended + 1))
    assert len(about_trouble(caplog)) == 2


@pytest.mark.parametrize("how", ["read", "write"])
async def test_place_that_the_disk_cannot_read_any_more_does_not_hold_up_the_rest_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    async with opened(tmp_path / "journal.db") as journal:
        await stream_in(journal, 20_000)  # more than memory keeps
        await settled()
        assert journal._files is not None
        salt = journal._files.store.salt
        works = getattr(Store, how)

        def fails(store: Store, *args: object, **options: object) -> object:
            if store.salt == salt:
                raise _bad_sector()
            return works(store, *args, **options)

        monkeypatch.setattr(Store, how, fails)
        await fill(journal, 1)
        offset = 0
        while offset < 20_001:
            records = await journal.readings.after("mqtt", offset, limit=100)
            assert records[0].offset == offset + 1
            offset = records[-1].offset
        await recovered(journal)
        assert journal.losses.total == 0
    assert len(about_trouble(caplog)) <= 2 * journals.MOST_UNREADABLE
    assert caplog.text.count("set aside as") == 1


async def test_dead_disk_with_a_backlog_is_given_up_for_the_readings_that_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "journal.db") as journal:
        await stream_in(journal, 20_000)  # more than memory keeps
        await settled()
        in_memory = journal.readings.first_in_memory

        def fails(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        for how in ("read", "write", "open"):
            monkeypatch.setattr(Store, how, fails)
        reading = asyncio.create_task(journal.readings.after("mqtt", 0, limit=100))
        await asyncio.sleep(journals.DEAD_S - 5)
        assert not reading.done()
        async with asyncio.timeout(20):
            [first, *_] = await reading
        assert first.offset == in_memory > 10_000
        await fill(journal, 5)
        offset = in_memory - 1
        while offset < 20_005:
            offset = (await journal.readings.after("mqtt", offset, limit=1000))[-1].offset
        journal.readings.commit("mqtt", offset)
        assert journal.readings.behind("mqtt") == 0
        assert journal.losses.total == in_memory - 1
    assert "cannot be read: what waits there is lost" in caplog.text


async def test_two_short_failures_far_apart_cost_no_backlog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path / "journal.db") as journal:
        await stream_in(journal, 20_000)  # more than memory keeps
        await settled()
        works = Store.read
        for failure in ("first", "second"):

            def fails(*_: object, **__: object) -> None:
                raise sqlite3.OperationalError("disk I/O error")

            monkeypatch.setattr(Store, "read", fails)
            reading = asyncio.create_task(journal.readings.after("mqtt", 0, limit=100))
            while not journal.trouble:
                await asyncio.sleep(0.01)
            monkeypatch.setattr(Store, "read", works)
            if failure == "first":
                reading.cancel()  # the broker has gone, too: nobody reads for long
                await recovered(journal)
                await asyncio.sleep(10 * journals.DEAD_S)
        assert (await reading)[0].offset == 1
        assert journal.losses.total == 0


def _bad_sector() -> sqlite3.Error:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    return error


@pytest.mark.real_time
async def test_reader_whose_database_is_replaced_meanwhile_reads_the_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "journal.db") as journal:
        await stream_in(journal, 10_000)  # more than memory keeps
        async with asyncio.timeout(20):
            while journal.readings.first_in_memory == 1:
                await asyncio.sleep(0.01)
        answer = threading.Event()
        journal._disk.submit(answer.wait)
        journal._fall_into_trouble(OSError("a test"))
        await asyncio.sleep(0.3)  # it is about to be opened anew
        reading = asyncio.create_task(journal.readings.after("mqtt", 0, limit=100))
        await asyncio.sleep(0)
        answer.set()
        async with asyncio.timeout(journals.READ_AGAIN_S * 0.9):  # at once, not at the second attempt
            assert seqs(await reading)[0] == 1
        async with asyncio.timeout(20):
            while journal.trouble:
                await asyncio.sleep(0.01)
    assert len(about_trouble(caplog)) == 2


@pytest.mark.real_time
async def test_disk_that_does_not_answer_does_not_hold_up_the_end_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journals, "CLOSE_S", 0.3)
    path = tmp_path / "journal.db"
    answer = threading.Event()
    try:
        async with asyncio.timeout(5), opened(path) as journal:
            await fill(journal, 10)
            journal._disk.submit(answer.wait)
            await fill(journal, 10)
        assert caplog.messages == [f"journal: {path}: no answer for 300ms: it is not waited for any longer"]
    finally:
        answer.set()
        await asyncio.sleep(0.1)
    async with opened(path) as journal:
        assert seqs(await waiting(journal)) == list(range(1, 21))


async def test_journal_that_a_newer_version_has_left_meanwhile_is_not_touched(tmp_path: Path) -> None:
    newer = tmp_path / "newer.db"
    async with opened(newer):
        pass
    content = bytearray(newer.read_bytes())
    content[60:64] = (7).to_bytes(4)  # user_version
    (tmp_path / "mount").write_text("not a folder yet")
    path = tmp_path / "mount" / "journal.db"
    async with opened(path) as journal:
        await fill(journal, 10)
        (tmp_path / "mount").unlink()
        (tmp_path / "mount").mkdir()
        path.write_bytes(content)
        await asyncio.sleep(300)
        assert journal.trouble
        assert seqs(await waiting(journal)) == list(range(1, 11))
    assert path.read_bytes() == bytes(content)
    with pytest.raises(JournalError, match="a newer Sallyport wrote this journal"):
        async with opened(path):
            pass
