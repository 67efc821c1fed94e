"""The recorded power cut, tried on what is known: SQLite's own promises."""

import random
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.power_cut import Left, Recording

pytestmark = pytest.mark.real_time

WRITER = """
import os, sqlite3, sys
folder, marks, synchronous = sys.argv[1:]
marks = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
db = sqlite3.connect(folder + "/store.db", isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA wal_autocheckpoint = 40")
db.execute("PRAGMA synchronous = " + synchronous)
db.execute("CREATE TABLE records (number INTEGER PRIMARY KEY, filling BLOB)")
os.write(marks, b"0\\n")
for number in range(1, 201):
    db.execute("INSERT INTO records VALUES (?, ?)", (number, bytes(number * 7 % 3000)))
    os.write(marks, b"%d\\n" % number)
"""


@dataclass
class Outcome:
    lost: int = 0
    """Commits were gone."""
    broken: int = 0
    """The database was damaged, or held something else than the first so many commits."""


def _outcome(folder: Path, synchronous: str) -> Outcome:
    store, marks = folder / "store", folder / "marks"
    store.mkdir()
    command = [sys.executable, "-c", WRITER, str(store), str(marks), synchronous]
    recording = Recording.of(command, folder=store, marks=marks)
    dice = random.Random(synchronous)
    outcome = Outcome()
    for number, cut in enumerate(recording.cuts(40, dice)):
        committed = max((int(mark.text) for mark in recording.marks if mark.begun < cut), default=-1)
        for left in Left:
            found = folder / f"{number} {left.name}"
            recording.restore(cut, found, left, dice)
            with closing(sqlite3.connect(found / "store.db")) as db:
                try:
                    whole = db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                    tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
                    numbers = (
                        db.execute("SELECT number FROM records ORDER BY number").fetchall() if tables else []
                    )
                except sqlite3.DatabaseError:
                    outcome.broken += 1
                    continue
            outcome.broken += not whole or numbers != [(each,) for each in range(1, len(numbers) + 1)]
            outcome.lost += len(numbers) + tables - 1 < committed
    return outcome


def test_commits_that_sqlite_forces_to_the_disk_survive_every_power_cut(tmp_path: Path) -> None:
    assert _outcome(tmp_path, "FULL") == Outcome(lost=0, broken=0)


def test_commits_that_it_forces_now_and_then_are_lost_in_some_and_the_rest_is_whole(tmp_path: Path) -> None:
    outcome = _outcome(tmp_path, "NORMAL")
    assert outcome.lost
    assert not outcome.broken


def test_commits_that_it_never_forces_leave_a_broken_database_after_some(tmp_path: Path) -> None:
    assert _outcome(tmp_path, "OFF").broken


def test_what_the_recording_missed_is_noticed(tmp_path: Path) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    store.mkdir()
    unseen = "import os, sys; os.posix_fallocate(os.open(sys.argv[1] + '/x', os.O_RDWR | os.O_CREAT), 0, 10)"
    with pytest.raises(RuntimeError, match="does not lead to what is in the folder: \\['x'\\]"):
        Recording.of([sys.executable, "-c", unseen, str(store)], folder=store, marks=marks)
