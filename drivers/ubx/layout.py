"""What a payload holds, written as a line of text, and how it is read.

    U4 iTOW@ms, I4 lon/1e7@deg, I1 lon+/1e9, X1(gnssFixOk carrSoln:2@carrier _:5), -2, numCh*channel(U1 svid)

U1 U2 U4, I1 I2 I4, R4 are unsigned, signed and floating-point numbers of so many bytes, little endian; X holds
bits, the lowest first; C is text; -2 are two reserved bytes, _:5 five reserved bits. `/` divides, `+` adds to a
value before it (the part of high precision), `@` names the unit, or what a number stands for (`units.py`), `=` the
readable name where it is not the protocol's in snake case (`=-`: none), `?` the bit without which the value is
void. `count*group(...)` repeats: as often as a field before it says, a fixed number of times, or `**` to the end.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drivers.ubx.units import UNITS, Unit, plain

_ITEM = re.compile(
    r"\s*(?:-(?P<skip>\d+)"
    r"|X(?P<bytes>\d)\((?P<bits>[^)]*)\)"
    r"|(?P<count>\w+|\*)\*(?P<group>\w+)\((?P<inner>(?:[^()]|\([^)]*\))*)\)"
    r"|(?P<type>[UIR]\d|C\d+) (?P<value>[^\s,]+))\s*(?:,|$)"
)
_VALUE = re.compile(
    r"(?P<name>\w+)(?P<added>\+)?(?::(?P<width>\d+))?(?:/(?P<divisor>[\d.e]+))?"
    r"(?:@(?P<unit>[\w/]+))?(?:=(?P<readable>[\w-]+))?(?:\?(?P<guard>\w+))?$"
)
_CODES = {
    "U1": "B", "U2": "H", "U4": "I", "I1": "b", "I2": "h", "I4": "i", "R4": "f",
    "X1": "B", "X2": "H", "X4": "I",
}  # fmt: skip
_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Value(NamedTuple):
    """One value of a block."""

    name: str
    readable: str
    """`""` where it has none."""
    place: int
    """Of the number in the unpacked block."""
    end: int
    """Of its bytes in the block."""
    kind: str
    """U, I, R, C or X."""
    shift: int = 0
    mask: int = 0
    """0: the whole number."""
    divisor: float = 0.0
    """0: as it is."""
    unit: Unit = plain
    added: "Value | None" = None
    """The part of high precision, whose divisor is that of the sum."""
    guard: "Value | None" = None

    def of(self, raw: tuple[Any, ...]) -> int:
        """The number itself."""
        number: int = raw[self.place]
        return number >> self.shift & self.mask if self.mask else number


@dataclass(slots=True)
class Block:
    """Values that follow each other at fixed places."""

    values: dict[str, Value] = field(default_factory=dict)
    format: str = "<"
    numbers: int = 0
    """Which the format unpacks."""
    unpacked: struct.Struct = field(default_factory=lambda: struct.Struct("<"))


@dataclass(slots=True)
class Group:
    name: str
    count: str
    """The name of the value that says how often, or `*`."""
    block: Block


@dataclass(slots=True)
class Layout:
    head: Block
    groups: list[Group]


def snake_case(name: str) -> str:
    return _CAPITALS.sub("_", name).lower()


def parse(text: str, renamed: Mapping[str, str]) -> Layout:
    """`renamed`: readable names that are the same wherever a name occurs.

    Raises: ValueError.
    """
    layout = Layout(Block(), [])
    for item in _items(text):
        if not item["group"]:
            _add(layout.head, item, renamed)
        elif item["count"].isdigit():
            for number in range(1, int(item["count"]) + 1):
                for each in _items(item["inner"]):
                    _add(layout.head, each, renamed, f"_{number:02}", f"{item['group']}.{number}.")
        else:
            block = Block()
            for each in _items(item["inner"]):
                _add(block, each, renamed)
            layout.groups.append(Group(item["group"], item["count"], _finished(block)))
    _finished(layout.head)
    return layout


def _items(text: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(text):
        item = _ITEM.match(text, at)
        if item is None:
            raise ValueError(f"not a layout: {text[at:]!r}")
        yield item
        at = item.end()


def _finished(block: Block) -> Block:
    block.unpacked = struct.Struct(block.format)
    return block


def _add(
    block: Block, item: re.Match[str], renamed: Mapping[str, str], suffix: str = "", prefix: str = ""
) -> None:
    if item["skip"]:
        block.format += f"{item['skip']}x"
        return
    place = block.numbers
    block.numbers += 1
    kind = "X" + item["bytes"] if item["bytes"] else item["type"]
    block.format += kind[1:] + "s" if kind.startswith("C") else _CODES[kind]
    end = struct.calcsize(block.format)
    shift = 0
    for described in (item["bits"] or item["value"]).split():
        told = _told(described)
        width = int(told["width"] or 1)
        if told["name"] != "_":
            name = told["name"] + suffix
            readable = told["readable"] or renamed.get(told["name"]) or snake_case(told["name"])
            value = Value(
                name,
                "" if readable == "-" else prefix + readable,
                place,
                end,
                kind[0],
                divisor=float(told["divisor"] or 0),
                unit=UNITS[told["unit"] or ("flag" if kind[0] == "X" and width == 1 else "")],
                guard=block.values[told["guard"]] if told["guard"] else None,
            )
            if item["bits"]:
                value = value._replace(shift=shift, mask=(1 << width) - 1)
            if told["added"]:
                whole = block.values[name]
                value = whole._replace(added=value, end=max(end, whole.end))
            block.values[name] = value
        shift += width


def _told(text: str) -> re.Match[str]:
    told = _VALUE.match(text)
    if told is None:
        raise ValueError(f"not a value: {text!r}")
    return told
