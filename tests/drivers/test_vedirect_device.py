"""Commands and questions on a line on which the charger talks by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.instrument import PtyInstrument
from drivers.vedirect import DRIVER, Options
from drivers.vedirect.codec import hex_frame
from drivers.vedirect.device import Talker
from drivers.vedirect.simulator import SolarCharger
from gateway.clock import system_clock
from gateway.errors import FrameError, LinkLost, LinkSilent, Refused
from gateway.model import Reading, Value

pytestmark = pytest.mark.real_time

Answer = Callable[[bytes], bytes]


class Charger:
    """A simulated one at the other end of a pty, and the readings that came from it."""

    def __init__(self, instrument: PtyInstrument, device: Talker) -> None:
        self.instrument = instrument
        self.device = device
        self.readings: list[Mapping[str, Value]] = []
        self._came = asyncio.Event()

    async def listen(self) -> None:
        async for reading in self.device.readings():
            self._keep(reading)

    def _keep(self, reading: Reading) -> None:
        self.readings.append(reading.values)
        self._came.set()

    async def until(self, wanted: Callable[[Mapping[str, Value]], bool]) -> None:
        while not any(map(wanted, self.readings)):
            self._came.clear()
            await self._came.wait()


@asynccontextmanager
async def charger(folder: Path, answer: Answer | None = None, **options: Any) -> AsyncIterator[Charger]:
    simulated = SolarCharger(1)
    with PtyInstrument.plugged_in(folder / "line") as instrument:

        async def talk() -> None:
            while True:
                await instrument.say(simulated.telegram())
                await asyncio.sleep(0.002)

        async def reply() -> None:
            while heard := await instrument.hear():
                await instrument.say((answer or simulated.answer)(heard))

        settings = Options(driver="vedirect", port=str(instrument.path), **options)
        async with asyncio.timeout(20), DRIVER.open("solar", settings, system_clock) as device:
            assert isinstance(device, Talker)
            each = Charger(instrument, device)
            tasks = [asyncio.create_task(work()) for work in (talk, reply, each.listen)]
            try:
                yield each
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)


async def test_command_is_done_once_the_instrument_has_said_yes(tmp_path: Path) -> None:
    async with charger(tmp_path) as solar:
        await solar.until(lambda values: values.get("charge_state") == "bulk")
        await solar.device.write("device_mode", "off")
        await solar.until(lambda values: values.get("off_reason") == "device mode")
        await solar.until(lambda values: values.get("device_mode") == "off")
        await solar.device.write("load_mode", "off")
        await solar.until(lambda values: values.get("load") is False)
        await solar.device.write("network_current_limit", 12.5)
        await solar.until(lambda values: values.get("network_current_limit") == 12.5)


async def test_commands_wait_for_each_other(tmp_path: Path) -> None:
    async with charger(tmp_path) as solar:
        await asyncio.gather(*(solar.device.write("float_voltage", volts) for volts in (13.5, 13.6, 13.7)))
        await solar.until(lambda values: values.get("float_voltage") == 13.7)


@pytest.mark.parametrize(
    ("metric", "value", "reason"),
    [
        ("relay", True, "relay: it has no such register"),
        ("device_mode", "eco", "device_mode: it does not take that value"),
        ("device_mode", "fast", 'device_mode cannot be "fast"'),
        ("float_voltage", 500, "80 is the most"),
        ("float_voltage", "high", "must be a number"),
        ("battery_voltage", 12.0, "battery_voltage cannot be set: absorption_voltage, "),
        ("nonsense", 1, "nonsense cannot be set"),
    ],
)
async def test_refused_command_says_why(tmp_path: Path, metric: str, value: Value, reason: str) -> None:
    async with charger(tmp_path) as solar:
        with pytest.raises(Refused, match=reason):
            await solar.device.write(metric, value)


async def test_protocols_names_take_the_registers_own_numbers(tmp_path: Path) -> None:
    async with charger(tmp_path, names="protocol") as solar:
        await solar.device.write("0xEDF6", 1365)
        await solar.until(lambda values: values.get("0xEDF6") == 1365)
        for metric, value, reason in [
            ("0xEDF6", 70_000, "the register has 16 bits"),
            ("0xEDF6", 13.6, "must be a whole number"),
            ("0xEDD5", 1365, "0xEDD5 cannot be set: 0x0200"),
            ("0xEDAB", -1, "the register has 8 bits"),
        ]:
            with pytest.raises(Refused, match=reason):
                await solar.device.write(metric, value)


@pytest.mark.parametrize(
    ("said", "error", "reason"),
    [
        (hex_frame("3", b"\x08"), Refused, "does not know the command"),
        (hex_frame("4", b"\xaa\xaa"), FrameError, "damaged"),
        (hex_frame("8", bytes.fromhex("f6ed02")), Refused, "it does not support that"),
        (hex_frame("8", bytes.fromhex("f6ed40")), Refused, "refused with flags 0x40"),
        (b"", LinkSilent, "line: no answer to a command"),
        (hex_frame("8", bytes.fromhex("f7ed00a005")), LinkSilent, "no answer to a command"),
    ],
)
async def test_answer_that_is_no_yes_is_an_error(
    tmp_path: Path, said: bytes, error: type[Exception], reason: str
) -> None:
    async with charger(tmp_path, lambda _: said, timeout="300ms") as solar:
        with pytest.raises(error, match=reason):
            await solar.device.write("float_voltage", 13.6)


async def test_command_fails_when_the_instrument_goes_away(tmp_path: Path) -> None:
    async with charger(tmp_path, lambda _: b"", timeout="60s") as solar:
        await solar.until(lambda values: "battery_voltage" in values)
        command = asyncio.create_task(solar.device.write("float_voltage", 13.6))
        await asyncio.sleep(0.05)
        solar.instrument.unplug()
        with pytest.raises(LinkSilent, match="went away before it answered"):
            await command
        with pytest.raises(LinkLost):
            await solar.device.write("float_voltage", 13.6)


async def test_registers_are_asked_for_in_turn(tmp_path: Path) -> None:
    async with charger(
        tmp_path, registers=("charger_temperature", "0xEDF7", "0x010B"), interval="1s"
    ) as solar:
        await solar.until(lambda values: values.get("charger_temperature") == 29.2)
        await solar.until(lambda values: values.get("absorption_voltage") == 14.4)
        await solar.until(lambda values: values.get("model") == "SmartSolar Charger MPPT 100/30")
        await solar.until(lambda values: "battery_voltage" in values)


async def test_register_that_the_instrument_does_not_have_is_counted(tmp_path: Path) -> None:
    async with charger(tmp_path, registers=("relay",), interval="1s") as solar:
        while not solar.device.dropped:
            await asyncio.sleep(0.01)
        assert solar.device.dropped == {"register refused": 1}
        assert not solar.device.rejected


def test_simulated_charger_answers_as_the_protocol_says() -> None:
    solar = SolarCharger()
    assert solar.answer(b":154\n") == b":56141AE\n"
    assert solar.answer(b":451\n") == b":156A05E\n"
    assert solar.answer(b":7F7ED") == b""
    assert solar.answer(b"006A\n") == b":7F7ED00A005C5\n"
    assert solar.answer(b":7F7ED006B\n") == b":4AAAAFD\n"
    assert solar.answer(hex_frame("6")) == hex_frame("3", b"\x06")
    assert solar.answer(hex_frame("8", bytes.fromhex("d5ed000000"))) == hex_frame(
        "8", bytes.fromhex("d5ed020000")
    )
