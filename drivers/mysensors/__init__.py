"""`mysensors`: a MySensors serial gateway and the nodes behind it, `12;6;1;0;0;36.5`."""

from pydantic import Field

from drivers.driver import Clues, Driver, DriverOptions, LineSetting, Simulation, listening
from drivers.mysensors.codec import Messages
from drivers.mysensors.simulator import telegrams
from drivers.mysensors.types import METRICS


class Options(DriverOptions):
    baudrate: int = Field(
        default=115_200,
        ge=50,
        le=4_000_000,
        description="Bits per second on the line: 115200 unless the gateway was built for another.",
    )


def _decoder(options: Options) -> Messages:
    return Messages(readable=options.names == "readable")


DRIVER = Driver(
    summary="MySensors serial gateway, API 1.4 to 2.x: every node's values, batteries, sketches",
    options=Options,
    decoder=_decoder,
    open=listening(_decoder, shows_cuts=False),
    simulation=Simulation(telegrams=telegrams),
    clues=Clues(evidence="form", lines=(LineSetting(38_400), LineSetting(57_600))),
    metrics=METRICS,
)
