"""What a journal keeps, and how it is packed."""

import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

CHUNK_RECORDS = 256
CHUNK_BYTES = 64 * 1024
"""A chunk is packed, checked and lost as a whole, so it is small."""

_HEAD = struct.Struct("<QHI")


class Entry(NamedTuple):
    """One reading on its way into the journal."""

    device: str
    """In the stream of urgent events: the topic below the gateway's own."""
    seq: int
    payload: bytes
    """On the wire: `gateway.wire.encode`."""


class Record(NamedTuple):
    """One entry in its place."""

    offset: int
    """Grows by one per record of its stream, whatever the device."""
    device: str
    seq: int
    payload: bytes


class Stretch(NamedTuple):
    """Numbers of one device, without the records."""

    first: int
    last: int
    lost: int
    """How many there were; fewer than the numbers between, when some had gone before."""


def pack(records: Iterable[Record]) -> bytes:
    """Layout of each record (little endian): seq 8, length of the device's name 2, of the payload 4, both."""
    parts: list[bytes] = []
    for _, device, seq, payload in records:
        name = device.encode()
        parts += (_HEAD.pack(seq, len(name), len(payload)), name, payload)
    return b"".join(parts)


def unpack(chunk: bytes, first: int) -> list[Record]:
    """Raises: ValueError, struct.error: it was not packed by `pack`."""
    records = []
    place, offset, end = 0, first, len(chunk)
    while place < end:
        seq, name_length, length = _HEAD.unpack_from(chunk, place)
        start = place + _HEAD.size
        place = start + name_length + length
        if place > end:
            raise ValueError("the last record is cut")
        payload = chunk[start + name_length : place]
        records.append(Record(offset, chunk[start : start + name_length].decode(), seq, payload))
        offset += 1
    return records


def chunks(records: Sequence[Record]) -> Iterable[Sequence[Record]]:
    """In the sizes in which they are kept, each without a hole."""
    start, size, expected = 0, 0, records[0].offset if records else 0
    for place, record in enumerate(records):
        if place - start == CHUNK_RECORDS or size > CHUNK_BYTES or record.offset != expected:
            yield records[start:place]
            start, size = place, 0
        size += len(record.payload)
        expected = record.offset + 1
    if start < len(records):
        yield records[start:]


def stretches(records: Iterable[Record]) -> Mapping[str, Stretch]:
    firsts: dict[str, int] = {}
    lasts: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for _, device, seq, _ in records:
        firsts.setdefault(device, seq)
        lasts[device] = seq
        counts[device] += 1
    return {device: Stretch(first, lasts[device], counts[device]) for device, first in firsts.items()}


def checksum(chunk: bytes, salt: str) -> int:
    """With its journal's salt, so that no chunk of another journal is taken for one of ours."""
    return zlib.crc32(chunk, zlib.crc32(salt.encode()))
