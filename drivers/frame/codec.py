"""Frames out of a stream of bytes, by a description. Pure: bytes in, frames out."""

from collections import Counter

from drivers.driver import Frame
from drivers.frame.description import Description
from drivers.frame.options import Length, Options, width
from drivers.framing import Terminated

# A refused frame costs one byte, for the true start may be inside; but where something like a start stands at
# every byte, each costs its checksum. Beyond this much work for nothing, one costs its whole length.
_FREE_WORK = 8192
_WORK_PER_BYTE = 4
_WORK_PER_FRAME = 32


def _header(length: Length | None) -> int:
    """How much of a frame says how long it is."""
    return 0 if length is None or length.at is None else length.at + width(length.type)


class Stream:
    """Decoder of frames that have a length or an end; the id is the frame's name, "frame" if there is one kind."""

    def __init__(self, options: Options) -> None:
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._description = Description(options)
        self._start = options.start
        self._end = options.end
        self._length = options.length
        self._order = options.order
        self._longest = options.max_length
        self._least = max(1, len(options.start) + len(options.end), _header(options.length))
        self._held = b""
        self._offset = 0  # of the first byte in _held
        self._claimed = 0  # where the last refused frame would have ended
        self._lost = False  # in bytes that are counted
        self._since = 0  # where the last good frame ended
        self._work = 0  # for frames that were refused, less what the bytes up to there allowed

    def feed(self, data: bytes) -> list[Frame]:
        return self._frames(self._held + data, ended=False)

    def finish(self) -> list[Frame]:
        """Good frames inside one that the end cuts off; that one itself is not counted."""
        return self._frames(self._held, ended=True)

    def pause(self) -> list[Frame]:
        """The line has been silent: what is unfinished stays so."""
        held = len(self._held)
        before = self.rejected.total()
        frames = self._frames(self._held, ended=True)
        if held and not frames and self.rejected.total() == before:
            self.rejected["cut"] += 1
        return frames

    def _frames(self, stream: bytes, *, ended: bool) -> list[Frame]:
        frames: list[Frame] = []
        at, size = 0, len(stream)
        while at < size:
            start = self._begin(stream, at)
            if start > at:
                self._skip_to(start)
                at = start
            if start >= size or size - start < len(self._start):
                break
            end, reason = self._extent(stream, start)
            if end is None or end > size:
                if not ended:
                    break
                self._claimed = self._offset + size
                at += 1
                continue
            frame = stream[start:end]
            self._lost = False
            if reason := reason or self._description.fault(frame):
                self.rejected[reason] += 1
                self._claimed = self._offset + end
                at = self._after_refused(start, end)
                continue
            kind, values = self._description.told(frame, self.dropped)
            frames.append(Frame(self._offset + start, len(frame), kind, values))
            at = end
            self._work = max(0, self._work - self._earned(end))
            self._since = self._offset + end
        if ended:
            at = size
        self._held = stream[at:]
        self._offset += at
        return frames

    def _begin(self, stream: bytes, at: int) -> int:
        """Where the next frame may begin; its start may be about to come whole."""
        start = stream.find(self._start, at)
        return start if start >= 0 else max(at, len(stream) - len(self._start) + 1)

    def _extent(self, stream: bytes, start: int) -> tuple[int | None, str]:
        """Where the frame that begins here ends, None: not known yet; and why it is none."""
        if self._length is not None:
            length = self._said_length(self._length, stream, start)
            if length is None:
                return None, ""
            if not self._least <= length <= self._longest:
                return start + self._least, "length"
            return start + length, ""
        limit = start + self._longest
        found = stream.find(self._end, start + len(self._start), limit)
        if found >= 0:
            return found + len(self._end), ""
        return (limit, "too long") if len(stream) >= limit else (None, "")

    def _said_length(self, length: Length, stream: bytes, start: int) -> int | None:
        if length.at is None:
            return length.fixed
        first = start + length.at
        said = stream[first : first + width(length.type)]
        if len(said) < width(length.type):
            return None
        count = int.from_bytes(said, length.order or self._order, signed=length.type[0] == "i")
        return count * length.times + length.add

    def _after_refused(self, start: int, end: int) -> int:
        self._work += _WORK_PER_FRAME + end - start
        return start + 1 if self._work < _FREE_WORK + self._earned(start) else end

    def _earned(self, place: int) -> int:
        return _WORK_PER_BYTE * (self._offset + place - self._since)

    def _skip_to(self, place: int) -> None:
        if not self._lost and self._offset + place > self._claimed:
            self.rejected["no start"] += 1
            self._lost = True


class Delimited:
    """Decoder of frames that are known by their end alone, as lines are; the id is the frame's name."""

    def __init__(self, options: Options) -> None:
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._description = Description(options)
        self._end = options.end
        self._pieces = Terminated(options.end, options.max_length - len(options.end))

    def feed(self, data: bytes) -> list[Frame]:
        frames = []
        for offset, piece in self._pieces.feed(data):
            frame = piece + self._end
            if reason := self._description.fault(frame):
                self.rejected[reason] += 1
            else:
                kind, values = self._description.told(frame, self.dropped)
                frames.append(Frame(offset, len(frame), kind, values))
        if self._pieces.overlong:
            self.rejected["too long"] += self._pieces.overlong
            self._pieces.overlong = 0
        return frames

    def finish(self) -> list[Frame]:
        """What the end cuts off is not counted."""
        for _ in self._pieces.finish():
            pass
        return []

    def pause(self) -> list[Frame]:
        """The line has been silent: what is unfinished stays so."""
        self.rejected["cut"] += len([*self._pieces.finish()])
        return []


class Pieces:
    """Decoder of frames that nothing but silence ends; of bytes without their timing, all are one frame."""

    def __init__(self, options: Options) -> None:
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._description = Description(options)
        self._longest = options.max_length
        self._held = b""
        self._length = 0
        self._offset = 0  # of the first byte in _held

    def feed(self, data: bytes) -> list[Frame]:
        self._length += len(data)
        self._held += data[: self._longest - len(self._held)]
        return []

    @property
    def is_too_long(self) -> bool:
        """Whether no frame can come of it any more, however soon the silence is."""
        return self._length > self._longest

    def finish(self) -> list[Frame]:
        return self.pause()

    def pause(self) -> list[Frame]:
        """The line has been silent: what came is a frame, or none."""
        frame, length, offset = self._held, self._length, self._offset
        self._held, self._length, self._offset = b"", 0, offset + length
        if not length:
            return []
        if reason := "too long" if length > self._longest else self._description.fault(frame):
            self.rejected[reason] += 1
            return []
        kind, values = self._description.told(frame, self.dropped)
        return [Frame(offset, length, kind, values)]


AnyDecoder = Stream | Delimited | Pieces


def decoder(options: Options) -> AnyDecoder:
    if options.length is not None or (options.end and options.start):
        return Stream(options)
    return Delimited(options) if options.end else Pieces(options)
