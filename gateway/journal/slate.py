"""What `kill -9` must not take: each turn of the loop's records, in the system's page cache at once.

A commit of SQLite costs two thread switches and some page writes, however small it is; for a handful of
readings every few milliseconds that would be most of what the gateway spends. So they are first written
here, each group with one `pwrite` of a few microseconds, and forced to no disk. Two files take turns: while
what stands in one is delivered or brought into the database, the other one is written.

Layout of a file: `!` when it is torn, else 0; then chunks (little endian) until the first that is not whole or
belongs to an earlier turn.
    crc 4 (of all that follows)   length 4   turn 8   kind 1   first offset 8   body
    kind 0 is the state at the beginning of the turn (JSON), always the first chunk;
    others number the stream whose records (`record.pack`) follow.
"""

import errno
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple, Self

STATE = 0
LARGEST = 64_000_000
"""Bytes of a file. It comes near to that only while the database cannot follow."""
KEPT = 4_000_000
"""Of a file that was larger once: to cut it each time would be work for nothing."""
_TORN = b"!"
_CRC = struct.Struct("<I")
_HEAD = struct.Struct("<IQBQ")
_START = _CRC.size + _HEAD.size


class Chunk(NamedTuple):
    kind: int
    first: int
    body: bytes


class Side(NamedTuple):
    """What one of the files holds."""

    turn: int
    state: bytes
    chunks: list[Chunk]
    torn: bool
    """Readings were shown that are not here."""


class Slate:
    def __init__(self, files: tuple[int, int], turn: int) -> None:
        self._files = files
        self._turn = turn
        self._place = 1
        self._ends = [os.fstat(file).st_size for file in files]

    @property
    def last(self) -> int:
        """The number of the turn."""
        return self._turn

    @classmethod
    def open(cls, journal: Path, turn: int) -> Self:
        """`turn`: the last one that was found here. Raises: OSError."""
        first, second = paths(journal)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        file = os.open(first, flags, 0o600)
        try:
            return cls((file, os.open(second, flags, 0o600)), turn)
        except OSError:
            os.close(file)
            raise

    def turn(self, state: bytes) -> None:
        """Begin the other file with this state: nothing that stands there is needed any more. Raises: OSError."""
        self._turn += 1
        side = self._turn % 2
        if self._ends[side] > KEPT:
            os.ftruncate(self._files[side], KEPT)
            self._ends[side] = KEPT
        self._place = 0
        self._put(b"\0" + self._chunk(STATE, 0, state))

    def write(self, kind: int, first: int, body: bytes) -> None:
        """Raises: OSError."""
        self._put(self._chunk(kind, first, body))

    def tear(self) -> None:
        """Note that what is shown from now on is not here. It needs no room on the disk. Raises: OSError."""
        for file, end in zip(self._files, self._ends, strict=True):
            if end:
                os.pwrite(file, _TORN, 0)

    def _chunk(self, kind: int, first: int, body: bytes) -> bytes:
        head = _HEAD.pack(len(body), self._turn, kind, first)
        return b"".join((_CRC.pack(zlib.crc32(body, zlib.crc32(head))), head, body))

    def _put(self, data: bytes) -> None:
        if self._place + len(data) > LARGEST:
            raise OSError(errno.EFBIG, "the database has not followed for too long")
        # Not in a thread: a write into the page cache costs less than telling another thread of it.
        side = self._turn % 2
        if os.pwrite(self._files[side], data, self._place) != len(data):
            raise OSError(errno.ENOSPC, "the disk took a part of a write only")
        self._place += len(data)
        self._ends[side] = max(self._place, self._ends[side])

    def wipe(self) -> None:
        """Everything is safe elsewhere."""
        for file in self._files:
            os.ftruncate(file, 0)
        self._ends = [0, 0]

    def close(self) -> None:
        for file in self._files:
            os.close(file)


def paths(journal: Path) -> tuple[Path, Path]:
    return (journal.with_name(f"{journal.name}-slate0"), journal.with_name(f"{journal.name}-slate1"))


def read(journal: Path) -> list[Side]:
    """What the two files hold, the older one first; nothing of a file that is not there or not whole."""
    files = [_content(path) for path in paths(journal)]
    sides = [side for data in files if (side := _side(data)) is not None]
    sides.sort(key=lambda side: side.turn)
    # Except before its second turn, a slate has two sides.
    if sides and len(sides) < len(files) and (all(files) or sides[-1].turn > 1):
        sides[-1] = sides[-1]._replace(torn=True)
    return sides


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _side(data: bytes) -> Side | None:
    turn = 0
    found: list[Chunk] = []
    place, this = 1, 0
    while place + _START <= len(data):
        (crc,) = _CRC.unpack_from(data, place)
        length, this, kind, first = _HEAD.unpack_from(data, place + _CRC.size)
        end = place + _START + length
        whole = end <= len(data) and zlib.crc32(data[place + _CRC.size : end]) == crc
        if not whole or (found and this != turn):
            break
        turn = this
        found.append(Chunk(kind, first, data[place + _START : end]))
        place, this = end, 0
    if not found or found[0].kind != STATE:
        return None
    # A chunk of the same turn that is not whole: somebody has seen it, unless the process ended in the middle of it.
    return Side(turn, found[0].body, found[1:], torn=this == turn or data.startswith(_TORN))
