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
