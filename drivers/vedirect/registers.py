"""The registers of the hex protocol: what a number means, and how its bytes are read and written.

Source: BlueSolar HEX protocol (chargers), BMV-7xx HEX protocol (battery monitors), VE.Direct HEX protocol for Phoenix
inverters: tables of registers.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from drivers.driver import Settable
from drivers.vedirect import codes
from gateway.errors import Refused
from gateway.model import Value

KELVIN = -273.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """How the bytes of a register are read; integers are little-endian.

    All ones, of a signed one the highest, mean that the device does not know.
    """

    name: str
    """The readable one."""
    per: int = 1
    """How many of the register's units make one of the metric's."""
    plus: float = 0.0
    """Added after that."""
    signed: bool = False
    text: bool = False
    names: Mapping[int, str] | None = None
    show: Callable[[int], Value] | None = None
    """For what is neither number, text nor one of the names."""
    width: int = 0
    """Bytes that a Set carries; 0: it is not written."""

    def raw(self, data: bytes) -> Value:
        if self.text:
            return data.split(b"\x00", 1)[0].decode("latin-1")
        return int.from_bytes(data, "little", signed=self.signed)

    def readable(self, data: bytes) -> Value | None:
        """None: the device does not know."""
        if self.text:
            return self.raw(data)
        number = int.from_bytes(data, "little", signed=self.signed)
        if number == (1 << (8 * len(data) - self.signed)) - 1:
            return None
        if self.names is not None:
            return codes.named(number, self.names)
        if self.show is not None:
            return self.show(number)
        if self.per == 1 and not self.plus:
            return number
        return round(number / self.per + self.plus, 6)

    def encoded(self, metric: str, value: Value) -> bytes:
        """What a Set carries for a readable value. Raises: Refused."""
        if self.names is not None:
            number = next(code for code, name in self.names.items() if name == value)
        else:
            assert not isinstance(value, str)  # Settable.check has seen to it
            number = round((value - self.plus) * self.per)
        return self.packed(metric, number)

    def packed(self, metric: str, number: int) -> bytes:
        """Raises: Refused."""
        try:
            return number.to_bytes(self.width, "little", signed=self.signed)
        except OverflowError:
            raise Refused(f"{metric} cannot be {number}: the register has {8 * self.width} bits") from None

    @property
    def bounds(self) -> Settable | None:
        """What may be written as a number of the register's own units."""
        if not self.width:
            return None
        span = 1 << 8 * self.width
        low = -span // 2 if self.signed else 0
        return Settable(minimum=low, maximum=low + span - 1)


def _product(number: int) -> str:
    return f"0x{number >> 8 & 0xFFFF:04X}"


def _volts(name: str, width: int = 0) -> Register:
    return Register(name=name, per=100, width=width)


REGISTERS: Mapping[int, Register] = {
    # Product
    0x0100: Register(name="product_id", show=_product),
    0x0101: Register(name="product_revision"),
    0x0102: Register(name="app_version"),
    0x0104: Register(name="group_id"),
    0x010A: Register(name="serial_number", text=True),
    0x010B: Register(name="model", text=True),
    0x010C: Register(name="description", text=True),
    0x0120: Register(name="uptime"),
    # Generic
    0x0200: Register(name="device_mode", names=codes.MODES, width=1),
    0x0201: Register(name="charge_state", names=codes.CHARGE_STATES),
    0x0205: Register(name="off_reason", show=partial(codes.reasons, names=codes.OFF_REASONS)),
    0x0207: Register(name="off_reason", show=partial(codes.reasons, names=codes.OFF_REASONS)),
    0x031C: Register(name="warning", show=partial(codes.reasons, names=codes.ALARM_REASONS)),
    0x031E: Register(name="alarm_reason", show=partial(codes.reasons, names=codes.ALARM_REASONS)),
    0x034E: Register(name="relay", show=bool, width=1),
    # Battery monitor
    0x0300: Register(name="deepest_discharge", per=10, signed=True),
    0x0301: Register(name="last_discharge", per=10, signed=True),
    0x0302: Register(name="average_discharge", per=10, signed=True),
    0x0303: Register(name="charge_cycles"),
    0x0304: Register(name="full_discharges"),
    0x0305: Register(name="charge_drawn", per=10, signed=True),
    0x0306: _volts("battery_voltage_min"),
    0x0307: _volts("battery_voltage_max"),
    0x0308: Register(name="time_since_full_charge"),
    0x0309: Register(name="synchronisations"),
    0x030A: Register(name="low_voltage_alarms"),
    0x030B: Register(name="high_voltage_alarms"),
    0x030C: Register(name="low_starter_voltage_alarms"),
    0x030D: Register(name="high_starter_voltage_alarms"),
    0x030E: Register(name="starter_voltage_min", per=100, signed=True),
    0x030F: Register(name="starter_voltage_max", per=100, signed=True),
    0x0310: Register(name="energy_discharged", per=100),
    0x0311: Register(name="energy_charged", per=100),
    0x0382: _volts("midpoint_voltage"),
    0x0383: Register(name="midpoint_deviation", per=10, signed=True),
    0x0FFE: Register(name="time_to_go"),
    0x0FFF: Register(name="state_of_charge", per=100, width=2),
    0xED7D: Register(name="starter_voltage", per=100),
    0xED8C: Register(name="battery_current", per=1000, signed=True),
    0xED8D: Register(name="battery_voltage", per=100, signed=True),
    0xED8E: Register(name="battery_power", signed=True),
    0xED8F: Register(name="battery_current", per=10, signed=True),
    0xEEB6: Register(name="synchronised", show=bool),
    0xEEFF: Register(name="consumed_charge", per=10, signed=True),
    # Settings of a charger
    0xED2E: _volts("rebulk_offset"),
    0xEDE0: Register(name="low_temperature", per=100, signed=True),
    0xEDE3: Register(name="equalisation_time_max", per=100),
    0xEDE4: Register(name="equalisation_current_level"),
    0xEDE5: Register(name="equalisation_stops_on_voltage", show=bool),
    0xEDE6: Register(name="low_temperature_current", per=10),
    0xEDE7: Register(name="tail_current", per=10),
    0xEDE8: Register(name="bms_present", show=bool),
    0xEDEA: Register(name="battery_voltage_setting"),
    0xEDEF: Register(name="battery_voltage_nominal"),
    0xEDF0: Register(name="battery_current_max", per=10, width=2),
    0xEDF1: Register(name="battery_type"),
    0xEDF2: Register(name="temperature_compensation", per=100, signed=True),
    0xEDF4: _volts("equalisation_voltage", width=2),
    0xEDF6: _volts("float_voltage", width=2),
    0xEDF7: _volts("absorption_voltage", width=2),
    0xEDFB: Register(name="absorption_time_max", per=100),
    0xEDFD: Register(name="equalisation_interval"),
    0xEDFE: Register(name="adaptive_absorption", show=bool),
    # What a charger does
    0xEDD0: Register(name="power_max_yesterday"),
    0xEDD1: Register(name="yield_yesterday", per=100),
    0xEDD2: Register(name="power_max_today"),
    0xEDD3: Register(name="yield_today", per=100),
    0xEDD5: _volts("battery_voltage"),
    0xEDD7: Register(name="charger_current", per=10),
    0xEDDA: Register(name="error", names=codes.ERRORS),
    0xEDDB: Register(name="charger_temperature", per=100, signed=True),
    0xEDDC: Register(name="yield_total", per=100),
    0xEDDD: Register(name="yield_lifetime", per=100),
    0xEDDF: Register(name="charger_current_max", per=10),
    0xEDEC: Register(name="battery_temperature", per=100, plus=KELVIN),
    # Panels and load
    0xEDA8: Register(name="load", show=bool),
    0xEDA9: _volts("load_voltage"),
    0xEDAB: Register(name="load_mode", names=codes.LOAD_MODES, width=1),
    0xEDAD: Register(name="load_current", per=10),
    0xEDB3: Register(name="tracker_mode", names=codes.TRACKER_MODES),
    0xEDB8: _volts("panel_voltage_max"),
    0xEDBB: _volts("panel_voltage"),
    0xEDBC: Register(name="panel_power", per=100),
    0xEDBD: Register(name="panel_current", per=10),
    # Network of chargers
    0x2001: _volts("network_voltage_setpoint", width=2),
    0x2002: _volts("network_battery_voltage", width=2),
    0x2003: Register(name="network_battery_temperature", per=100, signed=True, width=2),
    0x200C: Register(name="network_state", names=codes.CHARGE_STATES),
    0x200E: Register(name="network_mode", width=1),
    0x2013: Register(name="network_total_current", per=1000, signed=True, width=4),
    0x2015: Register(name="network_current_limit", per=10, width=2),
    # Inverter
    0x0230: _volts("ac_voltage_setpoint", width=2),
    0x0231: _volts("ac_voltage_setpoint_min"),
    0x0232: _volts("ac_voltage_setpoint_max"),
    0x0320: _volts("low_battery_alarm", width=2),
    0x0321: _volts("low_battery_alarm_clear", width=2),
    0x1040: Register(name="operating_time"),
    0x1041: Register(name="energy_drawn", per=100),
    0x2200: Register(name="ac_output_voltage", per=100, signed=True),
    0x2201: Register(name="ac_output_current", per=10, signed=True),
    0x2202: Register(name="ac_output_voltage_nominal"),
    0x2203: Register(name="ac_output_power_rated", signed=True),
    0x2205: Register(name="ac_output_apparent_power", signed=True),
    0x2210: _volts("low_battery_shutdown", width=2),
    0x2211: _volts("battery_voltage_range_min"),
    0x2212: _volts("battery_voltage_range_max"),
    0xEB04: Register(name="eco_current_min", per=1000, signed=True),
    0xEB06: Register(name="eco_retry_time", per=4),
    0xEB4E: Register(name="inverter_current", per=1000, signed=True),
}
"""By number."""

WRITABLE: Mapping[str, int] = {
    register.name: number for number, register in REGISTERS.items() if register.width
}
"""By readable name."""

_INTEGERS = frozenset({1, 2, 4})
"""Widths of what is a number in a register that is not in the table."""


def raw(number: int, data: bytes) -> tuple[str, Value]:
    """Name and value as they are sent; bytes that are no number are written in hex."""
    name = called(number)
    if (register := REGISTERS.get(number)) is not None and (register.text or len(data) <= 8):  # noqa: PLR2004 - 64 bits
        return name, register.raw(data)
    return name, int.from_bytes(data, "little") if len(data) in _INTEGERS else data.hex()


def readable(number: int, data: bytes) -> tuple[str, Value | None]:
    if (register := REGISTERS.get(number)) is not None and (register.text or len(data) <= 8):  # noqa: PLR2004 - 64 bits
        return register.name, register.readable(data)
    name, value = raw(number, data)
    return f"register.{name}", value


@lru_cache(maxsize=512)
def called(number: int) -> str:
    return f"0x{number:04X}"


def numbered(text: str) -> int:
    """The number of a register that is written as a name or as 0x and four digits. Raises: ValueError."""
    if (number := _NUMBERS.get(text)) is not None:
        return number
    if _WRITTEN.fullmatch(text):
        return int(text, 16)
    raise ValueError("must be a register's name, or its number such as 0xEDDB")


_NUMBERS: Mapping[str, int] = {
    register.name: number for number, register in reversed(tuple(REGISTERS.items()))
}
_WRITTEN = re.compile(r"0[xX][0-9A-Fa-f]{4}")
