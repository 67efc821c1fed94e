"""The fields of text blocks: what a label means, and how its value is read.

Source: VE.Direct protocol (text) 3.33, section "Field definitions".
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from drivers.vedirect import codes
from gateway.model import Value

Reader = Callable[[str], Value | None]
"""None: the device says that it does not know. Raises: ValueError."""

_VOID = "---"
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_UNSAFE = re.compile(r"[^a-z0-9]+")

TEXTS = frozenset({"PID", "FW", "FWE", "SER#", "BMV", "LOAD", "Alarm", "Relay", "OR", "BLE", "CAP_BLE"})
"""Labels whose values are no numbers, even where they look like one."""


@lru_cache(maxsize=1024)  # most of a block is what the last one said
def raw(label: str, value: str) -> tuple[str, Value | None]:
    """The value as it is sent: an integer in the protocol's unit, or a text."""
    if value == _VOID or not value:
        return label, None
    if label in TEXTS or not _NUMBER.fullmatch(value):
        return label, value
    return label, int(value)


def _whole(value: str) -> int:
    if not _NUMBER.fullmatch(value):  # more digits would be beyond 64 bits
        raise ValueError(value)
    return int(value)


def _per(divisor: int) -> Reader:
    return lambda value: int(value) / divisor


def _named(names: Mapping[int, str]) -> Reader:
    return lambda value: codes.named(int(value), names)


def _reasons(names: tuple[str, ...]) -> Reader:
    return lambda value: codes.reasons(int(value, 0), names)


def _on(value: str) -> bool:
    if value.upper() not in ("ON", "OFF"):
        raise ValueError(value)
    return value.upper() == "ON"


def _minutes(value: str) -> int | None:
    """-1: for ever."""
    return None if value == "-1" else _whole(value)


def _firmware(value: str) -> str:
    """Layout: `123` is 1.23, `0308` 3.08; a letter in front marks a candidate for release."""
    digits = value.lstrip("0") or "0"
    if not digits[-2:].isdigit():
        raise ValueError(value)
    return f"{digits[:-2] or '0'}.{digits[-2:].zfill(2)}"


def _long_firmware(value: str) -> str:
    """Layout: `0208FF` is 2.08, `020805` beta 5 of it."""
    number = int(value, 16)
    version, beta = number >> 8, number & 0xFF
    text = f"{version >> 8:x}.{version & 0xFF:02x}"
    return text if beta == 0xFF else f"{text}-beta-{beta:02x}"  # noqa: PLR2004 - as drawn above


FIELDS: Mapping[str, tuple[str, Reader]] = {
    "PID": ("product_id", str),
    "BMV": ("model", str),
    "FW": ("firmware", _firmware),
    "FWE": ("firmware", _long_firmware),
    "SER#": ("serial_number", str),
    "BLE": ("bluetooth", str),
    "CAP_BLE": ("bluetooth", str),
    "V": ("battery_voltage", _per(1000)),
    "V2": ("battery_2_voltage", _per(1000)),
    "V3": ("battery_3_voltage", _per(1000)),
    "VS": ("starter_voltage", _per(1000)),
    "VM": ("midpoint_voltage", _per(1000)),
    "DM": ("midpoint_deviation", _per(10)),
    "VPV": ("panel_voltage", _per(1000)),
    "PPV": ("panel_power", _whole),
    "I": ("battery_current", _per(1000)),
    "I2": ("battery_2_current", _per(1000)),
    "I3": ("battery_3_current", _per(1000)),
    "IL": ("load_current", _per(1000)),
    "LOAD": ("load", _on),
    "T": ("battery_temperature", _whole),
    "P": ("battery_power", _whole),
    "CE": ("consumed_charge", _per(1000)),
    "SOC": ("state_of_charge", _per(10)),
    "TTG": ("time_to_go", _minutes),
    "Alarm": ("alarm", _on),
    "ALARM": ("alarm", _on),
    "Relay": ("relay", _on),
    "RELAY": ("relay", _on),
    "AR": ("alarm_reason", _reasons(codes.ALARM_REASONS)),
    "OR": ("off_reason", _reasons(codes.OFF_REASONS)),
    "WARN": ("warning", _reasons(codes.ALARM_REASONS)),
    "ERR": ("error", _named(codes.ERRORS)),
    "CS": ("charge_state", _named(codes.CHARGE_STATES)),
    "MODE": ("device_mode", _named(codes.MODES)),
    "MPPT": ("tracker_mode", _named(codes.TRACKER_MODES)),
    "MON": ("monitor_mode", _named(codes.MONITOR_MODES)),
    "H1": ("deepest_discharge", _per(1000)),
    "H2": ("last_discharge", _per(1000)),
    "H3": ("average_discharge", _per(1000)),
    "H4": ("charge_cycles", _whole),
    "H5": ("full_discharges", _whole),
    "H6": ("charge_drawn", _per(1000)),
    "H7": ("battery_voltage_min", _per(1000)),
    "H8": ("battery_voltage_max", _per(1000)),
    "H9": ("time_since_full_charge", _whole),
    "H10": ("synchronisations", _whole),
    "H11": ("low_voltage_alarms", _whole),
    "H12": ("high_voltage_alarms", _whole),
    "H13": ("low_starter_voltage_alarms", _whole),
    "H14": ("high_starter_voltage_alarms", _whole),
    "H15": ("starter_voltage_min", _per(1000)),
    "H16": ("starter_voltage_max", _per(1000)),
    "H17": ("energy_discharged", _per(100)),
    "H18": ("energy_charged", _per(100)),
    "H19": ("yield_total", _per(100)),
    "H20": ("yield_today", _per(100)),
    "H21": ("power_max_today", _whole),
    "H22": ("yield_yesterday", _per(100)),
    "H23": ("power_max_yesterday", _whole),
    "HSDS": ("day_number", _whole),
    "AC_OUT_V": ("ac_output_voltage", _per(100)),
    "AC_OUT_I": ("ac_output_current", _per(10)),
    "AC_OUT_S": ("ac_output_apparent_power", _whole),
    "AC_OUT_P": ("ac_output_power", _whole),
    "DC_IN_V": ("dc_input_voltage", _per(100)),
    "DC_IN_I": ("dc_input_current", _per(10)),
    "DC_IN_P": ("dc_input_power", _whole),
}
"""By label: the readable name and the reader."""

RAW_UNITS = {
    "mV": "V V2 V3 VS VM VPV H7 H8 H15 H16",
    "mA": "I I2 I3 IL",
    "mA.h": "CE H1 H2 H3 H6",
    "[ppth]": "DM SOC",
    "W": "P PPV H21 H23 AC_OUT_P DC_IN_P",
    "V.A": "AC_OUT_S",
    "Cel": "T",
    "min": "TTG",
    "s": "H9",
    "daW.h": "H17 H18 H19 H20 H22",
    "cV": "AC_OUT_V DC_IN_V",
    "dA": "AC_OUT_I DC_IN_I",
}
"""In UCUM: which labels are sent in it. Those left out have none."""


@lru_cache(maxsize=1024)
def readable(label: str, value: str) -> tuple[str, Value | None]:
    """Raises: ValueError."""
    known = FIELDS.get(label)
    if known is None:
        return _unnamed(label), raw(label, value)[1]
    name, read = known
    return name, None if value == _VOID else read(value)


def _unnamed(label: str) -> str:
    return f"field.{_UNSAFE.sub('_', label.lower()).strip('_') or '_'}"
