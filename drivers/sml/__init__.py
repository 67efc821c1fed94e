"""`sml`: German electricity meters that push SML files over their optical port (EDL21, eHZ, modern meters)."""

from collections.abc import Mapping

from pydantic import Field

from drivers.driver import Driver, DriverOptions, Metric, Simulation, listening
from drivers.obis import OBIS_METRICS
from drivers.sml.codec import Meter
from drivers.sml.names import METRICS
from drivers.sml.simulator import telegrams


class Options(DriverOptions):
    baudrate: int = Field(
        default=9600,
        ge=50,
        le=4_000_000,
        description="Bits per second on the line: 9600 on the optical port.",
    )
    dzg_sign: bool = Field(
        default=True,
        description="Put right the power of DZG DVS74 meters, which call it negative while energy is imported.",
    )


def _decoder(options: Options) -> Meter:
    return Meter(readable=options.names == "readable", dzg_sign=options.dzg_sign)


_READABLE = {**OBIS_METRICS, **METRICS}
_RAW = {"*": Metric("", "Under its OBIS code, in the meter's own unit")}


def _described(options: Options) -> Mapping[str, Metric]:
    return _READABLE if options.names == "readable" else _RAW


DRIVER = Driver(
    summary="SML: German electricity meters at their optical port (EDL21, eHZ)",
    options=Options,
    decoder=_decoder,
    open=listening(_decoder),
    simulation=Simulation(telegrams=telegrams, every_s=2.0),
    metrics=_READABLE,
    described=_described,
)
