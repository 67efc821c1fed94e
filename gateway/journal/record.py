from typing import NamedTuple


class Entry(NamedTuple):
    """One reading on its way into the journal."""

    device: str
    seq: int
    payload: bytes
    """On the wire: `gateway.wire.encode`."""


class Record(NamedTuple):
    """One entry in its place."""

    offset: int
    """Grows by one per record of its stream, whatever the device."""
    device: str
    """In the stream of urgent events: the topic below the gateway's own."""
    seq: int
    payload: bytes
