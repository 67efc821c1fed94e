"""What the gateway counts: of real journals, lanes and brokers."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.driver import DriverOptions
from gateway.bus import EventBus, Overflow
from gateway.config import MqttOptions
from gateway.journal.journal import Journal
from gateway.model import Stamp, Tally, Value
from gateway.publish.broker import Broker
from gateway.publish.delivery import Delivery
from gateway.rules.rulebook import OF_DEVICES, OF_GATEWAY, STATUS
from gateway.source import Source
from gateway.supervisor import Supervisor
from gateway.tallies import EVERY_S, MOST_MARKS, Marks, Tallies
from tests.support.journals import MB, fill, left_behind, opened, settled, small_disk
from tests.support.mosquitto import Mosquitto
from tests.support.scripted_driver import Instrument, loop_clock


def delivery(journal: Journal, name: str = "mqtt", url: str = "mqtt://127.0.0.1:1") -> Delivery:
    options = MqttOptions.model_validate({"url": url})
    ways = Broker.ways(options, client_id=f"g-{name}")
    return Delivery(name, options, ways, journal, gateway="g", counters=lambda: b"{}", title=name)


def tallies(journal: Journal, *deliveries: Delivery, sources: Sequence[Source] = ()) -> Tallies:
    return Tallies(journal, sources, deliveries, loop_clock)


def status(counting: Tallies) -> dict[str, Value]:
    *_, last = counting.look()
    assert last.device == STATUS
    return dict(last.values)


async def rounds(counting: Tallies, seconds: float) -> dict[str, Value]:
    """As `run` does it; what was counted last."""
    seen = status(counting)
    for _ in range(round(seconds / EVERY_S)):
        await asyncio.sleep(EVERY_S)
        seen = status(counting)
    return seen


async def test_everything_that_rules_may_speak_of_is_counted_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal") as journal:
        options = DriverOptions.model_validate({"driver": "scripted", "port": "/dev/ttyUSB0"})
        boiler = Source("boiler", Instrument().driver(), options, EventBus(), loop_clock)
        of_boiler, of_gateway = tallies(journal, delivery(journal), sources=[boiler]).look()
        assert (of_boiler.device, sorted(of_boiler.values)) == ("boiler", sorted(OF_DEVICES))
        assert (of_gateway.device, sorted(of_gateway.values)) == (STATUS, sorted(OF_GATEWAY))


async def test_readings_and_what_was_refused_are_counted_for_each_device_and_missing_answers_apart() -> None:
    instrument = Instrument([{"t": 1}, {"t": 2}, {"t": 3}])
    instrument.rejected.update({"checksum": 4, "too long": 1, "no answer": 7})
    options = DriverOptions.model_validate({"driver": "scripted", "port": "/dev/ttyUSB0"})
    boiler = Source("boiler", instrument.driver(), options, EventBus(), loop_clock)
    async with opened(None) as journal:
        counting = tallies(journal, delivery(journal), sources=[boiler])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await Supervisor().run([boiler.child()])
        of_boiler, _ = counting.look()
        assert of_boiler.values == {"$read": 3, "$rejected": 5, "$unanswered": 7}


async def test_nothing_is_behind_while_nothing_waits(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal") as journal:
        counting = tallies(journal, delivery(journal))
        for _ in range(20):
            await fill(journal, 10)
            journal.readings.commit("mqtt", journal.readings.last)
            seen = await rounds(counting, EVERY_S)
            assert (seen["waiting"], seen["behind"], seen["behind_broker"]) == (0, 0, "")


async def test_what_is_just_on_its_way_is_not_behind(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal") as journal:
        counting = tallies(journal, delivery(journal))
        for _ in range(20):
            journal.readings.commit("mqtt", journal.readings.last)
            await asyncio.sleep(EVERY_S)
            await fill(journal, 10)
            seen = status(counting)
            assert (seen["waiting"], seen["behind"]) == (10, 0)


async def test_broker_that_is_furthest_behind_is_named_with_what_waits_for_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal", readers=["home", "cloud"]) as journal:
        counting = tallies(journal, delivery(journal, "home"), delivery(journal, "cloud"))
        await fill(journal, 100)
        await rounds(counting, 600)
        journal.readings.commit("home", 100)
        await fill(journal, 50)
        journal.readings.commit("cloud", 99)
        seen = await rounds(counting, 60)
        assert (seen["behind_broker"], seen["waiting"]) == ("cloud", 51)
        assert 660 - EVERY_S <= float(seen["behind"]) < 661
        journal.readings.commit("cloud", 100)
        seen = await rounds(counting, 60)
        assert (seen["waiting"], seen["behind_broker"]) == (50, "home")
        assert 120 - EVERY_S <= float(seen["behind"]) < 121
        for name in ("home", "cloud"):
            journal.readings.commit(name, 150)
        seen = status(counting)
        assert (seen["waiting"], seen["behind"], seen["behind_broker"]) == (0, 0, "")


@pytest.mark.parametrize("killed", [False, True])
async def test_backlog_is_not_younger_for_a_restart(tmp_path: Path, killed: bool) -> None:
    path, names = tmp_path / "journal", ["cloud", "home"]
    async with opened(path, readers=names) as journal:
        for _ in range(2):
            await fill(journal, 50)
            await asyncio.sleep(1800)
        for name, offset in (("home", 10), ("cloud", 60)):
            journal.readings.commit(name, offset)
        await settled()
        found = left_behind(journal, path, tmp_path / "killed") if killed else path
    bus = EventBus()
    async with opened(found, readers=names) as journal:
        counting = tallies(journal, *(delivery(journal, name) for name in names))
        with bus.subscribe(Tally, name="test", capacity=100, overflow=Overflow.WAIT) as heard:
            running = asyncio.create_task(counting.run(bus))
            async for each in heard:
                assert each.values["behind_broker"] == "home"
                assert 3600 - 60 <= float(each.values["behind"]) < 3600 + 60
                break
            running.cancel()
            await asyncio.wait([running])
        journal.readings.commit("home", 100)
        seen = status(counting)
        assert seen["behind_broker"] == "cloud"
        assert 1800 - 60 <= float(seen["behind"]) < 1800 + 60
        journal.readings.commit("cloud", 100)
        assert status(counting)["behind"] == 0


async def test_outage_is_known_to_the_interval_however_long_the_gateway_has_run() -> None:
    async with opened(None) as journal:
        counting = tallies(journal, delivery(journal))
        for _ in range(4 * MOST_MARKS):
            await fill(journal, 1)
            status(counting)
            await asyncio.sleep(EVERY_S)
            journal.readings.commit("mqtt", journal.readings.last)
        for _ in range(300):
            await fill(journal, 1)
            seen = await rounds(counting, EVERY_S)
        assert 3000 - EVERY_S <= float(seen["behind"]) < 3001


async def test_what_was_forced_out_does_not_wait(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal", max_age_s=300) as journal:
        counting = tallies(journal, delivery(journal))
        for _ in range(100):
            await fill(journal, 100)
            seen = await rounds(counting, 30)
        assert journal.losses.total
        assert int(seen["waiting"]) == journal.readings.behind("mqtt") < 2000
        assert 200 <= float(seen["behind"]) <= 400


async def test_journal_says_how_full_it_is_and_that_from_its_first_moment_on(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path, max_size=4 * MB) as journal:
        counting = tallies(journal, delivery(journal))
        empty = float(status(counting)["journal_used"])
        assert 0 < empty < 0.1
        before = empty
        for _ in range(4):
            await fill(journal, 2000)
            await settled()
            used = float(status(counting)["journal_used"])
            assert before + 0.05 < used < 1
            before = used
    async with opened(path, max_size=4 * MB) as journal:
        counting = tallies(journal, delivery(journal))
        assert float(status(counting)["journal_used"]) == pytest.approx(before, abs=0.1)
        await fill(journal, 50_000)
        await settled()
        assert float(status(counting)["journal_used"]) > 0.8
        journal.readings.commit("mqtt", journal.readings.last)
        await settled()
        assert float(status(counting)["journal_used"]) < 0.1


async def test_journal_in_memory_says_how_full_it_is() -> None:
    async with opened(None, max_size=1 * MB) as journal:
        counting = tallies(journal, delivery(journal))
        assert status(counting)["journal_used"] == 0
        await fill(journal, 1500, size=133)
        assert status(counting)["journal_used"] == pytest.approx(0.5, abs=0.1)


async def test_disk_that_others_have_filled_makes_the_journal_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "16m") as folder:
        async with opened(folder / "journal", min_free=8 * MB) as journal:
            counting = tallies(journal, delivery(journal))
            await fill(journal, 1000)
            await settled()
            assert float(status(counting)["journal_used"]) < 0.2
            (folder / "of somebody else").write_bytes(bytes(8_500_000))
            await fill(journal, 1)
            await settled()
            assert float(status(counting)["journal_used"]) > 0.5


async def test_trouble_is_told_and_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")
    async with opened(tmp_path / "folder" / "journal") as journal:
        seen = status(tallies(journal, delivery(journal)))
        assert seen["journal_trouble"] is True
        assert "journal_used" not in seen


async def test_what_a_full_journal_refuses_is_counted() -> None:
    async with opened(None, max_size=MB // 10, drop_oldest=False) as journal:
        counting = tallies(journal, delivery(journal))
        assert status(counting)["journal_refused"] == 0
        await fill(journal, 1000)
        assert status(counting)["journal_refused"] == journal.refused > 0


async def test_clock_that_nobody_has_set_is_told() -> None:
    async with opened(None) as journal:
        for synchronised in (False, True):
            counting = Tallies(
                journal, [], [delivery(journal)], lambda now=synchronised: Stamp(0, 0.0, now)  # type: ignore[misc]
            )  # fmt: skip
            assert status(counting)["clock_synchronised"] is synchronised


async def test_bus_hears_it_at_once_and_every_ten_seconds() -> None:
    bus = EventBus()
    async with opened(None) as journal:
        heard = bus.subscribe(Tally, name="test", capacity=100, overflow=Overflow.WAIT)
        with heard:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(25):
                    await tallies(journal, delivery(journal)).run(bus)
            bus.close()
            began = [each.at.mono async for each in heard]
    assert [round(at - began[0], 3) for at in began] == [0, 10, 20]


@pytest.mark.real_time
async def test_broker_that_is_away_is_behind_until_it_has_everything(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path) as broker:
        async with opened(tmp_path / "journal") as journal:
            there = delivery(journal, url=f"mqtt://127.0.0.1:{broker.port}")
            counting = tallies(journal, there)
            forwarding = asyncio.create_task(Supervisor().run([there.child()]))
            async with asyncio.timeout(30):
                while not status(counting)["brokers_connected"]:
                    await asyncio.sleep(0.01)
                await fill(journal, 100)
                while status(counting)["waiting"]:
                    await asyncio.sleep(0.01)
                broker.stop()
                while status(counting)["brokers_connected"]:
                    await asyncio.sleep(0.01)
                await fill(journal, 100)
                seen = status(counting)
                assert (seen["waiting"], seen["behind_broker"]) == (100, "mqtt")
                while not float(status(counting)["behind"]) > 0.2:
                    await asyncio.sleep(0.05)
                broker.start()
                while status(counting)["waiting"]:
                    await asyncio.sleep(0.05)
                assert status(counting)["behind"] == 0
            forwarding.cancel()
            await asyncio.wait([forwarding])


@given(grown=st.lists(st.integers(0, 5), min_size=1, max_size=60), asked=st.integers(0, 300))
@example(grown=[0, 3, 0, 2], asked=4)
def test_age_is_no_more_than_it_is_and_no_less_but_for_one_interval(grown: list[int], asked: int) -> None:
    """A record comes in the middle between two looks."""
    marks, last, born = Marks(), 0, {}
    for look, count in enumerate(grown):
        for _ in range(count):
            last += 1
            born[last] = look - 0.5
        marks.note(float(look), last)
    now = float(len(grown))
    if asked in born:
        true = now - born[asked]
        assert true - 1 <= marks.age(asked, now) <= true
    else:
        assert marks.age(asked or last + 1, now) == 0


def test_long_outage_needs_little_memory_and_the_oldest_is_known_exactly() -> None:
    marks = Marks()
    for look in range(100_000):
        marks.note(look * EVERY_S, (look + 1) * 100)
        assert len(marks) <= MOST_MARKS
    now = 100_000 * EVERY_S
    assert marks.age(1, now) == marks.age(100, now) == now
    for look in (1000, 50_000, 90_000, 99_000):
        true = now - look * EVERY_S
        assert true - now / 100 <= marks.age((look + 1) * 100, now) <= true
    for look in range(1000):
        marks.note(now + look, 100_000 * 100)
    assert (
        marks.age(100_000 * 100, now + 1000) == EVERY_S + 1000
    )  # that nothing has come since makes nothing younger
    marks.forget(50_000 * 100)
    assert marks.age(50_000 * 100 + 1, now) <= 50_001 * EVERY_S
    marks.forget(10**9)
    assert (len(marks), marks.age(10**9, now)) == (0, 0)
