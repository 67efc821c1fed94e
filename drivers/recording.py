"""A recording: what came over a line, and when, in a file that can be cut anywhere and is still good.

Layout: JSON, one object a line. First what was recorded and how the line was set:
    {"recording": 1, "began": "2026-11-22T17:07:01.123Z", "port": "/dev/ttyUSB0", "baudrate": 9600, …}
then each piece as it came, with the seconds since `began`:
    {"at": 0.731, "rx": "24475052…"}
A last line that was cut off is left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import orjson

from gateway.errors import UsageError

_BEGINNING = b'{"recording":'


class Piece(NamedTuple):
    at: float
    """Seconds since the recording began."""
    data: bytes


class Recorder:
    """Writes a recording; each piece is with the system before the next one is awaited."""

    def __init__(self, file: BinaryIO, about: Mapping[str, Any]) -> None:
        """`file`: unbuffered. `about`: what the first line says besides."""
        self._file = file
        self.size = 0
        self._line({"recording": 1, **about})

    def add(self, piece: Piece) -> None:
        self._line({"at": round(piece.at, 6), "rx": piece.data.hex()})

    def _line(self, content: Mapping[str, Any]) -> None:
        self.size += self._file.write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE))


class Recording(NamedTuple):
    about: Mapping[str, Any]
    pieces: list[Piece]

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """None for a file that is no recording, such as raw bytes.

        Raises: UsageError, for a damaged one, with the number of the bad line; OSError.
        """
        content = file.read_bytes()
        if not content.startswith(_BEGINNING):
            return None
        first, *lines, _cut_off = content.split(b"\n")
        about = _entry(first, 1)
        return cls(about, [_piece(line, number) for number, line in enumerate(lines, 2)])


def unwrapped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What the line said, of a file's chunks: those of a recording without its times, others as they are.

    Raises: UsageError, for a damaged recording, with the number of the bad line.
    """
    rest = b""
    number = 0
    recorded: bool | None = None
    for chunk in chunks:
        if recorded is None:
            recorded = chunk.startswith(_BEGINNING)
        if not recorded:
            yield chunk
            continue
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            if number > 1:
                yield _piece(line, number).data


def _piece(line: bytes, number: int) -> Piece:
    entry = _entry(line, number)
    try:
        return Piece(float(entry["at"]), bytes.fromhex(entry["rx"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"line {number} of the recording is damaged: {error}") from None


def _entry(line: bytes, number: int) -> dict[str, Any]:
    try:
        entry = orjson.loads(line)
    except ValueError as error:
        raise UsageError(f"line {number} of the recording is damaged: {error}") from None
    if not isinstance(entry, dict):
        raise UsageError(f"line {number} of the recording is damaged: it is no object")
    return entry
