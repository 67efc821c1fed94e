"""`sallyport simulate`: a driver's instrument on a pseudo-terminal, for users without hardware."""

import asyncio
import re
import signal
import sys
from pathlib import Path

import drivers
from drivers.driver import Simulation
from drivers.instrument import PtyInstrument
from gateway.errors import UsageError

_PORT = re.compile('^port = "[^"]*"', re.MULTILINE)


def run(driver_name: str, path: Path) -> int:
    """Raises: UsageError, for an unknown driver, one without a simulation, a path that is taken."""
    simulation = simulated(driver_name)
    try:
        with PtyInstrument.plugged_in(path.absolute()) as instrument:
            print(section(driver_name, instrument.path), end="", flush=True)
            asyncio.run(_until_signalled(instrument, simulation))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    return 0


def simulated(driver_name: str) -> Simulation:
    """Raises: UsageError."""
    if driver_name not in drivers.names():
        raise UsageError(f"no driver {driver_name!r}: there are {', '.join(drivers.names())}")
    simulation = drivers.find(driver_name).simulation
    if simulation is None:
        raise UsageError(f"driver {driver_name} comes without a simulated instrument")
    return simulation


def section(driver_name: str, path: Path) -> str:
    """The table for the configuration with which the driver reads its own simulation."""
    return _PORT.sub(lambda _: f'port = "{path}"', drivers.sample(driver_name))


async def play(instrument: PtyInstrument, simulation: Simulation, seed: int = 0) -> None:
    """Answer and talk, as it does, for as long as this runs."""
    async with asyncio.TaskGroup() as group:
        if simulation.answering is not None:
            group.create_task(instrument.serve(simulation.answering(seed)))
        if simulation.talks:
            group.create_task(instrument.play(simulation.telegrams(seed), every_s=simulation.every_s))


async def _until_signalled(instrument: PtyInstrument, simulation: Simulation) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print("Ctrl-C unplugs it.", file=sys.stderr, flush=True)
    async with asyncio.TaskGroup() as group:
        playing = group.create_task(play(instrument, simulation))
        await stop.wait()
        playing.cancel()
