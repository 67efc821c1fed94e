"""The Publisher on a connection of our own: MQTT 5 and 3.1.1 over TCP and TLS, pipelined.

A general client gives each publish a future, a task or a timer. Here a publish is an entry in a dict and
some bytes that leave with all others of the same turn of the loop; its acknowledgement is a callback.
"""

import asyncio
import math
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

from gateway.errors import BadPacket, Deferred, Dismissed, Rejected, Unreachable
from gateway.publish.broker import Broker, lost_in_tls, reason
from gateway.publish.packets import encoding, names
from gateway.publish.packets.decoding import (
    Connack,
    Decoder,
    Disconnect,
    Packet,
    Publish,
    Pubrel,
    Refused,
)
from gateway.publish.publisher import Answer, Message, Session

READ_SIZE = 64 * 1024
"""What one system call may take. asyncio's own 256 KiB are mapped and unmapped again for each read (measured)."""
GOODBYE_S = 1.0
"""So long the broker may take to hang up after our goodbye, as it should."""
LAST_WORDS = 65_536
"""So many bytes of what a broker said before it was lost are read."""
AGAIN_S = 300.0
"""A broker that hangs up without a word twice within this time was not just restarted."""


_ITS_OWN_REASONS = frozenset({0x00, 0x89, 0x8B, 0x8D, 0x96, 0x97, 0x98, 0x9C, 0x9D, 0x9F, 0xA0})
"""In DISCONNECT: normal, busy, shutting down, keep alive, rates, quota, administration, moved, connect time: no
message is to blame. Source: MQTT 5.0, section 3.14.2.1."""


class LinkPublisher:
    def __init__(self, broker: Broker, *, will: Message | None = None) -> None:
        self.name = broker.name
        self._broker = broker
        self._will = will
        self._hung_up_at = -math.inf

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Session]:
        link = _Link(self._broker, self._will, hung_up_at=self._hung_up_at)
        try:
            await self._open(link)
            yield link
            await link.say_goodbye()
        finally:
            link.hang_up()
            self._hung_up_at = link.hung_up_at

    async def _open(self, link: "_Link") -> None:
        broker = self._broker
        try:
            async with asyncio.timeout(broker.connect_timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: link,
                    sock=await self._reach(),
                    ssl=broker.tls,
                    server_hostname=broker.host if broker.tls else None,
                    ssl_handshake_timeout=2 * broker.connect_timeout_s if broker.tls else None,
                )
                await link.admitted()
        except (OSError, UnicodeError) as error:  # UnicodeError: no host can have that name
            why = reason(error)
            if broker.tls is not None and lost_in_tls(why):
                why = f"{why}; is TLS spoken on that port?"
            raise Unreachable(f"{self.name}: {why}") from error

    async def _reach(self) -> socket.socket:
        """Connected to the first of the host's addresses that answers. Raises: OSError, UnicodeError."""
        # One after the other, each for its share of the time: asyncio's own race between addresses
        # (happy_eyeballs_delay) leaves a socket open when it is cancelled (Python 3.11).
        loop, broker = asyncio.get_running_loop(), self._broker
        found = await loop.getaddrinfo(broker.host, broker.port, type=socket.SOCK_STREAM)
        reasons = []
        for family, kind, protocol, _, address in found:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.setblocking(False)
                async with asyncio.timeout(broker.connect_timeout_s / (len(found) + 1)):
                    await loop.sock_connect(connection, address)
            except OSError as error:
                connection.close()
                reasons.append(reason(error))
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise OSError(", ".join(dict.fromkeys(reasons)))


class _Link(asyncio.Protocol):
    """One connection, and the session on it."""

    def __init__(self, broker: Broker, will: Message | None, *, hung_up_at: float = -math.inf) -> None:
        self.window = broker.window
        self.maximum_packet_size: int | None = None
        self.hung_up_at = -math.inf
        """When the broker ended this session without a word."""
        self._hung_up_before_at = hung_up_at
        self._broker = broker
        self._will = will
        self._client_id = broker.client_id
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._decoder = Decoder(broker.version)
        self._publications = encoding.Publications(broker.version)
        self._waiting: dict[int, Answer] = {}
        """By packet identifier: what is to be called when it is acknowledged."""
        self._leaving: list[Answer] = []
        """What is to be called when everything has left: QoS 0 knows no acknowledgement."""
        self._identifier = 0
        self._out: list[bytes] = []
        """What leaves at the end of this turn of the loop, or when the broker reads again."""
        self._paused = False
        self._let_in = False
        self._over = False
        """Nobody is called back any more."""
        self._loss: BaseException | None = None
        self._admission: asyncio.Future[None] = self._loop.create_future()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._ping_timer: asyncio.TimerHandle | None = None
        self._ping_every_s = 0.0
        self._heard = self._said = True
        """Since the last look at the clock."""
        self._pinged = False

    # The session.

    def publish(self, message: Message, answer: Answer) -> None:
        if self._over:
            return
        try:
            if message.qos:
                identifier = self._identifier % 0xFFFF + 1  # section 2.2.1 [2.3.1]
                while identifier in self._waiting:
                    identifier = identifier % 0xFFFF + 1
                self._identifier = identifier
                packet = self._publications.at_least_once(message, identifier)
                self._waiting[identifier] = answer
            else:
                packet = self._publications.at_most_once(message)
                self._leaving.append(answer)
        except Rejected as error:
            self._loop.call_soon(self._tell, answer, error)
            return
        if not self._out and not self._paused:
            self._loop.call_soon(self._flush)
        self._out.append(packet)

    async def ended(self) -> NoReturn:
        await asyncio.wait([self._end])
        assert self._loss is not None
        raise self._loss

    async def admitted(self) -> None:
        """Returns when the broker has let us in. Raises: Unreachable."""
        await asyncio.wait([self._admission])
        if self._loss is not None:
            raise self._loss

    async def say_goodbye(self) -> None:
        """Everything published leaves, then DISCONNECT; the broker should hang up. Source: section 3.14.4 [3.14.4]."""
        if self._over or self._transport is None:
            return
        self._fall_silent()
        self._out.append(encoding.DISCONNECT_PACKET)
        self._paused = False
        self._flush()
        # We keep reading: unread acknowledgements would turn our FIN into a RST, which could overtake the goodbye.
        await asyncio.wait([self._closed], timeout=GOODBYE_S)

    def hang_up(self) -> None:
        """At once; safe to call twice. The last will speaks, unless we have said goodbye."""
        self._fall_silent()
        self._out.clear()
        for future in (self._admission, self._end):
            if not future.done():
                future.set_result(None)
        if self._loss is None:
            self._loss = Unreachable(f"{self._broker.name}: we have hung up")
        if self._transport is not None:
            self._transport.abort()

    def _tell(self, answer: Answer, error: Rejected | None) -> None:
        """Where asyncio would only log a bug in somebody's `answer`, and everybody else would wait for ever."""
        if self._over:
            return
        try:
            answer(error)
        except BaseException as bug:  # noqa: BLE001 - it comes out of `ended`
            self._lose(bug)

    def _flush(self) -> None:
        if self._out and not self._paused and self._transport is not None:
            data = b"".join(self._out)
            self._out.clear()
            self._said = True
            self._transport.write(data)
            if self._leaving:
                left, self._leaving = self._leaving, []
                for answer in left:
                    self._tell(answer, None)

    def _fall_silent(self) -> None:
        self._over = True
        self._waiting.clear()
        self._leaving.clear()
        if self._ping_timer is not None:
            self._ping_timer.cancel()
            self._ping_timer = None

    def _lose(self, loss: BaseException) -> None:
        """The first reason counts."""
        if self._loss is None:
            self._loss = loss
        self._fall_silent()
        self._out.clear()
        for future in (self._admission, self._end):
            if not future.done():
                future.set_result(None)

    def _lose_broker(
        self, why: str, cause: BaseException | None = None, *, kind: type[Unreachable] = Unreachable
    ) -> None:
        loss = kind(f"{self._broker.name}: {why}")
        loss.__cause__ = cause
        self._lose(loss)

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._over:
            transport.abort()
            return
        connection = transport.get_extra_info("socket")
        if self._broker.tls is None:
            transport.max_size = READ_SIZE  # type: ignore[attr-defined]  # asyncio's selector transport
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # asyncio sets TCP_NODELAY itself
        broker = self._broker
        try:
            hello = encoding.connect(
                version=broker.version,
                client_id=broker.client_id,
                keep_alive=math.ceil(broker.keepalive_s),
                username=broker.username,
                password=broker.password,
                will=self._will,
            )
        except ValueError as error:
            self._lose_broker(f"what we would say of ourselves {error}", error)
            return
        transport.write(hello)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._heard = True
        waiting = self._waiting
        try:
            for packet in self._decoder.feed(data):
                if type(packet) is int and self._let_in:
                    answer = waiting.pop(packet, None)
                    if answer is None:
                        _not_under_way(packet)
                    answer(None)
                else:
                    self._handle(packet)
                if self._over:
                    return
        except BadPacket as error:
            self._object(error)

    def eof_received(self) -> None:
        # Said now: the transport closes only when the rest is written, and perhaps nobody reads that.
        self._lose_connection(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
        if exc is not None and not isinstance(exc, OSError):
            self._lose(exc)  # a bug in somebody's `answer`
            return
        try:
            if exc is not None:
                self._hear_last_words()
        finally:
            self._lose_connection(exc)

    def _hear_last_words(self) -> None:
        """What had come before a write failed, and may say why it did: asyncio does not read it any more."""
        assert self._transport is not None
        if self._broker.tls is not None:  # they lie there encrypted
            return
        words = b""
        with suppress(OSError):
            words = os.read(self._transport.get_extra_info("socket").fileno(), LAST_WORDS)
        self.data_received(words)

    def _lose_connection(self, error: OSError | None) -> None:
        if self._loss is not None:
            return
        why = "the broker hung up" if error is None else reason(error)
        if not self._let_in:
            tls = "without" if self._broker.tls is None else "over"
            why = "the broker hung up before it let us in" + ("" if error is None else f" ({why})")
            why = f"{why}; we speak MQTT {self._broker.version} {tls} TLS"
        else:
            # 3.1.1 has no way to say why, and some brokers (mosquitto 2.0.11) do not use that of 5.
            self.hung_up_at = self._loop.time()
            if self.hung_up_at - self._hung_up_before_at < AGAIN_S:
                why = f'{why} without a word, again: perhaps another client has the same client id, "{self._client_id}"'
        self._lose_broker(why, error)

    # What the broker tells us.

    def _handle(self, packet: Packet) -> None:
        if isinstance(packet, Connack) and not self._let_in:
            self._on_connack(packet)
        elif isinstance(packet, Disconnect):
            self._on_disconnect(packet)
        elif not self._let_in:
            raise BadPacket("something else before CONNACK (section 3.2)", code=names.PROTOCOL_ERROR)
        elif isinstance(packet, Connack):
            raise BadPacket("CONNACK twice (section 3.2)", code=names.PROTOCOL_ERROR)
        elif isinstance(packet, Refused):
            self._on_refusal(packet)
        elif isinstance(packet, Publish):
            # We subscribe to nothing, but amqtt tells all it has retained to everybody.
            if packet.qos:
                kind = names.PacketType.PUBACK if packet.qos == 1 else names.PacketType.PUBREC
                self._answer(encoding.acknowledgement(kind, packet.identifier))
        elif isinstance(packet, Pubrel):
            self._answer(encoding.acknowledgement(names.PacketType.PUBCOMP, packet.identifier))
        else:
            self._pinged = False

    def _on_connack(self, connack: Connack) -> None:
        broker = self._broker
        if connack.reason == names.UNSUPPORTED_PROTOCOL_VERSION:
            self._lose_broker(self._strange())
            return
        if connack.reason:
            self._lose_broker(f"refused: {_said(connack, names.reason_name(connack.reason))}")
            return
        if not connack.maximum_qos:
            self._lose_broker("refused: the broker takes QoS 0 only, and would acknowledge nothing")
            return
        if connack.session_present and broker.version == "5":  # 3.1.1 does not ask us to leave
            self._lose_broker(
                "refused: the broker kept a session, and we wanted a clean start (section 3.2.2.1.1)"
            )
            return
        self._let_in = True
        self._client_id = connack.assigned_client_identifier or self._client_id
        self.window = min(self.window, connack.receive_maximum)
        self.maximum_packet_size = connack.maximum_packet_size
        self._publications = encoding.Publications(
            broker.version,
            maximum_packet_size=connack.maximum_packet_size,
            retain_available=connack.retain_available,
        )
        # Two looks in each keep alive: a dead peer is found within one and a half. A broker that wants no
        # keep alive (0) is asked all the same: it is we who want to know.
        keep_alive_s = min(broker.keepalive_s, connack.server_keep_alive or broker.keepalive_s)
        self._ping_every_s = keep_alive_s / 2
        self._ping_timer = self._loop.call_later(self._ping_every_s, self._look_at_the_clock)
        self._admission.set_result(None)

    def _on_disconnect(self, packet: Disconnect) -> None:
        if packet.reason == names.SESSION_TAKEN_OVER:
            self._lose_broker(
                f'another client came with the same client id, "{self._client_id}"', kind=Dismissed
            )
            return
        name = names.reason_name(packet.reason) if packet.reason else "Normal disconnection"
        kind = Dismissed if packet.reason in _ITS_OWN_REASONS else Unreachable
        self._lose_broker(f"the broker hung up: {_said(packet, name)}", kind=kind)

    def _on_refusal(self, packet: Refused) -> None:
        """Source: section 3.4.2.1. What is not known to pass (0x80, 0x83 and worse) is refused for good."""
        answer = self._waiting.pop(packet.identifier, None)
        if answer is None:
            _not_under_way(packet.identifier)
        what = f"{names.reason_name(packet.reason)} (0x{packet.reason:02x})"
        if packet.reason_string:
            what = f"{what}: {packet.reason_string}"
        if packet.reason == names.PACKET_IDENTIFIER_IN_USE:  # says something about the link, not the message
            self._lose_broker(f"the broker lost count: {what}")
        elif packet.reason in names.PASSING:
            answer(Deferred(f"{self._broker.name}: {what}"))
        else:
            answer(Rejected(what))

    def _object(self, error: BadPacket) -> None:
        """Source: section 4.13 [4.8]."""
        if not self._let_in:
            self._lose_broker(self._strange(), error)
            return
        self._lose_broker(f"the broker broke the rules of MQTT: {error}", error)
        if self._broker.version == "5" and self._transport is not None:
            self._transport.write(encoding.disconnect(error.code))

    def _strange(self) -> str:
        return f"what answers there does not speak MQTT {self._broker.version} (mqtt.version)"

    def _answer(self, packet: bytes) -> None:
        if len(self._out) > names.RECEIVE_MAXIMUM:
            raise BadPacket(
                "PUBLISH: more at once than we may be asked to acknowledge (section 4.9)",
                code=names.RECEIVE_MAXIMUM_EXCEEDED,
            )
        if not self._out and not self._paused:
            self._loop.call_soon(self._flush)
        self._out.append(packet)

    def _look_at_the_clock(self) -> None:
        """Ask for a sign of life when the line was idle, either way. Source: section 3.1.2.10."""
        if self._pinged and not self._heard:
            self._lose_broker("no answer to a ping")
            return
        self._pinged = False
        if not (self._heard and self._said):
            self._pinged = True
            self._out.append(encoding.PINGREQ_PACKET)
            self._flush()
        self._heard = self._said = False
        self._ping_timer = self._loop.call_later(self._ping_every_s, self._look_at_the_clock)


def _not_under_way(identifier: int) -> NoReturn:
    raise BadPacket(
        f"PUBACK of packet {identifier}, which is not under way (section 4.3.2)", code=names.PROTOCOL_ERROR
    )


def _said(packet: Connack | Disconnect, name: str) -> str:
    """With what the broker added."""
    if packet.server_reference:
        name = f"{name}: {packet.server_reference}"
    return f"{name}: {packet.reason_string}" if packet.reason_string else name
