"""The master against pymodbus: another project's Modbus at the other end of a real line."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.driver import Writable
from gateway.clock import system_clock
from gateway.errors import FrameError, LinkSilent, Refused
from gateway.model import Value
from tests.support import modbus_server
from tests.support.modbus_server import COILS, HOLDING, INPUTS, LONELY, SPARE, UNIT, served

pytestmark = pytest.mark.real_time

Registers = dict[str, dict[str, Any]]

MODBUS = drivers.find("modbus")


@asynccontextmanager
async def opened(port: Path, registers: Registers, **options: Any) -> AsyncIterator[Any]:
    given = {"unit": UNIT, "interval": "20ms", "timeout": "2s", **options}
    model = MODBUS.options.model_validate(
        {"driver": "modbus", "port": str(port), "registers": registers, **given}
    )
    async with asyncio.timeout(60), MODBUS.open("pump", model, system_clock) as device:
        yield device


async def first_values(device: Writable) -> dict[str, Value]:
    async with aclosing(device.readings()) as readings:  # type: ignore[type-var]
        return dict((await anext(readings)).values)


def register_of(kind: str, address: int, value: Value) -> dict[str, Any]:
    register: dict[str, Any] = {"address": address, "type": kind}
    return register | {"length": len(value)} if isinstance(value, str) else register


EVERYTHING = {kind: register_of(kind, address, value) for address, (kind, value, _) in HOLDING.items()}


@pytest.mark.parametrize("max_registers", [125, 9, 5])
async def test_every_type_is_read_as_it_was_put_there(tmp_path: Path, max_registers: int) -> None:
    async with (
        served(tmp_path) as line,
        opened(line.path, EVERYTHING, max_registers=max_registers) as device,
    ):
        assert await first_values(device) == {kind: value for kind, value, _ in HOLDING.values()}
        assert not device.rejected


async def test_protocol_names_are_the_raw_registers(tmp_path: Path) -> None:
    registers = {
        "large": {"address": 4, "type": "uint32", "scale": 0.1},
        "on": {"table": "coil", "address": 2},
    }
    async with served(tmp_path) as line, opened(line.path, registers, names="protocol") as device:
        high, low = struct.unpack(">HH", struct.pack(">I", HOLDING[4][1]))
        assert await first_values(device) == {"hr4": high, "hr5": low, "co2": True}


async def test_coils_and_discrete_inputs_are_read_bit_by_bit(tmp_path: Path) -> None:
    registers = {f"co{at}": {"table": "coil", "address": at} for at in range(10)} | {
        f"di{at}": {"table": "discrete", "address": at} for at in (0, 2, 9)
    }
    async with served(tmp_path) as line, opened(line.path, registers, max_gap=1) as device:
        values = await first_values(device)
    assert [values[f"co{at}"] for at in range(10)] == COILS
    assert [values[f"di{at}"] for at in (0, 2, 9)] == [COILS[0], COILS[2], COILS[9]]


async def test_more_registers_than_a_request_may_ask_for_are_read_in_several(tmp_path: Path) -> None:
    registers = {f"ir{at}": {"table": "input", "address": at} for at in range(len(INPUTS))}
    async with served(tmp_path) as line, opened(line.path, registers) as device:
        assert [*(await first_values(device)).values()] == INPUTS


async def test_one_register_that_is_not_there_costs_itself_only(tmp_path: Path) -> None:
    registers = {f"r{at}": {"address": at} for at in (*range(SPARE, SPARE + 20), *LONELY, 101)}
    async with (
        served(tmp_path) as line,
        opened(line.path, registers, max_gap=50) as device,
        aclosing(device.readings()) as readings,
    ):
        for round_ in (1, 2, 3):
            values = (await anext(readings)).values
            assert values.keys() == registers.keys() - {"r101"}
            assert (values["r100"], values["r102"]) == LONELY
            assert device.rejected == {"illegal data address": round_}


async def test_device_that_has_nothing_of_what_is_asked_is_refused_by_name(tmp_path: Path) -> None:
    async with served(tmp_path) as line, opened(line.path, {"r": {"address": 9999}}) as device:
        async with aclosing(device.readings()) as readings:
            reading = asyncio.create_task(anext(readings))
            while device.rejected["illegal data address"] < 5:
                await asyncio.sleep(0.01)
            reading.cancel()
            await asyncio.wait([reading])
        assert device.rejected.keys() == {"illegal data address"}


async def test_busy_device_is_asked_again_until_it_answers(tmp_path: Path) -> None:
    registers = {"slow": {"address": modbus_server.BUSY_AT_FIRST}}
    async with served(tmp_path) as line, opened(line.path, registers) as device:
        assert await first_values(device) == {"slow": 7}
        assert not device.rejected


async def test_device_that_stays_busy_costs_its_own_registers(tmp_path: Path) -> None:
    registers = {"busy": {"address": modbus_server.ALWAYS_BUSY}, "there": {"address": LONELY[0]}}
    async with served(tmp_path) as line, opened(line.path, registers) as device:
        assert await first_values(device) == {"there": LONELY[0]}
        assert device.rejected == {"device busy": 1}


async def test_unit_that_is_not_on_the_line_is_silent(tmp_path: Path) -> None:
    async with served(tmp_path) as line:
        async with opened(line.path, {"r": {"address": 0}}, unit=99, timeout="100ms") as device:
            with pytest.raises(LinkSilent, match="no answer"):
                await first_values(device)
        async with opened(line.path, {"r": {"address": 0, "type": "int16"}}) as device:
            assert await first_values(device) == {"r": -2}


async def test_noise_before_an_answer_is_passed_over(tmp_path: Path) -> None:
    async with (
        served(tmp_path, spoilt=lambda data: b"\x00\xff\x11" + data) as line,
        opened(line.path, EVERYTHING) as device,
    ):
        assert await first_values(device) == {kind: value for kind, value, _ in HOLDING.values()}


async def test_damaged_answer_costs_its_round(tmp_path: Path) -> None:
    damaged = 0

    def damage(data: bytes) -> bytes:
        nonlocal damaged
        if damaged or not data:
            return data
        damaged += 1
        return data[:-1] + bytes([data[-1] ^ 1])

    registers = {"r": {"address": 0, "type": "int16"}}
    async with (
        served(tmp_path, spoilt=damage) as line,
        opened(line.path, registers, timeout="300ms") as device,
    ):
        assert await first_values(device) == {"r": -2}
        assert device.rejected.total() == 1
        assert device.rejected.keys() <= {"checksum", "cut"}


async def test_two_devices_of_one_line_are_asked_in_turn(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as line,
        opened(line.path, {"a": {"address": 100}}) as one,
        opened(line.path, {"b": {"address": 102}}) as other,
    ):
        both = await asyncio.gather(first_values(one), first_values(other))
        assert [*both] == [{"a": 100}, {"b": 102}]
        assert not one.rejected
        assert not other.rejected


async def test_registers_have_intervals_of_their_own(tmp_path: Path) -> None:
    registers: Registers = {"often": {"address": 100}, "seldom": {"address": 102, "interval": "1h"}}
    async with (
        served(tmp_path) as line,
        opened(line.path, registers) as device,
        aclosing(device.readings()) as readings,
    ):
        found = [(await anext(readings)).values.keys() for _ in range(4)]
    assert found == [{"often", "seldom"}, {"often"}, {"often"}, {"often"}]


# Writes


TARGETS: Registers = {
    "single": {"address": 50},
    "scaled": {"address": 51, "type": "int16", "scale": 0.1, "offset": -5, "min": -20, "max": 30},
    "long": {"address": 52, "type": "int32", "order": "word-swapped"},
    "real": {"address": 54, "type": "float32", "order": "little"},
    "mode": {"address": 56, "enum": {"0": "off", "1": "heat", "2": "cool"}},
    "flag": {"address": 57, "type": "bool"},
    "name": {"address": 58, "type": "string", "length": 5, "choices": ["north", "south"]},
    "coil": {"table": "coil", "address": 1},
}
WRITABLE: Registers = {name: {**register, "writable": True} for name, register in TARGETS.items()}
WRITTEN: dict[str, Value] = {
    "single": 65000,
    "scaled": 21.5,
    "long": -100_000,
    "real": -0.15625,
    "mode": "cool",
    "flag": True,
    "name": "south",
    "coil": True,
}


@pytest.mark.parametrize("multiple", [False, True])
async def test_what_is_written_is_read_back(tmp_path: Path, multiple: bool) -> None:
    async with served(tmp_path) as line, opened(line.path, WRITABLE, write_multiple=multiple) as device:
        before = await first_values(device)
        assert all(before[name] != value for name, value in WRITTEN.items())
        for name, value in WRITTEN.items():
            await device.write(name, value)
        assert await first_values(device) == WRITTEN


async def test_writes_take_turns_with_polling(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as line,
        opened(line.path, WRITABLE, interval="10ms") as device,
        aclosing(device.readings()) as readings,
        asyncio.TaskGroup() as group,
    ):
        for value in range(20):
            group.create_task(device.write("single", value))
        seen = set()
        while 19 not in seen:
            seen.add((await anext(readings)).values["single"])
        assert not device.rejected


@pytest.mark.parametrize(
    ("metric", "value", "reason"),
    [
        ("height", 1, "height is no register of this device"),
        ("scaled", 31, "30 is the most"),
        ("scaled", "warm", "must be a number"),
        ("single", 65536, "it is no uint16"),
        ("single", -1, "it is no uint16"),
        ("real", 1e39, "it is no float32"),
        ("mode", "dry", 'it may be "off", "heat", "cool"'),
        ("flag", 1, "it may be false, true"),
        ("limited", 9, "the device refuses it: illegal data value"),
        ("absent", 1, "the device refuses it: illegal data address"),
        ("busy", 1, "the device refuses it: device busy"),
    ],
)
async def test_what_cannot_be_written_is_refused_with_the_reason(
    tmp_path: Path, metric: str, value: Value, reason: str
) -> None:
    registers = WRITABLE | {
        "limited": {"address": modbus_server.TOO_LARGE_AT_9, "writable": True},
        "absent": {"address": 9999, "writable": True},
        "busy": {"address": modbus_server.ALWAYS_BUSY, "writable": True},
    }
    async with served(tmp_path) as line, opened(line.path, registers) as device:
        with pytest.raises(Refused, match=reason):
            await device.write(metric, value)


async def test_write_that_nobody_confirms_is_no_success(tmp_path: Path) -> None:
    async with served(tmp_path, spoilt=lambda data: data[:3]) as line:
        async with opened(line.path, WRITABLE, timeout="200ms") as device:
            with pytest.raises(FrameError, match="cut"):
                await device.write("single", 1)
        async with opened(line.path, WRITABLE, unit=99, timeout="100ms") as device:
            with pytest.raises(LinkSilent):
                await device.write("single", 1)
