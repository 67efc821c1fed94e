"""A household's three-phase meter of mode C that proposes 9600 baud, with its highest powers of past months."""

import math
import random
import re
from collections.abc import Iterator

from drivers.checksum import xor8

FIRST_LINE = b"/SAL5\\SIM-3\r\n"
_REQUEST = re.compile(rb"/\?(?P<address>[^!]{0,32})!\r\n")
_ACKNOWLEDGEMENT = re.compile(rb"\x06[0-9][0-9A-I][01]\r\n")
_ADDRESS = b"00123456"
_LONGEST_QUESTION = 64
_MONTHS = 3


class Meter:
    """It answers a sign-on with its first line, and an acknowledgement with its readout."""

    def __init__(self, seed: int = 0) -> None:
        self._readouts = readouts(seed)
        self._heard = b""

    def answer(self, heard: bytes) -> bytes:
        self._heard = (self._heard + heard)[-_LONGEST_QUESTION:]
        answer = b""
        while b"\n" in self._heard:
            question, _, self._heard = self._heard.partition(b"\n")
            question += b"\n"
            if request := _REQUEST.search(question):
                if not request["address"] or request["address"].lstrip(b"0") == _ADDRESS.lstrip(b"0"):
                    answer += FIRST_LINE
            elif _ACKNOWLEDGEMENT.search(question):
                answer += next(self._readouts)
        return answer


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, all that the meter says in one exchange, the same for the same seed."""
    for readout in readouts(seed):
        yield FIRST_LINE + readout


def readouts(seed: int = 0) -> Iterator[bytes]:
    """Endless, a readout for each five minutes."""
    chance = random.Random(seed)  # noqa: S311 - a simulated house, not a secret
    imported_kwh = 8048.375
    highest_kw = 2.468
    minute = 0
    while True:
        power_kw = 0.9 + 0.6 * math.sin(minute / 100) + chance.uniform(0, 0.5)
        imported_kwh += power_kw * 5 / 60
        highest_kw = max(highest_kw, power_kw)
        yield readout(
            [
                "F.F(00000000)",
                "0.0.0(00123456)",
                "0.2.0(1.04)",
                f"1.6.1({highest_kw:06.3f}*kW)(2606010930)",
                f"1.7.0({power_kw:06.3f}*kW)",
                f"1.8.0({imported_kwh:011.3f}*kWh)",
                f"1.8.1({imported_kwh - 2100:011.3f}*kWh)",
                "1.8.2(0002100.000*kWh)",
                "2.8.0(0000000.000*kWh)",
                *(f"{phase * 20 + 12}.7.0({chance.gauss(231, 0.6):05.1f}*V)" for phase in (1, 2, 3)),
                *(f"{phase * 20 + 11}.7.0({power_kw / 0.231 / 3:05.2f}*A)" for phase in (1, 2, 3)),
                f"14.7.0({chance.gauss(50, 0.01):05.2f}*Hz)",
                *(f"1.8.0*{month:02}({8048 - 240 * month:07}.000*kWh)" for month in range(1, _MONTHS + 1)),
                *(f"1.6.1*{month:02}(03.258*kW)(26{6 - month:02}102000)" for month in range(1, _MONTHS + 1)),
            ]
        )
        minute += 5


def readout(lines: list[str]) -> bytes:
    """The lines as they go on the line: between STX and ETX, with the check character."""
    block = "\r\n".join([*lines, "!", ""]).encode("ascii") + b"\x03"
    return b"\x02%b%c" % (block, xor8(block))
