"""Meters that are asked, on real pseudo-terminals whose speed the meter watches."""

import asyncio
import fcntl
import os
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import drivers
from drivers.d0.simulator import Meter, readout
from drivers.instrument import PtyInstrument
from drivers.port import SerialPort
from gateway.clock import system_clock
from gateway.config import driver_options
from gateway.errors import LinkError, LinkLost
from gateway.model import Value

pytestmark = pytest.mark.real_time

PATIENCE_S = 20.0
READOUT = readout(["1.8.0(0008048.375*kWh)"])
VALUES = {"energy_import": 8048.375}


def speed_of(terminal: Path) -> int:
    tcgets2 = 0x802C542A
    descriptor = os.open(terminal, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        found = fcntl.ioctl(descriptor, tcgets2, bytes(44))
    finally:
        os.close(descriptor)
    (speed,) = struct.unpack_from("=I", found, 40)
    return int(speed)


class Step(NamedTuple):
    """The meter waits for these words, and says those at that speed."""

    heard: bytes
    says: bytes
    speed: int


class WatchfulMeter:
    """It follows its steps again and again; whoever listens at another speed hears rubbish.

    Who signs on anew, as its acknowledgement came too late or not at all, begins anew.
    """

    def __init__(self, line: PtyInstrument, steps: list[Step]) -> None:
        self._line = line
        self._steps = steps

    async def serve(self) -> None:
        number = 0
        while True:
            first, step, heard = self._steps[0], self._steps[number], b""
            while not heard.endswith((step.heard, first.heard)):
                heard += await self._line.hear()
            if not heard.endswith(step.heard):
                number, step = 0, first
            await self._say(step)
            number = (number + 1) % len(self._steps)

    async def _say(self, step: Step) -> None:
        for _ in range(40):
            if speed_of(self._line.path) == step.speed:
                # A meter pauses; and our side empties its buffers when it changes the speed.
                await asyncio.sleep(0.1)
                await self._line.say(step.says)
                return
            await asyncio.sleep(0.01)
        await self._line.say(bytes(byte ^ 0x55 for byte in step.says))


@asynccontextmanager
async def asked(folder: Path, steps: list[Step], **options: str) -> AsyncIterator[AsyncIterator[Any]]:
    """A device that asks such a meter."""
    with PtyInstrument.plugged_in(folder / "head") as line:
        serving = asyncio.create_task(WatchfulMeter(line, steps).serve())
        settings = options_for(line.path, options)
        try:
            async with (
                asyncio.timeout(PATIENCE_S),
                drivers.find("d0").open("meter", settings, system_clock) as device,
                aclosing(device.readings()) as readings,  # type: ignore[type-var]
            ):
                yield readings
        finally:
            serving.cancel()
            await asyncio.wait([serving])
            if not serving.cancelled():
                serving.result()


def options_for(port: Path, options: Mapping[str, str]) -> Any:
    return driver_options("d0", {"port": str(port), "interval": "10ms", "timeout": "3s", **options})


def sign_on(first_line: bytes) -> Step:
    return Step(b"/?!\r\n", first_line, 300)


async def read_twice(folder: Path, steps: list[Step], **options: str) -> list[Mapping[str, Value]]:
    """The second time shows that the speed has gone back."""
    async with asked(folder, steps, **options) as readings:
        return [(await anext(readings)).values for _ in range(2)]


@pytest.mark.parametrize(
    ("character", "speed"),
    [(b"0", 300), (b"1", 600), (b"2", 1200), (b"3", 2400), (b"4", 4800), (b"5", 9600), (b"6", 19_200)],
)
async def test_meter_of_mode_c_is_acknowledged_with_its_speed(
    tmp_path: Path, character: bytes, speed: int
) -> None:
    steps = [
        sign_on(b"/ISk%bMT174-0001\r\n" % character),
        Step(b"\x060%b0\r\n" % character, READOUT, speed),
    ]
    assert await read_twice(tmp_path, steps) == [VALUES] * 2


async def test_meter_of_mode_e_is_read_as_in_mode_c(tmp_path: Path) -> None:
    steps = [sign_on(b"/ELS5\\@V9.30\r\n"), Step(b"\x06050\r\n", b"\x06\r\n" + READOUT, 9600)]
    assert await read_twice(tmp_path, steps) == [VALUES] * 2


async def test_speed_goes_back_when_its_change_fails_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SerialPort.set_baudrate

    async def half(port: SerialPort, baudrate: int) -> None:
        await whole(port, baudrate)
        if baudrate != 300:
            raise LinkError("head: pulled off")

    monkeypatch.setattr(SerialPort, "set_baudrate", half)
    steps = [sign_on(b"/ISk5MT174\r\n"), Step(b"\x06050\r\n", READOUT, 9600)]
    async with asked(tmp_path, steps) as readings:
        with pytest.raises(LinkError, match="pulled off"):
            await anext(readings)
        assert speed_of(tmp_path / "head") == 300


async def test_slower_speed_is_agreed_to_where_that_is_wished(tmp_path: Path) -> None:
    steps = [sign_on(b"/ISk5MT174\r\n"), Step(b"\x06030\r\n", READOUT, 2400)]
    assert await read_twice(tmp_path, steps, fastest="2400") == [VALUES] * 2


@pytest.mark.parametrize(("character", "speed"), [(b"A", 600), (b"C", 2400), (b"E", 9600), (b"F", 19_200)])
async def test_meter_of_mode_b_changes_its_speed_without_being_told(
    tmp_path: Path, character: bytes, speed: int
) -> None:
    steps = [sign_on(b"/SIE%bMT174\r\n" % character), Step(b"", READOUT, speed)]
    assert await read_twice(tmp_path, steps) == [VALUES] * 2


async def test_meter_of_mode_a_sends_at_once(tmp_path: Path) -> None:
    assert await read_twice(tmp_path, [sign_on(b"/GASxG4\r\n" + READOUT)]) == [VALUES] * 2


async def test_mode_that_is_told_counts_more_than_the_first_line(tmp_path: Path) -> None:
    assert await read_twice(tmp_path, [sign_on(b"/ITR5EM214\r\n" + READOUT)], mode="A") == [VALUES] * 2


@pytest.mark.parametrize("mode", ["A", "C"])
async def test_readout_without_etx_ends_with_silence(tmp_path: Path, mode: str) -> None:
    short = b"\x021.8.0(0008048.375*kWh)\r\n!\r\n"
    first_line = b"/ACE0\\3k260V01.18\r\n"
    in_mode_c = [sign_on(first_line), Step(b"\x06000\r\n", short, 300)]
    steps = [sign_on(first_line + short)] if mode == "A" else in_mode_c
    assert await read_twice(tmp_path, steps, mode=mode) == [VALUES] * 2


async def test_echo_of_the_head_is_passed_over(tmp_path: Path) -> None:
    steps = [
        Step(b"/?!\r\n", b"/?!\r\n/ISk5MT174\r\n", 300),
        Step(b"\x06050\r\n", b"\x06050\r\n" + READOUT, 9600),
    ]
    assert await read_twice(tmp_path, steps, timeout="10s") == [VALUES] * 2


async def test_address_is_asked_for(tmp_path: Path) -> None:
    steps = [Step(b"/?00123456!\r\n", b"/GASxG4\r\n" + READOUT, 300)]
    assert await read_twice(tmp_path, steps, address="00123456") == [VALUES] * 2


async def test_meter_with_a_battery_is_woken(tmp_path: Path) -> None:
    """Two seconds of zeros at 300 baud are 66 of them."""
    steps = [Step(b"\x00" * 66 + b"/?!\r\n", b"/GASxG4\r\n" + READOUT, 300)]
    async with asked(tmp_path, steps, wake_up="true") as readings:
        assert (await anext(readings)).values == VALUES


async def test_wrong_check_character_costs_the_round(tmp_path: Path) -> None:
    wrong = READOUT.replace(b"375", b"376")
    with PtyInstrument.plugged_in(tmp_path / "head") as line:
        steps = [sign_on(b"/GASxG4\r\n" + wrong), sign_on(b"/GASxG4\r\n" + READOUT)]
        serving = asyncio.create_task(WatchfulMeter(line, steps).serve())
        async with (
            asyncio.timeout(PATIENCE_S),
            drivers.find("d0").open("meter", options_for(line.path, {}), system_clock) as device,
            aclosing(device.readings()) as readings,  # type: ignore[type-var]
        ):
            assert (await anext(readings)).values == VALUES
            assert device.rejected == {"checksum": 1}
        serving.cancel()
        await asyncio.wait([serving])


async def test_meter_that_answers_at_another_speed_than_agreed_is_not_understood(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "head") as line:
        steps = [sign_on(b"/ISk5MT174\r\n"), Step(b"\x06050\r\n", READOUT, 4800)]
        serving = asyncio.create_task(WatchfulMeter(line, steps).serve())
        async with (
            asyncio.timeout(PATIENCE_S),
            drivers.find("d0").open(
                "meter", options_for(line.path, {"timeout": "2s"}), system_clock
            ) as device,
            aclosing(device.readings()) as readings,  # type: ignore[type-var]
        ):
            reading = asyncio.ensure_future(anext(readings))
            while not device.rejected:
                await asyncio.sleep(0.01)
            assert device.rejected == {"cut": 1}
            assert not reading.done()
            reading.cancel()
            await asyncio.wait([reading])
        serving.cancel()
        await asyncio.wait([serving])


async def test_two_meters_share_a_line_by_their_addresses(tmp_path: Path) -> None:
    steps = [
        Step(b"/?m1!\r\n", b"/GASxG4\r\n" + READOUT, 300),
        Step(b"/?m2!\r\n", b"/GASxG4\r\n" + readout(["2.8.0(5*kWh)"]), 300),
    ]
    with PtyInstrument.plugged_in(tmp_path / "head") as line:
        serving = asyncio.create_task(WatchfulMeter(line, steps).serve())
        driver = drivers.find("d0")
        async with (
            asyncio.timeout(PATIENCE_S),
            driver.open("one", options_for(line.path, {"address": "m1"}), system_clock) as one,
            driver.open("two", options_for(line.path, {"address": "m2"}), system_clock) as two,
            aclosing(one.readings()) as of_one,  # type: ignore[type-var]
            aclosing(two.readings()) as of_two,  # type: ignore[type-var]
        ):
            first, second = await asyncio.gather(anext(of_one), anext(of_two))
            assert (first.values, second.values) == (VALUES, {"energy_export": 5})
        serving.cancel()
        await asyncio.wait([serving])


async def test_meter_of_mode_d_is_listened_to() -> None:
    pushed = b"/SIE32WR5\r\n6.8(0029.055*MWh)0.0(00010213)!\r\n"

    async def push(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(pushed * 2)
        writer.close()

    async with await asyncio.start_server(push, "127.0.0.1", 0) as server:
        port = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with (
            drivers.find("d0").open(
                "heat", driver_options("d0", {"port": port, "mode": "D"}), system_clock
            ) as device,
            aclosing(device.readings()) as readings,  # type: ignore[type-var]
        ):
            for _ in range(2):
                assert (await anext(readings)).values == {"heat": 29055, "meter_number": "00010213"}
            with pytest.raises(LinkLost):
                await anext(readings)


async def test_speed_behind_a_tcp_port_stays_as_it_is() -> None:
    """The acknowledgement asks the meter to stay, because the far end's speed cannot be changed from here."""
    heard = []

    async def meter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        writer.write(b"/ISk5MT174\r\n")
        heard.append(await reader.readline())
        writer.write(READOUT)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(meter, "127.0.0.1", 0) as server:
        port = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with (
            drivers.find("d0").open("meter", driver_options("d0", {"port": port}), system_clock) as device,
            aclosing(device.readings()) as readings,  # type: ignore[type-var]
        ):
            assert (await anext(readings)).values == VALUES
    assert heard == [b"/?!\r\n", b"\x06000\r\n"]


def test_simulated_meter_answers_to_its_address_only() -> None:
    assert Meter(0).answer(b"/?!\r\n") == Meter(0).answer(b"\0\0/?123456!\r\n") != b""
    assert Meter(0).answer(b"/?999!\r\n") == b""
