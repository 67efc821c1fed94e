"""`text`: lines of text: balances, multimeters, data loggers, and whatever a regular expression can read."""

from drivers.driver import Driver, Simulation
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
    metrics=METRICS,
    described=described,
)
