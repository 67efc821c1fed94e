"""The power of a USB port, where its hub can switch it: `disable`, a file of sysfs since Linux 6.0, as uhubctl uses it.

Source: Documentation/ABI/testing/sysfs-bus-usb.
"""

import asyncio
import os
import re
import threading
from pathlib import Path

from drivers.ports import plain
from gateway.errors import LinkError

OFF_S = 3.0
"""Without power, until what is in an adapter's capacitors is used up."""

_PORT = re.compile(r"/(?:.*/)?[^/]+-port[0-9]+/disable")


def well_formed(path: str) -> bool:
    """Whether it names such a file: nothing else is ever written to."""
    return _PORT.fullmatch(path) is not None


class Power:
    """One port's; where that has a USB 3 and a USB 2 side on the same socket, of both."""

    def __init__(self, path: str) -> None:
        """`path`: of the file `disable`."""
        self._path = Path(path)
        self.port = self._path.parent.name
        self._writing = threading.Lock()

    def problem(self) -> str:
        """Why it cannot be switched now, in words for whoever must mend it; empty if it can."""
        for path in self._sides():
            if not path.exists():
                return f"there is no {path}: no such hub is plugged in, or Linux is older than 6.0"
            if not os.access(path, os.W_OK):
                return f"the user that Sallyport runs as may not write {path}: docs/hardware.md has the udev rule"
        return ""

    def restore(self) -> bool:
        """Whether it was off, as a process leaves it that is killed meanwhile; it is on now. Blocks briefly.

        Raises: LinkError.
        """
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
            await asyncio.to_thread(self._switch, "1")
            await asyncio.sleep(OFF_S)
        finally:
            await asyncio.to_thread(self._switch, "0")

    def _sides(self) -> list[Path]:
        peer = self._path.parent / "peer" / self._path.name
        return [self._path, peer] if peer.exists() else [self._path]

    def _switch(self, disable: str) -> None:
        with self._writing:
            refusals = []
            for path in self._sides():
                try:
                    with path.open("r+") as file:  # "w" would make the file if there is none
                        file.write(disable)
                except OSError as error:
                    refusals.append(f"{path}: {plain(error)}")
        if refusals:
            raise LinkError(" and ".join(refusals))
