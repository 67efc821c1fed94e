import asyncio
import logging
import socket
import subprocess
import sys

import pytest

from gateway.errors import Unreachable
from gateway.publish.aiomqtt_publisher import client as listener
from gateway.publish.broker import Broker
from gateway.publish.embedded import HOST, embedded_broker
from gateway.publish.link import LinkPublisher
from gateway.publish.publisher import Message
from tests.contracts.publisher import END, PATIENCE_S, condemned, deliver, numbered, works
from tests.support.ports import free_port

pytestmark = pytest.mark.real_time


def client_of(port: int, name: str) -> Broker:
    return Broker(host=HOST, port=port, version="3.1.1", client_id=name)


async def test_embedded_broker_takes_readings_and_hands_them_to_subscribers() -> None:
    port = free_port()
    async with embedded_broker(port), listener(client_of(port, "subscriber")) as subscriber:
        await subscriber.subscribe("t/#", qos=1)
        async with LinkPublisher(client_of(port, "gateway")).connect() as session:
            assert await deliver(session, numbered(50)) == [[None]] * 50
        async with asyncio.timeout(PATIENCE_S):
            heard = [await anext(subscriber.messages) for _ in range(50)]
    assert [each.payload for each in heard] == [each.payload for each in numbered(50)]


async def test_embedded_broker_remembers_retained_messages_and_last_wills() -> None:
    port = free_port()
    will = Message("t/status", b"gone", retain=True)
    async with embedded_broker(port):
        with pytest.raises(ZeroDivisionError):
            async with LinkPublisher(client_of(port, "gateway"), will=will).connect() as session:
                await deliver(session, [Message("t/status", b"here", retain=True)])
                raise ZeroDivisionError
        await works(LinkPublisher(client_of(port, "gateway")))
        async with listener(client_of(port, "subscriber")) as subscriber:
            await subscriber.subscribe("t/status", qos=1)
            async with asyncio.timeout(PATIENCE_S):
                assert (await anext(subscriber.messages)).payload == b"gone"


async def test_embedded_broker_is_reached_from_this_machine_only() -> None:
    port = free_port()
    async with embedded_broker(port):
        with socket.socket() as elsewhere:
            assert elsewhere.connect_ex(("127.0.0.2", port)) != 0


async def test_embedded_broker_hangs_up_on_everybody_and_can_be_started_again() -> None:
    port = free_port()
    publisher = LinkPublisher(client_of(port, "gateway"))
    for _ in range(2):
        async with embedded_broker(port):
            connection = publisher.connect()
            session = await connection.__aenter__()
            session.publish(END, lambda _outcome: None)
        await condemned(session)
        await connection.__aexit__(None, None, None)


async def test_port_that_is_taken_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Unreachable) as unreachable:
            async with embedded_broker(port):
                pytest.fail("listening")
    assert str(unreachable.value) == (
        f"the embedded broker cannot listen on 127.0.0.1:{port}: Address already in use"
    )
    assert [
        each for each in caplog.records if each.levelno >= logging.WARNING and each.name != "asyncio"
    ] == []


def test_missing_extra_is_named_with_the_way_to_install_it() -> None:
    without_amqtt = (
        "import asyncio, sys; sys.modules['amqtt'] = None\n"
        "from gateway.publish.embedded import embedded_broker\n"
        "asyncio.run(embedded_broker(1883).__aenter__())"
    )
    process = subprocess.run(
        [sys.executable, "-c", without_amqtt], capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert process.stderr.endswith("the embedded broker needs amqtt: pip install 'sallyport[embedded]'\n")
