"""What is set on devices: simulated instruments on real terminals, several values and several callers at once."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest

import drivers
from drivers.driver import Answering
from drivers.instrument import PtyInstrument
from drivers.modbus.simulator import EnergyMeter
from drivers.scpi.simulator import Supply
from gateway import switchboard
from gateway.bus import EventBus, Overflow
from gateway.clock import system_clock
from gateway.devices import Devices
from gateway.errors import Refused
from gateway.model import Reading
from gateway.switchboard import LONGEST_TEXT, MOST_VALUES, MOST_WAITING, Switchboard

pytestmark = pytest.mark.real_time

PATIENCE_S = 20

METER = {
    "driver": "modbus", "interval": "10ms", "timeout": "5s",
    "registers": {
        "power": {"table": "input", "address": 0x0C, "type": "float32"},
        "pulse": {"address": 0x0C, "type": "float32", "writable": True, "choices": [60, 100, 200]},
        "other": {"address": 0x30, "type": "float32", "writable": True},
    },
}  # fmt: skip
SUPPLY = {
    "driver": "scpi", "interval": "10ms", "timeout": "5s", "error_query": "SYST:ERR?",
    "queries": [{"name": "volts", "query": "SOUR1:VOLT?"}],
    "commands": {
        "volts": {"send": "SOUR1:VOLT {value:.3f}", "confirm": "SOUR1:VOLT?", "minimum": 0, "maximum": 40},
        "amps": {"send": "SOUR1:CURR {value:.3f}", "minimum": 0, "maximum": 3},
        "on": {"send": "OUTP1:STAT {value}", "names": {"ON": True, "OFF": False}},
    },
}  # fmt: skip


class Site:
    def __init__(self, devices: Devices, bus: EventBus) -> None:
        self.board = Switchboard(devices)
        self.devices = devices
        self._readings = bus.subscribe(Reading, name="test", capacity=10_000, overflow=Overflow.DROP_OLDEST)

    async def set_(self, device: str, **values: Any) -> Mapping[str, Any]:
        return await self.board.set_({"device": device, "values": values})

    async def seen(self, device: str, **values: Any) -> None:
        async for each in self._readings:
            if each.device == device and all(each.values.get(key) == value for key, value in values.items()):
                return

    def __enter__(self) -> Self:
        self._readings.__enter__()
        return self

    def __exit__(self, *how: object) -> None:
        self._readings.__exit__(*how)


@asynccontextmanager
async def site(folder: Path, **instruments: tuple[Answering, dict[str, Any]]) -> AsyncIterator[Site]:
    bus, lines, options = EventBus(), {}, {}
    for name, (_, table) in instruments.items():
        lines[name] = PtyInstrument(folder / name)
        model = drivers.find(table["driver"]).options
        options[name] = model.model_validate({"port": str(lines[name].path), "retry_max": "100ms", **table})
    devices = Devices(options, bus, system_clock, last_seq=lambda _: 0)
    with ExitStack() as stack, Site(devices, bus) as made:
        for line in lines.values():
            stack.callback(line.unplug)
            line.plug_in()
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            tasks = [group.create_task(lines[name].serve(each)) for name, (each, _) in instruments.items()]
            tasks.append(group.create_task(devices.run()))
            for name in instruments:
                await made.seen(name)
            yield made
            for task in tasks:
                task.cancel()


class Noted(Supply):
    """Remembers what it was told to do."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def _do(self, line: str) -> None:
        self.told.append(line)
        super()._do(line)


class Forgetful(EnergyMeter):
    """Answers questions, and no commands."""

    def answer(self, heard: bytes) -> bytes:
        return b"" if heard[1] == 16 else super().answer(heard)


async def test_values_of_one_message_are_set_in_its_order_and_seen_as_the_next_reading(
    tmp_path: Path,
) -> None:
    supply = Noted()
    async with site(tmp_path, supply=(supply, SUPPLY)) as plant:
        wanted = {"on": False, "volts": 7.5, "amps": 1}
        assert await plant.set_("supply", **wanted) == {"device": "supply", "set": wanted}
        await plant.seen("supply", volts=7.5)
    assert supply.told == ["OUTP1:STAT OFF", "SOUR1:VOLT 7.500", "SOUR1:CURR 1.000"]


async def test_nothing_is_set_unless_all_of_it_can_be(tmp_path: Path) -> None:
    supply = Noted()
    async with site(tmp_path, supply=(supply, SUPPLY)) as plant:
        answer = await plant.set_("supply", volts=41, on=True, amp=1)
        assert answer == {
            "status": "error",
            "error": 'volts cannot be 41: 40 is the most; amp cannot be set: did you mean "amps"?; not tried: on',
            "device": "supply", "set": {},
            "refused": {
                "volts": "volts cannot be 41: 40 is the most",
                "amp": 'amp cannot be set: did you mean "amps"?',
            },
            "uncertain": {}, "left": ["on"],
        }  # fmt: skip
    assert supply.told == []


async def test_what_the_configuration_does_not_name_is_not_set(tmp_path: Path) -> None:
    supply = Noted()
    async with site(tmp_path, supply=(supply, SUPPLY)) as plant:
        request = {"device": "supply", "values": {"volts": 5, "on": True}}
        answer = await plant.board.set_(request, may_set=lambda *which: which == ("supply", "volts"))
        assert answer["refused"] == {"on": "supply.on is not in [control] set of the gateway's configuration"}
    assert supply.told == []


async def test_who_may_set_nothing_does_not_get_as_far_as_the_value(tmp_path: Path) -> None:
    options = drivers.find("scpi").options.model_validate({"port": str(tmp_path / "nowhere"), **SUPPLY})
    devices = Devices({"supply": options}, EventBus(), system_clock, last_seq=lambda _: 0)
    request = {"device": "supply", "values": {"volts": 41, "on": "maybe"}}
    answer = await Switchboard(devices).set_(request, may_set=lambda _device, _metric: False)
    assert answer["refused"] == {
        metric: f"supply.{metric} is not in [control] set of the gateway's configuration"
        for metric in ("volts", "on")
    }


async def test_instrument_that_says_no_ends_the_message(tmp_path: Path) -> None:
    supply = Noted()
    async with site(tmp_path, supply=(supply, SUPPLY)) as plant:
        answer = await plant.set_("supply", amps=1, volts=35, on=True)
        assert (answer["set"], [*answer["refused"]], answer["left"]) == ({"amps": 1}, ["volts"], ["on"])
        assert "Data out of range" in answer["refused"]["volts"]
        assert answer["error"].endswith("; not tried: on; set before that: amps")
    assert supply.told == ["SOUR1:CURR 1.000", "SOUR1:VOLT 35.000"]


async def test_device_that_does_not_answer_leaves_it_uncertain_and_holds_up_no_other(tmp_path: Path) -> None:
    meter = METER | {"timeout": "2s"}
    async with site(tmp_path, meter=(Forgetful(1), meter), supply=(Supply(), SUPPLY)) as plant:
        setting = asyncio.create_task(plant.set_("meter", pulse=60, other=1))
        await asyncio.sleep(0)
        for volts in range(5):
            assert (await plant.set_("supply", volts=volts))["set"] == {"volts": volts}
        assert not setting.done()
        answer = await setting
        assert (answer["set"], answer["refused"], answer["left"]) == ({}, {}, ["other"])
        assert answer["uncertain"]["pulse"].startswith("pulse: ")
        assert "no answer" in answer["error"]
        assert "it may be set, or not; not tried: other" in answer["error"]


async def test_messages_to_one_device_do_not_mingle(tmp_path: Path) -> None:
    supply = Noted()
    async with site(tmp_path, supply=(supply, SUPPLY)) as plant:
        answers = await asyncio.gather(*(plant.set_("supply", volts=n, amps=n / 10) for n in range(5)))
        assert [each["set"] for each in answers] == [{"volts": n, "amps": n / 10} for n in range(5)]
        await plant.seen("supply", volts=4)
    assert supply.told == [
        line for n in range(5) for line in (f"SOUR1:VOLT {n:.3f}", f"SOUR1:CURR {n / 10:.3f}")
    ]


async def test_port_that_is_not_open_refuses_at_once_with_the_reason(tmp_path: Path) -> None:
    options = drivers.find("scpi").options.model_validate({"port": str(tmp_path / "nowhere"), **SUPPLY})
    devices = Devices({"supply": options}, EventBus(), system_clock, last_seq=lambda _: 0)
    answer = await Switchboard(devices).set_({"device": "supply", "values": {"volts": 5, "on": True}})
    assert answer["refused"] == {"volts": "volts cannot be set now: the port was not opened yet"}
    assert answer["left"] == ["on"]


async def test_filters_are_heeded(tmp_path: Path) -> None:
    table = SUPPLY | {"filters": [{"rename": {"volts": "limit"}}, {"scale": 2, "metric": "amps"}]}
    async with site(tmp_path, supply=(Supply(), table)) as plant:
        assert (await plant.set_("supply", limit=7.5))["set"] == {"limit": 7.5}
        await plant.seen("supply", limit=7.5)
        assert (await plant.set_("supply", volts=7.5, amps=1))["refused"] == {
            "volts": "volts cannot be set: it is called limit; known are amps, on, limit",
            "amps": "amps cannot be set: what is seen of it is made by the filter scale",
        }


async def test_few_wait_for_one_device_and_who_comes_then_is_told_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "LONGEST_WRITE_S", 0.2)
    meter = METER | {"timeout": "60s"}
    async with site(tmp_path, meter=(Forgetful(1), meter), supply=(Supply(), SUPPLY)) as plant:
        waiting = [asyncio.create_task(plant.set_("meter", pulse=60)) for _ in range(1 + MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await plant.set_("meter", pulse=60)
        assert str(refused.value) == (
            "meter is slow: 4 other requests wait already to set it: nothing was set, try again later"
        )
        assert not any(each.done() for each in waiting)
        assert (await plant.set_("supply", volts=5))["set"] == {"volts": 5}
        waiting[-1].cancel()  # who asked has gone
        await asyncio.sleep(0)
        waiting[-1] = asyncio.create_task(plant.set_("meter", pulse=60))
        for answer in await asyncio.gather(*waiting):
            assert answer["uncertain"] == {"pulse": "pulse: not done after 200ms"}
        assert (await plant.set_("meter", pulse=60))["uncertain"], "its turn comes again"


VALUES_IS_MISSING = 'values is missing: {"values": {"<metric>": <value>}}, as in a reading'


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"device": "supply", "volts": 5}, VALUES_IS_MISSING),
        ({"device": "supply", "values": {}}, "values: must not be empty"),
        ({"device": "supply", "values": [1]}, "values: must be an object"),
        ({"device": "supply", "values": {"volts": None}}, "values.volts: must be a number, a text, true or false"),
        ({"device": "supply", "values": {"volts": {"a": 1}}}, "values.volts: must be a number, a text, true or false"),
        (
            {"device": "supply", "values": {"on": "x" * (LONGEST_TEXT + 1)}},
            "values.on: must not be longer than 256 characters",
        ),
        ({"device": "supply", "values": {"volts": 5}, "now": True}, "now: unknown key"),
        ({"values": {"volts": 5}}, "device: is missing"),
        ({"device": "suply", "values": {"volts": 5}}, 'there is no device suply: did you mean "supply"?'),
        (
            {"device": "supply", "values": {f"m{n}": n for n in range(MOST_VALUES + 1)}},
            "values: must not hold more than 64",
        ),
    ],
)  # fmt: skip
async def test_message_that_says_something_else_is_refused(
    tmp_path: Path, request_: dict[str, Any], why: str
) -> None:
    options = drivers.find("scpi").options.model_validate({"port": str(tmp_path / "nowhere"), **SUPPLY})
    devices = Devices({"supply": options}, EventBus(), system_clock, last_seq=lambda _: 0)
    with pytest.raises(Refused) as refused:
        await Switchboard(devices).set_(request_)
    assert str(refused.value) == why


async def test_device_that_never_comes_to_an_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "LONGEST_WRITE_S", 0.2)
    async with site(tmp_path, meter=(Forgetful(1), METER | {"timeout": "60s"})) as plant:
        answer = await plant.set_("meter", pulse=60)
        assert answer["uncertain"] == {"pulse": "pulse: not done after 200ms"}


async def test_device_that_is_restarted_counts_on_and_what_is_being_set_is_told_so(tmp_path: Path) -> None:
    async with site(tmp_path, meter=(Forgetful(1), METER | {"timeout": "60s"})) as plant:
        [before] = plant.devices
        setting = asyncio.create_task(plant.set_("meter", pulse=60))
        await asyncio.sleep(0.05)
        seq = before.seq
        assert await plant.devices.restart("meter") == str(tmp_path / "meter")
        [after] = plant.devices
        assert after is not before
        assert after.seq >= seq > 0
        assert (await setting)["uncertain"] == {
            "pulse": f"pulse: {tmp_path}/meter: shut while pulse was being set"
        }
        with pytest.raises(Refused, match=r"^there is no device gps; known are meter$"):
            await plant.devices.restart("gps")
