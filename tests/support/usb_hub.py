"""A hub that switches the power of its ports, as its files in /sys would show them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path


def _nothing() -> None:
    """Nothing is plugged in."""


class Hub:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.history: list[str] = []
        """What was written to ports, as `port2: 1`."""

    def port(self, number: int, *, peer: int | None = None) -> Path:
        """The file that switches it; `peer`: the same socket's port on the hub's other side."""
        folder = self._folder / f"1-1:1.0/1-1-port{number}"
        folder.mkdir(parents=True)
        switch = folder / "disable"
        switch.write_text("0\n")
        if peer is not None:
            (folder / "peer").symlink_to(folder.parent / f"1-1-port{peer}")
        return switch

    @asynccontextmanager
    async def switching(
        self, switch: Path, *, off: Callable[[], object] = _nothing, on: Callable[[], object] = _nothing
    ) -> AsyncIterator[None]:
        """What happens to what is plugged into the port when its power goes and comes."""

        async def work() -> None:
            before = "0"
            while True:
                now = switch.read_text().strip() or before
                if now != before:
                    self.history.append(f"{switch.parent.name.rpartition('-')[2]}: {now}")
                    (on if now == "0" else off)()
                    before = now
                await asyncio.sleep(0.25)

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
