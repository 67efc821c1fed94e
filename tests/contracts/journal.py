"""What every Journal must do. A test module derives a class and brings the fixture `opened`."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from gateway.journal.journal import Journal, Record
from gateway.journal.memory import WhenFull

SIZE = 2**16
"""Of a small journal."""
PAYLOAD = b"x" * 1000


class Opened(Protocol):
    """A journal, made anew and open for as long as the block lasts."""

    def __call__(
        self, *, max_size: int = 10**9, when_full: WhenFull = WhenFull.DROP_OLDEST
    ) -> AbstractAsyncContextManager[Journal]: ...


async def fill(journal: Journal, count: int, *, device: str = "boiler", first: int = 1) -> None:
    for seq in range(first, first + count):
        await journal.append(device, seq, PAYLOAD)


def seqs(records: Sequence[Record]) -> list[int]:
    return [each.seq for each in records]


async def everything(journal: Journal, offset: int = 0) -> list[Record]:
    """What there is beyond an offset, in small helpings."""
    found: list[Record] = []
    while len(found) < len(journal):
        found += await journal.after(found[-1].offset if found else offset, limit=7)
    return found


class JournalContract:
    async def test_records_come_back_as_they_were_appended(self, opened: Opened) -> None:
        appended = [
            ("boiler", 1, b"{}"),
            ("gps", 1, b""),
            ("boiler", 2, bytes(range(256))),
            ("Kühlraum/温度", 7, b"1"),
        ]
        async with opened() as journal:
            for device, seq, payload in appended:
                await journal.append(device, seq, payload)
            records = await journal.after(0, limit=10)
        assert [(each.device, each.seq, each.payload) for each in records] == appended

    async def test_offsets_grow_by_one_whatever_the_device(self, opened: Opened) -> None:
        async with opened() as journal:
            for seq in range(1, 6):
                await journal.append("boiler", seq, PAYLOAD)
                await journal.append("gps", seq, PAYLOAD)
            offsets = [each.offset for each in await journal.after(0, limit=100)]
        assert offsets == list(range(offsets[0], offsets[0] + 10))
        assert offsets[0] > 0

    async def test_reader_gets_what_lies_beyond_its_offset_and_no_more_than_it_wants(
        self, opened: Opened
    ) -> None:
        async with opened() as journal:
            await fill(journal, 10)
            assert seqs(await journal.after(0, limit=3)) == [1, 2, 3]
            assert seqs(await journal.after(3, limit=3)) == [4, 5, 6]
            assert seqs(await journal.after(8, limit=3)) == [9, 10]

    async def test_reading_takes_nothing_away(self, opened: Opened) -> None:
        async with opened() as journal:
            await fill(journal, 3)
            for _ in range(3):
                assert seqs(await journal.after(0, limit=10)) == [1, 2, 3]
            assert len(journal) == 3

    async def test_what_is_committed_is_forgotten(self, opened: Opened) -> None:
        async with opened() as journal:
            await fill(journal, 5)
            journal.commit(0)
            assert len(journal) == 5
            journal.commit(2)
            assert len(journal) == 3
            assert seqs(await journal.after(0, limit=10)) == [3, 4, 5]
            journal.commit(1)  # long since
            journal.commit(2)
            assert len(journal) == 3
            journal.commit(5)
            assert len(journal) == 0

    async def test_offsets_go_on_after_a_commit_of_everything(self, opened: Opened) -> None:
        async with opened() as journal:
            await fill(journal, 3)
            [*_, last] = await journal.after(0, limit=10)
            journal.commit(last.offset)
            await fill(journal, 2, first=4)
            records = await journal.after(last.offset, limit=10)
        assert [each.offset for each in records] == [last.offset + 1, last.offset + 2]
        assert seqs(records) == [4, 5]

    @pytest.mark.parametrize("committed", [0, 3])
    async def test_reader_at_the_tail_is_woken_by_the_next_record(
        self, opened: Opened, committed: int
    ) -> None:
        async with opened() as journal:
            await fill(journal, 3)
            journal.commit(committed)
            reading = asyncio.create_task(journal.after(3, limit=10))
            await asyncio.sleep(3600)
            assert not reading.done()
            await fill(journal, 1, first=4)
            assert seqs(await reading) == [4]

    async def test_every_reader_at_the_tail_is_woken(self, opened: Opened) -> None:
        async with opened() as journal:
            readings = [asyncio.create_task(journal.after(0, limit=1)) for _ in range(3)]
            await asyncio.sleep(1)
            await fill(journal, 1)
            assert [seqs(each) for each in await asyncio.gather(*readings)] == [[1]] * 3

    async def test_reader_at_the_tail_is_woken_by_the_seal(self, opened: Opened) -> None:
        async with opened() as journal:
            await fill(journal, 1)
            reading = asyncio.create_task(journal.after(1, limit=10))
            await asyncio.sleep(1)
            journal.seal()
            assert await reading == []

    async def test_reader_that_is_cancelled_misses_nothing(self, opened: Opened) -> None:
        async with opened() as journal:
            reading = asyncio.create_task(journal.after(0, limit=10))
            await asyncio.sleep(1)
            await fill(journal, 1)
            reading.cancel()
            await asyncio.wait([reading])
            assert seqs(await journal.after(0, limit=10)) == [1]

    async def test_sealed_journal_is_read_to_its_end(self, opened: Opened) -> None:
        async with opened() as journal:
            await fill(journal, 3)
            journal.seal()
            journal.seal()
            assert seqs(await journal.after(0, limit=2)) == [1, 2]
            assert seqs(await journal.after(2, limit=2)) == [3]
            assert await journal.after(3, limit=2) == []
            journal.commit(3)
            assert await journal.after(0, limit=2) == []

    async def test_run_tells_one_journal_from_another(self, opened: Opened) -> None:
        async with opened() as journal, opened() as another:
            run = journal.run
            await fill(journal, 3)
            assert journal.run == run
            assert another.run != run
            assert run.isalnum()

    # Its size is bounded.

    @pytest.mark.parametrize("when_full", WhenFull)
    async def test_size_is_bounded_and_what_is_forced_out_is_counted(
        self, opened: Opened, when_full: WhenFull
    ) -> None:
        async with opened(max_size=SIZE, when_full=when_full) as journal:
            await fill(journal, 500)
            assert 0.5 * SIZE < len(journal) * len(PAYLOAD) <= SIZE
            assert len(journal) + journal.lost == 500

    async def test_drop_oldest_keeps_the_newest_records_without_a_hole(self, opened: Opened) -> None:
        async with opened(max_size=SIZE, when_full=WhenFull.DROP_OLDEST) as journal:
            await fill(journal, 500)
            records = await everything(journal)
        assert seqs(records) == list(range(500 - len(records) + 1, 501))
        offsets = [each.offset for each in records]
        assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))

    async def test_drop_newest_keeps_the_oldest_records_without_a_hole(self, opened: Opened) -> None:
        async with opened(max_size=SIZE, when_full=WhenFull.DROP_NEWEST) as journal:
            await fill(journal, 500)
            kept = len(journal)
            journal.commit((await everything(journal))[kept // 2].offset)
            await fill(journal, 1, first=501)
            records = await everything(journal)
        assert seqs(records) == [*range(kept // 2 + 2, kept + 1), 501]
        offsets = [each.offset for each in records]
        assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))

    async def test_reader_that_was_overtaken_goes_on_with_what_is_left(self, opened: Opened) -> None:
        async with opened(max_size=SIZE) as journal:
            await fill(journal, 10)
            [*_, last] = await journal.after(0, limit=3)
            await fill(journal, 500, first=11)
            records = await journal.after(last.offset, limit=10**6)
        assert seqs(records) == list(range(511 - len(records), 511))
        journal.commit(last.offset)
        assert len(journal) == len(records)

    async def test_committed_records_make_room(self, opened: Opened) -> None:
        async with opened(max_size=SIZE) as journal:
            for seq in range(1, 501):
                await fill(journal, 1, first=seq)
                journal.commit((await journal.after(0, limit=1))[0].offset)
            assert (len(journal), journal.lost) == (0, 0)

    @pytest.mark.parametrize("when_full", WhenFull)
    async def test_record_larger_than_the_journal_is_lost_alone(
        self, opened: Opened, when_full: WhenFull
    ) -> None:
        async with opened(max_size=SIZE, when_full=when_full) as journal:
            await fill(journal, 3)
            await journal.append("camera", 1, b"x" * SIZE)
            await fill(journal, 3, first=4)
            assert seqs(await everything(journal)) == [1, 2, 3, 4, 5, 6]
            assert journal.lost == 1

    @pytest.mark.parametrize(
        ("when_full", "which"), [(WhenFull.DROP_OLDEST, "oldest"), (WhenFull.DROP_NEWEST, "newest")]
    )
    async def test_loss_is_told_once_when_it_begins_and_accounted_once_when_it_ends(
        self, opened: Opened, caplog: pytest.LogCaptureFixture, when_full: WhenFull, which: str
    ) -> None:
        caplog.set_level(logging.INFO)
        async with opened(max_size=SIZE, when_full=when_full) as journal:
            await fill(journal, 100, device="gps")
            await fill(journal, 200)
            begins = f"journal: full (64KiB): from now on the {which} readings are lost"
            assert caplog.messages == [begins]
            lost = journal.lost

            journal.commit((await everything(journal))[-1].offset)
            await fill(journal, 1, first=201)
            assert len(caplog.messages) == 2
            assert caplog.messages[1].startswith(f"journal: room again; {lost} readings were lost: ")
            _, _, by_device = caplog.messages[1].partition("were lost: ")
            assert sum(int(each.rsplit(maxsplit=1)[1]) for each in by_device.split(", ")) == lost
            assert journal.lost == lost

            await fill(journal, 300, first=202)
            assert caplog.messages[2:] == [begins]

    async def test_loss_that_has_not_ended_is_accounted_at_the_seal(
        self, opened: Opened, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with opened(max_size=SIZE) as journal:
            await fill(journal, 300)
            lost = journal.lost
            journal.seal()
        assert caplog.messages[1:] == [f"journal: closed; {lost} readings were lost: boiler {lost}"]

    async def test_journal_that_is_nearly_full_does_not_chatter(
        self, opened: Opened, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with opened(max_size=SIZE, when_full=WhenFull.DROP_NEWEST) as journal:
            await fill(journal, 100)
            for seq in range(101, 200):
                journal.commit((await journal.after(0, limit=1))[0].offset)
                await fill(journal, 2, first=2 * seq)
            assert len(caplog.messages) == 1
