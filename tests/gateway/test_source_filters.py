"""A device with filters: what reaches the bus, when, under which number, and what is counted."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from drivers.driver import DriverOptions
from gateway.bus import EventBus, Overflow
from gateway.errors import LinkLost
from gateway.model import Availability, Event, Reading
from gateway.source import STRETCH, Source
from gateway.supervisor import Supervisor
from tests.support.scripted_driver import Instrument, Step, loop_clock


async def _observe(
    instrument: Instrument, seconds: float, *filters: dict[str, Any], stale_after: str = "never"
) -> tuple[list[Event], Source]:
    bus = EventBus()
    mailbox = bus.subscribe(Event, name="test", capacity=100_000, overflow=Overflow.WAIT)
    options = DriverOptions.model_validate(
        {"driver": "scripted", "port": "/dev/ttyUSB0", "stale_after": stale_after, "filters": filters}
    )
    source = Source("boiler", instrument.driver(), options, bus, loop_clock, last_seq=100)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            group.create_task(Supervisor().run([source.child()]))
            group.create_task(source.watch())
            group.create_task(source.wake())
    bus.close()
    return [event async for event in mailbox], source


def _every_second(values: Iterable[float]) -> Iterator[Step]:
    for value in values:
        yield {"t": value}
        yield 1.0


def _readings(events: list[Event]) -> list[tuple[float, dict[str, Any]]]:
    return [(round(each.at.mono, 3), dict(each.values)) for each in events if isinstance(each, Reading)]


def _seqs(events: list[Event]) -> list[int]:
    return [each.seq for each in events if isinstance(each, Reading)]


async def test_only_what_passes_is_numbered_and_the_rest_is_counted() -> None:
    script = _every_second(n / 10 for n in range(10))
    events, source = await _observe(Instrument(script), 30, {"delta": 0.25})
    assert _readings(events) == [(0, {"t": 0.0}), (3, {"t": 0.3}), (6, {"t": 0.6}), (9, {"t": 0.9})]
    assert _seqs(events) == [101, 102, 103, 104]
    assert (source.readings, source.filtered, source.made) == (10, 6, 0)
    assert source.tally_withheld() == {"delta": 6}


async def test_reading_of_which_a_part_passes_is_not_counted_as_filtered() -> None:
    events, source = await _observe(Instrument([{"a": 1, "b": 2}]), 5, {"drop": "b"})
    assert _readings(events) == [(0, {"a": 1})]
    assert (source.readings, source.filtered) == (1, 0)
    assert source.tally_withheld() == {"drop": 1}


async def test_filters_are_woken_when_they_are_due_and_what_they_say_is_numbered_and_counted() -> None:
    instrument = Instrument([{"t": 1.0}, 1.0, {"t": 2.0}, 20.0, {"t": 5.0}])
    events, source = await _observe(instrument, 60, {"mean": "10s"}, {"round": 1})
    assert _readings(events) == [(10, {"t": 1.5}), (30, {"t": 5.0})]
    assert _seqs(events) == [101, 102]
    assert (source.readings, source.filtered, source.made) == (3, 3, 2)


async def test_deadline_that_comes_nearer_while_it_sleeps_wakes_it_earlier() -> None:
    instrument = Instrument([{"slow": 1}, 1.0, {"quick": 2}])
    filters = ({"metric": "slow", "debounce": "1h"}, {"metric": "quick", "debounce": "1s"})
    events, _ = await _observe(instrument, 100, *filters)
    assert _readings(events) == [(2, {"quick": 2})]


async def test_value_that_is_due_is_older_than_the_reading_that_comes_with_it() -> None:
    instrument = Instrument([{"t": 1}, 5.0, {"t": 2, "u": 3}])
    events, _ = await _observe(instrument, 60, {"metric": "t", "debounce": "5s"})
    assert _readings(events) == [(5, {"t": 1}), (5, {"u": 3}), (10, {"t": 2})]
    assert _seqs(events) == [101, 102, 103]


async def test_device_is_online_and_not_stale_though_nothing_of_it_passes() -> None:
    script = _every_second(20 + n % 2 for n in range(100))
    events, source = await _observe(Instrument(script), 99, {"throttle": "1h"}, stale_after="5s")
    assert [each.presence for each in events if isinstance(each, Availability)] == [
        "offline",
        "offline",
        "online",
    ]
    assert _readings(events) == [(0, {"t": 20})]
    assert source.filtered == 98


async def test_device_is_online_before_the_first_value_has_passed() -> None:
    events, _ = await _observe(Instrument([{"t": 1}]), 60, {"debounce": "10s"})
    story = [str(each.presence) if isinstance(each, Availability) else round(each.at.mono) for each in events]
    assert story == ["offline", "offline", "online", 10]


async def test_heartbeat_does_not_make_a_dead_device_look_alive() -> None:
    instrument = Instrument([{"t": 1}, 100.0, {"t": 2}])
    events, _ = await _observe(instrument, 123, {"heartbeat": "10s"}, stale_after="25s")
    assert [each.presence for each in events if isinstance(each, Availability)][2:] == [
        "online",
        "stale",
        "online",
    ]
    assert _readings(events) == [(10, {"t": 1}), (20, {"t": 1}), (110, {"t": 2}), (120, {"t": 2})]


async def test_heartbeat_pauses_while_the_port_is_gone() -> None:
    instrument = Instrument([{"t": 1}, 15.0, LinkLost("unplugged")], [50.0, {"t": 2}])
    events, _ = await _observe(instrument, 85, {"heartbeat": "10s"})
    assert _readings(events) == [(10, {"t": 1}), (70, {"t": 2}), (80, {"t": 2})]


async def test_what_filters_remember_outlasts_the_reopening_of_the_port() -> None:
    lost = LinkLost("unplugged")
    instrument = Instrument([{"t": 1}, {"t": 2}, lost], [{"t": 6}, lost], [{"t": 6}, {"t": 9}])
    events, source = await _observe(instrument, 60, {"mean": 3, "send_every": 1}, {"delta": 1})
    assert [values["t"] for _, values in _readings(events)] == [1.0, 3.0, 14 / 3, 7.0]
    assert (source.readings, source.filtered) == (5, 1)


async def test_debounced_value_comes_out_though_the_port_is_gone_meanwhile() -> None:
    instrument = Instrument([{"t": 1}, 1.0, LinkLost("unplugged")], [1000.0])
    events, _ = await _observe(instrument, 60, {"debounce": "10s"})
    assert _readings(events) == [(10, {"t": 1})]


async def test_what_is_no_value_does_not_reach_the_filters() -> None:
    events, source = await _observe(Instrument([{"t": float("nan"), "u": 1}, {"t": 3.0}]), 5, {"delta": 1})
    assert _readings(events) == [(0, {"u": 1}), (0, {"t": 3.0})]
    assert source.dropped == {"not a value": 1}


async def test_device_without_filters_has_no_task_that_waits_for_them() -> None:
    options = DriverOptions.model_validate({"driver": "scripted", "port": "/dev/ttyUSB0"})
    await Source("boiler", Instrument().driver(), options, EventBus(), loop_clock).wake()


async def test_flood_of_which_nothing_passes_leaves_turns_to_others() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while source.readings < 1000:
            turns += 1
            await asyncio.sleep(0)

    options = DriverOptions.model_validate(
        {"driver": "scripted", "port": "/dev/ttyUSB0", "filters": [{"throttle": "1h"}]}
    )
    instrument = Instrument([{"t": number} for number in range(1000)])
    source = Source("boiler", instrument.driver(), options, EventBus(), loop_clock)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), asyncio.TaskGroup() as group:
            group.create_task(Supervisor().run([source.child()]))
            group.create_task(count_turns())
    assert source.filtered == 999
    assert turns >= 1000 // STRETCH


async def test_what_filters_have_made_is_published_whole_though_whoever_waits_for_room_is_cancelled() -> None:
    bus = EventBus()
    mailbox = bus.subscribe(Reading, name="test", capacity=1, overflow=Overflow.WAIT)
    filters = ({"metric": "a", "debounce": "5s"}, {"metric": "b", "debounce": "5s"})
    options = {"driver": "scripted", "port": "/dev/ttyUSB0", "filters": filters}
    script = Instrument([{"a": 1, "b": 2}])
    source = Source(
        "boiler", script.driver(), DriverOptions.model_validate(options), bus, loop_clock, last_seq=100
    )
    bus.put(Reading(at=loop_clock(), device="other", values={"t": 1}))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(Supervisor().run([source.child()]))
        waking = group.create_task(source.wake())
        await asyncio.sleep(10)
        waking.cancel()
        running.cancel()
    made = [each for each in mailbox.take() if each.device == "boiler"]
    assert (len(made), source.seq - 100) == (source.made, source.made)
    assert {name for each in made for name in each.values} == {"a", "b"}
