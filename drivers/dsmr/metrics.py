"""What the values mean: those of the meter itself by its OBIS codes, and those it reads from other meters."""

from collections.abc import Iterator
from dataclasses import replace

from drivers.driver import Metric, Names
from drivers.obis import OBIS_METRICS

_OTHER_METERS = {
    "gas": OBIS_METRICS["gas"],
    "water": OBIS_METRICS["water"],
    "hot_water": OBIS_METRICS["hot_water"],
    "heat": OBIS_METRICS["heat"],
    "cooling": OBIS_METRICS["cooling"],
    "submeter_energy": Metric("kW.h", "Energy of a second electricity meter", "energy", "total_increasing"),
}
_NO_P1 = ("heat_", "flow_", "return_", "server_", "public_", "history.")


def _of_other_meters() -> Iterator[tuple[str, Metric]]:
    for name, metric in _OTHER_METERS.items():
        yield name, metric
        yield f"{name}_2", replace(metric, label=f"{metric.label}, second meter")
        yield f"{name}_time", Metric("", f"{metric.label}: when its meter told that, local time")
        yield f"{name}_meter_id", Metric("", f"{metric.label}: serial number of its meter")
        yield (
            f"{name}_valve",
            Metric("", f"{metric.label}: valve or breaker: 0 shut, 1 open, 2 ready to be opened"),
        )


METRICS = {
    **{name: metric for name, metric in OBIS_METRICS.items() if not name.startswith(_NO_P1)},
    "power_import_max_time": Metric("", "When the highest average power of the period was drawn, local time"),
    **dict(_of_other_meters()),
}
CODES = {"*.*.*": Metric("", "By its OBIS code, in the unit that the meter prints")}


def described(names: Names) -> dict[str, Metric]:
    return METRICS if names == "readable" else CODES
