"""Cut, flipped, mixed up: a gateway starts all the same, keeps what can be kept and says what happened."""

import asyncio
import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal.journal import Journal
from tests.support.journals import (
    by_device,
    drained,
    files_end_at,
    fill,
    gaps,
    left_behind,
    missing,
    opened,
    seqs,
    settled,
    stream_in,
    waiting,
)
from tests.support.shown_writer import payload

COUNT = 1500


class Kept:
    """A journal's files, to be damaged again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = {each.name: each.read_bytes() for each in path.parent.glob(f"{path.name}*")}

    def restore(self, **changed: bytes | None) -> None:
        """By ending of the name: `wal=…`, `slate0=…`, `db=…` is the database itself; None takes one away."""
        for each in self.path.parent.glob(f"{self.path.name}*"):
            each.unlink()
        for name, content in self.files.items():
            ending = name.removeprefix(self.path.name).removeprefix("-") or "db"
            now = changed.get(ending, content)
            if now is not None:
                (self.path.parent / name).write_bytes(now)

    def __getitem__(self, ending: str) -> bytes:
        return self.files[self.path.name if ending == "db" else f"{self.path.name}-{ending}"]


async def made(path: Path, *, killed: bool) -> Kept:
    """A journal with 1500 readings of a boiler, as `kill -9` leaves it or as one that was closed."""
    path.parent.mkdir(exist_ok=True)
    async with opened(path) as journal:
        await stream_in(journal, COUNT - 100)
        await settled()
        await stream_in(journal, 100)
        if killed:
            folder = left_behind(journal, path, path.parent / "killed").parent
    if killed:
        for each in folder.iterdir():
            shutil.copy(each, path.parent)
    return Kept(path)


async def opens(path: Path) -> tuple[list[int], Journal, int]:
    """What is left, after which the journal works; what was lost by its own account."""
    async with opened(path) as journal:
        assert not journal.trouble
        records = await waiting(journal)
        assert all(each.payload == payload(each.seq) for each in records)
        left = by_device(records)["boiler"]
        assert left == sorted(set(left))
        lost = journal.losses.total
        first = journal.last_seq("boiler") + 1
        await fill(journal, 3)
        await settled()
    async with opened(path) as again:
        assert again.run == journal.run
        assert by_device(await drained(again))["boiler"][-3:] == list(range(first, first + 3))
    return left, journal, lost


def broken(path: Path) -> list[Path]:
    return sorted(
        each for each in path.parent.glob(f"{path.name}.broken-*") if not each.name.endswith(("-wal", "-shm"))
    )


@pytest.mark.parametrize("killed", [True, False])
async def test_nothing_is_lost_without_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, killed: bool
) -> None:
    await made(tmp_path / "journal.db", killed=killed)
    left, journal, lost = await opens(tmp_path / "journal.db")
    assert (left, lost, gaps(journal)) == (list(range(1, COUNT + 1)), 0, [])
    assert not caplog.messages


@pytest.mark.repetitive
@pytest.mark.parametrize("which", ["db", "wal", "slate0", "slate1"])
async def test_file_cut_anywhere(tmp_path: Path, which: str) -> None:
    kept = await made(tmp_path / "journal.db", killed=which != "db")
    size = len(kept[which])
    dice = random.Random(which)
    places = {0, 1, 5, size - 1, *(size - dice.randrange(1, 9000) for _ in range(12))}
    places |= {dice.randrange(size) for _ in range(12)}
    for place in sorted(each for each in places if (which == "db") <= each < size):
        kept.restore(**{which: kept[which][:place]})
        left, journal, lost = await opens(kept.path)
        # The slate knows to the record what the log has lost. What it held itself, nobody else knows.
        assert len(left) + lost == COUNT or broken(kept.path) or which.startswith("slate")
        assert left[-1:] == [COUNT] or which != "wal"  # the newest stand on the slate
        assert journal.last_seq("boiler") >= COUNT or broken(kept.path)


@pytest.mark.repetitive
@pytest.mark.parametrize("which", ["db", "wal", "slate0", "slate1"])
async def test_bytes_flipped_anywhere(tmp_path: Path, which: str) -> None:
    kept = await made(tmp_path / "journal.db", killed=which != "db")
    dice = random.Random(which)
    total = refused = 0
    for _ in range(40):
        content = bytearray(kept[which])
        for _ in range(dice.choice([1, 1, 8])):
            content[dice.randrange(len(content))] ^= dice.randrange(1, 256)
        kept.restore(**{which: bytes(content)})
        try:
            left, _, lost = await opens(kept.path)
        except JournalError as error:
            assert "a newer Sallyport" in str(error)  # noqa: PT017 - the flip hit the schema's version
            refused += 1
            continue
        assert len(left) + lost == COUNT or broken(kept.path) or which.startswith("slate")
        total += len(left)
    assert refused < 3
    assert total > 0.4 * (40 - refused) * COUNT


@pytest.mark.parametrize("place", [100, 4096 * 2, 4096 * 5, 4096 * 12, 4096 * 30])
async def test_page_overwritten_is_found_out_and_the_rest_is_saved(tmp_path: Path, place: int) -> None:
    kept = await made(tmp_path / "journal.db", killed=False)
    content = bytearray(kept["db"])
    content[place : place + 4096] = os.urandom(4096)
    kept.restore(db=bytes(content))
    left, journal, lost = await opens(kept.path)
    assert set(left) <= set(range(1, COUNT + 1))
    if left and lost:
        assert left == list(range(left[0], left[-1] + 1)) or len(left) + lost >= left[-1] - left[0] + 1
    if len(left) < COUNT:
        assert lost or broken(kept.path)
    assert journal.losses.total == lost


async def test_write_ahead_log_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = await made(tmp_path / "journal.db", killed=True)
    kept.restore(wal=None, shm=None)
    left, journal, lost = await opens(kept.path)
    assert lost > 0
    assert len(left) + lost == COUNT
    assert journal.last_seq("boiler") == COUNT + 3
    assert f"its end is missing: {lost} readings are lost" in caplog.text


async def test_slate_removed(tmp_path: Path) -> None:
    kept = await made(tmp_path / "journal.db", killed=True)
    kept.restore(slate0=None, slate1=None)
    async with opened(kept.path) as journal:
        left = by_device(await waiting(journal))["boiler"]
        assert COUNT - 100 <= len(left) <= COUNT
        assert journal.last_seq("boiler") > COUNT
        [gap] = gaps(journal)
        assert (gap.first, gap.last, gap.lost) == (left[-1] + 1, journal.last_seq("boiler"), 0)


async def test_write_ahead_log_of_another_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = await made(tmp_path / "journal.db", killed=True)
    (tmp_path / "other").mkdir()
    async with opened(tmp_path / "other" / "other.db") as journal:
        await fill(journal, 20_000)
        await settled()
        other = left_behind(journal, tmp_path / "other" / "other.db", tmp_path / "other" / "killed")
    kept.restore(wal=Path(f"{other}-wal").read_bytes(), shm=None)
    left, _, _ = await opens(kept.path)
    assert left == sorted(set(left) & set(range(1, COUNT + 1)))
    assert caplog.messages
    assert any("-wal" in each.name for each in tmp_path.glob("journal.db.broken-*"))


@pytest.mark.parametrize("torn", ["salt", "its name", "the sector"])
async def test_page_torn_as_the_log_is_brought_into_the_file_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, torn: str
) -> None:
    """The power may go amid the writing of a page. SQLite forces the log to the disk before: it has the page whole."""
    kept = await made(tmp_path / "journal.db", killed=True)
    content, salt = bytearray(kept["db"]), _salt(kept.path)
    place = content.index(salt)
    first, last = {
        "salt": (place, place + len(salt)),
        "its name": (place - len("salt"), place),
        "the sector": (place // 512 * 512, place // 512 * 512 + 512),
    }[torn]
    content[first:last] = bytes(last - first)
    kept.restore(db=bytes(content), shm=None)
    left, journal, lost = await opens(kept.path)
    assert (left, lost, gaps(journal)) == (list(range(1, COUNT + 1)), 0, [])
    assert not caplog.messages


def _salt(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as db:
        [[salt]] = db.execute("SELECT value FROM meta WHERE key = 'salt'")
    return bytes(salt, "ascii")


async def test_write_ahead_log_without_its_database_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = await made(tmp_path / "journal.db", killed=True)
    kept.restore(db=b"", shm=None)
    await opens(kept.path)
    assert "it is empty, but its write-ahead log is not" in caplog.text
    [aside] = broken(kept.path)
    assert Path(f"{aside}-wal").read_bytes() == kept["wal"]


async def test_half_of_a_checkpoint_costs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The process was killed while the log was brought into the file: page 1 tells of pages that are not there."""
    kept = await made(tmp_path / "journal.db", killed=True)
    frames = kept["wal"]
    pages = {}
    for place in range(32, len(frames) - 4096 - 23, 24 + 4096):
        pages[int.from_bytes(frames[place : place + 4])] = frames[place + 24 : place + 24 + 4096]
    content = bytearray(kept["db"])
    content[0:4096] = pages[1]
    assert int.from_bytes(content[28:32]) * 4096 > len(content)  # pages, by the header
    kept.restore(db=bytes(content))
    left, _, lost = await opens(kept.path)
    assert (left, lost) == (list(range(1, COUNT + 1)), 0)
    assert not caplog.messages


async def test_half_of_a_journal_that_was_being_made_is_no_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    drafts = [path.with_name(f"journal.db-draft{ending}") for ending in ("", "-journal", "-wal", "-shm")]
    for each in drafts:
        each.write_bytes(b"half of it")
    left, _, _ = await opens(path)
    assert (left, caplog.messages, broken(path)) == ([], [], [])
    assert not any(each.exists() for each in drafts)


async def test_database_without_tables_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute("PRAGMA user_version = 0")
        db.execute("VACUUM")
    db.close()
    assert path.stat().st_size
    left, _, _ = await opens(path)
    assert left == []
    assert broken(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"To be or not to be\n" * 1000, b"\0" * 10_000, os.urandom(8192)],
    ids=["nothing", "text", "zeros", "noise"],
)
async def test_file_that_is_no_database(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    left, _, _ = await opens(path)
    assert left == []
    aside = broken(path)
    if content:
        assert [each.read_bytes() for each in aside] == [content]
        [line] = caplog.messages
        assert f"set aside as {aside[0].name}" in line
    else:
        assert not aside


async def test_database_of_another_program_is_kept_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE diary (day, text)")
        db.execute("INSERT INTO diary VALUES ('monday', 'rain')")
    db.close()
    before = path.read_bytes()
    await opens(path)
    [aside] = broken(path)
    assert aside.read_bytes() == before
    assert "it is a database of another program" in caplog.text


async def test_two_damaged_journals_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for content in (b"one" * 1000, b"two" * 1000):
        for each in tmp_path.glob("journal.db*"):
            if ".broken-" not in each.name:
                each.unlink()
        path.write_bytes(content)
        await opens(path)
    assert {each.read_bytes()[:3] for each in broken(path)} == {b"one", b"two"}


async def test_newer_schema_is_refused_in_a_clear_sentence(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await made(path, killed=False)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"journal\.db: a newer Sallyport wrote this journal \(schema 7"):
        async with opened(path):
            pass
    assert path.read_bytes() == before
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 1")
    db.close()
    async with opened(path) as journal:  # nobody holds the lock
        assert len(await waiting(journal)) == COUNT


@pytest.mark.parametrize("readers", [["mqtt"], ["one", "two"]])
async def test_damaged_chunk_is_not_delivered_but_announced_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, readers: list[str]
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path, readers=readers) as journal:
        await fill(journal, COUNT)
    content = path.read_bytes()
    assert content.count(payload(700)) == 1
    path.write_bytes(content.replace(payload(700), payload(700).replace(b"x", b"y")))
    async with opened(path, readers=readers) as journal:
        for reader in readers:
            left = by_device(await waiting(journal, reader))["boiler"]
            told = gaps(journal)
            if reader == readers[0]:
                lost = missing(told)
                assert 700 in lost
                assert sorted(left + lost) == list(range(1, COUNT + 1))
            else:
                assert not told
        assert journal.losses.total == len(lost)
    assert len([each for each in caplog.messages if "damaged" in each]) == 1


async def ruin(journal: Journal, path: Path) -> None:
    """All but the first page of the file, while it is open."""

    def overwrite() -> None:
        assert journal._files is not None
        db = journal._files.store._db
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.execute("PRAGMA cache_size = 0")
        db.execute("PRAGMA shrink_memory")
        content = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (len(content) - 4096))

    await journal._loop.run_in_executor(journal._disk, overwrite)


async def test_file_damaged_while_it_is_open_is_replaced_and_memory_written_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await stream_in(journal, COUNT)
        run = journal.run

        await ruin(journal, path)
        await stream_in(journal, 500)
        await settled()
        assert not journal.trouble
        assert by_device(await waiting(journal))["boiler"] == list(range(1, COUNT + 501))
        assert (journal.run, journal.losses.total) == (run, 0)
        killed = left_behind(journal, path, tmp_path / "killed")
    assert len(broken(path)) == 1
    assert "set aside as" in caplog.text
    for each in (path, killed):
        async with opened(each) as journal:
            assert by_device(await waiting(journal))["boiler"] == list(range(1, COUNT + 501))
            assert journal.run == run


@pytest.mark.parametrize("room", [0, 20_000], ids=["none", "little"])
async def test_damage_is_accounted_for_even_if_the_disk_has_no_room_for_a_new_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, room: int
) -> None:
    path = tmp_path / "journal.db"
    async with opened(path) as journal:
        await stream_in(journal, 20_000)  # more than memory keeps
        await ruin(journal, path)
        with files_end_at(room):
            await stream_in(journal, 100)
            await settled()
            assert journal.trouble
        await asyncio.sleep(300)
        assert not journal.trouble
        left = seqs(await waiting(journal))
        assert len(left) < 20_100
        assert len(left) + journal.losses.total == 20_100
    assert len(broken(path)) == 1
    assert "set aside as" in caplog.text


async def test_damaged_journal_is_named_even_if_the_disk_has_no_room_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    kept = await made(path, killed=False)
    content = b"\xff" * 100 + kept["db"][100:]
    path.write_bytes(content)
    with files_end_at(0):
        opening = opened(path)
        journal = await opening.__aenter__()
        assert journal.trouble
        assert path.read_bytes() == content
    await asyncio.sleep(300)
    assert not journal.trouble
    await opening.__aexit__(None, None, None)
    [aside] = broken(path)
    assert aside.read_bytes() == content
    assert f"set aside as {aside.name}" in caplog.text
