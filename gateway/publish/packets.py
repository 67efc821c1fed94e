"""MQTT as a publisher speaks it, without input or output: packets to bytes, bytes to packets.

Section numbers are those of MQTT 5.0 (OASIS, 2019); where MQTT 3.1.1 (OASIS, 2014) has the thing elsewhere,
its number follows in brackets. Names are the standard's.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gateway.errors import BadPacket, Rejected
from gateway.publish.broker import Version
from gateway.publish.publisher import Message


class PacketType(IntEnum):
    """Source: section 2.1.2 [2.2.1], table 2-1."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


MAXIMUM_REMAINING_LENGTH: Final = 268_435_455
"""Source: section 2.1.4 [2.2.3]."""
LARGEST_PACKET: Final = 65_536
"""What we are ready to read, and tell the broker so; only a PUBLISH, which is not kept, may be larger."""
RECEIVE_MAXIMUM: Final = 0xFFFF
"""Where nobody says another one. Source: section 3.1.2.11.3."""

NORMAL_DISCONNECTION: Final = 0x00
UNSPECIFIED_ERROR: Final = 0x80
MALFORMED_PACKET: Final = 0x81
PROTOCOL_ERROR: Final = 0x82
UNSUPPORTED_PROTOCOL_VERSION: Final = 0x84
SESSION_TAKEN_OVER: Final = 0x8E
PACKET_IDENTIFIER_IN_USE: Final = 0x91
RECEIVE_MAXIMUM_EXCEEDED: Final = 0x93
PACKET_TOO_LARGE: Final = 0x95
QUOTA_EXCEEDED: Final = 0x97

REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x00: "Success",
        0x04: "Disconnect with will message",
        0x10: "No matching subscribers",
        0x80: "Unspecified error",
        0x81: "Malformed packet",
        0x82: "Protocol error",
        0x83: "Implementation specific error",
        0x84: "Unsupported protocol version",
        0x85: "Client identifier not valid",
        0x86: "Bad user name or password",
        0x87: "Not authorized",
        0x88: "Server unavailable",
        0x89: "Server busy",
        0x8A: "Banned",
        0x8B: "Server shutting down",
        0x8C: "Bad authentication method",
        0x8D: "Keep alive timeout",
        0x8E: "Session taken over",
        0x8F: "Topic filter invalid",
        0x90: "Topic name invalid",
        0x91: "Packet identifier in use",
        0x92: "Packet identifier not found",
        0x93: "Receive maximum exceeded",
        0x94: "Topic alias invalid",
        0x95: "Packet too large",
        0x96: "Message rate too high",
        0x97: "Quota exceeded",
        0x98: "Administrative action",
        0x99: "Payload format invalid",
        0x9A: "Retain not supported",
        0x9B: "QoS not supported",
        0x9C: "Use another server",
        0x9D: "Server moved",
        0x9E: "Shared subscriptions not supported",
        0x9F: "Connection rate exceeded",
        0xA0: "Maximum connect time",
        0xA1: "Subscription identifiers not supported",
        0xA2: "Wildcard subscriptions not supported",
    }
)
"""Source: section 2.4, table 2-6."""

_RETURN_CODES: Final = MappingProxyType({1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87})
"""CONNACK's return codes in 3.1.1, as the reason codes that say the same. Source: [3.2.2.3], table 3.1."""


def reason_name(code: int) -> str:
    return REASONS.get(code, f"reason code 0x{code:02x}")


# What we say.


def variable_byte_integer(value: int) -> bytes:
    """Layout: seven bits in each byte, the lowest first; the top bit says that more follow.

    Source: section 1.5.5 [2.2.3].
    """
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def binary_data(data: bytes) -> bytes:
    """Raises: ValueError. Source: section 1.5.6."""
    if len(data) > 0xFFFF:  # noqa: PLR2004 - two bytes
        raise ValueError(f"{len(data)} bytes; MQTT allows at most 65535 here")
    return len(data).to_bytes(2, "big") + data


def utf8_string(text: str) -> bytes:
    """Raises: ValueError, also for characters at which a broker may hang up. Source: section 1.5.4 [1.5.3]."""
    for char in text:
        code = ord(char)
        if (
            code <= 0x1F  # noqa: PLR2004 - control characters, U+0000 among them
            or 0x7F <= code <= 0x9F  # noqa: PLR2004 - likewise
            or 0xD800 <= code <= 0xDFFF  # noqa: PLR2004 - surrogates
            or 0xFDD0 <= code <= 0xFDEF  # noqa: PLR2004 - "noncharacters"
            or code & 0xFFFE == 0xFFFE  # noqa: PLR2004 - likewise
        ):
            raise ValueError(f"holds U+{code:04X}, which MQTT does not allow")
    return binary_data(text.encode())


def topic_name(topic: str) -> bytes:
    """Raises: ValueError. Source: sections 3.3.2.1 and 4.7."""
    if not topic:
        raise ValueError("is empty")
    if "+" in topic or "#" in topic:
        raise ValueError('holds a wildcard, "+" or "#"')
    return utf8_string(topic)


def _packet(first: int, *parts: bytes) -> bytes:
    rest = b"".join(parts)
    return bytes([first]) + variable_byte_integer(len(rest)) + rest


def connect(
    *,
    version: Version,
    client_id: str,
    keep_alive: int,
    username: str | None = None,
    password: str | None = None,
    will: Message | None = None,
    clean_start: bool = True,
) -> bytes:
    """CONNECT; the will has QoS 1. Raises: ValueError, when a text cannot be said in MQTT.

    Source: section 3.1.
    """
    flags = 0x02 if clean_start else 0
    properties, will_properties = b"", b""
    if version == "5":
        properties = struct.pack(">BBI", 5, Property.MAXIMUM_PACKET_SIZE, LARGEST_PACKET)
        will_properties = b"\0"
    payload = [utf8_string(client_id)]
    if will is not None:
        flags |= 0x04 | 1 << 3 | (0x20 if will.retain else 0)
        payload += [will_properties, topic_name(will.topic), binary_data(will.payload)]
    if username is not None:
        flags |= 0x80
        payload.append(utf8_string(username))
    if password is not None:
        flags |= 0x40
        payload.append(binary_data(password.encode()))
    header = b"\0\x04MQTT" + struct.pack(">BBH", 5 if version == "5" else 4, flags, keep_alive)
    return _packet(PacketType.CONNECT << 4, header, properties, *payload)


PINGREQ_PACKET: Final = b"\xc0\0"
"""Source: section 3.12."""
DISCONNECT_PACKET: Final = b"\xe0\0"
"""Normal disconnection, the same in both versions. Source: section 3.14."""


def disconnect(code: int) -> bytes:
    """Version 5 only. Source: section 3.14.2.1."""
    return bytes([PacketType.DISCONNECT << 4, 1, code])


def acknowledgement(kind: PacketType, identifier: int) -> bytes:
    """PUBACK, PUBREC or PUBCOMP: success. Source: sections 3.4, 3.5 and 3.7."""
    return struct.pack(">BBH", kind << 4, 2, identifier)


class Publications:
    """PUBLISH packets on one connection. Source: section 3.3.

    Layout (QoS 1):
        3f LL TT… II II [PP] payload
        f  0x2 for QoS 1, 0x1 for retain      L  remaining length      T  topic, with two bytes of length
        I  packet identifier                  P  length of the properties, version 5: always 0
    """

    _TOPICS = 4096
    """So many encoded topics are remembered; then all are forgotten, and those in use come back."""

    def __init__(
        self, version: Version, *, maximum_packet_size: int | None = None, retain_available: bool = True
    ) -> None:
        self._properties = b"\0" if version == "5" else b""
        self._overhead = 2 + len(self._properties)
        self._maximum_packet_size = maximum_packet_size
        self._retain_available = retain_available
        self._largest = MAXIMUM_REMAINING_LENGTH
        if maximum_packet_size is not None:
            self._largest = min(self._largest, _largest_rest(maximum_packet_size))
        self._topics: dict[str, bytes] = {}

    def at_least_once(self, message: Message, identifier: int) -> bytes:
        """QoS 1. Raises: Rejected, when no packet can hold it that the broker would take."""
        name, payload, retain = message.topic, message.payload, message.retain
        topic = self._topics.get(name) or self._encoded(name)
        length = len(topic) + self._overhead + len(payload)
        if length > self._largest or (retain and not self._retain_available):
            raise self._refusal(length)
        first = 0x33 if retain else 0x32
        # Written out for the lengths that readings have: this is the hot path.
        if length < 0x80:  # noqa: PLR2004 - seven bits
            header = bytes((first, length))
        elif length < 0x4000:  # noqa: PLR2004 - fourteen bits
            header = bytes((first, length & 0x7F | 0x80, length >> 7))
        else:
            header = bytes((first,)) + variable_byte_integer(length)
        return b"".join((header, topic, identifier.to_bytes(2, "big"), self._properties, payload))

    def at_most_once(self, message: Message) -> bytes:
        """QoS 0. Raises: Rejected."""
        topic = self._topics.get(message.topic) or self._encoded(message.topic)
        length = len(topic) + len(self._properties) + len(message.payload)
        if length > self._largest or (message.retain and not self._retain_available):
            raise self._refusal(length)
        return _packet(0x31 if message.retain else 0x30, topic, self._properties, message.payload)

    def _encoded(self, topic: str) -> bytes:
        try:
            encoded = topic_name(topic)
        except ValueError as error:
            raise Rejected(f"the topic {error}") from None
        if len(self._topics) >= self._TOPICS:
            self._topics.clear()
        self._topics[topic] = encoded
        return encoded

    def _refusal(self, length: int) -> Rejected:
        if length <= self._largest:
            return Rejected("Retain not supported (0x9a)")
        size = 1 + len(variable_byte_integer(length)) + length
        largest = self._maximum_packet_size or 5 + MAXIMUM_REMAINING_LENGTH
        return Rejected(f"{size} bytes; the broker takes at most {largest}")


def _largest_rest(packet_size: int) -> int:
    """The largest remaining length of a packet that is no larger than this."""
    return max(
        packet_size - 1 - digits for digits in (1, 2, 3, 4) if _digits(packet_size - 1 - digits) <= digits
    )


def _digits(length: int) -> int:
    return len(variable_byte_integer(max(0, length)))


# What we hear.


class Property(IntEnum):
    """Source: section 2.2.2.2, table 2-4."""

    PAYLOAD_FORMAT_INDICATOR = 0x01
    MESSAGE_EXPIRY_INTERVAL = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY_INTERVAL = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY_INTERVAL = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    RESPONSE_INFORMATION = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A


@dataclass(frozen=True, slots=True, kw_only=True)
class Connack:
    """Source: section 3.2. `reason` is a reason code in both versions."""

    reason: int
    session_present: bool = False
    assigned_client_identifier: str | None = None
    server_keep_alive: int | None = None
    receive_maximum: int = RECEIVE_MAXIMUM
    maximum_qos: int = 2
    retain_available: bool = True
    maximum_packet_size: int | None = None
    reason_string: str | None = None
    server_reference: str | None = None


class Publish(NamedTuple):
    """Somebody's message. We asked for none, so its content is passed over, however long it is."""

    qos: int
    identifier: int


class Puback(NamedTuple):
    """Source: section 3.4."""

    identifier: int
    reason: int
    reason_string: str | None = None


class Pubrel(NamedTuple):
    """Source: section 3.6."""

    identifier: int


class Pingresp(NamedTuple):
    """Source: section 3.13."""


class Disconnect(NamedTuple):
    """Version 5 only. Source: section 3.14."""

    reason: int
    reason_string: str | None = None
    server_reference: str | None = None


Packet = Connack | Publish | Puback | Pubrel | Pingresp | Disconnect


class _Fields:
    """The parts of one packet, one after the other."""

    def __init__(self, kind: PacketType, data: bytes) -> None:
        self.kind = kind
        self._data = data
        self._place = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._place

    def end(self) -> None:
        if self.left:
            raise self.malformed(f"{self.left} bytes too many", "2.1.4")

    def malformed(self, what: str, section: str) -> BadPacket:
        return BadPacket(f"{self.kind.name}: {what} (section {section})", code=MALFORMED_PACKET)

    def wrong(self, what: str, section: str) -> BadPacket:
        return BadPacket(f"{self.kind.name}: {what} (section {section})", code=PROTOCOL_ERROR)

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise self.malformed("ends too early", "2.1.4")
        taken = self._data[self._place : self._place + count]
        self._place += count
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def flag(self) -> int:
        value = self.byte()
        if value > 1:
            raise self.wrong(f"{value} where only 0 and 1 are allowed", "2.2.2")
        return value

    def two_byte_integer(self) -> int:
        """Source: section 1.5.2."""
        return int.from_bytes(self.take(2), "big")

    def four_byte_integer(self) -> int:
        """Source: section 1.5.3."""
        return int.from_bytes(self.take(4), "big")

    def positive(self, size: int) -> int:
        value = int.from_bytes(self.take(size), "big")
        if not value:
            raise self.wrong("0 where a number is wanted", "3.2.2.3")
        return value

    def variable_byte_integer(self) -> int:
        """Source: section 1.5.5."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the last one
                return value
        raise self.malformed("a number of more than four bytes", "1.5.5")

    def binary_data(self) -> bytes:
        """Source: section 1.5.6."""
        return self.take(self.two_byte_integer())

    def utf8_string(self) -> str:
        """Source: section 1.5.4."""
        try:
            text = self.binary_data().decode()
        except UnicodeDecodeError:
            raise self.malformed("a text that is not UTF-8", "1.5.4") from None
        if "\0" in text:
            raise self.malformed("a text that holds U+0000", "1.5.4")
        return text

    def utf8_string_pair(self) -> tuple[str, str]:
        """Source: section 1.5.7."""
        return self.utf8_string(), self.utf8_string()

    def packet_identifier(self) -> int:
        identifier = self.two_byte_integer()
        if not identifier:
            raise self.wrong("packet identifier 0", "2.2.1")
        return identifier

    def properties(self) -> dict[Property, Any]:
        """Those of this packet; each at most once, user properties apart. Source: section 2.2.2."""
        inner = _Fields(self.kind, self.take(self.variable_byte_integer()))
        found: dict[Property, Any] = {}
        allowed = _PROPERTIES[self.kind]
        while inner.left:
            identifier = inner.variable_byte_integer()
            if identifier == Property.USER_PROPERTY:
                inner.utf8_string_pair()
                continue
            read = allowed.get(identifier)
            if read is None:
                raise self.malformed(f"property 0x{identifier:02x}, which does not belong there", "2.2.2.2")
            if identifier in found:
                raise self.wrong(f"property 0x{identifier:02x} twice", "2.2.2.2")
            found[Property(identifier)] = read(inner)
        return found


_Read = Callable[[_Fields], Any]
_TEXT: Final[_Read] = _Fields.utf8_string
_FLAG: Final[_Read] = _Fields.flag
_PROPERTIES: Final[Mapping[int, Mapping[int, _Read]]] = {
    PacketType.CONNACK: {
        Property.SESSION_EXPIRY_INTERVAL: _Fields.four_byte_integer,
        Property.ASSIGNED_CLIENT_IDENTIFIER: _TEXT,
        Property.SERVER_KEEP_ALIVE: _Fields.two_byte_integer,
        Property.AUTHENTICATION_METHOD: _TEXT,
        Property.AUTHENTICATION_DATA: _Fields.binary_data,
        Property.RESPONSE_INFORMATION: _TEXT,
        Property.SERVER_REFERENCE: _TEXT,
        Property.REASON_STRING: _TEXT,
        Property.RECEIVE_MAXIMUM: partial(_Fields.positive, size=2),
        Property.TOPIC_ALIAS_MAXIMUM: _Fields.two_byte_integer,
        Property.MAXIMUM_QOS: _FLAG,
        Property.RETAIN_AVAILABLE: _FLAG,
        Property.MAXIMUM_PACKET_SIZE: partial(_Fields.positive, size=4),
        Property.WILDCARD_SUBSCRIPTION_AVAILABLE: _FLAG,
        Property.SUBSCRIPTION_IDENTIFIER_AVAILABLE: _FLAG,
        Property.SHARED_SUBSCRIPTION_AVAILABLE: _FLAG,
    },
    PacketType.PUBACK: {Property.REASON_STRING: _TEXT},
    PacketType.PUBREL: {Property.REASON_STRING: _TEXT},
    PacketType.DISCONNECT: {
        Property.SESSION_EXPIRY_INTERVAL: _Fields.four_byte_integer,
        Property.SERVER_REFERENCE: _TEXT,
        Property.REASON_STRING: _TEXT,
    },
}
"""Which packet may hold what, and how it is read. Source: table 2-4."""

_FLAGS: Final = {
    PacketType.CONNACK: 0,
    PacketType.PUBACK: 0,
    PacketType.PUBREL: 2,
    PacketType.PINGRESP: 0,
    PacketType.DISCONNECT: 0,
}
"""The lower half of the first byte, of what a broker may say to a publisher. Source: section 2.1.3 [2.2.2]."""


_LARGEST_HEAD: Final = 2 + 0xFFFF + 2
"""Of a PUBLISH: topic and packet identifier."""


class Decoder:
    """Bytes in any split; packets out. Never holds more than LARGEST_PACKET and one piece of input."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._rest = b""
        self._skip = 0

    def feed(self, data: bytes) -> Iterator[Packet]:
        """What is complete now; read it to its end. Raises: BadPacket, and then it is of no more use."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
            if not data:
                return
        data, self._rest = self._rest + data, b""
        place, end = 0, len(data)
        while end - place >= 2:  # noqa: PLR2004 - the shortest packet
            # An acknowledgement that says no more than yes: this is the hot path.
            if end - place >= 4 and data[place] == 0x40 and data[place + 1] == 2:  # noqa: PLR2004
                identifier = data[place + 2] << 8 | data[place + 3]
                if identifier:
                    yield Puback(identifier, 0)
                    place += 4
                    continue
            found = self._next(data, place)
            if found is None:
                break
            packet, size = found
            yield packet
            place += size
        self._skip = max(0, place - end)
        self._rest = data[place:]

    def _next(self, data: bytes, place: int) -> tuple[Packet, int] | None:
        """The packet that begins at this place, if all of it is here, and its size."""
        kind = self._kind(data[place])
        header = self._header(data[place : place + 5])
        if header is None:
            return None
        size, length = header
        start, whole = place + size, size + length
        if kind is PacketType.PUBLISH:
            head = data[start : start + min(length, _LARGEST_HEAD)]
            publish = self._publish(head, data[place], length)
            return None if publish is None else (publish, whole)
        if whole > LARGEST_PACKET:
            raise BadPacket(
                f"{kind.name}: {whole} bytes; we take at most {LARGEST_PACKET} (section 3.1.2.11.4)",
                code=PACKET_TOO_LARGE,
            )
        if len(data) - place < whole:
            return None
        return self._packet(_Fields(kind, data[start : start + length])), whole

    def _kind(self, first: int) -> PacketType:
        kind, flags = first >> 4, first & 0x0F
        if kind == PacketType.PUBLISH:
            if flags & 0x06 == 0x06:  # noqa: PLR2004 - both bits
                raise BadPacket("PUBLISH: QoS 3 (section 3.3.1.2)", code=MALFORMED_PACKET)
            return PacketType.PUBLISH
        if not kind:
            raise BadPacket("a packet of type 0 (section 2.1.2)", code=MALFORMED_PACKET)
        expected = _FLAGS.get(PacketType(kind))
        if expected is None or (kind == PacketType.DISCONNECT and self._version != "5"):
            raise BadPacket(
                f"{PacketType(kind).name}, which a broker must not send to us (section 2.1.2)",
                code=PROTOCOL_ERROR,
            )
        if flags != expected:
            raise BadPacket(
                f"{PacketType(kind).name}: flags {flags:04b} instead of {expected:04b} (section 2.1.3)",
                code=MALFORMED_PACKET,
            )
        return PacketType(kind)

    def _header(self, start: bytes) -> tuple[int, int] | None:
        """Its size and the remaining length, if both are here. Source: sections 2.1.1 and 2.1.4."""
        length = 0
        for place, byte in enumerate(start[1:]):
            length |= (byte & 0x7F) << 7 * place
            if byte < 0x80:  # noqa: PLR2004 - the last one
                return 2 + place, length
        if len(start) == 5:  # noqa: PLR2004 - four bytes of length, and all say that more follow
            raise BadPacket(
                f"{PacketType(start[0] >> 4).name}: a length of more than four bytes (section 2.1.4)",
                code=MALFORMED_PACKET,
            )
        return None

    def _publish(self, start: bytes, first: int, length: int) -> Publish | None:
        """As much of it as must be understood, if that is here. Source: section 3.3.2."""
        qos = first >> 1 & 3
        wanted = 2
        if len(start) >= wanted:
            wanted += int.from_bytes(start[:2], "big") + (2 if qos else 0)
        if wanted > length:
            raise BadPacket("PUBLISH: ends too early (section 2.1.4)", code=MALFORMED_PACKET)
        if len(start) < wanted:
            return None
        identifier = int.from_bytes(start[wanted - 2 : wanted], "big") if qos else 0
        if qos and not identifier:
            raise BadPacket("PUBLISH: packet identifier 0 (section 2.2.1)", code=PROTOCOL_ERROR)
        return Publish(qos, identifier)

    def _packet(self, fields: _Fields) -> Packet:
        packet: Packet
        if fields.kind is PacketType.CONNACK:
            packet = self._connack(fields)
        elif fields.kind is PacketType.PUBACK:
            identifier, code, properties = self._acknowledgement(fields)
            packet = Puback(identifier, code, properties.get(Property.REASON_STRING))
        elif fields.kind is PacketType.PUBREL:
            packet = Pubrel(self._acknowledgement(fields)[0])
        elif fields.kind is PacketType.DISCONNECT:
            packet = self._disconnect(fields)
        else:
            packet = Pingresp()
        fields.end()
        return packet

    def _connack(self, fields: _Fields) -> Connack:
        flags, code = fields.byte(), fields.byte()
        if flags > 1:
            raise fields.malformed(f"acknowledge flags 0x{flags:02x}", "3.2.2.1")
        if self._version != "5":
            return Connack(reason=_RETURN_CODES.get(code, code), session_present=bool(flags))
        if not fields.left and code:
            # A broker that knows only 3.1.1 refuses in its own way: no properties, another code.
            return Connack(reason=_RETURN_CODES.get(code, code))
        found = fields.properties()
        return Connack(
            reason=UNSUPPORTED_PROTOCOL_VERSION if code == 1 else code,
            session_present=bool(flags),
            assigned_client_identifier=found.get(Property.ASSIGNED_CLIENT_IDENTIFIER),
            server_keep_alive=found.get(Property.SERVER_KEEP_ALIVE),
            receive_maximum=found.get(Property.RECEIVE_MAXIMUM, RECEIVE_MAXIMUM),
            maximum_qos=found.get(Property.MAXIMUM_QOS, 2),
            retain_available=bool(found.get(Property.RETAIN_AVAILABLE, 1)),
            maximum_packet_size=found.get(Property.MAXIMUM_PACKET_SIZE),
            reason_string=found.get(Property.REASON_STRING),
            server_reference=found.get(Property.SERVER_REFERENCE),
        )

    def _acknowledgement(self, fields: _Fields) -> tuple[int, int, dict[Property, Any]]:
        """Identifier, reason, properties: PUBACK's and PUBREL's are laid out alike. Source: section 3.4.2."""
        identifier = fields.packet_identifier()
        if self._version != "5" or not fields.left:
            return identifier, 0, {}
        return identifier, fields.byte(), fields.properties() if fields.left else {}

    def _disconnect(self, fields: _Fields) -> Disconnect:
        if not fields.left:
            return Disconnect(NORMAL_DISCONNECTION)
        code = fields.byte()
        found = fields.properties() if fields.left else {}
        return Disconnect(code, found.get(Property.REASON_STRING), found.get(Property.SERVER_REFERENCE))
