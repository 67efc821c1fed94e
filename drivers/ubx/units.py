"""What the numbers of a payload stand for: units, yes and no, and choices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.model import Value


@dataclass(frozen=True, slots=True)
class Unit:
    """From the protocol's scaling to the readable one."""

    ucum: str = ""
    divisor: float = 0.0
    """From what is sent, in `sent`, to `ucum`; 0: none."""
    sent: str = ""
    """UCUM code; `""`: the same."""
    choices: Callable[[int], Value] | None = None
    device_class: str = ""
    state_class: Literal["", "measurement", "total", "total_increasing"] = "measurement"


def _one_of(choices: Sequence[str]) -> Unit:
    def choice(number: int) -> str:
        return choices[number] if number < len(choices) else str(number)

    return Unit(choices=choice, state_class="")


plain = Unit()

UNITS = {
    "": plain,
    "number": Unit(state_class=""),
    "flag": Unit(choices=bool, state_class=""),
    "text": Unit(state_class=""),
    "ms": Unit("s", 1e3, "ms", device_class="duration"),
    "us": Unit("s", 1e6, "us", device_class="duration"),
    "ns": Unit("s", 1e9, "ns", device_class="duration"),
    "s": Unit("s", device_class="duration"),
    "ps": Unit("s", 1e12, "ps", device_class="duration"),
    "tow": Unit("s", 1e3, "ms", state_class=""),
    "tow_s": Unit("s", state_class=""),
    "ns/s": Unit("", 1e9, "ns/s"),
    "ps/s": Unit("", 1e12, "ps/s"),
    "deg": Unit("deg"),
    "deg/s": Unit("deg/s"),
    "m/s2": Unit("m/s2"),
    "m": Unit("m", device_class="distance"),
    "cm": Unit("m", 1e2, "cm", device_class="distance"),
    "mm": Unit("m", 1e3, "mm", device_class="distance"),
    "mm2": Unit("m2", 1e6, "mm2"),
    "dmm": Unit("m", 1e4, "10*-4.m", device_class="distance"),
    "odo": Unit("m", device_class="distance", state_class="total_increasing"),
    "m/s": Unit("m/s", device_class="speed"),
    "cm/s": Unit("m/s", 1e2, "cm/s", device_class="speed"),
    "mm/s": Unit("m/s", 1e3, "mm/s", device_class="speed"),
    "m2": Unit("m2"),
    "m2/s2": Unit("m2/s2"),
    "dB": Unit("dB"),
    "Cel": Unit("Cel", device_class="temperature"),
    "percent": Unit("%"),
    "count": Unit(state_class="total_increasing"),
    "bytes": Unit("By", device_class="data_size", state_class="total_increasing"),
    "pending": Unit("By", device_class="data_size"),
    "ppb": Unit("[ppb]"),
    "of255": Unit("%", 2.55, "{1/255}"),
    "fix": _one_of(("none", "dead reckoning", "2D", "3D", "3D and dead reckoning", "time only")),
    "carrier": _one_of(("none", "float", "fixed")),
    "power_save": _one_of(
        ("not active", "enabled", "acquisition", "tracking", "power optimised tracking", "inactive")
    ),
    "power_state": _one_of(("acquisition", "tracking", "power optimised tracking", "inactive")),
    "spoofing": _one_of(("unknown", "none", "indicated", "indicated repeatedly")),
    "jamming": _one_of(("unknown", "ok", "warning", "critical")),
    "antenna": _one_of(("starting", "unknown", "ok", "short", "open")),
    "antenna_power": _one_of(("off", "on", "unknown")),
    "fence": _one_of(("unknown", "inside", "outside")),
    "utc": _one_of(
        ("unknown", "CRL", "NIST", "USNO", "BIPM", "European laboratory", "SU", "NTSC", "NPLI", "NICT")
    ),
    "gnss": _one_of(("GPS", "SBAS", "Galileo", "BeiDou", "IMES", "QZSS", "GLONASS", "NavIC")),
    "fusion": _one_of(("starting", "on", "suspended", "off")),
    "boot": _one_of(
        (
            "unknown",
            "cold start",
            "watchdog",
            "hardware reset",
            "hardware backup",
            "software backup",
            "software reset",
            "VIO failure",
            "VDD_X failure",
            "VDD_RF failure",
            "V_CORE_HIGH failure",
            "system reset",
        )
    ),
}
"""By the name that layouts use."""
