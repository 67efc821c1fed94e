"""`mbus`: heat, water, gas and electricity meters on a wired M-Bus."""

from drivers.asking import asking
from drivers.driver import Clues, Driver, LineSetting, Simulation
from drivers.mbus.codec import Answers
from drivers.mbus.link import ANY
from drivers.mbus.meter import Meter
from drivers.mbus.metrics import METRICS, Metrics
from drivers.mbus.options import Options
from drivers.mbus.simulator import HeatMeter, telegrams


def _decoder(options: Options) -> Answers:
    return Answers(options.names)


def _described(options: Options) -> Metrics:
    return METRICS[options.names]


DRIVER = Driver(
    summary="wired M-Bus (EN 13757): heat, water, gas and electricity meters, several on one bus",
    options=Options,
    decoder=_decoder,
    open=asking(Meter),
    simulation=Simulation(telegrams=telegrams, answering=HeatMeter, talks=False),
    clues=Clues(
        heard=False,
        lines=(LineSetting(9600, parity="even"), LineSetting(300, parity="even")),
        questions=({"address": ANY, "retries": 0},),
    ),
    metrics=METRICS["readable"],
    described=_described,
    shares_port=True,
)
