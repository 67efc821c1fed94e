"""What the values mean, by readable name."""

from collections.abc import Mapping

from drivers.driver import Metric, Names
from drivers.mhz19 import CO2
from drivers.pms.codec import MODELS
from drivers.pms.layouts import HPMA115S0_BY_ITSELF, MHZ19B, PMS5003S, PMS5003T, PMSX003, ZH0XX, Layout


def _mass(size: str, device_class: str = "", conditions: str = "") -> Metric:
    return Metric("ug/m3", f"Particles up to {size} µm{conditions}", device_class, "measurement")


def _count(size: str) -> Metric:
    return Metric("/cm3", f"Number of particles above {size} µm", "", "measurement")


METRICS: Mapping[str, Metric] = {
    "pm1": _mass("1", "pm1"),
    "pm2_5": _mass("2.5", "pm25"),
    "pm4": _mass("4"),
    "pm10": _mass("10", "pm10"),
    "pm100": _mass("100"),
    "pm1_cf1": _mass("1", conditions=", in the factory's air (CF=1)"),
    "pm2_5_cf1": _mass("2.5", conditions=", in the factory's air (CF=1)"),
    "pm10_cf1": _mass("10", conditions=", in the factory's air (CF=1)"),
    "particles_0_3": _count("0.3"),
    "particles_0_5": _count("0.5"),
    "particles_1": _count("1"),
    "particles_2_5": _count("2.5"),
    "particles_5": _count("5"),
    "particles_10": _count("10"),
    "formaldehyde": Metric("mg/m3", "Formaldehyde", "", "measurement"),
    "temperature": Metric("Cel", "Temperature", "temperature", "measurement"),
    "humidity": Metric("%", "Relative humidity", "humidity", "measurement"),
    "pressure": Metric("hPa", "Air pressure", "atmospheric_pressure", "measurement"),
    "iaq": Metric("", "Index of air quality, 0 good to 500", "", "measurement"),
    "iaq_accuracy": Metric("", "How far the index is to be trusted, 0 to 3", "", "measurement"),
    "gas_resistance": Metric("kOhm", "Resistance of the gas sensor", "", "measurement"),
    "altitude": Metric("m", "Altitude by air pressure", "", "measurement"),
    "co2": CO2,
}


def described(model: str, names: Names) -> Mapping[str, Metric]:
    found = {}
    for layout in _layouts(model):
        for readable, name in zip(layout.readable, layout.names(names), strict=True):
            found[name] = METRICS[readable]
    return found


def _layouts(model: str) -> list[Layout]:
    families = MODELS[model].families.values()
    known = [family.layout for family in families if family.layout is not None]
    if len(known) < len(families):
        known += [PMSX003, PMS5003S, PMS5003T, HPMA115S0_BY_ITSELF, ZH0XX, MHZ19B]
    return known
