"""What Home Assistant takes a value for, and with which units: with others it refuses the sensor, or warns of it.

Source: Home Assistant 2026.2.3, `DEVICE_CLASS_UNITS` and `DEVICE_CLASS_STATE_CLASSES` of its sensors, and the classes
of its binary sensors; tests/system/test_homeassistant_itself.py holds these tables against the one that is installed.
"""

from collections.abc import Mapping
from typing import NamedTuple

from drivers.driver import Metric
from gateway.ucum import symbol


class Class(NamedTuple):
    units: frozenset[str] | None
    """None: any."""
    states: frozenset[str]


_MOMENT = frozenset({"measurement"})
_COUNT = frozenset({"total", "total_increasing"})
_BOTH = _MOMENT | _COUNT


def _moment(*units: str) -> Class:
    return Class(frozenset(units), _MOMENT)


_PRESSURE = _moment("Pa", "hPa", "kPa", "mPa", "bar", "cbar", "mbar", "mmHg", "inHg", "inH₂O", "psi")
_ENERGY = (
    "J", "kJ", "MJ", "GJ", "mWh", "Wh", "kWh", "MWh", "GWh", "TWh", "cal", "kcal", "Mcal", "Gcal",
)  # fmt: skip
_VOLUME = ("L", "mL", "m³", "ft³", "CCF", "MCF", "gal", "fl. oz.")
_WIND = ("m/s", "m/min", "mm/s", "km/h", "mph", "kn", "ft/s", "in/s", "Beaufort")
_RAIN = ("mm/h", "mm/d", "in/h", "in/d")
_DUST = _moment("µg/m³")
_DATA = frozenset(
    f"{prefix}{unit}"
    for unit, prefixes in {
        "bit": ("", "k", "M", "G"),
        "B": ("", *"kMGTPEZY", *(f"{each}i" for each in "KMGTPEZY")),
    }.items()
    for prefix in prefixes
)
_RATE = frozenset(
    {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "B/s", "kB/s", "MB/s", "GB/s", "KiB/s", "MiB/s", "GiB/s"}
)

SENSORS: Mapping[str, Class] = {
    "apparent_power": _moment("VA", "kVA", "mVA"),
    "aqi": _moment(""),
    "area": Class(
        frozenset({"mm²", "cm²", "m²", "km²", "ha", "in²", "ft²", "yd²", "mi²", "ac"}), _BOTH
    ),
    "atmospheric_pressure": _PRESSURE,
    "battery": _moment("%"),
    "blood_glucose_concentration": _moment("mg/dL", "mmol/L"),
    "carbon_dioxide": _moment("ppm"),
    "carbon_monoxide": _moment("ppm", "ppb", "mg/m³", "µg/m³"),
    "conductivity": _moment("S/cm", "mS/cm", "µS/cm"),
    "current": _moment("A", "mA"),
    "data_rate": Class(_RATE, _MOMENT),
    "data_size": Class(_DATA, _BOTH),
    "distance": Class(frozenset({"mm", "cm", "m", "km", "in", "ft", "yd", "mi", "nmi"}), _BOTH),
    "duration": Class(frozenset({"µs", "ms", "s", "min", "h", "d"}), _BOTH),
    "energy": Class(frozenset(_ENERGY), _COUNT),
    "energy_distance": _moment("kWh/100km", "Wh/km", "km/kWh", "mi/kWh"),
    "energy_storage": _moment(*_ENERGY),
    "frequency": _moment("Hz", "kHz", "MHz", "GHz"),
    "gas": Class(frozenset({"L", "m³", "ft³", "CCF", "MCF"}), _COUNT),
    "humidity": _moment("%"),
    "illuminance": _moment("lx"),
    "irradiance": _moment("W/m²", "BTU/(h⋅ft²)"),
    "moisture": _moment("%"),
    "monetary": Class(None, frozenset({"total"})),
    "nitrogen_dioxide": _moment("ppb", "µg/m³"),
    "nitrogen_monoxide": _moment("ppb", "µg/m³"),
    "nitrous_oxide": _moment("µg/m³"),
    "ozone": _moment("ppb", "µg/m³"),
    "ph": _moment(""),
    "pm1": _DUST,
    "pm10": _DUST,
    "pm25": _DUST,
    "pm4": _DUST,
    "power": _moment("mW", "W", "kW", "MW", "GW", "TW"),
    "power_factor": _moment("", "%"),
    "precipitation": Class(frozenset({"mm", "cm", "in"}), _BOTH),
    "precipitation_intensity": _moment(*_RAIN),
    "pressure": _PRESSURE,
    "reactive_energy": Class(frozenset({"varh", "kvarh"}), _COUNT),
    "reactive_power": _moment("mvar", "var", "kvar"),
    "signal_strength": _moment("dB", "dBm"),
    "sound_pressure": _moment("dB", "dBA"),
    "speed": _moment(*_WIND, *_RAIN),
    "sulphur_dioxide": _moment("ppb", "µg/m³"),
    "temperature": _moment("°C", "°F", "K"),
    "temperature_delta": _moment("°C", "°F", "K"),
    "volatile_organic_compounds": _moment("µg/m³", "mg/m³"),
    "volatile_organic_compounds_parts": _moment("ppm", "ppb"),
    "voltage": _moment("µV", "mV", "V", "kV", "MV"),
    "volume": Class(frozenset(_VOLUME), _COUNT),
    "volume_flow_rate": _moment(
        "mL/s", "L/s", "L/min", "L/h", "m³/s", "m³/min", "m³/h", "ft³/min", "gal/min", "gal/h", "gal/d"
    ),
    "volume_storage": _moment(*_VOLUME),
    "water": Class(frozenset({"L", "m³", "ft³", "CCF", "MCF", "gal"}), _COUNT),
    "weight": Class(frozenset({"µg", "mg", "g", "kg", "oz", "lb", "st"}), _BOTH),
    "wind_direction": Class(frozenset({"°"}), frozenset({"measurement_angle"})),
    "wind_speed": _moment(*_WIND),
}  # fmt: skip
"""Classes of numbers."""

BINARY_SENSORS = frozenset(
    {
        "battery", "battery_charging", "carbon_monoxide", "cold", "connectivity", "door", "garage_door", "gas",
        "heat", "light", "lock", "moisture", "motion", "moving", "occupancy", "opening", "plug", "power",
        "presence", "problem", "running", "safety", "smoke", "sound", "tamper", "update", "vibration", "window",
    }
)  # fmt: skip

TEXTS = frozenset({"date", "timestamp"})


class Meaning(NamedTuple):
    """Of a number, in Home Assistant's words; each may be empty."""

    unit: str
    device_class: str
    state_class: str


def meaning(metric: Metric) -> Meaning:
    """As far as Home Assistant takes it: a class that does not go with the unit is left out, not the unit."""
    unit, name, state = symbol(metric.unit), metric.device_class, str(metric.state_class)
    if name == "ph":  # a number without a unit there
        unit = ""
    known = SENSORS.get(name)
    if known is None or (known.units is not None and unit not in known.units):
        return Meaning(unit, "", state)
    if name == "wind_direction" and state == "measurement":
        state = "measurement_angle"
    return Meaning(unit, name, state if state in known.states else "")
