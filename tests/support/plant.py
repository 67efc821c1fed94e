"""A hall of instruments that know what they have said, and what of it the gateway has read."""

import asyncio
import fcntl
import os
import select
import struct
import termios
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from drivers.instrument import PtyInstrument
from tests.support.gateway_process import GatewayProcess, until

ROOM = 2048
"""Unread bytes beyond which an instrument holds its tongue: half of what a pty takes."""


class Instrument(PtyInstrument):
    """Says numbered lines; keeps the gateway's end of the line open, too, to look into it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.said = 0
        """Whole lines, numbered from 0 on."""
        self.read: list[int] = []
        """Of these, what a gateway is known to have read."""
        self._unsure = 0  # the first one after these
        self._terminal: int | None = None
        self._readable = select.poll()

    def plug_in(self) -> None:
        super().plug_in()
        self._terminal = os.open(self.path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._readable.register(self._terminal, select.POLLIN)

    def unplug(self) -> None:
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
        super().unplug()

    def say_next(self) -> None:
        """The next line, unless the gateway is so far behind that the line might be cut."""
        assert self._line is not None
        assert self._terminal is not None
        if not self.look():
            (unread,) = struct.unpack("i", fcntl.ioctl(self._terminal, termios.FIONREAD, b"\0\0\0\0"))
            if unread > ROOM:
                return
        line = b'{"n":%d,"t":21.5}\n' % self.said
        if os.write(self._line, line) != len(line):
            raise RuntimeError(f"{self.path}: a part of a line only, though there was room")
        self.said += 1

    def look(self) -> bool:
        """Note what has been read; whether that is all that was said to this gateway.

        Exact, and never more than the truth, because nothing is being said meanwhile: where a terminal has
        nothing to read, poll(2) waits for what the line has taken and not yet handed over, and looks again
        (Linux: `tty_buffer_flush_work` in `n_tty_poll`). So "nothing there" means that a reader has it.
        A stamp on each line would not do: the line is the kernel's for a while that nobody knows.
        """
        if self._readable.poll(0):
            return False
        self.read.extend(range(self._unsure, self.said))
        self._unsure = self.said
        return True

    def write_off(self, known: int) -> None:
        """The gateway is dead. It had read the first `known` of `read`; of the others nobody can say, and what
        is still on the line the next one flushes when it opens it."""
        del self.read[known:]
        self._unsure = self.said


class Plant:
    """The instruments talk in turn, evenly, while `talking`."""

    def __init__(self, folder: Path, *, ports: int, rate: float) -> None:
        self.instruments = [Instrument(folder / f"p{number}") for number in range(ports)]
        self.talking = False
        self._folder = folder
        self._gap_s = 1 / rate

    @classmethod
    @contextmanager
    def running(cls, folder: Path, *, ports: int = 16, rate: float = 800) -> Iterator[Self]:
        plant = cls(folder, ports=ports, rate=rate)
        with ExitStack() as stack:
            for each in plant.instruments:
                stack.callback(each.unplug)
                each.plug_in()
            yield plant

    def gateway_config(self, broker_port: int, journal: str = "") -> Path:
        """A file for the gateway that reads them all; `journal` stands in its [journal]."""
        file = self._folder / "gateway.toml"
        file.write_text(
            f'[gateway]\nname = "test"\nstop_timeout = "100ms"\n'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker_port}"\nretry_max = "200ms"\n[journal]\n{journal}\n'
            + "".join(
                f'[devices.{each.path.name}]\ndriver = "json"\nport = "{each.path}"\nretry_max = "200ms"\n'
                for each in self.instruments
            )
        )
        return file

    async def read_by(self, gateway: GatewayProcess) -> None:
        """Talk as soon as it listens: what is said earlier is lost, as on any serial line."""
        ports = [each.path for each in self.instruments]
        await until(lambda: gateway.listens_to(ports))
        self.talking = True

    @property
    def said(self) -> int:
        return sum(each.said for each in self.instruments)

    def look(self) -> bool:
        """Note what has been read of each; whether that is all."""
        looked = [each.look() for each in self.instruments]
        return all(looked)

    async def pause(self) -> None:
        """Until the gateway has read everything: it may be stopped without a loss on the line."""
        self.talking = False
        await until(self.look)

    async def talk(self, lines: int | None = None) -> None:
        """Until so many lines have been said in all; without an end otherwise."""
        loop = asyncio.get_running_loop()
        due, turn = loop.time(), 0
        while lines is None or self.said < lines:
            if not self.talking:
                await asyncio.sleep(self._gap_s)
                due = loop.time()
                continue
            while due <= loop.time() and self.said != lines:
                self.instruments[turn % len(self.instruments)].say_next()
                turn += 1
                due += self._gap_s
            await asyncio.sleep(due - loop.time())
