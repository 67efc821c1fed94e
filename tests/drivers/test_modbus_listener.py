"""What a listener makes of a line, from the bytes alone."""

import random
from collections import Counter
from typing import Any

import pytest

import drivers
from drivers.checksum import crc16_modbus
from drivers.driver import Decoder, Frame
from drivers.modbus import frames
from drivers.modbus.frames import framed
from gateway.config import driver_options


def decoder(**options: Any) -> Decoder:
    given = {"driver": "modbus", "port": "/dev/null", "mode": "listen", **options}
    driver = drivers.find("modbus")
    return driver.decoder(driver.options.model_validate(given))


def heard(stream: bytes, **options: Any) -> list[Frame]:
    listener = decoder(**options)
    return [*listener.feed(stream), *listener.finish()]


def content(text: str, unit: int = 1) -> bytes:
    return framed(unit, bytes.fromhex(text))


REQUEST, ANSWER = content("03 0000 0002"), content("03 04 00010002")

EXCHANGES = {
    "read coils": ("01 0013 0013", "01 03 CD6B05"),
    "read discrete inputs": ("02 00C4 0016", "02 03 ACDB35"),
    "read holding registers": ("03 006B 0003", "03 06 022B00000064"),
    "read input registers": ("04 0008 0001", "04 02 000A"),
    "write coil": ("05 00AC FF00", "05 00AC FF00"),
    "write register": ("06 0001 0003", "06 0001 0003"),
    "write register, other value confirmed": ("06 0001 0003", "06 0001 0002"),
    "exception status": ("07", "07 6D"),
    "diagnostics": ("08 0000 A537", "08 0000 A537"),
    "event counter": ("0B", "0B FFFF 0108"),
    "event log": ("0C", "0C 08 0000 0108 0121 20 00"),
    "write coils": ("0F 0013 000A 02 CD01", "0F 0013 000A"),
    "write registers": ("10 0001 0002 04 000A0102", "10 0001 0002"),
    "report server id": ("11", "11 05 0A FF 414243"),
    "read file": ("14 07 06 0004 0001 0002", "14 06 05 06 0DFE 0020"),
    "write file": ("15 0D 06 0004 0007 0003 06AF 04BE 100D", "15 0D 06 0004 0007 0003 06AF 04BE 100D"),
    "mask write": ("16 0004 00F2 0025", "16 0004 00F2 0025"),
    "read and write": ("17 0003 0006 000E 0003 06 00FF00FF00FF", "17 0C 00FE0ACD00010003000D00FF"),
    "read queue": ("18 04DE", "18 0006 0002 01B8 1284"),
    "identification": ("2B 0E 01 00", "2B 0E 01 01 00 00 02 00 03 414243 01 02 5831"),
    "a maker's own": ("41 0102030405", "41 AABB"),
    "long diagnostics": ("08 0000 A537 B648 C759", "08 0000 A537 B648 C759"),
}
"""Mostly the examples of the specification, sections 6.1 to 6.21."""


@pytest.mark.parametrize(("asked", "answered"), EXCHANGES.values(), ids=EXCHANGES)
def test_requests_and_answers_of_every_function_are_told_apart(asked: str, answered: str) -> None:
    request, answer = content(asked), content(answered)
    found = heard((request + answer) * 3)
    function = request[1]
    assert [frame.id for frame in found] == [f"request fc{function}", f"response fc{function}"] * 3
    assert [frame.length for frame in found] == [len(request), len(answer)] * 3


@pytest.mark.parametrize(("asked", "answered"), EXCHANGES.values(), ids=EXCHANGES)
def test_frame_is_told_as_soon_as_its_last_byte_has_come(asked: str, answered: str) -> None:
    listener = decoder()
    assert [*listener.feed(REQUEST + ANSWER)]  # so that the unit is known: see below
    for frame in (content(asked), content(answered)):
        told = [len([*listener.feed(bytes([byte]))]) for byte in frame]
        assert told == [0] * (len(frame) - 1) + [1]


def test_makers_function_of_a_unit_not_heard_before_must_be_followed_by_a_frame() -> None:
    listener = decoder()
    frame = content("41 0102030405", unit=9)
    assert [*listener.feed(frame)] == []
    assert [each.id for each in listener.feed(REQUEST)] == ["request fc65", "request fc3"]
    assert [each.id for each in heard(frame)] == ["request fc65"]
    assert [each.id for each in heard(frame + b"noise" + REQUEST)] == ["request fc3"]


@pytest.mark.parametrize("function", [3, 6, 65])
def test_exceptions_end_a_question(function: int) -> None:
    request = content(f"{function:02X} 0001 0001")
    exception = content(f"{function + 128:02X} 02")
    found = heard(request + exception + request + request)
    assert [frame.id for frame in found][:2] == [f"request fc{function}", f"exception fc{function}"]
    assert found[2].id == f"request fc{function}"


def test_registers_in_answers_are_named_after_the_request() -> None:
    stream = content("03 006B 0003") + content("03 06 022B 0000 0064")
    assert heard(stream)[-1].values == {"hr107": 0x22B, "hr108": 0, "hr109": 0x64}
    stream = content("04 0008 0001") + content("04 02 000A")
    assert heard(stream)[-1].values == {"ir8": 10}
    stream = content("17 0003 0001 000E 0001 02 00FF") + content("17 02 00FE")
    assert heard(stream)[-1].values == {"hr3": 0xFE}


def test_bits_are_values_but_for_the_protocols_names() -> None:
    stream = content("01 0013 000A") + content("01 02 CD01") + content("02 0000 0001") + content("02 01 01")
    coils = {
        f"co{0x13 + at}": bit
        for at, bit in enumerate([True, False, True, True, False, False, True, True, True, False])
    }
    assert [frame.values for frame in heard(stream)] == [{}, coils, {}, {"di0": True}]
    assert [frame.values for frame in heard(stream, names="protocol")] == [{}, {}, {}, {}]


@pytest.mark.parametrize(
    "answer",
    [content("03 02 0001", unit=2), content("04 02 0001"), content("03 04 00010002")],
    ids=["another unit", "another function", "another count"],
)
def test_answer_that_does_not_fit_the_question_has_no_names(answer: bytes) -> None:
    listener = decoder()
    found = [*listener.feed(content("03 0000 0001") + answer), *listener.finish()]
    assert [frame.values for frame in found] == [{}, {}]
    assert listener.dropped == {"answer to an unknown request": 1}


def test_repeated_request_is_a_request() -> None:
    request, answer = content("03 0000 0001"), content("03 02 0007")
    found = heard(request * 3 + answer)
    assert [frame.id for frame in found] == ["request fc3"] * 3 + ["response fc3"]
    assert found[-1].values == {"hr0": 7}


def test_broadcast_is_answered_by_nobody() -> None:
    broadcast = content("06 0001 0003", unit=0)
    assert [frame.id for frame in heard(broadcast * 2)] == ["request fc6"] * 2


REGISTERS = {
    "flow": {"address": 10, "type": "float32", "unit": "m3/h"},
    "valve": {"table": "coil", "address": 3},
}


def test_configured_registers_get_their_names_wherever_they_are_in_an_answer() -> None:
    stream = content("03 0008 0005", unit=5) + content("03 0A 0001 0002 41480000 0003", unit=5)
    assert heard(stream, unit=5, registers=REGISTERS)[-1].values == {"flow": 12.5}
    assert heard(stream, unit=6, registers=REGISTERS)[-1].values == {}
    assert heard(stream, unit=5, registers=REGISTERS, names="protocol")[-1].values == {
        "hr10": 0x4148,
        "hr11": 0,
    }
    half = content("03 0008 0003", unit=5) + content("03 06 0001 0002 4148", unit=5)
    assert heard(half, unit=5, registers=REGISTERS)[-1].values == {}
    coils = content("01 0000 0008", unit=5) + content("01 01 08", unit=5)
    assert heard(coils, unit=5, registers=REGISTERS)[-1].values == {"valve": True}


def test_listener_with_a_unit_and_no_registers_hears_that_unit_only() -> None:
    stream = b"".join(content("03 0000 0001", unit) + content("03 02 0007", unit) for unit in (1, 2))
    assert [frame.values for frame in heard(stream) if frame.values] == [{"hr0": 7}] * 2
    assert [frame.offset for frame in heard(stream, unit=2) if frame.values] == [23]


def test_neighbours_that_look_like_floats_are_shown_as_floats_too() -> None:
    stream = content("03 0000 000A") + content("03 14 0000 0000 41B8 0194 0000 0000 41A0 0000 8000 0008")
    floats = {
        name: value for name, value in heard(stream, names="protocol")[-1].values.items() if ":" in name
    }
    assert floats == {
        "hr2:float32-be": pytest.approx(23.0007706),
        "hr4:float32-be": 0.0,
        "hr6:float32-be": 20.0,
    }
    nearly = content("03 0000 000A") + content("03 14 41B8 0194 3E57 9E9F 3727 C5AC 41A0 0000 8000 0008")
    assert [name for name in heard(nearly, names="protocol")[-1].values if ":" in name] == [
        f"hr{at}:float32-be" for at in (0, 2, 4, 6)
    ]
    alone = content("03 0000 0004") + content("03 08 41B8 0194 0001 0002")
    assert not [name for name in heard(alone, names="protocol")[-1].values if ":" in name]


# Noise


def counts(stream: bytes) -> tuple[list[str], Counter[str], Counter[str]]:
    listener = decoder()
    found = [frame.id for frame in (*listener.feed(stream), *listener.finish())]
    return found, listener.rejected, listener.dropped


def damaged(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 0x10])


def test_damaged_frames_are_counted_once_each() -> None:
    stream = (
        REQUEST + damaged(ANSWER) + REQUEST + ANSWER + damaged(REQUEST) + damaged(ANSWER) + REQUEST + ANSWER
    )
    found, rejected, dropped = counts(stream)
    assert found == ["request fc3", "request fc3", "response fc3", "request fc3", "response fc3"]
    assert rejected == {"checksum": 3}
    assert not dropped


def test_answer_that_breaks_off_is_counted_and_the_next_request_heard() -> None:
    found, rejected, _ = counts(REQUEST + ANSWER[:6] + REQUEST + ANSWER)
    assert found == ["request fc3", "request fc3", "response fc3"]
    assert rejected == {"checksum": 1}


def test_stray_bytes_between_frames_are_noise() -> None:
    found, rejected, dropped = counts(b"\x00" + REQUEST + b"\xff\xff" + ANSWER)
    assert found == ["request fc3", "response fc3"]
    assert not rejected
    assert dropped == {"noise": 2}


@pytest.mark.parametrize("length", range(1, len(ANSWER)))
def test_frame_that_the_end_of_the_stream_cuts_off_is_nobodys_fault(length: int) -> None:
    found, rejected, dropped = counts(REQUEST + ANSWER[:length])
    assert found == ["request fc3"]
    assert not rejected
    assert not dropped


def test_silence_brings_out_what_noise_has_hidden() -> None:
    listener = decoder()
    stream = bytes([1, 3, 250]) + REQUEST + ANSWER
    assert [*listener.feed(stream)] == []
    assert [frame.id for frame in listener.finish()] == ["request fc3", "response fc3"]
    found = [*listener.feed(REQUEST + ANSWER)]
    assert [frame.offset for frame in found] == [len(stream), len(stream) + len(REQUEST)]


def test_noise_gives_hardly_any_frames() -> None:
    found, _, _ = counts(random.Random(7).randbytes(500_000))
    assert len(found) < 20


def test_checksum_of_any_piece_is_told_from_the_running_sums() -> None:
    stream = random.Random(3).randbytes(40) + REQUEST + ANSWER + random.Random(4).randbytes(300)
    sums = frames.Sums()
    sums.feed(stream[:45])
    sums.feed(stream[45:])
    sums.forget(5)
    for at in range(60):
        for size in range(frames.SHORTEST, 256):
            piece = stream[5 + at : 5 + at + size]
            assert sums.is_whole(at, size) == (crc16_modbus(piece) == 0)


def test_a_capture_is_listened_to_unless_something_else_is_said() -> None:
    assert driver_options("modbus", {"names": "protocol"}).model_dump()["mode"] == "listen"
