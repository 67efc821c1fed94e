import asyncio
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Deferred, Rejected
from gateway.publish.broker import Broker, Version
from gateway.publish.link import LinkPublisher, _Link
from gateway.publish.publisher import Message, Publisher
from tests.contracts.publisher import (
    END,
    PATIENCE_S,
    WILL,
    Mqtt5PublisherContract,
    NetworkPublisherContract,
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
from tests.support.mosquitto import Mosquitto, program
from tests.support.ports import free_port
from tests.support.rogue_broker import (
    SESSION_TAKEN_OVER,
    RogueBroker,
    assigned_client_identifier,
    reason_string,
    server_keep_alive,
)

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
    port: int, version: Version = "5", *, will: Message | None = None, **settings: Any
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
async def test_wrong_password_is_named(passwords: Path, version: Version) -> None:
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


async def test_lost_connection_writes_nothing_to_the_log(
    rogue: RogueBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with publisher_to(rogue.port).connect() as session:
        rogue.reset()
        with pytest.raises(Exception, match="reset by peer"):
            await session.ended()
    assert caplog.messages == []


async def test_last_words_of_a_broker_are_heard_when_a_write_fails_first(rogue: RogueBroker) -> None:
    rogue.deaf = True
    outcome: Outcome = []
    publisher = publisher_to(rogue.port, keepalive_s=3600)
    async with asyncio.timeout(PATIENCE_S), publisher.connect() as session:
        session.publish(END, outcome.append)
        await asyncio.sleep(0.05)  # it lies there unread, so that hanging up is a reset
        assert isinstance(session, _Link)
        assert session._transport is not None
        session._transport.pause_reading()  # a loop that is busy elsewhere
        rogue.say(b"\x40\x02\0\x01")
        rogue.expel(SESSION_TAKEN_OVER)
        while rogue.links:
            await asyncio.sleep(0)
        while not session._transport.is_closing():
            session._transport.write(b"\xc0\0")
        assert "another client came" in await condemned(session)
    assert outcome == [None]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_broker_that_hangs_up_again_without_a_word_may_have_another_client_of_our_name(
    rogue: RogueBroker, version: Version
) -> None:
    publisher = publisher_to(rogue.port, version)
    for _ in range(2):
        async with publisher.connect() as session:
            rogue.hang_up()
            assert (await condemned(session)).endswith("the broker hung up")
        rogue.refuses = 0x88
        await refused(publisher)  # it was restarted, and let nobody in at first
        rogue.refuses = None
    for ending in ("the broker hung up", 'perhaps another client has the same client id, "test"'):
        async with publisher.connect() as session:
            rogue.hang_up()
            assert (await condemned(session)).endswith(ending)


@pytest.mark.parametrize(
    "message", [END, END._replace(qos=0), Message("t/#", b"")], ids=["taken", "left", "rejected"]
)
async def test_bug_in_a_callback_comes_out_of_the_session_as_it_is(
    rogue: RogueBroker, message: Message
) -> None:
    def stumble(_outcome: Rejected | Deferred | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5), publisher_to(rogue.port).connect() as session:
            session.publish(message, stumble)
            await session.ended()


# The line.


async def test_twenty_thousand_messages_arrive_once_and_in_order_and_leave_together(
    rogue: RogueBroker,
) -> None:
    messages = numbered(20_000)
    async with publisher_to(rogue.port, window=100).connect() as session:
        assert await deliver(session, messages) == [[None]] * 20_000
    assert rogue.messages == messages
    assert rogue.most_unacknowledged <= 100
    assert rogue.segments < 20_000 / 20


async def test_several_acknowledgements_in_one_piece_count_in_their_order(rogue: RogueBroker) -> None:
    rogue.acknowledges = False
    landed: list[int] = []
    async with publisher_to(rogue.port).connect() as session:
        for number, message in enumerate(numbered(10)):
            session.publish(message, lambda _outcome, number=number: landed.append(number))  # type: ignore[misc]
        async with asyncio.timeout(PATIENCE_S):
            while len(rogue.messages) < 10:
                await asyncio.sleep(0.001)
            rogue.say(b"".join(b"\x40\x02\0" + bytes([identifier]) for identifier in (3, 1, 2, 10, 9, 4)))
            while len(landed) < 6:
                await asyncio.sleep(0.001)
    assert landed == [2, 0, 1, 9, 8, 3]


@pytest.mark.repetitive
async def test_packet_identifiers_go_round_and_leave_out_those_under_way(rogue: RogueBroker) -> None:
    rogue.forgets.add("t/forgotten")
    async with publisher_to(rogue.port, window=100).connect() as session:
        session.publish(Message("t/forgotten", b""), lambda _outcome: None)
        assert await deliver(session, numbered(70_000)) == [[None]] * 70_000


async def test_broker_that_does_not_read_loses_and_mixes_up_nothing(rogue: RogueBroker) -> None:
    sizes = [300_000, 1, 700_000, 90_000] * 10
    messages = [Message("t/large", bytes([number]) * size) for number, size in enumerate(sizes)]
    outcomes: list[Outcome] = [[] for _ in messages]
    rogue.deaf = True
    async with publisher_to(rogue.port, window=40).connect() as session:
        for message, outcome in zip(messages, outcomes, strict=True):
            session.publish(message, outcome.append)
            await asyncio.sleep(0)
        assert isinstance(session, _Link)
        assert session._paused
        assert session._transport is not None
        # What waits is the window; the transport holds one write of it, not a second copy of everything.
        waiting = sum(map(len, session._out))
        assert waiting + session._transport.get_write_buffer_size() <= sum(sizes) + 40 * 20
        assert waiting > sum(sizes) / 2
        rogue.listen()
        async with asyncio.timeout(PATIENCE_S):
            while [] in outcomes:
                await asyncio.sleep(0.001)
    assert rogue.messages == messages
    assert outcomes == [[None]] * 40


async def test_message_of_qos_0_has_its_answer_when_it_has_left(rogue: RogueBroker) -> None:
    messages = [Message("t/large", bytes([number]) * 1_000_000, qos=0) for number in range(40)]
    outcomes: list[Outcome] = [[] for _ in messages]
    rogue.deaf = True
    async with publisher_to(rogue.port).connect() as session:
        for message, outcome in zip(messages, outcomes, strict=True):
            session.publish(message, outcome.append)
            await asyncio.sleep(0)
        assert outcomes[-1] == []  # so that a window bounds what waits for a slow line
        rogue.listen()
        async with asyncio.timeout(PATIENCE_S):
            while [] in outcomes:
                await asyncio.sleep(0.001)
        assert await deliver(session, [END]) == [[None]]
    assert outcomes == [[None]] * 40
    assert rogue.messages == [*messages, END]


async def test_broker_that_never_reads_again_can_be_left(rogue: RogueBroker) -> None:
    rogue.deaf = True
    async with asyncio.timeout(PATIENCE_S), publisher_to(rogue.port).connect() as session:
        session.publish(Message("t/large", b"x" * 10_000_000), lambda _outcome: None)
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        while rogue.links:
            rogue.listen()
            await asyncio.sleep(0.001)


async def test_broker_that_closes_its_half_and_reads_no_more_is_noticed(rogue: RogueBroker) -> None:
    rogue.deaf = True
    async with publisher_to(rogue.port).connect() as session:
        session.publish(Message("t/large", b"x" * 10_000_000), lambda _outcome: None)
        await asyncio.sleep(0)
        rogue.say_no_more()
        assert (await condemned(session)).endswith("the broker hung up")


async def test_line_has_no_delay_and_is_kept_alive(rogue: RogueBroker) -> None:
    async with publisher_to(rogue.port).connect() as session:
        assert isinstance(session, _Link)
        assert session._transport is not None
        line = session._transport.get_extra_info("socket")
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_name_with_several_addresses_is_reached_at_the_one_that_answers(rogue: RogueBroker) -> None:
    await works(LinkPublisher(Broker(host="localhost", port=rogue.port, client_id="test")))
    elsewhere = LinkPublisher(Broker(host="localhost", port=free_port(), client_id="test"))
    assert await refused(elsewhere) == "Connection refused"


async def test_name_that_no_host_can_have_is_unreachable() -> None:
    assert await refused(LinkPublisher(Broker(host=f"{'x' * 70}.example", port=1883, client_id="test")))


# Pings.


async def test_idle_line_is_pinged_and_lives(rogue: RogueBroker) -> None:
    async with publisher_to(rogue.port, keepalive_s=0.2).connect() as session:
        async with asyncio.timeout(PATIENCE_S):
            while rogue.pings < 3:
                await asyncio.sleep(0.001)
        assert await deliver(session, [END]) == [[None]]


async def test_peer_that_answers_no_ping_is_dead(rogue: RogueBroker) -> None:
    rogue.answers_pings = False
    async with publisher_to(rogue.port, keepalive_s=0.02).connect() as session:
        assert (await condemned(session)).endswith("no answer to a ping")
    assert rogue.pings == 1


async def test_server_keep_alive_comes_before_ours(rogue: RogueBroker) -> None:
    rogue.announces = server_keep_alive(1)
    async with publisher_to(rogue.port, keepalive_s=3600).connect():
        async with asyncio.timeout(PATIENCE_S):
            while not rogue.pings:
                await asyncio.sleep(0.01)


# What a broker may say.


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize(
    ("said", "complaint", "code"),
    [
        (b"\x40\x02\0\x07", "PUBACK of packet 7, which is not under way (section 4.3.2)", 0x82),
        (b"\x20\x03\0\0\0", "CONNACK twice (section 3.2)", 0x82),
        (b"\x90\x03\0\x01\0", "SUBACK, which a broker must not send to us (section 2.1.2)", 0x82),
        (b"HTTP/1.1", "PUBACK: flags 1000 instead of 0000 (section 2.1.3)", 0x81),
        (b"\x40\xff\xff\xff\x7f", "PUBACK: 268435460 bytes; we take at most 65536 (section 3.1.2.11.4)", 0x95),
    ],
)  # fmt: skip
async def test_broker_that_breaks_the_rules_is_told_and_left(
    rogue: RogueBroker, version: Version, said: bytes, complaint: str, code: int
) -> None:
    if version == "3.1.1" and said[0] == 0x20:
        said = b"\x20\x02\0\0"
    publisher = publisher_to(rogue.port, version, will=WILL)
    async with publisher.connect() as session:
        rogue.say(said)
        assert (await condemned(session)).endswith(f"the broker broke the rules of MQTT: {complaint}")
    async with asyncio.timeout(PATIENCE_S):
        while rogue.links:
            await asyncio.sleep(0.001)
    assert rogue.complaints == ([code] if version == "5" else [])
    assert rogue.messages == [WILL]
    await works(publisher)


async def test_messages_that_nobody_asked_for_are_acknowledged_and_passed_over(rogue: RogueBroker) -> None:
    async with publisher_to(rogue.port, "3.1.1").connect() as session:
        for qos in (0, 1, 2):
            identifier = bytes([0, qos]) if qos else b""
            rogue.say(bytes([0x30 | qos << 1, 4 + len(identifier)]) + b"\0\x01t" + identifier + b"x")
        rogue.say(b"\x62\x02\0\x02")
        async with asyncio.timeout(PATIENCE_S):
            while len(rogue.acknowledgements) < 3:
                await asyncio.sleep(0.001)
        assert await deliver(session, [END]) == [[None]]
    assert rogue.acknowledgements == [(4, 1), (5, 2), (7, 2)]  # PUBACK, PUBREC, PUBCOMP


async def test_broker_that_floods_us_and_does_not_read_is_left(rogue: RogueBroker) -> None:
    rogue.deaf = True
    async with publisher_to(rogue.port).connect() as session:
        session.publish(Message("t/large", b"x" * 10_000_000), lambda _outcome: None)
        await asyncio.sleep(0)
        rogue.say(b"\x32\x06\0\x01t\0\x01\0" * 70_000)
        assert "more at once than we may be asked to acknowledge" in await condemned(session)


async def test_broker_without_acknowledgements_is_of_no_use(rogue: RogueBroker) -> None:
    rogue.announces = b"\x24\0"
    assert await refused(publisher_to(rogue.port)) == (
        "refused: the broker takes QoS 0 only, and would acknowledge nothing"
    )


async def test_broker_that_kept_a_session_which_we_did_not_want_is_left(rogue: RogueBroker) -> None:
    rogue.keeps_a_session = True
    assert "clean start" in await refused(publisher_to(rogue.port, "5"))
    await works(publisher_to(rogue.port, "3.1.1"))


async def test_retained_message_is_rejected_where_nothing_is_retained(rogue: RogueBroker) -> None:
    rogue.announces = b"\x25\0"
    async with publisher_to(rogue.port).connect() as session:
        outcomes = await deliver(session, [Message("t/kept", b"", retain=True), END])
    assert [str(each) for [each] in outcomes] == ["Retain not supported (0x9a)", "None"]


async def test_what_the_broker_adds_to_a_refusal_is_quoted(rogue: RogueBroker) -> None:
    rogue.refuses = 0x87
    rogue.announces = reason_string("ask the plant")
    assert await refused(publisher_to(rogue.port)) == "refused: Not authorized: ask the plant"
    rogue.refuses = 0x9D
    rogue.announces = b"\x1c\0\x04host"
    assert await refused(publisher_to(rogue.port)) == "refused: Server moved: host"


async def test_broker_that_lost_count_of_packets_gets_them_again(rogue: RogueBroker) -> None:
    rogue.reasons["t/end"] = 0x91
    outcome: Outcome = []
    async with publisher_to(rogue.port).connect() as session:
        session.publish(END, outcome.append)
        assert "Packet identifier in use (0x91)" in await condemned(session)
    assert outcome == []


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (0x96, Deferred("127.0.0.1:{port}: Message rate too high (0x96)")),
        (0x89, Deferred("127.0.0.1:{port}: Server busy (0x89)")),
        (0xC1, Rejected("reason code 0xc1 (0xc1)")),
    ],
)
async def test_answer_that_the_standard_does_not_know_is_taken_by_its_meaning(
    rogue: RogueBroker, code: int, outcome: Rejected | Deferred
) -> None:
    rogue.reasons["t/bad"] = code
    outcomes: Outcome = []
    async with publisher_to(rogue.port).connect() as session:
        session.publish(Message("t/bad", b""), outcomes.append)
        assert await deliver(session, [END]) == [[None]]
    [found] = outcomes
    assert (type(found), str(found)) == (type(outcome), str(outcome).format(port=rogue.port))


async def test_client_identifier_that_the_broker_gave_us_is_the_one_that_is_named(rogue: RogueBroker) -> None:
    rogue.announces = assigned_client_identifier("given")
    async with publisher_to(rogue.port).connect() as session:
        rogue.expel(SESSION_TAKEN_OVER)
        assert (await condemned(session)).endswith('another client came with the same client id, "given"')


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\0\x02\x02\x46", b"\x40\x02\0\x01"]
)
async def test_what_answers_but_speaks_no_mqtt_is_unreachable(answer: bytes) -> None:
    async def answer_all(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await _reader.read()
        writer.close()

    async with await asyncio.start_server(answer_all, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await refused(publisher_to(port)) == "what answers there does not speak MQTT 5 (mqtt.version)"


async def test_client_identifier_that_cannot_be_said_is_unreachable(rogue: RogueBroker) -> None:
    publisher = LinkPublisher(Broker(host=rogue.host, port=rogue.port, client_id="a\0b"))
    assert (
        await refused(publisher) == "what we would say of ourselves holds U+0000, which MQTT does not allow"
    )
