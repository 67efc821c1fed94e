"""The power of a USB port, where its hub can switch it: `disable`, a file of sysfs since Linux 6.0, as uhubctl uses it.

Source: Documentation/ABI/testing/sysfs-bus-usb.
"""

import asyncio
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from drivers.ports import plain
from gateway.errors import LinkError

OFF_S = 3.0
"""Without power, until what is in an adapter's capacitors is used up."""

ANSWER_S = 10.0
"""For the kernel to take what is written: it waits for the hub meanwhile, and for one that is broken for ever."""

T = TypeVar("T")

_PORT = re.compile(r"/(?:.*/)?[^/]+-port[0-9]+/disable")


def well_formed(path: str) -> bool:
    """Whether it names such a file: nothing else is ever written to."""
    return _PORT.fullmatch(path) is not None


class Power:
    """One port's; where that has a USB 3 and a USB 2 side on the same socket, of both."""

    def __init__(self, path: str, *, answer_s: float = ANSWER_S) -> None:
        """`path`: of the file `disable`. `answer_s`: what the hub may take."""
        self._path = Path(path)
        self.port = self._path.parent.name
        self._answer_s = answer_s
        self._writing = threading.Lock()

    def problem(self) -> str:
        """Why it cannot be switched now, in words for whoever must mend it; empty if it can."""
        for path in self._sides():
            if not path.exists():
                return f"there is no {path}: no such hub is plugged in, or Linux is older than 6.0"
            if not os.access(path, os.W_OK):
                return f"the user that Sallyport runs as may not write {path}: docs/hardware.md has the udev rule"
        return ""

    async def restore(self) -> bool:
        """Whether it was off, as a process leaves it that is killed meanwhile; it is on now.

        Raises: LinkError.
        """
        return await self._answered(self._restore)

    def _restore(self) -> bool:
        try:
            if all(path.read_text().strip() != "1" for path in self._sides()):
                return False
        except OSError:
            return False  # there is none, which is no news to whoever was told at the start
        self._switch("0")
        return True

    async def cycle(self) -> None:
        """Off, a while, on; on in any case, also when it is cancelled.

        Raises: LinkError.
        """
        try:
            await self._answered(partial(self._switch, "1"))
            await asyncio.sleep(OFF_S)
        except (asyncio.CancelledError, LinkError):
            with suppress(LinkError):  # one that stays off at a stop is found at the next start
                await self._answered(partial(self._switch, "0"))
            raise
        await self._answered(partial(self._switch, "0"))

    async def _answered(self, work: Callable[[], T]) -> T:
        """Raises: LinkError."""
        try:
            async with asyncio.timeout(self._answer_s):
                return await asyncio.to_thread(work)
        except TimeoutError:
            raise self._hangs() from None

    def _hangs(self) -> LinkError:
        return LinkError(f"{self._path}: the hub does not answer: unplug it, or restart the machine")

    def _sides(self) -> list[Path]:
        peer = self._path.parent / "peer" / self._path.name
        return [self._path, peer] if peer.exists() else [self._path]

    def _switch(self, disable: str) -> None:
        if not self._writing.acquire(timeout=self._answer_s):  # no more than one thread is lost to it
            raise self._hangs()
        refusals = []
        try:
            for path in self._sides():
                try:
                    with path.open("r+b", buffering=0) as file:  # "w" would make the file if there is none
                        file.write(disable.encode())
                except OSError as error:
                    refusals.append(f"{path}: {plain(error)}")
        finally:
            self._writing.release()
        if refusals:
            raise LinkError(" and ".join(refusals))
