"""A yacht on a round trip: what its GPS, sounder and masthead unit print, once a second."""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from drivers.checksum import xor8

_START = datetime(2026, 6, 1, 8, tzinfo=UTC)
_HOME = (54.43, 10.18)  # the Kiel Fjord, leaving to the north
_LAP_S = 3600
_MILES_PER_DEGREE = 60
_KMH_PER_KNOT = 1.852
_TRUE_WIND = (240.0, 14.0)
_SATELLITES = {3: 47, 4: 36, 7: 218, 9: 121, 16: 291, 22: 64, 26: 164, 31: 330}


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one second of sentences at a time, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a simulated voyage, not a secret
    place = _HOME
    second = 0
    while True:
        lap = second / _LAP_S * math.tau
        course = round(20 + math.degrees(lap), 1) % 360
        speed = 6 + 0.8 * math.sin(second / 97) + chance.gauss(0, 0.05)
        at = _START + timedelta(seconds=second)
        yield b"".join(
            [
                *_gps(at, place, course, speed, chance),
                *_satellites(second, chance),
                *_sounder(second, chance),
                *_masthead(second, course, speed, chance),
            ]
        )
        place = _sailed(place, course, speed)
        second += 1


def _sailed(place: tuple[float, float], course: float, speed: float) -> tuple[float, float]:
    """Where a second on this course leads."""
    lat, lon = place
    degrees = speed / 3600 / _MILES_PER_DEGREE
    north = degrees * math.cos(math.radians(course))
    east = degrees * math.sin(math.radians(course)) / math.cos(math.radians(lat))
    return lat + north, lon + east


def _gps(
    at: datetime, place: tuple[float, float], course: float, speed: float, chance: random.Random
) -> Iterator[bytes]:
    lat, lon = place
    time = f"{at:%H%M%S}.00"
    position = f"{_minutes(lat, 2)},{'N' if lat >= 0 else 'S'},{_minutes(lon, 3)},{'E' if lon >= 0 else 'W'}"
    altitude = 3.2 + chance.gauss(0, 0.3)
    yield sentence(f"GPRMC,{time},A,{position},{speed:.2f},{course:.1f},{at:%d%m%y},4.5,E,A")
    yield sentence(f"GPGGA,{time},{position},1,{len(_SATELLITES):02},0.9,{altitude:.1f},M,41.6,M,,")
    yield sentence(f"GPVTG,{course:.1f},T,,M,{speed:.2f},N,{speed * _KMH_PER_KNOT:.2f},K,A")


def _satellites(second: int, chance: random.Random) -> Iterator[bytes]:
    seen = [
        f"{prn:02},{45 + 30 * math.sin(second / 9000 + prn):02.0f},{(azimuth + second // 120) % 360:03},"
        f"{min(max(chance.gauss(38, 2), 20), 52):.0f}"
        for prn, azimuth in _SATELLITES.items()
    ]
    groups = [seen[first : first + 4] for first in range(0, len(seen), 4)]
    for index, group in enumerate(groups, 1):
        yield sentence(f"GPGSV,{len(groups)},{index},{len(seen):02},{','.join(group)}")


def _sounder(second: int, chance: random.Random) -> Iterator[bytes]:
    depth = 12 + 6 * math.sin(second / 400) + chance.gauss(0, 0.05)
    yield sentence(f"SDDPT,{depth:.1f},0.4")
    yield sentence(f"YXMTW,{14 + math.sin(second / 2000):.1f},C")


def _masthead(second: int, course: float, speed: float, chance: random.Random) -> Iterator[bytes]:
    """The apparent wind: the true one, with its gusts, less the boat's own way."""
    true_from, true_speed = _TRUE_WIND
    gusty = true_speed + 2 * math.sin(second / 41) + chance.gauss(0, 0.4)
    off_bow = math.radians(true_from + chance.gauss(0, 2) - course)
    ahead = gusty * math.cos(off_bow) + speed
    abeam = gusty * math.sin(off_bow)
    angle = math.degrees(math.atan2(abeam, ahead)) % 360
    yield sentence(f"WIMWV,{angle:.1f},R,{math.hypot(ahead, abeam):.1f},N,A")


def _minutes(degrees: float, width: int) -> str:
    """Layout: dddmm.mmmm."""
    whole, minutes = divmod(round(abs(degrees) * 60, 4), 60)
    return f"{whole:0{width}.0f}{minutes:07.4f}"


def sentence(content: str) -> bytes:
    """The content as it goes on the line: start, checksum, line end."""
    body = content.encode("ascii")
    return b"$%b*%02X\r\n" % (body, xor8(body))
