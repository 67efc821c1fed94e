import asyncio
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.errors import Rejected
from gateway.publish.broker import Broker
from gateway.publish.link import LinkPublisher
from gateway.publish.publisher import Message, Publisher
from tests.contracts.publisher import (
    END,
    Mqtt5PublisherContract,
    NetworkPublisherContract,
    PublisherContract,
    deliver,
    refused,
    works,
)
from tests.gateway.publish.real_bench import RealBench
from tests.support.amqtt_process import AmqttProcess
from tests.support.mosquitto import Mosquitto, program
from tests.support.ports import free_port
from tests.support.rogue_broker import RogueBroker

pytestmark = pytest.mark.real_time


class TestMosquittoOverMqtt5(PublisherContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> RealBench:
        return RealBench(Mosquitto(tmp_path))


class TestMosquittoOverMqtt311(PublisherContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> RealBench:
        return RealBench(Mosquitto(tmp_path), version="3.1.1")


class TestAmqtt(PublisherContract):
    @pytest.fixture
    def bench(self) -> RealBench:
        return RealBench(AmqttProcess(), version="3.1.1")


class TestRogueOverMqtt5(Mqtt5PublisherContract):
    def publisher(self, port: int, **settings: Any) -> Publisher:
        return publisher_to(port, "5", **settings)


class TestRogueOverMqtt311(NetworkPublisherContract):
    def publisher(self, port: int, **settings: Any) -> Publisher:
        return publisher_to(port, "3.1.1", **settings)


def publisher_to(
    port: int, version: Literal["5", "3.1.1"] = "5", *, will: Message | None = None, **settings: Any
) -> LinkPublisher:
    broker = Broker(
        host="127.0.0.1", port=port, version=version, client_id="test", username="user", **settings
    )
    return LinkPublisher(broker, will=will)


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    file = tmp_path / "passwords"
    subprocess.run([program("mosquitto_passwd"), "-b", "-c", file, "user", "right"], check=True)
    return file


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_wrong_password_is_named(passwords: Path, version: Literal["5", "3.1.1"]) -> None:
    with Mosquitto.running(
        passwords.parent, listener=f"allow_anonymous false\npassword_file {passwords}"
    ) as broker:
        reason = await refused(publisher_to(broker.port, version, password="wrong"))
        assert reason.lower() == "refused: not authorized"
        await works(publisher_to(broker.port, version, password="right"))


async def test_topic_that_the_brokers_access_list_forbids_is_rejected(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write t/end\n")
    # Without a bound to its queue, mosquitto 2.0.11 hangs up after such a refusal.
    listener = f"acl_file {acl}\nmax_queued_messages 1000"
    with Mosquitto.running(tmp_path, listener=listener) as broker:
        publisher = LinkPublisher(Broker(host=broker.host, port=broker.port, client_id="test"))
        async with publisher.connect() as session:
            outcomes = await deliver(session, [Message("t/secret", b""), END])
    assert [str(each) for [each] in outcomes] == ["Not authorized (0x87)", "None"]


async def test_what_mosquitto_finds_too_large_is_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    with Mosquitto.running(tmp_path, listener="max_packet_size 1000") as broker:
        async with publisher_to(broker.port).connect() as session:
            outcomes = await deliver(
                session, [Message("t/large", b"x" * 1000), Message("t/large", b"x" * 980)]
            )
    assert [type(each) for [each] in outcomes] == [Rejected, type(None)]


async def test_host_without_an_address_is_unreachable() -> None:
    publisher = LinkPublisher(Broker(host="no-such-host.invalid", port=1883, client_id="test"))
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


async def test_bug_in_a_callback_comes_out_of_the_session_as_it_is(rogue: RogueBroker) -> None:
    def stumble(_outcome: Rejected | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5), publisher_to(rogue.port).connect() as session:
            session.publish(END, stumble)
            await session.ended()
