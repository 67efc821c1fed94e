"""What the values mean: by OBIS codes, with the times that D0 meters put behind a highest value."""

from drivers.driver import Metric, Names
from drivers.obis import OBIS_METRICS

_NO_D0 = ("message", "power_failure_log", "public_", "server_")
METRICS = {
    **{name: metric for name, metric in OBIS_METRICS.items() if not name.startswith(_NO_D0)},
    **{
        f"{name}_time": Metric("", f"{metric.label}: when that was, local time")
        for name, metric in OBIS_METRICS.items()
        if "_max" in name
    },
}
CODES = {
    pattern: Metric("", "By its code, in the unit that the meter prints") for pattern in ("*", "*.*", "*.*.*")
}


def described(names: Names) -> dict[str, Metric]:
    return METRICS if names == "readable" else CODES
