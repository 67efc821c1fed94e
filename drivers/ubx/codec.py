"""UBX messages out of a stream of bytes, NMEA sentences between them. Pure: bytes in, frames out."""

from collections import Counter
from collections.abc import Collection
from itertools import accumulate

from drivers.checksum import fletcher8
from drivers.driver import Frame, Names
from drivers.nmea0183.codec import Sentences
from drivers.ubx.messages import ONLY_WHEN_ASKED_FOR, TEXTS, name_of, reader, variant
from drivers.ubx.reader import Reader
from gateway.model import Value

SYNC = b"\xb5\x62"
OF_SENTENCES = "nmea."
"""Before the metrics of NMEA sentences."""
LONGEST = 8192
"""Bytes of payload; beyond it a length is noise. The largest known message, measurements of every signal, has 3 KB."""
_HEAD = 6
_CHECK = 2


class Messages:
    """Decoder of UBX: each message with the right checksum is a frame, its name is the id.

    Layout: B5 62 class id length payload ck_a ck_b; the length, of the payload, has 16 bits, little endian.
        ck  Fletcher's checksum with bytes, from class to payload
    `nmea`: the sentences between the messages are frames too.
    Source: u-blox M8 receiver description, section 32 (UBX protocol).
    """

    def __init__(
        self,
        *,
        names: Names,
        also: Collection[str] = (),
        ignore: Collection[str] = (),
        nmea: bool = False,
    ) -> None:
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._names: Names = names
        self._silent = (ONLY_WHEN_ASKED_FOR - set(also)) | set(ignore)
        self._readers: dict[str, Reader] = {}
        self._held = b""
        self._offset = 0  # of the first byte in _held
        self._sums: _Sums | None = None  # of _held, once something in it was a false start
        self._sentences: Sentences | None = None
        if nmea:
            self._sentences = Sentences()
            self._sentences.rejected = self.rejected
            self._sentences.dropped = self.dropped

    def feed(self, data: bytes) -> list[Frame]:
        return self._scan(data, ended=False)

    def finish(self) -> list[Frame]:
        """Messages that stand behind the start of one that never ended."""
        frames = self._scan(b"", ended=True)
        if self._sentences:
            frames += map(_renamed, self._sentences.finish())
        return frames

    def _scan(self, data: bytes, *, ended: bool) -> list[Frame]:
        stream = self._held + data
        sums = self._sums
        if sums:
            sums.append(data)
        frames: list[Frame] = []
        done = 0  # up to here all is said
        at = stream.find(SYNC)
        while at >= 0:
            end = at + _HEAD + int.from_bytes(stream[at + 4 : at + _HEAD], "little") + _CHECK
            if at + _HEAD > len(stream) or (end > len(stream) and end - at <= _HEAD + LONGEST + _CHECK):
                if not ended:
                    break
                at = stream.find(SYNC, at + 1)
                continue
            if end - at > _HEAD + LONGEST + _CHECK:
                self.rejected["too long"] += 1
            elif sums.fit(stream, at, end) if sums else _fits(stream[at:end]):
                self._between(stream[done:at], end - at, frames)
                frames.append(self._frame(stream[at:end], self._offset + at))
                done = end
                at = stream.find(SYNC, end)
                continue
            else:
                self.rejected["checksum"] += 1
                # Where one start is false others may follow at every other byte.
                if not sums:
                    sums = _Sums()
                    sums.append(stream)
            # A bad checksum drops one byte, not the frame: the true start may be inside.
            at = stream.find(SYNC, at + 1)
        if at < 0:
            half = stream.endswith(SYNC[:1], done) and not ended
            at = len(stream) - half
        self._between(stream[done:at], 0, frames)
        self._held = stream[at:]
        self._offset += at
        self._sums = sums if self._held else None
        if self._sums:
            self._sums.forget(at)
        return frames

    def _between(self, gap: bytes, message: int, frames: list[Frame]) -> None:
        """What stands before a message of so many bytes: sentences, text, noise."""
        if self._sentences:
            # A message is zeros to them: so their offsets are the stream's, and it cuts a sentence off.
            frames += map(_renamed, self._sentences.feed(gap + bytes(message)))

    def _frame(self, message: bytes, offset: int) -> Frame:
        payload = message[_HEAD:-_CHECK]
        name = name_of(message[2:4], payload)
        values: dict[str, Value] = {}
        if payload and name in TEXTS and name not in self._silent:
            form = variant(name, payload, self._names)
            read = self._readers.get(form)
            if read is None:
                read = self._readers[form] = reader(form, self._names)
            values = read.read(payload, self.dropped)
        return Frame(offset, len(message), name, values)


def _renamed(sentence: Frame) -> Frame:
    """A sentence's speed is in knots, a message's in m/s: they must not be one metric."""
    sentence.values = {OF_SENTENCES + name: value for name, value in sentence.values.items()}
    return sentence


def _fits(message: bytes) -> bool:
    return fletcher8(message[2:-_CHECK]) == int.from_bytes(message[-_CHECK:], "big")


class _Sums:
    """Running sums over what is held, by which a checksum takes the same time whatever its length.

    A stream of nothing but false starts would otherwise be summed up again and again, however it is cut.
    """

    def __init__(self) -> None:
        self._sums = [0]
        self._sums_of_sums = [0, 0]

    def append(self, data: bytes) -> None:
        sums = [*accumulate(data, initial=self._sums[-1])][1:]
        self._sums += sums
        self._sums_of_sums += [*accumulate(sums, initial=self._sums_of_sums[-1])][1:]

    def forget(self, count: int) -> None:
        """The first bytes of the stream; of the sums only differences count."""
        del self._sums[:count]
        del self._sums_of_sums[:count]

    def fit(self, stream: bytes, start: int, end: int) -> bool:
        first, last = start + 2, end - _CHECK
        before = self._sums[first]
        a = self._sums[last] - before
        b = self._sums_of_sums[last + 1] - self._sums_of_sums[first + 1] - (last - first) * before
        return stream[last] == a & 0xFF and stream[last + 1] == b & 0xFF
