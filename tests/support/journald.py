"""journald's end of its native protocol, as far as the documentation goes."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self


class JournaldSocket:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))

    @classmethod
    @contextmanager
    def bound(cls, path: Path) -> Iterator[Self]:
        peer = cls(path)
        try:
            yield peer
        finally:
            peer.close()

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def entries(self) -> Iterator[dict[str, str]]:
        """What has come and was not taken yet."""
        while True:
            try:
                yield parsed(self._socket.recv(1 << 20))
            except BlockingIOError:
                return


def parsed(data: bytes) -> dict[str, str]:
    """Both layouts of a field: `NAME=value`, and the one with a length."""
    fields = {}
    while data:
        head, _, rest = data.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert len(value) == length
            assert rest.startswith(b"\n")
            rest = rest[1:]
        text = name.decode("ascii")
        assert text not in fields, f"{text} stands there twice"
        fields[text] = value.decode()
        data = rest
    return fields
