"""The gateway is asked, keys are heard, signals are obeyed."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway import intercom
from gateway.commands.top.keys import Keys
from gateway.commands.top.screen import Screen
from gateway.commands.top.view import View
from gateway.errors import GatewayError, Refused
from gateway.overview import MOST_DEVICES

PATIENCE_S = 5.0
"""A gateway that does not answer for so long is said to be away."""
ESCAPE_S = 0.05
"""What follows an escape as part of one key is there by then, also on a slow line."""


def run(place: Path, *, every_s: float, by: str) -> int:
    """Until it is ended; by a signal: 128 and its number. `place`: the gateway's socket."""
    with Screen() as screen:
        return asyncio.run(_Looking(place, screen, View(by=by, ascii_only=screen.plain), every_s).run())


class _Looking:
    def __init__(self, place: Path, screen: Screen, view: View, every_s: float) -> None:
        self._place = place
        self._screen = screen
        self._view = view
        self._every_s = every_s
        self._keys = Keys()
        self._due = asyncio.Event()
        """Set when it is worth to ask before it is time."""

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        self._draw()
        async with asyncio.TaskGroup() as group:
            self._group = group
            tasks = [group.create_task(self._ask(), name="top: gateway")]
            loop.add_reader(sys.stdin.fileno(), self._hear)
            for number, act in self._signals().items():
                loop.add_signal_handler(number, act)
            try:
                status = await self._ended
            finally:
                loop.remove_reader(sys.stdin.fileno())
                for number in self._signals():
                    loop.remove_signal_handler(number)
                for task in tasks:
                    task.cancel()
        return status

    def _signals(self) -> dict[signal.Signals, Callable[[], None]]:
        return {
            signal.SIGINT: lambda: self._end(0),
            signal.SIGTERM: lambda: self._end(128 + signal.SIGTERM),
            signal.SIGHUP: lambda: self._end(128 + signal.SIGHUP),
            signal.SIGTSTP: self._pause,
            signal.SIGCONT: self._go_on,
            signal.SIGWINCH: self._draw,
        }

    def _end(self, status: int) -> None:
        if not self._ended.done():
            self._ended.set_result(status)

    def _pause(self) -> None:
        """Ctrl-Z: the shell gets its terminal, and we go on where we were.

        By the signal itself, which stops nothing where no shell could go on with us (`ssh -t host sallyport top`).
        """
        loop = asyncio.get_running_loop()
        self._screen.give_back()
        loop.remove_signal_handler(signal.SIGTSTP)
        os.kill(os.getpid(), signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, self._pause)
        self._go_on()

    def _go_on(self) -> None:
        self._screen.take()
        self._draw()
        self._due.set()

    def _draw(self) -> None:
        size = self._screen.size
        self._screen.show(self._view.draw(size.columns, size.lines))

    # Keys.

    def _hear(self) -> None:
        try:
            data = os.read(sys.stdin.fileno(), 1024)
        except OSError:
            data = b""
        if not data:  # the terminal has gone
            self._end(128 + signal.SIGHUP)
            return
        self._press(self._keys.feed(data))
        if self._keys.waiting:
            asyncio.get_running_loop().call_later(ESCAPE_S, self._hear_escape)

    def _hear_escape(self) -> None:
        self._press(self._keys.flush())

    def _press(self, keys: list[str]) -> None:
        for key in keys:
            wish = self._view.press(key)
            if wish.quits:
                self._end(0)
            if wish.verb:
                self._group.create_task(self._do(wish.verb, wish.request), name=f"top: {wish.verb}")
        self._draw()
        if self._view.lacks_histories:
            self._due.set()

    # The gateway.

    async def _ask(self) -> None:
        """Endless."""
        while True:
            self._due.clear()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._look()
            except TimeoutError:
                self._view.lose(f"nothing for {PATIENCE_S:.0f} s")
            except GatewayError as error:
                known = f"{self._place}: the gateway does not answer: "
                self._view.lose(str(error).removeprefix(known))
            self._draw()
            await asyncio.sleep(min(self._every_s, 0.2))  # however fast somebody types
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._due.wait()

    async def _look(self) -> None:
        overview = await intercom.put(self._place, "overview")
        listed = await intercom.put(self._place, "alert/list")
        self._view.take(overview, listed["alerts"])
        self._draw()
        if names := self._view.wanted_histories()[:MOST_DEVICES]:
            with suppress(Refused):  # one of them has gone in between
                told = await intercom.put(self._place, "overview", {"devices": names, "history": True})
                self._view.take_histories(told["devices"])

    async def _do(self, verb: str, request: dict[str, object]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await intercom.put(self._place, verb, request)
        except TimeoutError:
            self._view.tell(f"nothing for {PATIENCE_S:.0f} s: it may not have been done")
        except GatewayError as error:
            self._view.tell(str(error))
        else:
            self._view.tell("acknowledged" if verb == "alert/ack" else f"silenced for {request['for']}")
        self._due.set()
        self._draw()
