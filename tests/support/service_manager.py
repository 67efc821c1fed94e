"""systemd's ear: a real datagram socket that hears what a service says of itself, and when."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

BOUNDED_S = 30.0
"""Far beyond what anything here takes; only a hang reaches it."""


class FakeServiceManager:
    def __init__(self, sock: socket.socket, address: str) -> None:
        self.address = address
        """For NOTIFY_SOCKET."""
        self.heard: list[str] = []
        self._socket = sock

    @classmethod
    @contextmanager
    def listening(cls, at: Path | str) -> Iterator[Self]:
        """`at`: the socket's path, or its name in the abstract namespace, such as `@name`."""
        address = str(at)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind("\0" + address[1:] if address.startswith("@") else address)
            yield cls(sock, address)

    def listen(self) -> list[str]:
        """All messages up to now."""
        self._socket.setblocking(False)
        try:
            while True:
                self.heard.append(self._socket.recv(8192).decode())
        except BlockingIOError:
            return self.heard

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Until a message that begins with this has come, so often."""
        until = time.monotonic() + BOUNDED_S
        while sum(each.startswith(text) for each in self.listen()) < times:
            assert time.monotonic() < until, f"{text} was not said {times} times: {self.heard[-20:]}"
            self._socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                self.heard.append(self._socket.recv(8192).decode())
            except TimeoutError:
                continue

    def clear(self) -> None:
        self.listen()
        self.heard.clear()
