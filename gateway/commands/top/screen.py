"""The terminal, taken over and given back as it was, whatever happens in between."""

import os
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

_TAKE = "\x1b[?1049h\x1b[?25l\x1b[2J"
"""The other screen, so that what stood there comes back; no cursor (xterm's control sequences, private modes)."""
_GIVE = "\x1b[0m\x1b[?25h\x1b[?1049l"


class Screen:
    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._in)
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    @property
    def plain(self) -> bool:
        """Whether it can show ASCII only."""
        return self._console.options.ascii_only

    @property
    def size(self) -> os.terminal_size:
        return os.get_terminal_size(self._out)

    def take(self) -> None:
        """Keys come one by one and are not shown. Also when it is ours already: a shell may have had it meanwhile."""
        mode = [*self._before]
        mode[0] &= ~termios.IXON  # Ctrl-S would stop us with the screen half written
        mode[3] &= ~(termios.ICANON | termios.ECHO)  # signals stay: Ctrl-C, Ctrl-Z
        mode[6] = [*mode[6]]
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._in, termios.TCSADRAIN, mode)
        self._write(_TAKE)

    def give_back(self) -> None:
        """As it was. Where the terminal has gone, there is nothing to be done."""
        with suppress(OSError, termios.error):
            self._write(_GIVE)
            termios.tcsetattr(self._in, termios.TCSAFLUSH, self._before)

    def show(self, lines: Sequence[Text]) -> None:
        """Each is one row, and no longer than the screen is wide."""
        with self._console.capture() as capture:
            for number, line in enumerate(lines, 1):
                self._console.print(line, end="", no_wrap=True, overflow="crop", crop=True, soft_wrap=True)
                self._console.out("\n" if number < len(lines) else "", end="")
        rows = capture.get().split("\n")
        self._write("\x1b[H" + "\x1b[K\n".join(rows) + "\x1b[K\x1b[J")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
