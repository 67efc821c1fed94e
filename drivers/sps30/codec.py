"""What the SPS30 says. Pure: bytes in, frames out."""

from collections import Counter
from struct import Struct

from drivers.driver import Frame, Names
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
    started, and is dropped. The flag behind a refused frame may begin the next one.
    """

    def __init__(self, *, address: int, names: Names) -> None:
        self._address = address
        self._names = names
        self._held = b""
        self._offset = 0  # of the first byte in _held
        self._begins = True  # the next flag begins a frame for sure: it does not end one
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
            self._begins = self._judge(stream[start + 1 : end], self._offset + start, frames)
            at = end + 1 if self._begins else end
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
        self._lost = True
        self._begins = False

    def _refuse(self, reason: str) -> bool:
        self.rejected[reason] += 1
        self._requests = bool(self._requests)
        return False

    def _judge(self, between: bytes, offset: int, frames: list[Frame]) -> bool:
        """Whether it is a frame."""
        if not between:
            return self._refuse("empty") if self._begins else False
        if len(between) > LONGEST:
            return self._refuse("too long")
        length = len(between) + 2
        said = parse(between)
        if isinstance(said, Answer):
            self._requests = bool(self._requests)
            if frame := self._answered(said, offset, length):
                frames.append(frame)
            return True
        if self._requests is False or isinstance(asked := parse_request(between), str):
            return self._refuse(said)
        self._requests = True
        values: dict[str, Value] = {
            "address": asked.address,
            "command": asked.command,
            "payload": asked.data.hex(),
        }
        frames.append(self._other(offset, length, values))
        return True

    def _answered(self, said: Answer, offset: int, length: int) -> Frame | None:
        address, command, state, data = said
        if (address, command) == (self._address, MEASURED) and not error(state) and is_measurement(data):
            if any(data):
                return Frame(offset, length, "SPS30", measured(data, self._names))
            self.dropped["warming up"] += 1
            return None
        values: dict[str, Value] = {
            "address": address,
            "command": command,
            "state": state,
            "payload": data.hex(),
        }
        return self._other(offset, length, values)

    def _other(self, offset: int, length: int, values: dict[str, Value]) -> Frame:
        return Frame(offset, length, "shdlc", values if self._names == "protocol" else {})
