"""`dsmr`: the P1 port of smart meters, `/ISk5...` to `!CCCC`."""

from pydantic import Field

from drivers.driver import Clues, Driver, DriverOptions, LineSetting, Simulation, listening
from drivers.dsmr.codec import Checking, Telegrams
from drivers.dsmr.metrics import METRICS, described
from drivers.dsmr.simulator import telegrams
from drivers.dsmr.values import by_code, by_name


class Options(DriverOptions):
    baudrate: int = Field(
        default=115_200,
        ge=50,
        le=4_000_000,
        description="Bits per second on the line: 115200 from DSMR 4 on, 9600 (7 data bits, even parity) before.",
    )
    checksum: Checking = Field(
        default="if_sent",
        description='Telegrams with a wrong checksum are refused; "always" refuses those without one too, as DSMR 2.2 '
        'and 3 send them; "never" accepts all, also those that the next one cuts off.',
    )


def _decoder(options: Options) -> Telegrams:
    return Telegrams(by_name if options.names == "readable" else by_code, check=options.checksum)


DRIVER = Driver(
    summary="P1 port of smart meters: DSMR 2.2 to 5, Belgium, Luxembourg, Sweden, Hungary, Austria and others",
    options=Options,
    decoder=_decoder,
    open=listening(_decoder),
    simulation=Simulation(telegrams=telegrams),
    clues=Clues(lines=(LineSetting(9600, 7, "even"),)),
    metrics=METRICS,
    described=lambda options: described(options.names),
)
