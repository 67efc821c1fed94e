"""From the units of the protocol to the usual ones, which the metrics of `names = "readable"` have."""

from collections.abc import Mapping
from typing import NamedTuple


class Conversion(NamedTuple):
    unit: str
    """UCUM."""
    multiplier: float = 1
    divisor: float = 1
    offset: float = 0.0


_CUBIC_FOOT = (28_316_846_592, 10**12)
_GALLON = (3_785_411_784, 10**12)
"""Of the United States; both in cubic metres, exactly."""

_USUAL: Mapping[str, Conversion] = {
    "": Conversion(""),
    "Wh": Conversion("kW.h", 1, 1000),
    "J": Conversion("kW.h", 1, 3_600_000),
    "cal": Conversion("kW.h", 1163, 10**9),
    "W": Conversion("W"),
    "J/h": Conversion("W", 1, 3600),
    "varh": Conversion("kV.A.h", 1, 1000),
    "VAh": Conversion("kV.A.h", 1, 1000),
    "var": Conversion("V.A"),
    "VA": Conversion("V.A"),
    "V": Conversion("V"),
    "A": Conversion("A"),
    "Hz": Conversion("Hz"),
    "deg": Conversion("deg"),
    "%": Conversion("%"),
    "m3": Conversion("m3"),
    "ft3": Conversion("m3", *_CUBIC_FOOT),
    "gal": Conversion("m3", *_GALLON),
    "m3/h": Conversion("m3/h"),
    "m3/min": Conversion("m3/h", 60),
    "m3/s": Conversion("m3/h", 3600),
    "gal/min": Conversion("m3/h", _GALLON[0] * 60, _GALLON[1]),
    "gal/h": Conversion("m3/h", *_GALLON),
    "kg": Conversion("kg"),
    "kg/h": Conversion("kg/h"),
    "degC": Conversion("Cel"),
    "degF": Conversion("Cel", 5, 9, -160 / 9),
    "K": Conversion("K"),
    "bar": Conversion("bar"),
    "s": Conversion("s"),
    "currency": Conversion(""),
}

_HOURS = Conversion("h", 1, 3600)
_DAYS = Conversion("d", 1, 86_400)
_BY_QUANTITY: Mapping[str, Mapping[str, Conversion]] = {
    "On time": {"s": _HOURS},
    "Operating time": {"s": _HOURS},
    "Operating time battery": {"s": _DAYS},
    "Remaining battery life": {"s": _DAYS},
    "Temperature difference": {"degF": Conversion("K", 5, 9)},
}


def usual(quantity: str, unit: str) -> Conversion:
    return _BY_QUANTITY.get(quantity, {}).get(unit) or _USUAL[unit]
