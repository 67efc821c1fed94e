"""Messages of a MySensors serial gateway out of a stream of bytes. Pure: bytes in, frames out."""

import re
from typing import NamedTuple

from drivers.driver import Frame
from drivers.framing import LineDecoder, Lines
from drivers.mysensors.types import COMMANDS, INTERNAL, SET, Kind
from gateway.errors import FrameError
from gateway.model import Value

LONGEST = 512
"""The radio carries 25 bytes of payload; a gateway's log line has up to some 200."""

_HEADS_HELD = 1024
"""What comes before the payload; a network has some hundred of them."""

_HEAD = re.compile(rb"(\d{1,3});(\d{1,3});([0-4]);([01]);(\d{1,3});")
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_FLOAT = re.compile(r"-?\d{1,18}\.\d{0,18}", re.ASCII)
_NOISE = bytes({*range(0x21), *range(0x7F, 0x100)})
_HIGHEST = 255
_TRUTH = {"0": False, "1": True}


class _Head(NamedTuple):
    command: str
    name: str = ""
    kind: Kind | None = None
    """None: it carries no value of ours."""


class Messages(LineDecoder):
    """Decoder of the MySensors serial protocol 2.x: each message is a frame, its command is the id.

    Layout: `node;child;command;ack;type;payload` and LF.
        node, child  0 to 255 (255: the node itself, or everybody)      ack  1 for an echo
    Values are what nodes set, and what they say of themselves (battery, version, sketch). The payload is
    the rest of the line, also with `;` in it. Presentations, requests, logs and firmware are good frames
    without values.
    Source: mysensors.org, "Serial Protocol - 2.x".
    """

    def __init__(self, *, readable: bool) -> None:
        super().__init__(Lines(LONGEST))
        self._readable = readable
        self._heads: dict[bytes, _Head] = {}

    def _frame(self, offset: int, line: bytes) -> Frame | None:
        begun = line.lstrip(_NOISE)  # what a UART makes up while the gateway resets
        parts = begun.split(b";", 5)
        if len(parts) <= 5:  # noqa: PLR2004 - five numbers and the payload
            self.rejected["not a message"] += 1
            return None
        payload = parts[5]
        written = begun[: len(begun) - len(payload)]
        try:
            head = self._heads.get(written) or self._read(written)
        except FrameError as error:
            self.rejected[str(error)] += 1
            return None
        values: dict[str, Value] = {}
        if head.kind is not None:
            values[head.name] = self._value(payload.decode("utf-8", "replace").rstrip(), head.kind)
        elif head.command == "set":
            self.dropped["unknown type"] += 1
        return Frame(offset + len(line) - len(begun), len(begun), head.command, values)

    def _read(self, written: bytes) -> _Head:
        """Raises: FrameError."""
        found = _HEAD.fullmatch(written)
        if found is None:
            raise FrameError("not a message")
        node, child, code, _, number = map(int, found.groups())
        if max(node, child, number) > _HIGHEST:
            raise FrameError("number above 255")
        command = COMMANDS[code]
        known = (
            SET.get(number) if command == "set" else INTERNAL.get(number) if command == "internal" else None
        )
        if known is None:
            head = _Head(command)
        else:
            place = [f"node{node}", f"child{child}"] if self._readable else [str(node), str(child)]
            name = known.readable if self._readable else known.code
            head = _Head(command, ".".join([*place[: 2 if command == "set" else 1], name]), known.kind)
        if len(self._heads) >= _HEADS_HELD:
            self._heads.clear()
        self._heads[written] = head
        return head

    def _value(self, text: str, kind: Kind) -> Value:
        if kind == "text":
            return text
        if kind == "boolean" and self._readable and text in _TRUTH:
            return _TRUTH[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text
