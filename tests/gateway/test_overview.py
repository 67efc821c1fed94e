"""The gateway as it is now: of real sources, journals and brokers."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

import drivers
from drivers.driver import DriverOptions
from gateway.bus import EventBus
from gateway.config import Config
from gateway.errors import LinkAbsent, LinkLost, Refused
from gateway.filters.filter import MOST_METRICS
from gateway.model import Reading, Stamp
from gateway.overview import MOST_DEVICES, SAMPLE_S, SAMPLES, Face, Overview, Trace
from gateway.plan import plan
from gateway.source import Source
from gateway.supervisor import Supervisor
from tests.gateway.test_tallies import delivery
from tests.support.journals import opened
from tests.support.scripted_driver import Instrument, Step, loop_clock


def boiler(**settings: Any) -> DriverOptions:
    options = {"driver": "json", "port": "/dev/ttyUSB0", **settings}
    return drivers.find("json").options.model_validate(options)


@asynccontextmanager
async def seen(instrument: Instrument, options: DriverOptions) -> AsyncIterator[Overview]:
    """Of a gateway with this one device."""
    bus = EventBus()
    source = Source("boiler", instrument.driver(), options, bus, loop_clock)
    config = Config.model_validate({"gateway": {"name": "g"}, "journal": {"path": ":memory:"}})
    async with opened(None) as journal:
        overview = Overview(lambda: config, journal, [source], [delivery(journal)], loop_clock)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(overview.run(bus)),
                group.create_task(Supervisor().run([source.child()])),
            ]
            try:
                yield overview
            finally:
                for task in tasks:
                    task.cancel()


async def told(overview: Overview, **request: Any) -> dict[str, Any]:
    [device] = (await overview.tell(request))["devices"]
    assert isinstance(device, dict)
    return device


async def test_each_metric_is_shown_as_it_was_heard_last() -> None:
    instrument = Instrument([{"t": 21.5, "mode": "heat"}, 1.0, {"t": 22}])
    async with seen(instrument, boiler()) as overview:
        await asyncio.sleep(3)
        device = await told(overview)
        assert (device["state"], device["read"], device["age_s"]) == ("online", 2, 2.0)
    assert {metric["name"]: metric["value"] for metric in device["metrics"]} == {"t": 22, "mode": "heat"}


def test_metric_behind_filters_means_what_the_driver_says_of_the_one_it_was() -> None:
    face = Face()
    face.take(Reading(at=Stamp(0, 0.0), device="air", values={"indoor": 612, "made_up": 1}))
    options = drivers.find("mhz19").options.model_validate(
        {"driver": "mhz19", "port": "/dev/ttyUSB0", "filters": [{"rename": {"co2": "indoor"}}]}
    )
    metrics = face.metrics(options, until=None)
    shown = {metric["name"]: (metric["label"], metric["unit"]) for metric in metrics}
    assert shown == {"indoor": ("Carbon dioxide", "ppm"), "made_up": ("made_up", "")}


async def test_device_that_goes_away_keeps_its_values_and_says_why() -> None:
    instrument = Instrument([{"t": 21.5}, 5.0, LinkLost("unplugged")], *[LinkAbsent("no such device")] * 50)
    async with seen(instrument, boiler()) as overview:
        await asyncio.sleep(SAMPLE_S * 1.5)
        turn = overview.turn
        assert overview.devices(after=turn) == []
        await asyncio.sleep(3)
        [device] = overview.devices(after=turn)
    assert (device["state"], device["reason"]) == ("offline", "no such device")
    assert [metric["value"] for metric in device["metrics"]] == [21.5]


async def test_history_is_told_of_a_few_devices_at_once_however_often_they_are_named() -> None:
    async with seen(Instrument([{"t": 1.0}, 9.0]), boiler()) as overview:
        await asyncio.sleep(2 * SAMPLE_S)
        for names in (None, [f"{n}" for n in range(MOST_DEVICES + 1)]):
            with pytest.raises(Refused, match=r"^history: is of 32 devices at most: name them in devices$"):
                await overview.tell({"devices": names, "history": True})
        assert "history" in (await told(overview, devices=["boiler"] * 1000, history=True))["metrics"][0]


async def test_history_has_a_gap_where_the_device_was_not_online() -> None:
    instrument = Instrument([{"t": 1.0}, SAMPLE_S * 3.5, LinkLost("gone")])
    async with seen(instrument, boiler()) as overview:
        await asyncio.sleep(SAMPLE_S * 5.5)
        [metric] = (await told(overview, devices=["boiler"], history=True))["metrics"]
        assert "history" not in (await told(overview))["metrics"][0]
    assert len(metric["history"]) == SAMPLES
    assert metric["history"][-5:] == [1.0, 1.0, 1.0, None, None]


async def test_history_has_a_gap_where_a_number_was_a_text() -> None:
    instrument = Instrument([{"t": 1.0}, SAMPLE_S * SAMPLES - 1, {"t": "fault"}, SAMPLE_S * 2, {"t": 2.0}])
    async with seen(instrument, boiler()) as overview:
        await asyncio.sleep(SAMPLE_S * (SAMPLES + 2.25))
        [metric] = (await told(overview, devices=["boiler"], history=True))["metrics"]
    assert metric["history"][-4:] == [1.0, None, None, 2.0]


@pytest.mark.parametrize(
    ("further", "left"),
    [
        ({"filters": [{"rename": {"t": "temperature"}}]}, []),
        ({"port": "/dev/ttyUSB1"}, []),
        ({"stale_after": "1h"}, ["t"]),
    ],
)
async def test_what_was_heard_in_another_way_is_not_shown_after_a_reload(
    further: dict[str, Any], left: list[str]
) -> None:
    before, after = (
        Config.model_validate({"gateway": {"name": "g"}, "devices": {"boiler": boiler(**settings)}})
        for settings in ({}, further)
    )
    async with seen(Instrument([{"t": 21.5}]), boiler()) as overview:
        await asyncio.sleep(1)
        overview.change(plan(before, after))
        assert [metric["name"] for metric in (await told(overview))["metrics"]] == left


async def test_names_that_no_json_can_hold_are_told_as_they_are_published() -> None:
    async with seen(Instrument([{"\ud800": 1.0}]), boiler()) as overview:
        await asyncio.sleep(SAMPLE_S * 1.5)
        device = await told(overview, devices=["boiler"], history=True)
    [metric] = orjson.loads(orjson.dumps(device))["metrics"]
    assert (metric["name"], metric["label"], metric["history"][-1]) == ("?", "?", 1.0)


async def test_rate_is_that_of_the_last_seconds() -> None:
    second: list[Step] = [{"t": 1.0}, 0.5, {"t": 1.0}, 0.5]
    instrument = Instrument(second * 30)
    async with seen(instrument, boiler()) as overview:
        await asyncio.sleep(20.1)
        assert (await told(overview))["rate"] == pytest.approx(2.0, abs=0.2)
        await asyncio.sleep(40)
        assert (await told(overview))["rate"] == 0


async def test_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    async with seen(Instrument(), boiler()) as overview:
        with pytest.raises(Refused, match="no such device; there are boiler"):
            await overview.tell({"devices": ["boilr"]})


def test_instrument_that_makes_up_names_does_not_fill_the_memory() -> None:
    face = Face()
    for number in range(MOST_METRICS + 10):
        face.take(Reading(at=Stamp(0, 0.0), device="boiler", values={f"m{number}": number}))
    assert len(face.values) == MOST_METRICS
    assert "m0" not in face.values
    face.take(
        Reading(at=Stamp(0, 0.0), device="boiler", values={f"n{number}": 1 for number in range(10_000)})
    )
    assert [*face.values] == [f"n{number}" for number in range(10_000 - MOST_METRICS, 10_000)]


def test_trace_holds_the_last_samples_in_order_and_knows_what_is_missing() -> None:
    trace = Trace()
    for at in range(1, SAMPLES + 3):
        trace.note(at, math.nan if at == SAMPLES else at)
    assert trace.until(SAMPLES + 2) == [*map(float, range(3, SAMPLES)), None, SAMPLES + 1.0, SAMPLES + 2.0]
