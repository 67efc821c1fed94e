"""What the forwarder asks of a way to a broker; every implementation passes `tests/contracts/publisher.py`."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, NoReturn, Protocol

from gateway.errors import Rejected


class Message(NamedTuple):  # made for each reading: a tuple costs half of a frozen dataclass
    """To be sent at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


Done = Callable[[Rejected | None], None]


class Session(Protocol):
    """One connection to a broker."""

    @property
    def window(self) -> int:
        """How many publishes may be unacknowledged at once."""
        ...

    @property
    def maximum_packet_size(self) -> int | None:
        """Bytes of a whole packet, if the broker has set a limit."""
        ...

    def publish(self, message: Message, done: Done) -> None:
        """Send; messages leave in the order of the calls.

        `done` is called once: with None when the broker has taken the message, with Rejected when it
        never will. If the connection ends first, it is not called at all.
        """
        ...

    async def ended(self) -> NoReturn:
        """Raises: Unreachable, as soon as the connection is lost."""
        ...


class Publisher(Protocol):
    @property
    def name(self) -> str:
        """For the log: `broker.example:8883`."""
        ...

    def connect(self) -> AbstractAsyncContextManager[Session]:
        """Connected on entry. Raises: Unreachable.

        Left in good order, it says goodbye and the last will is not sent; left by an exception or a
        cancellation it hangs up, and the last will speaks for us.
        """
        ...
