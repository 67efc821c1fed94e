"""A car with a u-blox M8 on its roof, driving in a circle: messages and sentences on one line, once a second."""

import math
import random
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from drivers.checksum import fletcher8
from drivers.nmea0183.simulator import sentence
from drivers.ubx.codec import SYNC

_START = datetime(2026, 6, 1, 8, tzinfo=UTC)
_TOW_MS = (24 + 8) * 3_600_000 + 18_000
"""That moment in the GPS week, which begins on Sunday and knows no leap seconds."""
_CENTRE = (47.2852, 8.5652)
_RADIUS_M = 400.0
_METRES_PER_DEGREE = 111_320.0
_SPEED_M_S = 12.0
_SATELLITES = {
    2: (62, 120),
    5: (35, 290),
    12: (18, 45),
    15: (47, 210),
    24: (71, 330),
    25: (28, 80),
    29: (40, 160),
}
_NAV, _MON = 0x01, 0x0A
_PVT = struct.Struct("<IHBBBBBBIiBBBBiiiiIIiiiiiIIHH4xihH")
_SATELLITE = struct.Struct("<BBBbhhI")
_HARDWARE = struct.Struct("<16xHHBBB22xB14x")


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one second of messages and sentences at a time, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a simulated drive, not a secret
    second = 0
    while True:
        tow = (_TOW_MS + 1000 * second) % 604_800_000
        said = [
            *_fix(second, tow, chance),
            message(
                _NAV,
                0x22,
                struct.pack("<IiiII", tow, 412_000 + 35 * second, 35, 18, chance.randrange(90, 140)),
            ),
            _satellites(second, tow, chance),
            message(_NAV, 0x61, struct.pack("<I", tow)),
        ]
        if second % 10 == 0:
            said.append(_hardware(chance))
        yield b"".join(said)
        second += 1


def message(kind: int, number: int, payload: bytes) -> bytes:
    """The payload as it goes on the line."""
    checked = struct.pack("<BBH", kind, number, len(payload)) + payload
    return SYNC + checked + fletcher8(checked).to_bytes(2, "big")


def _fix(second: int, tow: int, chance: random.Random) -> Iterator[bytes]:
    at = _START + timedelta(seconds=second)
    angle = second * _SPEED_M_S / _RADIUS_M
    lat = _CENTRE[0] + _RADIUS_M * math.cos(angle) / _METRES_PER_DEGREE
    lon = _CENTRE[1] + _RADIUS_M * math.sin(angle) / _METRES_PER_DEGREE / math.cos(math.radians(lat))
    course = math.degrees(angle + math.pi / 2) % 360
    speed = _SPEED_M_S + chance.gauss(0, 0.1)
    north, east = (speed * part(math.radians(course)) for part in (math.cos, math.sin))
    height = 452.0 + 3 * math.sin(angle) + chance.gauss(0, 0.4)
    accuracy = 1400 + chance.randrange(300)
    date_and_time = (at.year, at.month, at.day, at.hour, at.minute, at.second, 0b0111, 22, -120_000)
    position = (round(lon * 1e7), round(lat * 1e7), round(height * 1e3), round((height - 47.6) * 1e3))
    motion = (round(north * 1e3), round(east * 1e3), 0, round(speed * 1e3), round(course * 1e5))
    fix = (tow, *date_and_time, 3, 0b1, 0b1110_0000, len(_SATELLITES), *position, accuracy, accuracy * 3 // 2)
    yield message(_NAV, 0x07, _PVT.pack(*fix, *motion, 180, 90_000, 178, 0, 0, 0, 0))
    yield message(_NAV, 0x04, struct.pack("<I7H", tow, 204, 178, 98, 150, 96, 72, 63))
    time = f"{at:%H%M%S}.00"
    place = f"{_minutes(lat, 2)},N,{_minutes(lon, 3)},E"
    yield sentence(f"GNRMC,{time},A,{place},{speed * 3600 / 1852:.3f},{course:.2f},{at:%d%m%y},,,A")
    yield sentence(f"GNGGA,{time},{place},1,{len(_SATELLITES):02},0.96,{height - 47.6:.1f},M,47.6,M,,")


def _satellites(second: int, tow: int, chance: random.Random) -> bytes:
    seen = b"".join(
        _SATELLITE.pack(0, number, signal, elevation, (azimuth + second // 120) % 360, residual, 0x191F)
        for number, (elevation, azimuth) in _SATELLITES.items()
        for signal, residual in [(min(max(round(chance.gauss(40, 2)), 20), 52), chance.randrange(-20, 20))]
    )
    return message(_NAV, 0x35, struct.pack("<IBB2x", tow, 1, len(_SATELLITES)) + seen)


def _hardware(chance: random.Random) -> bytes:
    noise, gain, jamming = chance.randrange(85, 95), chance.randrange(4200, 4300), chance.randrange(8, 16)
    return message(_MON, 0x09, _HARDWARE.pack(noise, gain, 2, 1, 0b0101, jamming))


def _minutes(degrees: float, width: int) -> str:
    """Layout: dddmm.mmmmm."""
    whole, minutes = divmod(round(degrees * 60, 5), 60)
    return f"{whole:0{width}.0f}{minutes:08.5f}"
