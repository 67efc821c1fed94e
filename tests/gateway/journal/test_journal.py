"""What a journal does wherever it keeps its records: in memory, on the disk, on the disk before anybody sees them."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from gateway.journal.journal import MOST_URGENT, Journal
from gateway.journal.losses import MOST_PENDING
from gateway.journal.record import Entry
from tests.support.journals import by_device, drained, fill, gaps, missing, opened, seqs, stream_in, waiting

SIZE = 2**16
"""Of a small journal in memory."""
PAYLOAD = b"x" * 1000

Opened = Callable[..., AbstractAsyncContextManager[Journal]]


@pytest.fixture(params=["memory", "disk", "always", "never"])
def journal_at(tmp_path: Path, request: pytest.FixtureRequest) -> Opened:
    """A journal, made anew and open for as long as the block lasts."""
    if request.param == "memory":
        return partial(opened, None)
    sync_s = {"disk": 0.2, "always": 0.0, "never": None}[request.param]
    number = itertools.count(1)
    return lambda **options: opened(tmp_path / f"{next(number)}.db", sync_s=sync_s, **options)


async def test_records_come_back_as_they_were_appended(journal_at: Opened) -> None:
    appended = [
        Entry("boiler", 1, b"{}"),
        Entry("gps", 1, b""),
        Entry("boiler", 2, bytes(range(256))),
        Entry("Kühlraum/温度", 7, b"1"),
    ]
    async with journal_at() as journal:
        await journal.append(appended[:1])
        await journal.append(appended[1:])
        records = await waiting(journal)
    assert [Entry(each.device, each.seq, each.payload) for each in records] == appended
    assert [each.offset for each in records] == [1, 2, 3, 4]


async def test_reader_gets_what_lies_beyond_its_offset_and_no_more_than_it_wants(journal_at: Opened) -> None:
    async with journal_at() as journal:
        await fill(journal, 10)
        assert seqs(await journal.readings.after("mqtt", 0, limit=3)) == [1, 2, 3]
        assert seqs(await journal.readings.after("mqtt", 3, limit=3)) == [4, 5, 6]
        assert seqs(await journal.readings.after("mqtt", 8, limit=3)) == [9, 10]


async def test_reading_takes_nothing_away(journal_at: Opened) -> None:
    async with journal_at() as journal:
        await fill(journal, 3)
        for _ in range(3):
            assert seqs(await waiting(journal)) == [1, 2, 3]
        assert journal.readings.behind("mqtt") == 3


async def test_what_is_committed_is_not_waited_for_any_more(journal_at: Opened) -> None:
    async with journal_at() as journal:
        await fill(journal, 5)
        await waiting(journal)
        journal.readings.commit("mqtt", 0)
        assert journal.readings.behind("mqtt") == 5
        journal.readings.commit("mqtt", 2)
        assert seqs(await waiting(journal)) == [3, 4, 5]
        journal.readings.commit("mqtt", 1)  # long since
        assert journal.readings.behind("mqtt") == 3
        journal.readings.commit("mqtt", 5)
        assert journal.readings.behind("mqtt") == 0


async def test_offsets_go_on_after_a_commit_of_everything(journal_at: Opened) -> None:
    async with journal_at() as journal:
        await fill(journal, 3)
        await drained(journal)
        await fill(journal, 2)
        records = await journal.readings.after("mqtt", 3, limit=10)
    assert [(each.offset, each.seq) for each in records] == [(4, 4), (5, 5)]


async def test_every_reader_at_the_tail_is_woken_by_the_next_record(journal_at: Opened) -> None:
    async with journal_at(readers=["one", "two"]) as journal:
        await fill(journal, 3)
        await drained(journal, "one")
        readings = [
            asyncio.create_task(journal.readings.after(reader, 3, limit=10))
            for reader in ("one", "two", "one")
        ]
        await asyncio.sleep(3600)
        assert not any(each.done() for each in readings)
        await fill(journal, 1)
        assert [seqs(each) for each in await asyncio.gather(*readings)] == [[4]] * 3


async def test_reader_that_is_cancelled_misses_nothing(journal_at: Opened) -> None:
    async with journal_at() as journal:
        reading = asyncio.create_task(journal.readings.after("mqtt", 0, limit=10))
        await asyncio.sleep(1)
        await fill(journal, 1)
        reading.cancel()
        await asyncio.wait([reading])
        assert seqs(await waiting(journal)) == [1]


async def test_sealed_journal_is_read_to_its_end(journal_at: Opened) -> None:
    async with journal_at() as journal:
        await fill(journal, 3)
        reading = asyncio.create_task(journal.readings.after("mqtt", 3, limit=10))
        await asyncio.sleep(1)
        journal.seal()
        journal.seal()
        assert await reading == []
        assert seqs(await journal.readings.after("mqtt", 0, limit=2)) == [1, 2]
        assert seqs(await journal.readings.after("mqtt", 2, limit=2)) == [3]
        assert await journal.urgent.after("mqtt", 0, limit=2) == []


async def test_seal_right_after_an_append_does_not_hide_it(journal_at: Opened) -> None:
    async with journal_at() as journal:
        reading = asyncio.create_task(journal.readings.after("mqtt", 0, limit=10))
        await asyncio.sleep(1)
        await fill(journal, 3)
        journal.seal()
        assert seqs(await reading) == [1, 2, 3]
        assert await journal.readings.after("mqtt", 3, limit=10) == []


async def test_run_tells_one_journal_from_another(journal_at: Opened) -> None:
    async with journal_at() as journal, journal_at() as another:
        run = journal.run
        await fill(journal, 3)
        assert journal.run == run
        assert another.run != run
        assert run.isalnum()


async def test_each_reader_has_a_cursor_of_its_own(journal_at: Opened) -> None:
    async with journal_at(readers=["here", "away"]) as journal:
        await stream_in(journal, 500)
        assert len(await drained(journal, "here")) == 500
        await stream_in(journal, 500)
        assert seqs(await drained(journal, "here")) == list(range(501, 1001))
        assert journal.readings.behind("away") == 1000
        assert seqs(await drained(journal, "away")) == list(range(1, 1001))
        assert journal.readings.behind("away") == journal.readings.behind("here") == 0


async def test_devices_are_numbered_on_their_own(journal_at: Opened) -> None:
    async with journal_at() as journal:
        assert journal.last_seq("boiler") == 0
        await fill(journal, 3)
        await fill(journal, 5, device="gps")
        assert (journal.last_seq("boiler"), journal.last_seq("gps"), journal.last_seq("other")) == (3, 5, 0)


# What is urgent.


async def test_urgent_events_do_not_wait_behind_readings(journal_at: Opened) -> None:
    async with journal_at() as journal:
        await fill(journal, 1000)
        await journal.append_urgent("alerts/overheat", b"firing")
        [event] = await journal.urgent.after("mqtt", 0, limit=10)
        assert (event.offset, event.device, event.payload) == (1, "alerts/overheat", b"firing")
        journal.urgent.commit("mqtt", 1)
        assert (journal.urgent.behind("mqtt"), journal.readings.behind("mqtt")) == (0, 1000)


async def test_urgent_events_are_bounded_too(journal_at: Opened, caplog: pytest.LogCaptureFixture) -> None:
    async with journal_at() as journal:
        for _ in range(MOST_URGENT + 7):
            await journal.append_urgent("alerts/flapping", b"firing")
        assert journal.urgent.behind("mqtt") == MOST_URGENT
        [gap] = gaps(journal)
        assert (gap.device, gap.first, gap.last, gap.lost) == ("alerts/flapping", 0, 0, 7)
        assert len(caplog.messages) == 1
        journal.urgent.commit("mqtt", 1)
        await journal.append_urgent("alerts/flapping", b"resolved")
        assert journal.urgent.behind("mqtt") == MOST_URGENT


# Gaps.


# In memory, where bounds are exact.


@pytest.mark.parametrize("drop_oldest", [True, False])
async def test_memory_is_bounded_and_what_is_forced_out_is_counted(drop_oldest: bool) -> None:
    async with opened(None, max_size=SIZE, drop_oldest=drop_oldest) as journal:
        for _ in range(500):
            await fill(journal, 1, size=1000)
        left = await waiting(journal)
        assert 0.5 * SIZE < sum(len(each.payload) for each in left) <= SIZE
        assert journal.readings.size <= SIZE
        assert len(left) + journal.losses.total == journal.appended == 500
        kept = len(left)
        assert seqs(left) == (list(range(501 - kept, 501)) if drop_oldest else list(range(1, kept + 1)))
        assert sorted(missing(gaps(journal)) + seqs(left)) == list(range(1, 501))


async def test_a_batch_larger_than_memory_keeps_to_the_bound() -> None:
    async with opened(None, max_size=SIZE) as journal:
        await fill(journal, 500, size=1000)
        assert journal.readings.size <= SIZE
        left = seqs(await waiting(journal))
        assert left == list(range(501 - len(left), 501))
        assert len(left) + journal.losses.total == 500


@pytest.mark.parametrize("drop_oldest", [True, False])
async def test_record_larger_than_memory_is_lost_alone(drop_oldest: bool) -> None:
    async with opened(None, max_size=SIZE, drop_oldest=drop_oldest) as journal:
        await fill(journal, 3)
        await journal.append([Entry("camera", 1, b"x" * SIZE)])
        await fill(journal, 3)
        assert by_device(await waiting(journal)) == {"boiler": [1, 2, 3, 4, 5, 6]}
        [gap] = gaps(journal)
        assert (gap.device, gap.first, gap.last, gap.lost) == ("camera", 1, 1, 1)


async def test_losses_that_follow_each_other_are_one_gap_and_announced_together() -> None:
    async with opened(None, max_size=SIZE) as journal:
        heard: list[tuple[str, int, int, int]] = []

        async def hear() -> None:
            async for gap in journal.gaps():
                heard.append((gap.device, gap.first, gap.last, gap.lost))  # noqa: PERF401 - as they come

        listening = asyncio.create_task(hear())
        for seq in (1, 2, 3, 5, 6):
            await journal.append([Entry("camera", seq, b"x" * SIZE), Entry("boiler", seq, PAYLOAD)])
        assert heard == []
        await asyncio.sleep(10)
        assert heard == [("camera", 1, 3, 3), ("camera", 5, 6, 2)]
        await journal.append([Entry("camera", 7, b"x" * SIZE)])
        await asyncio.sleep(10)
        assert heard[2:] == [("camera", 7, 7, 1)]
        listening.cancel()
        await asyncio.wait([listening])


async def test_gaps_that_nobody_takes_cost_bounded_memory_and_still_add_up() -> None:
    async with opened(None, max_size=SIZE) as journal:
        for seq in range(1, 10_000, 2):
            await journal.append([Entry("camera", seq, b"x" * SIZE)])
        assert len(journal.losses.pending) <= MOST_PENDING
        untaken = gaps(journal)
        assert sum(gap.lost for gap in untaken) == journal.losses.total == 5000
        assert (untaken[0].first, untaken[-1].last) == (1, 9999)


async def test_what_a_reader_was_given_is_not_evicted_under_it() -> None:
    async with opened(None, max_size=SIZE) as journal:
        await fill(journal, 10, size=1000)
        given = await journal.readings.after("mqtt", 0, limit=5)
        for _ in range(500):
            await fill(journal, 1, size=1000)
        again = await journal.readings.after("mqtt", 0, limit=100)  # its link was lost
        assert again[:5] == given
        journal.readings.commit("mqtt", 5)
        rest = await drained(journal)
        assert 5 + len(rest) + journal.losses.total == 510
        assert journal.readings.behind("mqtt") == 0


async def test_loss_is_told_once_when_it_begins_and_accounted_once_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened(None, max_size=SIZE) as journal:
        for _ in range(300):
            await fill(journal, 1, size=1000)
        assert caplog.messages == ["journal: full (64KiB): from now on the oldest readings are lost"]
        lost = journal.losses.total
        await drained(journal)
        await fill(journal, 1)
        assert caplog.messages[1:] == [f"journal: room again; {lost} readings were lost: boiler {lost}"]
        for _ in range(300):
            await fill(journal, 1, size=1000)
        assert len(caplog.messages) == 3
    assert caplog.messages[3].startswith("journal: closed; ")


async def test_memory_that_is_nearly_full_does_not_chatter(caplog: pytest.LogCaptureFixture) -> None:
    async with opened(None, max_size=SIZE, drop_oldest=False) as journal:
        for _ in range(200):
            await fill(journal, 1, size=1000)
            if journal.appended > 100:
                journal.readings.commit("mqtt", journal.readings.cursor("mqtt") + 1)
        assert len(caplog.messages) == 1
