"""The server without a gateway's process: what a bug costs, what supervisors are told, what is described."""

import asyncio
import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.logs import MessageId
from gateway.supervisor import Supervisor
from gateway.web import server
from gateway.web.api import Api
from gateway.web.description import DESCRIPTION
from gateway.web.history import History
from gateway.web.scene import Scene
from gateway.web.server import Web
from gateway.web.stream import Stream
from tests.support.gateway_process import until
from tests.support.ports import free_port
from tests.support.scripted_driver import Instrument
from tests.support.sight import Site, looked_at

pytestmark = pytest.mark.real_time

HOURS_S = 10_000.0


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Site, aiohttp.ClientSession]]:
    port = free_port()
    async with (
        looked_at(Instrument([{"t": 1.0}]), web={"listen": f"127.0.0.1:{port}"}) as site,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        serving = asyncio.create_task(Supervisor().run([Web(site.sight).child]))
        async with asyncio.timeout(10):
            while not await _answers(session):
                await asyncio.sleep(0.01)
        yield site, session
        site.configure()
        async with asyncio.timeout(10):
            await serving  # it has nowhere to listen any more


async def _answers(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/healthz") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def test_bug_costs_the_request_that_met_it_and_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def buggy(_request: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError

    async with served() as (site, session):
        site.verbs["alert/ack"] = buggy
        async with session.post("/api/alerts/ack", json={"rule": "hot"}) as answer:
            assert answer.status == 500
            assert "ZeroDivisionError" not in await answer.text()
            assert "Content-Security-Policy" in answer.headers
        async with session.get("/api/devices") as answer:
            assert answer.status == 200
    [bug] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert vars(bug)["MESSAGE_ID"] == MessageId.BUG
    assert bug.exc_info is not None
    assert bug.exc_info[0] is ZeroDivisionError


async def test_who_asks_and_takes_no_answer_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "STALLED_S", 1.0)
    async with served() as (site, _):
        listen = site.config.web.listen
        assert listen is not None
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            stalled.connect((listen.host, listen.port))
            stalled.setblocking(False)
            async with asyncio.timeout(30):
                with pytest.raises(ConnectionError):
                    while True:  # until it is taken no more, and then until it has been left
                        with suppress(BlockingIOError):
                            stalled.send(b"GET /script.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        await asyncio.sleep(0.01)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_what_is_stuck_is_told_to_whoever_asks_whether_it_is_ready() -> None:
    async with served() as (site, session):
        async with session.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "starting\n")
        site.sight.health.ready(tuple, lambda: "")
        async with session.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (200, "ready\n")
        site.sight.health.stuck = {"the event loop": 20.0, "journal: the disk": 70.0}
        async with session.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "stuck for 70 s: journal: the disk\n")


async def test_last_minutes_are_told_of_so_many_devices_at_once() -> None:
    async with served() as (site, session):
        while site.sight.overview.sampled < 2:
            await asyncio.sleep(0.02)
        for query, status in (
            ("history", 400),
            ("history&name=boiler", 200),
            ("history" + "&name=x" * 33, 400),
        ):
            async with session.get(f"/api/devices?{query}") as answer:
                assert answer.status == status
        async with session.get("/api/devices?name=boiler&history") as answer:
            [device] = (await answer.json())["devices"]
            assert len(device["metrics"][0]["history"]) == 150
        async with session.get("/api/devices?name=other") as answer:
            assert (await answer.json())["devices"] == []
        async with session.get("/api/devices/other") as answer:
            assert answer.status == 404


async def test_configuration_is_encoded_once_as_long_as_it_is_the_same() -> None:
    async with looked_at(Instrument()) as site:
        history = History()
        api = Api(site.sight, Stream(Scene(site.sight, history)), history)
        [handler] = [route.handler for route in api.routes if route.path == "/api/configuration"]
        request = make_mocked_request("GET", "/api/configuration")

        async def body() -> bytes:
            answer = await handler(request)
            assert isinstance(answer, web.Response)
            assert isinstance(answer.body, bytes)
            return answer.body

        first = await body()
        assert json.loads(first)["gateway"]["name"] == "g"
        assert await body() is first
        site.configure(web={"listen": "127.0.0.1:8080"})
        assert json.loads(await body())["web"]["listen"] == "127.0.0.1:8080"


async def test_mended_address_is_listened_on_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "RETRY", (HOURS_S, HOURS_S, max))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with looked_at(Instrument(), web={"listen": f"127.0.0.1:{taken.getsockname()[1]}"}) as site:
            serving = asyncio.create_task(Supervisor().run([Web(site.sight).child]))
            await until(lambda: "another program listens there" in caplog.text)
            port = free_port()
            site.configure(web={"listen": f"127.0.0.1:{port}"})
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session, asyncio.timeout(10):
                while not await _answers(session):
                    await asyncio.sleep(0.01)
            site.configure()
            async with asyncio.timeout(10):
                await serving


async def test_every_route_is_described_and_nothing_else() -> None:
    async with looked_at(Instrument()) as site:
        history = History()
        api = Api(site.sight, Stream(Scene(site.sight, history)), history)
    routes = {(route.method.lower(), route.path) for route in api.routes}
    assert routes == {(method, path) for path, methods in DESCRIPTION["paths"].items() for method in methods}
    named = set(re.findall(r"#/components/schemas/(\w+)", str(DESCRIPTION)))
    assert named == DESCRIPTION["components"]["schemas"].keys()
