"""A heat meter in a cellar: it answers on an M-Bus as a Kamstrup would, primary address 5."""

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from drivers.mbus.address import Secondary
from drivers.mbus.link import (
    ACK,
    ANY,
    CI_RESET,
    CI_SELECT,
    FCB,
    REQ_UD2,
    SELECTED,
    SND_NKE,
    SND_UD,
    Telegram,
    Telegrams,
    long,
)

ADDRESS = 5
SECONDARY = bytes.fromhex("78563412 2D2C 08 04")
"""12345678, KAM, version 8, heat."""

_START = datetime(2026, 1, 15, 6)  # noqa: DTZ001 - meters keep no zone
_EVERY = timedelta(minutes=5)
_STEPS_A_DAY = timedelta(days=1) / _EVERY
_KWH_PER_M3_AND_K = 1.16
_RSP_UD = 0x08
_VARIABLE = 0x72
_MORE_FOLLOW = b"\x1f"
_COUNTED = (SND_UD, SND_UD | FCB, REQ_UD2, REQ_UD2 | FCB)


class HeatMeter:
    """Answers the master; a question repeated with the same frame count bit gets the same answer again.

    `parts` is the number of telegrams that its values are spread over.
    """

    def __init__(self, seed: int = 0, *, address: int = ADDRESS, parts: int = 1) -> None:
        self._address = address
        self._parts = parts
        self._values = _records(seed)
        self._heard = Telegrams()
        self._selected = False
        self._count: int | None = None
        self._answer = b""
        self._to_tell: list[bytes] = []

    def answer(self, heard: bytes) -> bytes:
        return b"".join(self._reply(telegram) for _, telegram in self._heard.feed(heard))

    def _reply(self, asked: Telegram) -> bytes:
        if asked.ci == CI_SELECT and asked.address == SELECTED:
            self._selected = Secondary(asked.body).matches(SECONDARY)
            self._forget()
            return ACK if self._selected else b""
        if asked.address not in (self._address, ANY) and not (self._selected and asked.address == SELECTED):
            return b""
        if asked.control == SND_NKE:
            self._selected = self._selected and asked.address != SELECTED
            self._forget()
            return ACK
        if asked.control not in _COUNTED:
            return b""
        count = asked.control & FCB
        if count != self._count:
            self._count = count
            self._answer = self._next(asked)
        return self._answer

    def _forget(self) -> None:
        self._count = None
        self._to_tell = []

    def _next(self, asked: Telegram) -> bytes:
        if asked.ci == CI_RESET:
            self._to_tell = []
        if asked.ci is not None:
            return ACK
        if not self._to_tell:
            self._to_tell = _telegrams(next(self._values), self._address, self._parts)
        return self._to_tell.pop(0)


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless answers, one for each five minutes, the same for the same seed."""
    for records in _records(seed):
        yield from _telegrams(records, ADDRESS, parts=1)


def _telegrams(records: list[bytes], address: int, parts: int) -> list[bytes]:
    each = math.ceil(len(records) / parts)
    bodies = [b"".join(records[first : first + each]) for first in range(0, len(records), each)]
    return [
        long(
            _RSP_UD,
            address,
            _VARIABLE,
            SECONDARY + bytes([index, 0, 0, 0]) + body + (b"" if body is bodies[-1] else _MORE_FOLLOW),
        )
        for index, body in enumerate(bodies)
    ]


def _records(seed: int) -> Iterator[list[bytes]]:
    """What the meter counts and measures on a cold day, five minutes later each time."""
    chance = random.Random(seed)  # noqa: S311 - a simulated cellar, not a secret
    energy_kwh, volume_m3 = 37_351.0 + chance.randrange(1000), 561.08
    power_max_w = 9_000.0
    step = 0
    while True:
        at = _START + step * _EVERY
        day = step / _STEPS_A_DAY * math.tau
        flow = 62 + 4 * math.cos(day) + chance.gauss(0, 0.1)
        back = 41 + 2 * math.sin(day) + chance.gauss(0, 0.1)
        flow_m3h = 0.29 + 0.05 * math.cos(day) + chance.gauss(0, 0.002)
        power_w = flow_m3h * (flow - back) * _KWH_PER_M3_AND_K * 1000
        power_max_w = max(power_max_w, power_w)
        hours = _EVERY / timedelta(hours=1)
        energy_kwh += power_w / 1000 * hours
        volume_m3 += flow_m3h * hours
        yield [
            b"\x0c\x78" + _bcd(12_345_678),
            b"\x04\x06" + _int32(energy_kwh),
            b"\x04\x14" + _int32(volume_m3 * 100),
            b"\x04\x22" + _int32(8_000 + step * hours),
            b"\x04\x59" + _int32(flow * 100),
            b"\x04\x5d" + _int32(back * 100),
            b"\x04\x61" + _int32((flow - back) * 100),
            b"\x04\x2b" + _int32(power_w),
            b"\x14\x2b" + _int32(power_max_w),
            b"\x04\x3b" + _int32(flow_m3h * 1000),
            b"\x04\x6d" + _date_and_time(at),
            b"\x44\x06" + _int32(33_361),
            b"\x44\x14" + _int32(50_098),
            b"\x42\x6c" + _date(_START - timedelta(days=15)),
            b"\x02\xfd\x17\x00\x00",
        ]
        step += 1


def _int32(number: float) -> bytes:
    return round(number).to_bytes(4, "little", signed=True)


def _bcd(number: int) -> bytes:
    return bytes.fromhex(f"{number:08}")[::-1]


def _date(day: datetime) -> bytes:
    """Layout: type G, YYYDDDDD YYYYMMMM."""
    year = day.year % 100
    return bytes([(year & 7) << 5 | day.day, (year >> 3) << 4 | day.month])


def _date_and_time(at: datetime) -> bytes:
    """Layout: type F, 00mmmmmm 0000hhhh and the day as in type G, with the century in bits 5-6 of the hour."""
    return bytes([at.minute, 1 << 5 | at.hour]) + _date(at)
