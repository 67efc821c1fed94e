"""Many readings in one message: a JSON array on `…/<device>/batch`."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from gateway.journal.record import Record
from gateway.publish.publisher import Message

MOST_READINGS = 500
MOST_BYTES = 64 * 1024
"""Brokers in the cloud take 128 KiB and hang up on more."""
PACKET_OVERHEAD = 10
"""Bytes at most of a PUBLISH besides topic and payload. Source: MQTT 5.0, section 3.3."""


def batches(
    records: Sequence[Record], topic: Callable[[str], str], *, maximum_packet_size: int | None = None
) -> Iterator[tuple[Message, Sequence[Record]]]:
    """The messages, each with what it holds; in order for each device. A record too large for any goes alone."""
    by_device: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_device[record.device].append(record)
    for device, theirs in by_device.items():
        to = topic(device)
        size = MOST_BYTES
        if maximum_packet_size is not None:
            size = min(size, maximum_packet_size - len(to.encode()) - PACKET_OVERHEAD)
        for part in _parts(theirs, size):
            yield Message(to, b"[%b]" % b",".join([each.payload for each in part])), part


def _parts(records: Sequence[Record], size: int) -> Iterator[Sequence[Record]]:
    start, used = 0, 1  # the brackets, less one comma
    for place, record in enumerate(records):
        needed = len(record.payload) + 1
        if place > start and (used + needed > size or place - start == MOST_READINGS):
            yield records[start:place]
            start, used = place, 1
        used += needed
    yield records[start:]
