"""A device, opened and heard for a while with its line set in some way."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import drivers
from drivers.asking import UNANSWERED_AT_MOST, Asker, AskingOptions
from drivers.driver import NO_ANSWER, Device, Driver, DriverOptions, LineSetting, Listener
from drivers.line_errors import LineErrors
from gateway.clock import system_clock
from gateway.commands.sniff import ANSWER_S, LISTEN_S, LOOK_EVERY_S, lines_of
from gateway.errors import LinkError, LinkSilent
from gateway.model import Value

MORE_S = 2.0
"""From the first reading on, to see how many frames are broken."""

HASTY_S = 1.0
"""An instrument that is asked seldom is asked so often here; for a first answer that makes no difference."""

ENOUGH = 2
"""Readings that prove how a line is set, where a good frame has no checksum to do that alone."""

USUAL_SPEEDS = (9600, 19_200, 115_200, 38_400, 57_600, 4800, 2400, 1200)
USUAL_FRAMINGS = (
    LineSetting(0), LineSetting(0, 8, "even"), LineSetting(0, 7, "even"), LineSetting(0, 8, "odd"),
    LineSetting(0, 8, "none", 2),
)  # fmt: skip
"""At whatever speed."""


@dataclass(slots=True)
class Trial:
    """What came of it."""

    asked: bool = False
    """Whether it speaks only then."""
    readings: int = 0
    example: Mapping[str, Value] = field(default_factory=dict)
    heard: int = 0
    """Bytes; of one that is asked, answers that were no good."""
    rejected: Counter[str] = field(default_factory=Counter)
    errors: LineErrors | None = None
    """That the kernel has counted meanwhile."""

    @property
    def reads(self) -> bool:
        """Whether more is good than broken. The first frame is often one that had begun before we listened."""
        return 0 < self.readings >= self.rejected.total() - 1

    @property
    def broken(self) -> int:
        return max(0, self.rejected.total() - 1)

    @property
    def trouble(self) -> str:
        told = []
        if self.rejected:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.rejected.most_common(3))
            told.append(f"{self.rejected.total()} broken frames ({reasons})")
        if self.errors is not None and self.errors.spoilt:
            told.append(f"errors on the line ({self.errors})")
        return " and ".join(told) or "no good frame"

    def proves(self, driver: Driver) -> bool:
        """That the line is set right, however much else is broken: no such frames come about by chance."""
        return self.readings >= (1 if self.asked or driver.clues.evidence == "checksum" else ENOUGH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where a device is tried."""

    name: str
    options: DriverOptions
    file: str | None
    """The device file, where there is one."""
    wait_s: float
    """For a first byte of one that speaks by itself."""
    tell: Callable[[str], None]

    @property
    def driver(self) -> Driver:
        return drivers.find(self.options.driver)

    @property
    def line(self) -> LineSetting:
        options = self.options
        return LineSetting(options.baudrate, options.data_bits, options.parity, options.stop_bits)

    def line_errors(self) -> LineErrors | None:
        return None if self.file is None else LineErrors.of(self.file)

    async def as_it_is(self) -> Trial:
        """With the line as the configuration has it. Raises: LinkError."""
        return await self._try(self.line, self.wait_s, MORE_S, hurry=False)

    async def otherwise(self, line: LineSetting, *, patient: bool) -> Trial:
        """With the line set in another way. `patient`: it is known to speak. Raises: LinkError."""
        first_s = self.wait_s if patient else min(LISTEN_S, self.wait_s)
        return await self._try(line, first_s, self.wait_s, hurry=True)

    def other_lines(self, answering: LineSetting | None, *, silent: bool) -> list[LineSetting]:
        """The likeliest first.

        Args:
            answering: at which another device on the line was understood.
            silent: nothing was heard, so that parity and the like are not to blame, but in a question.
        """
        ours = self.line
        known = lines_of(self.driver)
        lines = [] if answering is None else [answering]
        lines += [ours._replace(baudrate=line.baudrate) for line in known]
        lines += known
        lines += [ours._replace(baudrate=speed) for speed in USUAL_SPEEDS]
        if not silent or not self.driver.clues.heard:
            lines += [framing._replace(baudrate=ours.baudrate) for framing in USUAL_FRAMINGS]
        return [line for line in dict.fromkeys(lines) if line != ours]

    async def _try(self, line: LineSetting, first_s: float, more_s: float, *, hurry: bool) -> Trial:
        """`hurry`: it is over as soon as it proves something, or will come to nothing."""
        trial = Trial()
        lost: LinkError | None = None
        async with self.driver.open(self.name, self._set_to(line, hurry=hurry), system_clock) as device:
            trial.asked = isinstance(device, Asker)
            before = self.line_errors()
            patience_s = ANSWER_S if trial.asked else first_s
            what = "asking" if trial.asked else "listening"
            self.tell(f"{self.name}: {what} at {line} for up to {patience_s:g} s …")
            async with asyncio.TaskGroup() as group:
                try:
                    async with asyncio.timeout(patience_s) as patience:
                        hurrying = group.create_task(_hurry(device, patience, listening=hurry))
                        async with aclosing(device.readings()) as readings:  # type: ignore[type-var]
                            async for reading in readings:
                                trial.readings += 1
                                if trial.readings == 1:
                                    trial.example = dict(reading.values)
                                    hurrying.cancel()
                                    patience.reschedule(asyncio.get_running_loop().time() + more_s)
                                trial.rejected = _broken(device)
                                if hurry and trial.proves(self.driver):
                                    break
                except (TimeoutError, LinkSilent):
                    pass
                except LinkError as error:
                    lost = error
                finally:
                    hurrying.cancel()
            trial.rejected = _broken(device)
            trial.heard = device.heard if isinstance(device, Listener) else trial.rejected.total()
            after = self.line_errors()
            if before is not None and after is not None:
                trial.errors = after.since(before)
        if lost is not None:
            raise lost
        return trial

    def _set_to(self, line: LineSetting, *, hurry: bool) -> DriverOptions:
        changed: dict[str, Any] = line._asdict()
        if isinstance(self.options, AskingOptions):
            changed["interval"] = min(self.options.interval, LOOK_EVERY_S if hurry else HASTY_S)
        return self.options.model_copy(update=changed)


def _broken(device: Device) -> Counter[str]:
    return device.rejected - Counter({NO_ANSWER: device.rejected[NO_ANSWER]})


async def _hurry(device: Device, patience: asyncio.Timeout, *, listening: bool) -> None:
    """End a trial early in which bytes come, or answers, and no reading among them."""
    loop = asyncio.get_running_loop()
    while not patience.expired():
        if isinstance(device, Listener):
            if listening and device.heard:
                patience.reschedule(min(patience.when() or 0.0, loop.time() + LISTEN_S))
                return
        elif device.rejected.total() >= UNANSWERED_AT_MOST:
            patience.reschedule(loop.time())
            return
        await asyncio.sleep(LOOK_EVERY_S)
