"""A subscriber that is never behind, so that killing the broker cannot lose what it was told to pass on."""

import socket
import threading
from contextlib import suppress
from io import BufferedReader
from typing import NamedTuple, Self


class Heard(NamedTuple):
    topic: str
    payload: bytes


class Recorder:
    """What was published below `topic`, in one broker's life after another.

    Whatever the gateway was told is delivered must be here, also when the broker dies in the next moment.
    It is: mosquitto writes a message to its subscribers' sockets before it acknowledges it to the publisher
    (`handle__publish`; seen with strace), the kernel delivers what is in a socket after its sender's death,
    and at QoS 0 we say nothing that the dead could leave unread, which would reset the connection. A thread
    that only reads keeps the queue inside the broker empty.
    """

    def __init__(self, topic: str = "sallyport/#") -> None:
        self.heard: list[Heard] = []
        self._topic = topic.encode()
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the broker has gone already
                self._socket.shutdown(socket.SHUT_RDWR)
        self.drain()

    def listen(self, host: str, port: int) -> None:
        """What is published from now on will be heard. (MQTT 3.1.1, sections 3.1 and 3.8; nobody pings.)"""
        self.drain()
        self._socket = socket.create_connection((host, port), timeout=10)
        stream = self._socket.makefile("rb", 1 << 18)
        self._socket.sendall(_packet(0x10, b"\0\4MQTT\4\2\0\0" + _text(b"recorder")))
        self._socket.sendall(_packet(0x82, b"\0\1" + _text(self._topic) + b"\0"))
        if (answer := stream.read(9)) != b"\x20\2\0\0\x90\3\0\1\0":
            raise RuntimeError(f"the broker refuses: {answer!r}")
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._hear, args=(stream,), name="recorder")
        self._thread.start()

    def drain(self) -> None:
        """Until everything that a broker sent before it died has been heard."""
        if self._thread is not None and self._socket is not None:
            self._thread.join()
            self._socket.close()
            self._thread = None

    def _hear(self, stream: BufferedReader) -> None:
        with stream, suppress(ConnectionError, _CutError):
            while True:
                [kind] = _exactly(stream, 1)
                length = shift = 0
                while True:
                    [byte] = _exactly(stream, 1)
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                body = _exactly(stream, length)
                if kind & 0xF0 == 0x30:
                    end = 2 + int.from_bytes(body[:2], "big")
                    self.heard.append(Heard(body[2:end].decode(), body[end:]))


class _CutError(Exception):
    """The stream ends in the middle of a packet, or after one."""


def _exactly(stream: BufferedReader, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise _CutError
    return data


def _packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 0x80
    return bytes((kind, len(body))) + body


def _text(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text
