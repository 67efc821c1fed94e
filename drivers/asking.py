"""Devices that speak when they are asked: what their options share, and the rhythm of asking."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, Self

from pydantic import Field, model_validator

from drivers.driver import NO_ANSWER, Device, DriverOptions
from drivers.line import Line
from drivers.port import Rs485
from gateway.errors import FrameError, LinkSilent
from gateway.model import Clock, Reading, Stamp, Value
from gateway.units import Duration

UNANSWERED_AT_MOST = 3
"""Questions in a row without an answer; then the device is offline, and the port is opened anew."""


MISSED_AT_MOST = 3
"""Intervals without a reading, before a device is stale that says nothing of it."""


class AskingOptions(DriverOptions):
    interval: Duration = Field(
        default=10.0,
        ge=0.01,
        le=86_400,
        description="How often the device is asked, from one start to the next.",
    )
    timeout: Duration = Field(
        default=1.0,
        ge=0.01,
        le=60,
        description="How long the line may be silent before an answer counts as missing.",
    )
    turnaround: Duration = Field(
        default=0.0,
        ge=0,
        le=10,
        description="The pause between the end of one exchange and the next request.",
    )
    echo: bool = Field(
        default=False,
        description="The adapter repeats what we send, as some for two wires do: leave that out.",
    )
    rs485: Rs485 = Field(
        default="off",
        description='Who switches an RS-485 adapter between sending and hearing: "off", itself; "rts", this machine'
        ' with RTS on while it sends; "rts-inverted", with RTS off.',
    )

    @property
    def asked_every(self) -> float:
        """How often there should be a reading, in seconds; 0 for a device that talks by itself."""
        return self.interval

    @model_validator(mode="after")
    def _not_stale_between_two_rounds(self) -> Self:
        """The default is that of devices which talk by themselves."""
        if self.stale_after is not None and "stale_after" not in self.model_fields_set:
            object.__setattr__(self, "stale_after", max(self.stale_after, MISSED_AT_MOST * self.asked_every))
        return self


class Answered(NamedTuple):
    """What one round of questions told."""

    values: Mapping[str, Value]
    at: Stamp
    """When the answer began."""


class Asker(ABC):
    """A device that is asked, round after round; a missed round is not made up for."""

    def __init__(self, name: str, line: Line, options: AskingOptions) -> None:
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._name = name
        self._line = line
        self._options = options

    @abstractmethod
    async def ask(self) -> Answered:
        """One round of questions.

        Raises: LinkSilent, FrameError: this round is lost, and counted; LinkLost: the port is.
        """

    async def rest(self, due: float) -> float:
        """Wait for the next round; `due`: the loop's time at which the last one was. Gives that of the next.

        Raises: LinkLost.
        """
        interval_s = self._options.interval
        loop = asyncio.get_running_loop()
        missed = max((loop.time() - due) // interval_s, 0)
        due += (missed + 1) * interval_s
        await self._line.rest(due)
        return due

    async def readings(self) -> AsyncIterator[Reading]:
        due = asyncio.get_running_loop().time()
        unanswered = 0
        while True:
            try:
                values, at = await self.ask()
            except LinkSilent:
                self.rejected[NO_ANSWER] += 1
                unanswered += 1
                if unanswered >= UNANSWERED_AT_MOST:
                    raise
            except FrameError as error:
                self.rejected[str(error)] += 1
                unanswered = 0
            else:
                unanswered = 0
                if values:
                    yield Reading(at=at, device=self._name, values=values)
            due = await self.rest(due)


def asking(
    device: Callable[[str, Line, Any], Device],
) -> Callable[[str, Any, Clock], AbstractAsyncContextManager[Device]]:
    """`Driver.open` of a device that is asked: made from its name, its line and the driver's options."""

    @asynccontextmanager
    async def open_device(name: str, options: AskingOptions, clock: Clock) -> AsyncIterator[Device]:
        async with Line.open(options, clock) as line:
            yield device(name, line, options)

    return open_device
