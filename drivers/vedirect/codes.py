"""Victron's numbers for states, modes and reasons, and what they are called here.

Source: VE.Direct protocol (text) 3.33, fields CS, ERR, MODE, AR, WARN, OR, MPPT, MON; BlueSolar HEX protocol, registers
0x0200, 0x0201, 0x0207, 0xEDAB, 0xEDDA; Phoenix inverter HEX protocol, register 0x0200.
"""

from collections.abc import Mapping

CHARGE_STATES = {
    0: "off",
    1: "low power",
    2: "fault",
    3: "bulk",
    4: "absorption",
    5: "float",
    6: "storage",
    7: "equalisation",
    8: "pass-through",
    9: "inverting",
    10: "assisting",
    11: "power supply",
    244: "sustain",
    245: "starting up",
    246: "repeated absorption",
    247: "recondition",
    248: "battery safe",
    249: "active",
    252: "external control",
}
"""Of chargers and inverters: field CS, register 0x0201."""

ERRORS = {
    0: "none",
    1: "battery temperature high",
    2: "battery voltage high",
    **dict.fromkeys((3, 4, 5), "remote temperature sensor"),
    **dict.fromkeys((6, 7, 8), "remote voltage sense"),
    11: "battery voltage ripple",
    14: "battery temperature low",
    17: "charger temperature high",
    18: "charger overcurrent",
    19: "charger current reversed",
    20: "bulk time exceeded",
    21: "current sensor",
    **dict.fromkeys((22, 23), "internal temperature sensor"),
    24: "fan",
    26: "terminals overheated",
    27: "charger short circuit",
    28: "converter",
    29: "overcharge protection",
    33: "panel voltage high",
    34: "panel current high",
    35: "panel power high",
    38: "input shut down, battery voltage high",
    39: "input shut down, current while off",
    40: "input shutdown failed",
    **dict.fromkeys((41, 42, 43), "inverter shut down"),
    50: "inverter overload",
    51: "inverter temperature high",
    52: "inverter peak current",
    **dict.fromkeys((53, 54), "inverter output voltage"),
    **dict.fromkeys((55, 56, 58), "inverter self test"),
    57: "AC on inverter output",
    65: "communication lost",
    66: "synchronised charging misconfigured",
    67: "BMS lost",
    **dict.fromkeys((68, 69, 70, 71), "network misconfigured"),
    **dict.fromkeys(range(80, 88), "PV input shut down"),
    114: "processor temperature high",
    116: "calibration lost",
    117: "firmware incompatible",
    119: "settings invalid",
    121: "tester failed",
    **dict.fromkeys((200, 201), "internal DC voltage"),
    202: "residual current sensor self test",
    **dict.fromkeys((203, 205, 212, 215), "internal supply voltage"),
}
"""Field ERR, register 0xEDDA."""

MODES = {1: "charger", 2: "inverter", 3: "on", 4: "off", 5: "eco", 253: "hibernate"}
"""Field MODE, register 0x0200."""

TRACKER_MODES = {0: "off", 1: "limited", 2: "tracking"}
"""Field MPPT, register 0xEDB3."""

LOAD_MODES = {
    0: "off",
    1: "battery life",
    2: "conventional 1",
    3: "conventional 2",
    4: "on",
    5: "user 1",
    6: "user 2",
    7: "energy selector",
}
"""Register 0xEDAB."""

MONITOR_MODES = {
    -9: "solar charger",
    -8: "wind turbine",
    -7: "shaft generator",
    -6: "alternator",
    -5: "fuel cell",
    -4: "water generator",
    -3: "DC-DC charger",
    -2: "AC charger",
    -1: "source",
    0: "battery monitor",
    1: "load",
    2: "electric drive",
    3: "fridge",
    4: "water pump",
    5: "bilge pump",
    6: "DC system",
    7: "inverter",
    8: "water heater",
}
"""Field MON: what a SmartShunt measures."""

ALARM_REASONS = (
    "low voltage",
    "high voltage",
    "low state of charge",
    "low starter voltage",
    "high starter voltage",
    "low temperature",
    "high temperature",
    "mid-point voltage",
    "overload",
    "DC ripple",
    "low AC output voltage",
    "high AC output voltage",
    "short circuit",
    "BMS lockout",
)
"""By bit: fields AR and WARN, registers 0x031C and 0x031E."""

OFF_REASONS = (
    "no input power",
    "power switch",
    "device mode",
    "remote input",
    "protection",
    "pay as you go",
    "BMS",
    "engine off",
    "input voltage",
    "battery temperature",
)
"""By bit: field OR, register 0x0207."""


def named(code: int, names: Mapping[int, str]) -> str:
    """A code without a name keeps its number."""
    return names.get(code) or str(code)


def reasons(bits: int, names: tuple[str, ...]) -> str:
    """What the set bits say, joined with commas; `none` without any."""
    if not bits:
        return "none"
    return ", ".join(
        names[bit] if bit < len(names) else f"bit {bit}"
        for bit in range(bits.bit_length())
        if bits >> bit & 1
    )
