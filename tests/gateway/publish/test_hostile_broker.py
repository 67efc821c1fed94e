"""A broker, or whoever has taken its place, that means harm."""

import asyncio
import base64
import hashlib
import re
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from gateway.clock import system_clock
from gateway.config import NotifyOptions, TlsOptions
from gateway.errors import Undelivered, Unreachable
from gateway.notify.delivery import receiver
from gateway.notify.notice import Notice
from gateway.publish.aiomqtt_publisher import AiomqttPublisher, Ear
from gateway.publish.broker import Broker, tls_context
from gateway.publish.link import LinkPublisher
from gateway.publish.publisher import Publisher
from tests.contracts.publisher import PATIENCE_S, condemned, refused
from tests.gateway.notify.alerts import FIRING, alert, stamp
from tests.support.papers import LOOPBACK, Authority
from tests.support.rogue_broker import RogueBroker

pytestmark = pytest.mark.real_time

PASSWORD = "hunter2"
HUGE = b"\x30\xff\xff\xff\x7f"
"""The first bytes of a PUBLISH of 256 MB."""
MB = 1024 * 1024


def heard_at(port: int) -> AiomqttPublisher:
    """As the gateway hears requests."""
    ear = Ear(("a/request/#",), lambda _: None, largest=MB)
    return AiomqttPublisher(Broker(host="127.0.0.1", port=port, client_id="test", version="3.1.1"), ear=ear)


def over_websockets(port: int, *, patience_s: float = PATIENCE_S) -> AiomqttPublisher:
    broker = Broker(
        host="127.0.0.1", port=port, transport="websockets", client_id="test", connect_timeout_s=patience_s
    )
    return AiomqttPublisher(broker)


async def test_packet_beyond_all_bounds_ends_the_connection_before_it_is_read(rogue: RogueBroker) -> None:
    async with heard_at(rogue.port).connect() as session:
        rogue.say(HUGE)
        assert "a packet of 268435455 bytes" in await condemned(session)


async def test_packet_of_a_megabyte_is_no_reason_to_leave(rogue: RogueBroker) -> None:
    heard = asyncio.Event()
    ear = Ear(("a/request/#",), lambda _: heard.set())
    publisher = AiomqttPublisher(
        Broker(host="127.0.0.1", port=rogue.port, client_id="t", version="3.1.1"), ear=ear
    )
    async with publisher.connect(), asyncio.timeout(PATIENCE_S):
        rogue.say(b"\x30" + b"\x82\x80\x40" + b"\0\1a" + b"x" * (MB - 1))
        await heard.wait()


async def test_broker_that_lets_us_hear_only_a_part_is_put_up_with_where_that_was_said(
    rogue: RogueBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(host="127.0.0.1", port=rogue.port, client_id="t")
    publisher = AiomqttPublisher(broker, ear=Ear((), lambda _: None, if_allowed=("ha/status",)))
    told = f"127.0.0.1:{rogue.port}: the broker does not let us listen on ha/status"
    for granted, times in ((0x87, 1), (0x87, 1), (1, 1), (0x87, 2)):  # said when it comes to be so
        rogue.grants = granted
        async with publisher.connect():
            assert caplog.messages.count(told) == times
    assert rogue.subscriptions == 4
    with pytest.raises(Unreachable, match="does not let us listen on a/request"):
        async with AiomqttPublisher(broker, ear=Ear(("a/request",), lambda _: None)).connect():
            pytest.fail("it has let us in")


Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
"""To a request; until it is cancelled, or nobody listens any more."""


@asynccontextmanager
async def web_server(answer: Answer) -> AsyncIterator[int]:
    """Its port; whoever comes is answered until he goes."""
    answering: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering.add(task)
        try:
            await answer((await reader.readuntil(b"\r\n\r\n")).decode(), writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            answering.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)


def upgraded(request: str) -> bytes:
    """Source: RFC 6455, section 4.2.2."""
    [key] = re.findall(r"Sec-WebSocket-Key: (\S+)", request)
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"


async def test_web_server_whose_answer_has_no_end_is_left() -> None:
    async def on_and_on(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
        while True:
            writer.write(b"x" * 4096)
            await writer.drain()

    async with web_server(on_and_on) as port:
        assert "an answer without an end" in await refused(over_websockets(port))


async def test_web_server_that_answers_byte_by_byte_is_left_and_holds_no_thread() -> None:
    async def drip(_: str, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with web_server(drip) as port:
        assert await refused(over_websockets(port, patience_s=0.3)) == "no answer"


async def test_frame_without_an_end_is_not_kept() -> None:
    frame = struct.pack(">BBQ", 0x82, 127, 2**62)
    connack = b"\x20\x03\0\0\0"
    publish = b"\x30" + b"\x84\x80\x40" + b"\0\1a\0" + b"x" * MB

    async def one_frame(request: str, writer: asyncio.StreamWriter) -> None:
        writer.write(upgraded(request) + frame + connack)
        while True:
            writer.write(publish)
            await writer.drain()

    async with web_server(one_frame) as port, over_websockets(port).connect() as session:
        await condemned(session)


async def test_reference_to_another_server_is_not_followed(rogue: RogueBroker) -> None:
    async with RogueBroker.running() as other:
        place = f"127.0.0.1:{other.port}".encode()
        rogue.refuses = 0x9D
        rogue.announces = struct.pack(">BH", 0x1C, len(place)) + place
        publisher = LinkPublisher(Broker(host="127.0.0.1", port=rogue.port, client_id="test"))
        assert "Server moved" in await refused(publisher)
        assert other.connects == []


# TLS, whoever speaks it.

MQTT: dict[str, Any] = {"client_id": "test", "username": "plant", "password": PASSWORD}


async def by_link(port: int, ca: Path) -> None:
    await _connect(
        LinkPublisher(Broker(host="127.0.0.1", port=port, tls=tls_context(TlsOptions(ca=ca)), **MQTT))
    )


async def by_aiomqtt(port: int, ca: Path) -> None:
    await _connect(
        AiomqttPublisher(Broker(host="127.0.0.1", port=port, tls=tls_context(TlsOptions(ca=ca)), **MQTT))
    )


async def by_websockets(port: int, ca: Path) -> None:
    tls = tls_context(TlsOptions(ca=ca))
    await _connect(
        AiomqttPublisher(Broker(host="127.0.0.1", port=port, transport="websockets", tls=tls, **MQTT))
    )


async def by_webhook(port: int, ca: Path) -> None:
    options = NotifyOptions.model_validate(
        {"url": f"https://127.0.0.1:{port}/{PASSWORD}", "ca": ca, "timeout": "5s"}
    )
    await receiver(options, clock=system_clock).send(
        Notice.of("g", {}, [alert("a", FIRING)], stamp(0), repeat=False)
    )


async def _connect(publisher: Publisher) -> None:
    async with publisher.connect():
        pass


WAYS = [by_link, by_aiomqtt, by_websockets, by_webhook]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours", "Our authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "theirs", "Somebody else")


def context_of(authority: Authority, subject: x509.GeneralName) -> ssl.SSLContext:
    papers = authority.papers("broker", subject)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    return context


@asynccontextmanager
async def listener(context: ssl.SSLContext) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Its port, and what it was told."""
    told: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(await reader.read(1000))
        writer.transport.abort()

    server = await asyncio.start_server(hear, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], told
    finally:
        server.close()


@pytest.mark.parametrize("way", WAYS)
async def test_whoever_has_the_right_papers_is_told(
    way: Callable[[int, Path], Awaitable[None]], authority: Authority
) -> None:
    async with listener(context_of(authority, LOOPBACK)) as (port, told):
        with pytest.raises((Unreachable, Undelivered)):  # it does not answer
            await way(port, authority.file)
        assert told[0]


@pytest.mark.parametrize("way", WAYS)
async def test_whoever_has_papers_of_another_authority_is_told_nothing(
    way: Callable[[int, Path], Awaitable[None]], authority: Authority, stranger: Authority
) -> None:
    async with listener(context_of(stranger, LOOPBACK)) as (port, told):
        with pytest.raises((Unreachable, Undelivered), match="bad certificate"):
            await way(port, authority.file)
        assert told == []


@pytest.mark.parametrize("way", WAYS)
async def test_whoever_has_papers_for_another_host_is_told_nothing(
    way: Callable[[int, Path], Awaitable[None]], authority: Authority
) -> None:
    async with listener(context_of(authority, x509.DNSName("broker.example"))) as (port, told):
        with pytest.raises((Unreachable, Undelivered), match="bad certificate"):
            await way(port, authority.file)
        assert told == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("way", WAYS)
async def test_whoever_speaks_tls_1_1_only_is_told_nothing(
    way: Callable[[int, Path], Awaitable[None]], authority: Authority
) -> None:
    context = context_of(authority, LOOPBACK)
    context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL has more to say against it by now
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with listener(context) as (port, told):
        with pytest.raises((Unreachable, Undelivered)):
            await way(port, authority.file)
        assert told == []
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=old_friend(authority))
        writer.write(b"hello")
        await reader.read()
        writer.close()
        assert told == [b"hello"]


def old_friend(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    return context
