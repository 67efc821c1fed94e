"""aiomqtt on a paho that gets along with slow connections, strict brokers, failed attempts and brokers that mean harm.

Each mend says what it mends; `tests/gateway/publish/test_aiomqtt_*.py` fail without it. Seen in aiomqtt
2.5.1 and paho-mqtt 2.2.0.
"""

import errno
import socket
import time
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import WebsocketConnectionError, _WebsocketWrapper

LARGEST_PACKET = 16 * 1024 * 1024
"""What is read of a broker in one piece; MQTT allows 256 MB, and a WebSocket's frame more than any machine has."""
LARGEST_ANSWER = 32 * 1024
"""Bytes of a web server's answer to the wish to speak WebSockets."""


class MendedClient(aiomqtt.Client):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._client.__class__ = _Paho  # aiomqtt makes its own; ours differs in methods only

    def _on_socket_register_write(self, client: PahoClient, _userdata: Any, sock: Any) -> None:
        # aiomqtt adds the writer even if the socket has been closed in the meantime.
        def add() -> None:
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), client.loop_write)

        self._loop.call_soon_threadsafe(add)

    def _on_disconnect(self, *told: Any) -> None:
        # Who is cancelled while it connects asks nobody how that ended, and asyncio would complain in the log; so it
        # would of aiomqtt, which asks a future that was cancelled how it has ended.
        if self._connected.cancelled():
            return
        super()._on_disconnect(*told)
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()


class _Paho(PahoClient):
    def _create_socket(self) -> Any:
        # paho forgets the socket when a handshake fails, and checks the certificate's host name even
        # if it was told to believe any broker.
        sock = self._create_socket_connection()
        try:
            # A window of small messages must not wait for the other end's TCP after the first of them.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._ssl_context is not None:
                sock = self._ssl_context.wrap_socket(
                    sock, server_hostname=self._host, do_handshake_on_connect=False
                )
                sock.do_handshake()
            if self._transport == "websockets":
                return _WebSocket(
                    socket=sock,
                    host=self._host,
                    port=self._port,
                    is_ssl=self._ssl,
                    path=self._websocket_path,
                    extra_headers=self._websocket_extra_headers,
                    patience_s=self._connect_timeout,
                )
        except BaseException:
            sock.close()
            raise
        return sock

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho asks for as much as the packet says that it is long, and keeps it all.
        if bufsize > LARGEST_PACKET:
            raise OSError(errno.EMSGSIZE, f"a packet of {bufsize} bytes; we take at most {LARGEST_PACKET}")
        return super()._sock_recv(bufsize)


class _Answer:
    """A socket that does not hear out a web server which never comes to an end."""

    def __init__(self, sock: socket.socket, patience_s: float) -> None:
        self.send = sock.send
        self._sock = sock
        self._left = LARGEST_ANSWER
        self._until = time.monotonic() + patience_s

    def recv(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise WebsocketConnectionError("WebSocket handshake error, an answer without an end")
        if time.monotonic() > self._until:
            raise TimeoutError("timed out")
        return self._sock.recv(size)


class _WebSocket(_WebsocketWrapper):
    def __init__(self, *, patience_s: float, **settings: Any) -> None:
        self._patience_s = patience_s
        super().__init__(**settings)

    def _do_handshake(self, extra_headers: Any) -> None:
        # paho reads the answer byte by byte, in a thread that nobody can stop.
        whole = self._socket
        self._socket = _Answer(whole, self._patience_s)  # type: ignore[assignment]  # as far as it is used here
        try:
            super()._do_handshake(extra_headers)
        finally:
            self._socket = whole

    def _buffered_read(self, length: int) -> bytearray:
        # paho keeps all of a frame until its end has come, and makes room for what it says of its length.
        if self._readbuffer_head + length > LARGEST_PACKET:
            raise ConnectionAbortedError
        return super()._buffered_read(length)

    def _send_impl(self, data: bytes | bytearray) -> int:
        # When the system takes only a part of a frame, paho says that nothing was sent, forgets the
        # packet, and takes the rest of the frame for a part of the next one (paho issue 887).
        sent = super()._send_impl(data)
        if not sent:
            raise BlockingIOError  # "again, please": that is what goes on with the same frame
        return sent

    def _create_frame(
        self,
        opcode: int,
        data: bytearray,
        do_masking: int = 1,  # noqa: ARG002 - paho's signature
    ) -> bytearray:
        # paho does not mask its answer to a ping, and brokers must hang up on that (RFC 6455,
        # section 5.1). It also writes the answer into the middle of a frame that is only half sent.
        frame = super()._create_frame(opcode, data, do_masking=1)
        if not self._sendbuffer or opcode == self.OPCODE_BINARY:
            return frame
        self._sendbuffer += frame
        return bytearray()
