import asyncio
import itertools
import logging
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from drivers.driver import DriverOptions
from gateway.bus import EventBus, Overflow
from gateway.errors import LinkAbsent, LinkLost, LinkSilent
from gateway.model import Availability, Event, Reading
from gateway.source import STRETCH, Source
from gateway.supervisor import Supervisor
from tests.support.scripted_driver import Ended, Instrument, Step, loop_clock


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield


async def _observe(
    instrument: Instrument, seconds: float, *, stale_after: str = "5s", retry_max: str = "10s"
) -> tuple[list[Event], Source]:
    """What the bus carries of a supervised and watched source."""
    bus = EventBus()
    mailbox = bus.subscribe(Event, name="test", capacity=100_000, overflow=Overflow.WAIT)
    options = DriverOptions.model_validate(
        {"driver": "scripted", "port": "/dev/ttyUSB0", "stale_after": stale_after, "retry_max": retry_max}
    )
    source = Source("boiler", instrument.driver(), options, bus, loop_clock)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            group.create_task(Supervisor().run([source.child()]))
            group.create_task(source.watch())
    assert instrument.open == 0
    bus.close()
    return [event async for event in mailbox], source


def _story(events: list[Event]) -> list[str]:
    """`online`, `offline: reason`, and the number of readings between."""
    story: list[str] = []
    readings = 0
    for event in events:
        if isinstance(event, Reading):
            readings += 1
            continue
        assert isinstance(event, Availability)
        if readings:
            story.append(f"{readings} readings")
            readings = 0
        story.append(f"{event.presence}: {event.reason}" if event.reason else str(event.presence))
    return [*story, f"{readings} readings"] if readings else story


async def test_readings_are_numbered_without_holes_across_reopenings() -> None:
    lost = LinkLost("/dev/ttyUSB0: unplugged or hung up")
    instrument = Instrument(
        [{"t": 1}, {"t": 2}, lost], [{"t": 3}, lost], LinkAbsent("no such device"), [{"t": 4}]
    )
    events, source = await _observe(instrument, 60, stale_after="never")
    assert [(event.values["t"], event.seq) for event in events if isinstance(event, Reading)] == [
        (1, 1), (2, 2), (3, 3), (4, 4),
    ]  # fmt: skip
    assert source.readings == 4


async def test_device_is_online_from_its_first_reading_not_from_its_open_port() -> None:
    events, _ = await _observe(Instrument([3.0, {"t": 1}]), 4)
    assert _story(events) == [
        "offline: starting", "offline: /dev/ttyUSB0: open, no reading yet", "online", "1 readings",
    ]  # fmt: skip
    assert [event.at.mono for event in events if isinstance(event, Availability)][-1] == pytest.approx(3)


async def test_availability_comes_before_the_reading_it_is_about() -> None:
    events, _ = await _observe(Instrument([{"t": 1}]), 1)
    kinds = [type(event) for event in events]
    assert kinds[-2:] == [Availability, Reading]


async def test_silence_makes_it_stale_and_a_reading_online_again(caplog: pytest.LogCaptureFixture) -> None:
    events, _ = await _observe(Instrument([{"t": 1}, 12.0, {"t": 2}]), 14)
    stale_line = "stale: nothing for 5s on /dev/ttyUSB0"
    assert _story(events)[2:] == ["online", "1 readings", stale_line, "online", "1 readings"]
    stale = next(event for event in events if isinstance(event, Availability) and event.presence == "stale")
    assert stale.at.mono == pytest.approx(5)
    assert [record.getMessage() for record in caplog.records] == [
        "boiler: online",
        "boiler: stale: nothing for 5s on /dev/ttyUSB0",
        "boiler: online again after 7 s",
    ]


async def test_port_that_opens_and_never_says_a_word_becomes_stale() -> None:
    events, _ = await _observe(Instrument(), 20)
    assert _story(events)[-1] == "stale: nothing for 5s on /dev/ttyUSB0"


async def test_silence_with_broken_frames_asks_about_the_baud_rate() -> None:
    instrument = Instrument()
    instrument.rejected.update({"checksum": 40, "too long": 2})
    events, _ = await _observe(instrument, 20)
    assert _story(events)[-1] == (
        "stale: nothing for 5s on /dev/ttyUSB0 but 42 broken frames (40 checksum, 2 too long): is it 9600 baud?"
    )


async def test_readings_that_keep_coming_never_make_it_stale() -> None:
    pairs: list[tuple[Step, Step]] = [({"t": number}, 4.9) for number in range(100)]
    script = itertools.chain.from_iterable(pairs)
    events, _ = await _observe(Instrument(script), 400)
    assert "stale" not in {event.presence for event in events if isinstance(event, Availability)}


async def test_stale_after_never_means_never() -> None:
    events, _ = await _observe(Instrument([{"t": 1}]), 1e6, stale_after="never")
    assert _story(events)[-2:] == ["online", "1 readings"]


async def test_device_that_is_offline_is_not_called_stale() -> None:
    instrument = Instrument(*[LinkAbsent("/dev/ttyUSB0: no such device")] * 1000)
    events, _ = await _observe(instrument, 600)
    assert _story(events) == ["offline: starting", "offline: /dev/ttyUSB0: no such device"]


async def test_reopening_never_waits_longer_than_retry_max() -> None:
    absent = LinkAbsent("/dev/ttyUSB0: no such device")
    instrument = Instrument(*[absent] * 40, [{"t": 1}])
    events, _ = await _observe(instrument, 41 * 2, stale_after="never", retry_max="2s")
    assert _story(events)[-2:] == ["online", "1 readings"]


async def test_what_the_decoder_refused_is_kept_across_reopenings() -> None:
    lost = LinkLost("gone")
    instrument = Instrument([{"t": 1}, lost], [{"t": 2}])
    instrument.rejected.update({"checksum": 3})
    _, source = await _observe(instrument, 60)
    assert source.rejected == {"checksum": 6}


async def test_driver_that_stops_reading_is_started_again() -> None:
    instrument = Instrument([{"t": 1}, Ended()], [{"t": 2}])
    events, _ = await _observe(instrument, 60, stale_after="never")
    assert "offline: /dev/ttyUSB0: the driver has stopped reading" in _story(events)
    assert [event.seq for event in events if isinstance(event, Reading)] == [1, 2]


async def test_what_is_no_value_is_dropped_and_counted_and_costs_nothing_else() -> None:
    broken: dict[Any, Any] = {
        "nan": float("nan"),
        "inf": -float("inf"),
        "d": Decimal(1),
        "l": [],
        "n": None,
        7: 1,
    }
    instrument = Instrument([{"good": 1.5, **broken}, {"only": float("nan")}, {"b": True, "s": "x", "i": 3}])
    events, source = await _observe(instrument, 1)
    readings = [event for event in events if isinstance(event, Reading)]
    assert [reading.values for reading in readings] == [{"good": 1.5}, {"b": True, "s": "x", "i": 3}]
    assert [reading.seq for reading in readings] == [1, 2]
    assert source.dropped == {"not a value": 7}


async def test_broken_frames_are_told_once_for_each_stretch(caplog: pytest.LogCaptureFixture) -> None:
    instrument = Instrument([{"t": 1}])
    instrument.rejected["checksum"] = 3
    _, source = await _observe(instrument, 1)
    caplog.clear()
    source.tell_rejected(within="1h")
    source.tell_rejected(within="1h")
    source.rejected["too long"] += 2
    source.tell_rejected(within="1h")
    assert [record.getMessage() for record in caplog.records] == [
        "boiler: 3 broken frames in the last 1h: 3 checksum",
        "boiler: 2 broken frames in the last 1h: 2 too long",
    ]


async def test_answers_that_are_refused_say_nothing_about_the_baud_rate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = Instrument(asked=True)
    refused.rejected["illegal data address"] = 2
    events, source = await _observe(refused, 20)
    assert _story(events)[-1] == (
        "stale: nothing for 5s on /dev/ttyUSB0 but 2 refused or broken answers (2 illegal data address)"
    )
    caplog.clear()
    source.tell_rejected(within="1h")
    assert [record.getMessage() for record in caplog.records] == [
        "boiler: 2 answers refused, broken or missing in the last 1h: 2 illegal data address"
    ]


async def test_missing_answers_are_told_of_a_device_that_is_there_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    instrument = Instrument([{"t": 1}, 10.0, LinkSilent("/dev/ttyUSB0: no answer")])
    instrument.rejected["no answer"] = 3
    _, source = await _observe(instrument, 1)
    caplog.clear()
    source.tell_rejected(within="1h")
    assert [record.getMessage() for record in caplog.records] == [
        "boiler: 3 broken or missing frames in the last 1h: 3 no answer"
    ]
    instrument = Instrument([LinkSilent("/dev/ttyUSB0: no answer")])
    _, source = await _observe(instrument, 1)
    caplog.clear()
    source.rejected["no answer"] += 3
    source.tell_rejected(within="1h")
    assert not caplog.records


async def test_device_that_never_answers_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    silent: list[Step] = [30.0, LinkSilent("/dev/ttyUSB0: no answer")]
    instrument = Instrument([{"t": 1}, *silent], silent, silent, silent, [20.0, {"t": 2}])
    events, _ = await _observe(instrument, 200, stale_after="never")
    assert _story(events)[2:] == [
        "online",
        "1 readings",
        "offline: /dev/ttyUSB0: no answer",
        "online",
        "1 readings",
    ]
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.INFO, logging.WARNING, logging.INFO]


async def test_flood_waits_for_room_and_nothing_of_it_is_lost_when_its_source_is_cancelled() -> None:
    bus = EventBus()
    mailbox = bus.subscribe(Reading, name="test", capacity=8, overflow=Overflow.WAIT)
    options = DriverOptions.model_validate({"driver": "scripted", "port": "/dev/ttyUSB0"})
    instrument = Instrument([{"t": number} for number in range(1000)])
    source = Source("boiler", instrument.driver(), options, bus, loop_clock)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await Supervisor().run([source.child()])
    assert 8 < source.readings <= 8 + STRETCH
    bus.close()
    assert [reading.seq async for reading in mailbox] == list(range(1, source.readings + 1))
