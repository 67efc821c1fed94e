"""`sallyport schema`: what may stand in the configuration, for editors."""

import json
from pathlib import Path

from gateway.config.schema import schema
from gateway.errors import UsageError

NAME = "sallyport.schema.json"
"""Where generated configurations look for it, beside themselves."""


def run(file: Path | None) -> int:
    """Write it to a file, or to standard output. Raises: UsageError."""
    text = written()
    if file is None:
        print(text, end="")
    else:
        try:
            write(file, text)
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}") from None
        print(f"{file}: written; a configuration beside it begins with")
        print(f"#:schema ./{file.name}")
    return 0


def write(file: Path, text: str) -> None:
    """Whole or not at all, so that an editor never reads half of it. Raises: OSError."""
    new = file.with_name(f".{file.name}.new")
    try:
        new.write_text(text)
        new.chmod(0o644)  # it holds no secrets
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def written() -> str:
    """In ASCII, whatever the locale."""
    return json.dumps(schema(), indent=1) + "\n"
