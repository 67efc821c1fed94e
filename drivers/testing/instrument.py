"""An instrument on a pseudo-terminal whose line is as bad as lines are."""

import asyncio
import os
import random
import termios
import tty
from pathlib import Path

from drivers.instrument import PtyInstrument

_SPEEDS = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()
}


class UnrulyInstrument(PtyInstrument):
    """Splits and merges what it says, delays it, damages it; hangs up and returns under another path.

    All by chance, and the same for the same seed.
    """

    def __init__(
        self,
        path: Path,
        *,
        seed: int = 0,
        longest_piece: int | None = None,
        held: int = 1,
        delay_s: float = 0.0,
        damage: float = 0.0,
        baudrate: int | None = None,
    ) -> None:
        """How the line is bad.

        Args:
            path: where the link to the terminal is.
            seed: of the chance.
            longest_piece: what is said leaves in pieces of up to so many bytes.
            held: so many sayings are merged into one; those that are still held at the end are not said.
            delay_s: the longest wait before a piece.
            damage: the share of sayings in which a byte is another one.
            baudrate: whoever has set the terminal to another one hears noise; None: the terminal's does not matter.
        """
        super().__init__(path)
        self._chance = random.Random(seed)
        self._longest_piece = longest_piece
        self._held = held
        self._delay_s = delay_s
        self._damage = damage
        self._baudrate = baudrate
        self._kept: list[bytes] = []
        self.damaged: list[int] = []
        """Which sayings were damaged, counted from 0."""
        self._said = 0

    def line_speed(self) -> int:
        """What the other end has set the terminal to, in bits per second."""
        assert self._line is not None
        return _SPEEDS.get(termios.tcgetattr(self._line)[5], 0)

    def move(self) -> None:
        """Hang up, and be another terminal behind the same link, as ttyACM0 returns as ttyACM1."""
        line, terminal = os.openpty()
        tty.setraw(terminal)
        os.set_blocking(line, False)
        other = os.ttyname(terminal)
        os.close(terminal)
        self.unplug()
        self.path.symlink_to(other)
        self._line = line

    async def say(self, data: bytes) -> None:
        if self._chance.random() < self._damage:
            place = self._chance.randrange(len(data))
            damaged = data[place] ^ self._chance.randint(1, 255)
            data = data[:place] + bytes([damaged]) + data[place + 1 :]
            self.damaged.append(self._said)
        self._said += 1
        self._kept.append(data)
        if len(self._kept) < self._held:
            return
        whole = b"".join(self._kept)
        self._kept.clear()
        if self._baudrate is not None and self.line_speed() != self._baudrate:
            whole = self._chance.randbytes(len(whole))
        while whole:
            size = self._chance.randint(1, self._longest_piece or len(whole))
            await asyncio.sleep(self._chance.uniform(0, self._delay_s))
            await super().say(whole[:size])
            whole = whole[size:]
