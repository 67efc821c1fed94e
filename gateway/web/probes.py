from aiohttp import web

from gateway.web.guard import HEALTH
from gateway.web.metrics import CONTENT_TYPE, Metrics
from gateway.web.sight import Sight
from gateway.web.stream import Stream


class Probes:
    """What supervisors and Prometheus ask."""

    def __init__(self, sight: Sight, stream: Stream) -> None:
        self._health = sight.health
        self._metrics = Metrics(sight, stream)
        self.routes = [
            web.get(HEALTH, self._healthz, allow_head=False),
            web.get("/readyz", self._readyz, allow_head=False),
            web.get("/metrics", self._scrape, allow_head=False),
        ]

    async def _healthz(self, _request: web.Request) -> web.Response:
        """The loop turns."""
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        why = self._health.unready
        return web.Response(text=f"{why or 'ready'}\n", status=503 if why else 200)

    async def _scrape(self, _request: web.Request) -> web.Response:
        return web.Response(body=await self._metrics.scrape(), headers={"Content-Type": CONTENT_TYPE})
