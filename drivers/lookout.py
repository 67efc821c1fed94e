"""Ports that come back: seen by looking for them while their devices wait to be opened again.

Looking is a stat(2) of the port's path: a link below /dev/serial/by-id leads to another file when the device behind
it is plugged in again, and a file whose group udev has just set has another change time. It costs 0.3 % of a core
while sixteen ports are away, nothing while none is, and a port is read again 130 ms after its link is there
(docs/hardware.md).

Not pyudev: it would save most of these 130 ms, of the second or so that an adapter takes to start. It needs libudev and
a netlink socket, which a container or a locked-down unit does not give: the looking would be there all the same, as
the way that nobody tries out. And udev does not announce what others link, or make openable. Nor inotify(7):
/dev/serial comes and goes with its last port, so that it takes a watch on each folder above that is there now.
"""

import asyncio
import os
from math import inf

from drivers import ports
from drivers.port import Address
from drivers.ports import UsbIdentity
from gateway.errors import LinkError
from gateway.pacing.throttle import Flapping

EVERY_S = 0.25
"""Between two looks; all ports are looked for at the same moments, so that sixteen wake the gateway up once."""

SETTLED_S = 2.0
"""For so long after a change of /dev the USB adapters are searched at each look: the system is not through at once."""

ARRIVALS_AT_MOST = 6
ARRIVALS_WITHIN_S = 30.0
"""A loose plug is not followed faster."""

Sight = tuple[int, int, int, int]


class Lookout:
    """One port of this machine; one on the network is never seen to come."""

    def __init__(self, port: str) -> None:
        self._address = Address.parse(port)
        self._noted: Sight | None = None
        self._arrived_at = -inf
        self._flapping = Flapping(ARRIVALS_AT_MOST, ARRIVALS_WITHIN_S)
        self._usb_path: str | None = None
        self._dev_changed_ns = 0
        self._search_until = 0.0

    async def note(self) -> None:
        """Remember how the port is now, before it is opened: what comes after that has come since."""
        self._noted = await self._look()

    async def arrival(self) -> bool:
        """Wait until the port is one that we may open, and not the same any more as when it was last looked at.

        Whether that is news: not if it had come a short while ago, too.
        """
        loop = asyncio.get_running_loop()
        if self._address.scheme not in ("device", "usb"):
            await loop.create_future()
        while True:
            await asyncio.sleep(EVERY_S - loop.time() % EVERY_S)
            before, self._noted = self._noted, await self._look()
            if self._noted not in (None, before):
                await asyncio.sleep(max(0.0, self._flapping.calm_at - loop.time()))
                since, self._arrived_at = self._arrived_at, loop.time()
                self._flapping.changed(self._arrived_at)
                return self._arrived_at - since >= ARRIVALS_WITHIN_S

    async def _look(self) -> Sight | None:
        path = await self._path()
        it = _stat(path) if path is not None and _openable(path) else None
        return None if it is None else (it.st_dev, it.st_ino, it.st_rdev, it.st_ctime_ns)

    async def _path(self) -> str | None:
        if self._address.scheme != "usb":
            return self._address.target if self._address.scheme == "device" else None
        now = asyncio.get_running_loop().time()
        folder = _stat(str(ports.DEV))
        if folder is not None and folder.st_mtime_ns != self._dev_changed_ns:
            self._dev_changed_ns = folder.st_mtime_ns
            self._search_until = now + SETTLED_S
        if now < self._search_until:
            self._usb_path = await asyncio.to_thread(self._search)
        return self._usb_path

    def _search(self) -> str | None:
        try:
            return UsbIdentity.parse(self._address.target).path()
        except (LinkError, OSError, ValueError):  # the last two: it went while it was looked at
            return None


def _openable(path: str) -> bool:
    return os.access(path, os.R_OK | os.W_OK, effective_ids=True)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - half the price of Path's
    except OSError:
        return None
