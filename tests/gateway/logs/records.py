import logging
from collections.abc import Mapping


def record(
    text: str, *arguments: object, level: int = logging.WARNING, extra: Mapping[str, str] | None = None,
    error: BaseException | None = None, line: int = 1,
) -> logging.LogRecord:  # fmt: skip
    """As a logger makes it. `line`: of the program, which says so."""
    made = logging.getLogger("tests").makeRecord(
        "tests", level, "file.py", line, text, arguments,
        None if error is None else (type(error), error, error.__traceback__), extra=extra,
    )  # fmt: skip
    made.created = 1_763_917_621.123456
    return made


def raised(message: str) -> ValueError:
    """With its traceback."""
    try:
        int(message)
    except ValueError as error:
        error.args = (message,)
        return error
    raise AssertionError


class Kept(logging.Handler):
    """An outlet that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.closed = False

    @property
    def texts(self) -> list[str]:
        return [each.getMessage() for each in self.records]

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def close(self) -> None:
        self.closed = True
        super().close()
