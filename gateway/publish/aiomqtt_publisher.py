"""The Publisher on aiomqtt: MQTT 5 and 3.1.1; TCP, TLS and WebSockets; last will.

aiomqtt 2 awaits each publish on its own, reports a refused one as done (it drops the PUBACK's reason
code) and ignores the broker's Receive Maximum and Maximum Packet Size. Readings lost that way would be
lost silently, so `_Client` hears the broker's answers itself and hands over as many publishes as fit.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Self

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import MQTT_ERR_SUCCESS, ConnectFlags, DisconnectFlags
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.config import MqttOptions, TlsOptions
from gateway.errors import ConfigError, Rejected, Unreachable
from gateway.publish import embedded
from gateway.publish.publisher import Done, Message

log = logging.getLogger(__name__)

_QUOTA_EXCEEDED = 0x97
_PUBLISH_OVERHEAD = 16  # fixed header, topic length, packet identifier, empty properties; rounded up


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is, and who we are to it."""

    host: str
    port: int
    transport: Literal["tcp", "websockets"] = "tcp"
    path: str = "/mqtt"
    """Of a WebSocket."""
    tls: ssl.SSLContext | None = None
    version: Literal["5", "3.1.1"] = "5"
    client_id: str
    username: str | None = None
    password: str | None = None
    keepalive_s: float = 60.0
    connect_timeout_s: float = 5.0
    window: int = 20

    @classmethod
    def of(cls, mqtt: MqttOptions, *, client_id: str) -> Self:
        """Raises: ConfigError, when the TLS files cannot be used."""
        url = mqtt.url
        return cls(
            host=embedded.HOST if url.embedded else url.host,
            port=mqtt.embedded_port if url.embedded else url.port,
            transport="websockets" if url.websocket else "tcp",
            path=url.path,
            tls=tls_context(mqtt.tls) if url.tls else None,
            version=mqtt.protocol,
            client_id=client_id,
            username=mqtt.username,
            password=mqtt.password.get_secret_value() if mqtt.password else None,
            keepalive_s=mqtt.keepalive,
            connect_timeout_s=mqtt.connect_timeout,
            window=mqtt.window,
        )

    def client(self) -> aiomqtt.Client:
        """To listen with; the publisher makes its own."""
        return aiomqtt.Client(**self.arguments())

    def arguments(self) -> dict[str, Any]:
        """For aiomqtt.Client, whoever derives from it."""
        return {
            "hostname": self.host,
            "port": self.port,
            "identifier": self.client_id,
            "username": self.username,
            "password": self.password,
            "protocol": aiomqtt.ProtocolVersion.V5 if self.version == "5" else aiomqtt.ProtocolVersion.V311,
            "clean_session": None if self.version == "5" else True,
            "transport": self.transport,
            "websocket_path": self.path if self.transport == "websockets" else None,
            "tls_context": self.tls,
            "keepalive": max(1, round(self.keepalive_s)),
            "timeout": self.connect_timeout_s,
        }


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """TLS 1.2 or later; certificate and host name are checked unless `insecure` was written.

    Raises: ConfigError, when a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca)
        if options.certificate:
            password = options.key_password.get_secret_value() if options.key_password else None
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(options.certificate, options.key, password or (lambda: b""))
    except OSError as error:
        raise ConfigError(
            f"mqtt.tls: the certificate files cannot be used: {error.strerror or error}"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class AiomqttPublisher:
    def __init__(self, broker: Broker, *, will: Message | None = None) -> None:
        self.name = f"{broker.host}:{broker.port}"
        self._broker = broker
        self._will = will

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["AiomqttSession"]:
        client = _Client(self._broker, self._will)
        # aiomqtt connects in a thread, and a thread cannot be cancelled: when we are, the attempt
        # is waited for (it has a time limit) and undone, so that no socket is left behind.
        opening = asyncio.ensure_future(client.__aenter__())
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            with suppress(aiomqtt.MqttError, ValueError):
                await opening
            await client.hang_up()
            raise
        except (aiomqtt.MqttError, ValueError) as error:
            await client.hang_up()
            raise Unreachable(f"{self.name}: {reason(error)}") from error
        try:
            yield AiomqttSession(self.name, client)
        finally:
            try:
                await client.__aexit__(None, None, None)
            except aiomqtt.MqttError as error:
                log.debug("%s: no orderly goodbye: %s", self.name, error)
            await client.hang_up()


class AiomqttSession:
    def __init__(self, name: str, client: "_Client") -> None:
        self.window = client.window
        self._name = name
        self._client = client

    def publish(self, message: Message, done: Done) -> None:
        self._client.submit(message, done)

    async def ended(self) -> NoReturn:
        try:
            async for _ in self._client.messages:
                pass  # we subscribe to nothing: this waits for the end
        except aiomqtt.MqttError as error:
            raise Unreachable(f"{self._name}: {reason(error)}") from error
        raise AssertionError("aiomqtt's messages ended without an error")


class _Client(aiomqtt.Client):
    def __init__(self, broker: Broker, will: Message | None) -> None:
        super().__init__(
            **broker.arguments(),
            will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=will.retain) if will else None,
            max_inflight_messages=broker.window,
        )
        self._client.connect_timeout = broker.connect_timeout_s
        self.window = broker.window
        self._largest: int | None = None
        self._waiting: dict[int, Done] = {}

    def submit(self, message: Message, done: Done) -> None:
        size = len(message.topic.encode()) + len(message.payload) + _PUBLISH_OVERHEAD
        loop = asyncio.get_running_loop()
        if self._largest is not None and size > self._largest:
            loop.call_soon(done, Rejected(f"{size} bytes; the broker takes at most {self._largest}"))
            return
        try:
            info = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)
        except ValueError as error:
            loop.call_soon(done, Rejected(str(error)))
            return
        # Anything but success means that the link is gone; `ended` says so.
        if info.rc == MQTT_ERR_SUCCESS:
            self._waiting[info.mid] = done

    async def hang_up(self) -> None:
        """Drop the connection if there is one; aiomqtt leaves it open when no CONNACK comes."""
        await asyncio.sleep(0)  # what aiomqtt has scheduled for this socket runs while it is still ours
        self._client._sock_close()  # noqa: SLF001 - paho has no public way to do this at once

    def _on_connect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.window = min(self.window, getattr(properties, "ReceiveMaximum", self.window))
        self._largest = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            # aiomqtt would wait for its time limit.
            self._connected.set_exception(aiomqtt.MqttError("the broker hung up before it let us in"))
            return
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self, client: PahoClient, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        if reason_code.value == _QUOTA_EXCEEDED:
            if not self._disconnected.done():
                self._disconnected.set_exception(aiomqtt.MqttError("the broker's quota is used up (0x97)"))
            return
        done = self._waiting.pop(mid, None)
        if done is not None:
            done(Rejected(f"{reason_code} (0x{reason_code.value:02x})") if reason_code.is_failure else None)

    def _on_socket_register_write(self, client: PahoClient, userdata: Any, sock: Any) -> None:
        # aiomqtt adds the writer even if the socket has been closed in the meantime.
        def add() -> None:
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), self._write, client)

        self._loop.call_soon_threadsafe(add)

    def _write(self, client: PahoClient) -> None:
        try:
            client.loop_write()
        except OSError as error:
            if not self._disconnected.done():
                self._disconnected.set_exception(error)


def reason(error: BaseException) -> str:
    """The cause that a person can act on, out of aiomqtt's and paho's texts."""
    cause = error.__cause__ or error
    text = str(cause) or type(cause).__name__
    if isinstance(cause, MqttConnectError):
        return f"refused: {text.partition('] ')[2] or text}"
    if match := re.search(r"certificate verify failed: (.*?)(?: \(_ssl|$)", text):
        return f"bad certificate: {match[1]}"
    if text == "Operation timed out":
        return "no answer"
    return re.sub(r"^\[(?:Errno -?|code:)\d+\] ", "", text)
