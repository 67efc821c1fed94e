"""What is done about devices that hang: their port is opened again, at last its power is switched off and on."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from math import inf

from drivers.lookout import Lookout
from drivers.power import Power
from gateway.errors import LinkError
from gateway.logs import MessageId, about
from gateway.pacing.backoff import Backoff
from gateway.pacing.throttle import Flapping
from gateway.source import Source
from gateway.supervisor import Child, Report
from gateway.units import written_duration

log = logging.getLogger(__name__)

EVERY_S = 1.0
"""Between two looks at who is silent."""

SHUT_S = 1.0
"""For so long a port is closed: a serial server needs a moment to see that we are gone."""

BACK_S = 10.0
"""What an adapter may take to be there again when it has power."""

REOPENINGS = 2
"""Before the power is cycled."""

CYCLES = 3
CYCLES_WITHIN_S = 3600.0
"""A power cycle that does not help does not help more often."""

LONGEST_WAIT_S = 86_400.0


@dataclass(slots=True)
class Escalation:
    """When to try what about a port that is silent: after a wait, then after twice as long, and so on.

    The first wait comes again only when the port was heard for as long as the last one. So a device that rightly
    speaks more rarely than it is expected to, and begins from the start whenever its port is opened, is left in peace
    as soon as the waits are longer than it needs.
    """

    tries: int = 0
    _tried_at: float = -inf
    _heard_at: float | None = None

    def due(self, silent_since: float | None, now: float, *, first_s: float) -> bool:
        """Whether to try something now; to be asked often, also while something is heard: then `None`."""
        if silent_since is None:
            if self._heard_at is None:
                self._heard_at = now
            return False
        if self._heard_at is not None:
            if self.tries and silent_since - self._heard_at >= self.wait(first_s, self.tries - 1):
                self.tries = 0
            self._heard_at = None
        return now >= max(silent_since, self._tried_at) + self.wait(first_s, self.tries)

    def tried(self, now: float) -> None:
        self.tries += 1
        self._tried_at = now

    @staticmethod
    def wait(first_s: float, tries: int) -> float:
        """How long before the next try, after so many; infinity stays what it is."""
        return min(first_s * 2.0 ** min(tries, 64), max(first_s, LONGEST_WAIT_S))


@dataclass(slots=True)
class _Supply:
    power: Power
    cycles: Flapping = field(default_factory=lambda: Flapping(CYCLES, CYCLES_WITHIN_S))


class Recovery:
    """Devices on one port, by the same name, are silent when all of them are; so are those behind one power switch."""

    def __init__(self, sources: Iterable[Source]) -> None:
        """`sources`: looked at anew each time."""
        self.child = Child(name="recovery", run=self.run, restart=Backoff(first_s=1.0, cap_s=60.0))
        self.handling = ""
        """What is being done and must end by itself."""
        self.handled = 0
        """So often was something begun."""
        self._sources = sources
        self._escalations: dict[str, Escalation] = {}
        self._supplies: dict[str, _Supply] = {}

    async def run(self, _report: Report) -> None:
        """Endless."""
        while True:
            try:
                await self._look()
            finally:
                self._handle("")
            await asyncio.sleep(EVERY_S)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        await self._look_at_supplies()
        ports: dict[str, list[Source]] = {}
        for source in self._sources:
            ports.setdefault(source.options.port, []).append(source)
        for port in self._escalations.keys() - ports.keys():
            del self._escalations[port]
        for port, sources in ports.items():
            escalation = self._escalations.setdefault(port, Escalation())
            if escalation.due(_silent_since(sources), loop.time(), first_s=_first_wait(sources)):
                await self._help(port, sources, escalation)

    def _handle(self, what: str) -> None:
        self.handling = what
        self.handled += 1

    async def _look_at_supplies(self) -> None:
        """What was switched off when the gateway was killed is switched on."""
        named = {path for source in self._sources if (path := source.options.power_cycle) is not None}
        for path in self._supplies.keys() - named:
            del self._supplies[path]
        for path in named - self._supplies.keys():
            self._supplies[path] = _Supply(Power(path))
            self._handle(f"looking at {path}")
            try:
                if await self._supplies[path].power.restore():
                    log.warning("%s: the port had been left without power; it has power again", path)
            except LinkError as error:
                log.warning("a port may have been left without power, and stay so: %s", error)

    async def _help(self, port: str, sources: Sequence[Source], escalation: Escalation) -> None:
        now = asyncio.get_running_loop().time()
        supply = self._supply(sources, escalation, now)
        concerned = sources if supply is None else self._behind(supply)
        names = ", ".join(source.name for source in concerned)
        next_in = written_duration(escalation.wait(_first_wait(sources), escalation.tries + 1))
        async with AsyncExitStack() as stack:
            for source in concerned:
                self._handle(f"closing {source.options.port}")
                await stack.enter_async_context(source.shut())
            if _silent_since(concerned) is None:
                return
            if supply is None:
                log.warning(
                    "%s: still silent: %s is closed and opened again, next in %s", names, port, next_in,
                    extra=_about(MessageId.PORT_REOPENED, concerned),
                )  # fmt: skip
                self._handle(f"opening {port} again")
                await asyncio.sleep(SHUT_S)
            else:
                log.warning(
                    "%s: still silent: the power of %s is switched off and on", names, supply.power.port,
                    extra=_about(MessageId.POWER_CYCLED, concerned),
                )  # fmt: skip
                supply.cycles.changed(now)
                await self._cycle(supply.power, {source.options.port for source in concerned})
        escalation.tried(asyncio.get_running_loop().time())

    def _supply(self, sources: Sequence[Source], escalation: Escalation, now: float) -> _Supply | None:
        """Whose power to cycle, if that is what is to be tried now."""
        path = sources[0].options.power_cycle
        supply = self._supplies.get(path) if path is not None else None
        if supply is None or escalation.tries < REOPENINGS:
            return None
        if now < supply.cycles.calm_at or _silent_since(self._behind(supply)) is None:
            return None
        return supply

    def _behind(self, supply: _Supply) -> list[Source]:
        return [
            source
            for source in self._sources
            if (path := source.options.power_cycle) is not None and self._supplies.get(path) is supply
        ]

    async def _cycle(self, power: Power, ports: Iterable[str]) -> None:
        self._handle(f"switching the power of {power.port}")
        lookouts = [Lookout(port) for port in ports]
        for lookout in lookouts:
            await lookout.note()
        try:
            await power.cycle()
        except LinkError as error:
            log.warning("the power cannot be switched: %s", error, extra=about(MessageId.POWER_CYCLED))
            return
        self._handle(f"waiting for what is plugged into {power.port}")
        try:
            async with asyncio.timeout(BACK_S):
                for lookout in lookouts:
                    await lookout.arrival()
        except TimeoutError:
            return


def _about(message_id: MessageId, sources: Sequence[Source]) -> dict[str, str]:
    """The field for a device is left empty where there are several."""
    names = [source.name for source in sources]
    return about(message_id, device=names[0] if len(names) == 1 else "", port=sources[0].options.port)


def _silent_since(sources: Iterable[Source]) -> float | None:
    """When the last of them fell silent; None: not all of them are."""
    since = [source.silent_since for source in sources]
    return None if None in since else max(each for each in since if each is not None)


def _first_wait(sources: Iterable[Source]) -> float:
    waits = [source.options.reopen_after for source in sources]
    return inf if None in waits else max(each for each in waits if each is not None)
