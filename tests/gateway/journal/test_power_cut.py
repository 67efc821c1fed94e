"""The power goes, at any moment, with any part of what was not forced to the disk: the journal keeps its promise."""

import random
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from gateway.journal.journal import Journal
from gateway.journal.record import Record
from tests.support.journal_writer import BROKER, LIMITS, SYNC_S, payload
from tests.support.power_cut import Left, Recording

pytestmark = pytest.mark.real_time

Name = tuple[str, int]
"""Device and seq."""


@dataclass
class History:
    """What the writer had done when the power went."""

    run: str = ""
    kept: dict[Name, float] = field(default_factory=dict)
    """And when."""
    seen: set[Name] = field(default_factory=set)
    delivered: set[Name] = field(default_factory=set)

    @classmethod
    def until(cls, cut: int, recording: Recording) -> Self:
        history = cls()
        for mark in recording.marks:
            if mark.begun >= cut:
                break
            match mark.text.split():
                case ["run", run]:
                    history.run = run
                case ["kept", at, device, seq]:
                    history.kept[device, int(seq)] = float(at)
                case ["seen", device, seq]:
                    history.seen.add((device, int(seq)))
                case ["delivered", device, seq]:
                    history.delivered.add((device, int(seq)))
        return history

    def promised(self, sync: str, cut_at: float, excuse_s: float) -> set[Name]:
        """What must not be lost. The excuse is the machine's: its disk is slow, or others have the core."""
        match sync:
            case "always":
                must = self.seen
            case "never":
                must = set()
            case _:
                must = {name for name, at in self.kept.items() if at < cut_at - float(sync) - excuse_s}
        return must - self.delivered


async def _held(journal: Journal) -> list[Record]:
    journal.seal()
    held: list[Record] = []
    offset = journal.readings.cursor(BROKER)
    while records := await journal.readings.after(BROKER, offset, limit=1000):
        held += records
        offset = records[-1].offset
    return held


async def _complaints(
    folder: Path, sync: str, history: History, promised: set[Name], cut_at: float
) -> AsyncIterator[str]:
    """What is wrong with the journal that was found when the power was back."""
    sync_s = SYNC_S.get(sync, 0.2)
    path = folder / "journal.db"
    async with Journal.open(path, readers=[BROKER], limits=LIMITS, sync_s=sync_s, boot="after") as journal:
        if journal.trouble:
            yield journal.trouble
            return
        held = await _held(journal)
        names = [(each.device, each.seq) for each in held]
        if lost := promised - set(names):
            age_s = cut_at - min(history.kept[each] for each in lost)
            yield f"{len(lost)} of {len(promised)} are lost, the oldest after {age_s * 1000:.0f} ms"
        if any(each.payload != payload(each.device, each.seq) for each in held):
            yield "a reading is not what it was"
        for device in {device for device, _ in names}:
            seqs = [seq for each, seq in names if each == device]
            if seqs != sorted(set(seqs)):
                yield f"{device} is not in order: {seqs}"
        again = [each for each in history.seen if each[1] > journal.last_seq(each[0])]
        if again and journal.run == history.run:
            yield f"{len(again)} seqs that somebody has seen are given to other readings"
    if sync != "never" and any(".broken-" in each.name for each in folder.iterdir()):
        yield "it was set aside"


async def _survives(folder: Path, sync: str, *, seconds: float, cuts: int) -> None:
    home, marks = folder / "home", folder / "marks"
    home.mkdir()
    writer = [
        sys.executable,
        "-m",
        "tests.support.journal_writer",
        str(home / "journal.db"),
        str(marks),
        sync,
    ]
    recording = Recording.of([*writer, str(seconds)], folder=home, marks=marks)
    late = [float(mark.text.split()[1]) for mark in recording.marks if mark.text.startswith("late ")]
    excuse_s = recording.slowest_sync_s() + max(late, default=0)
    dice = random.Random(sync)
    promises = 0
    complaints: list[str] = []
    for cut in recording.cuts(cuts, dice):
        history = History.until(cut, recording)
        cut_at = recording.time(cut)
        promised = history.promised(sync, cut_at, excuse_s)
        promises += len(promised)
        for left in Left:
            found = folder / f"{cut} {left.name}"
            recording.restore(cut, found, left, dice)
            complaints += [
                f"cut at {cut} of {recording.length}, {left.value} left: {complaint}"
                async for complaint in _complaints(found, sync, history, promised, cut_at)
            ]
            shutil.rmtree(found)
    assert not complaints, "\n".join(complaints)
    assert promises or sync == "never"


@pytest.mark.repetitive
@pytest.mark.parametrize("sync", ["0.2", "always", "never"])
async def test_power_cut_costs_no_more_than_promised(tmp_path: Path, sync: str) -> None:
    await _survives(tmp_path, sync, seconds=3, cuts=20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sync", ["0.2", "always", "never"])
async def test_power_cut_costs_no_more_than_promised_at_any_of_a_thousand_moments(
    tmp_path: Path, sync: str
) -> None:
    await _survives(tmp_path, sync, seconds=30, cuts=1000)
