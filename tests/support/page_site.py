"""A gateway with its status page, one board and rules about it; and who asks."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from drivers.instrument import PtyInstrument
from tests.support.gateway_process import PATIENCE_S, GatewayProcess, until
from tests.support.ports import free_port

JSON = {"Content-Type": "application/json"}
BELIEVED = "[rules.clock_unsynchronised]\nenabled = false\n"
"""Whether the machine has heard of the time is not to be seen."""


@dataclass
class PageSite:
    folder: Path
    session: aiohttp.ClientSession
    web: str = ""
    """What stands in [web] besides `listen`."""
    more: str = ""
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    devices: Mapping[str, str] = field(default_factory=dict)
    """Further ones, with what stands in their tables."""

    @property
    def file(self) -> Path:
        return self.folder / "gateway.toml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write(self, *, listens: bool = True) -> None:
        tables = {
            "board": f'driver = "json"\nport = "{self.folder / "board"}"\nretry_max = "200ms"',
            **self.devices,
        }
        listen = f'listen = "{self.host}:{self.port}"' if listens else ""
        self.file.write_text(
            '[gateway]\nname = "hall"\n[mqtt]\nurl = "mqtt://127.0.0.1:9"\n[journal]\npath = "memory"\n'
            f"[web]\n{listen}\n{self.web}\n{BELIEVED}{self.more}\n"
            + "".join(f"[devices.{name}]\n{table}\n" for name, table in tables.items())
        )

    @asynccontextmanager
    async def at_work(self, *, anew: bool = False) -> AsyncIterator[tuple[GatewayProcess, PtyInstrument]]:
        self.write()
        with PtyInstrument.plugged_in(self.folder / "board") as board:
            async with GatewayProcess.running(self.file, anew=anew) as gateway:
                await gateway.said("status page: http")
                await until(lambda: gateway.listens_to([board.path]))
                yield gateway, board

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status, and what was answered: JSON understood, else the text."""
        async with self.session.get(self.url + path, headers=headers) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())

    async def post(self, path: str, request: Any = None, **headers: str) -> tuple[int, Any]:
        body = request if isinstance(request, bytes) else aiohttp.JsonPayload(request)
        async with self.session.post(self.url + path, data=body, headers={**JSON, **headers}) as answer:
            return answer.status, await answer.json()

    async def value(self, metric: str, wanted: Any) -> None:
        """Wait for the gateway to have heard it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                _, told = await self.get("/api/devices/board")
                if any(each["name"] == metric and each["value"] == wanted for each in told["metrics"]):
                    return
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def watching(self, **headers: str) -> AsyncIterator[aiohttp.StreamReader]:
        """Who looks at the page; what it is told."""
        async with self.session.get(f"{self.url}/api/events", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            yield answer.content


@asynccontextmanager
async def page_site(folder: Path, **how: Any) -> AsyncIterator[PageSite]:
    timeout = aiohttp.ClientTimeout(total=None, sock_read=PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield PageSite(folder, session, **how)


async def heard(stream: aiohttp.StreamReader, text: str) -> str:
    """The next event that holds this text."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            event = (await stream.readuntil(b"\n\n")).decode()
            if text in event:
                return event


def basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"
