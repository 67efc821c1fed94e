"""A driver whose instrument follows a script, for tests of what stands above drivers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from drivers.asking import Answered, Asker
from drivers.driver import Device, Driver, DriverOptions
from gateway.errors import LinkError
from gateway.model import Clock, Reading, Stamp, Value


class Ended:
    """The driver's readings come to an end, which they never should."""


Step = Ended | float | LinkError | dict[str, Value]
"""Wait so many seconds; fail; or report these values."""


def loop_clock() -> Stamp:
    """The running loop's time on both clocks."""
    now = asyncio.get_running_loop().time()
    return Stamp(round(now * 1e9), now)


class Instrument:
    """Each opening follows the next script; after the last one there is silence."""

    def __init__(self, *scripts: Iterable[Step] | LinkError, asked: bool = False) -> None:
        self.scripts = list(scripts)
        self._kind = _Asked if asked else _Device
        self.open = 0
        self.openings: list[float] = []
        """When it was opened, or could not be."""
        self.rejected: Counter[str] = Counter()

    def driver(self) -> Driver:
        @asynccontextmanager
        async def open_device(name: str, _options: DriverOptions, clock: Clock) -> AsyncIterator[Device]:
            self.openings.append(asyncio.get_running_loop().time())
            script = self.scripts.pop(0) if self.scripts else ()
            if isinstance(script, LinkError):
                raise script
            self.open += 1
            try:
                yield self._kind(name, clock, script, self.rejected)
            finally:
                self.open -= 1

        return Driver(
            summary="follows a script", options=DriverOptions, decoder=_no_decoder, open=open_device
        )


class _Device:
    def __init__(self, name: str, clock: Clock, script: Iterable[Step], rejected: Counter[str]) -> None:
        self.rejected = rejected
        self.dropped: Counter[str] = Counter()
        self._name = name
        self._clock = clock
        self._script = script

    async def readings(self) -> AsyncIterator[Reading]:
        for step in self._script:
            match step:
                case LinkError():
                    raise step
                case Ended():
                    return
                case dict():
                    yield Reading(at=self._clock(), device=self._name, values=step)
                case _:
                    await asyncio.sleep(step)
        await asyncio.Event().wait()


class _Asked(_Device, Asker):
    async def ask(self) -> Answered:
        raise NotImplementedError("its readings follow the script")


def _no_decoder(_options: Any) -> Any:
    raise NotImplementedError("a scripted instrument has no bytes")
