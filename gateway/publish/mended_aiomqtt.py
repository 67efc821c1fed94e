"""aiomqtt on a paho that gets along with slow connections, strict brokers and failed attempts.

Each mend says what it mends; `tests/gateway/publish/test_aiomqtt_*.py` fail without it. Seen in aiomqtt
2.5.1 and paho-mqtt 2.2.0.
"""

import socket
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import _WebsocketWrapper


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
                )
        except BaseException:
            sock.close()
            raise
        return sock


class _WebSocket(_WebsocketWrapper):
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
