"""M-Bus answers out of a stream of bytes: telegrams become frames. Pure: bytes in, frames out."""

from collections import Counter

from drivers.driver import Frame, Names
from drivers.mbus.application import message
from drivers.mbus.link import Telegram, Telegrams
from drivers.mbus.records import named
from gateway.errors import FrameError


class Answers:
    """Decoder of M-Bus: each telegram of a meter is a frame, its identification number is the id.

    A single character and the master's short telegrams are frames without values; what the master writes
    to a meter is refused, as are a meter's error reports.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._telegrams = Telegrams()
        self.rejected: Counter[str] = self._telegrams.rejected
        self.dropped: Counter[str] = Counter()

    def feed(self, data: bytes) -> list[Frame]:
        return self._frames(self._telegrams.feed(data))

    def finish(self) -> list[Frame]:
        return self._frames(self._telegrams.finish())

    def _frames(self, telegrams: list[tuple[int, Telegram]]) -> list[Frame]:
        frames = []
        for offset, telegram in telegrams:
            if telegram.ci is None:
                name = "ack" if telegram.control is None else "short"
                frames.append(Frame(offset, telegram.length, name, {}))
                continue
            try:
                told = message(telegram, self._names)
            except FrameError as error:
                self.rejected[str(error)] += 1
                continue
            values = named(told.records, self.dropped)
            frames.append(Frame(offset, telegram.length, told.id, values))
        return frames
