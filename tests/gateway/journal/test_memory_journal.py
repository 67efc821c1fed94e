import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.journal.memory import MemoryJournal, WhenFull
from tests.contracts.journal import JournalContract, Opened, everything, fill, seqs


@asynccontextmanager
async def memory_journal(
    *, max_size: int = 10**9, when_full: WhenFull = WhenFull.DROP_OLDEST
) -> AsyncIterator[MemoryJournal]:
    yield MemoryJournal(max_size=max_size, when_full=when_full)


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def opened(self) -> Opened:
        return memory_journal


async def test_large_record_forces_out_as_many_as_it_needs() -> None:
    journal = MemoryJournal(max_size=12_000, when_full=WhenFull.DROP_OLDEST)  # ten of 1000 + 200
    await fill(journal, 10)
    assert journal.lost == 0
    await journal.append("camera", 1, b"x" * 3000)
    assert journal.lost == 3
    assert seqs(await everything(journal)) == [4, 5, 6, 7, 8, 9, 10, 1]


async def test_max_size_is_what_the_memory_really_grows_by() -> None:
    limit = 4_000_000
    tracemalloc.start()
    try:
        journal = MemoryJournal(max_size=limit, when_full=WhenFull.DROP_OLDEST)
        before, _ = tracemalloc.get_traced_memory()
        for seq in range(1, 50_001):
            await journal.append("boiler", seq, b'{"seq":%06d}' % seq * 8)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert journal.lost > 0
    assert 0.7 * limit < after - before < 1.2 * limit


async def full_journal(caplog: pytest.LogCaptureFixture) -> MemoryJournal:
    """Ten records, of which a reader has seen four; then three more force out as many of those."""
    caplog.set_level("INFO")
    journal = MemoryJournal(max_size=12_000, when_full=WhenFull.DROP_OLDEST)
    await fill(journal, 10)
    assert seqs(await journal.after(0, limit=4)) == [1, 2, 3, 4]
    await fill(journal, 3, first=11)
    assert journal.lost == 3
    return journal


async def test_record_that_was_under_way_when_it_was_forced_out_is_not_lost_if_it_arrives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = await full_journal(caplog)
    journal.commit(2)
    assert journal.lost == 1
    journal.commit(13)
    assert (journal.lost, len(journal)) == (0, 0)
    await fill(journal, 1, first=14)
    assert caplog.messages == [
        "journal: full (12kB): from now on the oldest readings are lost",
        "journal: room again; 0 readings were lost",
    ]


async def test_record_that_was_forced_out_and_passed_over_by_a_replay_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = await full_journal(caplog)
    journal.commit(1)
    # The link broke; the reader begins again at its cursor, and what follows is another record.
    assert seqs(await journal.after(1, limit=4)) == [4, 5, 6, 7]
    journal.commit(13)
    assert (journal.lost, len(journal)) == (2, 0)
    await fill(journal, 1, first=14)
    assert caplog.messages[1:] == ["journal: room again; 2 readings were lost: boiler 2"]


async def test_record_that_is_under_way_at_the_seal_is_lost_unless_it_arrives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = await full_journal(caplog)
    journal.seal()  # what is left is delivered after that
    assert journal.lost == 3
    journal.commit(2)
    assert journal.lost == 1
    assert len(caplog.messages) == 1


async def test_accounts_are_right_when_acknowledgements_come_after_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = MemoryJournal(max_size=12_000, when_full=WhenFull.DROP_OLDEST)
    await fill(journal, 10)
    await journal.after(0, limit=2)
    await fill(journal, 4, first=11)  # two that were seen, two that were not
    journal.commit(2)
    journal.commit(14)
    await fill(journal, 11, first=15)
    assert journal.lost == 3
    journal.seal()
    assert caplog.messages == [
        "journal: full (12kB): from now on the oldest readings are lost",
        "journal: room again; 2 readings were lost: boiler 2",
        "journal: full (12kB): from now on the oldest readings are lost",
        "journal: closed; 1 readings were lost: boiler 1",
    ]


_FILL = """
import asyncio
from gateway import wire
from gateway.journal.memory import MemoryJournal, WhenFull
from gateway.model import Reading, Stamp

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

async def fill():
    journal = MemoryJournal(max_size=32_000_000, when_full=WhenFull.DROP_OLDEST)
    before = resident()
    for seq in range(200_000):
        reading = Reading(at=Stamp(seq, 0.0), device="boiler", values={"t": 21.5, "h": seq}, seq=seq)
        await journal.append("boiler", seq, wire.encode(reading, journal.run))
    assert journal.lost
    print((resident() - before) / 32_000_000)

asyncio.run(fill())
"""


def test_max_size_holds_for_the_process_with_readings_as_they_are_encoded() -> None:
    done = subprocess.run([sys.executable, "-c", _FILL], capture_output=True, check=True, timeout=100)
    assert float(done.stdout) < 1.5
