"""The ports, and what is said on them."""

import os
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from drivers.instrument import PtyInstrument

BLOCK = 64
"""Lines that a flood writes at once."""


class Port(PtyInstrument):
    def fileno(self) -> int:
        assert self._line is not None
        return self._line

    def write(self, data: bytes) -> int:
        """How much of it the line has taken."""
        try:
            return os.write(self.fileno(), data)
        except BlockingIOError:
            return 0


class Hall:
    def __init__(self, ports: Sequence[Port]) -> None:
        self.ports = ports
        self.sent = 0

    @classmethod
    @contextmanager
    def of(cls, folder: Path, count: int) -> Iterator[Self]:
        with ExitStack() as stack:
            yield cls(
                [stack.enter_context(Port.plugged_in(folder / f"p{number}")) for number in range(count)]
            )

    def talk(self, *, rate: float, seconds: float) -> None:
        """Each in turn, evenly, so many readings a second in all."""
        start = time.monotonic()
        for number in range(round(rate * seconds)):
            if (ahead_s := start + number / rate - time.monotonic()) > 0:
                time.sleep(ahead_s)
            turn, port = divmod(number, len(self.ports))
            line = b'{"n":%d,"t":21.5,"at":%d}\n' % (turn, time.time_ns())
            while line:  # where nobody reads, it waits
                line = line[self.ports[port].write(line) :]
            self.sent += 1

    def flood(self, *, readings: int) -> None:
        """So many in all, as fast as somebody reads."""
        per_port = readings // len(self.ports)
        said = dict.fromkeys(self.ports, 0)
        rests = dict.fromkeys(self.ports, b"")
        by_descriptor = {port.fileno(): port for port in self.ports}
        poll = select.poll()
        for port in self.ports:
            poll.register(port, select.POLLOUT)
        while by_descriptor:
            for descriptor, _ in poll.poll(1000):
                port = by_descriptor[descriptor]
                if not rests[port]:
                    block = range(said[port], min(said[port] + BLOCK, per_port))
                    if not block:
                        poll.unregister(port)
                        del by_descriptor[descriptor]
                        continue
                    rests[port] = b"".join(
                        b'{"n":%d,"t":21.5,"rh":44.25,"ok":true}\n' % each for each in block
                    )
                    said[port] = block.stop
                rests[port] = rests[port][port.write(rests[port]) :]
        self.sent += sum(said.values())
