"""Restarts, ends without a close, bounds and accounts of a journal in a file."""

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import journal as journals
from gateway.journal import opening
from gateway.journal.record import Entry
from gateway.journal.store import Limits
from gateway.model import Gap
from tests.support.journals import (
    BOOT,
    MB,
    drained,
    files,
    fill,
    gaps,
    left_behind,
    missing,
    opened,
    seqs,
    settled,
    small_disk,
    stream_in,
    waiting,
)
from tests.support.shown_writer import payload

SYNCS = pytest.mark.parametrize("sync_s", [0.0, 0.2, 30.0, None], ids=["always", "200ms", "30s", "never"])


async def test_files_and_folder_are_for_their_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.db"
    before = os.umask(0)
    try:
        async with opened(path) as journal:
            await fill(journal, 100)
            modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {"journal.db", "journal.db-wal", "journal.db.lock", "journal.db-slate0"} <= modes.keys()
    assert {*modes.values()} == {0o600}


# Restarts.


@SYNCS
async def test_seq_run_and_cursor_go_on_across_restarts(tmp_path: Path, sync_s: float | None) -> None:
    path = tmp_path / "state" / "journal.db"
    runs = set()
    delivered: list[int] = []
    for start in range(5):
        async with opened(path, sync_s=sync_s, boot=f"boot {start}") as journal:
            runs.add(journal.run)
            assert (journal.last_seq("boiler"), journal.last_seq("gps")) == (start * 100, 0)
            await fill(journal, 100)
            for record in await journal.readings.after("mqtt", journal.readings.cursor("mqtt"), limit=37):
                delivered.append(record.seq)
                journal.readings.commit("mqtt", record.offset)
            assert gaps(journal) == []
    async with opened(path, sync_s=sync_s) as journal:
        delivered += seqs(await drained(journal))
    assert delivered == list(range(1, 501))
    assert len(runs) == 1


async def test_closed_journal_is_one_file_beside_an_empty_slate(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await stream_in(journal, 1000)
    sizes = {each.name: each.stat().st_size for each in tmp_path.iterdir()}
    assert sizes.pop("journal.db") > 100_000
    assert sizes.pop("journal.db.lock")
    assert sizes == {"journal.db-slate0": 0, "journal.db-slate1": 0}


async def test_urgent_events_outlive_a_restart_and_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        for number in range(5):
            await journal.append_urgent("gaps", b"%d" % number)
        journal.urgent.commit("mqtt", 2)
        killed = left_behind(journal, path, tmp_path / "killed")
    for each in (path, killed):
        async with opened(each) as journal:
            events = await journal.urgent.after("mqtt", journal.urgent.cursor("mqtt"), limit=10)
            assert [event.payload for event in events][-3:] == [b"2", b"3", b"4"]
            await journal.append_urgent("gaps", b"5")
            assert journal.urgent.last == 6


async def test_reader_that_is_new_begins_with_the_oldest_and_one_that_is_gone_holds_up_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, readers=["old", "slow"]) as journal:
        await fill(journal, 1000)
        await drained(journal, "old")
        journal.readings.commit("slow", 500)
        await settled()
    async with opened(path, readers=["slow", "new"]) as journal:
        await settled()
        [first, *_] = await waiting(journal, "new")
        assert first.offset <= 501  # nothing that `slow` waits for is kept from it
        assert seqs(await drained(journal, "slow")) == list(range(501, 1001))
        await drained(journal, "new")
        await settled()
        assert journal.readings.size == 0
        assert journal.readings.extent == (0, 0)
    async with opened(path, readers=["old"]) as journal:  # back again: what it had not taken is long gone
        assert journal.readings.behind("old") == 0


async def test_readers_that_are_away_for_long_get_everything_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, readers=["here", "away"]) as journal:
        for _ in range(20):
            await stream_in(journal, 1000)
            await drained(journal, "here")
        assert journal.readings.size <= 1.1 * journals.TAIL_BYTES
        assert seqs(await waiting(journal, "away")) == list(range(1, 20_001))
    async with opened(path, readers=["here", "away"]) as journal:
        assert journal.readings.behind("here") == 0
        assert seqs(await drained(journal, "away", limit=64)) == list(range(1, 20_001))


async def test_backlog_is_read_in_order_while_more_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await stream_in(journal, 20_000)
    async with opened(path) as journal:
        got: list[int] = []
        while len(got) < 30_000:
            if journal.last_seq("boiler") < 30_000:
                await fill(journal, 50)
            records = await journal.readings.after("mqtt", len(got), limit=64)
            got += seqs(records)
            journal.readings.commit("mqtt", records[-1].offset)
        assert got == list(range(1, 30_001))
        assert (journal.readings.behind("mqtt"), journal.losses.total) == (0, 0)


# Without a close.


@SYNCS
async def test_no_number_is_given_out_twice_whenever_the_process_is_killed(
    tmp_path: Path, sync_s: float | None
) -> None:
    dice = random.Random(str(sync_s))
    path = tmp_path / "journal.db"
    cursors = [(0.0, 0)]
    async with opened(path, sync_s=sync_s) as journal:
        for number in range(40):
            device = dice.choice(["boiler", "gps", f"new {number}"])
            await fill(journal, dice.choice([0, 1, 30]), device=device)
            if dice.random() < 0.5:
                await drained(journal)
            await asyncio.sleep(dice.choice([0, 0.05, 0.2, 1, 15]))
            last = {name: journal.last_seq(name) for name in ("boiler", "gps", device)}
            left = await waiting(journal)
            killed = left_behind(journal, path, tmp_path / f"{number}")
            async with opened(killed, sync_s=sync_s) as again:
                assert again.run == journal.run
                assert {name: again.last_seq(name) for name in last} == last
                found = await waiting(again)
                # Nothing that was shown is missing, and the cursor is not far behind.
                assert found[len(found) - len(left) :] == left
                now = asyncio.get_running_loop().time()
                cursors.append((now, journal.readings.cursor("mqtt")))
                known = max(cursor for at, cursor in cursors if now - at >= 1.1 or cursor == 0)
                assert again.readings.cursor("mqtt") >= known
                assert again.readings.behind("mqtt") == len(found)
                assert gaps(again) == []


async def test_power_cut_costs_what_was_not_forced_yet_and_no_number_is_given_out_twice(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await fill(journal, 100)
        await asyncio.sleep(1)
        await fill(journal, 50)
        await fill(journal, 5, device="new")
        cut = left_behind(journal, path, tmp_path / "cut", power_cut=True)
        run = journal.run
    async with opened(cut, boot="the next one") as journal:
        assert journal.run == run
        assert seqs(await waiting(journal)) == list(range(1, 101))
        assert journal.last_seq("boiler") >= 150
        assert journal.last_seq("new") >= 5
        [gap] = gaps(journal)
        assert (gap.first, gap.last, gap.lost) == (101, journal.last_seq("boiler"), 0)
        assert "the power was cut" in gap.reason
        last = journal.last_seq("boiler")
    async with opened(cut, boot="the one after") as journal:
        assert (journal.last_seq("boiler"), gaps(journal)) == (last, [])


@pytest.mark.parametrize("sync_s", [0.2, 0.0], ids=["200ms", "always"])
async def test_what_is_forced_to_the_disk_within_sync_outlives_a_power_cut(
    tmp_path: Path, sync_s: float
) -> None:
    path = tmp_path / "journal.db"
    dice = random.Random(sync_s)
    async with opened(path, sync_s=sync_s) as journal:
        appended: list[tuple[float, int]] = []
        for number in range(20):
            await fill(journal, 10)
            appended.append((asyncio.get_running_loop().time(), journal.last_seq("boiler")))
            await asyncio.sleep(dice.uniform(0, 0.2))
            now = asyncio.get_running_loop().time()
            shown = journal.readings.shown
            cut = left_behind(journal, path, tmp_path / f"{number}", power_cut=True)
            with sqlite3.connect(cut) as db:
                kept = db.execute("SELECT ifnull(max(last), 0) FROM readings").fetchone()[0]
            db.close()
            assert kept >= max((seq for at, seq in appended if now - at > 0.2), default=0)
            if sync_s == 0:
                assert kept >= shown
                assert journal._disk.submit(_synchronous, journal).result() == 2  # FULL


def _synchronous(journal: journals.Journal) -> int:
    assert journal._files is not None
    return int(journal._files.store._db.execute("PRAGMA synchronous").fetchone()[0])


async def test_nothing_is_shown_before_it_is_on_the_disk_when_sync_is_always(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, sync_s=0) as journal:
        for _ in range(50):
            await fill(journal, 3)
            with sqlite3.connect(path) as db:
                before = db.execute("SELECT ifnull(max(last), 0) FROM readings").fetchone()[0]
            db.close()
            assert journal.readings.shown <= before
            [*_, last] = await journal.readings.after("mqtt", journal.readings.cursor("mqtt"), limit=10)
            with sqlite3.connect(path) as db:
                on_disk = db.execute("SELECT max(last) FROM readings").fetchone()[0]
            db.close()
            assert last.offset <= on_disk
            journal.readings.commit("mqtt", last.offset)


async def test_after_a_clean_end_another_boot_skips_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await fill(journal, 10)
    async with opened(path, boot="another") as journal:
        assert journal.last_seq("boiler") == 10
        assert gaps(journal) == []


async def test_deleted_journal_is_made_anew_whatever_stands_on_the_slate(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await fill(journal, 10)
        killed = left_behind(journal, path, tmp_path / "killed")
        run = journal.run
    for each in tmp_path.glob("killed/journal.db*"):
        if "slate" not in each.name:
            each.unlink()
    async with opened(killed) as journal:
        assert journal.run != run
        assert (journal.last_seq("boiler"), await waiting(journal)) == (0, [])


# Bounds.


@pytest.mark.repetitive
@pytest.mark.parametrize("size", [100, 1000, 5000])
async def test_files_keep_to_their_size_while_much_more_streams_through(tmp_path: Path, size: int) -> None:
    path = tmp_path / "journal.db"
    limit = 4 * MB
    largest = 0
    async with opened(path, max_size=limit) as journal:
        while journal.appended * size < 3 * limit:
            for _ in range(10):
                await fill(journal, 10_000 // size, size=size)
                await asyncio.sleep(0.02)
            largest = max(largest, files(path))
        await settled()
        kept = await waiting(journal)
        assert journal.readings.behind("mqtt") == len(kept)
        assert len(kept) + journal.losses.total == journal.appended
        assert seqs(kept) == list(range(journal.appended - len(kept) + 1, journal.appended + 1))
        assert missing(gaps(journal)) == list(range(1, journal.losses.total + 1))
        assert sum(len(each.payload) for each in kept) > 0.55 * limit
    assert largest < limit * 1.1


async def test_journal_whose_room_becomes_less_keeps_as_much_as_there_is_room_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        for _ in range(15):
            await fill(journal, 1000)
            await asyncio.sleep(0.02)
        await settled()
        journal.change(Limits(max_size=MB), 0.2)
        await fill(journal, 1)
        await settled()
        kept = await waiting(journal)
        assert seqs(kept) == list(range(journal.losses.total + 1, 15_002))
        assert sum(len(each.payload) for each in kept) > 0.2 * MB
        await fill(journal, 1000)
        await settled()
        assert journal.size < 1.2 * MB
        journal.change(Limits(max_size=1000 * MB), 0.2)
        before = journal.losses.total
        for _ in range(15):
            await fill(journal, 1000)
            await asyncio.sleep(0.02)
        await settled()
        assert journal.losses.total == before


@pytest.mark.repetitive
async def test_flood_does_not_let_the_file_grow_beyond_its_size(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, max_size=8 * MB) as journal:
        for _ in range(150):
            await fill(journal, 1000)
            await asyncio.sleep(0)
        assert path.stat().st_size < 8.5 * MB
        assert len(await waiting(journal)) + journal.losses.total == 150_000


@pytest.mark.repetitive
@pytest.mark.parametrize("drop_oldest", [True, False])
@pytest.mark.parametrize("sync_s", [0.2, 0.0], ids=["200ms", "always"])
async def test_appended_is_delivered_and_lost_and_waiting(
    tmp_path: Path, drop_oldest: bool, sync_s: float
) -> None:
    told: list[Gap] = []
    delivered: list[tuple[str, int]] = []
    dice = random.Random(drop_oldest)
    path = tmp_path / "journal.db"

    async def deliver(journal: journals.Journal) -> None:
        offset = 0
        while True:  # a broker that is slower than the instruments, and whose link breaks now and then
            records = await journal.readings.after("mqtt", offset, limit=100)
            offset = records[-1].offset
            await asyncio.sleep(0.05)
            if dice.random() < 0.8:
                delivered.extend((each.device, each.seq) for each in records)
                journal.readings.commit("mqtt", offset)
            else:
                offset = journal.readings.cursor("mqtt")

    async with opened(path, max_size=MB, drop_oldest=drop_oldest, sync_s=sync_s) as journal:
        delivering = asyncio.create_task(deliver(journal))
        for _ in range(400):
            for device in ("boiler", "gps"):
                await fill(journal, 25, device=device)
            await asyncio.sleep(0.005)
        delivering.cancel()
        await asyncio.wait([delivering])
        await settled()
        told += gaps(journal)
        behind = journal.readings.behind("mqtt")
        rest = [(each.device, each.seq) for each in await drained(journal)]
        lost = journal.losses.total
        assert len(rest) == behind
        assert journal.readings.behind("mqtt") == 0
    assert lost > 1000
    assert (lost - journal.refused > 0) is drop_oldest
    gone = [(gap.device, seq) for gap in told for seq in range(gap.first, gap.last + 1)]
    assert len(gone) == lost == sum(gap.lost for gap in told)
    everything = [(device, seq) for device in ("boiler", "gps") for seq in range(1, 10_001)]
    assert sorted(delivered + gone + rest) == sorted(everything)


async def test_full_journal_lets_readings_in_again_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "journal.db", max_size=MB, drop_oldest=False) as journal:
        while not journal.refused:
            await stream_in(journal, 100)
        refused = journal.refused
        assert caplog.messages == ["journal: full (1MB): from now on the newest readings are lost"]
        await drained(journal)
        await settled()
        await stream_in(journal, 100)
        assert len(await waiting(journal)) == 100
        assert journal.refused == refused
    assert f"journal: room again; {refused} readings were lost: boiler {refused}" in caplog.messages


async def test_what_is_delivered_gives_its_space_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await stream_in(journal, 50_000)
        assert path.stat().st_size > 6 * MB
        await drained(journal)
        await settled()
        assert path.stat().st_size < MB
        assert journal.size < 6 * MB
    assert files(path) < MB


async def test_old_readings_are_given_up_and_announced(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, max_age_s=3600) as journal:
        await fill(journal, 1000)
        await asyncio.sleep(1800)
        await fill(journal, 1)
        await asyncio.sleep(1801)
        await fill(journal, 1)
        await settled()
        assert seqs(await waiting(journal)) == [1001, 1002]
        [gap] = gaps(journal)
        assert (gap.first, gap.last, gap.lost, gap.reason) == (1, 1000, 1000, "too old")
        assert journal.readings.behind("mqtt") == 2
    async with opened(path, max_age_s=3600) as journal:  # their age goes on across a restart
        await asyncio.sleep(1801)
        await fill(journal, 1)
        await settled()
        assert seqs(await waiting(journal)) == [1002, 1003]


async def test_disk_that_others_fill_is_left_to_them_down_to_min_free(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "16m") as folder:
        path = folder / "journal.db"
        async with opened(path, max_size=100 * MB, min_free=2 * MB) as journal:
            while not journal.losses.total:
                await stream_in(journal, 1000)
            assert files(path) > 8 * MB
            for number in range(32):
                (folder / f"other {number}").write_bytes(bytes(MB // 4))
                await stream_in(journal, 500)
            await settled()
            assert not journal.trouble
            assert files(path) < 7 * MB
            kept = seqs(await waiting(journal))
            told = gaps(journal)
            assert {gap.reason for gap in told} == {"the disk was nearly full"}
            assert missing(told) + kept == list(range(1, journal.appended + 1))
            assert len(kept) + journal.losses.total == journal.appended


async def test_memory_stays_flat_while_a_backlog_builds(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal.db", readers=["one", "two"]) as journal:
        tracemalloc.start()
        try:
            await stream_in(journal, 20_000)
            current, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert journal.readings.behind("one") == 20_000
        assert current < 2 * journals.TAIL_BYTES


async def test_flood_waits_for_the_disk_and_not_for_the_clock(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal.db", sync_s=None) as journal:
        started = asyncio.get_running_loop().time()
        for _ in range(60):
            await fill(journal, 1000)
        # Sixteen megabytes, four at a time: whoever waited for a tick of half a second each time would need longer.
        assert asyncio.get_running_loop().time() - started < 1
        assert journal.readings.size < journals.HELD_BYTES


# Others.


async def test_what_a_broker_will_never_take_is_kept_where_a_person_can_find_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await fill(journal, 2)
        for record in await drained(journal):
            journal.set_aside("mqtt", record, "sallyport/test/boiler", "not authorised")
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT reader, device, seq, topic, reason, payload FROM aside").fetchall()
    db.close()
    assert rows == [
        ("mqtt", "boiler", seq, "sallyport/test/boiler", "not authorised", payload(seq)) for seq in (1, 2)
    ]


@pytest.mark.real_time
async def test_second_process_is_refused_by_name_and_pid(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    other = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-m", "tests.support.shown_writer", str(path), "never", "1"],
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    while not other.stdout.readline().startswith(b"shown"):
        pass
    name = Path(f"/proc/{other.pid}/comm").read_text().strip()
    try:
        with pytest.raises(JournalError, match=rf"journal\.db: in use by {name} \(pid {other.pid}\)"):
            async with opened(path):
                pass
    finally:
        other.kill()
        other.communicate()
    async with opened(path, boot=opening.boot_id()) as journal:
        assert journal.last_seq("boiler") > 0


async def test_same_process_cannot_open_a_journal_twice(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal.db"):
        with pytest.raises(JournalError, match="in use by"):
            async with opened(tmp_path / "journal.db"):
                pass


async def test_opener_that_is_cancelled_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def use() -> None:
        async with opened(path) as journal:
            await journal.readings.after("mqtt", 0, limit=1)

    for turns in range(12):
        using = asyncio.create_task(use())
        for _ in range(turns):
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.wait([using])
        async with opened(path) as journal:  # the lock is free again
            await journal.append([Entry("boiler", journal.last_seq("boiler") + 1, b"{}")])
    assert journal.last_seq("boiler") == 12


async def test_what_the_body_raises_comes_out_and_the_journal_is_closed_well(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with pytest.raises(ExceptionGroup) as caught:
        async with opened(path) as journal:
            await fill(journal, 10)
            raise ZeroDivisionError
    assert caught.group_contains(ZeroDivisionError)
    async with opened(path, boot="another") as journal:
        assert (len(await waiting(journal)), gaps(journal)) == (10, [])
    assert BOOT != "another"


async def test_what_waited_for_a_broker_that_is_not_configured_any_more_is_given_up_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, readers=["here", "there"]) as journal:
        await fill(journal, 100)
        journal.readings.commit("here", 100)
        journal.readings.commit("there", 30)
    for _ in range(2):
        async with opened(path, readers=["here"]) as journal:
            await settled()
            assert journal.readings.waiting == 0
    async with opened(path, readers=["here", "there"]) as journal:
        await fill(journal, 10)
        assert seqs(await drained(journal, "there")) == list(range(101, 111))
    assert caplog.messages == [
        "journal: 70 readings waited for broker there, which is not configured any more: it will not get them"
    ]


# Wear.


async def test_disk_rests_while_a_broker_that_has_half_of_a_chunk_is_away(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await fill(journal, 100)
        await settled()
        journal.readings.commit("mqtt", 10)
        await settled()
        with closing(sqlite3.connect(path)) as other:
            before = other.execute("PRAGMA data_version").fetchone()
            await asyncio.sleep(3600)
            assert other.execute("PRAGMA data_version").fetchone() == before
            journal.readings.commit("mqtt", 100)
            await settled()
            assert other.execute("SELECT count(*) FROM readings").fetchone() == (0,)
            assert other.execute("PRAGMA data_version").fetchone() != before
