"""The answers of Winsen's CO2 sensors. Pure: bytes in, frames out."""

from collections import Counter
from collections.abc import Mapping
from struct import pack

from drivers.checksum import sum8_negated
from drivers.driver import Frame, Names
from drivers.framing import Headed, Kind
from gateway.model import Value

HEADER = b"\xff\x86"
LENGTH = 9

MEASUREMENT = b"\xff\x01\x86\x00\x00\x00\x00\x00\x79"


def command(number: int, argument: bytes = b"") -> bytes:
    """A request.

    Layout (9 bytes):
        FF 01 NN AA AA AA AA AA SS
        N  number                 A  argument, filled up with zeros
        S  checksum, two's complement of the sum of the seven bytes before
    Source: Winsen MH-Z19B manual 1.0, section "Serial port communication".
    """
    body = pack("BB5s", 1, number, argument)
    return b"\xff" + body + bytes([sum8_negated(body)])


def self_calibration(*, on: bool) -> bytes:
    """Take the lowest of each day for 400 ppm from now on, or do not."""
    return command(0x79, b"\xa0" if on else b"")


def detection_range(ppm: int) -> bytes:
    """Measure up to this.

    The manual has the number in the argument's first two bytes; the sensors heed the last two.
    """
    return command(0x99, b"\x00\x00\x00" + ppm.to_bytes(2, "big"))


def fault(frame: bytes) -> str:
    """Why an answer of nine bytes is refused; "" for a good one."""
    return "checksum" if sum(frame[1:]) & 0xFF else ""


def is_warming_up(frame: bytes) -> bool:
    """Whether it measures nothing yet: all zero."""
    return not any(frame[2:-1])


def values(frame: bytes, *, names: Names, temperature: bool) -> dict[str, Value]:
    """What an answer says.

    Layout (9 bytes):
        FF 86 CC CC TT .. .. .. SS
        C  CO2, big endian, ppm        T  temperature + 40, °C; undocumented
        S  checksum, two's complement of the sum of the seven bytes before
    Source: Winsen MH-Z19B manual 1.0; the temperature: revspace.nl/MHZ19.
    """
    if names == "protocol":
        return {"CO2": frame[2] << 8 | frame[3]}
    found: dict[str, Value] = {"co2": frame[2] << 8 | frame[3]}
    if temperature:
        found["temperature"] = frame[4] - 40
    return found


KINDS: Mapping[bytes, Kind] = {HEADER: Kind(LENGTH, fault)}


def answer_in(heard: bytes) -> tuple[bytes | None, str]:
    """The answer among these bytes, which may begin with noise; while there is none, why the last one is refused."""
    refused = ""
    start = heard.find(HEADER)
    while 0 <= start <= len(heard) - LENGTH:
        frame = heard[start : start + LENGTH]
        if not (refused := fault(frame)):
            return frame, ""
        start = heard.find(HEADER, start + 1)
    return None, refused if start < 0 else ""


class Answers:
    """Decoder of recorded answers; the id is MHZ19B for all models. An answer of zeros alone is dropped."""

    def __init__(self, *, names: Names, temperature: bool) -> None:
        self._names = names
        self._temperature = temperature
        self._frames = Headed(KINDS)
        self.dropped: Counter[str] = Counter()

    @property
    def rejected(self) -> Counter[str]:
        return self._frames.rejected

    def feed(self, data: bytes) -> list[Frame]:
        return self._decoded(self._frames.feed(data))

    def finish(self) -> list[Frame]:
        return self._decoded(self._frames.finish())

    def _decoded(self, found: list[tuple[int, bytes, bytes]]) -> list[Frame]:
        frames = []
        for offset, _, frame in found:
            if is_warming_up(frame):
                self.dropped["warming up"] += 1
            else:
                told = values(frame, names=self._names, temperature=self._temperature)
                frames.append(Frame(offset, LENGTH, "MHZ19B", told))
        return frames
