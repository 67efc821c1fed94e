"""`nmea0183`: GPS, AIS, compass, depth, wind: whatever prints `$GPGGA,...` or `!AIVDM,...`."""

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from drivers.driver import Clues, Driver, DriverOptions, LineSetting, Simulation, listening
from drivers.nmea0183.codec import Sentences
from drivers.nmea0183.metrics import METRICS
from drivers.nmea0183.sentences import SENTENCES
from drivers.nmea0183.simulator import telegrams


def _known(sentence: str) -> str:
    if sentence not in SENTENCES:
        raise ValueError(f"must be one of {', '.join(sorted(SENTENCES))}")
    return sentence


Sentence = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": sorted(SENTENCES)})
]


class Options(DriverOptions):
    baudrate: int = Field(
        default=4800,
        ge=50,
        le=4_000_000,
        description="Bits per second on the line: 4800 by the standard, 9600 on many GPS, 38400 on AIS.",
    )
    require_checksum: bool = Field(
        default=True,
        description="Refuse a sentence without *hh; false accepts whole lines without it, as old instruments print.",
    )
    ignore: tuple[Sentence, ...] = Field(
        default=(),
        description='Sentences that give no readings, by their last three letters, such as ["GSV", "GSA"].',
    )


def _decoder(options: Options) -> Sentences:
    return Sentences(require_checksum=options.require_checksum, ignore=options.ignore)


DRIVER = Driver(
    summary="NMEA 0183: GPS, AIS, compass, depth sounder, wind and weather instruments",
    options=Options,
    decoder=_decoder,
    open=listening(_decoder),
    simulation=Simulation(telegrams=telegrams),
    clues=Clues(lines=(LineSetting(9600), LineSetting(38_400), LineSetting(115_200))),
    metrics=METRICS,
)
