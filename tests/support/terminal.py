"""A terminal: a pty with an emulator at its other end, and a process that draws on it."""

import asyncio
import copy
import fcntl
import os
import signal
import struct
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pyte

from tests.support.forked import Forked, clean_environment
from tests.support.gateway_process import until

_OTHER_SCREEN = 1049
_KIND = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


class _Emulator(pyte.Screen):
    """With the other screen of xterm, which pyte leaves out."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self.kept: Any = None

    def set_mode(self, *modes: int, **how: Any) -> None:
        if how.get("private") and _OTHER_SCREEN in modes and self.kept is None:
            self.kept = (copy.deepcopy(self.buffer), copy.copy(self.cursor))
        super().set_mode(*modes, **how)

    def reset_mode(self, *modes: int, **how: Any) -> None:
        super().reset_mode(*modes, **how)
        if how.get("private") and _OTHER_SCREEN in modes and self.kept is not None:
            (self.buffer, self.cursor), self.kept = self.kept, None
            self.dirty.update(range(self.lines))

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        """At the end of a full row, the last character goes: the cursor stands on it."""
        self.cursor.x = min(self.cursor.x, self.columns - 1)
        super().erase_in_line(how, private)


class Terminal:
    process: asyncio.subprocess.Process | Forked

    def __init__(self, ours: int, theirs: int, columns: int, rows: int) -> None:
        """`ours` is the emulator's side."""
        self._ours = ours
        self._theirs = theirs
        self._emulator = _Emulator(columns, rows)
        self._stream = pyte.ByteStream(self._emulator)
        self.raw = b""
        """All that was written to it."""
        self.before = self.mode
        self.after: list[Any] = []
        """Its mode, when all was over."""
        self._set_size(columns, rows)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *command: str | Path,
        columns: int = 100,
        rows: int = 30,
        environment: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Self]:
        """That process on a terminal of its own; ended by force if the test does not end it."""
        async with cls._opened(columns, rows) as terminal:
            theirs = terminal._theirs
            terminal.process = process = await asyncio.create_subprocess_exec(
                *command,
                stdin=theirs, stdout=theirs, stderr=theirs,
                env={**clean_environment(), **_KIND, **(environment or {})},
                start_new_session=True, preexec_fn=_control_it,
            )  # fmt: skip
            try:
                yield terminal
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    @classmethod
    @asynccontextmanager
    async def sallyport(
        cls,
        *arguments: str | Path,
        columns: int = 100,
        rows: int = 30,
        environment: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Self]:
        """`sallyport …` likewise."""
        async with cls._opened(columns, rows) as terminal:
            theirs = terminal._theirs
            async with Forked.running(
                *arguments,
                stdin=theirs, stdout=theirs, stderr=theirs,
                environment={**_KIND, **(environment or {})},
            ) as terminal.process:  # fmt: skip
                yield terminal

    @classmethod
    def top(cls, folder: Path, *arguments: str, **how: Any) -> AbstractAsyncContextManager[Self]:
        """`sallyport top`, of the gateway whose configuration is in that folder."""
        environment = {"RUNTIME_DIRECTORY": str(folder / "run"), **how.pop("environment", {})}
        return cls.sallyport(
            "top", "--every", "200ms", "--by", "anna", *arguments, environment=environment, **how
        )

    @classmethod
    @asynccontextmanager
    async def _opened(cls, columns: int, rows: int) -> AsyncIterator[Self]:
        ours, theirs = os.openpty()
        loop = asyncio.get_running_loop()
        terminal = cls(ours, theirs, columns, rows)
        loop.add_reader(ours, terminal._read)
        try:
            yield terminal
        finally:
            terminal.after = terminal.mode
            loop.remove_reader(ours)
            os.close(ours)
            os.close(theirs)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._emulator.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def mode(self) -> list[Any]:
        """How it treats what is typed: termios(3)."""
        return termios.tcgetattr(self._theirs)

    @property
    def cursor_shown(self) -> bool:
        return not self._emulator.cursor.hidden

    @property
    def wraps(self) -> bool:
        """Whether it goes on in the next row at the end of one."""
        return pyte.modes.DECAWM in self._emulator.mode

    @property
    def on_other_screen(self) -> bool:
        return self._emulator.kept is not None

    @property
    def chosen(self) -> str:
        """The line that is shown in reverse."""
        for number, line in enumerate(self.lines):
            row = self._emulator.buffer[number]
            if line and row[0].reverse:
                assert row[self._emulator.columns - 1].reverse, "from one edge to the other"
                return line
        return ""

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        self._emulator.resize(rows, columns)
        self._set_size(columns, rows)

    async def shows(self, *texts: str) -> None:
        try:
            await until(lambda: all(text in self.text for text in texts))
        except TimeoutError:
            raise AssertionError(f"{texts} are not on the terminal:\n{self.text}") from None

    async def ended(self) -> int:
        """The exit status of the process, when all that it wrote is on the screen."""
        async with asyncio.timeout(30):
            status = await self.process.wait()
        await asyncio.sleep(0.05)
        self._read()
        return status

    def _read(self) -> None:
        os.set_blocking(self._ours, False)
        try:
            data = os.read(self._ours, 1 << 16)
        except BlockingIOError:
            return
        self.raw += data
        self._stream.feed(data)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _control_it() -> None:
    """In the child, which leads a new session: this is its terminal, whose Ctrl-C it gets."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
