"""How long the port waits for a peer that says nothing, in virtual time."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from drivers.driver import DriverOptions
from drivers.port import OPEN_TIMEOUT_S, SerialPort
from gateway.clock import system_clock
from gateway.errors import LinkAbsent


async def seconds_until_absent(url: str) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(LinkAbsent, match=rf"^{url}: no answer for 10 s$"):
        async with SerialPort.open(DriverOptions(driver="json", port=url), system_clock):
            pass
    return loop.time() - began


@pytest.fixture
def busy_address() -> Iterator[str]:
    """Of a listener whose backlog is full: an attempt to connect neither succeeds nor fails."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def mute_server() -> AsyncIterator[str]:
    """Takes connections, and never says a word."""
    clients = []

    def keep(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.append(writer)

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for client in clients:
            client.close()
            await client.wait_closed()


@pytest.mark.parametrize("scheme", ["tcp", "rfc2217"])
async def test_host_that_never_answers_is_absent_after_the_timeout(scheme: str, busy_address: str) -> None:
    assert await seconds_until_absent(f"{scheme}://{busy_address}") == pytest.approx(OPEN_TIMEOUT_S)


async def test_rfc2217_server_that_never_answers_is_absent_after_the_timeout() -> None:
    async with mute_server() as address:
        assert await seconds_until_absent(f"rfc2217://{address}") == pytest.approx(OPEN_TIMEOUT_S)
