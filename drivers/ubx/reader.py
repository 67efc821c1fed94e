"""A layout made into a function from payload to values, with the protocol's names or readable ones."""

from collections import Counter
from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

from drivers.driver import Names
from drivers.ubx.layout import Block, Group, Layout, Value
from gateway import model

SYSTEMS = "GSECIJRN"
"""A letter for each satellite system, as in RINEX, by u-blox's number."""


class Reader:
    """Of one message. `prefix` begins every readable name."""

    def __init__(self, layout: Layout, names: Names, prefix: str = "") -> None:
        self._names: Names = names
        self._prefix = prefix
        self._head = layout.head
        self._groups = layout.groups
        self._tables_of_groups = {group.name: _Table(group.block, names) for group in layout.groups}
        self._tables_of_parts: dict[tuple[str, int], _Table] = {}
        self._table = _Table(layout.head, names, prefix)
        self._tables_of_shorter: dict[int, _Table] = {}

    def read(self, payload: bytes, dropped: Counter[str]) -> dict[str, model.Value]:
        size = self._head.unpacked.size
        table = self._table
        if len(payload) < size:
            # Of an older receiver. pyubx2 takes what is missing for 0, which is no reading.
            table = self._tables_of_shorter.get(len(payload)) or self._for_shorter(len(payload))
            payload = payload.ljust(size, b"\0")
        raw = self._head.unpacked.unpack_from(payload)
        values: dict[str, model.Value] = {}
        table.read(raw, values, dropped)
        for group in self._groups:
            rest = payload[size:]
            count = len(rest) // group.block.unpacked.size
            if group.count != "*":
                count = min(count, self._head.values[group.count].of(raw))
            length = count * group.block.unpacked.size
            self._read_group(group, rest[:length], values, dropped)
            size += length
        return values

    def _for_shorter(self, length: int) -> "_Table":
        table = _Table(self._head, self._names, self._prefix, length=length)
        self._tables_of_shorter[length] = table
        return table

    def _read_group(
        self, group: Group, content: bytes, values: dict[str, model.Value], dropped: Counter[str]
    ) -> None:
        """The parts of a list, each under its number or its satellite's name."""
        taken: Counter[str] = Counter()
        for number, raw in enumerate(group.block.unpacked.iter_unpack(content), 1):
            name = "" if self._names == "protocol" else _satellite(group.block, raw)
            if not name:
                table = self._tables_of_parts.get((group.name, number)) or self._for_part(group, number)
                table.read(raw, values, dropped)
                continue
            taken[name] += 1
            before = f"{self._prefix}{group.name}.{name}."
            if taken[name] > 1:
                before = f"{self._prefix}{group.name}.{name}_{taken[name]}."
            found: dict[str, model.Value] = {}
            self._tables_of_groups[group.name].read(raw, found, dropped)
            for metric, value in found.items():
                values[before + metric] = value

    def _for_part(self, group: Group, number: int) -> "_Table":
        if self._names == "protocol":
            table = _Table(group.block, self._names, suffix=f"_{number:02}")
        else:
            table = _Table(group.block, self._names, prefix=f"{self._prefix}{group.name}.{number}.")
        self._tables_of_parts[group.name, number] = table
        return table


def _satellite(block: Block, raw: tuple[Any, ...]) -> str:
    """`G12`, or with the signal `G12_3`; the bare number where there is one for all systems; `""`: none is named."""
    if "svid" in block.values:
        return str(block.values["svid"].of(raw))
    if "svId" not in block.values:
        return ""
    name = str(block.values["svId"].of(raw))
    if "gnssId" in block.values:
        name = SYSTEMS[block.values["gnssId"].of(raw) & 7] + name
    if "sigId" in block.values:
        name = f"{name}_{block.values['sigId'].of(raw)}"
    return name


class _Plain(NamedTuple):
    """A number that is taken as it is, divided or converted; nearly all are so."""

    name: str
    place: int
    shift: int
    mask: int
    divisor: float
    convert: Callable[[int], model.Value] | None


class _Table:
    """How a block is read; of one that is cut short after `length` bytes, what is whole."""

    def __init__(
        self, block: Block, names: Names, prefix: str = "", suffix: str = "", *, length: int = 1 << 16
    ) -> None:
        self._plain: list[_Plain] = []
        self._special: list[tuple[_Plain, Value]] = []
        self._prefix = prefix
        self._readable = names == "readable"
        self._moment = _Moment.of(block, length) if self._readable else None
        for value in block.values.values():
            divisor = value.added.divisor if value.added else value.divisor
            name = value.name + suffix
            convert = None
            if self._readable:
                if not value.readable or value.end > length or (self._moment and value in self._moment.parts):
                    continue
                name = prefix + value.readable
                divisor = (divisor or 1) * (value.unit.divisor or 1)
                convert = value.unit.choices
            plain = _Plain(
                name, value.place, value.shift, value.mask, 0 if divisor == 1 else divisor, convert
            )
            if value.kind in "CR" or value.added or (self._readable and value.guard):
                self._special.append((plain, value))
            self._plain.append(plain)

    def read(self, raw: tuple[Any, ...], values: dict[str, model.Value], dropped: Counter[str]) -> None:
        for name, place, shift, mask, divisor, convert in self._plain:
            number = raw[place]
            if mask:
                number = number >> shift & mask
            if divisor:
                number /= divisor
            elif convert:
                number = convert(number)
            values[name] = number
        for plain, value in self._special:
            self._correct(plain, value, raw, values, dropped)
        if self._moment:
            self._moment.read(raw, values, self._prefix)

    def _correct(
        self,
        plain: _Plain,
        value: Value,
        raw: tuple[Any, ...],
        values: dict[str, model.Value],
        dropped: Counter[str],
    ) -> None:
        name = plain.name
        if value.kind == "C":
            values[name] = raw[value.place].partition(b"\0")[0].decode("latin-1").rstrip()
        elif value.kind == "R" and not isfinite(raw[value.place]):
            del values[name]
            dropped["not a finite number"] += 1
        elif self._readable and value.guard and not value.guard.of(raw):
            del values[name]
        elif value.added:
            fine = value.added.divisor / (value.divisor or 1)
            values[name] = (raw[value.place] * fine + raw[value.added.place]) / plain.divisor


class _Moment(NamedTuple):
    """Date and time of day, in UTC, out of their numbers."""

    date: tuple[Value, ...]
    clock: tuple[Value, ...]
    date_valid: Value | None
    time_valid: Value | None

    @classmethod
    def of(cls, block: Block, length: int) -> "_Moment | None":
        values = block.values
        if "year" not in values or values["year"].end > length:
            return None
        minute = "minute" if "minute" in values else "min"
        second = "second" if "second" in values else "sec"
        utc_valid = values.get("validUTC") or values.get("UTCTimeValid")
        return cls(
            (values["year"], values["month"], values["day"]),
            (values["hour"], values[minute], values[second]),
            utc_valid or values.get("validDate"),
            utc_valid or values.get("validTime"),
        )

    @property
    def parts(self) -> tuple[Value, ...]:
        return self.date + self.clock

    def read(self, raw: tuple[Any, ...], values: dict[str, model.Value], prefix: str) -> None:
        if self.date_valid is None or self.date_valid.of(raw):
            year, month, day = self.date
            values[prefix + "date"] = f"{raw[year.place]:04}-{raw[month.place]:02}-{raw[day.place]:02}"
        if self.time_valid is None or self.time_valid.of(raw):
            hour, minute, second = self.clock
            values[prefix + "time"] = f"{raw[hour.place]:02}:{raw[minute.place]:02}:{raw[second.place]:02}"
