"""What the forwarder asks of a way to a broker; every implementation passes `tests/contracts/publisher.py`."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple, NoReturn, Protocol

from gateway.errors import Deferred, Rejected


class Message(NamedTuple):  # made for each reading: a tuple costs half of a frozen dataclass
    topic: str
    payload: bytes
    retain: bool = False
    qos: Literal[0, 1] = 1
    """0 is for what the next message makes worthless, such as a counter: nobody will know that it was lost."""


Done = Callable[[Rejected | None], None]
Answer = Callable[[Rejected | Deferred | None], None]


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

    def publish(self, message: Message, answer: Answer) -> None:
        """Send; messages leave in the order of the calls.

        `answer` is called once: with None when the broker has taken the message (at QoS 0: when it has left
        us), with Rejected when it never will, with Deferred when it may later. If the connection ends
        first, it is not called at all.
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
