"""The master and a peer that does as it is told: late answers, other answers, broadcasts, what lies between frames."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.instrument import PtyInstrument
from drivers.modbus.frames import framed
from drivers.modbus.master import silence_s
from drivers.modbus.options import Options
from gateway.clock import system_clock
from gateway.errors import LinkError, LinkSilent, Refused

MODBUS = drivers.find("modbus")

ONE = {"m": {"address": 0, "writable": True}}


def settings(port: object, **given: Any) -> Options:
    table = {"driver": "modbus", "port": str(port), "interval": "20ms", "timeout": "300ms", "registers": ONE}
    return Options.model_validate({**table, **given})


@asynccontextmanager
async def opened(
    folder: Path, answer: Callable[[bytes], list[bytes]], **given: Any
) -> AsyncIterator[tuple[Any, list[bytes]]]:
    """A device, and the requests that its peer has heard; each is answered with pieces."""
    requests: list[bytes] = []

    async def serve(instrument: PtyInstrument) -> None:
        while request := await instrument.hear():
            requests.append(request)
            for piece in answer(request):
                await instrument.say(piece)
                await asyncio.sleep(0.01)

    with PtyInstrument.plugged_in(folder / "line") as instrument:
        serving = asyncio.create_task(serve(instrument))
        try:
            async with (
                asyncio.timeout(20),
                MODBUS.open("device", settings(instrument.path, **given), system_clock) as device,
            ):
                yield device, requests
        finally:
            serving.cancel()
            await asyncio.wait([serving])


def register(value: int, unit: int = 1) -> bytes:
    """The answer with one register."""
    return framed(unit, bytes([3, 2]) + value.to_bytes(2))


@pytest.mark.real_time
@pytest.mark.parametrize(
    "stranger",
    [
        register(99, unit=2),
        framed(1, b"\x04\x02\x00\x63"),
        framed(1, b"\x03\x04\x00\x63\x00\x63"),
        framed(2, b"\x83\x02"),
        framed(1, b"\x84\x02"),
        b"\x00\xff",
    ],
    ids=["unit", "function", "count", "unit's exception", "function's exception", "noise"],
)
async def test_what_answers_something_else_is_not_taken_for_the_answer(
    tmp_path: Path, stranger: bytes
) -> None:
    async with (
        opened(tmp_path, lambda _: [stranger, register(7)]) as (device, _),
        aclosing(device.readings()) as readings,
    ):
        assert (await anext(readings)).values == {"m": 7}
        assert not device.rejected


@pytest.mark.real_time
async def test_only_strangers_answering_is_a_reason_of_its_own(tmp_path: Path) -> None:
    turn = 0

    def answer(_: bytes) -> list[bytes]:
        nonlocal turn
        turn += 1
        return [register(7, unit=2 if turn == 1 else 1)]

    async with opened(tmp_path, answer) as (device, _), aclosing(device.readings()) as readings:
        assert (await anext(readings)).values == {"m": 7}
        assert device.rejected == {"answer to another question": 1}


@pytest.mark.real_time
async def test_late_answer_is_not_taken_for_that_to_the_next_question(tmp_path: Path) -> None:
    """Two registers that are read apart; the answer for the first one comes when its time is over."""
    late = True

    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:

        async def serve() -> None:
            nonlocal late
            while request := await instrument.hear():
                if late:
                    late = False
                    await asyncio.sleep(0.4)
                await instrument.say(register(request[3]))

        serving = asyncio.create_task(serve())
        registers = {"low": {"address": 10}, "high": {"address": 20}}
        device_settings = settings(instrument.path, registers=registers)
        async with (
            asyncio.timeout(20),
            MODBUS.open("device", device_settings, system_clock) as device,
            aclosing(device.readings()) as readings,  # type: ignore[type-var]
        ):
            found = [(await anext(readings)).values for _ in range(3)]
            rejected = dict(device.rejected)
        serving.cancel()
        await asyncio.wait([serving])
    assert found == [{"low": 10, "high": 20}] * 3
    assert rejected == {"no answer": 1}


@pytest.mark.real_time
async def test_silence_in_the_middle_of_a_round_keeps_what_was_read(tmp_path: Path) -> None:
    registers = {"low": {"address": 10}, "high": {"address": 20}}
    async with (
        opened(tmp_path, lambda request: [register(5)] if request[3] == 10 else [], registers=registers) as (
            device,
            _,
        ),
        aclosing(device.readings()) as readings,
    ):
        assert (await anext(readings)).values == {"low": 5}
        assert device.rejected == {"no answer": 1}


@pytest.mark.real_time
async def test_request_that_is_never_answered_does_not_hide_those_behind_it(tmp_path: Path) -> None:
    registers = {"deaf": {"address": 0}, "low": {"address": 10}, "high": {"address": 20}}
    async with (
        opened(
            tmp_path,
            lambda request: [register(request[3])] if request[3] else [],
            registers=registers,
            timeout="50ms",
        ) as (device, _),
        aclosing(device.readings()) as readings,
    ):
        assert [(await anext(readings)).values for _ in range(5)] == [{"low": 10, "high": 20}] * 5


@pytest.mark.real_time
async def test_rare_register_that_had_no_answer_is_asked_again_soon_but_not_always(tmp_path: Path) -> None:
    registers = {"often": {"address": 10}, "rare": {"address": 20, "interval": "1h"}}
    deaf = 1

    def answer(request: bytes) -> list[bytes]:
        nonlocal deaf
        if request[3] == 20 and deaf:
            deaf -= 1
            return []
        return [register(request[3])]

    async with (
        opened(tmp_path, answer, registers=registers, timeout="50ms") as (device, _),
        aclosing(device.readings()) as readings,
    ):
        found = [(await anext(readings)).values for _ in range(2)]
    assert found == [{"often": 10}, {"often": 10, "rare": 20}]

    deaf = 1000
    async with (
        opened(tmp_path, answer, registers=registers, timeout="50ms") as (device, requests),
        aclosing(device.readings()) as readings,
    ):
        for _ in range(8):
            assert (await anext(readings)).values == {"often": 10}
    assert sum(request[3] == 20 for request in requests) == 3


@pytest.mark.real_time
async def test_function_that_the_device_lacks_is_not_asked_piece_by_piece(tmp_path: Path) -> None:
    registers = {f"m{at}": {"address": at, "table": "input"} for at in range(8)} | {"m": {"address": 0}}

    def answer(request: bytes) -> list[bytes]:
        return [register(5)] if request[1] == 3 else [framed(1, b"\x84\x01")]

    async with (
        opened(tmp_path, answer, registers=registers) as (device, requests),
        aclosing(device.readings()) as readings,
    ):
        assert (await anext(readings)).values == {"m": 5}
        assert [request[1] for request in requests] == [3, 4]
        assert device.rejected == {"illegal function": 1}


@pytest.mark.real_time
async def test_broadcast_goes_to_unit_0_and_waits_for_nobody(tmp_path: Path) -> None:
    registers = {"clock": {"address": 3, "writable": True, "broadcast": True}}
    async with opened(tmp_path, lambda _: [], registers=registers) as (device, requests):
        await device.write("clock", 1200)
        assert requests == [framed(0, b"\x06\x00\x03\x04\xb0")]


@pytest.mark.real_time
async def test_device_that_confirms_another_value_has_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, lambda _: [framed(1, b"\x06\x00\x00\x00\x01")]) as (device, _):
        with pytest.raises(Refused, match="m: the device confirms another value"):
            await device.write("m", 2)


@pytest.mark.real_time
async def test_acknowledged_write_is_done_and_not_sent_again(tmp_path: Path) -> None:
    async with opened(tmp_path, lambda _: [framed(1, b"\x86\x05")]) as (device, requests):
        await device.write("m", 2)
        assert len(requests) == 1


@pytest.mark.real_time
async def test_write_of_another_address_is_no_confirmation(tmp_path: Path) -> None:
    async with opened(tmp_path, lambda _: [framed(1, b"\x06\x00\x09\x00\x02")]) as (device, _):
        with pytest.raises(Exception, match="answer to another question"):
            await device.write("m", 2)


@pytest.mark.real_time
async def test_adapter_that_repeats_what_is_sent_is_no_confirmation(tmp_path: Path) -> None:
    async with opened(tmp_path, lambda request: [request], echo=True) as (device, _):
        with pytest.raises(LinkSilent):
            await device.write("m", 2)


@pytest.mark.real_time
@pytest.mark.parametrize("rs485", ["rts", "rts-inverted"])
async def test_port_that_cannot_switch_rs485_says_so(tmp_path: Path, rs485: str) -> None:
    with pytest.raises(
        LinkError, match=r"line: its driver cannot switch RS-485 with RTS \(.*\): use an adapter"
    ):
        async with opened(tmp_path, lambda _: [], rs485=rs485):
            pass
    async with opened(tmp_path, lambda _: []):
        pass  # the port is free again


@pytest.mark.real_time
async def test_serial_server_cannot_be_told_to_switch_rs485() -> None:
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(LinkError, match="only this machine's own ports"):
            async with MODBUS.open("device", settings(url, rs485="rts"), system_clock):
                pass


@pytest.mark.parametrize(
    ("line", "silence"),
    [
        ({"baudrate": 9600}, 3.5 * 10 / 9600),
        ({"baudrate": 19200, "parity": "even"}, 3.5 * 11 / 19200),
        ({"baudrate": 2400, "stop_bits": 2}, 3.5 * 11 / 2400),
        ({"baudrate": 38400}, 0.001_75),
    ],
)
def test_silence_between_frames_is_that_of_the_standard(line: dict[str, Any], silence: float) -> None:
    assert silence_s(settings("/dev/null", **line)) == pytest.approx(silence)
