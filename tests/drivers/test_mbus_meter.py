"""The M-Bus master against simulated meters on a line."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import drivers
from drivers.asking import UNANSWERED_AT_MOST
from drivers.driver import Device
from drivers.instrument import PtyInstrument
from drivers.mbus.address import Secondary
from drivers.mbus.link import ACK, long, short
from drivers.mbus.options import Options
from drivers.mbus.simulator import SECONDARY, HeatMeter
from gateway.clock import system_clock
from gateway.errors import LinkSilent
from gateway.model import Reading

WATER = long(0x08, 9, 0x72, bytes.fromhex("21436587 2D2C 08 07 2A 00 0000 03 13 15 31 00"))


class Bus:
    """Instruments on one pair of wires, and what the master said there; `spoil` is what noise does to answers."""

    def __init__(self, *instruments: HeatMeter, spoil: Callable[[int, bytes], bytes] | None = None) -> None:
        self._instruments = instruments
        self._spoil = spoil
        self.heard: list[str] = []

    def answer(self, heard: bytes) -> bytes:
        self.heard.append(heard.hex(" "))
        answer = b"".join(instrument.answer(heard) for instrument in self._instruments)
        return self._spoil(len(self.heard) - 1, answer) if self._spoil else answer


class Script:
    """Says what is written down, one line for each question."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._answers = iter(answers)
        self.heard: list[str] = []

    def answer(self, heard: bytes) -> bytes:
        self.heard.append(heard.hex(" "))
        return next(self._answers, b"")


@asynccontextmanager
async def on_line(folder: Path, bus: Bus | Script, **options: Any) -> AsyncIterator[Device]:
    with PtyInstrument.plugged_in(folder / "line") as instrument:
        serving = asyncio.create_task(instrument.serve(bus))
        try:
            async with (
                asyncio.timeout(20),
                drivers.find("mbus").open("meter", settings(folder, **options), system_clock) as device,
            ):
                yield device
        finally:
            serving.cancel()
            await asyncio.wait([serving])


def settings(folder: Path, **options: Any) -> Options:
    quick = {"interval": "10ms", "timeout": "200ms", "address": 5}
    return Options.model_validate({"driver": "mbus", "port": str(folder / "line")} | quick | options)


async def read(device: Device, count: int = 1) -> list[Reading]:
    readings = device.readings()
    try:
        return [await anext(readings) for _ in range(count)]
    finally:
        await readings.aclose()  # type: ignore[attr-defined]


class Slow:
    """It takes the time that the standard grants it."""

    def __init__(self, instrument: PtyInstrument) -> None:
        self._instrument = instrument
        self._meter = HeatMeter()

    async def serve(self) -> None:
        while heard := await self._instrument.hear():
            if answer := self._meter.answer(heard):
                await asyncio.sleep(330 / 1200)
                await self._instrument.say(answer)


@pytest.mark.real_time
async def test_slow_meter_has_its_time_however_short_the_timeout_is(tmp_path: Path) -> None:
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            serving = group.create_task(Slow(instrument).serve())
            patient = settings(tmp_path, baudrate=1200, timeout="10ms", retries=0)
            async with drivers.find("mbus").open("meter", patient, system_clock) as device:
                [reading] = await read(device)
                assert reading.values["energy"]
                assert not device.rejected
            serving.cancel()


@pytest.mark.real_time
async def test_each_round_begins_with_a_reset_and_the_same_frame_count_bit(tmp_path: Path) -> None:
    bus = Bus(HeatMeter())
    async with on_line(tmp_path, bus) as device:
        first, second = await read(device, 2)
    assert bus.heard == ["10 40 05 45 16", "10 7b 05 80 16"] * 2
    assert first.values["fabrication_no"] == 12_345_678
    assert second.values != first.values


@pytest.mark.real_time
async def test_telegrams_of_one_meter_are_joined_into_one_reading(tmp_path: Path) -> None:
    bus = Bus(HeatMeter(parts=4))
    async with on_line(tmp_path, bus) as device:
        [joined] = await read(device)
    assert bus.heard == ["10 40 05 45 16", *["10 7b 05 80 16", "10 5b 05 60 16"] * 2]
    async with on_line(tmp_path, Bus(HeatMeter())) as device:
        [whole] = await read(device)
    assert joined.values == whole.values


@pytest.mark.real_time
async def test_meter_that_always_announces_more_is_cut_short(tmp_path: Path) -> None:
    async with on_line(tmp_path, Bus(HeatMeter(parts=8)), max_telegrams=2) as device:
        [reading] = await read(device)
        assert "energy" in reading.values
        assert "flow_temperature" not in reading.values
        assert device.dropped["more telegrams than max_telegrams"] == 1


@pytest.mark.real_time
async def test_spoilt_answer_is_asked_for_again_with_the_same_frame_count_bit(tmp_path: Path) -> None:
    def spoil(question: int, answer: bytes) -> bytes:
        return answer[:-2] + b"\x00\x16" if question == 2 else answer

    bus = Bus(HeatMeter(parts=2), spoil=spoil)
    async with on_line(tmp_path, bus) as device:
        [reading] = await read(device)
        assert device.rejected == {"checksum": 1}
    assert bus.heard == ["10 40 05 45 16", "10 7b 05 80 16", "10 5b 05 60 16", "10 5b 05 60 16"]
    assert reading.values["energy"]
    assert reading.values["time_point_date_s1"]


@pytest.mark.real_time
async def test_answer_that_does_not_come_is_asked_for_again(tmp_path: Path) -> None:
    def swallow(question: int, answer: bytes) -> bytes:
        return b"" if question == 1 else answer

    bus = Bus(HeatMeter(), spoil=swallow)
    async with on_line(tmp_path, bus) as device:
        await read(device)
        assert device.rejected == {"no answer": 1}
    assert bus.heard == ["10 40 05 45 16", "10 7b 05 80 16", "10 7b 05 80 16"]


@pytest.mark.real_time
async def test_meter_that_does_not_acknowledge_the_reset_is_read_all_the_same(tmp_path: Path) -> None:
    def swallow(question: int, answer: bytes) -> bytes:
        return b"" if question == 0 else answer

    async with on_line(tmp_path, Bus(HeatMeter(), spoil=swallow)) as device:
        await read(device)
        assert device.dropped == {"reset not acknowledged": 1}
        assert not device.rejected


@pytest.mark.real_time
async def test_noise_before_an_answer_does_no_harm(tmp_path: Path) -> None:
    def noise(_: int, answer: bytes) -> bytes:
        return b"\x00\xff\x68\x12" + answer

    async with on_line(tmp_path, Bus(HeatMeter(), spoil=noise)) as device:
        await read(device)
        assert not device.rejected


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (WATER, "another meter"),
        (ACK, "no data"),
        (long(0x08, 5, 0x70, b"\x08"), "meter: busy"),
        (WATER[:12], "cut"),
        (short(0x5B, 5), "no data"),
    ],
)
async def test_wrong_answer_costs_the_round_and_is_counted(
    tmp_path: Path, answer: bytes, reason: str
) -> None:
    script = Script([ACK, answer, ACK, long(0x08, 5, 0x78, bytes.fromhex("03 13 15 31 00"))])
    async with on_line(tmp_path, script, retries=0) as device:
        [reading] = await read(device)
        assert device.rejected == {reason: 1}
    assert reading.values == {"volume": 12.565}


@pytest.mark.real_time
async def test_meter_that_is_away_is_asked_again_before_it_counts_as_silent(tmp_path: Path) -> None:
    bus = Bus(HeatMeter())
    async with on_line(tmp_path, bus, address=6, timeout="20ms", retries=1) as device:
        with pytest.raises(LinkSilent):
            await read(device)
        assert device.rejected == {"no answer": 2 * UNANSWERED_AT_MOST}
    assert bus.heard == ["10 40 06 46 16", "10 7b 06 81 16", "10 7b 06 81 16"] * UNANSWERED_AT_MOST


@pytest.mark.real_time
@pytest.mark.parametrize("address", ["123456782D2C0804", "12345678", "1234FFFFFFFF08FF", "ffffffff2d2cffff"])
async def test_meter_is_selected_by_its_secondary_address(tmp_path: Path, address: str) -> None:
    bus = Bus(HeatMeter(address=0))
    async with on_line(tmp_path, bus, address=address) as device:
        [reading] = await read(device)
    assert reading.values["fabrication_no"] == 12_345_678
    select = long(0x53, 0xFD, 0x52, Secondary.parse(address).mask)
    assert bus.heard == [select.hex(" "), "10 7b fd 78 16"]


@pytest.mark.real_time
async def test_selection_of_another_meter_finds_nobody(tmp_path: Path) -> None:
    async with on_line(tmp_path, Bus(HeatMeter()), address="87654321", timeout="20ms") as device:
        with pytest.raises(LinkSilent):
            await read(device)


@pytest.mark.real_time
async def test_selected_meter_must_be_the_one_that_answers(tmp_path: Path) -> None:
    script = Script(
        [ACK, WATER, ACK, long(0x08, 9, 0x72, SECONDARY + bytes.fromhex("00000000 03 13 15 31 00"))]
    )
    async with on_line(tmp_path, script, address="12345678", retries=0) as device:
        await read(device)
        assert device.rejected == {"another meter": 1}


@pytest.mark.real_time
async def test_only_meter_on_the_bus_needs_no_address(tmp_path: Path) -> None:
    bus = Bus(HeatMeter(address=77))
    async with on_line(tmp_path, bus, address=254) as device:
        await read(device)
    assert bus.heard == ["10 40 fe 3e 16", "10 7b fe 79 16"]


@pytest.mark.real_time
async def test_application_is_reset_where_that_is_wanted(tmp_path: Path) -> None:
    bus = Bus(HeatMeter())
    async with on_line(tmp_path, bus, application_reset=True) as device:
        await read(device)
    assert bus.heard == ["10 40 05 45 16", "68 03 03 68 73 05 50 c8 16", "10 5b 05 60 16"]


@pytest.mark.real_time
async def test_meters_on_one_bus_are_each_read_by_their_device(tmp_path: Path) -> None:
    driver = drivers.find("mbus")
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        serving = asyncio.create_task(instrument.serve(Bus(HeatMeter(1), HeatMeter(2, address=6))))
        async with (
            asyncio.timeout(20),
            driver.open("one", settings(tmp_path), system_clock) as one,
            driver.open("other", settings(tmp_path, address=6), system_clock) as other,
        ):
            [first], [second] = await asyncio.gather(read(one), read(other))
        serving.cancel()
        await asyncio.wait([serving])
    assert (first.device, second.device) == ("one", "other")
    assert first.values["energy"] != second.values["energy"]


@pytest.mark.parametrize(
    "address", [-1, 251, 253, 255, "", "1234567", "123456782D2C08", "12345678-2D2C0804", 2.5]
)
def test_address_that_no_meter_can_have_is_refused(tmp_path: Path, address: object) -> None:
    with pytest.raises(ValidationError, match="address"):
        settings(tmp_path, address=address)


def test_digits_of_a_secondary_address_match_one_by_one() -> None:
    sent = SECONDARY
    for text in ("12345678", "F2345678", "1234567F", "FFFFFFFF", "123456782D2CFF04"):
        assert Secondary.parse(text).matches(sent)
    for text in ("12345679", "F2345679", "12345678FFFF09FF", "123456782C2D0804"):
        assert not Secondary.parse(text).matches(sent)
