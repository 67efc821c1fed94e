"""What we say: packets to bytes."""

import struct
from typing import Final

from gateway.errors import Rejected
from gateway.publish.broker import Version
from gateway.publish.packets.names import LARGEST_PACKET, MAXIMUM_REMAINING_LENGTH, PacketType, Property
from gateway.publish.publisher import Message


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
) -> bytes:
    """CONNECT, with a clean start. Raises: ValueError, when a text cannot be said in MQTT.

    Source: section 3.1.
    """
    flags = 0x02
    properties, will_properties = b"", b""
    if version == "5":
        properties = struct.pack(">BBI", 5, Property.MAXIMUM_PACKET_SIZE, LARGEST_PACKET)
        will_properties = b"\0"
    payload = [utf8_string(client_id)]
    if will is not None:
        flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
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
