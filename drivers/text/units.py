"""Units as balances and multimeters print them: which quantity they tell, and how to get its common unit."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from drivers.driver import Metric

METRICS: Mapping[str, Metric] = {
    "weight": Metric("g", "Weight", "weight", "measurement"),
    "pieces": Metric("", "Pieces counted", "", "measurement"),
    "percentage": Metric("%", "Share", "", "measurement"),
    "voltage": Metric("V", "Voltage", "voltage", "measurement"),
    "current": Metric("A", "Current", "current", "measurement"),
    "resistance": Metric("Ohm", "Resistance", "", "measurement"),
    "capacitance": Metric("F", "Capacitance", "", "measurement"),
    "inductance": Metric("H", "Inductance", "", "measurement"),
    "frequency": Metric("Hz", "Frequency", "frequency", "measurement"),
    "power": Metric("W", "Power", "power", "measurement"),
    "temperature": Metric("Cel", "Temperature", "temperature", "measurement"),
    "pressure": Metric("Pa", "Pressure", "pressure", "measurement"),
    "force": Metric("N", "Force", "", "measurement"),
    "length": Metric("m", "Length", "distance", "measurement"),
    "volume": Metric("L", "Volume", "volume_storage", "measurement"),
    "duration": Metric("s", "Duration", "duration", "measurement"),
    "illuminance": Metric("lx", "Illuminance", "illuminance", "measurement"),
    "level": Metric("dB", "Level", "", "measurement"),
    "speed": Metric("/min", "Rotation speed", "", "measurement"),
    "ph": Metric("[pH]", "Acidity", "ph", "measurement"),
    "value": Metric("", "Value", "", "measurement"),
    "stable": Metric("", "Whether the display stands still"),
}


class Unit(NamedTuple):
    """A value times `scale` plus `offset` is the quantity in the unit of its metric."""

    metric: str
    scale: float = 1.0
    offset: float = 0.0


_PREFIXES = {
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "μ": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
}

_PREFIXED = {
    "V": "voltage", "A": "current", "Ohm": "resistance", "OHM": "resistance", "ohm": "resistance",
    "Ω": "resistance", "\N{OHM SIGN}": "resistance", "F": "capacitance", "H": "inductance", "Hz": "frequency",
    "HZ": "frequency", "W": "power", "Pa": "pressure", "N": "force", "m": "length", "L": "volume", "l": "volume",
    "s": "duration",
}  # fmt: skip

_OTHERS = {
    "mm": Unit("length", 1e-3),
    "cm": Unit("length", 1e-2),
    "in": Unit("length", 0.0254),
    "hPa": Unit("pressure", 100),
    "mbar": Unit("pressure", 100),
    "bar": Unit("pressure", 1e5),
    "psi": Unit("pressure", 6894.757293168),
    "mmHg": Unit("pressure", 133.322387415),
    "Torr": Unit("pressure", 133.322368421),
    "C": Unit("temperature"),
    "°C": Unit("temperature"),
    "degC": Unit("temperature"),
    "K": Unit("temperature", 1, -273.15),
    "°F": Unit("temperature", 5 / 9, -160 / 9),
    "degF": Unit("temperature", 5 / 9, -160 / 9),
    "%": Unit("percentage"),
    "rpm": Unit("speed"),
    "RPM": Unit("speed"),
    "lx": Unit("illuminance"),
    "lux": Unit("illuminance"),
    "dB": Unit("level"),
    "pH": Unit("ph"),
}

_MASSES = {
    "g": 1, "kg": 1e3, "mg": 1e-3, "ug": 1e-6, "µg": 1e-6, "t": 1e6, "ct": 0.2, "c": 0.2,
    "lb": 453.59237, "lbs": 453.59237,
    "oz": 28.349523125, "ot": 31.1034768, "ozt": 31.1034768, "oz t": 31.1034768, "dwt": 1.55517384, "dw": 1.55517384,
    "gn": 0.06479891, "gr": 0.06479891, "mo": 3.75, "mom": 3.75, "tl": 37.429, "tlh": 37.429, "tls": 37.7993641666,
    "tlt": 37.5, "tlc": 31.25, "to": 11.6638038, "tol": 11.6638038, "ms": 4.6875, "bat": 15.16,
}  # fmt: skip
"""In grams; printed in either case. Taels are Hong Kong's unless they say where from."""

_COUNTS = ("pcs", "pc")


def _all() -> Iterator[tuple[str, Unit]]:
    for name, metric in _PREFIXED.items():
        yield name, Unit(metric)
        for prefix, scale in _PREFIXES.items():
            yield prefix + name, Unit(metric, scale)
    yield from _OTHERS.items()


_UNITS = dict(_all())
_WEIGHED = {
    **{name: Unit("weight", grams) for name, grams in _MASSES.items()},
    **dict.fromkeys(_COUNTS, Unit("pieces")),
    "%": Unit("percentage"),
}


def unit(printed: str, *, of_balance: bool = False) -> Unit | None:
    """None: not known. What is ambiguous (`ms`, `C`) means a mass when a balance prints it."""
    mass = _WEIGHED.get(printed.lower())
    return mass if of_balance else _UNITS.get(printed) or mass
