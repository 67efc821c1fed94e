from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """One reading as it will go out."""

    offset: int
    """Grows by one per record, whatever the device."""
    device: str
    seq: int
    payload: bytes
    """The reading on the wire: `gateway.wire.encode`."""


class Journal(Protocol):
    """Keeps records in order until they are committed. What its bounds force out is counted in `lost`."""

    @property
    def run(self) -> str:
        """Stays the same as long as `seq` goes on: a subscriber compares (`run`, `seq`)."""
        ...

    @property
    def lost(self) -> int: ...

    def __len__(self) -> int:
        """Records that are not committed yet."""
        ...

    async def append(self, device: str, seq: int, payload: bytes) -> None: ...

    async def after(self, offset: int, *, limit: int) -> Sequence[Record]:
        """The next records beyond this offset; waits for the first one. Empty: sealed, and there are no more."""
        ...

    def commit(self, offset: int) -> None:
        """Everything up to this offset has been delivered and may be forgotten."""
        ...

    def seal(self) -> None:
        """Nothing more will be appended: readers finish."""
        ...
