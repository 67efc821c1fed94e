import asyncio
from typing import Any, Literal

import pytest

from gateway.errors import Deferred, Rejected
from gateway.publish.aiomqtt_publisher import AiomqttPublisher
from gateway.publish.broker import Broker
from gateway.publish.mended_aiomqtt import MendedClient
from gateway.publish.publisher import Message, Publisher
from tests.contracts.publisher import (
    END,
    Mqtt5PublisherContract,
    NetworkPublisherContract,
    refused,
)
from tests.support.gateway_process import until
from tests.support.ports import free_port
from tests.support.rogue_broker import RogueBroker

pytestmark = pytest.mark.real_time


class TestRogueOverMqtt5(Mqtt5PublisherContract):
    def publisher(self, port: int, **settings: Any) -> Publisher:
        return publisher_to(port, "5", **settings)


class TestRogueOverMqtt311(NetworkPublisherContract):
    def publisher(self, port: int, **settings: Any) -> Publisher:
        return publisher_to(port, "3.1.1", **settings)


def publisher_to(
    port: int, version: Literal["5", "3.1.1"] = "5", *, will: Message | None = None, **settings: Any
) -> AiomqttPublisher:
    broker = Broker(
        host="127.0.0.1", port=port, version=version, client_id="test", username="user", **settings
    )
    return AiomqttPublisher(broker, will=will)


async def test_host_without_an_address_is_unreachable() -> None:
    publisher = AiomqttPublisher(Broker(host="no-such-host.invalid", port=1883, client_id="test"))
    assert await refused(publisher)


async def test_closed_port_is_named_with_its_reason() -> None:
    assert await refused(publisher_to(free_port())) == "Connection refused"


async def test_broker_of_another_version_says_what_to_change(rogue: RogueBroker) -> None:
    rogue.refuses = 1  # what a broker for 3.1.1 only answers to anything newer
    expected = "what answers there does not speak MQTT 5 (mqtt.version)"
    assert await refused(publisher_to(rogue.port, "5")) == expected


async def test_paho_does_not_write_to_the_log(rogue: RogueBroker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with publisher_to(rogue.port).connect() as session:
        rogue.reset()
        with pytest.raises(Exception, match="reset by peer"):
            await session.ended()
    assert caplog.messages == []


async def test_broker_that_hangs_up_on_who_has_just_given_up_waiting_for_it_puts_nothing_into_the_log(
    rogue: RogueBroker, caplog: pytest.LogCaptureFixture
) -> None:
    rogue.mute = True
    client = MendedClient(hostname=rogue.host, port=rogue.port)
    entering = asyncio.create_task(client.__aenter__())
    await until(lambda: client._connected._callbacks)  # it waits to be let in
    entering.cancel()
    await asyncio.wait([entering])
    assert client._connected.cancelled()
    there = client._client.socket()
    assert there is not None
    rogue.hang_up()
    await until(lambda: there.fileno() < 0)
    assert caplog.messages == []


async def test_bug_in_a_callback_comes_out_of_the_session_as_it_is(rogue: RogueBroker) -> None:
    def stumble(_outcome: Rejected | Deferred | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5), publisher_to(rogue.port).connect() as session:
            session.publish(END, stumble)
            await session.ended()
