"""A Vantage Pro2 on a roof: its console, which sleeps until it is called."""

import math
import random
import struct
from collections.abc import Iterator

from drivers.checksum import crc16_xmodem

_ACK = b"\x06"
_NAK = b"\x21"
_LINE_END = b"\n\r"
_REPLIES = {
    b"": _LINE_END,
    b"TEST": b"\n\rTEST\n\r",
    b"VER": b"\n\rOK\n\rApr 10 2013\n\r",
    b"NVER": b"\n\rOK\n\r3.80\n\r",
}
_PACKETS_AT_MOST = 400
_DASHED_BYTE, _DASHED_WORD = 0xFF, 0xFFFF
_STEP_S = 2
_LOOP = struct.Struct("<3sbBHHhBhBBH7B4B4BB7BHBHHHHHHHHH4B4B16BBHBBHH2s")
_LOOP2 = struct.Struct("<3sbBHHhBhBBHHHHHHHhBBBhhhHBHHHHHHHHBhhHHH2B10B6H2s")


class SimulatedConsole:
    """Answers a wake-up, TEST, VER, NVER, LOOP and LPS."""

    def __init__(self, seed: int = 0) -> None:
        self._weather = _Weather(seed)
        self._heard = b""
        self._asleep = True

    def answer(self, heard: bytes) -> bytes:
        self._heard += heard
        *commands, self._heard = self._heard.split(b"\n")
        self._heard = self._heard[-80:]
        return b"".join(map(self._obey, commands))

    def _obey(self, command: bytes) -> bytes:
        if self._asleep:
            self._asleep = False  # what woke it, it has not heard
            return b""
        match command.split():
            case [b"LOOP", count] if count.isdigit():
                return _ACK + self._packets(1, int(count))
            case [b"LPS", b"1" | b"2" | b"3" as kinds, count] if count.isdigit():
                return _ACK + self._packets(int(kinds), int(count))
        return _REPLIES.get(command, _NAK)

    def _packets(self, kinds: int, count: int) -> bytes:
        said = b""
        for number in range(min(count, _PACKETS_AT_MOST)):
            self._weather.go_on()
            second = kinds == 2 or (kinds == 3 and number % 2)  # noqa: PLR2004 - as LPS numbers them
            said += self._weather.loop2() if second else self._weather.loop()
        return said


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless answers to `LPS 3 2`, the same for the same seed."""
    console = SimulatedConsole(seed)
    console.answer(b"\n")
    while True:
        yield console.answer(b"LPS 3 2\n")


class _Weather:
    """A day in June, and a shower at noon."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - simulated weather, not a secret
        self._second = 0

    def go_on(self) -> None:
        self._second += _STEP_S
        day = math.sin(self._second / 86_400 * math.tau)
        chance = self._chance
        self._outside = round((64 + 14 * day + chance.gauss(0, 0.1)) * 10)
        self._inside = round((71 + 2 * day) * 10)
        self._humidity = round(60 - 20 * day)
        self._wind = max(round(7 + 3 * math.sin(self._second / 60) + chance.gauss(0, 1)), 0)
        self._direction = round(225 + chance.gauss(0, 12)) % 360 or 360
        self._barometer = 29_920 + round(60 * math.sin(self._second / 20_000) + chance.gauss(0, 1))
        self._sun = max(round(800 * day), 0)
        self._tips = min(self._second // 900, 40)

    def loop(self) -> bytes:
        dashed = [_DASHED_BYTE]
        return _with_crc(
            _LOOP.pack(
                b"LOO", 20, 0, 512, self._barometer, self._inside, 45, self._outside, self._wind, 7, self._direction,
                *dashed * 7, 148, *dashed * 3, *dashed * 4, self._humidity, *dashed * 7, 0, self._sun // 100,
                self._sun, self._tips, _DASHED_WORD, self._tips, 91, 1630, 52, 210, 1204, 35, *dashed * 3, *dashed * 4,
                *bytes(16), 0, 780, 6, 44, 521, 2118, _LINE_END,
            )
        )  # fmt: skip

    def loop2(self) -> bytes:
        outside = self._outside // 10
        return _with_crc(
            _LOOP2.pack(
                b"LOO", 20, 1, 0x7FFF, self._barometer, self._inside, 45, self._outside, self._wind, _DASHED_BYTE,
                self._direction, 70, 10 * self._wind, self._wind + 6, 230, 0x7FFF, 0x7FFF, outside - 14, _DASHED_BYTE,
                self._humidity, _DASHED_BYTE, outside, outside - 1, _DASHED_BYTE, 0, self._sun // 100, self._sun,
                self._tips, _DASHED_WORD, self._tips, 0, 1, 52, self._tips, 2, 12, -7, 29_410, 29_408, 29_905,
                *bytes(12), *[_DASHED_WORD] * 6, _LINE_END,
            )
        )  # fmt: skip


def _with_crc(packet: bytes) -> bytes:
    return packet + crc16_xmodem(packet).to_bytes(2, "big")
