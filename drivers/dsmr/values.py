"""What the lines of a P1 telegram tell, under their codes or under readable names."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from drivers.obis import Values, counted, printed, quantity
from gateway.model import Value

_CODE = re.compile(r"(\d{1,3}-\d{1,3}:[0-9A-Z]{1,3}\.\d{1,3}\.\d{1,3})(?:\*255|(\*\d{1,3}))?")
_STAMP = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)[SW]?", re.ASCII)

_HOURLY = ":24.3.0"
_HOURLY_GROUPS = 6
"""Of DSMR 2.2 and 3: time, status, interval, count, code, unit; the value stands on the next line."""

_METER_KINDS = {
    2: ("1-0:1.8.0", "submeter_energy"),
    3: ("7-0:3.0.0", "gas"),
    4: ("6-0:1.0.0", "heat"),
    6: ("9-0:1.0.0", "hot_water"),
    7: ("8-0:1.0.0", "water"),
    10: ("5-0:1.0.0", "cooling"),
    11: ("5-0:1.0.0", "cooling"),
    12: ("6-0:1.0.0", "heat"),
    13: ("6-0:1.0.0", "heat"),
}
"""By device type of 0-n:24.1.0 (EN 13757-3): the code that its medium has elsewhere, and its name."""

_ELECTRICITY = 2

_PARTS = {
    "96.1.0": "meter_id",
    "96.1.1": "meter_id",
    "96.1.2": "ean",
    "24.4.0": "valve",
    "96.3.10": "valve",
}
"""What else another meter says, by its code without the channel."""

_IN_HEX = frozenset({"meter_id", "ean", "device_name", "message", "message_code"})
"""Texts that P1 sends as pairs of hexadecimal digits; some meters send them plain."""


class Told(NamedTuple):
    """One line."""

    code: str
    text: str
    """What stands in the brackets; for several pairs of them, all these with their brackets."""
    value: Value
    unit: str | None
    stamp: str = ""
    """When it was measured, of another meter's value or of a highest one."""


def by_code(lines: list[bytes], dropped: Counter[str]) -> dict[str, Value]:
    values = Values()
    for told in _told(lines, dropped):
        values.add(told.code, told.value)
    return values


def by_name(lines: list[bytes], dropped: Counter[str]) -> dict[str, Value]:
    values = Values()
    meters: dict[str, list[Told]] = {}
    for told in _told(lines, dropped):
        if channel := _channel(told.code):
            meters.setdefault(channel, []).append(told)
        else:
            _name(told, values, dropped)
    of_kind: Counter[str] = Counter()
    for channel, lines_of_meter in meters.items():
        _name_meter(channel, lines_of_meter, of_kind, values, dropped)
    return values


def _told(lines: list[bytes], dropped: Counter[str]) -> Iterator[Told]:
    hourly: tuple[str, str, str] | None = None  # code, unit and time of a value on the next line
    for line in lines:
        text = line.decode("latin-1").strip(" \x00")
        if not text:
            continue
        before, _, rest = text.partition("(")
        if not rest.endswith(")"):
            dropped["unreadable line"] += 1
            continue
        rest = rest[:-1]
        if not before and hourly:
            meant, unit, stamp = hourly
            yield Told(meant, rest, *printed(rest if "*" in rest or not unit else f"{rest}*{unit}"), stamp)
        elif (code := _code(before)) is None:
            dropped["unreadable line"] += 1
        elif ")(" not in rest:
            yield Told(code, rest, *printed(rest))
        else:
            groups = rest.split(")(")
            if code.endswith(_HOURLY) and len(groups) >= _HOURLY_GROUPS and (inner := _code(groups[4])):
                hourly = (inner, groups[5], groups[0])
                continue
            if len(groups) == 2 and _STAMP.fullmatch(groups[0]):  # noqa: PLR2004 - time and value
                yield Told(code, groups[1], *printed(groups[1]), groups[0])
            else:
                log = f"({rest})"
                yield Told(code, log, log, None)
        hourly = None


@lru_cache(maxsize=1024)
def _code(text: str) -> str | None:
    match = _CODE.fullmatch(text)
    return match and match[1] + (match[2] or "")


@lru_cache(maxsize=1024)
def _channel(code: str) -> str:
    """Of another meter that is read over M-Bus, 1 to 4, from `0-1` to `0-4`."""
    medium, _, rest = code.partition("-")
    channel = rest.partition(":")[0]
    return channel if medium == "0" and channel != "0" else ""


def _name(told: Told, values: Values, dropped: Counter[str]) -> None:
    if not told.text.strip():
        return
    name, number, _ = quantity(told.code, told.unit)
    if number and told.text.startswith("("):
        for group in told.text[1:-1].split(")("):
            _name_number(told.code, *printed(group), values, dropped)
    elif number:
        if not _name_number(told.code, told.value, told.unit, values, dropped):
            return
    elif name == "time":
        _add_time(values, name, told.text)
    elif text := (_plain(told.text) if name in _IN_HEX else told.value):
        values.add(name, text)
    if told.stamp:
        _add_time(values, f"{name}_time", told.stamp)


def _name_number(code: str, value: Value, unit: str | None, values: Values, dropped: Counter[str]) -> bool:
    """Whether it could be read."""
    found = quantity(code, unit)
    if not found.number or (count := counted(value)) is None:
        dropped["unreadable value"] += 1
        return False
    values.add(found.name, found.scaled(count))
    return True


def _name_meter(
    channel: str, lines: list[Told], of_kind: Counter[str], values: Values, dropped: Counter[str]
) -> None:
    """Another meter: nothing of one that has never been heard. All that a second of its kind says is numbered."""
    kind = int(next((counted(told.text) for told in lines if told.code.endswith(":24.1.0")), None) or 0)
    if kind != _ELECTRICITY:
        # The main meter's own relay, whatever else is on this channel.
        relay = f"0-{channel}:96.3.10"
        for told in lines:
            if told.code == relay:
                _add_count(values, f"relay_{channel}", told, dropped)
        lines = [told for told in lines if told.code != relay]
    code, name = _METER_KINDS.get(kind, ("", ""))
    reading = next((told for told in lines if ":24.2." in told.code and told.unit), None)
    if reading is None:
        return
    found = quantity(code, reading.unit)
    if not found.number or isinstance(reading.value, str):
        for told in lines:
            _name(told, values, dropped)
        return
    of_kind[name] += 1
    number = f"_{of_kind[name]}" if of_kind[name] > 1 else ""
    values.add(f"{name}{number}", found.scaled(reading.value))
    _add_time(values, f"{name}_time{number}", reading.stamp)
    for told in lines:
        if told is not reading and told.text.strip():
            _name_part(told, name, number, values, dropped)


def _name_part(told: Told, name: str, number: str, values: Values, dropped: Counter[str]) -> None:
    """What another meter says besides its reading."""
    of_it = told.code.partition(":")[2]
    part = _PARTS.get(of_it, "")
    known = f"{name}_{part}{number}"
    if part == "valve" and known not in values:
        _add_count(values, known, told, dropped)
    elif part and known not in values:
        values.add(known, _plain(told.text))
    elif of_it != "24.1.0":
        _name(told, values, dropped)


def _add_count(values: Values, name: str, told: Told, dropped: Counter[str]) -> None:
    if (count := counted(told.value)) is None:
        dropped["unreadable value"] += 1
    else:
        values.add(name, count)


def _add_time(values: Values, name: str, text: str) -> None:
    """P1's YYMMDDhhmmss and S or W: local time, in summer or winter. The void ones of empty slots are no time."""
    if match := _STAMP.fullmatch(text):
        year, month, day, hour, minute, second = match.groups()
        time = f"20{year}-{month}-{day}T{hour}:{minute}:{second}"
        try:
            datetime.fromisoformat(time)
        except ValueError:
            return
        values.add(name, time)


def _plain(text: str) -> str:
    try:
        plain = bytes.fromhex(text).decode("ascii")
    except ValueError:
        return text
    return plain.strip() if plain.isprintable() else text
