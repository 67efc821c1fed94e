"""Units as people read them: the machine's codes are UCUM's (https://ucum.org/ucum)."""

from collections.abc import Mapping

_SYMBOLS: Mapping[str, str] = {
    "Cel": "°C", "[degF]": "°F", "K": "K",
    "deg": "°", "deg/min": "°/min", "deg/s": "°/s", "m/s2": "m/s²", "m2/s2": "m²/s²", "mm2": "mm²",
    "[kn_i]": "kn", "[nmi_i]": "nmi", "[mi_i]/h": "mph", "km/h": "km/h", "[ft_i]": "ft", "[fth_i]": "fathom",
    "[in_i'Hg]": "inHg", "[in_i]": "in", "[in_i]/h": "in/h", "[psi]": "psi",
    "m2": "m²", "m3": "m³", "m3/h": "m³/h", "/cm3": "1/cm³", "/min": "1/min",
    "ug/m3": "µg/m³", "mg/m3": "mg/m³", "um": "µm", "us": "µs", "uA": "µA", "uV": "µV", "uW": "µW",
    "W/m2": "W/m²", "[ppm]": "ppm", "[ppb]": "ppb", "[ppth]": "‰", "[pH]": "pH",
    "kW.h": "kWh", "W.h": "Wh", "MW.h": "MWh", "V.A": "VA", "kV.A": "kVA", "kV.A.h": "kVAh", "V.A.h": "VAh",
    "kvar.h": "kvarh", "var.h": "varh", "A.h": "Ah", "mA.h": "mAh", "daW.h": "daWh",
    "By": "B", "uS/cm": "µS/cm", "10*-4.m": "0.1 mm",
    "Ohm": "Ω", "kOhm": "kΩ", "MOhm": "MΩ",
}  # fmt: skip


def symbol(code: str) -> str:
    """What stands behind a number: `°C` for `Cel`; an annotation has no braces, any other code stays as it is."""
    return _SYMBOLS.get(code) or code.removeprefix("{").removesuffix("}")
