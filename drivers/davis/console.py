"""The console: woken, asked for packets, heard."""

from drivers.asking import Answered, Asker
from drivers.davis.codec import LENGTH
from drivers.davis.options import Options
from drivers.line import Line, Turn
from gateway.errors import FrameError, LinkSilent
from gateway.model import Value

ACK = b"\x06"
NAK = b"\x21"
NAK_TOO = b"\x15"
"""What the manual's NAK is on the line, weewx found."""
CANCEL = b"\x18"
AWAKE = b"\n\r"
_WAKE_UP_S = 1.2
_TRIES = 3
_LONGEST_HEARD = 1024

REQUESTS = {"loop": (b"LOOP 1\n", 1), "loop2": (b"LPS 2 1\n", 1), "both": (b"LPS 3 2\n", 2)}
"""By the option `packets`: the command, and how many packets it brings."""


class Console(Asker):
    """Source: Davis Vantage Serial Communication Reference Manual 2.6.1, sections V, VIII and IX."""

    def __init__(self, name: str, line: Line, options: Options) -> None:
        super().__init__(name, line, options)
        self._request, self._packets = REQUESTS[options.packets]
        self._timeout_s = options.timeout
        self._new_decoder = options.decoder

    async def ask(self) -> Answered:
        async with self._line.turn() as turn:
            await self._wake_up(turn)
            await turn.send(self._request)
            values, at = await turn.receive(self._parse, longest=_LONGEST_HEARD)
            return Answered(values, at)

    async def _wake_up(self, turn: Turn) -> None:
        """A console that nobody spoke to for two minutes sleeps, and may miss the first call.

        Raises: LinkSilent; FrameError: it talks, but not so.
        """
        for attempt in range(1, _TRIES + 1):
            await turn.send(b"\n")
            try:
                await turn.receive(_awake, timeout_s=min(_WAKE_UP_S, self._timeout_s), longest=_LONGEST_HEARD)
            except (LinkSilent, FrameError):
                if attempt == _TRIES:
                    raise
            else:
                return

    def _parse(self, heard: bytes) -> dict[str, Value] | None:
        """What the packets say, as one: LOOP2 is finer where both say it.

        Raises: FrameError.
        """
        answer = heard.lstrip(AWAKE)
        if not answer:
            return None
        if answer.startswith((NAK, NAK_TOO, CANCEL)):
            raise FrameError("refused")
        if not answer.startswith(ACK):
            raise FrameError("no acknowledgement")
        if len(answer) < len(ACK) + self._packets * LENGTH:
            return None
        decoder = self._new_decoder()
        frames = decoder.feed(answer)
        if decoder.rejected or len(frames) < self._packets:
            raise FrameError("checksum")
        values: dict[str, Value] = {}
        for frame in sorted(frames, key=lambda frame: frame.id):
            values |= frame.values
        return values


def _awake(heard: bytes) -> bool | None:
    return AWAKE in heard or None
