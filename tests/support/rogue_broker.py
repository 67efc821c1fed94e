"""An MQTT broker that misbehaves as it is told to: 3.1.1 and 5. It passes nothing on."""

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Self

from gateway.publish.publisher import Message
from tests.support.ports import free_port

_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _PINGREQ, _PINGRESP, _DISCONNECT = 1, 2, 3, 4, 12, 13, 14
_SUBSCRIBE, _SUBACK = 8, 9
_V5 = 5
_NOT_AUTHORISED = 0x87

SERVER_SHUTTING_DOWN = 0x8B
SESSION_TAKEN_OVER = 0x8E


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """What a client said of itself."""

    version: int
    client_id: str
    username: str | None
    password: str | None
    will: Message | None


class RogueBroker:
    """Well-behaved until one of its settings says otherwise; they may be changed at any time."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        # How it misbehaves.
        self.mute = False
        """Accepts the connection and never says anything."""
        self.hangs_up: str | None = None
        """Closes the connection `"before"` or right `"after"` it has let the client in."""
        self.refuses: int | None = None
        """With this return code (3.1.1) or reason code (5) in CONNACK."""
        self.announces = b""
        """The properties of CONNACK (5), encoded: see `receive_maximum` and `maximum_packet_size`."""
        self.acknowledges = True
        self.latency_s = 0.0
        """How long each acknowledgement takes."""
        self.backwards = 1
        """Acknowledges so many at a time, the last one first."""
        self.forgets: set[str] = set()
        """Topics whose messages it never acknowledges."""
        self.reasons: dict[str, int] = {}
        """The reason code in PUBACK (5), by topic."""
        self.keeps_a_session = False
        """Says so in CONNACK."""
        self.resets_after: int | None = None
        """So many more messages, then RST."""
        self.deaf = False
        """Reads nothing more once it has let the client in, until `listen`."""
        self.answers_pings = True
        self.grants: int | None = 1
        """What it says to a subscription: a QoS, or why not; None: it hangs up."""
        self.denies: set[str] = set()
        """Topic filters that nobody may subscribe to, whatever else is granted."""
        # What it saw.
        self.connects: list[Connect] = []
        self.subscriptions = 0
        self.messages: list[Message] = []
        self.goodbyes = 0
        self.complaints: list[int] = []
        """Reason codes in DISCONNECT (5), if not a plain goodbye."""
        self.acknowledgements: list[tuple[int, int]] = []
        """Of what it published itself: packet type and identifier."""
        self.pings = 0
        self.segments = 0
        """Pieces in which everything came."""
        self.most_unacknowledged = 0
        self.links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._tls = tls

    @classmethod
    @asynccontextmanager
    async def running(cls, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        broker = cls(tls)
        await broker.start()
        try:
            yield broker
        finally:
            await broker.kill()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Link(self), self.host, self.port, ssl=self._tls)

    async def stop(self) -> None:
        """In good order: clients are told (5) and hung up on."""
        self.expel(SERVER_SHUTTING_DOWN)
        await self.kill()

    async def kill(self) -> None:
        """Nobody listens any more, and every connection is reset. Safe to call twice."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        while self.links:
            await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Without a word."""
        for link in list(self.links):
            link.hang_up()

    def expel(self, reason: int) -> None:
        """DISCONNECT with this reason (5), then the end."""
        for link in list(self.links):
            link.expel(reason)

    def reset(self) -> None:
        for link in list(self.links):
            link.reset()

    def stop_reading(self) -> None:
        """On the connections there are; the machine's buffers fill up."""
        for link in self.links:
            link.stop_reading()

    def say(self, data: bytes) -> None:
        """These bytes, whatever they mean."""
        for link in self.links:
            link.write(data)

    def say_no_more(self) -> None:
        """The half of the connection that is ours is closed."""
        for link in self.links:
            link.write_eof()

    def listen(self) -> None:
        """Deaf no more."""
        self.deaf = False
        for link in self.links:
            link.listen()


def receive_maximum(count: int) -> bytes:
    return struct.pack(">BH", 0x21, count)


def server_keep_alive(seconds: int) -> bytes:
    return struct.pack(">BH", 0x13, seconds)


def assigned_client_identifier(name: str) -> bytes:
    return struct.pack(">BH", 0x12, len(name)) + name.encode()


def reason_string(text: str) -> bytes:
    return struct.pack(">BH", 0x1F, len(text)) + text.encode()


def maximum_packet_size(size: int) -> bytes:
    return struct.pack(">BI", 0x27, size)


class _Link(asyncio.Protocol):
    def __init__(self, broker: RogueBroker) -> None:
        self._broker = broker
        self._bytes = bytearray()
        self._version = 0
        self._will: Message | None = None
        self._due: deque[tuple[int, int]] = (
            deque()
        )  # packet identifier and reason of what is to be acknowledged
        self._unacknowledged = 0
        self._timers: set[asyncio.TimerHandle] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._broker.links.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        for timer in self._timers:
            timer.cancel()
        self._broker.links.discard(self)
        if self._will is not None:
            self._broker.messages.append(self._will)

    def data_received(self, data: bytes) -> None:
        if self._broker.mute:
            return
        self._broker.segments += 1
        self._bytes += data
        while not self._transport.is_closing() and (packet := self._packet()) is not None:
            self._handle(packet[0] >> 4, packet[0] & 0x0F, Fields(packet[1]))
        if self._broker.deaf and not self._transport.is_closing():
            self._transport.pause_reading()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def write_eof(self) -> None:
        self._transport.write_eof()

    def listen(self) -> None:
        self._transport.resume_reading()

    def reset(self) -> None:
        connection = self._transport.get_extra_info("socket")
        if connection is not None and not self._transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def stop_reading(self) -> None:
        self._transport.pause_reading()

    def hang_up(self) -> None:
        self._transport.close()

    def expel(self, reason: int) -> None:
        if self._version == _V5:
            self._say(_DISCONNECT, bytes([reason]))
        self._transport.close()

    def _packet(self) -> tuple[int, bytes] | None:
        """The next whole packet: its first byte, and what follows the length."""
        length = 0
        for place, byte in enumerate(self._bytes[1:5]):
            length |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                end = 2 + place + length
                if len(self._bytes) < end:
                    return None
                packet = self._bytes[0], bytes(self._bytes[2 + place : end])
                del self._bytes[:end]
                return packet
        return None

    def _handle(self, kind: int, flags: int, fields: "Fields") -> None:
        if kind == _CONNECT:
            self._let_in(fields)
        elif kind == _PUBLISH:
            self._take(flags, fields)
        elif kind == _SUBSCRIBE:
            self._grant(fields)
        elif kind == _PINGREQ:
            self._broker.pings += 1
            if self._broker.answers_pings:
                self._say(_PINGRESP, b"")
        elif kind == _DISCONNECT:
            if code := fields.rest():
                self._broker.complaints.append(code[0])
            else:
                self._will = None
                self._broker.goodbyes += 1
            self._transport.close()
        else:
            self._broker.acknowledgements.append((kind, fields.number()))

    def _let_in(self, fields: "Fields") -> None:
        broker = self._broker
        connect, self._version = fields.connect()
        broker.connects.append(connect)
        if broker.hangs_up == "before":
            self._transport.close()
            return
        announces = b""
        if self._version == _V5:
            announces = bytes([len(broker.announces)]) + broker.announces
        self._say(_CONNACK, bytes([broker.keeps_a_session, broker.refuses or 0]) + announces)
        if broker.refuses is not None or broker.hangs_up == "after":
            self._transport.close()
            return
        self._will = connect.will

    def _grant(self, fields: "Fields") -> None:
        self._broker.subscriptions += 1
        if self._broker.grants is None:
            self._transport.close()
            return
        identifier, no_properties = struct.pack(">H", fields.number()), b""
        if self._version == _V5:
            fields.properties()
            no_properties = b"\0"
        granted = _NOT_AUTHORISED if fields.text() in self._broker.denies else self._broker.grants
        self._say(_SUBACK, identifier + no_properties + bytes([granted]))

    def _take(self, flags: int, fields: "Fields") -> None:
        broker = self._broker
        qos: Literal[0, 1] = 1 if flags & 0x02 else 0
        topic, identifier = fields.text(), fields.number() if qos else 0
        if self._version == _V5:
            fields.properties()
        broker.messages.append(Message(topic, fields.rest(), retain=bool(flags & 1), qos=qos))
        self._unacknowledged += qos
        broker.most_unacknowledged = max(broker.most_unacknowledged, self._unacknowledged)
        if broker.resets_after is not None:
            broker.resets_after -= 1
            if broker.resets_after == 0:
                broker.resets_after = None
                self.reset()
                return
        if not qos or not broker.acknowledges or topic in broker.forgets:
            return
        self._due.append((identifier, broker.reasons.get(topic, 0)))
        if broker.latency_s or broker.backwards > 1:
            self._later(broker.latency_s or 0.02)
        if len(self._due) >= broker.backwards and not broker.latency_s:
            self._acknowledge()

    def _later(self, delay_s: float) -> None:
        def due() -> None:
            self._timers.discard(timer)
            self._acknowledge()

        timer = asyncio.get_running_loop().call_later(delay_s, due)
        self._timers.add(timer)

    def _acknowledge(self) -> None:
        broker = self._broker
        for _ in range(min(broker.backwards, len(self._due))):
            identifier, reason = self._due.pop() if broker.backwards > 1 else self._due.popleft()
            self._unacknowledged -= 1
            self._say(_PUBACK, struct.pack(">H", identifier) + (bytes([reason, 0]) if reason else b""))

    def _say(self, kind: int, rest: bytes) -> None:
        self._transport.write(bytes([kind << 4, len(rest)]) + rest)


class Fields:
    """The parts of one packet, one after the other. Source: MQTT 5.0, section 1.5."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def rest(self) -> bytes:
        return self._take(len(self._data))

    def number(self) -> int:
        return int.from_bytes(self._take(2))

    def binary(self) -> bytes:
        return self._take(self.number())

    def text(self) -> str:
        return self.binary().decode()

    def properties(self) -> None:
        length = self._take(1)[0]
        assert length < 0x80, "more properties than this broker can read"
        self._take(length)

    def connect(self) -> tuple[Connect, int]:
        """Source: MQTT 5.0, section 3.1."""
        self.text()  # the protocol's name
        version, flags = self._take(2)
        self.number()  # keep alive
        if version == _V5:
            self.properties()
        client_id = self.text()
        will = None
        if flags & 0x04:
            if version == _V5:
                self.properties()
            qos: Literal[0, 1] = 1 if flags & 0x08 else 0
            will = Message(self.text(), self.binary(), retain=bool(flags & 0x20), qos=qos)
        username = self.text() if flags & 0x80 else None
        password = self.text() if flags & 0x40 else None
        return (
            Connect(version=version, client_id=client_id, username=username, password=password, will=will),
            version,
        )

    def _take(self, count: int) -> bytes:
        taken, self._data = self._data[:count], self._data[count:]
        return taken
