"""What one may write in [notify.<name>]."""

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Self, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.config.files import Authorities, contents
from gateway.config.secret import Secret
from gateway.config.table import Table
from gateway.config.webhook_url import WebhookUrl
from gateway.units import Duration, DurationOrNever

_ENCODED = "whsec_"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://.", re.ASCII | re.IGNORECASE)
Written = TypeVar("Written")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)  # RFC 9110, section 5.6.2
_OURS = frozenset({"host", "content-length", "content-type", "connection", "transfer-encoding", "user-agent"})


def _url(written: SecretStr) -> SecretStr:
    # A refusal never quotes it: it may hold a token.
    text = written.get_secret_value()
    if not _SCHEME.match(text):
        raise PydanticCustomError(
            "url",
            'must be like "https://host/path" for a webhook, or one of Apprise\'s URLs, such as "tgram://…"',
        )
    if _is_webhook(text):
        try:
            WebhookUrl.parse(text)
        except ValueError as error:
            raise PydanticCustomError("url", "{why}", {"why": str(error)}) from None
    return written


def key_of(secret: str) -> bytes:
    """A secret that begins with `whsec_` is base64, as Standard Webhooks has it; any other is its own key.

    Raises: ValueError.
    """
    if not secret.startswith(_ENCODED):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
    except ValueError:  # binascii.Error is one, and so is a letter beyond ASCII
        key = b""
    if not key:
        raise ValueError("begins with whsec_, so base64 must follow")
    return key


def _key(written: SecretStr) -> SecretStr:
    try:
        key_of(written.get_secret_value())
    except ValueError as error:
        raise PydanticCustomError("secret", "{why}", {"why": str(error)}) from None
    return written


def _header_name(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("is no name of an HTTP header")
    if name.lower() in _OURS or name.lower().startswith("webhook-"):
        raise ValueError("is a header that Sallyport writes itself")
    return name


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable():
        raise PydanticCustomError("header", "must hold printable ASCII only, and no line break")
    return value


def _is_webhook(url: str) -> bool:
    return url.partition("://")[0].lower() in ("http", "https")


class NotifyOptions(Table):
    url: Annotated[Secret, AfterValidator(_url)] = Field(
        description="Whom to tell: http:// or https:// for a webhook, any other URL for the service that Apprise knows"
        " by it. What holds a token is best kept in a credential, a variable or a file.",
    )
    secret: Annotated[Secret, AfterValidator(_key)] | None = Field(
        default=None,
        description="With a webhook: the key that its messages are signed with; without it they are not.",
    )
    headers: Mapping[
        Annotated[str, AfterValidator(_header_name)], Annotated[Secret, AfterValidator(_header_value)]
    ] = Field(
        default_factory=dict,
        description="With a webhook: headers besides ours, such as Authorization.",
    )
    ca: Authorities | None = Field(
        default=None,
        description="With https://: certificates of the authorities that may vouch for the receiver; by default"
        " the system's.",
    )
    timeout: Duration = Field(
        default=10.0,
        ge=0.1,
        le=120,
        description="With a webhook: how long an attempt may take, from looking up the host to the answer.",
    )
    group_by: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=("rule",),
        description='Labels whose alerts are told together: "rule", "device", "severity" or labels of the rules;'
        ' [] puts all into one message, ["..."] each alert into its own.',
    )
    group_wait: Duration = Field(
        default=30.0,
        le=86_400,
        description="How long the first alert of a group waits for others before they are told.",
    )
    group_interval: Duration = Field(
        default=300.0,
        ge=1,
        le=7 * 86_400,
        description="How often a group may tell what has changed since.",
    )
    repeat_interval: DurationOrNever = Field(
        default=4 * 3600.0,
        ge=1,
        description='How often a group tells what still fires, at the group_interval that follows; or "never".',
    )
    resolved: bool = Field(default=True, description="Whether to tell that an alert has resolved.")
    per_minute: int = Field(
        default=30, ge=1, le=6000, description="How many attempts a minute, in the long run."
    )
    retry_max: Duration = Field(
        default=300.0,
        ge=1,
        le=86_400,
        description="The longest wait between two attempts, unless the receiver asks for more (an hour at most).",
    )
    give_up_after: Duration = Field(
        default=86_400.0,
        ge=1,
        le=30 * 86_400,
        description="A message that has not been taken for so long is given up, counted and logged.",
    )
    max_waiting: int = Field(
        default=200,
        ge=1,
        le=10_000,
        description="How many messages are kept while the receiver is away; beyond that the oldest gives way.",
    )

    @property
    def webhook(self) -> bool:
        """Else it is Apprise's."""
        return _is_webhook(self.url.get_secret_value())

    _contents: bytes = PrivateAttr(default=b"")
    """Of `ca`."""

    @model_validator(mode="after")
    def _remember_the_file(self) -> Self:
        self._contents = contents((self.ca,))
        return self

    @field_validator("group_by")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "..." in names and len(names) > 1:
            raise ValueError('["..."] stands alone: it means that nothing is grouped')
        if len(set(names)) < len(names):
            raise ValueError("must not name a label twice")
        return names

    @field_validator("secret", "headers", "ca", "timeout")
    @classmethod
    def _of_a_webhook(cls, value: Written, info: ValidationInfo) -> Written:
        if (url := info.data.get("url")) is None:  # refused itself
            return value
        text = url.get_secret_value()
        if not _is_webhook(text):
            raise PydanticCustomError("notify", "is for a webhook only, http:// or https://")
        if info.field_name == "ca" and not text.lower().startswith("https://"):
            raise PydanticCustomError("notify", "works with https:// only")
        return value
