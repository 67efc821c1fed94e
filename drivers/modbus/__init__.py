"""`modbus`: Modbus RTU, as the master of a line or as a listener to another one."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from drivers.asking import asking
from drivers.driver import Clues, Device, Driver, LineSetting, Metric, Simulation
from drivers.modbus.codec import Conversation
from drivers.modbus.hearing import Ear, overhearing
from drivers.modbus.master import Master
from drivers.modbus.options import Options
from drivers.modbus.points import points_of
from drivers.modbus.simulator import EnergyMeter, telegrams
from gateway.model import Clock

__all__ = ["DRIVER", "Options"]


def _decoder(options: Options) -> Conversation:
    hears_all = not options.registers and "unit" not in options.model_fields_set
    return Conversation(
        Ear(
            unit=None if hears_all else options.unit,
            points=points_of(options.registers, options.order),
            names=options.names,
        )
    )


def _open(name: str, options: Options, clock: Clock) -> AbstractAsyncContextManager[Device]:
    way = overhearing(_decoder) if options.mode == "listen" else asking(Master)
    return way(name, options, clock)


def _described(options: Options) -> Mapping[str, Metric]:
    points = points_of(options.registers, options.order)
    if options.names == "protocol":
        return {name: metric for point in points for name, metric in point.protocol_metrics()}
    writable = options.mode == "ask"
    return {name: metric for point in points for name, metric in point.metrics(writable=writable)}


_FIRST_REGISTERS = {"hr0": {"table": "holding", "address": 0}, "ir0": {"table": "input", "address": 0}}
"""What nearly every unit has, one or the other; read, it harms none."""

DRIVER = Driver(
    summary="Modbus RTU: meters, inverters, controllers; as master, or listening to another one",
    options=Options,
    decoder=_decoder,
    open=_open,
    simulation=Simulation(telegrams=telegrams, answering=EnergyMeter, talks=False),
    clues=Clues(
        lines=(LineSetting(19_200, parity="even"), LineSetting(9600, parity="even"), LineSetting(19_200)),
        options={"mode": "listen"},
        questions=tuple({"unit": unit, "registers": _FIRST_REGISTERS} for unit in (1, 2, 3)),
    ),
    shares_port=True,
    capture_options={"mode": "listen"},
    described=_described,
    complete=True,
)
