"""Where the broker is, as one writes it: `mqtts://broker.example:8883`, or `embedded`."""

from typing import Annotated, Any, Literal, NamedTuple, Self, cast
from urllib.parse import urlsplit

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

Scheme = Literal["mqtt", "mqtts", "ws", "wss", "embedded"]

_DEFAULT_PORT: dict[str, int] = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_EXAMPLE = 'such as "mqtt://broker.example:1883"'
_HIGHEST_PORT = 65535


class BrokerUrl(NamedTuple):
    scheme: Scheme
    host: str = ""
    """Empty for the embedded broker, like port and path."""
    port: int = 0
    path: str = ""
    """Of a WebSocket."""

    @property
    def embedded(self) -> bool:
        return self.scheme == "embedded"

    @property
    def tls(self) -> bool:
        return self.scheme in ("mqtts", "wss")

    @property
    def websocket(self) -> bool:
        return self.scheme in ("ws", "wss")

    def __str__(self) -> str:
        if self.embedded:
            return "embedded"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @classmethod
    def parse(cls, written: Any) -> Self:
        """Raises: ValueError, with the allowed forms."""
        if isinstance(written, cls):
            return written
        if written == "embedded":
            return cls("embedded")
        scheme = written.partition("://")[0] if isinstance(written, str) else ""
        if scheme not in _DEFAULT_PORT:
            raise ValueError(
                f'must start with mqtt://, mqtts://, ws:// or wss://, {_EXAMPLE}, or be "embedded"'
            )
        if "@" in written:
            raise ValueError(
                "must not hold a user or a password: they have their own keys, username and password"
            )
        # urlsplit drops what is not printable without a word
        if not written.isprintable() or " " in written:
            raise ValueError(f"must not hold spaces or control characters, {_EXAMPLE}")
        return cls(cast("Scheme", scheme), *_parts(written, scheme))


def _parts(written: str, scheme: str) -> tuple[str, int, str]:
    try:
        url = urlsplit(written)
        host = url.hostname
    except ValueError:
        raise ValueError('must hold an IPv6 address in brackets, such as "mqtt://[fd00::7]:1883"') from None
    if not host:
        raise ValueError(f"must name a host, {_EXAMPLE}")
    try:
        port = url.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"must have a port between 1 and {_HIGHEST_PORT}, or none")
    if url.query or url.fragment:
        raise ValueError('must not hold "?" or "#"')
    path = url.path
    if scheme in ("ws", "wss"):
        path = path or "/mqtt"
    elif path.strip("/"):
        raise ValueError(
            "must not have a path: only ws:// and wss:// have one; topics begin with the key prefix"
        )
    else:
        path = ""
    return host, port or _DEFAULT_PORT[scheme], path


_PLACE = r"(\[[^\]\s]+\]|[^@\s?#/:\[\]]+)(:[0-9]*)?"
_SCHEMA = {
    "type": "string",
    "pattern": rf"^(embedded|mqtts?://{_PLACE}/*|wss?://{_PLACE}(/[^@\s?#]*)?)$",
    "examples": [
        "mqtt://localhost:1883",
        "mqtts://broker.example:8883",
        "wss://broker.example/mqtt",
        "embedded",
    ],
}

WrittenBrokerUrl = Annotated[
    BrokerUrl, PlainValidator(BrokerUrl.parse), PlainSerializer(str), WithJsonSchema(_SCHEMA)
]
"""For a model's field: a BrokerUrl, written as a text."""
