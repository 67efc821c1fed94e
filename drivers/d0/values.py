"""What the data block of a readout tells, under its codes or under readable names."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from drivers.obis import Values, counted, printed, quantity
from gateway.model import Value

_CODE = re.compile(r"[!-'*-~]{1,32}")
_PLAIN_VALUE = re.compile(r"[^\x00-\x1f]*")
_STAMP = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?", re.ASCII)
_BLANK = " \x00"
_ACKNOWLEDGEMENT = "\x06"  # ours, if the line echoes


class Told(NamedTuple):
    """One value."""

    code: str
    text: str
    is_first: bool
    """Not a further value of the same code."""


def by_code(block: str, dropped: Counter[str]) -> dict[str, Value]:
    values = Values()
    for told in _told(block, dropped):
        values.add(told.code, printed(told.text)[0])
    return values


def by_name(block: str, dropped: Counter[str]) -> dict[str, Value]:
    values = Values()
    name = ""
    for told in _told(block, dropped):
        if not told.text.strip():
            continue
        if not told.is_first and (time := _time(told.text)):
            values.add(f"{name}_time", time)
            continue
        value, unit = printed(told.text)
        found = quantity(told.code, unit)
        name = found.name
        if name.startswith("obis."):
            values.add(name, value)
        elif not found.number:
            values.add(name, (name.endswith("time") and _time(told.text)) or told.text)
        elif (number := counted(value)) is not None:
            values.add(name, found.scaled(number))
        else:
            dropped["unreadable value"] += 1
    return values


def _told(block: str, dropped: Counter[str]) -> Iterator[Told]:
    code = ""
    for piece in block.split(")"):
        before, bracket, text = piece.partition("(")
        *passed, printed_code = before.splitlines() or [""]
        printed_code = printed_code.strip(_BLANK)
        if any(line.strip(_BLANK) and line[0] != _ACKNOWLEDGEMENT for line in passed) or (
            printed_code and not bracket
        ):
            dropped["unreadable line"] += 1
        if not bracket:
            continue
        is_first = printed_code != ""
        if is_first:
            code = printed_code.removesuffix("*255") if _CODE.fullmatch(printed_code) else ""
        if code and _PLAIN_VALUE.fullmatch(text):
            yield Told(code, text, is_first)
        else:
            dropped["unreadable line"] += 1


def _time(text: str) -> str:
    """YYMMDDhhmm, with or without seconds, or a date and a time with a `&`, as ISO 8601; `""` for anything else."""
    time = text.replace("&", "T")
    if match := _STAMP.fullmatch(text):
        year, month, day, hour, minute, second = match.groups()
        time = f"20{year}-{month}-{day}T{hour}:{minute}" + (f":{second}" if second else "")
    try:
        datetime.fromisoformat(time)
    except ValueError:
        return ""
    return time if "T" in time else ""
