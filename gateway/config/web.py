"""What one may write in [web]."""

import re
from ipaddress import ip_address
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.config.listen import Listen
from gateway.config.secret import Secret
from gateway.config.table import Table

_FORMS = (
    'must be an address of this machine and a port up to 65535, such as "127.0.0.1:8080" or "[::1]:8080";'
    ' "0.0.0.0:8080" is all that this machine has'
)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.ASCII | re.IGNORECASE)


def _address(written: Any) -> Listen:
    try:
        listen = Listen.parse(written)
    except ValueError:
        raise ValueError(_FORMS) from None
    if listen.path is not None:
        raise ValueError(_FORMS)
    return listen


_SCHEMA = {
    "type": "string",
    "pattern": r"^(localhost|[0-9.]+|\[.+\]):[0-9]{1,5}$",
    "examples": ["127.0.0.1:8080", "[::1]:8080"],
}


def _name(username: str) -> str:
    if ":" in username or not username.isprintable():
        raise ValueError('must not hold ":" or control characters')  # RFC 7617, section 2
    return username


def _bearer(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise PydanticCustomError("secret", "must hold printable ASCII only, and no space")
    return token


def _host(name: str) -> str:
    if not _HOST.fullmatch(name):
        raise ValueError('must be a name without scheme and port, such as "gateway.example.org"')
    return name.lower()


class WebOptions(Table):
    listen: (
        Annotated[Listen, PlainValidator(_address), PlainSerializer(str), WithJsonSchema(_SCHEMA)] | None
    ) = Field(
        default=None,
        description='Where the status page is, such as "127.0.0.1:8080"; without it there is none, nor metrics.'
        " An address that others can reach needs a token, or a username and a password.",
    )
    username: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_name)] | None = Field(
        default=None, description="Who may look: the name that browsers ask for; goes with password."
    )
    password: Secret | None = Field(
        default=None,
        description="The password that goes with it, best kept in a credential, a variable or a file.",
    )
    token: Annotated[Secret, AfterValidator(_bearer)] | None = Field(
        default=None,
        description="For programs, such as Prometheus: what they send as Authorization: Bearer. A browser takes it as"
        " the password, with any name.",
    )
    hosts: tuple[Annotated[str, Field(max_length=253), AfterValidator(_host)], ...] = Field(
        default=(),
        max_length=32,
        description="Names by which it is visited besides addresses and the machine's own name, as behind a proxy.",
    )

    @property
    def url(self) -> str | None:
        """Where browsers on other machines find the page, as far as that can be told from here."""
        if self.listen is None or self.listen.local:
            return None
        address = ip_address(self.listen.host)
        if not address.is_unspecified:
            return None if address.is_link_local else f"http://{self.listen}/"
        return f"http://{self.hosts[0]}:{self.listen.port}/" if self.hosts else None

    @property
    def guarded(self) -> bool:
        """Whether one has to say who one is."""
        return self.password is not None or self.token is not None

    @model_validator(mode="after")
    def _name_has_its_password(self) -> Self:
        if (self.username is None) != (self.password is None):
            lacking = "username" if self.username is None else "password"
            raise PydanticCustomError(
                "web", "username and password go together: {lacking} is missing", {"lacking": lacking}
            )
        return self

    @model_validator(mode="after")
    def _who_can_be_reached_asks_who_it_is(self) -> Self:
        if self.listen is not None and not self.listen.local and not self.guarded:
            raise PydanticCustomError(
                "web",
                "others can reach {listen}: it needs a token, or a username and a password, or listens on 127.0.0.1",
                {"listen": str(self.listen)},
            )
        return self
