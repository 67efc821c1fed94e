"""VE.Direct: text blocks and hex frames out of one stream of bytes. Pure: bytes in, frames out."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from drivers.driver import Frame
from drivers.vedirect import fields, registers
from drivers.vedirect.products import PRODUCTS
from gateway.model import Value

LONGEST_BLOCK = 2048
"""Bytes of text; the standard allows some 1,000, and devices send less than 300."""

LONGEST_HEX = 512
"""Digits; registers with histories have some 80."""

PING, DONE, UNKNOWN, ERROR, GET, SET, ASYNC = "5", "1", "3", "4", "7", "8", "A"
"""The digit that a frame begins with; of a command PING is 1."""

_KINDS = {
    DONE: "done",
    UNKNOWN: "unknown",
    ERROR: "error",
    PING: "ping",
    GET: "get",
    SET: "set",
    ASYNC: "async",
}
# Digits are never given back: a `:` in front of a long row of them costs its length once.
_HEX = re.compile(
    rb":[0-9A-Fa-f]{3,%(most)d}+\n|:[0-9A-Fa-f]{0,%(most)d}+\Z" % {b"most": LONGEST_HEX}, re.ASCII
)
_MARK = b"\r\nChecksum\t"
_LINE = rb"\r\n([!-~]{1,20}+)\t[ -~\x80-\xff]{0,100}+"
_FIELD = re.compile(_LINE + rb"(?=\r\n)")
_FIELDS = re.compile(rb"(?:%b)+" % _LINE)
_FIRST = frozenset({b"PID", b"H1"})
"""With these labels the devices begin their blocks."""


def hex_frame(command: str, payload: bytes = b"") -> bytes:
    """A frame as it goes on the line."""
    check = (0x55 - int(command, 16) - sum(payload)) & 0xFF
    return b":%b%b%02X\n" % (command.encode("ascii"), payload.hex().upper().encode("ascii"), check)


@dataclass(slots=True)
class HexFrame(Frame):
    """A good frame of the hex protocol, with what an answer is recognised by."""

    command: str
    register: int | None = None
    flags: int = 0
    data: bytes = b""
    """Of the register."""


class Blocks:
    r"""Decoder of VE.Direct: a text block with the right sum is a frame `text`, a hex frame one `hex:<kind>`.

    Layout of a block: lines `\r\nLABEL\tvalue`, the last one `\r\nChecksum\tX`; the sum of all bytes, X included,
    is 0 modulo 256, so X may be any byte, `:` and line ends too.
    Layout of a hex frame: `:` N DD DD ... CC `\n` in hex digits: N the kind, CC what makes the sum of N and all
    bytes 0x55. Kinds get, set and async carry register (2 bytes, low one first), flags and value.
    A hex frame may stand within a block, and does not count in its sum. A block begins where the one before has
    ended; one whose sum is wrong may hold the true one behind the rest of another.
    Source: VE.Direct protocol 3.33, sections "Message format" and "Checksum"; BlueSolar HEX protocol, "Frame format".
    """

    def __init__(self, *, readable: bool) -> None:
        self._readable = readable
        self._held = b""  # the start of what may become a hex frame
        self._text = b""  # since the last block, hex frames taken out
        self._taken: list[tuple[int, int]] = []  # where they were in it, and their lengths
        self._text_offset = 0
        self._offset = 0  # of the first byte in _held
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def feed(self, data: bytes) -> list[Frame]:
        stream = self._held + data
        frames: list[Frame] = []
        done = 0
        at = 0
        while (match := _HEX.search(stream, at)) is not None:
            start, end = match.span()
            self._add_text(stream[done:start], frames)
            done = start
            if self._text.endswith(_MARK):
                at = start + 1  # the block's checksum is a colon
            elif match[0][-1:] != b"\n":
                break  # it may still become one
            else:
                at = end
                if (frame := self._hex_frame(match[0], self._offset + start)) is not None:
                    frames.append(frame)
                self._take(end - start)
                done = end
        else:
            self._add_text(stream[done:], frames)
            done = len(stream)
        self._held = stream[done:]
        self._offset += done
        return frames

    def finish(self) -> list[Frame]:
        """A last block whose checksum is a colon; what else is unfinished is left uncounted."""
        frames: list[Frame] = []
        self._add_text(self._held, frames)
        self._offset += len(self._held)
        self._held = self._text = b""
        self._taken = []
        self._text_offset = self._offset
        return frames

    # Hex frames

    def _hex_frame(self, frame: bytes, offset: int) -> HexFrame | None:
        if len(frame) % 2 == 0:
            self.rejected["hex length"] += 1
            return None
        content = bytes.fromhex("0" + frame[1:-1].decode("ascii"))
        if sum(content) & 0xFF != 0x55:  # noqa: PLR2004 - as drawn above
            self.rejected["hex checksum"] += 1
            return None
        command = frame[1:2].decode("ascii").upper()
        payload = content[1:-1]
        found = HexFrame(offset, len(frame), f"hex:{_KINDS.get(command, command)}", {}, command)
        if command in (GET, SET, ASYNC):
            self._register(payload, found)
        elif len(payload) >= 2 and command in (PING, DONE):  # noqa: PLR2004 - 16 bits
            number = payload[0] | payload[1] << 8
            if command == DONE:
                found.values["product_id"] = registers.called(number)
            elif self._readable:
                found.values["firmware"] = f"{number >> 8 & 0x3F:x}.{number & 0xFF:02x}"
            else:
                found.values["app_version"] = registers.called(number)
        return found

    def _register(self, payload: bytes, frame: HexFrame) -> None:
        if len(payload) < 3:  # noqa: PLR2004 - register and flags
            self.dropped["register cut short"] += 1
            return
        frame.register = payload[0] | payload[1] << 8
        frame.flags = payload[2]
        frame.data = payload[3:]
        if frame.flags:
            self.dropped["register refused"] += 1
        elif frame.data:
            read = registers.readable if self._readable else registers.raw
            name, value = read(frame.register, frame.data)
            if value is not None and value != "":
                frame.values[name] = value

    def _take(self, length: int) -> None:
        place = len(self._text)
        if self._taken and self._taken[-1][0] == place:
            length += self._taken.pop()[1]
        self._taken.append((place, length))

    # Text blocks

    def _add_text(self, text: bytes, frames: list[Frame]) -> None:
        begun = len(self._text)
        self._text += text
        done = 0
        look = max(begun - len(_MARK), 0)
        while (mark := self._text.find(_MARK, look)) >= 0 and mark + len(_MARK) < len(self._text):
            end = mark + len(_MARK) + 1
            first = max(done, end - LONGEST_BLOCK)
            if (frame := self._block(self._text[first:end], first)) is not None:
                frames.append(frame)
            done = look = end
        if len(self._text) - done > 2 * LONGEST_BLOCK:  # rarely, for it copies
            done = len(self._text) - LONGEST_BLOCK
        if done:
            self._forget(done)

    def _forget(self, count: int) -> None:
        gone = bisect_left(self._taken, (count, 0))
        self._text_offset += count + sum(length for _, length in self._taken[:gone])
        self._taken = [(index - count, length) for index, length in self._taken[gone:]]
        self._text = self._text[count:]

    def _where(self, index: int) -> int:
        """The stream's offset of a byte in _text, or of the hex frames right in front of it."""
        return self._text_offset + index + sum(length for place, length in self._taken if place < index)

    def _block(self, block: bytes, first: int) -> Frame | None:
        """`first` is the block's place in _text."""
        end = len(block) - len(_MARK) - 1
        if _FIELDS.fullmatch(block, 0, end) and sum(block) & 0xFF == 0:
            return self._frame(block[:end], first, len(block))
        found = list(_FIELD.finditer(block))
        for index in _starts(found, end):
            start = found[index].start()
            if sum(block[start:]) & 0xFF == 0:
                if index:
                    self.rejected["cut"] += 1
                return self._frame(block[start:end], first + start, len(block) - start)
        if found:
            self.rejected["checksum"] += 1
        return None

    def _frame(self, lines: bytes, start: int, size: int) -> Frame:
        offset = self._where(start)
        return Frame(offset, self._where(start + size - 1) + 1 - offset, "text", self._values(lines))

    def _values(self, lines: bytes) -> dict[str, Value]:
        values: dict[str, Value] = {}
        repeated: Counter[str] = Counter()
        read = fields.readable if self._readable else fields.raw
        for line in lines.decode("latin-1")[2:].split("\r\n"):
            label, _, text = line.partition("\t")
            try:
                name, value = read(label, text)
            except ValueError:
                self.dropped["unreadable field"] += 1
                continue
            if value is not None:
                unique = name
                while unique in values:  # counted, not searched for: a hostile block may repeat a label often
                    repeated[name] += 1
                    unique = f"{name}_{repeated[name] + 1}"
                values[unique] = value
        if (model := PRODUCTS.get(str(values.get("product_id")))) is not None:
            values["model"] = model  # a battery monitor's own field says less
        return values


def _starts(found: list[re.Match[bytes]], end: int) -> Iterator[int]:
    """Which of these fields may be a block's first, so that it is whole up to its checksum line at `end`."""
    expected = end
    labels: set[bytes] = set()
    repeated = first_label = None
    index = len(found)
    while index and found[index - 1].end() == expected:
        index -= 1
        label = found[index][1]
        if repeated is None and label in labels:
            repeated = index + 1
        if first_label is None and label in _FIRST:
            first_label = index
        labels.add(label)
        expected = found[index].start()
    if not index and found:
        yield 0
    for start in (first_label, repeated):
        if start:
            yield start
