"""`json`: one JSON object per line, as Arduino and ESP boards print them."""

from pydantic import Field

from drivers.driver import Clues, Driver, DriverOptions, LineSetting, Simulation, listening
from drivers.json.codec import JsonLines
from drivers.json.simulator import telegrams
from gateway.units import Size


class Options(DriverOptions):
    baudrate: int = Field(default=115_200, ge=50, le=4_000_000, description="Bits per second on the line.")
    max_line: Size = Field(
        default=4096, ge=16, le=1 << 20, description="A line that grows beyond this is given up."
    )
    max_depth: int = Field(
        default=8, ge=1, le=64, description="Objects nested deeper than this are dropped from a reading."
    )


def _decoder(options: Options) -> JsonLines:
    return JsonLines(max_line=options.max_line, max_depth=options.max_depth)


DRIVER = Driver(
    summary="newline-delimited JSON objects: Arduino, ESP8266, ESP32 and other boards",
    options=Options,
    decoder=_decoder,
    open=listening(_decoder),
    simulation=Simulation(telegrams=telegrams),
    clues=Clues(evidence="form", lines=(LineSetting(9600),)),
)
