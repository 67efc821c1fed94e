from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson

from gateway import wire
from gateway.bus import EventBus, Overflow
from gateway.model import Alert

MOST = 200
MAILBOX = 256


class History:
    """The last alerts, as they began and ended, since the page is there."""

    def __init__(self) -> None:
        self.count = 0
        """Of all that ever came."""
        self._alerts: deque[Alert] = deque(maxlen=MOST)

    async def run(self, bus: EventBus) -> None:
        """Endless. Alerts do not wait for us."""
        with bus.subscribe(Alert, name="web", capacity=MAILBOX, overflow=Overflow.DROP_OLDEST) as alerts:
            async for alert in alerts:
                self.count += 1
                self._alerts.append(alert)

    def after(self, count: int = 0) -> Iterator[dict[str, Any]]:
        """Those that came when there had been so many, as far as they are still here; the oldest first."""
        fresh = min(self.count - count, len(self._alerts))
        for alert in list(self._alerts)[len(self._alerts) - fresh :]:
            yield orjson.loads(wire.encode_alert(alert))
