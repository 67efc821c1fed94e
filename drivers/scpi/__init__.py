"""`scpi`: bench instruments that are asked in SCPI or a dialect like it: supplies, multimeters, gauges."""

from drivers.asking import asking
from drivers.driver import Driver, Simulation
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
    shares_port=True,
    described=described,
)
