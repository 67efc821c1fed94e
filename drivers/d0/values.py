"""What the data block of a readout tells, under its codes or under readable names."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from drivers.obis import Values, counted, printed, quantity
from gateway.model import Value

_CODE = re.compile(r"[!-'*-~]{1,32}")
_STAMP = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?", re.ASCII)
_BLANK = " \r\n\x00"
_ACKNOWLEDGEMENT = "\x06"  # ours, if the line echoes


def by_code(block: str, dropped: Counter[str]) -> dict[str, Value]:
    values = Values()
    for code, text, _ in _told(block, dropped):
        values.add(code, printed(text)[0])
    return values


def by_name(block: str, dropped: Counter[str]) -> dict[str, Value]:
    values = Values()
    name = ""
    for code, text, is_further in _told(block, dropped):
        if not text.strip():
            continue
        if is_further and (time := _time(text)):
            values.add(f"{name}_time", time)
            continue
        value, unit = printed(text)
        found = quantity(code, unit)
        name = found.name
        if name.startswith("obis."):
            values.add(name, value)
        elif not found.number:
            values.add(name, (name.endswith("time") and _time(text)) or text.strip())
        elif (number := counted(value)) is not None and (unit or not is_further):
            values.add(name, found.scaled(number))
        else:
            dropped["unreadable value"] += 1
    return values


def _told(block: str, dropped: Counter[str]) -> Iterator[tuple[str, str, bool]]:
    """Code, what stands in the brackets, and whether that is a further value of the same code."""
    code = ""
    for piece in block.split(")"):
        before, bracket, text = piece.partition("(")
        before = before.strip(_BLANK)
        if before:
            if "\n" in before or not bracket:
                *passed, before = before.split("\n") if bracket else (before, "")
                if any(line.strip(_BLANK) and line[0] != _ACKNOWLEDGEMENT for line in passed):
                    dropped["unreadable line"] += 1
            if bracket:
                code = before.removesuffix("*255") if _CODE.fullmatch(before) else ""
        if bracket:
            if code and text.isprintable():
                yield code, text, not before
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
