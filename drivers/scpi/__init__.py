"""`scpi`: bench instruments that are asked in SCPI or a dialect like it: supplies, multimeters, gauges."""

from drivers.asking import asking
from drivers.driver import Clues, Driver, LineSetting, Simulation
from drivers.scpi.codec import Answers
from drivers.scpi.device import Instrument
from drivers.scpi.options import Options, described
from drivers.scpi.simulator import Supply, telegrams

__all__ = ["DRIVER", "Options"]

DRIVER = Driver(
    summary="SCPI and dialects like it: power supplies, multimeters, controllers, gauges",
    options=Options,
    decoder=Answers,
    open=asking(Instrument),
    simulation=Simulation(telegrams=telegrams, answering=Supply, talks=False),
    clues=Clues(
        heard=False,
        evidence="guess",
        questions=({"queries": [{"name": "idn", "query": "*IDN?", "type": "text"}]},),
        lines=(LineSetting(115_200), LineSetting(19_200)),
    ),
    shares_port=True,
    described=described,
    complete=True,
)
