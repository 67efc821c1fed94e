"""A house in the Netherlands: its DSMR 5 meter with three phases, a roof of solar cells and a gas meter."""

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from drivers.checksum import crc16_arc

_START = datetime(2026, 6, 1, 11)  # noqa: DTZ001 - the meter prints local time
_SOLAR_W = 3200
_PHASES = {1: 120.0, 2: 340.0, 3: 60.0}
"""What is always on, in W."""
_KETTLE_W = 2000
_GAS_PER_5_MIN_M3 = 0.017


def telegrams(seed: int = 0) -> Iterator[bytes]:
    """Endless, one telegram for each second, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a simulated house, not a secret
    imported_kwh, exported_kwh, gas_m3 = 4321.0, 1234.0, 987.654
    gas_at = _START
    second = 0
    while True:
        now = _START + timedelta(seconds=second)
        if (now - gas_at).seconds >= 300:  # noqa: PLR2004 - the gas meter tells every five minutes
            gas_at = now
            gas_m3 += _GAS_PER_5_MIN_M3 * chance.random()
        powers_w = {
            phase: round(base * chance.uniform(0.95, 1.05) + _extra(phase, second))
            for phase, base in _PHASES.items()
        }
        total_w = sum(powers_w.values())
        imported_kwh += max(total_w, 0) / 3.6e6
        exported_kwh += max(-total_w, 0) / 3.6e6
        yield telegram(
            "Sal5\\SIM-1000",
            [
                "1-3:0.2.8(50)",
                f"0-0:1.0.0({now:%y%m%d%H%M%S}S)",
                "0-0:96.1.1(4530303030303030303132333435363738)",
                "1-0:1.8.1(002165.431*kWh)",
                f"1-0:1.8.2({imported_kwh:010.3f}*kWh)",
                "1-0:2.8.1(000310.007*kWh)",
                f"1-0:2.8.2({exported_kwh:010.3f}*kWh)",
                "0-0:96.14.0(0002)",
                f"1-0:1.7.0({max(total_w, 0) / 1000:06.3f}*kW)",
                f"1-0:2.7.0({max(-total_w, 0) / 1000:06.3f}*kW)",
                "0-0:96.7.21(00007)",
                "0-0:96.7.9(00002)",
                "1-0:99.97.0(1)(0-0:96.7.19)(250118093015W)(0000004211*s)",
                *(f"1-0:{phase * 20 + 12}.32.0(00001)" for phase in _PHASES),
                *(f"1-0:{phase * 20 + 12}.36.0(00000)" for phase in _PHASES),
                "0-0:96.13.0()",
                *(f"1-0:{phase * 20 + 12}.7.0({chance.gauss(231, 0.6):05.1f}*V)" for phase in _PHASES),
                *(
                    f"1-0:{phase * 20 + 11}.7.0({abs(watts) / 231:03.0f}*A)"
                    for phase, watts in powers_w.items()
                ),
                *(
                    f"1-0:{phase * 20 + 1}.7.0({max(watts, 0) / 1000:06.3f}*kW)"
                    for phase, watts in powers_w.items()
                ),
                *(
                    f"1-0:{phase * 20 + 2}.7.0({max(-watts, 0) / 1000:06.3f}*kW)"
                    for phase, watts in powers_w.items()
                ),
                "0-1:24.1.0(003)",
                "0-1:96.1.0(4730303030303030303837363534333231)",
                f"0-1:24.2.1({gas_at:%y%m%d%H%M%S}S)({gas_m3:09.3f}*m3)",
            ],
        )
        second += 1


def _extra(phase: int, second: int) -> float:
    """The sun on the first phase, a kettle now and then on the third."""
    if phase == 1:
        return -_SOLAR_W * (0.6 + 0.4 * math.sin(second / 900))
    return _KETTLE_W if phase == max(_PHASES) and second % 900 < 150 else 0  # noqa: PLR2004 - it boils in 150 s


def telegram(identification: str, lines: list[str]) -> bytes:
    """The lines as they go on the line: with the first one, the checksum and line ends."""
    body = "\r\n".join([f"/{identification}", "", *lines, "!"]).encode("latin-1")
    return b"%b%04X\r\n" % (body, crc16_arc(body))
