"""The Publisher for WebSockets, on aiomqtt: MQTT 5 and 3.1.1; and a client to listen with.

aiomqtt 2 awaits each publish on its own, reports a refused one as done (it drops the PUBACK's reason
code) and ignores the broker's Receive Maximum and Maximum Packet Size. Readings lost that way would be
lost silently, so `_Client` hears the broker's answers itself and hands over as many publishes as fit.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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


def client(broker: Broker) -> aiomqtt.Client:
    """To listen with; the publisher makes its own."""
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
    def __init__(self, broker: Broker, *, will: Message | None = None) -> None:
        self.name = broker.name
        self._broker = broker
        self._will = will

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["AiomqttSession"]:
        client = _Client(self._broker, self._will)
        try:
            try:
                await client.open()
            except (aiomqtt.MqttError, ValueError) as error:
                why = reason(error)
                if self._broker.tls is not None and lost_in_tls(why):
                    why = f"{why}; is TLS spoken on that port?"
                raise Unreachable(f"{self.name}: {why}") from error
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
    def __init__(self, broker: Broker, will: Message | None) -> None:
        self._overheard = _Overheard()
        super().__init__(
            **_arguments(broker),
            will=aiomqtt.Will(will.topic, will.payload, qos=will.qos, retain=will.retain) if will else None,
            max_inflight_messages=broker.window,
            logger=self._overheard.logger,
        )
        self._client.connect_timeout = broker.connect_timeout_s
        self.window = broker.window
        self._broker = broker
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

    def _discard(self, opening: asyncio.Future[Self]) -> None:
        """What a thread has opened after we had gone is closed; what it met nobody needs to know."""
        if not opening.cancelled():
            opening.exception()
        self._client._sock_close()  # noqa: SLF001 - as in hang_up

    def submit(self, message: Message, answer: Answer) -> None:
        loop = asyncio.get_running_loop()
        if self.largest is not None and (size := self._size(message)) > self.largest:
            loop.call_soon(answer, Rejected(f"{size} bytes; the broker takes at most {self.largest}"))
            return
        try:
            info = self._client.publish(
                message.topic, message.payload, qos=message.qos, retain=message.retain
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
        self._client._sock_close()  # noqa: SLF001 - paho has no public way to do this at once
        if self._misc_task is not None:
            self._misc_task.cancel()
            await asyncio.wait([self._misc_task])

    def _size(self, message: Message) -> int:
        """Of the whole packet. Source: MQTT 5.0, sections 2.1.4 and 3.3."""
        properties = 1 if self._broker.version == "5" else 0
        rest = 2 + len(message.topic.encode(errors="replace")) + 2 + properties + len(message.payload)
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

    def _on_message(self, client: PahoClient, userdata: Any, message: MQTTMessage) -> None:
        """Nobody reads what comes: we subscribe to nothing, but amqtt tells all it has retained to everybody."""

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
