"""What meters call their values: OBIS codes, and the readable names and units we give them.

For every driver of a meter that says OBIS codes: P1, IEC 62056-21 (D0), SML. One unit for each quantity, so that a
meter that counts in Wh and one that counts in kWh report the same: energies in kWh, powers in W, volumes in m3.

A code without a name here keeps itself: `1-0:96.5.5` is `obis.1_0_96_5_5`, with the meter's own value and unit.
A value of a past period (`*01` behind the code) has the name of the present one: `history.1.energy_import_t1`.

Source: IEC 62056-6-1; for codes 0-0:96 and 0-n:24 the P1 companion standards of the Netherlands, Belgium, Luxembourg
and Hungary; for the codes of two parts EDIS (DIN 43863-3), as heat meters print them.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from drivers.driver import Metric
from gateway.model import Value

# UCUM has no unit for reactive power; var is IEC's.
_UNITS = {
    "Wh": ("kW.h", 0.001),
    "kWh": ("kW.h", 1.0),
    "MWh": ("kW.h", 1000.0),
    "GWh": ("kW.h", 1_000_000.0),
    "MJ": ("kW.h", 1 / 3.6),
    "GJ": ("kW.h", 1000 / 3.6),
    "varh": ("kvar.h", 0.001),
    "kvarh": ("kvar.h", 1.0),
    "Mvarh": ("kvar.h", 1000.0),
    "VAh": ("kV.A.h", 0.001),
    "kVAh": ("kV.A.h", 1.0),
    "MVAh": ("kV.A.h", 1000.0),
    "mW": ("W", 0.001),
    "W": ("W", 1.0),
    "kW": ("W", 1000.0),
    "MW": ("W", 1_000_000.0),
    "var": ("var", 1.0),
    "kvar": ("var", 1000.0),
    "Mvar": ("var", 1_000_000.0),
    "VA": ("V.A", 1.0),
    "kVA": ("V.A", 1000.0),
    "MVA": ("V.A", 1_000_000.0),
    "mV": ("V", 0.001),
    "V": ("V", 1.0),
    "kV": ("V", 1000.0),
    "mA": ("A", 0.001),
    "A": ("A", 1.0),
    "kA": ("A", 1000.0),
    "Hz": ("Hz", 1.0),
    "m3": ("m3", 1.0),
    "dm3": ("m3", 0.001),
    "l": ("m3", 0.001),
    "m3/h": ("m3/h", 1.0),
    "l/h": ("m3/h", 0.001),
    "C": ("Cel", 1.0),
    "K": ("K", 1.0),
    "deg": ("deg", 1.0),
    "s": ("s", 1.0),
    "m": ("s", 60.0),  # of time, as the Siemens 2WR5 prints it; no meter of these prints a length
    "min": ("s", 60.0),
    "h": ("h", 1.0),
    "d": ("h", 24.0),
}
"""As meters print them: the unit of our metrics, and what to multiply by."""

_SPELLINGS = {
    **{unit.lower(): unit for unit in _UNITS if unit not in ("mW", "MW")},
    "m^3": "m3",
    "m³": "m3",
    "cbm": "m3",
    "dm^3": "dm3",
    "m3ph": "m3/h",
    "m3h": "m3/h",
    "m^3/h": "m3/h",
    "m³/h": "m3/h",
    "lph": "l/h",
    "°c": "C",
    "cel": "C",
    "°": "deg",
}
"""Other ways to write them, in lower case."""

_BARE = {"W": "kW", "var": "kvar", "V.A": "kVA"}
"""What a number without a unit is in, where that is not the metric's own: D0 meters leave out kW, never W."""


class Quantity(NamedTuple):
    """What becomes of a value with a certain code and unit."""

    name: str
    number: bool
    """Whether a text of digits is a number: a count, but not a serial number."""
    factor: float
    """What makes the metric's unit of the meter's."""

    def scaled(self, value: float) -> float:
        if self.factor == 1:
            return value
        return round(value * self.factor, 9)  # 6545766 Wh are 6545.766 kWh, not 6545.7660000000005


_PHASES = {"": 0, "_l1": 20, "_l2": 40, "_l3": 60}
_TARIFFS = (1, 2, 3, 4)

_DIRECTIONS = {
    1: ("{}_import", "{} imported"),
    2: ("{}_export", "{} exported"),
    3: ("reactive_{}_import", "Reactive {} imported"),
    4: ("reactive_{}_export", "Reactive {} exported"),
    5: ("reactive_{}_q1", "Reactive {} in quadrant 1"),
    6: ("reactive_{}_q2", "Reactive {} in quadrant 2"),
    7: ("reactive_{}_q3", "Reactive {} in quadrant 3"),
    8: ("reactive_{}_q4", "Reactive {} in quadrant 4"),
    9: ("apparent_{}_import", "Apparent {} imported"),
    10: ("apparent_{}_export", "Apparent {} exported"),
    15: ("{}_absolute", "{} imported plus exported"),
    16: ("{}", "{} imported less exported"),
}
"""By value group C of the sum of all phases."""


def _energy_metric(c: int, label: str) -> Metric:
    if c in range(3, 9):
        return Metric("kvar.h", label, "reactive_energy", "total_increasing")
    if c in (9, 10):
        return Metric("kV.A.h", label, "", "total_increasing")
    return Metric("kW.h", label, "energy", "total" if c == 16 else "total_increasing")  # noqa: PLR2004 - C, as above


def _power_metric(c: int, label: str) -> Metric:
    if c in range(3, 9):
        return Metric("var", label, "reactive_power", "measurement")
    if c in (9, 10):
        return Metric("V.A", label, "apparent_power", "measurement")
    return Metric("W", label, "power", "measurement")


def _electricity() -> Iterator[tuple[str, str, Metric]]:
    """Code without A and B, name and meaning."""
    for c, (name, label) in _DIRECTIONS.items():
        energy, power = name.format("energy"), name.format("power")
        energy_label, power_label = (label.format(what).capitalize() for what in ("energy", "power"))
        for phase, first in _PHASES.items():
            of_phase = f", {phase[1:].upper()}" if phase else ""
            yield f"{first + c}.8.0", energy + phase, _energy_metric(c, energy_label + of_phase)
            yield f"{first + c}.7.0", power + phase, _power_metric(c, power_label + of_phase)
        for tariff in _TARIFFS:
            metric = _energy_metric(c, f"{energy_label}, tariff {tariff}")
            yield f"{c}.8.{tariff}", f"{energy}_t{tariff}", metric
        for tariff in (0, *_TARIFFS):
            at, of_tariff = (f"_t{tariff}", f", tariff {tariff}") if tariff else ("", "")
            metric = _power_metric(c, f"{power_label}: highest average of the period{of_tariff}")
            yield f"{c}.6.{tariff}", f"{power}_max{at}", metric
        yield f"{c}.2.0", f"{power}_max_sum", _power_metric(c, f"{power_label}: highest averages added up")
        yield (
            f"{c}.4.0",
            f"{power}_average",
            _power_metric(c, f"{power_label}: average so far of this interval"),
        )
        yield (
            f"{c}.5.0",
            f"{power}_last_average",
            _power_metric(c, f"{power_label}: average of the last interval"),
        )
        yield f"{c}.9.0", f"{energy}_period", _energy_metric(c, f"{energy_label} since the last reset")
    for phase, first in _PHASES.items():
        of_phase = f", {phase[1:].upper()}" if phase else ""
        yield (
            f"{first + 11}.7.0",
            f"current{phase}",
            Metric("A", f"Current{of_phase}", "current", "measurement"),
        )
        yield (
            f"{first + 12}.7.0",
            f"voltage{phase}",
            Metric("V", f"Voltage{of_phase}", "voltage", "measurement"),
        )
        power_factor = Metric("", f"Power factor{of_phase}", "power_factor", "measurement")
        yield f"{first + 13}.7.0", f"power_factor{phase}", power_factor
        yield (
            f"{first + 14}.7.0",
            f"frequency{phase}",
            Metric("Hz", f"Frequency{of_phase}", "frequency", "measurement"),
        )
        limit = Metric("A", f"Current above which the breaker opens{of_phase}", "current", "measurement")
        yield f"{first + 11}.4.0", f"current_limit{phase}", limit
        sags = Metric("", f"Voltage sags{of_phase}", "", "total_increasing")
        yield f"{first + 12}.32.0", f"voltage_sags{phase}", sags
        swells = Metric("", f"Voltage swells{of_phase}", "", "total_increasing")
        yield f"{first + 12}.36.0", f"voltage_swells{phase}", swells
    yield "91.7.0", "current_n", Metric("A", "Current, neutral", "current", "measurement")
    yield "92.7.0", "voltage_n", Metric("V", "Voltage, neutral", "voltage", "measurement")
    for e, between in {
        1: "voltage_l2_l1",
        2: "voltage_l3_l1",
        4: "current_l1_voltage_l1",
        15: "current_l2_voltage_l2",
        26: "current_l3_voltage_l3",
    }.items():
        words = between.replace("_l", " L").replace("_", " to ")
        yield f"81.7.{e}", f"angle_{between}", Metric("deg", f"Phase angle, {words}", "", "measurement")


def _count(label: str) -> Metric:
    return Metric("", label, "", "total_increasing")


_NAMED: dict[str, tuple[str, Metric]] = {
    # Who it is, and when
    "1-3:0.2.8": ("version", Metric("", "Version of the P1 telegram")),
    "0-0:96.1.4": ("version", Metric("", "Version of the P1 telegram")),
    "0-0:1.0.0": ("time", Metric("", "Time of the meter; S summer time, W winter time")),
    "0.9.1": ("time_of_day", Metric("", "Time of the meter")),
    "0.9.2": ("date", Metric("", "Date of the meter")),
    "0.9.4": ("time", Metric("", "Time of the meter; S summer time, W winter time")),
    "0-0:96.1.0": ("meter_id", Metric("", "Serial number")),
    "0-0:96.1.1": ("meter_id", Metric("", "Serial number")),
    "1-0:96.1.0": ("meter_id", Metric("", "Serial number")),
    "0-0:96.1.255": ("meter_id", Metric("", "Serial number")),
    "0-0:42.0.0": ("device_name", Metric("", "Logical device name")),
    "0-0:96.1.2": ("ean", Metric("", "Number of the connection (EAN)")),
    "0.0.0": ("meter_number", Metric("", "Number of the meter")),
    "0.0.9": ("server_id", Metric("", "Server identification")),
    "129-129:199.130.3": ("manufacturer", Metric("", "Manufacturer")),
    "1-0:96.50.1": ("manufacturer", Metric("", "Manufacturer")),
    "129-129:199.130.5": ("public_key", Metric("", "Public key of the meter")),
    "C.1.0": ("serial_number", Metric("", "Serial number of the maker")),
    "0.2.0": ("firmware", Metric("", "Version of the firmware or of its settings")),
    # What it is set to, and what happened to it
    "0-0:96.14.0": ("tariff", Metric("", "Tariff in force")),
    "0-0:96.3.10": ("breaker", Metric("", "Breaker: 0 off, 1 on, 2 ready to be switched on")),
    "0-0:96.13.0": ("message", Metric("", "Message to the consumer")),
    "0-0:96.13.1": ("message_code", Metric("", "Message to the consumer, as a number")),
    "0-0:96.7.21": ("power_failures", _count("Power failures")),
    "0-0:96.7.9": ("long_power_failures", _count("Long power failures")),
    "1-0:99.97.0": ("power_failure_log", Metric("", "Log of the long power failures")),
    "0-0:98.1.0": ("power_import_max_log", Metric("", "Highest average powers of past months")),
    "F.F.0": ("error", Metric("", "Error code; zeros: none")),
    "F": ("error", Metric("", "Error code; zeros: none")),
    "C.5.0": ("status", Metric("", "Status")),
    "C.7.0": ("power_failures", _count("Power failures")),
    "0.1.0": ("resets", _count("Resets of the highest averages")),
    "0.1.2": ("reset_time", Metric("", "Time of the last reset")),
    "C.8.0": ("operating_time", Metric("h", "Time in operation", "duration", "total_increasing")),
    # Other media
    "7-0:3.0.0": ("gas", Metric("m3", "Gas", "gas", "total_increasing")),
    "7-0:3.1.0": ("gas", Metric("m3", "Gas", "gas", "total_increasing")),
    "8-0:1.0.0": ("water", Metric("m3", "Water", "water", "total_increasing")),
    "9-0:1.0.0": ("hot_water", Metric("m3", "Hot water", "water", "total_increasing")),
    "6-0:1.0.0": ("heat", Metric("kW.h", "Heat", "energy", "total_increasing")),
    "5-0:1.0.0": ("cooling", Metric("kW.h", "Cooling", "energy", "total_increasing")),
    "6-0:2.0.0": ("heat_volume", Metric("m3", "Volume through the heat meter", "water", "total_increasing")),
    # Heat meters, EDIS
    "6.8": ("heat", Metric("kW.h", "Heat", "energy", "total_increasing")),
    "6.26": ("heat_volume", Metric("m3", "Volume through the heat meter", "water", "total_increasing")),
    "6.4": ("heat_power", Metric("W", "Heat per time", "power", "measurement")),
    "6.6": ("heat_power_max", Metric("W", "Heat per time: highest of the period", "power", "measurement")),
    "6.27": ("heat_flow", Metric("m3/h", "Flow", "volume_flow_rate", "measurement")),
    "6.33": (
        "heat_flow_max",
        Metric("m3/h", "Flow: highest of the period", "volume_flow_rate", "measurement"),
    ),
    "6.29": ("flow_temperature", Metric("Cel", "Temperature of the flow", "temperature", "measurement")),
    "6.28": ("return_temperature", Metric("Cel", "Temperature of the return", "temperature", "measurement")),
    "6.30": ("temperature_difference", Metric("K", "Flow less return", "", "measurement")),
    "6.31": ("operating_time", Metric("h", "Time in operation", "duration", "total_increasing")),
    "6.32": ("fault_time", Metric("h", "Time with a fault", "duration", "total_increasing")),
    "6.35": (
        "averaging_time",
        Metric("s", "Over which the highest averages are taken", "duration", "measurement"),
    ),
    "6.36": ("reset_day", Metric("", "Day of the year's reset")),
    "9.20": ("meter_number", Metric("", "Number of the meter")),
    "9.21": ("owner_number", Metric("", "Number given by the owner")),
    "9.36": ("time", Metric("", "Time of the meter; S summer time, W winter time")),
}
"""By code; without A and B where any will do."""

_ALTERNATIVES = {
    "0-0:17.0.0": (
        ("power_limit", Metric("W", "Power above which the breaker opens", "power", "measurement")),
        ("current_limit", Metric("A", "Current above which the breaker opens", "current", "measurement")),
        (
            "apparent_power_limit",
            Metric("V.A", "Power above which the breaker opens", "apparent_power", "measurement"),
        ),
    )
}
"""Codes whose unit says what they are."""

OBIS_METRICS: dict[str, Metric] = {
    **{name: metric for _, name, metric in _electricity()},
    **dict(_NAMED.values()),
    **dict(choice for choices in _ALTERNATIVES.values() for choice in choices),
    "obis.*": Metric("", "Under its OBIS code, in the meter's own unit"),
    "history.*.*": Metric("", "Of a past period, which the number counts; in the unit of the present value"),
}
"""By readable name."""

_STATES = frozenset({"tariff", "breaker"})
"""Numbers that are neither measured nor counted."""

_ELECTRICITY = {code: (name, metric) for code, name, metric in _electricity()}
# More digits than any meter has are a text: they would not fit into the wire's 64 bits.
_PRINTED = re.compile(r" *([+-]?\d{1,18}(?:\.\d{1,18})?)(?:\*([^*&]{1,16}))?", re.ASCII)
_COUNT = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_CODE = re.compile(r"(?:(\d{1,3})-(\d{1,3}):)?([0-9A-Z]{1,3}(?:\.[0-9A-Z]{1,3}){0,2})(?:[*&](\d{1,3}))?")
_UNSAFE = re.compile(r"[^0-9a-z]+")


def printed(text: str) -> tuple[Value, str | None]:
    """A value in brackets, as IEC 62056-21 prints it, and its unit.

    `000285.4*kWh` is a number with a unit. Digits without a unit or a decimal point stay a text, as may be a
    serial number or a code.
    """
    if (match := _PRINTED.fullmatch(text)) is None:
        return text, None
    number, unit = match.groups()
    if "." in number:
        return float(number), unit
    return (text, None) if unit is None else (int(number), unit)


def counted(value: Value) -> float | None:
    """A number, where a text of digits is one; None for other texts."""
    if not isinstance(value, str):
        return value
    return int(value) if _COUNT.fullmatch(value) else None


class Values(dict[str, Value]):
    """The values of one telegram; a metric that it repeats is numbered."""

    def __init__(self) -> None:
        super().__init__()
        self._repeated: dict[str, int] = {}

    def add(self, name: str, value: Value) -> None:
        unique = name
        while unique in self:
            # Counted, not searched for: a load profile may repeat a code ten thousand times.
            occurrence = self._repeated[name] = self._repeated.get(name, 1) + 1
            unique = f"{name}_{occurrence}"
        self[unique] = value


@lru_cache(maxsize=4096)
def quantity(code: str, unit: str | None) -> Quantity:
    """What the code means, `A-B:C.D.E`, with `*F` unless that is 255, A and B left out where the meter does.

    `unit` as the meter has it, None without one. Readings whose unit does not fit keep their code.
    """
    if unit and unit not in _UNITS:
        unit = _SPELLINGS.get(unit.lower(), unit)
    if (match := _CODE.fullmatch(code)) is None:
        return _unnamed(code)
    a, b, cde, f = match.groups()
    for name, metric in _meanings(a, b, cde):
        number = bool(metric.unit or metric.state_class or name in _STATES)
        wanted = metric.unit
        told = unit or _BARE.get(wanted)
        ours, factor = _UNITS.get(told, (None, 1.0)) if told else (wanted, 1.0)
        if ours == wanted:
            return Quantity(f"history.{int(f)}.{name}" if f else name, number, factor)
    return _unnamed(code)


def _meanings(a: str | None, b: str | None, cde: str) -> tuple[tuple[str, Metric], ...]:
    """Names the code may have; the unit decides."""
    prefix = f"{a}-{b}:" if a else ""
    if prefix + cde in _ALTERNATIVES:
        return _ALTERNATIVES[prefix + cde]
    full = f"{cde}.0" if cde.count(".") == 1 else cde
    c = cde.partition(".")[0]
    # Codes of two parts with 6 or 9 are a heat meter's: those of electricity have three.
    is_electricity = (a is None and not (full != cde and c in ("6", "9"))) or (a == "1" and b in ("0", "1"))
    found = [
        _NAMED.get(prefix + cde),
        _ELECTRICITY.get(full) if is_electricity else None,
        _NAMED.get(full) if a in (None, "0", "1") else None,
    ]
    return tuple(each for each in found if each)


def _unnamed(code: str) -> Quantity:
    return Quantity(f"obis.{_UNSAFE.sub('_', code.lower()).strip('_')}", number=False, factor=1.0)
