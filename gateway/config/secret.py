"""Secrets: the configuration says where one is kept; it is fetched once, and never shown."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, SecretStr, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

LARGEST = 64 * 1024
"""Bytes of a file that a secret is kept in."""
WAYS = '{ credential = "name" }, { env = "NAME" } or { file = "/path" }'
"""How a secret is kept out of the configuration."""


def _fetched(written: object, info: ValidationInfo) -> str:
    # Every refusal is raised here, so that pydantic never has a secret to complain about.
    match written:
        case SecretStr():
            value = written.get_secret_value()
        case str():
            value = written
        case {"credential": str(name), **rest} if not rest:
            value = _credential(name, info.context or Path())
        case {"env": str(name), **rest} if not rest:
            value = _variable(name)
        case {"file": str(name), **rest} if not rest:
            value = _content((info.context or Path()) / name)
        case dict():
            raise _refusal(f"must be one of {WAYS}")
        case _:
            raise _refusal(f"must be a text in quotes or, better, {WAYS}")
    if not value:
        raise _refusal("is empty; without a password leave the key out")
    return value


def _credential(name: str, folder: Path) -> str:
    """From the service manager, or, for commands outside the service, from where our units give it the files."""
    if not name or "/" in name:
        raise _refusal("takes a credential's name, not a path")
    advice = (
        f"put it into /etc/sallyport/credentials/{name}, run systemctl daemon-reload and restart the service"
    )
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    beside = folder / "credentials"
    if not directory and os.access(beside / name, os.R_OK):
        directory = str(beside)
    if not directory:
        raise _refusal(f'credential "{name}" not found: $CREDENTIALS_DIRECTORY is not set; {advice}')
    path = Path(directory) / name
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists() raises for a name that is too long
        raise _refusal(f'credential "{name}" not found in {directory}; {advice}')
    return _content(path)


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise _refusal(f'environment variable "{name}" is not set')
    return value


def _content(path: Path) -> str:
    """A file's text, less the newline that an editor puts at its end."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        text = content.decode()
    except OSError as error:
        raise _refusal(f"cannot be read from {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        text = None
    if text is None:  # raised out here: the error above carries the file's bytes
        raise _refusal(f"cannot be read from {path}: the file is not UTF-8 text")
    if len(content) > LARGEST:
        raise _refusal(f"cannot be read from {path}: it is larger than {LARGEST} bytes")
    return text.removesuffix("\n").removesuffix("\r")


def _refusal(reason: str) -> PydanticCustomError:
    return PydanticCustomError("secret", "{reason}", {"reason": reason})


_KEPT = {
    "credential": "The name of a credential of the service manager.",
    "env": "The name of an environment variable.",
    "file": "The path of a file that holds nothing else; from the configuration's folder if it is not whole.",
}
_SCHEMA = {
    "anyOf": [
        {
            "type": "string",
            "minLength": 1,
            "description": "The secret itself, which anybody who reads this learns.",
        },
        *(
            {
                "type": "object",
                "properties": {key: {"type": "string", "minLength": 1, "description": where}},
                "required": [key],
                "additionalProperties": False,
            }
            for key, where in _KEPT.items()
        ),
    ]
}

Secret = Annotated[SecretStr, BeforeValidator(_fetched), WithJsonSchema(_SCHEMA)]
"""A SecretStr, written as one of `WAYS` or as it is."""
