"""`ubx`: u-blox receivers that send UBX messages, with NMEA sentences in between or without."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from drivers.driver import Clues, Driver, DriverOptions, LineSetting, Metric, Simulation, listening
from drivers.nmea0183.metrics import METRICS
from drivers.ubx.codec import OF_SENTENCES, Messages
from drivers.ubx.messages import MESSAGES, ONLY_WHEN_ASKED_FOR, metrics
from drivers.ubx.simulator import telegrams


def _known(message: str) -> str:
    if message not in MESSAGES:
        raise ValueError("must be a message that can give readings, such as NAV-SAT")
    return message


Message = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": sorted(MESSAGES)})]


class Options(DriverOptions):
    also: tuple[Message, ...] = Field(
        default=(),
        description="Messages that give readings besides the usual ones: lists of satellites and signals, such as "
        '["NAV-SAT", "NAV-SIG"].',
    )
    ignore: tuple[Message, ...] = Field(
        default=(), description='Messages that give no readings, such as ["NAV-POSECEF"].'
    )
    nmea: bool = Field(
        default=False,
        description="Whether the NMEA sentences in between give readings too: nmea.lat and so on.",
    )


def _decoder(options: Options) -> Messages:
    return Messages(names=options.names, also=options.also, ignore=options.ignore, nmea=options.nmea)


def _described(options: Options) -> Mapping[str, Metric]:
    messages = {*MESSAGES - ONLY_WHEN_ASKED_FOR, *options.also} - {*options.ignore}
    described = metrics(messages, options.names)
    if not options.nmea:
        return described
    return {**described, **{OF_SENTENCES + name: metric for name, metric in METRICS.items()}}


DRIVER = Driver(
    summary="u-blox GPS and GNSS receivers: UBX messages, with NMEA sentences in between",
    maker="u-blox",
    options=Options,
    decoder=_decoder,
    open=listening(_decoder),
    simulation=Simulation(telegrams=telegrams),
    clues=Clues(besides={"nmea": True}, lines=(LineSetting(38_400), LineSetting(115_200))),
    metrics=metrics(MESSAGES, "readable"),
    described=_described,
)
