"""What the value information of a record says: the tables of VIF codes.

Quantities carry the names that libmbus gives them: it is what other tools call them, and both kinds of metric
names are made from them.
Source: EN 13757-3:2018, tables 10 (primary), 12 (FB) and 14 (FD); combinable codes in table 15.
"""

from typing import NamedTuple


class Quantity(NamedTuple):
    name: str
    unit: str
    """`""` for a number without one, a text or a time."""
    multiplier: float
    """Of the number as sent; together with `divisor`, so that 742 * 1 / 10000 is 0.0742 and not nearly."""
    divisor: int
    newer: bool = False
    """Reserved in the editions before 2013, and for libmbus still."""


_DURATIONS = (1, 60, 3600, 86_400)
_MONTH, _YEAR = 2_629_743.83, 31_556_926
"""Seconds, as libmbus has them."""
_LONG_DURATIONS = (3600, 86_400, _MONTH, _YEAR)


def _scaled(
    name: str, unit: str, code: int, exponents: range | tuple[int, ...], *, newer: bool = False
) -> dict[int, Quantity]:
    """One code for each power of ten."""
    return {
        code + index: Quantity(name, unit, 10 ** max(exponent, 0), 10 ** max(-exponent, 0), newer)
        for index, exponent in enumerate(exponents)
    }


def _timed(name: str, code: int, seconds: tuple[float, ...], *, newer: bool = False) -> dict[int, Quantity]:
    return {code + index: Quantity(name, "s", each, 1, newer) for index, each in enumerate(seconds)}


def _plain(names: dict[int, str], *, newer: bool = False) -> dict[int, Quantity]:
    return {code: Quantity(name, "", 1, 1, newer) for code, name in names.items()}


PRIMARY = {
    **_scaled("Energy", "Wh", 0x00, range(-3, 5)),
    **_scaled("Energy", "J", 0x08, range(8)),
    **_scaled("Volume", "m3", 0x10, range(-6, 2)),
    **_scaled("Mass", "kg", 0x18, range(-3, 5)),
    **_timed("On time", 0x20, _DURATIONS),
    **_timed("Operating time", 0x24, _DURATIONS),
    **_scaled("Power", "W", 0x28, range(-3, 5)),
    **_scaled("Power", "J/h", 0x30, range(8)),
    **_scaled("Volume flow", "m3/h", 0x38, range(-6, 2)),
    **_scaled("Volume flow", "m3/min", 0x40, range(-7, 1)),
    **_scaled("Volume flow", "m3/s", 0x48, range(-9, -1)),
    **_scaled("Mass flow", "kg/h", 0x50, range(-3, 5)),
    **_scaled("Flow temperature", "degC", 0x58, range(-3, 1)),
    **_scaled("Return temperature", "degC", 0x5C, range(-3, 1)),
    **_scaled("Temperature difference", "K", 0x60, range(-3, 1)),
    **_scaled("External temperature", "degC", 0x64, range(-3, 1)),
    **_scaled("Pressure", "bar", 0x68, range(-3, 1)),
    **_timed("Averaging Duration", 0x70, _DURATIONS),
    **_timed("Actuality Duration", 0x74, _DURATIONS),
    **_plain({
        0x6C: "Time point (date)",
        0x6D: "Time point (date & time)",
        0x6E: "H.C.A.",
        0x6F: "Reserved",
        0x78: "Fabrication No",
        0x79: "(Enhanced) Identification",
        0x7A: "Bus Address",
        0x7E: "Any VIF",
        0x7F: "Manufacturer specific",
    }),
}  # fmt: skip

_RESERVED = _plain(dict.fromkeys(range(0x80), "Reserved"))

EXTENSION_FD = {
    **_RESERVED,
    **_scaled("Credit", "currency", 0x00, range(-3, 1)),
    **_scaled("Debit", "currency", 0x04, range(-3, 1)),
    **_timed("Storage interval", 0x24, (*_DURATIONS, _MONTH, _YEAR)),
    **_timed("Duration since last readout", 0x2C, _DURATIONS),
    **_timed("Duration of tariff", 0x31, _DURATIONS[1:]),
    **_timed("Period of tariff", 0x34, (*_DURATIONS, _MONTH, _YEAR)),
    **_timed("Period of nominal transmissions", 0x3C, _DURATIONS, newer=True),
    **_scaled("Voltage", "V", 0x40, range(-9, 7)),
    **_scaled("Current", "A", 0x50, range(-12, 4)),
    **_timed("Duration since last cumulation", 0x68, _LONG_DURATIONS),
    **_timed("Operating time battery", 0x6C, _LONG_DURATIONS),
    **_timed("Remaining battery life", 0x74, (86_400,), newer=True),
    **_plain({
        0x08: "Access Number (transmission count)",
        0x09: "Medium",
        0x0A: "Manufacturer",
        0x0B: "Parameter set identification",
        0x0C: "Model / Version",
        0x0D: "Hardware version",
        0x0E: "Firmware version",
        0x0F: "Software version",
        0x10: "Customer location",
        0x11: "Customer",
        0x12: "Access Code User",
        0x13: "Access Code Operator",
        0x14: "Access Code System Operator",
        0x15: "Access Code Developer",
        0x16: "Password",
        0x17: "Error flags",
        0x18: "Error mask",
        0x1A: "Digital Output",
        0x1B: "Digital Input",
        0x1C: "Baudrate",
        0x1D: "Response delay time",
        0x1E: "Retry",
        0x20: "First storage # for cyclic storage",
        0x21: "Last storage # for cyclic storage",
        0x22: "Size of storage block",
        0x3A: "Dimensionless",
        0x60: "Reset counter",
        0x61: "Cumulation counter",
        0x62: "Control signal",
        0x63: "Day of week",
        0x64: "Week number",
        0x65: "Time point of day change",
        0x66: "State of parameter activation",
        0x67: "Special supplier information",
        0x70: "Date and time of battery change",
    }),
    **_plain({
        0x19: "Security key",
        0x1F: "Remote control",
        0x23: "Descriptor for tariff and device",
        0x2A: "Operator specific data",
        0x2B: "Time point second",
        0x30: "Start of tariff",
        0x3B: "Wireless container",
        0x71: "Received level",
        0x72: "Daylight saving",
        0x73: "Listening window",
        0x75: "Times stopped",
        0x76: "Manufacturer container",
    }, newer=True),
}  # fmt: skip

EXTENSION_FB = {
    **_RESERVED,
    **_scaled("Energy", "Wh", 0x00, (5, 6)),
    **_scaled("Reactive energy", "varh", 0x02, (3, 4), newer=True),
    **_scaled("Apparent energy", "VAh", 0x04, (3, 4), newer=True),
    **_scaled("Energy", "J", 0x08, (8, 9)),
    **_scaled("Energy", "cal", 0x0C, range(5, 9), newer=True),
    **_scaled("Volume", "m3", 0x10, (2, 3)),
    **_scaled("Reactive power", "var", 0x14, range(4), newer=True),
    **_scaled("Mass", "kg", 0x18, (5, 6)),
    **_scaled("Relative humidity", "%", 0x1A, (-1, 0), newer=True),
    **_scaled("Volume", "ft3", 0x20, (0,), newer=True),
    **_scaled("Volume", "ft3", 0x21, (-1,)),
    **_scaled("Volume", "gal", 0x22, (-1, 0)),
    **_scaled("Volume flow", "gal/min", 0x24, (-3, 0)),
    **_scaled("Volume flow", "gal/h", 0x26, (0,)),
    **_scaled("Power", "W", 0x28, (5, 6)),
    **_scaled("Phase angle voltage", "deg", 0x2A, (-1,), newer=True),
    **_scaled("Phase angle current", "deg", 0x2B, (-1,), newer=True),
    **_scaled("Frequency", "Hz", 0x2C, range(-3, 1), newer=True),
    **_scaled("Power", "J/h", 0x30, (8, 9)),
    **_scaled("Apparent power", "VA", 0x34, range(4), newer=True),
    **_scaled("Flow temperature", "degF", 0x58, range(-3, 1)),
    **_scaled("Return temperature", "degF", 0x5C, range(-3, 1)),
    **_scaled("Temperature difference", "degF", 0x60, range(-3, 1)),
    **_scaled("External temperature", "degF", 0x64, range(-3, 1)),
    **_scaled("Cold / Warm Temperature Limit", "degF", 0x70, range(-3, 1)),
    **_scaled("Cold / Warm Temperature Limit", "degC", 0x74, range(-3, 1)),
    **_scaled("Cumul count max power", "W", 0x78, range(-3, 5)),
}

RESERVED = Quantity("Reserved", "", 1, 1)
