from typing import Any

import pytest
from amqtt.adapters import BufferReader
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.publish import PublishPacket
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.errors import Rejected
from gateway.publish.broker import Version
from gateway.publish.packets import encoding
from gateway.publish.packets.decoding import Decoder, Publish
from gateway.publish.packets.encoding import Publications, connect
from gateway.publish.packets.names import LARGEST_PACKET
from gateway.publish.publisher import Message
from tests.gateway.publish.packets.samples import (
    VERSIONS,
    identifiers,
    messages,
    optional_texts,
    texts,
    versions,
)
from tests.support.rogue_broker import Fields


def published(version: Version, message: Message, identifier: int) -> bytes:
    publications = Publications(version)
    if message.qos:
        return publications.at_least_once(message, identifier)
    return publications.at_most_once(message)


# The standard's own examples.


def test_utf8_string_of_the_standard() -> None:
    """MQTT 5.0, section 1.5.4, figure 1-2: LATIN CAPITAL LETTER A, CJK IDEOGRAPH EXTENSION B U+2A6D4."""
    assert encoding.utf8_string("A\U0002a6d4").hex(" ") == "00 05 41 f0 aa 9b 94"


def test_connect_of_the_standard() -> None:
    """MQTT 3.1.1, section 3.1.2.10 and figure 3.6: user name, password, a will of QoS 1, clean, 10 s."""
    encoded = connect(
        version="3.1.1",
        client_id="c",
        keep_alive=10,
        username="u",
        password="p",
        will=Message("w", b"gone"),
    )
    assert encoded[2:12].hex(" ") == "00 04 4d 51 54 54 04 ce 00 0a"
    # Payload, in the order of section 3.1.3: client identifier, will topic, will message, user name, password.
    assert encoded[12:] == b"\0\x01c\0\x01w\0\x04gone\0\x01u\0\x01p"
    assert encoded[:2] == bytes([0x10, len(encoded) - 2])


def test_connect_of_version_5_differs_where_the_standard_says_so() -> None:
    """MQTT 5.0, figure 3-6; our only property is the largest packet that we read (section 3.1.2.11.4)."""
    encoded = connect(version="5", client_id="c", keep_alive=10, will=Message("w", b"gone", retain=True))
    assert encoded[2:12].hex(" ") == "00 04 4d 51 54 54 05 2e 00 0a"
    assert encoded[12:18].hex(" ") == "05 27 00 01 00 00"
    assert encoded[18:] == b"\0\x01c\0\0\x01w\0\x04gone"


@pytest.mark.parametrize(("version", "tail"), [("3.1.1", ""), ("5", " 00")])
def test_publish_of_the_standard(version: Version, tail: str) -> None:
    """MQTT 3.1.1, figure 3.11; MQTT 5.0, figure 3-9: topic name "a/b", packet identifier 10."""
    encoded = Publications(version).at_least_once(Message("a/b", b""), 10)
    assert encoded[2:].hex(" ") == "00 03 61 2f 62 00 0a" + tail
    assert encoded[:2] == bytes([0x32, len(encoded) - 2])


def test_publish_at_most_once_has_no_packet_identifier() -> None:
    assert Publications("3.1.1").at_most_once(Message("a/b", b"x", retain=True)) == b"\x31\x06\0\x03a/bx"
    assert Publications("5").at_most_once(Message("a/b", b"x")) == b"\x30\x07\0\x03a/b\0x"


@pytest.mark.parametrize(
    "topic", ["", "a/+", "#", "a\0b", "a\nb", "a\x7f", "a\ud800", "a\ufffe", "a\ufdd0", "t" * 65536]
)
def test_topic_that_no_broker_may_take_is_rejected(topic: str) -> None:
    for version in VERSIONS:
        publications = Publications(version)
        with pytest.raises(Rejected, match="the topic "):
            publications.at_least_once(Message(topic, b""), 1)
        with pytest.raises(Rejected, match="the topic "):
            publications.at_most_once(Message(topic, b""))


@pytest.mark.parametrize(
    "limit", [2, 3, 20, 126, 128, 129, 130, 131, 132, 16_385, 16_386, 16_387, 16_388, 16_389]
)
@pytest.mark.parametrize("version", VERSIONS)
def test_no_packet_is_larger_than_the_broker_takes(version: Version, limit: int) -> None:
    limited = Publications(version, maximum_packet_size=limit)
    free = Publications(version)
    for size in range(max(0, limit - 20), limit + 5):
        message = Message("t", b"x" * size)
        whole = free.at_least_once(message, 7)
        if len(whole) <= limit:
            assert limited.at_least_once(message, 7) == whole
        else:
            with pytest.raises(Rejected, match=f"^{len(whole)} bytes; the broker takes at most {limit}$"):
                limited.at_least_once(message, 7)


def test_retained_message_is_rejected_where_nothing_is_retained() -> None:
    publications = Publications("5", retain_available=False)
    with pytest.raises(Rejected, match=r"^Retain not supported \(0x9a\)$"):
        publications.at_least_once(Message("t", b"", retain=True), 1)
    assert publications.at_least_once(Message("t", b""), 1)


def test_encoded_topics_are_remembered_but_not_for_ever() -> None:
    publications = Publications("5")
    for number in range(10_000):
        name = f"t/{number}"
        assert name.encode() in publications.at_least_once(Message(name, b""), 1)
    assert len(publications._topics) <= Publications._TOPICS


# Round trips.


@given(versions, messages, identifiers)
def test_what_is_published_can_be_read(version: Version, message: Message, identifier: int) -> None:
    encoded = published(version, message, identifier)
    first, rest = opened(encoded)
    fields = Fields(rest)
    assert (first >> 4, first & 0x0F) == (3, message.qos << 1 | message.retain)
    assert fields.text() == message.topic
    assert not message.qos or fields.number() == identifier
    if version == "5":
        fields.properties()
    assert fields.rest() == message.payload
    assert list(Decoder(version).feed(encoded)) == [Publish(message.qos, identifier * message.qos)]


def opened(encoded: bytes) -> tuple[int, bytes]:
    """First byte, and what follows the length, which must be right."""
    length = place = 0
    for place, byte in enumerate(encoded[1:], start=1):
        length |= (byte & 0x7F) << 7 * (place - 1)
        if byte < 0x80:
            break
    assert len(encoded) == 1 + place + length
    return encoded[0], encoded[1 + place :]


introductions = st.fixed_dictionaries(
    {
        "version": versions,
        "client_id": texts,
        "keep_alive": st.integers(0, 0xFFFF),
        "username": optional_texts,
        "password": optional_texts,
        "will": st.none() | messages,
    }
)


@given(introductions)
def test_what_we_say_of_ourselves_can_be_read(said: dict[str, Any]) -> None:
    first, rest = opened(connect(**said))
    assert first == 0x10
    read, number = Fields(rest).connect()
    assert number == (5 if said["version"] == "5" else 4)
    heard = {each: getattr(read, each) for each in ("client_id", "username", "password", "will")}
    assert heard.items() <= said.items()


# The same as another program, where it has the part.


def paho(version: Version, client_id: str = "c") -> PahoClient:
    protocol = MQTTProtocolVersion.MQTTv5 if version == "5" else MQTTProtocolVersion.MQTTv311
    return PahoClient(CallbackAPIVersion.VERSION2, client_id, protocol=protocol)


def sent_by(client: PahoClient) -> bytes:
    return bytes(client._out_packet.pop()["packet"])


@given(versions, messages, identifiers)
def test_publish_is_byte_for_byte_what_paho_sends(
    version: Version, message: Message, identifier: int
) -> None:
    client = paho(version)
    with_socket(client)
    client._send_publish(
        identifier,
        message.topic.encode(),
        message.payload,
        message.qos,
        message.retain,
        False,
        MQTTMessageInfo(identifier),
    )
    assert published(version, message, identifier) == sent_by(client)


def with_socket(client: PahoClient) -> None:
    """paho encodes only when it thinks that it is connected."""
    client._sock = object()  # type: ignore[assignment]
    client._thread = object()  # type: ignore[assignment]
    client.on_socket_register_write = lambda *_: None
    client._sock_close = lambda: None  # type: ignore[method-assign]


@given(versions, texts.filter(bool), optional_texts, messages)
def test_connect_is_byte_for_byte_what_paho_sends(
    version: Version, client_id: str, username: str | None, will: Message
) -> None:
    client = paho(version, client_id)
    with_socket(client)
    client.username_pw_set(username, "secret" if username is not None else None)
    client._will, client._will_topic = True, will.topic.encode()
    client._will_payload, client._will_qos, client._will_retain = will.payload, will.qos, will.retain
    if version == "5":
        client._connect_properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        client._connect_properties.MaximumPacketSize = LARGEST_PACKET
    client._send_connect(10)
    ours = connect(
        version=version,
        client_id=client_id,
        keep_alive=10,
        username=username,
        password="secret" if username is not None else None,
        will=will,
    )
    assert ours == sent_by(client)


def read_by_amqtt(kind: type[ConnectPacket | PublishPacket], data: bytes) -> Any:
    reading = kind.from_stream(BufferReader(data))
    with pytest.raises(StopIteration) as read:  # everything is there: it never waits
        reading.send(None)
    return read.value.value


@given(messages, identifiers)
def test_amqtt_reads_what_we_publish(message: Message, identifier: int) -> None:
    read = read_by_amqtt(PublishPacket, published("3.1.1", message, identifier))
    assert Message(read.topic_name, read.data, read.retain_flag, read.qos) == message
    assert read.packet_id == (identifier if message.qos else None)
    assert not read.dup_flag


@given(texts.filter(bool), texts, texts, messages)
def test_amqtt_reads_who_we_are(client_id: str, username: str, password: str, will: Message) -> None:
    read = read_by_amqtt(
        ConnectPacket,
        connect(
            version="3.1.1",
            client_id=client_id,
            keep_alive=10,
            username=username,
            password=password,
            will=will,
        ),
    )
    assert (read.proto_name, read.proto_level, read.keep_alive) == ("MQTT", 4, 10)
    assert (read.client_id, read.username, read.password) == (client_id, username, password)
    assert Message(read.will_topic, read.will_message, read.will_retain_flag, read.will_qos) == will
    assert read.clean_session_flag
    assert not read.reserved_flag
