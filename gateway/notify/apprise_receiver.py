"""A notice to one of the hundred services that Apprise knows: chats, phones, mail.

Apprise blocks, and brings 20 to 35 MB into memory: it is loaded when the first notice leaves, and works in a thread.
"""

import asyncio
import logging
from typing import Any

from gateway.errors import Undelivered
from gateway.model import AlertState
from gateway.notify.notice import Notice, rank

_TYPES = ("failure", "failure", "warning", "info")
"""Apprise's word for each rank of severity."""


def knows(url: str) -> bool:
    """Whether Apprise has a service for it; yes where Apprise is not installed, since nobody can say."""
    try:
        import apprise  # noqa: PLC0415 - see above
    except ImportError:
        return True
    return apprise.Apprise.instantiate(url) is not None


class AppriseReceiver:
    """Apprise has limits of time of its own: `cto` and `rto` in the URL for each step, and one for all of it.

    What it has given up may still arrive: then the notice arrives twice.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._apprise: Any = None

    async def send(self, notice: Notice) -> None:
        # Never two at once for one receiver: the outbox sends one by one, and a thread cannot be cancelled.
        await asyncio.to_thread(self._send, notice)

    def _send(self, notice: Notice) -> None:
        result = self._loaded().notify(title=notice.title, body=notice.text, notify_type=_type(notice))
        if not result:
            said = dict.fromkeys(entry.message for entry in result.logs())
            raise Undelivered(" ".join("; ".join(said).split()) or "Apprise does not say why")

    def _loaded(self) -> Any:
        if self._apprise is None:
            try:
                import apprise  # noqa: PLC0415 - see above
            except ImportError:
                raise Undelivered("Apprise is not installed: pip install 'sallyport[notify]'") from None
            # It logs each attempt that fails; the outbox says once that it is down, and why.
            logging.getLogger("apprise").propagate = False
            made = apprise.Apprise()
            if not made.add(self._url):
                raise Undelivered("the url is none that Apprise can use: see its list of services")
            self._apprise = made
        return self._apprise


def _type(notice: Notice) -> str:
    return "success" if notice.state is AlertState.RESOLVED else _TYPES[rank(notice.severity)]
