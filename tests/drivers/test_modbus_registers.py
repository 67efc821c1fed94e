"""What registers hold, and what may be written in the configuration about them."""

import struct
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import drivers
from drivers.modbus import values
from drivers.modbus.options import Options
from drivers.modbus.plan import blocks
from drivers.modbus.points import Point, Register, Span, found_in, points_of
from drivers.modbus.values import Order, Type
from gateway.errors import Refused
from gateway.model import Value

ORDERS: dict[Order, bytes] = {
    "big": b"ABCDEFGH",
    "little": b"HGFEDCBA",
    "word-swapped": b"GHEFCDAB",
    "byte-swapped": b"BADCFEHG",
}


def register(**given: Any) -> Register:
    return Register(**{"address": 0, **given})


def point(**given: Any) -> Point:
    return Point("m", register(**given), "big")


def read(data: bytes, **given: Any) -> dict[str, Value]:
    return dict(point(**given).values(data, Counter()))


def options(registers: dict[str, Any], **given: Any) -> Options:
    return Options(driver="modbus", port="/dev/null", registers=registers, **given)


@pytest.mark.parametrize(("order", "line"), ORDERS.items())
def test_every_order_is_undone_and_done_again(order: Order, line: bytes) -> None:
    assert values.ordered(line, order) == b"ABCDEFGH"
    assert values.ordered(b"ABCDEFGH", order) == line


@pytest.mark.parametrize(
    ("order", "line"),
    [("big", b"ABCD"), ("little", b"DCBA"), ("word-swapped", b"CDAB"), ("byte-swapped", b"BADC")],
)
def test_orders_of_32_bits_are_those_of_the_manuals(order: Order, line: bytes) -> None:
    assert values.ordered(line, order) == b"ABCD"


@given(
    st.sampled_from(["int16", "uint16", "int32", "uint32", "int64", "uint64"]),
    st.sampled_from([*ORDERS]),
    st.data(),
)
def test_what_is_written_is_what_would_be_read(kind: Type, order: Order, data: st.DataObject) -> None:
    bits = int(kind.lstrip("uint"))
    low, high = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    value = data.draw(st.integers(low, high))
    given = point(type=kind, order=order, writable=True)
    assert dict(given.values(given.written(value), Counter())) == {"m": value}
    for beyond in (low - 1, high + 1):
        with pytest.raises(Refused, match=kind):
            given.written(beyond)


@pytest.mark.parametrize(
    ("data", "given", "found"),
    [
        (b"\x08\xfd", {"type": "uint16", "scale": 0.1}, {"m": 230.1}),
        (b"\xff\xce", {"type": "int16", "scale": 0.01, "offset": 20}, {"m": 19.5}),
        (b"\x00\x03", {"type": "uint16", "scale": 10}, {"m": 30}),
        (struct.pack(">f", 230.2), {"type": "float32"}, {"m": 230.2}),
        (b"\x00\x02", {"type": "bool"}, {"m": True}),
        (b"\x00\x81", {"type": "bits", "bits": {"0": "a", "1": "b"}}, {"m_a": True, "m_b": False}),
        (b"\x00\x01", {"enum": {"0": "off", "0x01": "on"}}, {"m": "on"}),
        (b"\x00\x05", {"enum": {"0": "off"}}, {"m": "5"}),
        (b"pump\x00x", {"type": "string", "length": 6}, {"m": "pump"}),
        (b"uppm  ", {"type": "string", "length": 6, "order": "byte-swapped"}, {"m": "pump"}),
        (b"abcd", {"type": "string", "length": 3}, {"m": "abc"}),
        (b"\xb0C\x00\x00", {"type": "string", "length": 4}, {"m": "°C"}),
    ],
)  # fmt: skip
def test_registers_become_values(data: bytes, given: dict[str, Any], found: dict[str, Value]) -> None:
    assert read(data, **given) == found


@pytest.mark.parametrize("not_a_number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_dropped_and_counted(not_a_number: float) -> None:
    dropped: Counter[str] = Counter()
    found = point(type="float32").values(struct.pack(">f", not_a_number), dropped)
    assert dict(found) == {}
    assert dropped == {"not a number": 1}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"address": 65535, "type": "uint32"}, "beyond the last register, 65535"),
        ({"address": -1}, "greater than or equal to 0"),
        ({"table": "coil", "type": "int16"}, 'its type can be "bool" only'),
        ({"type": "string"}, "length must be given"),
        ({"length": 4}, "length must be given"),
        ({"type": "string", "length": 4, "order": "little"}, "order of a string"),
        ({"type": "bits"}, "bits must be given"),
        ({"type": "bits", "bits": {"16": "x"}}, "numbered 0 to 15"),
        ({"type": "bits", "bits": {"first": "x"}}, "must be a whole number"),
        ({"bits": {"0": "x"}}, "bits must be given"),
        ({"type": "float32", "enum": {"0": "off"}}, "enum is for whole numbers"),
        ({"enum": {"0": "off"}, "scale": 2}, "scale and offset are for numbers"),
        ({"scale": 0}, "scale must not be 0"),
        ({"table": "input", "writable": True}, "nothing can be written to the table input"),
        ({"type": "bits", "bits": {"0": "x"}, "writable": True}, "read only"),
        ({"type": "string", "length": 4, "writable": True}, "one of its choices only"),
        ({"min": 3}, "are for writable = true"),
        ({"broadcast": True}, "are for writable = true"),
        ({"writable": True, "min": 3, "max": 2}, "min must not be greater"),
        ({"enum": {"0": "off"}, "writable": True, "max": 2}, "are for numbers and strings"),
    ],
)
def test_registers_that_make_no_sense_are_refused_with_the_reason(
    given: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        register(**given)


@pytest.mark.parametrize(
    ("registers", "given", "complaint"),
    [
        ({}, {}, "there are none to ask for"),
        ({"a b": {"address": 0}}, {}, "without spaces"),
        ({"a..b": {"address": 0}}, {}, "without spaces"),
        ({"a": {"address": 0, "type": "uint64"}}, {"max_registers": 3}, "takes 4 registers, and max_registers is 3"),
        (
            {"a_on": {"address": 0}, "a": {"address": 1, "type": "bits", "bits": {"0": "on"}}},
            {},
            "a_on stands for two",
        ),
        ({"a": {"address": 0}}, {"unit": 248}, "less than or equal to 247"),
    ],
)  # fmt: skip
def test_devices_that_make_no_sense_are_refused_with_the_reason(
    registers: dict[str, Any], given: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        options(registers, **given)


def test_a_listener_needs_no_registers() -> None:
    assert not options({}, mode="listen").registers


def test_registers_may_overlap() -> None:
    both = options({"whole": {"address": 0, "type": "uint32"}, "low": {"address": 1}})
    found = found_in(
        Span("holding", 0, 2), b"\0\1\0\2", points_of(both.registers, "big"), "readable", Counter()
    )
    assert found == {"whole": 65538, "low": 2}


def test_order_of_the_device_is_for_registers_that_do_not_say_theirs() -> None:
    given = {"a": register(type="uint32"), "b": register(type="uint32", order="big")}
    first, second = points_of(given, "word-swapped")
    assert dict(first.values(b"\0\1\0\2", Counter())) == {"a": 0x20001}
    assert dict(second.values(b"\0\1\0\2", Counter())) == {"b": 0x10002}


def test_metrics_say_what_the_configuration_says_and_what_its_units_tell() -> None:
    given = options(
        {
            "energy_import": {"address": 0, "type": "float32", "unit": "kW.h"},
            "mode": {"address": 2, "enum": {"0": "off"}, "writable": True},
            "status": {"address": 3, "type": "bits", "bits": {"0": "pump_on"}, "label": "State"},
            "load": {"address": 4, "unit": "%", "device_class": "power_factor"},
        }
    )
    metrics = drivers.find("modbus").describe(given)
    energy = metrics["energy_import"]
    assert (energy.label, energy.device_class, energy.state_class) == (
        "Energy import",
        "energy",
        "total_increasing",
    )
    assert metrics["mode"].settable is not None
    assert metrics["mode"].settable.choices == ("off",)
    assert metrics["status_pump_on"].label == "State: pump on"
    assert (metrics["load"].device_class, metrics["load"].state_class) == ("power_factor", "measurement")


def test_a_listener_has_nothing_to_be_set_and_protocol_names_are_the_registers() -> None:
    given = {"a": {"address": 7, "type": "uint32", "writable": True}, "b": {"table": "coil", "address": 1}}
    heard = drivers.find("modbus").describe(options(given, mode="listen"))
    assert [metric.settable for metric in heard.values()] == [None, None]
    named = drivers.find("modbus").describe(options(given, names="protocol"))
    assert named.keys() == {"hr7", "hr8", "co1"}


def spans(registers: dict[str, Register], **given: Any) -> list[Span]:
    limits = {"max_gap": 0, "max_registers": 125, **given}
    return [block.span for block in blocks(points_of(registers, "big"), **limits)]


def test_neighbours_are_read_together_and_gaps_only_as_far_as_allowed() -> None:
    some = {str(at): register(address=at) for at in (0, 1, 4, 9)}
    assert spans(some) == [("holding", 0, 2), ("holding", 4, 1), ("holding", 9, 1)]
    assert spans(some, max_gap=2) == [("holding", 0, 5), ("holding", 9, 1)]
    assert spans(some, max_gap=4) == [("holding", 0, 10)]
    assert spans(some, max_gap=4, max_registers=5) == [("holding", 0, 5), ("holding", 9, 1)]
    assert spans(some, max_gap=4, divided={("holding", 4)}) == [("holding", 0, 2), ("holding", 4, 6)]


def test_tables_are_not_mixed_and_bits_have_a_limit_of_their_own() -> None:
    bits = {f"c{at}": register(table="coil", address=at) for at in range(2500)}
    assert spans(bits | {"h": register(address=0)}) == [
        ("coil", 0, 2000),
        ("coil", 2000, 500),
        ("holding", 0, 1),
    ]


@given(
    st.dictionaries(st.integers(0, 300), st.sampled_from(["uint16", "uint32", "uint64"]), min_size=1),
    st.integers(0, 20),
    st.integers(4, 125),
)
def test_every_register_is_in_one_request_and_no_request_is_too_long(
    kinds: dict[int, str], max_gap: int, max_registers: int
) -> None:
    points = points_of({str(at): register(address=at, type=kind) for at, kind in kinds.items()}, "big")
    found = blocks(points, max_gap=max_gap, max_registers=max_registers)
    assert [point for block in found for point in block.points] == points
    for block in found:
        assert block.span.length <= max_registers
        assert all(
            block.span.first <= point.span.first and point.span.end <= block.span.end
            for point in block.points
        )


def test_block_is_divided_in_its_widest_gap_and_never_within_a_number() -> None:
    [block] = blocks(
        points_of({str(at): register(address=at) for at in (0, 1, 2, 8, 9)}, "big"),
        max_gap=9,
        max_registers=125,
    )
    first, second = block.halves() or pytest.fail("one piece")
    assert (first.span, second.span) == (("holding", 0, 3), ("holding", 8, 2))
    [block] = blocks(
        points_of({"a": register(type="uint64"), "b": register(address=2)}, "big"),
        max_gap=0,
        max_registers=125,
    )
    assert block.halves() is None


@given(st.sets(st.integers(0, 60), min_size=2))
def test_dividing_on_and_on_ends_with_single_registers(addresses: set[int]) -> None:
    points = points_of({str(at): register(address=at) for at in addresses}, "big")
    [waiting] = [blocks(points, max_gap=60, max_registers=125)]
    single = []
    while waiting:
        block = waiting.pop()
        halves = block.halves()
        if halves is None:
            single.append(block.span)
        else:
            waiting += halves
            assert all(one.end <= other.first for one, other in pairwise(half.span for half in halves))
    assert sorted(single) == [("holding", at, 1) for at in sorted(addresses)]
