"""systemd's journal, by its native protocol: a datagram of fields for each line.

Source: systemd.io/JOURNAL_NATIVE_PROTOCOL; systemd.exec(5), $JOURNAL_STREAM; systemd.journal-fields(7).
"""

import logging
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from gateway.logs.forms import Form, prefixed, priority
from gateway.logs.line import Line

SOCKET = Path("/run/systemd/journal/socket")

PATIENCE_S = 0.5
"""A journald that takes nothing may hold up the gateway for so long, once; then lines are lost until it does."""


def leads_to_journald(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether this is the stream that systemd has connected with its journal, and nobody has turned it elsewhere."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class Journald(logging.Handler):
    """Where it cannot be reached, lines go to `stream`, with their priority and without their fields."""

    def __init__(self, stream: TextIO, path: Path = SOCKET, *, patience_s: float = PATIENCE_S) -> None:
        super().__init__()
        self._patience_s = patience_s
        self._path = path
        self._socket: socket.socket | None = None
        self._lost = 0
        self._instead = logging.StreamHandler(stream)
        self._instead.setFormatter(Form(prefixed))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = Line.of(record)
            if self._lost:
                lost = f"log: {self._lost} lines are missing here: journald did not take them"
                self._send(Line(record.created, logging.WARNING, lost, {}))
                self._lost = 0
            self._send(line)
        except (BlockingIOError, TimeoutError):
            self._lost += 1
        except OSError:
            self._hang_up()
            self._instead.emit(record)
        except (TypeError, ValueError):  # of our own: arguments that do not fit the text
            self.handleError(record)

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _send(self, line: Line) -> None:
        data = datagram(line)
        try:
            self._connected().send(data)
        except ConnectionError:  # journald was started anew, with another socket
            self._hang_up()
            self._connected().send(data)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.connect(str(self._path))
        self._socket.settimeout(0 if self._lost else self._patience_s)
        return self._socket

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def datagram(line: Line) -> bytes:
    """Layout: for each field its name, a line end, the value's length as 8 bytes little endian, the value, a line end.

    There is a shorter one, `NAME=value`, for values without a line end; this one holds for all.
    """
    fields = {
        "MESSAGE": "\n".join((line.text, *line.trace)),
        "PRIORITY": str(priority(line.level)),
        "SYSLOG_IDENTIFIER": "sallyport",
        **line.fields,
    }
    return b"".join(
        b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(value)), value)
        for name, value in ((name, text.encode()) for name, text in fields.items())
    )
