"""What we hear: bytes to packets."""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NewType

from gateway.errors import BadPacket
from gateway.publish.broker import Version
from gateway.publish.packets.names import (
    LARGEST_PACKET,
    MALFORMED_PACKET,
    NORMAL_DISCONNECTION,
    PACKET_TOO_LARGE,
    PROTOCOL_ERROR,
    RECEIVE_MAXIMUM,
    UNSPECIFIED_ERROR,
    UNSUPPORTED_PROTOCOL_VERSION,
    PacketType,
    Property,
)

_RETURN_CODES: Final = MappingProxyType({1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87})
"""CONNACK's return codes in 3.1.1, as the reason codes that say the same. Source: [3.2.2.3], table 3.1."""


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


Accepted = NewType("Accepted", int)
"""The packet identifier of a PUBACK that says yes: no more than a number, for there is one for each reading."""


class Refused(NamedTuple):
    """A PUBACK that says no. Source: section 3.4.2.1."""

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


Packet = Accepted | Refused | Connack | Publish | Pubrel | Pingresp | Disconnect


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


_SHORT_PUBACK: Final = struct.Struct(">HH")
"""Packet type and remaining length, packet identifier."""
_PUBACK, _PUBACK_WITH_REASON = 0x4002, 0x4003
_LARGEST_HEAD: Final = 2 + 0xFFFF + 2
"""Of a PUBLISH: topic and packet identifier."""


class Decoder:
    """Bytes in any split; packets out. Never holds more than LARGEST_PACKET and one piece of input."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._puback_with_reason = _PUBACK_WITH_REASON if version == "5" else None
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
            # The two shortest ways to say yes, written out: this is the hot path.
            if end - place >= _SHORT_PUBACK.size:
                head, identifier = _SHORT_PUBACK.unpack_from(data, place)
                if head == _PUBACK and identifier:
                    yield Accepted(identifier)
                    place += 4
                    continue
                if head == self._puback_with_reason and identifier:
                    if end - place == _SHORT_PUBACK.size:
                        break
                    if data[place + 4] < UNSPECIFIED_ERROR:
                        yield Accepted(identifier)
                        place += 5
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
            packet = Accepted(identifier)
            if code >= UNSPECIFIED_ERROR:
                packet = Refused(identifier, code, properties.get(Property.REASON_STRING))
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
