"""The Publisher for WebSockets, and the one that listens too, on aiomqtt: MQTT 5 and 3.1.1.

aiomqtt 2 awaits each publish on its own, reports a refused one as done (it drops the PUBACK's reason
code) and ignores the broker's Receive Maximum and Maximum Packet Size. Readings lost that way would be
lost silently, so `_Client` hears the broker's answers itself and hands over as many publishes as fit.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from typing import Any, NoReturn, Self

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import (
    MQTT_ERR_SUCCESS,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.errors import Deferred, Rejected, Unreachable
from gateway.publish.broker import Broker, lost_in_tls
from gateway.publish.broker import reason as plain_reason
from gateway.publish.mended_aiomqtt import MendedClient
from gateway.publish.packets import names
from gateway.publish.publisher import Answer, Message

log = logging.getLogger(__name__)

_THREAD_MAY_TAKE_S = 1.0

_REFUSED = 0x80  # MQTT 3.1.1, section 3.9.3; MQTT 5.0, section 3.9.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came on a topic that we listen to."""

    topic: str
    payload: bytes
    retained: bool
    """It was said before we came."""
    response_topic: str | None
    """Where the sender wants the answer, as far as MQTT 5 lets it say so."""
    reply: Callable[[Message, Answer], None]
    """Publishes on the connection that it came by, with the sender's Correlation Data."""


@dataclass(frozen=True, slots=True)
class Ear:
    topics: tuple[str, ...]
    """Topic filters."""
    heard: Callable[[Heard], None]
    """What it raises ends the connection, and comes out of it."""
    if_allowed: tuple[str, ...] = ()
    """Likewise; a broker that does not let us hear these is put up with."""
    largest: int | None = None
    """Bytes of a packet; a broker that speaks MQTT 5 keeps larger ones to itself."""


def client(broker: Broker) -> aiomqtt.Client:
    """Only to listen with; the publisher makes its own."""
    return MendedClient(**_arguments(broker))


def _arguments(broker: Broker) -> dict[str, Any]:
    return {
        "hostname": broker.host,
        "port": broker.port,
        "identifier": broker.client_id,
        "username": broker.username,
        "password": broker.password,
        "protocol": aiomqtt.ProtocolVersion.V5 if broker.version == "5" else aiomqtt.ProtocolVersion.V311,
        "clean_session": None if broker.version == "5" else True,
        "transport": broker.transport,
        "websocket_path": broker.path if broker.transport == "websockets" else None,
        "tls_context": broker.tls,
        "keepalive": max(1, round(broker.keepalive_s)),
        "timeout": broker.connect_timeout_s,
    }


class AiomqttPublisher:
    def __init__(self, broker: Broker, *, will: Message | None = None, ear: Ear | None = None) -> None:
        self.name = broker.name
        self._broker = broker
        self._will = will
        self._ear = ear
        self._unheard: set[str] = set()
        """What the broker did not let us hear when it was asked last."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["AiomqttSession"]:
        client = _Client(self._broker, self._will, self._ear)
        try:
            try:
                await client.open()
                unheard = await client.listen()
            except (aiomqtt.MqttError, ValueError) as error:
                why = reason(error)
                if self._broker.tls is not None and lost_in_tls(why):
                    why = f"{why}; is TLS spoken on that port?"
                raise Unreachable(f"{self.name}: {why}") from error
            for topic in sorted(unheard - self._unheard):
                log.warning("%s: the broker does not let us listen on %s", self.name, topic)
            self._unheard = unheard
            yield AiomqttSession(self.name, client)
            await client.say_goodbye()
        finally:
            await client.hang_up()


class AiomqttSession:
    def __init__(self, name: str, client: "_Client") -> None:
        self.window = client.window
        self.maximum_packet_size = client.largest
        self._name = name
        self._client = client

    def publish(self, message: Message, answer: Answer) -> None:
        self._client.submit(message, answer)

    async def ended(self) -> NoReturn:
        error = await self._client.lost()
        if isinstance(error, (aiomqtt.MqttError, OSError)):
            raise Unreachable(f"{self._name}: {reason(error)}") from error
        raise error  # a bug in somebody's `answer`


class _Client(MendedClient):
    def __init__(self, broker: Broker, will: Message | None, ear: Ear | None) -> None:
        self._overheard = _Overheard()
        limits = None
        if ear is not None and ear.largest is not None and broker.version == "5":
            limits = _properties(PacketTypes.CONNECT, MaximumPacketSize=ear.largest)
        super().__init__(
            **_arguments(broker),
            properties=limits,
            will=aiomqtt.Will(will.topic, will.payload, qos=will.qos, retain=will.retain) if will else None,
            max_inflight_messages=broker.window,
            logger=self._overheard.logger,
        )
        self._client.connect_timeout = broker.connect_timeout_s
        self.window = broker.window
        self._broker = broker
        self._ear = ear
        self.largest: int | None = None
        self._waiting: dict[int, Answer] = {}
        self._loss: aiomqtt.MqttError | None = None

    async def open(self) -> None:
        """Raises: MqttError, ValueError."""
        # aiomqtt connects in a thread, and a thread cannot be cancelled.
        opening = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._connected.cancel()  # nobody waits for a CONNACK
            with suppress(asyncio.CancelledError):
                await asyncio.wait([opening], timeout=_THREAD_MAY_TAKE_S)
            opening.add_done_callback(self._discard)
            raise
        # A broker may let us in and hang up in one breath; aiomqtt forgets that.
        if self._loss is not None:
            raise self._loss

    async def listen(self) -> set[str]:
        """To what there is an ear for; returns what the broker does not let us hear and we can do without.

        Raises: MqttError, also when the broker does not let us.
        """
        unheard: set[str] = set()
        if self._ear is None:
            return unheard
        for topic in (*self._ear.topics, *self._ear.if_allowed):
            # Not by aiomqtt's own timeout: before Python 3.12, wait_for() forgets a cancellation that comes together
            # with what is waited for.
            try:
                async with asyncio.timeout(self._broker.connect_timeout_s):
                    [granted] = await self.subscribe(topic, qos=1, timeout=inf)
            except TimeoutError as error:
                raise aiomqtt.MqttError("no answer") from error
            refused = (granted if isinstance(granted, int) else granted.value) >= _REFUSED
            if refused and topic in self._ear.if_allowed:
                unheard.add(topic)
            elif refused:
                raise aiomqtt.MqttError(f"the broker does not let us listen on {topic}")
        return unheard

    def _discard(self, opening: asyncio.Future[Self]) -> None:
        """What a thread has opened after we had gone is closed; what it met nobody needs to know."""
        if not opening.cancelled():
            opening.exception()
        self._client._sock_close()  # noqa: SLF001 - as in hang_up

    def submit(self, message: Message, answer: Answer, properties: Properties | None = None) -> None:
        loop = asyncio.get_running_loop()
        if self.largest is not None and (size := self._size(message, properties)) > self.largest:
            loop.call_soon(answer, Rejected(f"{size} bytes; the broker takes at most {self.largest}"))
            return
        try:
            info = self._client.publish(
                message.topic, message.payload, message.qos, message.retain, properties
            )
        except ValueError as error:
            loop.call_soon(answer, Rejected(str(error)))
            return
        # Anything but success means that the link is gone; `ended` says so.
        if info.rc != MQTT_ERR_SUCCESS:
            return
        if info.is_published():  # QoS 0 leaves at once, and has been reported by now
            loop.call_soon(answer, None)
        else:
            self._waiting[info.mid] = answer

    async def lost(self) -> BaseException:
        """Returns when the connection is, with the reason."""
        await asyncio.wait([self._disconnected])
        return self._disconnected.exception() or aiomqtt.MqttError("we have said goodbye")

    async def say_goodbye(self) -> None:
        try:
            await self.__aexit__(None, None, None)
        except aiomqtt.MqttError as error:
            log.debug("%s: no orderly goodbye: %s", self._broker.host, error)

    async def hang_up(self) -> None:
        """Drop the connection if there is one: aiomqtt leaves it open when it has not been let in."""
        if self._client.want_write():
            self._client.loop_write()  # an answer that was given a moment ago, as far as the system takes it
        self._client._sock_close()  # noqa: SLF001 - paho has no public way to do this at once
        if self._misc_task is not None:
            self._misc_task.cancel()
            await asyncio.wait([self._misc_task])

    def _size(self, message: Message, properties: Properties | None) -> int:
        """Of the whole packet. Source: MQTT 5.0, sections 2.1.4 and 3.3."""
        extra = 1 if self._broker.version == "5" else 0
        if properties is not None:
            extra = len(properties.pack())  # type: ignore[no-untyped-call]  # paho's, not annotated
        rest = 2 + len(message.topic.encode(errors="replace")) + 2 + extra + len(message.payload)
        return 1 + -(-rest.bit_length() // 7) + rest

    def _on_connect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.window = min(self.window, getattr(properties, "ReceiveMaximum", self.window))
        self.largest = getattr(properties, "MaximumPacketSize", None)
        if reason_code.value == names.UNSUPPORTED_PROTOCOL_VERSION:
            self._lose(self._strange())
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not (reason_code.is_failure or flags.is_disconnect_packet_from_server):
            if not self._disconnected.done():
                self._disconnected.set_result(None)  # our own goodbye
            return
        self._lose(self._why(flags, reason_code))

    def _why(self, flags: DisconnectFlags, reason_code: ReasonCode) -> str:
        if reason_code.value == names.SESSION_TAKEN_OVER:
            return f'another client came with the same client id, "{self._broker.client_id}"'
        if flags.is_disconnect_packet_from_server:
            return f"the broker hung up: {reason_code}"
        if str(reason_code) == "Keep alive timeout":
            return "no answer"
        if str(reason_code) == "Protocol error":  # how paho reports that 3.1.1 was refused, too
            return self._strange()
        if self._connected.done():
            return "the broker hung up"
        tls = "without" if self._broker.tls is None else "over"
        return f"the broker hung up before it let us in; we speak MQTT {self._broker.version} {tls} TLS"

    def _strange(self) -> str:
        return f"what answers there does not speak MQTT {self._broker.version} (mqtt.version)"

    def _lose(self, why: str) -> None:
        if self._loss is not None:
            return
        self._loss = aiomqtt.MqttError(why)
        self._loss.__cause__ = self._overheard.error
        # Before the broker has let us in, aiomqtt would wait for its time limit.
        end = self._disconnected if self._connected.done() else self._connected
        if not end.done():
            end.set_exception(self._loss)
            end.exception()  # nobody has to ask for it
        for subscribing in self._pending_subscribes.values():
            if not subscribing.done():
                subscribing.set_exception(self._loss)

    def _on_message(self, client: PahoClient, userdata: Any, message: MQTTMessage) -> None:
        # Without an ear nobody reads what comes: amqtt tells all it has retained to everybody.
        if self._ear is None:
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:  # no topic of ours, nor of anybody who may be here
            return
        said = message.properties
        correlation = getattr(said, "CorrelationData", None)
        properties = None
        if correlation is not None:
            properties = _properties(PacketTypes.PUBLISH, CorrelationData=correlation)
        self._ear.heard(
            Heard(
                topic=topic, payload=bytes(message.payload), retained=message.retain,
                response_topic=getattr(said, "ResponseTopic", None),
                reply=lambda message, answer: self.submit(message, answer, properties),
            )
        )  # fmt: skip

    def _on_publish(
        self, client: PahoClient, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        answer = self._waiting.pop(mid, None)
        if answer is None:
            return
        what = f"{reason_code} (0x{reason_code.value:02x})"
        if reason_code.value in names.PASSING:
            answer(Deferred(f"{self._broker.name}: {what}"))
        else:
            answer(Rejected(what) if reason_code.is_failure else None)


def _properties(packet: int, **values: Any) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]  # paho's, not annotated
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


class _Overheard(logging.Handler):
    """What paho tells only its log: the error that ended a connection. Our own lines report it."""

    def __init__(self) -> None:
        super().__init__()
        self.error: OSError | None = None
        self.logger = logging.Logger("mqtt", logging.WARNING)  # noqa: LOG001 - this connection's own
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        for each in record.args or ():
            if isinstance(each, OSError):
                self.error = each


def reason(error: BaseException) -> str:
    """The cause that a person can act on, out of aiomqtt's and paho's texts."""
    cause = error.__cause__ or error
    if isinstance(cause, MqttConnectError):
        return f"refused: {str(cause).partition('] ')[2] or cause}"
    return plain_reason(cause)
