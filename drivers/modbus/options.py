"""What people write in a device's table."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from drivers.asking import AskingOptions
from drivers.modbus.points import Register, points_of
from drivers.modbus.values import Order

MOST_REGISTERS = 125


def _metric_name(name: str) -> str:
    if not all(name.split(".")) or not name.isprintable() or " " in name:
        raise ValueError("must be a name without spaces, such as voltage or pump.running")
    return name


class Options(AskingOptions):
    mode: Literal["ask", "listen"] = Field(
        default="ask",
        description='"ask" reads a unit as its master; "listen" overhears another master, and sends nothing.',
    )
    unit: int = Field(
        default=1,
        ge=1,
        le=247,
        description="The unit's address on the line, 1 to 247; a listener without it and without registers hears all.",
    )
    order: Order = Field(
        default="big",
        description="Of the bytes ABCD in registers that do not say: big ABCD, little DCBA, word-swapped CDAB,"
        " byte-swapped BADC.",
    )
    max_gap: int = Field(
        default=0,
        ge=0,
        le=MOST_REGISTERS,
        description="Registers nobody wants that may be read along to make one request of two.",
    )
    max_registers: int = Field(
        default=MOST_REGISTERS,
        ge=1,
        le=MOST_REGISTERS,
        description="The most a request may ask for; sixteen times as many bits.",
    )
    write_multiple: bool = Field(
        default=False,
        description="Write single registers and coils with functions 16 and 15 too, for devices without 6 and 5.",
    )
    registers: Mapping[Annotated[str, AfterValidator(_metric_name)], Register] = Field(
        default_factory=dict,
        description="What is read, by the name of its metric: each a table with at least an address.",
    )

    @property
    def asked_every(self) -> float:
        if self.mode == "listen":
            return 0
        return min(
            (each.interval or self.interval for each in self.registers.values()), default=self.interval
        )

    @model_validator(mode="after")
    def _has_something_to_do(self) -> "Options":
        if self.mode == "ask" and not self.registers:
            raise ValueError(
                "registers: there are none to ask for; write one such as"
                ' [devices.<name>.registers.voltage] with address = 0, or mode = "listen"'
            )
        for name, register in self.registers.items():
            if not register.in_bits and register.width > self.max_registers:
                raise ValueError(
                    f"registers.{name}: takes {register.width} registers, and max_registers is {self.max_registers}"
                )
        points = points_of(self.registers, self.order)
        names = Counter(name for point in points for name, _ in point.metrics(writable=False))
        if repeated := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"registers: {repeated[0]} stands for two of them: give one another name")
        return self
