"""Answers out of a stream of bytes. Pure: bytes in, frames out."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import cycle

from drivers.driver import Frame
from drivers.scpi.answers import Reader
from drivers.scpi.options import Options, QueryOptions
from gateway.errors import FrameError

_ENDS = b"\r\n"
_LINE_END = re.compile(rb"[\r\n]")
_NO_TEXT = re.compile("[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f\\ufffd]")
_GENERIC = QueryOptions(name="value", query="?")


def measured(held: bytes, start: int, limit: int) -> tuple[int, int] | None:
    """Where the answer that begins there ends, without and with its end; None: that is still to come.

    A block, `#<digits><length><bytes>`, may hold line ends; it counts only if a line end stands behind it.
    Source: IEEE 488.2, section 8.7.9.
    """
    if held[start : start + 1] == b"#" and (length := _block(held, start)) is not None and length <= limit:
        if length < 0 or start + length >= len(held):
            return None
        if held[start + length] in _ENDS:
            return start + length, _behind(held, start + length)
    return _line(held, start)


def _line(held: bytes, start: int) -> tuple[int, int] | None:
    found = _LINE_END.search(held, start)
    return (found.start(), _behind(held, found.start())) if found else None


def _block(held: bytes, start: int) -> int | None:
    """Length of a block with its head; -1: its head is still to come; None: it is none."""
    head = held[start + 1 : start + 11]
    if not head:
        return -1
    digits = head[0] - ord("0")
    if not 0 < digits <= 9:  # noqa: PLR2004 - one digit; 0 is a block without a known end
        return None
    size = head[1 : 1 + digits]
    if size and not size.isdigit():
        return None
    return 2 + digits + int(size) if len(size) == digits else -1


def _behind(held: bytes, end: int) -> int:
    return end + (2 if held[end : end + 2] == b"\r\n" else 1)


class Answers:
    """Decoder of recorded answers: each is a frame, from its first byte to its last line end.

    The queries of the options are taken to be asked in their order, again and again; without any, each
    answer's value is called `value`. A block is a good frame; it has a value only if it is text.
    """

    def __init__(self, options: Options) -> None:
        self._limit = options.max_answer
        self._queries = cycle(
            [(query.name, Reader(query, options.values)) for query in options.queries]
            or [("answer", Reader(_GENERIC))]
        )
        self._held = bytearray()
        self._offset = 0  # of the first byte in _held
        self._skipping = False
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._held += data
        yield from self._frames(is_last=False)

    def finish(self) -> Iterator[Frame]:
        yield from self._frames(is_last=True)

    def _frames(self, *, is_last: bool) -> Iterator[Frame]:
        held = bytes(self._held)
        done = 0
        while done < len(held):
            if held[done] in _ENDS and not self._skipping:
                done += 1
                continue
            found = _line(held, done) if self._skipping else measured(held, done, self._limit)
            if found is None and is_last:
                found = _line(held, done) or (len(held), len(held))
            # After a carriage return at the very end a line feed may still come.
            if found is None or (found[1] == len(held) and held.endswith(b"\r") and not is_last):
                break
            end, behind = found
            if self._skipping:
                self._skipping = False
            elif end - done > self._limit:
                self.rejected["too long"] += 1
            elif (frame := self._frame(self._offset + done, held[done:end], behind - done)) is not None:
                yield frame
            done = behind
        if len(held) - done > self._limit + 2:
            if not self._skipping:
                self.rejected["too long"] += 1
            self._skipping = True
            done = len(held) - held.endswith(b"\r")  # it ends what is skipped
        del self._held[:done]
        self._offset += done

    def _frame(self, offset: int, answer: bytes, length: int) -> Frame | None:
        name, reader = next(self._queries)
        try:
            text = text_of(answer)
            values = reader.read(text) if text is not None else {}
        except FrameError as error:
            self.rejected[str(error)] += 1
            return None
        if text is None:
            self.dropped["block"] += 1
        elif not values:
            self.dropped["overload or not a number"] += 1
        return Frame(offset, length, name, values)


def text_of(answer: bytes) -> str | None:
    """What an answer says; None: a block of binary data. Raises: FrameError."""
    is_block = answer.startswith(b"#") and _block(answer, 0) == len(answer)
    if is_block:
        answer = answer[2 + answer[1] - ord("0") :]
    elif answer.startswith(b"#0"):
        raise FrameError("block without a length")
    text = answer.decode("utf-8", "replace")
    if not is_block:
        text = text.strip(" \t\0")
    if (text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text) or not _NO_TEXT.search(text):
        return text
    if is_block:
        return None
    raise FrameError("not a text")
