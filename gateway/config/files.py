"""Files that a configuration names: looked for while it is loaded, not when they are needed."""

import os
import ssl
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError


def _readable(written: Path, info: ValidationInfo) -> Path:
    """The whole path: one that is not whole begins at the configuration's folder."""
    path: Path = (info.context or Path()) / written
    if not path.exists():
        problem = "there is no file {path}"
    elif not path.is_file():
        problem = "{path} is not a file"
    elif not os.access(path, os.R_OK):
        problem = "the user that Sallyport runs as may not read {path}"
    else:
        return path
    raise PydanticCustomError("file", problem, {"path": str(path)})


def _authorities(ca: Path) -> Path:
    try:
        ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise ValueError("must be a file of certificates in PEM form") from None
    return ca


ReadableFile = Annotated[Path, AfterValidator(_readable)]
Authorities = Annotated[ReadableFile, AfterValidator(_authorities)]
