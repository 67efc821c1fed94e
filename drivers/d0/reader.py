"""How a meter is asked for a readout: sign-on, identification, acknowledgement, and the change of speed."""

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from drivers.asking import Answered, Asker
from drivers.d0.codec import IDENTIFICATION, Readouts
from drivers.driver import Frame
from drivers.line import Line, Turn
from gateway.errors import FrameError, LinkSilent

if TYPE_CHECKING:
    from drivers.d0 import Options

SPEEDS_C = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19_200}
"""By the baud character of modes C and E; the host acknowledges with the one it wants."""
SPEEDS_B = {"A": 600, "B": 1200, "C": 2400, "D": 4800, "E": 9600, "F": 19_200}
"""By that of mode B, where the meter changes without being told."""

REACTION_S = 0.2
"""The least pause between two messages (section 5.3.1 of the standard, t_r)."""

_BITS_PER_BYTE = 10
_WAKE_UP_S = 2.2
_AFTER_WAKE_UP_S = 1.6
"""Section 6.1 of the standard: zeros for 2.1 to 2.3 s, then a pause of 1.5 to 1.7 s."""

_IDENTIFICATION = re.compile(IDENTIFICATION)
_BAUD_CHARACTER = 4
_LONGEST_BEFORE = 1024  # noise, our own echo, and the first line


class _Heard(NamedTuple):
    first_line: bytes
    rest: bytes


class Reader(Asker):
    """Asks for a data readout, round after round."""

    _options: "Options"

    def __init__(
        self, name: str, line: Line, options: "Options", decoder: Callable[["Options"], Readouts]
    ) -> None:
        super().__init__(name, line, options)
        self._decoder = decoder
        self._speed = options.baudrate

    async def ask(self) -> Answered:
        async with self._line.turn() as turn:
            try:
                return await self._readout(turn)
            finally:
                if not turn.port.lost:
                    await self._change(turn, self._options.baudrate)

    async def _change(self, turn: Turn, speed: int) -> None:
        if speed != self._speed:
            self._speed = 0  # cancelled or refused half-way, nobody knows
            await turn.port.set_baudrate(speed)
            self._speed = speed

    @property
    def _can_change(self) -> bool:
        """Behind a TCP socket is a speed that we cannot change."""
        return not self._options.port.startswith("tcp://")

    async def _readout(self, turn: Turn) -> Answered:
        options = self._options
        if options.wake_up:
            await turn.send(bytes(round(_WAKE_UP_S * options.baudrate / _BITS_PER_BYTE)))
            await asyncio.sleep(_WAKE_UP_S + _AFTER_WAKE_UP_S)
        await turn.send(f"/?{options.address}!\r\n".encode("ascii"))
        (first_line, rest), at = await turn.receive(_identified, longest=_LONGEST_BEFORE)
        character = chr(first_line[_BAUD_CHARACTER])
        if options.mode in ("auto", "C") and character in SPEEDS_C:
            character, speed = self._agreed(character)
            await asyncio.sleep(REACTION_S)
            await turn.send(f"\x060{character}0\r\n".encode("ascii"))
            rest = b""
        elif options.mode in ("auto", "B") and self._can_change:
            speed = SPEEDS_B.get(character, options.baudrate)
        else:
            speed = options.baudrate
        await self._change(turn, speed)
        frame = await self._received(turn, first_line + rest)
        return Answered(frame.values, at)

    def _agreed(self, proposed: str) -> tuple[str, int]:
        """The baud character to acknowledge with, and its speed."""
        offered = SPEEDS_C[proposed]
        fastest = min(offered, self._options.fastest) if self._can_change else self._options.baudrate
        character = max((each for each, speed in SPEEDS_C.items() if speed <= fastest), default="0")
        return character, SPEEDS_C[character]

    async def _received(self, turn: Turn, before: bytes) -> Frame:
        decoder = self._decoder(self._options)
        fed = 0

        def parse(heard: bytes) -> Frame | None:
            nonlocal fed
            frames = decoder.feed(heard[fed:])
            fed = len(heard)
            if frames:
                return frames[0]
            if decoder.rejected:
                raise FrameError(next(iter(decoder.rejected)))
            return None

        try:
            frame = parse(before)
            fed = 0
            if frame is None:
                frame = (await turn.receive(parse))[0]
        except (FrameError, LinkSilent):
            # Some meters send neither ETX nor BCC: silence is what ends their readout.
            if decoder.rejected or not (last := decoder.finish()):
                raise
            frame = last[0]
        self.dropped.update(decoder.dropped)
        return frame


def _identified(heard: bytes) -> _Heard | None:
    """The meter's first line; what comes before it is our own echo, or noise."""
    match = _IDENTIFICATION.search(heard)
    return match and _Heard(match[0], heard[match.end() :])
