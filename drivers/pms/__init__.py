"""`pms`: sensors for dust and air that talk by themselves: Plantower, Nova, Honeywell, Winsen, BME680 modules."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from drivers.driver import Device, Driver, DriverOptions, Listener, Metric, Simulation
from drivers.pms.codec import MODELS, Telegrams
from drivers.pms.metrics import METRICS, described
from drivers.pms.simulator import telegrams
from drivers.port import SerialPort
from gateway.model import Clock

ModelName = Literal[
    "auto", "pms1003", "pms3003", "pms5003", "pms5003s", "pms5003t", "pms5003st", "pms7003", "pmsa003", "sds011",
    "sds018", "sds021", "sds198", "hpma115s0", "hpma115c0", "mcu680", "zh03b",
]  # fmt: skip


class Options(DriverOptions):
    model: ModelName = Field(
        default="auto",
        description='Which sensor it is; "auto" goes by the frames, and takes some of them for each other.',
    )
    wake: bool = Field(
        default=False,
        description="Tell the sensor at the start to measure and to talk by itself; for one that was put to sleep.",
    )

    @field_validator("wake")
    @classmethod
    def _can_be_woken(cls, wake: bool, info: ValidationInfo) -> bool:
        model = info.data.get("model")
        if wake and model is not None and not MODELS[model].wake:
            named = "without a model" if model == "auto" else f"with a {model}"
            raise ValueError(f"cannot be true {named}: no command is known")
        return wake


def _decoder(options: Options) -> Telegrams:
    return Telegrams(names=options.names, model=options.model)


def _described(options: Options) -> Mapping[str, Metric]:
    return described(options.model, options.names)


@asynccontextmanager
async def _open(name: str, options: Options, clock: Clock) -> AsyncIterator[Device]:
    async with SerialPort.open(options, clock) as port:
        if options.wake:
            port.write(MODELS[options.model].wake)
        yield Listener(name, port, _decoder(options))


DRIVER = Driver(
    summary="sensors for dust and air: Plantower PMS, Nova SDS, Honeywell HPMA115, Winsen ZH03B, BME680 modules",
    options=Options,
    decoder=_decoder,
    open=_open,
    metrics=METRICS,
    described=_described,
    complete=True,
    simulation=Simulation(telegrams=telegrams),
)
