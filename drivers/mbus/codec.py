"""M-Bus answers out of a stream of bytes: telegrams become frames. Pure: bytes in, frames out."""

from collections import Counter
from collections.abc import Iterator
from itertools import starmap

from drivers.driver import Frame, Names
from drivers.mbus.application import message, values
from drivers.mbus.link import Telegram, Telegrams
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

    def feed(self, data: bytes) -> Iterator[Frame]:
        return filter(None, starmap(self._frame, self._telegrams.feed(data)))

    def finish(self) -> Iterator[Frame]:
        return filter(None, starmap(self._frame, self._telegrams.finish()))

    def _frame(self, offset: int, telegram: Telegram) -> Frame | None:
        if telegram.ci is None:
            return Frame(offset, telegram.length, "ack" if telegram.control is None else "short", {})
        try:
            told = message(telegram, self._names)
        except FrameError as error:
            self.rejected[str(error)] += 1
            return None
        return Frame(offset, telegram.length, told.id, values([told], self.dropped))
