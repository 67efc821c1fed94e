"""What a journal could not keep: told once when it begins, accounted once when it is over, and announced."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Iterable

from gateway.journal.store import Loss
from gateway.logs import MessageId, about

log = logging.getLogger("gateway.journal")

MOST_PENDING = 1000
"""Announcements; if nobody takes them, those of a device become one."""


class Losses:
    def __init__(self) -> None:
        self.total = 0
        self.pending: deque[Loss] = deque()
        """To be announced; those of one device that follow each other are one."""
        self._by_device: Counter[str] = Counter()  # since it began
        self._new: asyncio.Future[None] | None = None

    def begin(self, why: str) -> None:
        """Say why readings are lost from now on, unless that has been said."""
        if not self._by_device:
            log.warning("journal: %s", why, extra=about(MessageId.READINGS_ARE_LOST))

    def add(self, losses: Iterable[Loss]) -> None:
        for loss in losses:
            self.total += loss.lost
            if loss.lost:
                self._by_device[loss.device] += loss.lost
            self._announce(loss)
        if self.pending and self._new is not None and not self._new.done():
            self._new.set_result(None)

    def end(self, why: str) -> None:
        """Account for what was lost since it began, if anything was."""
        if self._by_device:
            by_device = ", ".join(f"{device} {count}" for device, count in self._by_device.most_common())
            log.warning(
                "journal: %s; %d readings were lost: %s", why, self._by_device.total(), by_device,
                extra=about(MessageId.READINGS_WERE_LOST),
            )  # fmt: skip
            self._by_device.clear()

    async def some(self) -> None:
        """Returns when there is something to announce."""
        if not self.pending:
            self._new = asyncio.get_running_loop().create_future()
            await self._new

    def _announce(self, loss: Loss) -> None:
        for place in range(len(self.pending) - 1, -1, -1):
            before = self.pending[place]
            if before.device == loss.device:
                follows = before.reason == loss.reason and loss.first in (before.last + 1, 0)
                if follows or len(self.pending) >= MOST_PENDING:
                    self.pending[place] = before._replace(
                        last=max(before.last, loss.last), lost=before.lost + loss.lost
                    )
                    return
                break
        self.pending.append(loss)
