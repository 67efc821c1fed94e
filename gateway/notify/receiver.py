"""What the outbox asks of a way to people."""

from typing import Protocol

from gateway.notify.notice import Notice


class Receiver(Protocol):
    async def send(self, notice: Notice) -> None:
        """Returns when it has been taken, and never hangs: each receiver has a limit of time of its own.

        Raises: Undelivered, Declined.
        """
        ...
