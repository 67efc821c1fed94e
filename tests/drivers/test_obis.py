import pytest

from drivers.obis import OBIS_METRICS, quantity


@pytest.mark.parametrize(
    ("code", "unit", "value", "name", "expected"),
    [
        ("1-0:1.8.0", "Wh", 6545766, "energy_import", 6545.766),
        ("1-0:1.8.1", "kWh", 8048.375, "energy_import_t1", 8048.375),
        ("1-0:2.8.2", "kWh", 1.5, "energy_export_t2", 1.5),
        ("1-1:1.8.0", "MWh", 1.5, "energy_import", 1500),
        ("1-0:3.8.0", "kVArh", 1234.432, "reactive_energy_import", 1234.432),
        ("1-0:1.7.0", "kW", 2.027, "power_import", 2027),
        ("1-0:41.7.0", "W", 737.28, "power_import_l2", 737.28),
        ("1-0:16.7.0", "W", -42, "power", -42),
        ("1-0:63.7.0", "kVAr", 0.348, "reactive_power_import_l3", 348),
        ("1-0:72.7.0", "V", 229.9, "voltage_l3", 229.9),
        ("1-0:31.7.0", "mA", 480, "current_l1", 0.48),
        ("1-0:14.7.0", "Hz", 49.98, "frequency", 49.98),
        ("0-0:17.0.0", "kW", 16.1, "power_limit", 16_100),
        ("0-0:17.0.0", "A", 999, "current_limit", 999),
        ("0-0:17.0.0", "kVA", 69, "apparent_power_limit", 69_000),
        ("1-0:1.8.1", "kwh", 1.5, "energy_import_t1", 1.5),
        ("1-0:1.7.0", "kw", 1.193, "power_import", 1193),
        ("7-0:3.0.0", "m3", 12.5, "gas", 12.5),
        ("8-0:1.0.0", "l", 1500, "water", 1.5),
        ("6.8", "GJ", 3.6, "heat", 1000),
        ("6.33", "m3ph", 1.476, "heat_flow_max", 1.476),
        ("1.8.0", "kWh", 285.4, "energy_import", 285.4),
        ("1-0:1.8.1*01", "kWh", 7904.135, "history.1.energy_import_t1", 7904.135),
    ],
)
def test_codes_have_readable_names_and_one_unit_for_each_quantity(
    code: str, unit: str, value: float, name: str, expected: float
) -> None:
    found = quantity(code, unit)
    assert (found.name, found.number) == (name, True)
    assert found.scaled(value) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("code", "unit", "name"),
    [
        ("1-0:96.5.5", None, "obis.1_0_96_5_5"),
        ("1-0:96.5.5*02", None, "obis.1_0_96_5_5_02"),
        ("9.24", "m3ph", "obis.9_24"),
        ("1-0:1.8.0", "m3", "obis.1_0_1_8_0"),
        ("1-0:1.8.0", "furlong", "obis.1_0_1_8_0"),
        ("2-0:1.8.0", "kWh", "obis.2_0_1_8_0"),
        ("1-0:99:97.0", None, "obis.1_0_99_97_0"),
    ],
)
def test_codes_without_a_name_or_with_a_strange_unit_keep_themselves(
    code: str, unit: str | None, name: str
) -> None:
    assert quantity(code, unit) == (name, False, 1.0)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("F.F", "error"),
        ("0-0:F.F.0", "error"),
        ("F", "error"),
        ("C.1", "serial_number"),
        ("0.0.0", "meter_number"),
    ],
)
def test_texts_are_not_numbers_even_if_they_are_digits(code: str, name: str) -> None:
    assert quantity(code, None) == (name, False, 1.0)


@pytest.mark.parametrize(
    ("code", "name"),
    [("0-0:96.7.21", "power_failures"), ("0-0:96.14.0", "tariff"), ("1-0:52.32.0", "voltage_sags_l2")],
)
def test_counts_and_states_are_numbers(code: str, name: str) -> None:
    assert quantity(code, None) == (name, True, 1.0)


def test_numbers_without_a_unit_are_in_the_one_that_d0_meters_leave_out() -> None:
    assert quantity("1.8.0", None) == ("energy_import", True, 1.0)
    assert quantity("1.7.0", None) == ("power_import", True, 1000.0)
    assert quantity("32.7.0", None) == ("voltage_l1", True, 1.0)


def test_names_are_ascii_words() -> None:
    for name in OBIS_METRICS:
        assert all(part == "*" or part.replace("_", "a").isalnum() for part in name.split(".")), name
        assert name.isascii()
        assert name == name.lower()
