"""VE.Direct: blocks and hex frames out of one stream, and what fields and registers mean."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.driver import Frame
from drivers.vedirect import DRIVER, Options
from drivers.vedirect.codec import LONGEST_BLOCK, LONGEST_HEX, Blocks, hex_frame
from drivers.vedirect.fields import FIELDS, RAW_UNITS
from drivers.vedirect.metrics import METRICS
from drivers.vedirect.registers import REGISTERS, WRITABLE
from drivers.vedirect.simulator import block
from gateway.model import Value

FIRST = {"PID": "0xA042", "V": "12530", "CS": "3"}
ONE = block(FIRST)
TWO = block({"H1": "-149322", "H2": "0", "H18": "8527"})
HEX = hex_frame("7", bytes.fromhex("bbed00 1e0d"))


def decoded(chunks: Iterable[bytes], *, readable: bool = False) -> tuple[list[Frame], Blocks]:
    decoder = Blocks(readable=readable)
    frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return [*frames, *decoder.finish()], decoder


def block_with_checksum(wanted: int) -> bytes:
    for length in range(40):
        for last in range(33, 127):
            made = block({**FIRST, "SER#": "A" * length + chr(last)})
            if made[-1] == wanted:
                return made
    raise AssertionError(wanted)


# Blocks


def test_values_are_integers_in_the_protocols_units_or_texts() -> None:
    [frame], _ = decoded(
        [
            block(
                {
                    "PID": "0x203",
                    "V": "12065",
                    "I": "-7625",
                    "TTG": "-1",
                    "SOC": "---",
                    "FW": "0308",
                    "BMV": "700",
                    "LOAD": "ON",
                    "OR": "0x00000001",
                    "NEW": "5",
                    "NEWER": "x5",
                    "EMPTY": "",
                }
            )
        ]
    )
    assert frame.values == {
        "PID": "0x203",
        "V": 12065,
        "I": -7625,
        "TTG": -1,
        "FW": "0308",
        "BMV": "700",
        "LOAD": "ON",
        "OR": "0x00000001",
        "NEW": 5,
        "NEWER": "x5",
    }


@pytest.mark.parametrize("checksum", [*b":\r\n\t\x00C", 0xFF, 0x80])
def test_checksum_may_be_any_byte(checksum: int) -> None:
    odd = block_with_checksum(checksum)
    stream = odd + ONE + odd + HEX + TWO + odd
    for chunks in ([stream], [bytes([byte]) for byte in stream]):
        frames, decoder = decoded(chunks)
        assert [frame.id for frame in frames] == ["text", "text", "text", "hex:get", "text", "text"]
        assert frames[0].length == len(odd)
        assert not decoder.rejected


def test_hex_frame_within_a_block_does_not_count_in_its_sum() -> None:
    for place in range(len(ONE)):
        if ONE[:place].endswith(b"Checksum\t"):
            continue
        frames, decoder = decoded([TWO, ONE[:place] + HEX + ONE[place:], TWO])
        assert [frame.id for frame in frames] == ["text", "hex:get", "text", "text"], place
        assert frames[2].values == {"PID": "0xA042", "V": 12530, "CS": 3}
        assert (frames[2].offset, frames[2].length) == (len(TWO), len(ONE + HEX))
        assert not decoder.rejected


def test_block_behind_noise_is_found_and_one_cut_by_the_next_is_refused() -> None:
    frames, decoder = decoded([b"\xb4", ONE, b"rubbish", ONE, ONE[:20], ONE, TWO[:14], ONE, TWO])
    assert [frame.values.get("PID") for frame in frames] == ["0xA042"] * 4 + [None]
    assert frames[0].offset == 1
    assert frames[1].offset == 1 + len(ONE) + 7
    assert decoder.rejected == {"cut": 2}


def test_second_half_of_a_block_is_refused() -> None:
    frames, decoder = decoded([ONE[ONE.index(b"\r\nV") :], TWO])
    assert [frame.offset for frame in frames] == [len(ONE) - ONE.index(b"\r\nV")]
    assert decoder.rejected == {"checksum": 1}


def test_flipped_byte_costs_the_block_it_is_in() -> None:
    for place in range(len(ONE)):
        damaged = bytearray(ONE)
        damaged[place] ^= 0x01
        frames, _ = decoded([TWO, bytes(damaged), TWO, TWO])
        assert frames[0].values == frames[-1].values == {"H1": -149322, "H2": 0, "H18": 8527}
        assert "PID" not in {name for frame in frames for name in frame.values}


def test_repeated_label_is_numbered() -> None:
    text = b"\r\nV\t1\r\nV\t2\r\nChecksum\t"
    [frame], _ = decoded([text + bytes([-sum(text) & 0xFF])])
    assert frame.values == {"V": 1, "V_2": 2}


def test_endless_block_is_forgotten() -> None:
    for filler in (b"\r\nV\t12530", b"A", HEX, b"\r\nA\t" + HEX, b":"):
        decoder = Blocks(readable=False)
        for _ in range(3000):
            decoder.feed(filler * 10)
            assert len(decoder._text) + len(decoder._held) < 4 * LONGEST_BLOCK
            assert len(decoder._taken) <= 2 * LONGEST_BLOCK + 1
        assert decoder.feed(b"\r\n" + ONE)[-1].values["V"] == 12530
        assert not decoder.rejected or set(decoder.rejected) == {"cut"}


pieces = st.sampled_from(
    [ONE, TWO, HEX, b":", b"\r\n", b"\r\nPID\t1", b"\r\nChecksum\t", b"Checksum", b"\t", b":7F0", b"0A\n"]
)


@given(
    st.lists(pieces | st.binary(max_size=6), max_size=14).map(b"".join),
    st.lists(st.integers(0, 600), max_size=8),
)
def test_any_split_gives_the_same_where_the_two_protocols_meet(stream: bytes, places: list[int]) -> None:
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    whole, at_once = decoded([stream])
    cut, piecewise = decoded(stream[first:last] for first, last in pairwise(edges))
    single, bytewise = decoded(bytes([byte]) for byte in stream)
    assert cut == single == whole
    assert at_once.rejected == piecewise.rejected == bytewise.rejected


@given(st.integers(0, 3), st.lists(st.integers(0, 3 * LONGEST_BLOCK), max_size=8))
def test_any_split_gives_the_same_where_blocks_are_given_up(seed: int, places: list[int]) -> None:
    stream = b"".join(
        [ONE[:30], b"\r\nA\t1" * (300 + seed), b"x:" * seed, HEX, b"\r\nB\t" + b"7" * 2100, ONE, TWO]
    )
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    whole, at_once = decoded([stream])
    cut, piecewise = decoded(stream[first:last] for first, last in pairwise(edges))
    assert cut == whole
    assert at_once.rejected == piecewise.rejected
    assert [frame.values for frame in whole if frame.id == "text"] == [
        frame.values for frame in decoded([ONE, TWO])[0]
    ]


# Hex frames


@pytest.mark.parametrize(
    ("line", "kind", "values"),
    [
        (b":56141AE\n", "hex:ping", {"app_version": "0x4161"}),
        (b":156A05E\n", "hex:done", {"product_id": "0xA056"}),
        (b":4AAAAFD\n", "hex:error", {}),
        (b":3020050\n", "hex:unknown", {}),
        (b":7F2ED00ACF9CA\n", "hex:get", {"0xEDF2": -1620}),
        (b":7f2ed00acf9ca\n", "hex:get", {"0xEDF2": -1620}),
        (b":70A01004851313934393952484335000000000088\n", "hex:get", {"0x010A": "HQ19499RHC5"}),
        (hex_frame("8", bytes.fromhex("abed0004")), "hex:set", {"0xEDAB": 4}),
        (hex_frame("A", bytes.fromhex("8ced00 c7ffffff")), "hex:async", {"0xED8C": -57}),
        (hex_frame("7", bytes.fromhex("341200 0102")), "hex:get", {"0x1234": 0x0201}),
        (hex_frame("7", bytes.fromhex("341200 010203")), "hex:get", {"0x1234": "010203"}),
        (hex_frame("7", bytes.fromhex("ffed00")), "hex:get", {}),
        (hex_frame("7", bytes.fromhex("bced00") + bytes(9)), "hex:get", {"0xEDBC": "00" * 9}),
        (hex_frame("6"), "hex:6", {}),
    ],
)
def test_hex_frame_of_every_kind_is_read(line: bytes, kind: str, values: dict[str, Value]) -> None:
    [frame], decoder = decoded([ONE, line, TWO])[0][1:2], decoded([line])[1]
    assert (frame.id, frame.values, frame.offset, frame.length) == (kind, values, len(ONE), len(line))
    assert not decoder.rejected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b":7F2ED00ACF9CB\n", "hex checksum"),
        (b":7F2ED00ACF9C\n", "hex length"),
    ],
)
def test_damaged_hex_frame_is_refused(line: bytes, reason: str) -> None:
    frames, decoder = decoded([ONE, line, TWO])
    assert [frame.id for frame in frames] == ["text", "text"]
    assert decoder.rejected == {reason: 1}


def test_answer_with_flags_and_a_short_one_give_no_value() -> None:
    frames, decoder = decoded([hex_frame("7", bytes.fromhex("34120100")), hex_frame("7", b"\x34\x12")])
    assert [frame.values for frame in frames] == [{}, {}]
    assert decoder.dropped == {"register refused": 1, "register cut short": 1}


def test_longest_hex_frame() -> None:
    for size, count in ((LONGEST_HEX // 2 - 5, 1), (LONGEST_HEX, 0)):
        frames, _ = decoded([hex_frame("7", b"\x50\x10\x00" + bytes(size)), ONE])
        assert sum(frame.id == "hex:get" for frame in frames) == count


# Readable names


def readable(fields: dict[str, str]) -> dict[str, Value]:
    [frame], _ = decoded([block(fields)], readable=True)
    return frame.values


@pytest.mark.parametrize(
    ("label", "text", "expected"),
    [
        ("V", "12530", {"battery_voltage": 12.53}),
        ("I", "-7625", {"battery_current": -7.625}),
        ("SOC", "839", {"state_of_charge": 83.9}),
        ("SOC", "---", {}),
        ("DM", "-12", {"midpoint_deviation": -1.2}),
        ("TTG", "942", {"time_to_go": 942}),
        ("TTG", "-1", {}),
        ("H20", "123", {"yield_today": 1.23}),
        ("CS", "5", {"charge_state": "float"}),
        ("CS", "77", {"charge_state": "77"}),
        ("ERR", "0", {"error": "none"}),
        ("ERR", "33", {"error": "panel voltage high"}),
        ("MODE", "2", {"device_mode": "inverter"}),
        ("AR", "0", {"alarm_reason": "none"}),
        ("AR", "5", {"alarm_reason": "low voltage, low state of charge"}),
        ("AR", "32768", {"alarm_reason": "bit 15"}),
        ("OR", "0x00000081", {"off_reason": "no input power, engine off"}),
        ("MPPT", "2", {"tracker_mode": "tracking"}),
        ("MON", "-9", {"monitor_mode": "solar charger"}),
        ("Alarm", "OFF", {"alarm": False}),
        ("Relay", "On", {"relay": True}),
        ("FW", "123", {"firmware": "1.23"}),
        ("FW", "0308", {"firmware": "3.08"}),
        ("FW", "C208", {"firmware": "C2.08"}),
        ("FWE", "0208FF", {"firmware": "2.08"}),
        ("FWE", "020805", {"firmware": "2.08-beta-05"}),
        ("AC_OUT_V", "23012", {"ac_output_voltage": 230.12}),
        ("New#1", "5", {"field.new_1": 5}),
    ],
)
def test_field_gives_its_readable_value(label: str, text: str, expected: dict[str, Value]) -> None:
    assert readable({label: text}) == expected


@pytest.mark.parametrize(
    ("product", "model"),
    [
        ("0x203", "BMV-700"),
        ("0xA042", "BlueSolar MPPT 75/15"),
        ("0xA04F", "BlueSolar MPPT 150/85"),
        ("0xA056", "SmartSolar MPPT 100/30"),
        ("0xA065", "SmartSolar MPPT 250/100"),
        ("0xA06E", "SmartSolar MPPT 150/100"),
        ("0xA07B", "BlueSolar MPPT 100/15"),
        ("0xA10E", "SmartSolar MPPT VE.Can 150/100"),
        ("0xA116", "SmartSolar MPPT VE.Can 250/85"),
        ("0xA231", "Phoenix Inverter 12/250 230V"),
        ("0xA27C", "Phoenix Inverter 48/1200 120V"),
        ("0xA347", "Phoenix Smart IP43 Charger 24/16(3)"),
        ("0xA389", "SmartShunt 500A"),
    ],
)
def test_product_id_gives_the_model(product: str, model: str) -> None:
    assert readable({"PID": product, "BMV": "700"}) == {"product_id": product, "model": model}
    assert readable({"PID": "0xFFFE", "BMV": "700"}) == {"product_id": "0xFFFE", "model": "700"}


def test_unreadable_field_costs_only_itself() -> None:
    frames, decoder = decoded(
        [block({"V": "12x", "I": "5", "FW": "x", "Alarm": "?", "P": "9" * 40})], readable=True
    )
    assert [frame.values for frame in frames] == [{"battery_current": 0.005}]
    assert decoder.dropped == {"unreadable field": 4}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("bbed00 1e0d", {"panel_voltage": 33.58}),
        ("bbed00 ffff", {}),
        ("dbed00 ff7f", {}),
        ("dbed00 0cfe", {"charger_temperature": -5.0}),
        ("eced00 9672", {"battery_temperature": 20.19}),
        ("000100 0056a0ff", {"product_id": "0xA056"}),
        ("010200 fc", {"charge_state": "external control"}),
        ("070200 05000000", {"off_reason": "no input power, device mode"}),
        ("a8ed00 01", {"load": True}),
        ("0b0100 536d61727400", {"model": "Smart"}),
        ("0b0100 00", {}),
        ("341200 05", {"register.0x1234": 5}),
        ("501000" + "00" * 34, {"register.0x1050": "00" * 34}),
    ],
)
def test_register_gives_its_readable_value(payload: str, expected: dict[str, Value]) -> None:
    [frame], _ = decoded([hex_frame("7", bytes.fromhex(payload))], readable=True)
    assert frame.values == expected


def test_answer_to_a_ping_gives_the_firmware() -> None:
    frames, _ = decoded([b":56141AE\n", b":156A05E\n"], readable=True)
    assert [frame.values for frame in frames] == [{"firmware": "1.61"}, {"product_id": "0xA056"}]


def test_every_field_and_register_has_a_described_metric_and_every_metric_a_source() -> None:
    named = {name for name, _ in FIELDS.values()} | {register.name for register in REGISTERS.values()}
    assert named | {"field.*", "register.*"} == METRICS.keys()
    assert {name for name, metric in METRICS.items() if metric.settable} == WRITABLE.keys()
    assert {label for labels in RAW_UNITS.values() for label in labels.split()} <= FIELDS.keys()


def test_described_metrics_depend_on_the_names() -> None:
    assert DRIVER.describe(Options(driver="vedirect", port="/dev/ttyS0")) is METRICS
    described = DRIVER.describe(Options(driver="vedirect", port="/dev/ttyS0", names="protocol"))
    assert described["V"].unit == "mV"
    assert described["0xEDAB"].settable is not None


@pytest.mark.parametrize("name", ["0xEDBB", "0xedbb", "panel_voltage"])
def test_register_may_be_written_as_number_or_name(name: str) -> None:
    assert Options(driver="vedirect", port="/dev/ttyS0", registers=(name,)).registers == (name,)


@pytest.mark.parametrize("name", ["EDBB", "0xED", "panel_voltag", ""])
def test_unknown_register_is_an_error(name: str) -> None:
    with pytest.raises(ValidationError, match="0xEDDB"):
        Options.model_validate({"driver": "vedirect", "port": "/dev/ttyS0", "registers": [name]})
