"""Files that a configuration names: looked for while it is loaded, not when they are needed; who may use them."""

import os
import ssl
import stat
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError


def _readable(written: Path, info: ValidationInfo) -> Path:
    """The whole path: one that is not whole begins at the configuration's folder."""
    path: Path = (info.context or Path()) / written
    # Not Path's own: they raise where a folder may not be entered, or the name is too long.
    if not os.path.exists(path):  # noqa: PTH110
        problem = "there is no file {path}"
    elif not os.path.isfile(path):  # noqa: PTH113
        problem = "{path} is not a file"
    elif not os.access(path, os.R_OK):
        problem = "the user that Sallyport runs as may not read {path}"
    else:
        return path
    raise PydanticCustomError("file", problem, {"path": str(path)})


def _authorities(ca: Path) -> Path:
    try:
        ssl.create_default_context(cafile=ca)
    except OSError:  # ssl.SSLError is one
        raise ValueError("must be a file of certificates in PEM form") from None
    return ca


ReadableFile = Annotated[Path, AfterValidator(_readable)]
Authorities = Annotated[ReadableFile, AfterValidator(_authorities)]


def contents(files: Iterable[Path | None]) -> bytes:
    """In short, of those that are named: what was renewed is another one, though it is written in the same words.

    Raises: ValueError.
    """
    try:
        return sha256(b"".join(each.read_bytes() for each in files if each is not None)).digest()
    except OSError as error:  # it has gone since it was looked at
        raise ValueError(f"cannot be read: {error.strerror}") from None


def may_be_read_by_all(path: Path) -> bool:
    return _allows(path, stat.S_IROTH)


def may_be_changed_by_all(path: Path) -> bool:
    return _allows(path, stat.S_IWOTH)


def _allows(path: Path, permission: int) -> bool:
    """To everybody; what stands in a folder that only some may enter is open to nobody else."""
    try:
        whole = path.resolve()
        enterable = all(folder.stat().st_mode & stat.S_IXOTH for folder in whole.parents)
        return enterable and bool(whole.stat().st_mode & permission)
    except OSError:  # it is not there yet, or not for us to look at
        return False
