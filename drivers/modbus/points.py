"""One register of the configuration: what is read from it, what it means, what may be written to it."""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import isfinite
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from drivers.device_class import DeviceClass
from drivers.driver import Metric, Names, Settable
from drivers.modbus import frames, values
from drivers.modbus.values import Order, Type
from gateway.errors import Refused
from gateway.model import Value
from gateway.units import Duration

Table = Literal["holding", "input", "coil", "discrete"]

BIT_TABLES = ("coil", "discrete")

FUNCTIONS: Mapping[Table, int] = {
    "holding": frames.READ_HOLDING_REGISTERS,
    "input": frames.READ_INPUT_REGISTERS,
    "coil": frames.READ_COILS,
    "discrete": frames.READ_DISCRETE_INPUTS,
}
"""What reads a table."""

TABLES: Mapping[int, Table] = {
    **{function: table for table, function in FUNCTIONS.items()},
    frames.READ_WRITE_REGISTERS: "holding",
}

PREFIXES: Mapping[Table, str] = {"holding": "hr", "input": "ir", "coil": "co", "discrete": "di"}
"""Of protocol names: hr0 is holding register 0."""

TABLE_LABELS: Mapping[Table, str] = {
    "holding": "Holding register",
    "input": "Input register",
    "coil": "Coil",
    "discrete": "Discrete input",
}

ADDRESSES = 65536

_KINDS: Mapping[str, tuple[str, Literal["measurement", "total_increasing"]]] = {
    "V": ("voltage", "measurement"),
    "mV": ("voltage", "measurement"),
    "A": ("current", "measurement"),
    "mA": ("current", "measurement"),
    "W": ("power", "measurement"),
    "kW": ("power", "measurement"),
    "V.A": ("apparent_power", "measurement"),
    "var": ("reactive_power", "measurement"),
    "Hz": ("frequency", "measurement"),
    "W.h": ("energy", "total_increasing"),
    "kW.h": ("energy", "total_increasing"),
    "Cel": ("temperature", "measurement"),
    "Pa": ("pressure", "measurement"),
    "hPa": ("pressure", "measurement"),
    "bar": ("pressure", "measurement"),
}
"""What a unit says of a metric that says nothing itself."""


def _number(written: object) -> object:
    """A key of a TOML table is a text: 3, 0x1F."""
    if isinstance(written, str):
        try:
            return int(written, 0)
        except ValueError:
            raise ValueError("must be a whole number, such as 3 or 0x1F") from None
    return written


Number = Annotated[int, BeforeValidator(_number)]


class Register(BaseModel):
    """A table `[devices.<name>.registers.<metric>]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Table = Field(
        default="holding", description="Which of the four tables: holding, input, coil or discrete."
    )
    address: int = Field(
        ge=0,
        le=ADDRESSES - 1,
        description="The first register's address, counted from 0 (40001 is holding 0).",
    )
    type: Type | None = Field(
        default=None,
        description="What it holds: bool, int16, uint16, int32, uint32, int64, uint64, float32, float64, string, bits;"
        " uint16 otherwise, and bool in a table of bits.",
    )
    order: Order | None = Field(
        default=None,
        description="Of its bytes: big, little, word-swapped or byte-swapped; as the device otherwise.",
    )
    length: int = Field(default=0, ge=0, le=250, description="Of a string, in bytes.")
    scale: float = Field(
        default=1.0, allow_inf_nan=False, description="The value is the register times this, plus offset."
    )
    offset: float = Field(default=0.0, allow_inf_nan=False, description="Added after scale.")
    unit: str = Field(default="", description='Of the value, as a UCUM code such as "kW.h" or "Cel".')
    label: str = Field(default="", description="What people call it; made of its name otherwise.")
    device_class: DeviceClass = Field(
        default="",
        description="What kind of quantity it is, in Home Assistant's words; often told by its unit.",
    )
    state_class: Literal["", "measurement", "total", "total_increasing"] = Field(
        default="", description="Whether it is of this moment or a count; often told by its unit."
    )
    enum: Mapping[Number, str] = Field(default_factory=dict, description="What its numbers are called.")
    bits: Mapping[Number, str] = Field(
        default_factory=dict,
        description="What its bits are called, 0 the lowest; each is a metric of its own.",
    )
    interval: Duration | None = Field(
        default=None, ge=0.01, le=86_400, description="How often it is asked; as the device otherwise."
    )
    writable: bool = Field(default=False, description="Whether commands may set it.")
    min: float | None = Field(default=None, allow_inf_nan=False, description="The least that may be written.")
    max: float | None = Field(default=None, allow_inf_nan=False, description="The most that may be written.")
    choices: tuple[float | int | str, ...] = Field(
        default=(), description="All that may be written, instead of min and max."
    )

    broadcast: bool = Field(
        default=False,
        description="A command goes to all units on the line at once, and none acknowledges it.",
    )

    @model_validator(mode="after")
    def _fits_its_table(self) -> "Register":
        if self.in_bits and self.kind != "bool":
            raise ValueError(f'a {self.table} is one bit: its type can be "bool" only')
        if (self.kind == "string") != (self.length > 0):
            raise ValueError('length must be given for type = "string", and for nothing else')
        if self.kind == "string" and self.order not in (None, "big", "byte-swapped"):
            raise ValueError('order of a string must be "big" or "byte-swapped"')
        if self.address + self.width > ADDRESSES:
            raise ValueError(f"address and width go beyond the last register, {ADDRESSES - 1}")
        return self

    @model_validator(mode="after")
    def _says_what_it_means(self) -> "Register":
        if (self.kind == "bits") != bool(self.bits):
            raise ValueError('bits must be given for type = "bits", and for nothing else')
        if any(not 0 <= bit < values.REGISTER_BITS for bit in self.bits):
            raise ValueError("bits are numbered 0 to 15")
        if self.enum and self.kind not in values.INTEGERS:
            raise ValueError("enum is for whole numbers")
        if self.kind in ("bool", "string", "bits") or self.enum:
            if (self.scale, self.offset) != (1.0, 0.0):
                raise ValueError("scale and offset are for numbers, and not for those with an enum")
        elif self.scale == 0:
            raise ValueError("scale must not be 0")
        return self

    @model_validator(mode="after")
    def _can_be_written(self) -> "Register":
        limits = (self.min, self.max) != (None, None) or self.choices
        if not self.writable:
            if limits or self.broadcast:
                raise ValueError("min, max, choices and broadcast are for writable = true")
            return self
        if self.table in ("input", "discrete"):
            raise ValueError(f"writable: nothing can be written to the table {self.table}")
        if self.kind == "bits":
            raise ValueError("writable: a register of bits is read only; write it as a whole, or use coils")
        if self.kind == "string" and not self.choices:
            raise ValueError("writable: a string can be set to one of its choices only")
        if limits and (self.kind == "bool" or self.enum):
            raise ValueError("min, max and choices are for numbers and strings")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min must not be greater than max")
        return self

    @property
    def kind(self) -> Type:
        return self.type or ("bool" if self.in_bits else "uint16")

    @property
    def in_bits(self) -> bool:
        return self.table in BIT_TABLES

    @property
    def width(self) -> int:
        """Registers, or bits of a table of bits."""
        if self.in_bits:
            return 1
        if self.kind == "string":
            return (self.length + 1) // 2
        return values.WIDTHS[self.kind]


class Span(NamedTuple):
    """A stretch of one table."""

    table: Table
    first: int
    length: int
    """In registers or bits."""

    @property
    def end(self) -> int:
        return self.first + self.length

    def protocol_values(self, data: bytes) -> dict[str, Value]:
        """What it holds, under the protocol's own names."""
        if self.table in BIT_TABLES:
            found: Iterable[Value] = (bit(data, at) for at in range(self.length))
        else:
            found = struct.unpack_from(f">{self.length}H", data)
        return dict(zip(_protocol_names(self), found, strict=True))


@lru_cache(maxsize=256)
def _protocol_names(span: Span) -> tuple[str, ...]:
    prefix = PREFIXES[span.table]
    return tuple(f"{prefix}{address}" for address in range(span.first, span.end))


def bit(data: bytes, at: int) -> bool:
    return bool(data[at >> 3] >> (at & 7) & 1)


class Point:
    """A register with its name, ready to be read and written."""

    def __init__(self, name: str, register: Register, order: Order) -> None:
        self.name = name
        self.register = register
        self._order = register.order or order
        self.span = Span(register.table, register.address, register.width)
        self._is_scaled = (register.scale, register.offset) != (1.0, 0.0)
        places = [values.decimals(register.scale), values.decimals(register.offset)]
        is_exact = register.kind in values.INTEGERS and None not in places
        self._decimals = max(each or 0 for each in places) if is_exact else None

    def values(self, data: bytes, dropped: Counter[str]) -> Iterator[tuple[str, Value]]:
        """From the span's bytes as the line has them; a bit in the lowest place of a byte."""
        register = self.register
        if register.in_bits:
            yield self.name, bool(data[0])
            return
        data = values.ordered(data, self._order)
        if register.kind == "string":
            yield self.name, values.text(data[: register.length])
            return
        found = values.number(data, register.kind)
        if register.kind == "bool":
            yield self.name, found != 0
        elif register.kind == "bits":
            for place, name in register.bits.items():
                yield f"{self.name}_{name}", bool(int(found) >> place & 1)
        elif register.enum:
            yield self.name, register.enum.get(int(found), str(found))
        elif isfinite(scaled := self._scaled(found)):
            yield self.name, scaled
        else:
            dropped["not a number"] += 1

    def _scaled(self, found: float) -> float:
        if not self._is_scaled:
            return found
        value = found * self.register.scale + self.register.offset
        # 2301 * 0.1 is 230.10000000000002, and nobody means that.
        return value if self._decimals is None else round(value, self._decimals)

    def metrics(self, *, writable: bool) -> Iterator[tuple[str, Metric]]:
        """By readable name."""
        register = self.register
        label = register.label or _spoken(self.name)
        if register.kind == "bits":
            for name in register.bits.values():
                yield f"{self.name}_{name}", Metric("", f"{label}: {_spoken(name).lower()}")
            return
        is_number = not register.enum and register.kind not in ("bool", "string")
        device_class, state_class = _KINDS.get(register.unit, ("", "measurement"))
        if register.enum:
            device_class = "enum"
        yield (
            self.name,
            Metric(
                register.unit,
                label,
                device_class=register.device_class or device_class,
                state_class=register.state_class or (state_class if is_number else ""),
                settable=self.settable if writable and register.writable else None,
            ),
        )

    def protocol_metrics(self) -> Iterator[tuple[str, Metric]]:
        label = TABLE_LABELS[self.span.table]
        for at, name in enumerate(_protocol_names(self.span)):
            yield name, Metric("", f"{label} {self.span.first + at}")

    @property
    def settable(self) -> Settable:
        register = self.register
        if register.kind == "bool":
            return Settable(choices=(False, True))
        if register.enum:
            return Settable(choices=tuple(register.enum.values()))
        return Settable(minimum=register.min, maximum=register.max, choices=register.choices)

    def written(self, value: Value) -> bytes:
        """The span's bytes that stand for a value.

        Raises: Refused, with what is allowed.
        """
        register = self.register
        if not register.writable:
            raise Refused(f"{self.name} cannot be set")
        self.settable.check(self.name, value)
        if register.enum:
            value = next(number for number, text in register.enum.items() if text == value)
        elif self._is_scaled and not isinstance(value, str):
            value = (value - register.offset) / register.scale
        try:
            data = values.registers(value, register.kind, register.length)
        except ValueError as error:
            raise Refused(f"{self.name} cannot be {value!r}: it is {error}") from None
        return values.ordered(data, self._order)


def _spoken(name: str) -> str:
    words = name.replace("_", " ").replace(".", " ")
    return words[:1].upper() + words[1:]


def points_of(registers: Mapping[str, Register], order: Order) -> list[Point]:
    """In the order of the tables and of the addresses in them; `order`: of those that do not say theirs."""
    points = [Point(name, register, order) for name, register in registers.items()]
    return sorted(points, key=lambda point: point.span)


def found_in(
    span: Span, data: bytes, points: Iterable[Point], names: Names, dropped: Counter[str]
) -> dict[str, Value]:
    """What the points say that lie wholly within a span which was read."""
    found: dict[str, Value] = {}
    for point in points:
        table, first, _ = point.span
        if table != span.table or first < span.first or point.span.end > span.end:
            continue
        piece = _piece(data, first - span.first, point.span)
        if names == "protocol":
            found.update(point.span.protocol_values(piece))
        else:
            found.update(point.values(piece, dropped))
    return found


def _piece(data: bytes, at: int, span: Span) -> bytes:
    if span.table in BIT_TABLES:
        return bytes([bit(data, at)])
    return data[2 * at : 2 * (at + span.length)]
