"""What one may write in each table of the configuration, a device's own apart: that is its driver's."""

import os
import re
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PrivateAttr,
    SerializeAsAny,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drivers.driver import DriverOptions
from gateway.config.broker_url import BrokerUrl, WrittenBrokerUrl
from gateway.config.control import ControlOptions
from gateway.config.files import Authorities, ReadableFile, contents
from gateway.config.listen import Listen, WrittenListen
from gateway.config.notify import NotifyOptions
from gateway.config.rules import RuleName, RuleOptions
from gateway.config.secret import Secret
from gateway.config.table import Table
from gateway.config.web import WebOptions
from gateway.logs import LogFormat
from gateway.units import DURATION_UNITS, Duration, DurationOrNever, Size, duration, pattern, written_duration

RESERVED_LEVELS = ("status", "alerts", "gaps", "request", "response")
"""Topics of the gateway itself, where a device's name would stand."""

MAIN_BROKER = "mqtt"
"""The name of the one in [mqtt]: in the journal, which remembers how far each broker is, and in the counters."""

_LOCALTIME = Path("/etc/localtime")

_NO_LEVEL = re.compile(r"[/+#\x00-\x1f\x7f-\x9f]")


def _level(name: str) -> str:
    if not name.strip() or _NO_LEVEL.search(name):
        raise ValueError(
            'becomes a level of MQTT topics: it must not be empty or hold "/", "+", "#" or control characters'
        )
    return name


def _device_name(name: str) -> str:
    if name in RESERVED_LEVELS:
        raise ValueError(f"is taken: {', '.join(RESERVED_LEVELS)} are topics of the gateway itself")
    return _level(name)


def _levels(prefix: str) -> str:
    if prefix.startswith("$"):
        raise ValueError('must not begin with "$": the broker keeps such topics for itself')
    if any(not level.strip() or _NO_LEVEL.search(level) for level in prefix.split("/")):
        raise ValueError(
            'must be one or more levels of a topic, such as "plant/hall-2",'
            ' without "+", "#", control characters or an empty level'
        )
    return prefix


def _host_name() -> str:
    return _NO_LEVEL.sub("-", socket.gethostname()).strip() or "gateway"


_LEVEL = r"[^/+#]*[^/+#\s][^/+#]*"

Level = Annotated[
    str,
    Field(max_length=128),
    AfterValidator(_level),
    WithJsonSchema({"type": "string", "maxLength": 128, "pattern": f"^{_LEVEL}$"}),
]

DeviceName = Annotated[
    str,
    Field(max_length=128),
    AfterValidator(_device_name),
    WithJsonSchema(
        {"type": "string", "maxLength": 128, "pattern": f"^{_LEVEL}$", "not": {"enum": [*RESERVED_LEVELS]}}
    ),
]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            'must be a time zone that this machine knows, such as "Europe/Berlin" or "UTC"; if it is, install tzdata'
        ) from None
    return name


def _local_zone() -> tzinfo:
    try:
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key=_LOCALTIME.resolve().name)
    except (OSError, ValueError):  # none is set: tzset(3) takes UTC, too
        return UTC


class GatewayOptions(Table):
    name: Level = Field(
        default_factory=_host_name,
        description="The gateway's name, a level of all its topics; by default the name of its host.",
    )
    stop_timeout: Duration = Field(
        default=5.0, ge=0, le=600, description="How long a stop may take to hand what is left to the broker."
    )
    status_interval: Duration = Field(
        default=60.0,
        ge=1,
        le=86400,
        description="How often the counters of everything that was read and sent are published.",
    )
    time_zone: Annotated[str, AfterValidator(_known_zone)] | None = Field(
        default=None,
        description='Where hour() and weekday() of the rules are, such as "Europe/Berlin"; by default the system\'s.',
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description='The least important messages to log: "debug", "info", "warning" or "error".',
    )
    log_format: LogFormat = Field(
        default="auto",
        description='How they are logged: "auto", with their fields where systemd\'s journal takes them and else as'
        ' "text"; or "json", an object on each line.',
    )

    @property
    def zone(self) -> tzinfo:
        return _local_zone() if self.time_zone is None else ZoneInfo(self.time_zone)


class TlsOptions(Table):
    ca: Authorities | None = Field(
        default=None,
        description="Certificates of the authorities that may vouch for the broker; by default the system's.",
    )
    certificate: ReadableFile | None = Field(
        default=None, description="Our own certificate, for a broker that asks for one; goes with key."
    )
    key: ReadableFile | None = Field(default=None, description="The private key of our certificate.")
    key_password: Secret | None = Field(
        default=None, description="The password of the private key, if it has one."
    )
    _contents: bytes = PrivateAttr(default=b"")
    """Of the files."""
    insecure: bool = Field(
        default=False, description="Believe any broker, whatever its certificate says; for a trial only."
    )

    @model_validator(mode="after")
    def _remember_the_files(self) -> Self:
        self._contents = contents((self.ca, self.certificate, self.key))
        return self

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            lacking = "key" if self.key is None else "certificate"
            raise PydanticCustomError(
                "tls", "certificate and key go together: {lacking} is missing", {"lacking": lacking}
            )
        if self.certificate is not None:
            password = self.key_password.get_secret_value() if self.key_password else None
            try:
                # Without a password OpenSSL would ask for one on the terminal.
                context = ssl.create_default_context()
                context.load_cert_chain(self.certificate, self.key, password or (lambda: b""))
            except ssl.SSLError:
                raise PydanticCustomError(
                    "tls",
                    "certificate and key cannot be used together: both must be in PEM form and belong to each other,"
                    " and a key with a password needs the right key_password",
                ) from None
        return self


class MqttOptions(Table):
    url: WrittenBrokerUrl = Field(
        default=BrokerUrl("mqtt", "localhost", 1883),
        description="The broker: mqtt://host:port, mqtts:// with TLS, ws:// or wss://host:port/path for"
        ' WebSockets, or "embedded" for a broker inside the gateway.',
    )
    urls: tuple[WrittenBrokerUrl, ...] | None = Field(
        default=None,
        max_length=8,
        json_schema_extra={"minItems": 1, "uniqueItems": True},
        description="Instead of url, several ways to the same messages: the first that lets us in is used,"
        " and the very first again when it is back.",
    )
    username: str | None = Field(
        default=None, min_length=1, description="The name to log in to the broker with."
    )
    password: Secret | None = Field(
        default=None,
        description="The password to log in with, best kept in a credential, a variable or a file.",
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="What the broker knows us by, unique there; by default sallyport-<gateway.name>.",
    )
    version: Literal["5", "3.1.1"] = Field(
        default="5", description='The version of MQTT: "5" or "3.1.1"; the embedded broker speaks 3.1.1 only.'
    )
    keepalive: Duration = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="How long the line may be idle before the broker is asked for a sign.",
    )
    prefix: Annotated[str, Field(max_length=256), AfterValidator(_levels)] = Field(
        default="sallyport",
        json_schema_extra={"pattern": f"^(?:{_LEVEL}/)*{_LEVEL}$"},
        description='What all topics begin with; may have levels, such as "plant/hall-2".',
    )
    layout: Literal["device", "metric"] = Field(
        default="device",
        description='"device" publishes a reading as one message, "metric" each value on a topic of its own.',
    )
    catch_up: Literal["ordered", "batched"] = Field(
        default="ordered",
        description='How a backlog leaves: "ordered", as always, or "batched", in arrays on …/<device>/batch,'
        " which is many times faster.",
    )
    catch_up_rate: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Readings a second that a backlog may leave at; by default as fast as the broker takes them.",
    )
    window: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="How many messages may be on their way before the broker acknowledges; it may want fewer.",
    )
    connect_timeout: Duration = Field(
        default=10.0, ge=0.1, le=300, description="How long an attempt to connect may take."
    )
    ack_timeout: Duration = Field(
        default=20.0,
        ge=0.1,
        le=600,
        description="No acknowledgement for this long means the connection is dead.",
    )
    retry_max: Duration = Field(
        default=30.0, ge=0.1, le=3600, description="The longest wait between two attempts to connect."
    )
    embedded_port: int = Field(
        default=1883, ge=1, le=65535, description="The port of the embedded broker, on this machine only."
    )
    tls: TlsOptions = Field(default_factory=TlsOptions, description="For mqtts:// and wss://: whom to trust.")

    @property
    def ways(self) -> tuple[BrokerUrl, ...]:
        """Where to try, in this order."""
        return self.urls or (self.url,)

    @property
    def embedded(self) -> bool:
        return self.ways[0].embedded

    @property
    def protocol(self) -> Literal["5", "3.1.1"]:
        """The version that is spoken."""
        return "3.1.1" if self.embedded else self.version

    @field_validator("urls")
    @classmethod
    def _distinct(cls, urls: tuple[BrokerUrl, ...]) -> tuple[BrokerUrl, ...]:
        if not urls:
            raise ValueError("must name a broker at least, or be left out")
        if any(url.embedded for url in urls):
            raise ValueError(
                'must not hold "embedded": the broker inside the gateway is away only when that is'
            )
        if len({(url.host, url.port) for url in urls}) < len(urls):
            raise ValueError("must not name the same broker twice")
        return urls

    @field_validator("catch_up")
    @classmethod
    def _understood(cls, catch_up: str, info: ValidationInfo) -> str:
        if catch_up == "batched" and info.data.get("layout") == "metric":
            raise ValueError('must be "ordered" with layout = "metric": a batch holds whole readings')
        return catch_up

    @field_validator("version")  # called only for one that is written
    @classmethod
    def _spoken_by_the_broker(cls, version: str, info: ValidationInfo) -> str:
        url = info.data.get("url")
        if version != "3.1.1" and url is not None and url.embedded:
            raise ValueError('must be "3.1.1", or left out: the embedded broker speaks nothing else')
        return version

    @field_validator("tls")
    @classmethod
    def _encrypted(cls, tls: TlsOptions, info: ValidationInfo) -> TlsOptions:
        ways = info.data.get("urls") or (info.data.get("url"),)
        if all(way is not None and not way.tls for way in ways) and tls != TlsOptions():
            named = ", ".join(map(str, ways))
            raise ValueError(f"works with mqtts:// and wss:// only, and the broker is {named}")
        return tls

    @model_validator(mode="after")
    def _password_has_its_name(self) -> Self:
        # MQTT 3.1.1, section 3.1.2.9: without a user name there is no password.
        if self.protocol == "3.1.1" and self.password is not None and self.username is None:
            raise ValueError("has a password without a username, which MQTT 3.1.1 does not allow")
        return self


def _journal_path() -> Path:
    """Where the service manager keeps our state (systemd.exec(5), StateDirectory=), else where a user's is kept."""
    folder, _, _ = os.environ.get("STATE_DIRECTORY", "").partition(":")
    if not folder and os.geteuid() == 0:
        folder = "/var/lib/sallyport"
    elif not folder:  # XDG Base Directory Specification 0.8
        folder = str(Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "sallyport")
    return Path(folder) / "journal.db"


def _beside_the_file(written: Path, info: ValidationInfo) -> Path:
    """The whole path: one that is not whole begins at the configuration's folder."""
    if written == IN_MEMORY:
        return written
    whole: Path = (info.context or Path()) / written
    if os.path.isdir(whole):  # noqa: PTH112 - whoever may not look there, but may check the file, gets an answer
        raise ValueError("must name a file; there is a folder")
    return whole


def _sync(text: Any) -> float | None:
    match text:
        case "always":
            return 0.0
        case "never":
            return None
    try:
        return duration(text)
    except ValueError as error:
        raise ValueError(f'{error}, or "always" or "never"') from None


def _written_sync(seconds: float | None) -> str:
    return "never" if seconds is None else written_duration(seconds) if seconds else "always"


Sync = Annotated[
    float | None,
    BeforeValidator(_sync),
    PlainSerializer(_written_sync),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": pattern(DURATION_UNITS, "always", "never"),
            "examples": ["always", "200ms", "never"],
        }
    ),
]
"""Seconds between two times that the journal is forced to the disk; 0 is written `"always"`, None `"never"`."""

IN_MEMORY = Path("memory")


class JournalOptions(Table):
    path: Annotated[Path, AfterValidator(_beside_the_file)] = Field(
        default_factory=_journal_path,
        description='The file that readings are kept in, or "memory" for none: they are then lost with the process.',
    )
    sync: Sync = Field(
        default=0.2,
        le=3600,
        description='What a power cut may cost: an interval, "always" for nothing that was published, or "never"'
        " to leave it to the system.",
    )
    max_size: Size = Field(
        default=512_000_000,
        ge=10**6,
        le=10**12,
        description="How much may be kept for the broker while it is away, in bytes on the disk.",
    )
    max_age: DurationOrNever = Field(
        default=None,
        ge=1,
        description='Readings that have waited for longer are dropped; "never" keeps them.',
    )
    min_free: Size = Field(
        default=100_000_000, le=10**12, description="What the journal leaves free on the disk for others."
    )
    when_full: Literal["drop_oldest", "drop_newest"] = Field(
        default="drop_oldest",
        description='What gives way when that is full: "drop_oldest" or "drop_newest" readings.',
    )

    @property
    def in_memory(self) -> bool:
        return self.path == IN_MEMORY


class LiveOptions(Table):
    remote: bool = Field(
        default=False,
        description="Whether other machines may listen in, too: without a password, to all that is read.",
    )
    listen: WrittenListen | None = Field(
        default=None,
        description='Where whoever connects gets each event as a line of JSON: "127.0.0.1:4040", or the path of a UNIX'
        " socket; nowhere, unless it is said.",
    )

    @field_validator("listen")
    @classmethod
    def _knowingly(cls, listen: Listen | None, info: ValidationInfo) -> Listen | None:
        if listen is not None and not listen.local and not info.data.get("remote"):
            raise ValueError(
                "lets other machines listen in, without a password: if that is what you want, add remote = true;"
                f' for this machine alone, "127.0.0.1:{listen.port}"'
            )
        return listen


class HomeAssistantOptions(Table):
    discovery_prefix: Annotated[str, Field(max_length=256), AfterValidator(_levels)] = Field(
        default="homeassistant",
        description="What the topics begin with on which Home Assistant looks for devices; as it is set there.",
    )
    status_topic: Annotated[str, Field(max_length=256), AfterValidator(_levels)] | None = Field(
        default=None,
        description="Where Home Assistant says that it is there, so that it is told everything anew; by default"
        " <discovery_prefix>/status.",
    )
    brokers: tuple[str, ...] = Field(
        default=(MAIN_BROKER,),
        min_length=1,
        max_length=8,
        description='The brokers at which it is told: "mqtt" is the one in [mqtt], others are named as in'
        " [mqtt.<name>].",
    )

    @property
    def birth_topic(self) -> str:
        return self.status_topic or f"{self.discovery_prefix}/status"


class Site(Table):
    """What a configuration says besides its devices."""

    gateway: GatewayOptions = Field(default_factory=GatewayOptions, description="The gateway itself.")
    mqtt: MqttOptions = Field(default_factory=MqttOptions, description="The broker, and how we talk to it.")
    journal: JournalOptions = Field(default_factory=JournalOptions, description="Readings on their way.")
    control: ControlOptions = Field(
        default_factory=ControlOptions, description="What may be asked for and set over MQTT."
    )
    live: LiveOptions = Field(
        default_factory=LiveOptions, description="The live feed: each event as a line of JSON."
    )
    homeassistant: HomeAssistantOptions | None = Field(
        default=None, description="Home Assistant finds the devices by itself; where the table is there."
    )
    web: WebOptions = Field(default_factory=WebOptions, description="The status page, metrics and the API.")


class Config(Site):
    devices: Mapping[DeviceName, SerializeAsAny[DriverOptions]] = Field(
        default_factory=dict,
        description="The instruments, by name; each one's driver says what its table may hold.",
    )
    rules: Mapping[RuleName, RuleOptions] = Field(
        default_factory=dict, description="What is decided here, by name: an alert when something is true."
    )
    notify: Mapping[RuleName, NotifyOptions] = Field(
        default_factory=dict, description="Whom to tell of alerts besides publishing them, by name."
    )
    further_brokers: Mapping[str, MqttOptions] = Field(
        default_factory=dict,
        description="Brokers besides the main one, by name: the tables [mqtt.<name>].",
    )
    warnings: tuple[str, ...] = Field(
        default=(),
        description="What will work but should be looked at, as finished lines; not from the file.",
    )

    @property
    def brokers(self) -> Mapping[str, MqttOptions]:
        """By name, the main one first."""
        return {MAIN_BROKER: self.mqtt, **self.further_brokers}

    def client_id(self, broker: str = MAIN_BROKER) -> str:
        ours = f"sallyport-{self.gateway.name}"
        return self.brokers[broker].client_id or (ours if broker == MAIN_BROKER else f"{ours}-{broker}")
