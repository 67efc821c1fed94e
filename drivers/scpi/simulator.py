"""A bench supply that feeds a load, and listens to SCPI."""

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping

_COMMAND = re.compile(r"(?:SOUR1:|SOURCE1:)?(VOLT|CURR|OUTP1:STAT)\s+(\S+)")
_LIMITS = {"VOLT": 32.0, "CURR": 3.0}
_LOAD_OHM = 24.0


class Supply:
    """One channel: its set points, its output, its error queue."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a simulated supply, not a secret
        self._set = {"VOLT": 12.0 + seed % 5, "CURR": 1.0}
        self._is_on = True
        self._errors: list[str] = []
        self._asked = 0
        self._rest = b""

    def answer(self, heard: bytes) -> bytes:
        *lines, self._rest = (self._rest + heard).split(b"\n")
        said = (self._say(line.decode("ascii", "replace").strip().upper()) for line in lines)
        return b"".join(f"{text}\n".encode("ascii") for text in said if text)

    def _say(self, line: str) -> str:
        if line in _QUESTIONS:
            return _QUESTIONS[line](self)
        if line == "*CLS":
            self._errors.clear()
        elif line:
            self._do(line)
        return ""

    def identity(self) -> str:
        return "SALLYPORT,SIM-1326,0001,1.0"

    def complete(self) -> str:
        return "1"

    def everything(self) -> str:
        return ",".join(f"{value:.4f}" for value in self._measured())

    def volts(self) -> str:
        return f"{self._measured()[0]:+.4E}"

    def amperes(self) -> str:
        return f"{self._measured()[1]:+.4E}"

    def volts_set(self) -> str:
        return f"{self._set['VOLT']:.3f}"

    def amperes_set(self) -> str:
        return f"{self._set['CURR']:.3f}"

    def output(self) -> str:
        return "ON" if self._is_on else "OFF"

    def error(self) -> str:
        return self._errors.pop(0) if self._errors else '0,"No error"'

    def _do(self, line: str) -> None:
        found = _COMMAND.fullmatch(line)
        if found is None:
            self._errors.append('-113,"Undefined header"')
        elif found[1] in _LIMITS:
            try:
                wanted = float(found[2])
            except ValueError:
                wanted = math.nan
            if 0 <= wanted <= _LIMITS[found[1]]:
                self._set[found[1]] = wanted
            else:
                self._errors.append('-222,"Data out of range"')
        elif found[2] in {"ON", "OFF", "0", "1"}:
            self._is_on = found[2] in {"ON", "1"}
        else:
            self._errors.append('-224,"Illegal parameter value"')

    def _measured(self) -> tuple[float, float, float]:
        """Volts, amperes, watts."""
        self._asked += 1
        load = _LOAD_OHM * (1 + 0.2 * math.sin(self._asked / 40))
        volts = min(self._set["VOLT"], self._set["CURR"] * load) if self._is_on else 0.0
        volts += self._chance.gauss(0, 0.002)
        return volts, volts / load, volts * volts / load


_QUESTIONS: Mapping[str, Callable[[Supply], str]] = {
    "*IDN?": Supply.identity,
    "*OPC?": Supply.complete,
    "MEAS1:ALL?": Supply.everything,
    "MEAS:VOLT?": Supply.volts,
    "MEAS:CURR?": Supply.amperes,
    "SOUR1:VOLT?": Supply.volts_set,
    "SOUR1:CURR?": Supply.amperes_set,
    "OUTP1:STAT?": Supply.output,
    "SYST:ERR?": Supply.error,
}


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless: the answers to MEAS1:ALL?, the same for the same seed."""
    supply = Supply(seed)
    while True:
        yield supply.answer(b"MEAS1:ALL?\n")
