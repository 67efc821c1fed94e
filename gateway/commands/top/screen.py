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

_TAKE = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
"""The other screen, so that what stood there comes back; no cursor; no going on in the next row where a terminal finds
a character wider than we do (xterm's control sequences, private modes)."""
_GIVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_UNKNOWN = os.terminal_size((80, 24))
"""Of a terminal that does not say how large it is: a serial line."""


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
        said = os.get_terminal_size(self._out)
        return said if said.columns and said.lines else _UNKNOWN

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
        """All rows of the screen, none longer than it is wide."""
        with self._console.capture() as capture:
            for number, line in enumerate(lines, 1):
                self._console.print(line, end="", no_wrap=True, overflow="crop", crop=True, soft_wrap=True)
                self._console.out("\n" if number < len(lines) else "", end="")
        # Each row is emptied before: at the end of a full one, a terminal's cursor stands on its last character.
        self._write("\x1b[H" + "\n".join(f"\x1b[K{row}" for row in capture.get().split("\n")))

    def _write(self, text: str) -> None:
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding, "replace"))
        sys.stdout.flush()
