import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets import ConnectionClosed, Subprotocol
from websockets.asyncio.server import ServerConnection, serve

from gateway.config import TlsOptions
from gateway.publish.aiomqtt_publisher import AiomqttPublisher
from gateway.publish.broker import Broker, tls_context
from gateway.publish.publisher import Message
from tests.contracts.publisher import (
    PATIENCE_S,
    Outcome,
    PublisherContract,
    condemned,
    deliver,
    numbered,
    refused,
    works,
)
from tests.gateway.publish.real_bench import RealBench
from tests.support.amqtt_process import AmqttProcess
from tests.support.papers import LOOPBACK, Authority
from tests.support.rogue_broker import RogueBroker

pytestmark = pytest.mark.real_time


class Gate:
    """WebSockets in front of a broker: each frame's content goes on by TCP, and back."""

    def __init__(self, broker: RogueBroker) -> None:
        self.port = 0
        self.open = asyncio.Event()
        """While it is not set, nothing is read and the machine's buffers fill up."""
        self.open.set()
        self._broker = broker

    @classmethod
    @asynccontextmanager
    async def running(cls, broker: RogueBroker, **settings: Any) -> AsyncIterator["Gate"]:
        gate = cls(broker)
        mqtt = Subprotocol("mqtt")
        async with serve(
            gate._relay, "127.0.0.1", 0, subprotocols=[mqtt], compression=None, max_size=None, **settings
        ) as server:
            gate.port = next(iter(server.sockets)).getsockname()[1]
            yield gate

    async def _relay(self, websocket: ServerConnection) -> None:
        reader, writer = await asyncio.open_connection(self._broker.host, self._broker.port)
        try:
            async with asyncio.TaskGroup() as group:
                back = group.create_task(self._back(reader, websocket))
                await self._there(websocket, writer)
                back.cancel()
        finally:
            writer.close()

    async def _there(self, websocket: ServerConnection, writer: asyncio.StreamWriter) -> None:
        async for frame in websocket:
            assert isinstance(frame, bytes)
            writer.write(frame)
            await self.open.wait()

    async def _back(self, reader: asyncio.StreamReader, websocket: ServerConnection) -> None:
        try:
            while data := await reader.read(65536):
                await websocket.send(data)
        except (ConnectionError, ConnectionClosed):
            pass
        await websocket.close()


def publisher_to(port: int, **settings: Any) -> AiomqttPublisher:
    return AiomqttPublisher(
        Broker(host="127.0.0.1", port=port, transport="websockets", client_id="test", **settings)
    )


class TestAmqttOverWebSockets(PublisherContract):
    @pytest.fixture
    def bench(self) -> RealBench:
        return RealBench(AmqttProcess("ws"), version="3.1.1", transport="websockets")


async def test_pings_are_answered_as_a_strict_server_wants_it(rogue: RogueBroker) -> None:
    async with Gate.running(rogue, ping_interval=0.02, ping_timeout=0.5) as gate:
        publisher = publisher_to(gate.port)
        async with publisher.connect() as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await session.ended()
            await deliver(session, numbered(100))
    assert rogue.messages == numbered(100)


async def test_congested_connection_loses_and_mixes_up_nothing(rogue: RogueBroker) -> None:
    sizes = [300_000, 1, 700_000, 90_000] * 10
    messages = [Message("t/large", bytes([number]) * size) for number, size in enumerate(sizes)]
    outcomes: list[Outcome] = [[] for _ in messages]
    async with (
        Gate.running(rogue, ping_interval=0.02, ping_timeout=10) as gate,
        publisher_to(gate.port, window=40).connect() as session,
    ):
        gate.open.clear()
        for message, outcome in zip(messages, outcomes, strict=True):
            session.publish(message, outcome.append)
        await asyncio.sleep(0.3)
        assert [] in outcomes
        gate.open.set()
        async with asyncio.timeout(PATIENCE_S):
            while [] in outcomes:
                await asyncio.sleep(0.001)
    assert rogue.messages == messages
    assert outcomes == [[None]] * 40


async def test_encrypted_websockets(rogue: RogueBroker, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", "Our authority")
    papers = authority.papers("broker", LOOPBACK)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    async with Gate.running(rogue, ssl=context) as gate:
        publisher = publisher_to(gate.port, tls=tls_context(TlsOptions(ca=authority.file)))
        async with publisher.connect() as session:
            await deliver(session, numbered(100))
            rogue.reset()
            await condemned(session)
    assert rogue.messages == numbered(100)


async def test_server_that_speaks_no_websockets_is_unreachable(rogue: RogueBroker) -> None:
    publisher = publisher_to(rogue.port, connect_timeout_s=0.1)
    assert await refused(publisher)
    rogue.mute = True
    assert await refused(publisher) == "no answer"
    rogue.mute = False
    async with Gate.running(rogue) as gate:
        await works(publisher_to(gate.port))


async def test_path_that_is_not_there_is_unreachable(rogue: RogueBroker) -> None:
    def only_mqtt(connection: ServerConnection, request: Any) -> Any:
        return None if request.path == "/mqtt" else connection.respond(404, "not here\n")

    async with Gate.running(rogue, process_request=only_mqtt) as gate:
        assert "WebSocket" in await refused(publisher_to(gate.port, path="/other"))
        await works(publisher_to(gate.port))
