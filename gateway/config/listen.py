"""Where the gateway listens, as one writes it: `127.0.0.1:4040`, `[::1]:4040`, or a UNIX socket's path."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

_HIGHEST_PORT = 65535
_FORMS = 'must be an address and a port, such as "127.0.0.1:4040", or a socket\'s whole path, such as "/run/x.sock"'
_LONGEST_PATH = 107
"""Bytes that a UNIX socket's name may have: unix(7)."""


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
