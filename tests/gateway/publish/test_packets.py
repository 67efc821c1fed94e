import contextlib
import itertools
import struct
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.errors import BadPacket, Rejected
from gateway.publish.broker import Version
from gateway.publish.packets import encoding
from gateway.publish.packets.decoding import (
    Accepted,
    Connack,
    Decoder,
    Disconnect,
    Packet,
    Pingresp,
    Publish,
    Pubrel,
    Refused,
)
from gateway.publish.packets.encoding import Publications, connect
from gateway.publish.packets.names import PacketType, Property, reason_name
from gateway.publish.publisher import Message
from tests.support.rogue_broker import Fields

VERSIONS: tuple[Version, ...] = ("5", "3.1.1")

versions = st.sampled_from(VERSIONS)
identifiers = st.integers(1, 0xFFFF)
texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=40
)  # no surrogates, controls, noncharacters
topics = texts.map(lambda text: "t" + text.translate({ord("+"): "_", ord("#"): "_"}))
messages = st.builds(Message, topics, st.binary(max_size=300), st.booleans(), st.just(1))
wills = st.builds(Message, topics, st.binary(max_size=300), st.booleans(), st.sampled_from([0, 1]))


def decoded(data: bytes, version: Version = "5") -> list[Packet]:
    return list(Decoder(version).feed(data))


def fed(pieces: Iterable[bytes], version: Version) -> list[Packet]:
    decoder = Decoder(version)
    return [packet for piece in pieces for packet in decoder.feed(piece)]


def packet(first: int, rest: bytes) -> bytes:
    return bytes([first]) + encoding.variable_byte_integer(len(rest)) + rest


def refusal(data: bytes, version: Version = "5") -> str:
    with pytest.raises(BadPacket) as bad:
        decoded(data, version)
    return f"{bad.value} -> 0x{bad.value.code:02x}"


# The standard's own examples.


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        # MQTT 3.1.1, table 2.4; MQTT 5.0, table 1-1.
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (268_435_455, "ffffff7f"),
        # MQTT 3.1.1, section 2.2.3.
        (64, "40"),
        (321, "c102"),
    ],
)
def test_variable_byte_integers_of_the_standard(value: int, encoded: str) -> None:
    assert encoding.variable_byte_integer(value).hex() == encoded
    # As a remaining length, too: a PUBLISH of QoS 0 with so many bytes is passed over whole.
    if value > 2:
        stream = bytes.fromhex("30" + encoded) + b"\0\x01a"
        decoder = Decoder("5")
        assert list(decoder.feed(stream)) == [Publish(0, 0)]
        assert decoder._skip == value - 3


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


@pytest.mark.parametrize("version", VERSIONS)
def test_small_packets_of_the_standard(version: Version) -> None:
    """MQTT 3.1.1, figures 3.12, 3.33, 3.34 and 3.35."""
    assert decoded(bytes.fromhex("40 02 00 0a"), version) == [Accepted(10)]
    assert decoded(bytes.fromhex("d0 00"), version) == [Pingresp()]
    assert bytes.fromhex("c0 00") == encoding.PINGREQ_PACKET
    assert bytes.fromhex("e0 00") == encoding.DISCONNECT_PACKET
    assert encoding.acknowledgement(PacketType.PUBACK, 10) == bytes.fromhex("40 02 00 0a")
    assert encoding.disconnect(0x81) == bytes.fromhex("e0 01 81")


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (0, 0x00),
        (1, 0x84),  # unacceptable protocol version
        (2, 0x85),  # identifier rejected
        (3, 0x88),  # server unavailable
        (4, 0x86),  # bad user name or password
        (5, 0x87),  # not authorized
        (6, 0x06),  # reserved
    ],
)
def test_return_codes_of_3_1_1_mean_reason_codes(code: int, meaning: int) -> None:
    """MQTT 3.1.1, table 3.1."""
    assert decoded(bytes([0x20, 2, 0, code]), "3.1.1") == [Connack(reason=meaning)]


def test_broker_that_knows_only_3_1_1_refuses_version_5_in_its_own_way() -> None:
    assert decoded(bytes.fromhex("20 02 00 01")) == [Connack(reason=0x84)]


def test_puback_may_leave_out_what_is_nothing() -> None:
    """MQTT 5.0, sections 3.4.2.1 and 3.4.2.2.1."""
    assert decoded(bytes.fromhex("40 02 00 0a  40 03 00 0b 10  40 04 00 0c 87 00")) == [
        Accepted(10),
        Accepted(11),
        Refused(12, 0x87),
    ]
    assert decoded(packet(0x40, b"\0\x0d\x99\x06\x1f\0\x03bad")) == [Refused(13, 0x99, "bad")]


def test_disconnect_may_leave_out_what_is_nothing() -> None:
    """MQTT 5.0, sections 3.14.2.1 and 3.14.2.2.1."""
    assert decoded(bytes.fromhex("e0 00  e0 01 8e  e0 02 8b 00")) == [
        Disconnect(0),
        Disconnect(0x8E),
        Disconnect(0x8B),
    ]
    moved = b"\x9d\x0a" + b"\x1c\0\x01b" + b"\x26\0\x01k\0\0" + b""
    assert decoded(packet(0xE0, moved)) == [Disconnect(0x9D, None, "b")]


# What a broker may not say, and the section that says so.


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("00 00", "a packet of type 0 (section 2.1.2) -> 0x81"),
        ("10 00", "CONNECT, which a broker must not send to us (section 2.1.2) -> 0x82"),
        ("90 03 00 01 00", "SUBACK, which a broker must not send to us (section 2.1.2) -> 0x82"),
        ("f0 00", "AUTH, which a broker must not send to us (section 2.1.2) -> 0x82"),
        ("41 02 00 0a", "PUBACK: flags 0001 instead of 0000 (section 2.1.3) -> 0x81"),
        ("60 02 00 0a", "PUBREL: flags 0000 instead of 0010 (section 2.1.3) -> 0x81"),
        ("36 05 00 01 61 00 01", "PUBLISH: QoS 3 (section 3.3.1.2) -> 0x81"),
        ("32 05 00 01 61 00 00", "PUBLISH: packet identifier 0 (section 2.2.1) -> 0x82"),
        ("32 04 00 03 61 00", "PUBLISH: ends too early (section 2.1.4) -> 0x81"),
        ("30 01", "PUBLISH: ends too early (section 2.1.4) -> 0x81"),
        ("40 80 80 80 80", "PUBACK: a length of more than four bytes (section 2.1.4) -> 0x81"),
        ("40 02 00 00", "PUBACK: packet identifier 0 (section 2.2.1) -> 0x82"),
        ("40 01 00", "PUBACK: ends too early (section 2.1.4) -> 0x81"),
        ("40 05 00 0a 00 00 00", "PUBACK: 1 bytes too many (section 2.1.4) -> 0x81"),
        ("d0 01 00", "PINGRESP: 1 bytes too many (section 2.1.4) -> 0x81"),
        ("40 ff ff 7f", "PUBACK: 2097155 bytes; we take at most 65536 (section 3.1.2.11.4) -> 0x95"),
        ("20 03 02 00 00", "CONNACK: acknowledge flags 0x02 (section 3.2.2.1) -> 0x81"),
        ("20 06 00 00 03 21 00 00", "CONNACK: 0 where a number is wanted (section 3.2.2.3) -> 0x82"),
        ("20 05 00 00 02 25 02", "CONNACK: 2 where only 0 and 1 are allowed (section 2.2.2) -> 0x82"),
        ("20 07 00 00 04 24 01 24 01", "CONNACK: property 0x24 twice (section 2.2.2.2) -> 0x82"),
        ("20 06 00 00 03 23 00 01", "CONNACK: property 0x23, which does not belong there (section 2.2.2.2) -> 0x81"),
        ("20 05 00 00 02 7f 00", "CONNACK: property 0x7f, which does not belong there (section 2.2.2.2) -> 0x81"),
        ("20 07 00 00 80 80 80 80 01", "CONNACK: a number of more than four bytes (section 1.5.5) -> 0x81"),
        ("20 07 00 00 04 1f 00 01 ff", "CONNACK: a text that is not UTF-8 (section 1.5.4) -> 0x81"),
        ("20 07 00 00 04 1f 00 01 00", "CONNACK: a text that holds U+0000 (section 1.5.4) -> 0x81"),
        ("20 05 00 00 09 1f 00", "CONNACK: ends too early (section 2.1.4) -> 0x81"),
    ],
)  # fmt: skip
def test_what_breaks_the_standard_is_refused_by_section(said: str, expected: str) -> None:
    assert refusal(bytes.fromhex(said)) == expected


def test_disconnect_from_the_broker_is_unknown_to_3_1_1() -> None:
    assert refusal(b"\xe0\0", "3.1.1").startswith("DISCONNECT, which a broker must not send")


def test_packets_before_a_bad_one_still_count() -> None:
    stream = Decoder("5").feed(b"\x40\x02\0\x01\x40\x02\0\x02\xff\0")
    assert [next(stream), next(stream)] == [Accepted(1), Accepted(2)]
    with pytest.raises(BadPacket):
        next(stream)


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


# Round trips, any split, any noise.


@given(versions, messages, identifiers)
def test_what_is_published_can_be_read(version: Version, message: Message, identifier: int) -> None:
    encoded = Publications(version).at_least_once(message, identifier)
    first, rest = opened(encoded)
    fields = Fields(rest)
    assert (first >> 4, first & 0x0F) == (3, 0x03 if message.retain else 0x02)
    assert (fields.text(), fields.number()) == (message.topic, identifier)
    if version == "5":
        fields.properties()
    assert fields.rest() == message.payload
    assert decoded(encoded, version) == [Publish(1, identifier)]


def opened(encoded: bytes) -> tuple[int, bytes]:
    """First byte, and what follows the length, which must be right."""
    length = place = 0
    for place, byte in enumerate(encoded[1:], start=1):
        length |= (byte & 0x7F) << 7 * (place - 1)
        if byte < 0x80:
            break
    assert len(encoded) == 1 + place + length
    return encoded[0], encoded[1 + place :]


optional_texts = st.none() | texts


introductions = st.fixed_dictionaries(
    {
        "version": versions,
        "client_id": texts,
        "keep_alive": st.integers(0, 0xFFFF),
        "username": optional_texts,
        "password": optional_texts,
        "will": st.none() | wills,
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


# A broker's side, for the tests.


def _properties(found: dict[int, bytes]) -> bytes:
    body = b"".join(bytes([identifier]) + value for identifier, value in found.items())
    return encoding.variable_byte_integer(len(body)) + body


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text.encode())) + text.encode()


@st.composite
def pubacks(draw: Callable[..., Any]) -> tuple[bytes, Packet]:
    identifier, code = draw(identifiers), draw(st.sampled_from([0, 0x10, 0x80, 0x87, 0x97]))
    match draw(st.sampled_from(["plain", "reason", "properties"])):
        case "plain":
            return packet(0x40, struct.pack(">H", identifier)), Accepted(identifier)
        case "reason":
            return packet(0x40, struct.pack(">HB", identifier, code)), puback(identifier, code)
    text = draw(texts)
    rest = struct.pack(">HB", identifier, code) + _properties({0x1F: _text(text)})
    return packet(0x40, rest), puback(identifier, code, text)


def puback(identifier: int, code: int, text: str | None = None) -> Packet:
    return Accepted(identifier) if code < 0x80 else Refused(identifier, code, text)


@st.composite
def connacks(draw: Callable[..., Any]) -> tuple[bytes, Packet]:
    values = {
        "receive_maximum": draw(st.integers(1, 0xFFFF)),
        "maximum_packet_size": draw(st.integers(1, 2**32 - 1)),
        "server_keep_alive": draw(st.integers(0, 0xFFFF)),
        "maximum_qos": draw(st.integers(0, 1)),
        "assigned_client_identifier": draw(texts),
        "reason_string": draw(texts),
    }
    encoded = {
        0x21: struct.pack(">H", values["receive_maximum"]),
        0x27: struct.pack(">I", values["maximum_packet_size"]),
        0x13: struct.pack(">H", values["server_keep_alive"]),
        0x24: bytes([values["maximum_qos"]]),
        0x12: _text(values["assigned_client_identifier"]),
        0x1F: _text(values["reason_string"]),
        0x26: _text("key") + _text("value"),
    }
    names = list(values)
    chosen = draw(st.sets(st.sampled_from(names)))
    code = draw(st.sampled_from([0, 0x80, 0x87]))
    kept = {
        identifier: value
        for identifier, value in encoded.items()
        if identifier == 0x26 or name_of(identifier) in chosen
    }
    wanted = {name: values[name] for name in names if name in chosen}
    return packet(0x20, bytes([0, code]) + _properties(kept)), Connack(reason=code, **wanted)


def name_of(identifier: int) -> str:
    return Property(identifier).name.lower()


others = st.one_of(
    st.just((b"\xd0\0", Pingresp())),
    identifiers.map(lambda each: (packet(0x62, struct.pack(">H", each)), Pubrel(each))),
    texts.map(lambda text: (packet(0xE0, b"\x8b" + _properties({0x1F: _text(text)})), Disconnect(0x8B, text))),
    st.tuples(st.integers(0, 2), identifiers, topics, st.binary(max_size=400)).map(
        lambda each: (
            packet(0x30 | each[0] << 1, _text(each[2]) + (struct.pack(">H", each[1]) if each[0] else b"") + each[3]),
            Publish(each[0], each[1] if each[0] else 0),
        )
    ),
)  # fmt: skip
streams = st.lists(st.one_of(pubacks(), connacks(), others), max_size=12)


@settings(deadline=None)
@given(streams, st.lists(st.integers(0, 2000), max_size=30))
def test_the_same_packets_come_out_however_the_bytes_are_cut(
    stream: list[tuple[bytes, Packet]], cuts: list[int]
) -> None:
    data = b"".join(encoded for encoded, _ in stream)
    expected = [each for _, each in stream]
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    assert fed([data], "5") == expected
    assert fed(pieces, "5") == expected
    assert fed((data[place : place + 1] for place in range(len(data))), "5") == expected


@settings(deadline=None, max_examples=500)
@given(versions, st.lists(st.binary(max_size=200), max_size=10))
def test_noise_raises_nothing_but_the_one_error(version: Version, pieces: list[bytes]) -> None:
    with contextlib.suppress(BadPacket):
        fed(pieces, version)


@settings(deadline=None, max_examples=500)
@given(versions, streams, st.data())
def test_a_byte_gone_wrong_raises_nothing_but_the_one_error(
    version: Version, stream: list[tuple[bytes, Packet]], data: st.DataObject
) -> None:
    whole = bytearray(b"".join(encoded for encoded, _ in stream))
    if whole:
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadPacket):
        fed([bytes(whole)], version)


def test_decoder_holds_no_more_than_it_must() -> None:
    decoder = Decoder("3.1.1")
    payload = b"x" * 10_000_000
    head = b"\x32" + encoding.variable_byte_integer(len(payload) + 5) + b"\0\x01t\0\x07"
    seen: list[Packet] = []
    for piece in (
        head[:3],
        head[3:],
        *(payload[place : place + 65_536] for place in range(0, len(payload), 65_536)),
    ):
        seen += list(decoder.feed(piece))
        assert len(decoder._rest) < 100
    assert seen == [Publish(1, 7)]
    assert list(decoder.feed(b"\xd0\0")) == [Pingresp()]


# The same as another program, where it has the part.


def paho(version: Version, client_id: str = "c") -> PahoClient:
    protocol = MQTTProtocolVersion.MQTTv5 if version == "5" else MQTTProtocolVersion.MQTTv311
    return PahoClient(CallbackAPIVersion.VERSION2, client_id, protocol=protocol)


def sent_by(client: PahoClient) -> bytes:
    return bytes(client._out_packet.pop()["packet"])


@given(versions, messages, identifiers)
@settings(deadline=None)
def test_publish_is_byte_for_byte_what_paho_sends(
    version: Version, message: Message, identifier: int
) -> None:
    client = paho(version)
    with_socket(client)
    client._send_publish(
        identifier,
        message.topic.encode(),
        message.payload,
        1,
        message.retain,
        False,
        MQTTMessageInfo(identifier),
    )
    assert Publications(version).at_least_once(message, identifier) == sent_by(client)


def with_socket(client: PahoClient) -> None:
    """paho encodes only when it thinks that it is connected."""
    client._sock = object()  # type: ignore[assignment]
    client._thread = object()  # type: ignore[assignment]
    client.on_socket_register_write = lambda *_: None
    client._sock_close = lambda: None  # type: ignore[method-assign]


@given(texts.filter(bool), optional_texts, wills)
@settings(deadline=None)
def test_connect_is_byte_for_byte_what_paho_sends(
    client_id: str, username: str | None, will: Message
) -> None:
    client = paho("3.1.1", client_id)
    with_socket(client)
    client.username_pw_set(username, "secret" if username is not None else None)
    client._will, client._will_topic = True, will.topic.encode()
    client._will_payload, client._will_qos, client._will_retain = will.payload, will.qos, will.retain
    client._send_connect(10)
    ours = connect(
        version="3.1.1",
        client_id=client_id,
        keep_alive=10,
        username=username,
        password="secret" if username is not None else None,
        will=will,
    )
    assert ours == sent_by(client)


def test_properties_are_read_as_paho_writes_them() -> None:
    properties: Any = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 5
    properties.ReceiveMaximum = 33
    properties.MaximumQoS = 1
    properties.RetainAvailable = 0
    properties.MaximumPacketSize = 4096
    properties.AssignedClientIdentifier = "given"
    properties.TopicAliasMaximum = 3
    properties.ReasonString = "welcome"
    properties.UserProperty = [("a", "1"), ("a", "2")]
    properties.WildcardSubscriptionAvailable = 1
    properties.SubscriptionIdentifierAvailable = 0
    properties.SharedSubscriptionAvailable = 1
    properties.ServerKeepAlive = 12
    properties.ResponseInformation = "r"
    properties.ServerReference = "elsewhere"
    properties.AuthenticationMethod = "m"
    properties.AuthenticationData = b"\0\xff"
    assert decoded(packet(0x20, b"\x01\0" + properties.pack())) == [
        Connack(
            reason=0,
            session_present=True,
            assigned_client_identifier="given",
            server_keep_alive=12,
            receive_maximum=33,
            maximum_qos=1,
            retain_available=False,
            maximum_packet_size=4096,
            reason_string="welcome",
            server_reference="elsewhere",
        )
    ]


def test_reasons_have_the_names_that_paho_gives_them() -> None:
    for kind in (PacketTypes.CONNACK, PacketTypes.PUBACK, PacketTypes.DISCONNECT):
        for code, names in ReasonCode.names.items():
            if any(kind in kinds for kinds in names.values()) and code:
                ours = reason_name(code).lower().replace("subscriptions", "subscription")
                assert ours == str(ReasonCode(kind, identifier=code)).lower()
    assert reason_name(0xC1) == "reason code 0xc1"
