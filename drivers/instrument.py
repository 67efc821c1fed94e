"""A simulated instrument on a real pseudo-terminal: the other end of the line.

For `sallyport demo`, for tests, and for users without hardware.
"""

import asyncio
import errno
import fcntl
import os
import select
import struct
import termios
import tty
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from drivers.driver import Answering

_EMPTY_LOOKS = 3
"""In a row, before a terminal counts as read: what is written reaches its other end a moment later."""


class PtyInstrument:
    """The instrument's side of a pseudo-terminal; the gateway opens `path`.

    `path` is a link to the terminal, as /dev/serial/by-id has them: it goes when the instrument is
    unplugged and may lead elsewhere when it returns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._line: int | None = None

    @classmethod
    @contextmanager
    def plugged_in(cls, path: Path, **how: Any) -> Iterator[Self]:
        """`how`: what else the class is made from."""
        instrument = cls(path, **how)
        instrument.plug_in()
        try:
            yield instrument
        finally:
            instrument.unplug()

    def plug_in(self) -> None:
        if self._line is not None:
            raise RuntimeError(f"{self.path} is plugged in already")
        line, terminal = os.openpty()
        try:
            tty.setraw(terminal)
            _set_speed(terminal, termios.B50)
            os.set_blocking(line, False)
            self.path.symlink_to(os.ttyname(terminal))
        except OSError:
            os.close(line)
            raise
        finally:
            os.close(terminal)
        self._line = line

    def unplug(self) -> None:
        """Hang up; whoever has the port open finds out at once. Safe to call twice."""
        if self._line is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._line)
            self._line = None

    async def say(self, data: bytes) -> None:
        """Write to the line; waits while its buffer (4 KiB in Linux) is full and nobody reads."""
        while data:
            if self._line is None:
                raise RuntimeError(f"{self.path} is not plugged in")
            try:
                data = data[os.write(self._line, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.005)

    async def hear(self) -> bytes:
        """What the gateway has written, as far as it has come; waits for the first of it. `b""` once unplugged."""
        while self._line is not None:
            try:
                return os.read(self._line, 4096)
            except BlockingIOError:
                await asyncio.sleep(0.001)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                await asyncio.sleep(0.01)  # nobody has the terminal open
        return b""

    async def serve(self, instrument: Answering) -> None:
        """Answer until unplugged."""
        while heard := await self.hear():
            if answer := instrument.answer(heard):
                await self.say(answer)

    @property
    def is_open(self) -> bool:
        """Whether somebody has the terminal open."""
        watch = select.poll()
        assert self._line is not None
        watch.register(self._line, 0)
        return not any(event & select.POLLHUP for _, event in watch.poll(0))

    async def closed(self) -> None:
        """Wait until nobody has the terminal open."""
        while self.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def opened(self) -> None:
        """Wait until somebody has the terminal open, and has set its speed or let two seconds pass."""
        assert self._line is not None
        while not self.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for _ in range(200):
            if termios.tcgetattr(self._line)[5] != termios.B50:
                break
            await asyncio.sleep(0.01)

    async def heard_out(self) -> None:
        """Wait until whoever has the terminal open has read all that was said; unplugging would take it away."""
        terminal = os.open(self.path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            looks = 0
            while looks < _EMPTY_LOOKS:
                waiting = struct.unpack("i", fcntl.ioctl(terminal, termios.FIONREAD, bytes(4)))[0]
                looks = 0 if waiting else looks + 1
                await asyncio.sleep(0.01)
        finally:
            os.close(terminal)

    async def play(self, telegrams: Iterable[bytes], *, every_s: float) -> None:
        """One telegram each interval, for as long as there are any."""
        for telegram in telegrams:
            await self.say(telegram)
            await asyncio.sleep(every_s)


def _set_speed(terminal: int, speed: int) -> None:
    """One that nobody uses shows who has not set it yet."""
    settings = termios.tcgetattr(terminal)
    settings[4] = settings[5] = speed
    termios.tcsetattr(terminal, termios.TCSANOW, settings)
