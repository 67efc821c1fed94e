"""What the SPS30 says. Pure: bytes in, frames out."""

from collections import Counter
from struct import Struct

from drivers.driver import Frame, Names
from drivers.float32 import shortest
from drivers.sps30.shdlc import FLAG, LONGEST, Answer, parse, parse_request
from gateway.model import Value

START, STOP, MEASURED, CLEANING, INFORMATION, VERSION, STATUS = 0x00, 0x01, 0x03, 0x80, 0xD0, 0xD1, 0xD2

FAULT = 0x80
"""In an answer's state: a bit of the status register is set."""

ERRORS = {
    0x01: "wrong data length",
    0x02: "unknown command",
    0x03: "no access right",
    0x04: "illegal parameter",
    0x28: "argument out of range",
    0x43: "not allowed in this state",
}
"""By an answer's state."""

READABLE = (
    "pm1",
    "pm2_5",
    "pm4",
    "pm10",
    "particles_0_5",
    "particles_1",
    "particles_2_5",
    "particles_4",
    "particles_10",
    "particle_size",
)
CODES = ("pm01", "pm25", "pm04", "pm10", "n0_5", "n1_0", "n2_5", "n4_0", "n10_0", "diam")
"""PyPMS's."""

_floats = Struct(">10f")
_integers = Struct(">10H")


_FILL = 2
"""Pairs of flags that may stand between two frames: an end and a start, and one to fill the line."""


def error(state: int) -> str:
    """What an answer's state complains about, in a few words; "" for nothing."""
    code = state & ~FAULT
    return ERRORS.get(code, "unknown error") if code else ""


def is_measurement(data: bytes) -> bool:
    return len(data) in (_floats.size, _integers.size)


def measured(data: bytes, names: Names) -> dict[str, Value]:
    """Mass in µg/m³, numbers in 1/cm³, the typical size in µm, which the integer format has in nm.

    NaN is left out. Source: SPS30 datasheet 1.0, section 4.3.
    """
    values: tuple[float, ...]
    if len(data) == _floats.size:
        values = _floats.unpack(data)
    else:
        *others, size = _integers.unpack(data)
        values = (*others, size / 1000)
    if names == "readable":
        values = tuple(map(shortest, values))
    found = zip(READABLE if names == "readable" else CODES, values, strict=True)
    return {name: value for name, value in found if -3.5e38 < value < 3.5e38}  # noqa: PLR2004 - no NaN, no infinity


def faults(register: bytes) -> dict[str, Value]:
    """The status register, big endian: bit 21 the fan's speed, 5 the laser's current, 4 the fan stands still."""
    bits = int.from_bytes(register[:4], "big")
    return {
        "fan_speed_fault": bool(bits >> 21 & 1),
        "laser_fault": bool(bits >> 5 & 1),
        "fan_fault": bool(bits >> 4 & 1),
    }


def text(data: bytes) -> str:
    return data.partition(b"\x00")[0].decode("ascii", "replace")


def answer_in(heard: bytes, address: int, command: int) -> tuple[Answer | None, str]:
    """The answer to this command among these bytes; while there is none, why what is whole is refused."""
    refused = ""
    for between in heard.split(FLAG)[1:-1]:
        if between:
            match parse(between):
                case str(reason):
                    refused = reason
                case answer if (answer.address, answer.command) == (address, command):
                    return answer, ""
    return None, refused if heard.endswith(FLAG) else ""


class Exchanges:
    """Decoder of recorded answers, and of requests too in a recording that begins with one.

    The id is SPS30 for a measurement; the frames of other commands are `shdlc`, and with `names = "protocol"` give
    address, command, state and payload. A measurement of zeros alone comes from a sensor that has just been
    started, and is dropped.
    """

    # The flag behind a frame may begin the next one, too: some devices send one between two frames, and of a
    # frame without its end, or of the first one heard, nobody knows which flag was which.

    def __init__(self, *, address: int, names: Names) -> None:
        self._address = address
        self._names = names
        self._held = b""
        self._offset = 0  # of the first byte in _held
        self._last_end = 0  # of the last good frame
        self._fill = 0  # pairs of flags that may stand here before one is an empty frame
        self._lost = False  # in bytes that are counted
        self._requests: bool | None = None  # None until the first thing is heard
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def feed(self, data: bytes) -> list[Frame]:
        stream = self._held + data
        frames: list[Frame] = []
        at = 0
        while at < len(stream):
            start = stream.find(FLAG, at)
            if start != at:
                self._lose("no start")
            if start < 0:
                at = len(stream)
                break
            end = stream.find(FLAG, start + 1)
            if end < 0 and len(stream) - start - 1 <= LONGEST:
                at = start
                break
            self._lost = False
            if end < 0:
                self._lose("too long")
                at = len(stream)
                break
            if told := self._judge(stream[start + 1 : end]):
                begun, ended = max(self._offset + start, self._last_end), self._offset + end + 1
                self._last_end = ended
                if told[0]:
                    frames.append(Frame(begun, ended - begun, *told))
            at = end
        self._held = stream[at:]
        self._offset += at
        return frames

    def finish(self) -> list[Frame]:
        """What the end cuts off is not counted."""
        self._held = b""
        return []

    def _lose(self, reason: str) -> None:
        if not self._lost:
            self._refuse(reason)
            self._fill = _FILL
        self._lost = True

    def _refuse(self, reason: str) -> None:
        self.rejected[reason] += 1
        self._requests = bool(self._requests)

    def _judge(self, between: bytes) -> tuple[str, dict[str, Value]] | None:
        """Id and values of a frame; an empty id for a good one that is dropped."""
        if not between:
            if not self._fill:
                self._refuse("empty")
            self._fill -= 1
            return None
        self._fill = _FILL
        if len(between) > LONGEST:
            self._refuse("too long")
            return None
        said = parse(between)
        if isinstance(said, Answer):
            self._requests = bool(self._requests)
            return self._answered(*said)
        asked = said if self._requests is False else parse_request(between)
        if isinstance(asked, str):
            self._refuse(said)
            return None
        self._requests = True
        address, command, data = asked
        return self._other({"address": address, "command": command, "payload": data.hex()})

    def _answered(self, address: int, command: int, state: int, data: bytes) -> tuple[str, dict[str, Value]]:
        if (address, command) == (self._address, MEASURED) and not error(state) and is_measurement(data):
            if any(data):
                return "SPS30", measured(data, self._names)
            self.dropped["warming up"] += 1
            return "", {}
        return self._other({"address": address, "command": command, "state": state, "payload": data.hex()})

    def _other(self, told: dict[str, Value]) -> tuple[str, dict[str, Value]]:
        return "shdlc", told if self._names == "protocol" else {}
