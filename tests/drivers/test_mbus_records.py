"""What the records of an M-Bus telegram say; the examples are the standard's own or small ones made by hand."""

from collections import Counter
from contextlib import suppress
from math import isfinite
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import drivers
from drivers.driver import Names
from drivers.mbus.metrics import METRICS
from drivers.mbus.records import named, parse
from gateway.errors import FrameError


def told(hexadecimal: str, names: Names = "readable", **how: Any) -> dict[str, Any]:
    return named(parse(bytes.fromhex(hexadecimal), names, **how).found, Counter())


@pytest.mark.parametrize(
    ("record", "readable", "protocol"),
    [
        # Data fields
        ("01 5B F6", {"flow_temperature": -10}, {"flow_temperature": -10}),
        ("02 5A FF FF", {"flow_temperature": -0.1}, {"flow_temperature": -0.1}),
        ("03 13 15 31 00", {"volume": 12.565}, {"volume": 12.565}),
        ("04 06 E7 91 00 00", {"energy": 37_351}, {"energy": 37_351_000}),
        ("05 5B 22 F3 26 42", {"flow_temperature": 41.73743}, {"flow_temperature": 41.737434}),
        ("06 03 00 00 00 00 00 80", {"energy": -(2**47) / 1000}, {"energy": -(2**47)}),
        ("07 03 01 00 00 00 00 00 00 00", {"energy": 0.001}, {"energy": 1}),
        ("09 FD 0E 02", {"firmware_version": 2}, {"firmware_version": 2}),
        ("0A 5A 55 07", {"flow_temperature": 75.5}, {"flow_temperature": 75.5}),
        ("0B 62 02 00 F0", {"temperature_difference": -0.2}, {"temperature_difference": -0.2}),
        ("0C 78 78 56 34 12", {"fabrication_no": 12_345_678}, {"fabrication_no": 12_345_678}),
        ("0E 84 00 01 00 00 00 00 00", {"energy": 0.01}, {"energy": 10}),
        ("0D FD 0B 05 31 32 48 46 57", {"parameter_set_identification": "WFH21"}, None),
        ("0D 78 C2 34 12", {"fabrication_no": 1234}, None),
        ("0D 78 D2 34 12", {"fabrication_no": -1234}, None),
        ("0D 78 E3 FF FF FF", {"fabrication_no": -1}, None),
        ("0D 78 F0 " + "00" * 15 + "AB", {"fabrication_no": "AB" + " 00" * 15}, None),
        ("00 78", {}, {"fabrication_no": ""}),
        ("08 78", {}, {"?": ""}),
        ("0D 78 EF " + "FF" * 14 + "7F", {"fabrication_no": float(2**119)}, None),
        ("07 07 FF FF FF FF FF FF FF 7F", {"energy": (2**63 - 1) * 10}, {"energy": float((2**63 - 1) * 10**4)}),
        # Dates
        ("42 6C 5F 1C", {"time_point_date_s1": "2010-12-31"}, None),
        ("42 6C 00 00", {}, {"time_point_date_s1": "2000-00-00"}),
        ("02 6C FF FF", {}, {"time_point_date": "2027-15-31"}),
        ("04 6D A2 10 8D 11", {}, {"time_point_date_time": "1900-01-00T00:00:00Z"}),
        ("03 6D 38 22 10", {"time_point_date_time": "16:34:56"}, {"time_point_date_time": 1_057_336}),
        ("02 FD 30 8D 11", {"start_of_tariff": "2012-01-13"}, {"reserved": 4493}),
        # Storage, tariff, subunit, function
        ("DA 02 3B 13 01", {"volume_flow_max_s5": 0.113}, None),
        ("8B 60 04 37 18 02", {"energy_t2_d1": 218.37}, {"energy_t2_d1": 218_370}),
        ("22 5B 05 00", {"flow_temperature_min": 5}, None),
        ("32 5B 05 00", {"flow_temperature_err": 5}, None),
        ("C4 8F 0F 13 01 00 00 00", {"volume_s511": 0.001}, None),
        ("81 B0 E0 10 13 01", {"volume_t27_d2": 0.001}, None),
        # Units, each with its usual one
        ("04 0E 24 00 00 00", {"energy": 10}, {"energy": 36_000_000}),
        ("04 FB 08 24 00 00 00", {"energy": 1000}, {"energy": 3_600_000_000}),
        ("04 FB 0D 01 00 00 00", {"energy": 1.163}, {"reserved": 1}),
        ("04 30 10 0E 00 00", {"power": 1}, {"power": 3600}),
        ("04 46 01 00 00 00", {"volume_flow": 6}, {"volume_flow": 0.1}),
        ("04 4E 01 00 00 00", {"volume_flow": 3.6}, {"volume_flow": 0.001}),
        ("04 FB 23 01 00 00 00", {"volume": 0.003785411784}, {"volume": 1}),
        ("02 FB 5B D4 00", {"flow_temperature": 100}, {"flow_temperature": 212}),
        ("02 FB 63 09 00", {"temperature_difference": 5}, {"temperature_difference": 9}),
        ("02 22 0A 00", {"on_time": 10}, {"on_time": 36_000}),
        ("02 FD 6D 0A 00", {"operating_time_battery": 10}, {"operating_time_battery": 864_000}),
        ("02 FD 29 01 00", {"storage_interval": 31_556_926}, {"storage_interval": 31_556_926}),
        ("02 FD C9 FF 01 E6 00", {"voltage": 230}, {"voltage": 230}),
        ("02 FB 2D 88 13", {"frequency": 50}, {"reserved": 5000}),
        ("02 FB 1B 37 00", {"relative_humidity": 55}, {"reserved": 55}),
        # Combinable codes
        ("02 93 74 FF 00", {"volume": 0.00255}, None),
        ("02 93 7D FF 00", {"volume": 255}, None),
        ("02 DB 79 0A 00", {"flow_temperature": 10.01}, None),
        ("02 FD C8 74 FF 00", {"voltage": 0.255}, {"voltage": 25.5}),
        ("02 93 A2 74 FF 00", {"volume": 0.00255}, {"volume": 0.255}),
        ("02 93 FC 74 FF 00", {"volume": 0.255}, {"volume": 0.255}),
        ("02 93 FF 74 FF 00", {"volume": 0.255}, {"volume": 0.255}),
        ("02 93 15 FF 00", {}, {"volume": 0.255}),
        # Texts as units
        ("02 FC 03 48 52 25 74 22 15", {"rh": 54.1}, None),
        ("03 FC 20 03 43 42 41 15 31 00", {"abc": 12_565}, None),
        ("02 7C 03 48 52 25 22 15", {"rh": 5410}, None),
        ("02 7C 01 25 22 15", {"%": 5410}, None),
        # What has no meaning
        ("04 7B 01 00 00 00", {"vif_7b": 1}, {"?": ""}),
        ("01 FF 13 04", {"manufacturer_specific": 4}, None),
        ("0C 13 AA BB CC DD", {}, {"volume": 13_121.11}),
        ("05 5B 00 00 C0 7F", {}, {}),
    ],
)  # fmt: skip
def test_record_gives_its_value(
    record: str, readable: dict[str, Any], protocol: dict[str, Any] | None
) -> None:
    expected: tuple[tuple[Names, dict[str, Any]], ...] = (
        ("readable", readable),
        ("protocol", readable if protocol is None else protocol),
    )
    for names, values in expected:
        assert told(record, names) == {
            name: value if isinstance(value, str) else pytest.approx(value, rel=1e-9)
            for name, value in values.items()
        }


@pytest.mark.parametrize(
    ("data", "when"),
    [
        ("04 6D 22 10 8D 11", "2012-01-13T16:34:00"),
        ("04 6D 10 09 05 C5", "1996-05-05T09:16:00"),
        ("04 6D 22 30 8D 11", "2012-01-13T16:34:00"),
        ("06 6D 38 22 10 8D 11 00", "2012-01-13T16:34:56"),
        ("04 FD 70 22 10 8D 11", "2012-01-13T16:34:00"),
    ],
)
def test_time_has_no_zone_except_in_the_form_of_libmbus(data: str, when: str) -> None:
    assert [*told(data).values()] == [when]
    assert [*told(data, "protocol").values()] == [f"{when}Z"]


def test_name_that_is_repeated_is_numbered_also_behind_one_without_a_value() -> None:
    assert told("0A 5A FF AA 0A 5A 55 07 0A 5A 56 07") == {
        "flow_temperature_2": 75.5,
        "flow_temperature_3": 75.6,
    }


def test_number_that_is_a_name_already_is_passed_over() -> None:
    text = "02 7C 08" + b"energy_2"[::-1].hex() + "01 00"
    assert told(f"01 06 01 {text} 01 06 02") == {"energy": 1, "energy_2": 1, "energy_3": 2}


def test_filler_is_passed_over_wherever_it_stands() -> None:
    assert told("2F 2F 03 13 15 31 00 2F 01 5B 14 2F") == {"volume": 12.565, "flow_temperature": 20}


@pytest.mark.parametrize(("mark", "more"), [("0F", False), ("1F", True)])
def test_rest_is_the_manufacturers(mark: str, more: bool) -> None:
    records = parse(bytes.fromhex(f"01 5B 14 {mark} 01 5B"), "readable")
    assert records.more_follow is more
    assert named(records.found, Counter()) == {"flow_temperature": 20, "manufacturer_data": "01 5B"}


def test_mark_that_more_follows_is_a_value_to_libmbus_only() -> None:
    assert told("01 5B 14 1F", "readable") == {"flow_temperature": 20}
    assert told("01 5B 14 1F", "protocol") == {"flow_temperature": 20, "?": ""}


def test_numbers_may_come_high_byte_first() -> None:
    assert told("03 13 00 31 15", high_byte_first=True) == {"volume": 12.565}


@pytest.mark.parametrize("whole", ["8B 60 04 37 18 02", "02 FC 03 48 52 25 74 22 15", "0D FD 0B 02 31 32"])
def test_records_that_break_off_are_refused(whole: str) -> None:
    body = bytes.fromhex(whole)
    parse(body, "readable")
    for length in range(1, len(body)):
        with pytest.raises(FrameError, match=r"^cut record$"):
            parse(body[:length], "readable")


@pytest.mark.parametrize("block", ["8B" * 12 + "04 37", "8B 60" + "84" * 11 + "04 37"])
def test_more_than_ten_extensions_are_refused(block: str) -> None:
    with pytest.raises(FrameError, match=r"^too many extensions$"):
        parse(bytes.fromhex(block + "18 02 00 00"), "readable")


def test_data_of_unknown_length_are_refused() -> None:
    with pytest.raises(FrameError, match=r"^unknown length of data$"):
        parse(bytes.fromhex("0D 78 FB 00 00"), "readable")


@given(st.binary(max_size=250), st.sampled_from(["readable", "protocol"]), st.booleans())
def test_any_bytes_give_records_or_one_of_few_reasons(
    body: bytes, names: Names, high_byte_first: bool
) -> None:
    refused = ""
    try:
        records = parse(body, names, high_byte_first=high_byte_first)
        orjson.dumps(values := named(records.found, Counter()))
        assert all(not isinstance(value, float) or isfinite(value) for value in values.values())
    except FrameError as error:
        refused = str(error)
    assert refused in {"", "cut record", "too many extensions", "unknown length of data"}


@given(st.binary(min_size=2, max_size=8), st.binary(min_size=64, max_size=64))
def test_every_code_of_the_tables_has_a_description(header: bytes, data: bytes) -> None:
    dif = header[0] & 0xCF | 0x04  # 32 bits
    body = bytes([dif & 0x7F, *header[1:]]) + data
    names = []
    if header[1] & 0x7F not in (0x7B, 0x7C, 0x7D):
        with suppress(FrameError):
            names = [record.name for record in parse(body, "readable").found[:1]]
    assert all(METRICS["readable"][name].label for name in names)


def test_metric_is_described_with_what_its_name_says() -> None:
    metrics = METRICS["readable"]
    energy = metrics["energy"]
    assert (energy.unit, energy.device_class, energy.state_class) == ("kW.h", "energy", "total_increasing")
    assert metrics["energy_t2"].state_class == "total_increasing"
    stored = metrics["energy_max_s5_t2_d1_3"]
    assert stored.label == "Energy, maximum, storage 5, tariff 2, subunit 1, number 3"
    assert (stored.unit, stored.state_class) == ("kW.h", "")
    with pytest.raises(KeyError):
        metrics["nonsense_s1"]


def test_descriptions_follow_the_kind_of_names() -> None:
    driver = drivers.find("mbus")
    options = driver.options(driver="mbus", port="/dev/null", names="protocol")
    described = driver.describe(options)
    assert (described["voltage"].unit, described["on_time"].unit) == ("V", "s")
    assert (described["power_max"].unit, described["power"].label) == ("", "Power in J/h or W")
    assert driver.describe(driver.options(driver="mbus", port="/dev/null")) is driver.metrics
