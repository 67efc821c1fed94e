"""Commands through a source, to simulated instruments on real terminals."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.driver import Answering
from drivers.instrument import PtyInstrument
from drivers.modbus.simulator import EnergyMeter
from drivers.scpi.simulator import Supply
from gateway.bus import EventBus, Overflow, Subscription
from gateway.clock import system_clock
from gateway.errors import LinkAbsent, LinkError, LinkLost, Refused
from gateway.model import Availability, Reading, Value
from gateway.source import Source
from gateway.supervisor import Supervisor

pytestmark = pytest.mark.real_time

PATIENCE_S = 20

METER = {
    "driver": "modbus", "interval": "10ms", "timeout": "300ms",
    "registers": {
        "power": {"table": "input", "address": 0x0C, "type": "float32"},
        "pulse": {"address": 0x0C, "type": "float32", "writable": True, "choices": [60, 100, 200]},
    },
}  # fmt: skip

SUPPLY = {
    "driver": "scpi", "interval": "10ms", "timeout": "300ms", "error_query": "SYST:ERR?",
    "queries": [{"name": "volts", "query": "SOUR1:VOLT?"}],
    "commands": {"limit": {"send": "SOUR1:VOLT {value:.3f}", "minimum": 0, "maximum": 40}},
}  # fmt: skip


def source(bus: EventBus, name: str, port: Path, table: dict[str, Any]) -> Source:
    driver = drivers.find(table["driver"])
    options = driver.options.model_validate({"port": str(port), "retry_max": "100ms", **table})
    return Source(name, driver, options, bus, system_clock)


class Bench:
    """Some sources, running, and an instrument that answers them."""

    def __init__(self, instrument: PtyInstrument, readings: Subscription[Reading], *sources: Source) -> None:
        self.instrument = instrument
        self.sources = {each.name: each for each in sources}
        self._readings = readings

    async def seen(self, device: str, is_it: Callable[[dict[str, Value]], bool]) -> dict[str, Value]:
        async for reading in self._readings:
            if reading.device == device and is_it(values := dict(reading.values)):
                return values
        raise AssertionError("the bus was closed")


@asynccontextmanager
async def bench(folder: Path, simulated: Answering, **tables: dict[str, Any]) -> AsyncIterator[Bench]:
    bus = EventBus()
    readings = bus.subscribe(Reading, name="test", capacity=10_000, overflow=Overflow.DROP_OLDEST)
    with readings, PtyInstrument.plugged_in(folder / "line") as instrument:
        sources = [source(bus, name, instrument.path, table) for name, table in tables.items()]
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            serving = group.create_task(instrument.serve(simulated))
            running = group.create_task(Supervisor().run([each.child() for each in sources]))
            yield Bench(instrument, readings, *sources)
            running.cancel()
            await asyncio.wait([running])
            serving.cancel()


async def test_command_reaches_a_modbus_device_between_its_questions(tmp_path: Path) -> None:
    async with bench(tmp_path, EnergyMeter(1), meter=METER) as plant:
        meter = plant.sources["meter"]
        await plant.seen("meter", lambda values: values.get("pulse") == 100)
        for round_ in range(10):
            width = (60, 200)[round_ % 2]
            await meter.write("pulse", width)
            await plant.seen("meter", lambda values, width=width: values.get("pulse") == width)  # type: ignore[misc]
        assert meter.tally_rejected() == {}


async def test_commands_to_devices_on_one_line_take_turns_with_all_questions(tmp_path: Path) -> None:
    beside = METER | {"registers": {"volts": {"table": "input", "address": 0, "type": "float32"}}}
    async with bench(tmp_path, EnergyMeter(1), meter=METER, beside=beside) as plant:
        await plant.seen("beside", bool)
        await plant.seen("meter", bool)
        meter = plant.sources["meter"]
        await asyncio.gather(*(meter.write("pulse", 200) for _ in range(20)))
        assert (await plant.seen("meter", lambda values: "pulse" in values))["pulse"]
        await plant.seen("meter", lambda values: values.get("pulse") == 200)
        assert [each.tally_rejected() for each in plant.sources.values()] == [{}, {}]


async def test_instrument_that_says_no_is_asked_and_refuses(tmp_path: Path) -> None:
    async with bench(tmp_path, Supply(), supply=SUPPLY) as plant:
        supply = plant.sources["supply"]
        await plant.seen("supply", bool)
        with pytest.raises(Refused, match="Data out of range"):
            await supply.write("limit", 35)
        await supply.write("limit", 7.5)
        await plant.seen("supply", lambda values: values.get("volts") == 7.5)


@pytest.mark.parametrize(
    ("metric", "value", "refusal"),
    [
        ("limit", 41, "limit cannot be 41: 40 is the most"),
        ("limit", "on", 'limit cannot be "on": it must be a number'),
        ("volts", 5, "volts cannot be set"),
        ("nothing", 5, "nothing cannot be set"),
    ],
)
async def test_what_cannot_be_set_is_refused_even_while_the_port_is_shut(
    tmp_path: Path, metric: str, value: Value, refusal: str
) -> None:
    supply = source(EventBus(), "supply", tmp_path / "nowhere", SUPPLY)
    with pytest.raises(Refused) as refused:
        await supply.write(metric, value)
    assert str(refused.value) == refusal


async def test_device_that_only_talks_takes_no_commands(tmp_path: Path) -> None:
    silent = source(EventBus(), "ardu", tmp_path / "nowhere", {"driver": "json"})
    with pytest.raises(Refused, match=r"^led cannot be set$"):
        await silent.write("led", value=True)


async def test_port_that_is_not_open_is_named_with_the_reason(tmp_path: Path) -> None:
    bus = EventBus()
    supply = source(bus, "supply", tmp_path / "nowhere", SUPPLY)
    with pytest.raises(LinkAbsent, match=r"^limit cannot be set now: the port was not opened yet$"):
        await supply.write("limit", 5)
    running = asyncio.create_task(Supervisor().run([supply.child()]))
    with bus.subscribe(Availability, name="test", capacity=10, overflow=Overflow.WAIT) as told:
        async for each in told:
            if each.port_open is False:
                break
    with pytest.raises(LinkAbsent, match=r"^limit cannot be set now: .*nowhere: no such device"):
        await supply.write("limit", 5)
    running.cancel()
    await asyncio.wait([running])


class Deaf(EnergyMeter):
    """Answers questions, and no commands."""

    commanded = False

    def answer(self, heard: bytes) -> bytes:
        if heard[1] == 16:
            self.commanded = True
            return b""
        return super().answer(heard)


@pytest.mark.parametrize("how", ["unplugged", "stopped"])
async def test_command_ends_with_the_port_that_it_went_to(tmp_path: Path, how: str) -> None:
    simulated = Deaf(1)
    async with bench(tmp_path, simulated, meter=METER | {"timeout": "60s"}) as plant:
        await plant.seen("meter", bool)
        writing = asyncio.create_task(plant.sources["meter"].write("pulse", 60))
        while not simulated.commanded:
            await asyncio.sleep(0.001)
        if how == "unplugged":
            plant.instrument.unplug()
            with pytest.raises(LinkError):
                await writing
    if how == "stopped":
        with pytest.raises(LinkLost, match=r"/line: shut while pulse was being set$"):
            await writing
        with pytest.raises(LinkAbsent, match=r"^pulse cannot be set now: the port has just been shut$"):
            await plant.sources["meter"].write("pulse", 60)


async def test_device_can_be_commanded_again_once_its_port_is_back(tmp_path: Path) -> None:
    bus = EventBus()
    readings = bus.subscribe(Reading, name="test", capacity=1000, overflow=Overflow.DROP_OLDEST)
    with readings, PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        supply = source(bus, "supply", instrument.path, SUPPLY)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            running = group.create_task(Supervisor().run([supply.child()]))
            for volts in (3, 4):
                serving = group.create_task(instrument.serve(Supply()))
                async for _ in readings:
                    break
                await supply.write("limit", volts)
                async for reading in readings:
                    if reading.values["volts"] == volts:
                        break
                instrument.unplug()
                await serving
                with pytest.raises(LinkError):
                    await supply.write("limit", volts)
                instrument.plug_in()
            running.cancel()


SEEN_AS = [
    ([], "limit", "limit"),
    ([{"rename": {"limit": "setpoint"}}], "setpoint", "limit"),
    ([{"rename": {"limit": "a"}}, {"rename": {"a": "b"}}], "b", "limit"),
    ([{"rename": {"limit": "volts", "volts": "limit"}}], "volts", "limit"),
    ([{"keep": ["volts"]}, {"round": 1}, {"mean": 5}], "limit", "limit"),
    ([{"scale": 10, "metric": ["volts"]}], "limit", "limit"),
    ([{"scale": 10, "metric": ["setpoint"]}, {"rename": {"limit": "setpoint"}}], "setpoint", "limit"),
]


@pytest.mark.parametrize(("filters", "name", "meant"), SEEN_AS)
def test_command_names_what_subscribers_see(filters: list[Any], name: str, meant: str) -> None:
    driver = drivers.find("scpi")
    options = driver.options.model_validate({"port": "/dev/null", "filters": filters, **SUPPLY})
    assert driver.meant(options, name, 5) == meant


@pytest.mark.parametrize(
    ("filters", "name", "refusal"),
    [
        ([{"rename": {"limit": "setpoint"}}], "limit", "limit cannot be set: it is called setpoint"),
        ([{"rename": {"limit": "volts", "volts": "limit"}}], "limit", "limit cannot be set"),
        (
            [{"scale": 10}],
            "limit",
            "limit cannot be set: what is seen of it is made by the filter scale",
        ),
        (
            [{"rename": {"limit": "setpoint"}}, {"offset": 1, "metric": "set*"}],
            "setpoint",
            "setpoint cannot be set: what is seen of it is made by the filter offset",
        ),
        (
            [{"calibrate": [[0, 1], [10, 12]]}],
            "limit",
            "limit cannot be set: what is seen of it is made by the filter calibrate",
        ),
    ],
)
def test_command_that_means_another_value_than_is_seen_is_refused(
    filters: list[Any], name: str, refusal: str
) -> None:
    driver = drivers.find("scpi")
    options = driver.options.model_validate({"port": "/dev/null", "filters": filters, **SUPPLY})
    with pytest.raises(Refused) as refused:
        driver.meant(options, name, 5)
    assert str(refused.value) == refusal
