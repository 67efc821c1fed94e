"""Another configuration while the gateway runs: asked for, loaded, planned, carried out; all of it or nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway.brokers import Ways, new_ways
from gateway.config import Config, load, rulebook
from gateway.errors import ConfigError, Refused
from gateway.logs import MessageId, about
from gateway.plan import Plan, plan
from gateway.request import Nothing, Verb
from gateway.rules.rulebook import Rulebook
from gateway.supervisor import refusing
from gateway.systemd import ServiceManager

log = logging.getLogger(__name__)

STOPPING = "the gateway is being stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """All that is needed to carry a plan out, so that nothing can be wrong with it any more."""

    plan: Plan
    ways: Ways
    """To the brokers that are new or change."""
    book: Rulebook


@dataclass(slots=True)
class _Wish:
    for_real: bool
    answer: "asyncio.Future[dict[str, Any]]"

    def grant(self, answer: dict[str, Any]) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def refuse(self, why: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(Refused(why))


class Reloading:
    def __init__(
        self,
        file: Path | None,
        running: Callable[[], Config],
        carry_out: Callable[[Change], Awaitable[None]],
        service: ServiceManager,
    ) -> None:
        """Begin.

        Args:
            file: the configuration; None: there is none.
            running: the one that the gateway runs with.
            carry_out: makes it run with another one; if it fails, that is a bug.
            service: is told.
        """
        self.verbs: Mapping[str, Verb] = {
            "reload": partial(self._wish, for_real=True),
            "plan": partial(self._wish, for_real=False),
        }
        self.under_way = False
        self.ended = 0
        self._file = file
        self._running = running
        self._carry_out = carry_out
        self._service = service
        self._wishes: asyncio.Queue[_Wish] = asyncio.Queue()
        self._half_way = asyncio.Lock()
        self._over = False

    async def run(self, signalled: asyncio.Event) -> None:
        """Endless: one after the other. What fails halfway is raised, and must end the gateway."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heed(signalled), name="reload signal")
            while True:
                wish = await self._wishes.get()
                self.under_way = True
                try:
                    wish.grant(await (self._reload() if wish.for_real else self._look()))
                except Refused as error:
                    wish.refuse(str(error))
                finally:
                    self.under_way = False
                    self.ended += 1
                    wish.refuse("the gateway is being stopped, or has failed: see its log")

    async def end(self, patience_s: float) -> None:
        """Who still waits, or comes, is refused; what is half way is waited for, so that all of it can be stopped.

        Then `run` may be cancelled.
        """
        self._over = True
        while not self._wishes.empty():
            self._wishes.get_nowait().refuse(STOPPING)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s), self._half_way:
                pass

    async def _heed(self, signalled: asyncio.Event) -> None:
        while True:
            await signalled.wait()
            signalled.clear()
            with suppress(Refused):  # the log says so
                await self._wish({}, for_real=True)

    async def _wish(self, request: dict[str, Any], *, for_real: bool) -> Mapping[str, Any]:
        """Raises: Refused, with all that is wrong with the file."""
        Nothing.of(request)
        if self._over:
            raise Refused(STOPPING)
        wish = _Wish(for_real, asyncio.get_running_loop().create_future())
        self._wishes.put_nowait(wish)
        return await wish.answer

    async def _look(self) -> dict[str, Any]:
        """What a reload would do. Raises: Refused."""
        with refusing("reload"):
            new = await asyncio.to_thread(self._load)
            return self._told(plan(self._running(), new), new)

    async def _reload(self) -> dict[str, Any]:
        """Raises: Refused, when everything stays as it was."""
        self._service.reloading()
        try:
            with refusing("reload"):
                new = await asyncio.to_thread(self._load)
                wanted = plan(self._running(), new)
                change = await asyncio.to_thread(_prepared, wanted)
        except Refused as error:
            log.warning(
                "reload: refused, everything stays as it was: %d problems", len(str(error).splitlines()),
                extra=about(MessageId.CONFIGURATION_REFUSED, trace=str(error)),
            )  # fmt: skip
            self._service.ready()
            raise
        for warning in new.warnings:
            log.warning("%s", warning)
        async with self._half_way:
            await self._carry_out(change)
        log.info("reload: %s", "; ".join(wanted.lines), extra=about(MessageId.CONFIGURATION_APPLIED))
        self._service.ready()
        return self._told(wanted, new)

    def _load(self) -> Config:
        """As it is written now. Blocks. Raises: ConfigError."""
        if self._file is None:
            raise ConfigError("this gateway has no file to load its configuration from")
        return load(self._file)

    def _told(self, wanted: Plan, new: Config) -> dict[str, Any]:
        return {"file": str(self._file), "plan": wanted.lines, "warnings": list(new.warnings)}


def compiled(config: Config) -> Rulebook:
    return rulebook(config.rules, config.devices, config.gateway.zone)


def _prepared(wanted: Plan) -> Change:
    """Raises: ConfigError."""
    return Change(plan=wanted, ways=new_ways(wanted), book=compiled(wanted.config))
