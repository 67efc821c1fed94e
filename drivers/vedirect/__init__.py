"""`vedirect`: Victron solar chargers, battery monitors, inverters: what prints `V`, `I`, `Checksum` on VE.Direct."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import AfterValidator, Field

from drivers.driver import Driver, DriverOptions, Metric, Simulation
from drivers.port import SerialPort
from drivers.vedirect.codec import Blocks
from drivers.vedirect.device import Talker
from drivers.vedirect.fields import FIELDS, RAW_UNITS
from drivers.vedirect.metrics import METRICS
from drivers.vedirect.registers import REGISTERS, called, numbered
from drivers.vedirect.simulator import SolarCharger, telegrams
from gateway.model import Clock
from gateway.units import Duration


def _register(text: str) -> str:
    numbered(text)
    return text


class Options(DriverOptions):
    baudrate: int = Field(
        default=19_200,
        ge=50,
        le=4_000_000,
        description="Bits per second on the line: 19200 on all VE.Direct ports.",
    )
    registers: tuple[Annotated[str, AfterValidator(_register)], ...] = Field(
        default=(),
        max_length=64,
        description='Registers to ask for, by name or number, such as ["panel_current", "0xEDDB"].',
    )
    interval: Duration = Field(
        default=60.0, ge=1, le=86_400, description="How often each of the registers is asked for."
    )
    timeout: Duration = Field(
        default=2.0, ge=0.1, le=60, description="How long a command may stay unanswered."
    )


def _decoder(options: Options) -> Blocks:
    return Blocks(readable=options.names == "readable")


@asynccontextmanager
async def _open(name: str, options: Options, clock: Clock) -> AsyncIterator[Talker]:
    async with SerialPort.open(options, clock) as port:
        yield Talker(
            name,
            port,
            _decoder(options),
            registers=tuple(map(numbered, options.registers)),
            interval_s=options.interval,
            timeout_s=options.timeout,
            readable=options.names == "readable",
        )


def _described(options: Options) -> Mapping[str, Metric]:
    return METRICS if options.names == "readable" else _RAW


_UNITS = {label: unit for unit, labels in RAW_UNITS.items() for label in labels.split()}
_RAW = {
    **{label: Metric(_UNITS.get(label, ""), METRICS[name].label) for label, (name, _) in FIELDS.items()},
    **{
        called(number): Metric("", METRICS[register.name].label, settable=register.bounds)
        for number, register in REGISTERS.items()
    },
    "app_version": Metric("", "Version of the firmware"),
    "product_id": METRICS["product_id"],
    "*": Metric("", "Field or register that has no name here"),
}
"""What `names = "protocol"` reports."""

DRIVER = Driver(
    summary="Victron VE.Direct: solar chargers, battery monitors, inverters",
    maker="Victron Energy",
    options=Options,
    decoder=_decoder,
    open=_open,
    simulation=Simulation(telegrams=telegrams, answering=SolarCharger),
    metrics=METRICS,
    described=_described,
)
