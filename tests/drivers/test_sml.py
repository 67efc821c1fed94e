"""SML: files out of a stream, the encoding of elements, and what becomes of a meter's values."""

import json
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.checksum import crc16_kermit, crc16_x25
from drivers.driver import Frame
from drivers.sml import DRIVER, Options
from drivers.sml.codec import Meter
from drivers.sml.simulator import message, telegrams, transported
from drivers.sml.transport import LONGEST
from gateway.model import Value

ESCAPE = b"\x1b\x1b\x1b\x1b"
START = ESCAPE + b"\x01\x01\x01\x01"


def octets(content: bytes) -> bytes:
    assert len(content) < 15
    return bytes([len(content) + 1]) + content


def entry(
    obis: str,
    value: bytes,
    *,
    status: bytes = b"\x01",
    time: bytes = b"\x01",
    unit: bytes = b"\x01",
    scaler: bytes = b"\x01",
) -> bytes:
    return b"\x77" + octets(bytes.fromhex(obis)) + status + time + unit + scaler + value + b"\x01"


def values_list(*entries: bytes, count: bytes = b"") -> bytes:
    """The content of a GetList response."""
    tl = count or bytes([0x70 | len(entries)])
    return (
        b"\x77\x01"
        + octets(b"\x0a\x01XYZ\x00\x00\x00\x00\x01")
        + b"\x01\x01"
        + tl
        + b"".join(entries)
        + b"\x01\x01"
    )


def file(*entries: bytes, count: bytes = b"") -> bytes:
    return transported(message(1, 0x0701, values_list(*entries, count=count)))


def decoded(chunks: Iterable[bytes], *, readable: bool = False) -> tuple[list[Frame], Meter]:
    meter = Meter(readable=readable, dzg_sign=True)
    frames = [frame for chunk in chunks for frame in meter.feed(chunk)]
    return [*frames, *meter.finish()], meter


def values(*entries: bytes, readable: bool = False) -> dict[str, Value]:
    [frame], meter = decoded([file(*entries)], readable=readable)
    assert not meter.dropped
    return frame.values


POWER, ENERGY = "0100100700ff", "0100010800ff"
WATT, WATT_HOUR = b"\x62\x1b", b"\x62\x1e"

# Elements


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (b"\x52\xff", -1),
        (b"\x53\x01\x00", 256),
        (b"\x54\xff\xff\xfe", -2),
        (b"\x55\x00\x00\x02\x33", 563),
        (b"\x56\x00\x09\x24\x7a\x55", 153385557),
        (b"\x57\x00\x00\x00\x00\x00\x07", 7),
        (b"\x58\xff\xff\xff\xff\xff\xff\xff", -1),
        (b"\x59\x80\x00\x00\x00\x00\x00\x00\x00", -(1 << 63)),
        (b"\x62\xff", 255),
        (b"\x64\xff\xff\xff", 16777215),
        (b"\x66\xff\xff\xff\xff\xff", (1 << 40) - 1),
        (b"\x69\xff\xff\xff\xff\xff\xff\xff\xff", (1 << 64) - 1),
        (b"\x42\x00", False),
        (b"\x42\x01", True),
        (b"\x04EMH", "EMH"),
        (b"\x0409A", "09A"),
        (b"\x04\x00\x01\x02", "000102"),
        (b"\x03\xe9A", "A"),  # what is no UTF-8 does not count
        (b"\x80\x05EMH", "EMH"),
        (b"\x80\x80\x06EMH", "EMH"),
        (b"\x83\x02" + bytes(48), "00" * 48),
        (b"\xd0\x04\xff\xfe", -2),
        (b"\x72\x62\x01\x72\x62\x01\x65\x00\x00\x01\x00", 256),
        (b"\x72\x62\x01\x72\x62\x02\x65\x5f\xee\x82\x5d", "2021-01-01T02:01:01+00:00"),
        (
            b"\x72\x62\x01\x72\x62\x03\x73\x65\x5f\xee\x82\x5d\x53\x00\x3c\x53\x00\x00",
            "2021-01-01T02:01:01+00:00",
        ),
    ],
)
def test_value_of_every_type_and_width_is_read(element: bytes, expected: Value) -> None:
    found = values(entry(ENERGY, element))
    assert found == {"1-0:1.8.0": expected}
    assert type(found["1-0:1.8.0"]) in (type(expected), *([int] if type(expected) is int else []))


@pytest.mark.parametrize(
    ("number", "scaler", "expected"),
    [
        (b"\x55\x00\x00\x16\x03", b"\x52\xff", 563.5),
        (b"\x55\x00\x00\x16\x03", b"\x52\x00", 5635),
        (b"\x55\x00\x00\x16\x03", b"\x52\x02", 563500),
        (b"\x55\x00\x00\x16\x03", b"\x01", 5635),
        (b"\x69\x00\x00\x00\x0a\x7a\xc1\xbc\x17", b"\x52\xfb", 450091.89911),
        (b"\x59\x7f\xff\xff\xff\xff\xff\xff\xff", b"\x52\x7f", float(((1 << 63) - 1) * 10**127)),
        (b"\x52\x01", b"\x52\x80", 1e-128),
    ],
)
def test_number_is_scaled_by_a_power_of_ten(number: bytes, scaler: bytes, expected: float) -> None:
    found = values(entry(POWER, number, unit=WATT, scaler=scaler))
    assert found == {"1-0:16.7.0": pytest.approx(expected, rel=1e-12)}
    json.dumps(found, allow_nan=False)


def test_code_carries_its_last_part_only_where_it_is_used() -> None:
    found = values(entry("8181c78203ff", b"\x04EMH"), entry("010060320101", b"\x04DZG"))
    assert found == {"129-129:199.130.3": "EMH", "1-0:96.50.1*1": "DZG"}


def test_value_that_is_left_out_gives_nothing_and_a_repeated_one_is_numbered() -> None:
    assert values(entry(POWER, b"\x01"), entry(ENERGY, b"\x62\x01"), entry(ENERGY, b"\x62\x02")) == {
        "1-0:1.8.0": 1,
        "1-0:1.8.0_2": 2,
    }


def test_value_that_is_no_value_is_counted() -> None:
    odd = [b"\x72\x62\x02\x62\x05", b"\x72\x62\x01\x72\x62\x02\x52\xff", b"\x71\x62\x01"]
    [frame], meter = decoded([file(*(entry(ENERGY, element) for element in odd), entry(POWER, b"\x80\x02"))])
    assert frame.values == {}
    assert meter.dropped == {"unreadable value": 3}


def test_zeros_between_messages_are_filling() -> None:
    content = message(1, 0x0701, values_list(entry(ENERGY, b"\x62\x05"))) + bytes(5)
    [frame], meter = decoded([transported(content)])
    assert frame.values == {"1-0:1.8.0": 5}
    assert not meter.dropped


def test_list_may_be_longer_than_one_byte_of_length_can_say() -> None:
    entries = [entry(f"0100{number:02x}0700ff", b"\x62\x05") for number in range(20)]
    [frame], _ = decoded([file(*entries, count=b"\xf1\x04")])
    assert len(frame.values) == 20


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x76\x05", "cut"),
        (b"\x77" + b"\x01" * 6, "cut"),
        (b"\x72" * 40, "nested too deep"),
        (b"\xff\x8f\x8f\x0f" + b"\x01" * 40, "cut"),
        (b"\xf0" * 12, "length too long"),
        (b"\x5c" + bytes(11), "number too wide"),
        (b"\x12\x01", "unknown type"),
        (b"\x80\x01", "cut"),
        (b"\x05EMHX", "no message"),
        (b"\x76\x01\x01\x01\x01\x01\x00", "no message body"),
    ],
)
def test_file_that_holds_no_message_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    frames, meter = decoded([transported(content)])
    assert not frames
    assert meter.rejected == {reason: 1}


def test_what_was_read_before_a_broken_message_is_kept() -> None:
    good = message(1, 0x0701, values_list(entry(ENERGY, b"\x62\x05")))
    [frame], meter = decoded([transported(good + b"\x76\x05")])
    assert frame.values == {"1-0:1.8.0": 5}
    assert meter.dropped == {"unreadable message": 1}
    assert not meter.rejected


def test_other_messages_and_malformed_entries_are_passed_over() -> None:
    odd = [b"\x71\x01", b"\x62\x01", entry("0100", b"\x62\x01"), entry(ENERGY, b"\x62\x05")]
    [frame], meter = decoded(
        [
            transported(
                message(1, 0xFF01, b"\x01")
                + message(2, 0x0701, values_list(*odd))
                + message(3, 0x0701, b"\x01")
            )
        ]
    )
    assert frame.values == {"1-0:1.8.0": 5}
    assert not meter.rejected


def test_wrong_sum_of_a_message_in_a_right_file_is_only_counted() -> None:
    wrong = message(1, 0x0701, values_list(entry(ENERGY, b"\x62\x05")))[:-3] + b"\x12\x34\x00"
    [frame], meter = decoded([transported(wrong)])
    assert frame.values == {"1-0:1.8.0": 5}
    assert meter.dropped == {"message checksum": 1}


# Transport


def test_older_meters_sum_is_accepted() -> None:
    whole = file(entry(ENERGY, b"\x62\x05"))[:-2]
    old = whole + crc16_kermit(whole).to_bytes(2, "big")
    assert len(decoded([old])[0]) == 1
    assert not decoded([whole + crc16_kermit(whole).to_bytes(2, "little")])[0]


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("count", range(14))
def test_escapes_in_the_content_are_taken_back(before: int, count: int) -> None:
    text = b"\x01" * before + b"\x1b" * count + b"\x1a"
    element = bytes([0x80 | (len(text) + 2) >> 4, (len(text) + 2) & 0x0F]) + text
    frames, meter = decoded([file(entry(ENERGY, element)), file(entry(ENERGY, b"\x62\x05"))])
    assert [frame.values for frame in frames] == [{"1-0:1.8.0": text.hex()}, {"1-0:1.8.0": 5}]
    assert not meter.rejected


def test_content_that_ends_in_escapes_does_not_hide_the_end() -> None:
    for count in range(1, 12):
        content = message(1, 0x0701, values_list(entry(ENERGY, b"\x62\x05")))
        text = b"\x1b" * count
        padded = content + bytes(-(len(content) + count) % 4) + text
        summed = START + padded.replace(ESCAPE, 2 * ESCAPE) + ESCAPE + b"\x1a\x00"
        stream = summed + crc16_x25(summed).to_bytes(2, "little")
        frames, _ = decoded([stream, file(entry(ENERGY, b"\x62\x06"))])
        assert [frame.values["1-0:1.8.0"] for frame in frames] == [5, 6]


def test_file_that_breaks_off_costs_only_itself() -> None:
    good = file(entry(ENERGY, b"\x62\x05"))
    frames, meter = decoded([good[:-9], good, good[:20], good, good[:30]])
    assert [(frame.offset, frame.length) for frame in frames] == [
        (len(good) - 9, len(good)),
        (2 * len(good) + 11, len(good)),
    ]
    assert meter.rejected == {"cut": 2}


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_file_without_the_end_of_its_sum_does_not_cost_the_next(missing: int) -> None:
    good = file(entry(ENERGY, b"\x62\x05"))
    frames, meter = decoded([good[:-missing], good])
    assert [frame.offset for frame in frames] == [len(good) - missing]
    assert meter.rejected == {"checksum": 1}


def test_flipped_byte_costs_the_file_it_is_in() -> None:
    good = file(entry(ENERGY, b"\x62\x05"))
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= 0x10
        frames, meter = decoded([good, bytes(damaged), good])
        assert [frame.offset for frame in frames] == [0, 2 * len(good)], place
        assert meter.rejected.total() <= 1


def test_endless_file_is_given_up_and_forgotten() -> None:
    good = file(entry(ENERGY, b"\x62\x05"))
    for chunk in (1000, 1 << 20):
        stream = START + b"\x01" * (LONGEST + 10_000) + good
        frames, meter = decoded(stream[first : first + chunk] for first in range(0, len(stream), chunk))
        assert len(frames) == 1
        assert meter.rejected == {"too long": 1}
    meter = Meter(readable=False, dzg_sign=True)
    for _ in range(100):
        for _ in meter.feed(b"\x1b" * 4096):
            pass
        assert len(meter._files._held) < 2 * 4096


pieces = st.sampled_from(
    [START, ESCAPE, ESCAPE + b"\x1a\x00", b"\x1b", b"\x01\x01", b"\x1a", file(entry(ENERGY, b"\x62\x05"))]
)


@given(
    st.lists(pieces | st.binary(max_size=8), max_size=14).map(b"".join),
    st.lists(st.integers(0, 500), max_size=8),
)
def test_any_split_gives_the_same_where_escapes_are_cut(stream: bytes, places: list[int]) -> None:
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    whole, at_once = decoded([stream])
    cut, piecewise = decoded(stream[first:last] for first, last in pairwise(edges))
    single, bytewise = decoded(bytes([byte]) for byte in stream)
    assert cut == single == whole
    assert at_once.rejected == piecewise.rejected == bytewise.rejected


# Readable names


def test_readable_values_have_names_and_units_of_the_table_of_all_meters() -> None:
    found = values(
        entry("0100000009ff", octets(bytes.fromhex("0901454d48000041f045"))),
        entry(
            ENERGY, b"\x56\x00\x09\x24\x7a\x55", unit=WATT_HOUR, scaler=b"\x52\xff", status=b"\x63\x01\x82"
        ),
        entry(POWER, b"\x55\x00\x00\x16\x03", unit=WATT, scaler=b"\x52\xff"),
        entry("0100200700ff", b"\x63\x09\x28", unit=b"\x62\x23", scaler=b"\x52\xff"),
        entry("010060320101", b"\x04DZG"),
        entry("010000020000", b"\x091.02.007"),
        readable=True,
    )
    assert found == {
        "server_id": "1EMH0004321349",
        "energy_import": 15338.5557,
        "power": 563.5,
        "voltage_l1": 234.4,
        "manufacturer": "DZG",
        "firmware": "1.02.007",
        "status": 0x182,
    }


def test_texts_are_readable_where_they_can_be_printed() -> None:
    assert values(
        entry("0100000009ff", b"\x04\x06EM"), entry("8181c78205ff", b"\x04\x00\xff\x80"), readable=True
    ) == {"server_id": "06454d", "public_key": "00ff80"}
    assert values(entry("0100600100ff", octets(b"\x0a\x01-/-" + bytes(5))), readable=True) == {
        "meter_id": "0a012d2f2d0000000000"
    }


def test_counter_of_seconds_is_a_reading_of_its_own() -> None:
    content = values_list(entry(ENERGY, b"\x62\x05", unit=WATT_HOUR))
    told = content.replace(b"\x01\x01\x71", b"\x01\x72\x62\x01\x65\x00\x01\x00\x00\x71")
    [frame], _ = decoded([transported(message(1, 0x0701, told))], readable=True)
    assert frame.values == {"energy_import": 0.005, "meter_seconds": 65536}


def test_dzg_power_is_taken_for_what_the_status_word_says() -> None:
    dzg = [
        entry("0100600100ff", octets(bytes.fromhex("0a01445a47000282225e"))),
        entry(
            ENERGY, b"\x65\x03\x3c\x93\x89", unit=WATT_HOUR, scaler=b"\x52\xff", status=b"\x64\x1c\x01\x04"
        ),
    ]
    exporting = [dzg[0], dzg[1].replace(b"\x64\x1c\x01\x04", b"\x64\x1c\x09\x04")]
    power = entry(POWER, b"\x53\x8b\x28", unit=WATT, scaler=b"\x52\xfe")
    wide = entry(POWER, b"\x55\xff\xff\x8b\x28", unit=WATT, scaler=b"\x52\xfe")
    assert values(*dzg, power, readable=True)["power"] == 356.24
    assert values(*dzg, wide, readable=True)["power"] == -299.12
    assert values(*exporting, power, readable=True)["power"] == -299.12
    assert values(dzg[1], power, readable=True)["power"] == -299.12
    assert values(*dzg, power)["1-0:16.7.0"] == -299.12


def test_dzg_power_is_left_alone_where_the_options_say_so() -> None:
    options = Options(driver="sml", port="/dev/ttyS0", dzg_sign=False)
    stream = file(
        entry("0100600100ff", octets(bytes.fromhex("0a01445a47000282225e"))),
        entry(ENERGY, b"\x62\x05", status=b"\x64\x1c\x01\x04"),
        entry(POWER, b"\x53\x8b\x28", unit=WATT, scaler=b"\x52\xfe"),
    )
    [frame] = DRIVER.decoder(options).feed(stream)
    assert frame.values["power"] == -299.12


def test_described_metrics_depend_on_the_names() -> None:
    readable = DRIVER.describe(Options(driver="sml", port="/dev/ttyS0"))
    assert readable["energy_import"].unit == "kW.h"
    assert list(DRIVER.describe(Options(driver="sml", port="/dev/ttyS0", names="protocol"))) == ["*"]


def test_simulated_meter_says_what_a_meter_says() -> None:
    [frame], meter = decoded([next(telegrams(3))], readable=True)
    assert {
        "manufacturer",
        "server_id",
        "energy_import",
        "energy_export",
        "power",
        "public_key",
    } <= frame.values.keys()
    assert not meter.rejected
    assert not meter.dropped
