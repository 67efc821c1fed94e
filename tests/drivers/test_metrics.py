"""What the drivers say of their metrics, held against UCUM and against what Home Assistant takes."""

import re
from collections.abc import Iterator

import pytest

import drivers
from drivers.driver import Metric
from scripts.benchmarks.fuzzing import sampled

ATOMS = {
    *(
        "m",
        "s",
        "g",
        "rad",
        "K",
        "C",
        "cd",
        "mol",
        "Hz",
        "N",
        "Pa",
        "J",
        "W",
        "A",
        "V",
        "F",
        "Ohm",
        "S",
        "Wb",
        "Cel",
    ),
    *(
        "T",
        "H",
        "lm",
        "lx",
        "Bq",
        "Gy",
        "Sv",
        "L",
        "l",
        "min",
        "h",
        "d",
        "a",
        "t",
        "bar",
        "deg",
        "B",
        "By",
        "var",
    ),
    *("%", "[ppm]", "[ppb]", "[ppth]", "[pH]", "[degF]", "[in_i]", "[ft_i]", "[fth_i]", "[nmi_i]", "[mi_i]"),
    *("[kn_i]", "[in_i'Hg]", "10*-4"),
}
"""Units of UCUM, of those that instruments have; and var, which UCUM has not."""
PREFIXES = ("", "k", "M", "G", "h", "da", "d", "c", "m", "u", "n", "p")

CLASSES = {
    "apparent_power": {"V.A"},
    "atmospheric_pressure": {"hPa", "bar", "[in_i'Hg]"},
    "battery": {"%"},
    "carbon_dioxide": {"[ppm]"},
    "current": {"A", "mA"},
    "data_size": {"By"},
    "distance": {"m", "[ft_i]", "[nmi_i]"},
    "duration": {"d", "h", "min", "s"},
    "energy": {"kW.h"},
    "frequency": {"Hz"},
    "gas": {"m3"},
    "humidity": {"%"},
    "illuminance": {"lx"},
    "irradiance": {"W/m2"},
    "ph": {"[pH]"},
    "pm1": {"ug/m3"},
    "pm10": {"ug/m3"},
    "pm25": {"ug/m3"},
    "power": {"W"},
    "power_factor": {""},
    "precipitation": {"mm"},
    "precipitation_intensity": {"mm/h"},
    "pressure": {"Pa", "kPa", "hPa", "bar"},
    "problem": {""},
    "reactive_energy": {"kvar.h"},
    "reactive_power": {"var"},
    "speed": {"m/s", "km/h", "[kn_i]", "[mi_i]/h"},
    "temperature": {"Cel", "[degF]"},
    "voltage": {"V", "mV"},
    "volume": {"m3", "L"},
    "volume_flow_rate": {"m3/h"},
    "volume_storage": {"L"},
    "water": {"m3"},
    "weight": {"g", "kg"},
    "wind_direction": {"deg"},
    "wind_speed": {"m/s", "km/h", "[kn_i]", "[mi_i]/h"},
}
"""Device classes of Home Assistant's sensors, and the units it takes for them that we use."""


def is_unit(code: str) -> bool:
    """Factors with exponents, between dots and at most one slash; or an annotation."""
    if not code or re.fullmatch(r"\{[^{}]+\}", code):
        return True
    above, _, below = code.partition("/")
    return all(is_factor(each) for part in (above, below) for each in part.split(".") if part)


def is_factor(text: str) -> bool:
    name = re.sub(r"(?<![*\-\d])\d$", "", text)
    return any(
        text[len(prefix) :] in ATOMS or name[len(prefix) :] in ATOMS
        for prefix in PREFIXES
        if text.startswith(prefix)
    )


def described(name: str) -> Iterator[tuple[str, Metric]]:
    driver = drivers.find(name)
    options = sampled(name, driver)
    yield from driver.metrics.items()
    for names in ("readable", "protocol"):
        yield from driver.describe(options.model_copy(update={"names": names})).items()


@pytest.mark.parametrize("name", sorted(drivers.DRIVERS))
def test_units_are_codes_of_ucum(name: str) -> None:
    assert {metric.unit for _, metric in described(name) if not is_unit(metric.unit)} == set()


@pytest.mark.parametrize("name", sorted(drivers.DRIVERS))
def test_device_class_goes_with_its_units(name: str) -> None:
    wrong = {
        (metric_name, metric.device_class, metric.unit)
        for metric_name, metric in described(name)
        if metric.device_class and metric.unit not in CLASSES.get(metric.device_class, ())
    }
    assert wrong == set()


@pytest.mark.parametrize(
    ("code", "good"), [("kW.h", True), ("kWh", False), ("m2/s2", True), ("VA", False), ("ug/m3", True)]
)
def test_unit_is_told_from_what_looks_like_one(code: str, good: bool) -> None:
    assert is_unit(code) == good


@pytest.mark.parametrize("name", sorted(drivers.DRIVERS))
def test_totals_are_numbers_that_can_be_summed(name: str) -> None:
    for metric_name, metric in described(name):
        if metric.state_class.startswith("total"):
            assert metric.device_class not in {"temperature", "humidity", "power", "voltage", "current"}, (
                metric_name
            )
