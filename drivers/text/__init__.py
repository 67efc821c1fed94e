"""`text`: lines of text: balances, multimeters, data loggers, and whatever a regular expression can read."""

from drivers.driver import Clues, Driver, LineSetting, Simulation
from drivers.text.codec import TextLines
from drivers.text.device import open_device
from drivers.text.options import Options, described
from drivers.text.simulator import telegrams
from drivers.text.units import METRICS

__all__ = ["DRIVER", "Options"]

DRIVER = Driver(
    summary="lines of text: balances, multimeters, data loggers; regular expressions and columns",
    options=Options,
    decoder=TextLines,
    open=open_device,
    simulation=Simulation(telegrams=telegrams, every_s=0.5),
    clues=Clues(
        evidence="guess", lines=(LineSetting(1200), LineSetting(2400), LineSetting(4800), LineSetting(19_200))
    ),
    metrics=METRICS,
    described=described,
)
