"""Where a webhook is, as one writes it: `https://host:port/path?query`."""

from typing import NamedTuple, Self
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


class WebhookUrl(NamedTuple):
    scheme: str
    host: str
    port: int
    target: str
    """Path and query, as they stand in the request."""

    @classmethod
    def parse(cls, written: str) -> Self:
        """Raises: ValueError, which never quotes the URL: it may hold a token."""
        if not written.isascii() or not written.isprintable() or " " in written:
            raise ValueError(
                "must not hold spaces, control characters or letters beyond ASCII: encode them with %"
            )
        try:
            url = urlsplit(written)
            host, port = url.hostname, url.port
        except ValueError:
            raise ValueError('must be like "https://host:port/path"') from None
        if url.scheme not in _PORTS or not host or port == 0:
            raise ValueError('must be like "https://host:port/path"')
        if "@" in url.netloc:
            raise ValueError("must not hold a user or a password: write the header Authorization in headers")
        if "#" in written:
            raise ValueError('must not hold "#"')
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return cls(url.scheme, host, port or _PORTS[url.scheme], target)

    @property
    def place(self) -> str:
        """Where it goes, without the path, which may hold a token: `example.org:443`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"
