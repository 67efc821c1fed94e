"""A notice to one of the hundred services that Apprise knows: chats, phones, mail.

Apprise blocks, and brings 34 MB into memory: it is loaded when the first notice leaves, and works in a thread.
"""

import asyncio
import logging
import threading
from typing import Any, Self

from gateway.errors import Undelivered
from gateway.model import AlertState
from gateway.notify.notice import Notice, rank

_log = logging.getLogger("apprise")
"""Where Apprise says why it failed; all that it returns is a false."""

_TYPES = ("failure", "failure", "warning", "info")
"""Apprise's word for each rank of severity."""


class AppriseReceiver:
    """It has a limit of time for each step of its own (`cto` and `rto` in the URL, 4 s each unless they say more)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._apprise: Any = None

    async def send(self, notice: Notice) -> None:
        # Never two threads for one receiver: the outbox sends one by one, and a thread cannot be cancelled.
        await asyncio.to_thread(self._send, notice)

    def _send(self, notice: Notice) -> None:
        with _Words() as words:
            if not self._loaded().notify(title=notice.title, body=notice.text, notify_type=_type(notice)):
                raise Undelivered(str(words) or "Apprise could not send it, and does not say why")

    def _loaded(self) -> Any:
        if self._apprise is None:
            try:
                import apprise  # noqa: PLC0415 - see above
            except ImportError:
                raise Undelivered("Apprise is not installed: pip install 'sallyport[notify]'") from None
            # It logs each attempt and each failure; the outbox says once that it is down, and why.
            _log.propagate = False
            made = apprise.Apprise()
            if not made.add(self._url):
                raise Undelivered("the url is none that Apprise can use: see its list of services")
            self._apprise = made
        return self._apprise


class _Words(logging.Handler):
    """What Apprise complains of in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self._said: list[str] = []

    def __enter__(self) -> Self:
        _log.addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _log.removeHandler(self)

    def __str__(self) -> str:
        return " ".join("; ".join(dict.fromkeys(self._said)).split())

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._said.append(record.getMessage())


def _type(notice: Notice) -> str:
    return "success" if notice.state is AlertState.RESOLVED else _TYPES[rank(notice.severity)]
