import logging
from collections.abc import Iterable

from gateway.logs.fields import FIELDS


def fields(records: Iterable[logging.LogRecord], text: str) -> dict[str, str]:
    """Of the one line that holds this text."""
    [own] = [vars(each) for each in records if text in each.getMessage()]
    return {name: own[name] for name in FIELDS if name in own}
