"""What every way to a broker shares: where it is, who we are to it, whom we trust, what went wrong."""

import os
import re
import ssl
from dataclasses import dataclass, field
from typing import Literal, Self

from gateway.config import MqttOptions, TlsOptions
from gateway.errors import ConfigError
from gateway.publish import embedded

Version = Literal["5", "3.1.1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is, and who we are to it."""

    host: str
    port: int
    transport: Literal["tcp", "websockets"] = "tcp"
    path: str = "/mqtt"
    """Of a WebSocket."""
    tls: ssl.SSLContext | None = None
    version: Version = "5"
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    keepalive_s: float = 60.0
    connect_timeout_s: float = 5.0
    window: int = 100

    @classmethod
    def ways(cls, mqtt: MqttOptions, *, client_id: str) -> list[Self]:
        """One for each of its addresses. Raises: ConfigError, when the TLS files cannot be used."""
        tls = tls_context(mqtt.tls) if any(url.tls for url in mqtt.ways) else None
        return [
            cls(
                host=embedded.HOST if url.embedded else url.host,
                port=mqtt.embedded_port if url.embedded else url.port,
                transport="websockets" if url.websocket else "tcp",
                path=url.path,
                tls=tls if url.tls else None,
                version=mqtt.protocol,
                client_id=client_id,
                username=mqtt.username,
                password=mqtt.password.get_secret_value() if mqtt.password else None,
                keepalive_s=mqtt.keepalive,
                connect_timeout_s=mqtt.connect_timeout,
                window=mqtt.window,
            )
            for url in mqtt.ways
        ]

    @property
    def name(self) -> str:
        """For the log: `broker.example:8883`."""
        return f"{self.host}:{self.port}"


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


def reason(error: BaseException) -> str:
    """The cause that a person can act on, out of the texts of the system, OpenSSL and asyncio."""
    text = str(error)
    if isinstance(error, TimeoutError) or text.endswith("timed out"):
        return "no answer"
    if match := re.search(r"certificate verify failed: (.*?)(?: \(_ssl|$)", text):
        return f"bad certificate: {match[1]}"
    if isinstance(error, OSError) and error.errno and "Connect call failed" in text:
        return os.strerror(error.errno)
    return re.sub(r"^\[(?:Errno -?|code:|SSL: )\w+\] | \(_ssl\.c:\d+\)$", "", text) or type(error).__name__


def lost_in_tls(why: str) -> bool:
    """A handshake that ended like this was likely made with a port that speaks no TLS."""
    return re.search("reset|EOF|wrong version", why, re.IGNORECASE) is not None
