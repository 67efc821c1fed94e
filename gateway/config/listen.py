"""Where the gateway listens, as one writes it: `127.0.0.1:4040`, `[::1]:4040`, or a UNIX socket's path."""

import errno
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

_HIGHEST_PORT = 65535
_FORMS = 'must be an address and a port, such as "127.0.0.1:4040", or a socket\'s whole path, such as "/run/x.sock"'
_LONGEST_PATH = 107
"""Bytes that a UNIX socket's name may have: unix(7)."""
_REASONS = {
    errno.EADDRINUSE: "another program listens there: stop it, or choose another address in {option}",
    errno.EADDRNOTAVAIL: "this machine does not have that address (yet)",
    errno.EACCES: "this user may not listen there: choose {allowed} in {option}",
    errno.ENOENT: "there is no such folder: make it, or choose another one in {option}",
    errno.EEXIST: "what lies there is no socket: take it away, or choose another path in {option}",
}


class Listen(NamedTuple):
    host: str = ""
    """An address, not a name; empty for a UNIX socket."""
    port: int = 0
    path: Path | None = None
    """Of a UNIX socket."""

    @property
    def local(self) -> bool:
        """Whether nobody but this machine reaches it."""
        return self.path is not None or ip_address(self.host).is_loopback

    def why_not(self, error: OSError, option: str) -> str:
        """Nobody can listen there, in words by which a person knows what to do; `option`: where that is written."""
        allowed = "a port above 1023" if self.path is None else "a folder of this user"
        if (reason := _REASONS.get(error.errno or 0)) is not None:
            return reason.format(allowed=allowed, option=option)
        return error.strerror or str(error)

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, written: Any) -> Self:
        """Raises: ValueError, with the allowed forms."""
        if isinstance(written, cls):
            return written
        if not isinstance(written, str) or not written.isprintable():
            raise ValueError(_FORMS)
        path = written.removeprefix("unix:")
        if path.startswith("/"):
            if len(path.encode()) > _LONGEST_PATH:
                raise ValueError(
                    f"must not be longer than {_LONGEST_PATH} bytes, which is what the system takes"
                )
            return cls(path=Path(path))
        host, _, port = written.rpartition(":")
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= _HIGHEST_PORT):
            raise ValueError(_FORMS)
        return cls(str(_address(host)), int(port))


def _address(host: str) -> IPv4Address | IPv6Address:
    if host == "localhost":
        return IPv4Address("127.0.0.1")
    inside = host[1:-1] if host.startswith("[") and host.endswith("]") else None
    try:
        return IPv4Address(host) if inside is None else IPv6Address(inside)
    except ValueError:
        raise ValueError(_FORMS) from None


_SCHEMA = {
    "type": "string",
    "pattern": r"^((unix:)?/|(localhost|[0-9.]+|\[.+\]):[0-9]+$)",
    "examples": ["127.0.0.1:4040", "/run/sallyport/live"],
}

WrittenListen = Annotated[Listen, PlainValidator(Listen.parse), PlainSerializer(str), WithJsonSchema(_SCHEMA)]
"""For a model's field: a Listen, written as a text."""
