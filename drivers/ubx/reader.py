"""A layout made into a function from payload to values, with the protocol's names or readable ones."""

from collections import Counter
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
        self._groups = [(group, _Table(group.block, names)) for group in layout.groups]
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
        values = table.read(raw, dropped)
        for group, inner in self._groups:
            rest = payload[size:]
            count = len(rest) // group.block.unpacked.size
            if group.count != "*":
                count = min(count, self._head.values[group.count].of(raw))
            length = count * group.block.unpacked.size
            values |= self._read_group(group, inner, rest[:length], dropped)
            size += length
        return values

    def _for_shorter(self, length: int) -> "_Table":
        table = _Table(self._head, self._names, self._prefix, length)
        self._tables_of_shorter[length] = table
        return table

    def _read_group(
        self, group: Group, table: "_Table", content: bytes, dropped: Counter[str]
    ) -> dict[str, model.Value]:
        values: dict[str, model.Value] = {}
        before = after = ""
        taken: set[str] = set()
        for number, raw in enumerate(group.block.unpacked.iter_unpack(content), 1):
            if self._names == "protocol":
                after = f"_{number:02}"
            else:
                wanted = name = _satellite(group.block, raw) or str(number)
                occurrence = 1
                while name in taken:
                    occurrence += 1
                    name = f"{wanted}_{occurrence}"
                taken.add(name)
                before = f"{self._prefix}{group.name}.{name}."
            for metric, value in table.read(raw, dropped).items():
                values[before + metric + after] = value
        return values


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
    """A number that is taken as it is, or divided; nearly all are so."""

    name: str
    place: int
    shift: int
    mask: int
    divisor: float


class _Table:
    """How a block is read; of one that is cut short after `length` bytes, what is whole."""

    def __init__(self, block: Block, names: Names, prefix: str = "", length: int = 1 << 16) -> None:
        self._plain: list[_Plain] = []
        self._special: list[tuple[_Plain, Value]] = []
        self._prefix = prefix
        readable = names == "readable"
        self._moment = _Moment.of(block, length) if readable else None
        for value in block.values.values():
            divisor = value.added.divisor if value.added else value.divisor
            name = value.name
            if readable:
                if not value.readable or value.end > length or (self._moment and value in self._moment.parts):
                    continue
                name = prefix + value.readable
                divisor = (divisor or 1) * (value.unit.divisor or 1)
            plain = _Plain(name, value.place, value.shift, value.mask, 0 if divisor == 1 else divisor)
            if value.kind in "CR" or value.added or (readable and (value.unit.choices or value.guard)):
                self._special.append((plain, value))
            self._plain.append(plain)
        self._readable = readable

    def read(self, raw: tuple[Any, ...], dropped: Counter[str]) -> dict[str, model.Value]:
        values: dict[str, model.Value] = {}
        for name, place, shift, mask, divisor in self._plain:
            number = raw[place]
            if mask:
                number = number >> shift & mask
            values[name] = number / divisor if divisor else number
        for plain, value in self._special:
            self._correct(plain, value, raw, values, dropped)
        if self._moment:
            self._moment.read(raw, values, self._prefix)
        return values

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
        elif self._readable and value.unit.choices:
            values[name] = value.unit.choices(value.of(raw))


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
            year, month, day = (part.of(raw) for part in self.date)
            values[prefix + "date"] = f"{year:04}-{month:02}-{day:02}"
        if self.time_valid is None or self.time_valid.of(raw):
            hour, minute, second = (part.of(raw) for part in self.clock)
            values[prefix + "time"] = f"{hour:02}:{minute:02}:{second:02}"
