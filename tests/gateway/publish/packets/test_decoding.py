import contextlib
import itertools
import struct
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.errors import BadPacket
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
from gateway.publish.packets.names import PacketType, Property, reason_name
from tests.gateway.publish.packets.samples import VERSIONS, identifiers, packet, texts, topics, versions


def decoded(data: bytes, version: Version = "5") -> list[Packet]:
    return list(Decoder(version).feed(data))


def fed(pieces: Iterable[bytes], version: Version) -> list[Packet]:
    decoder = Decoder(version)
    return [packet for piece in pieces for packet in decoder.feed(piece)]


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


@settings(max_examples=500)
@given(versions, st.lists(st.binary(max_size=200), max_size=10))
def test_noise_raises_nothing_but_the_one_error(version: Version, pieces: list[bytes]) -> None:
    with contextlib.suppress(BadPacket):
        fed(pieces, version)


@settings(max_examples=200)
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
