"""Every simulated instrument at once, as `sallyport demo all` has them."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import drivers
from drivers.instrument import PtyInstrument
from gateway.commands.demo import _sections
from gateway.commands.simulate import play

ALL = sorted(name for name in drivers.DRIVERS if drivers.find(name).simulation is not None)


def sections(folder: Path, names: Iterable[str] = ALL) -> str:
    """The devices of a configuration that reads them in `folder`; those that must be asked are, every second."""
    return re.sub(r'(?m)^interval = "\w+"', 'interval = "1s"', "\n".join(_sections(folder, names)))


@asynccontextmanager
async def playing(folder: Path, names: Iterable[str] = ALL) -> AsyncIterator[None]:
    """Plugged in there, each under the name of its driver."""
    with ExitStack() as plugged:
        lines = {name: plugged.enter_context(PtyInstrument.plugged_in(folder / name)) for name in names}
        async with asyncio.TaskGroup() as group:
            tasks = []
            for name, line in lines.items():
                simulation = drivers.find(name).simulation
                assert simulation is not None
                tasks.append(group.create_task(play(line, simulation)))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
