"""`davis`: Vantage Pro, Pro2 and Vue weather stations, by LOOP and LOOP2 packets of their console."""

from drivers.asking import asking
from drivers.davis.codec import Packets, metrics
from drivers.davis.console import Console
from drivers.davis.options import Options
from drivers.davis.simulator import SimulatedConsole, telegrams
from drivers.driver import Clues, Driver, Metric, Simulation


def _decoder(options: Options) -> Packets:
    return options.decoder()


def _described(options: Options) -> dict[str, Metric]:
    return dict(metrics(options.names, options.rain_bucket))


DRIVER = Driver(
    summary="Davis Vantage Pro, Pro2 and Vue weather stations",
    maker="Davis Instruments",
    model="Vantage",
    options=Options,
    decoder=_decoder,
    open=asking(Console),
    simulation=Simulation(telegrams=telegrams, answering=SimulatedConsole, every_s=2.0, talks=False),
    clues=Clues(heard=False, questions=({},)),
    metrics=metrics("readable", "0.01in"),
    described=_described,
    complete=True,
)
