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
        for number, of_second in (("", ""), ("_2", ", second meter")):
            label = metric.label + of_second
            yield f"{name}{number}", replace(metric, label=label)
            yield f"{name}_time{number}", Metric("", f"{label}: when its meter told that, local time")
            yield f"{name}_meter_id{number}", Metric("", f"{label}: serial number of its meter")
            yield f"{name}_ean{number}", Metric("", f"{label}: number of the connection (EAN)")
            valve = f"{label}: valve or breaker: 0 shut, 1 open, 2 ready to be opened"
            yield f"{name}_valve{number}", Metric("", valve)


_RELAYS = {
    f"relay_{channel}": Metric("", f"Relay {channel} of the meter: 0 off, 1 on") for channel in range(1, 5)
}

METRICS = {
    **{name: metric for name, metric in OBIS_METRICS.items() if not name.startswith(_NO_P1)},
    "power_import_max_time": Metric("", "When the highest average power of the period was drawn, local time"),
    **_RELAYS,
    **dict(_of_other_meters()),
}
CODES = {"*.*.*": Metric("", "By its OBIS code, in the unit that the meter prints")}


def described(names: Names) -> dict[str, Metric]:
    return METRICS if names == "readable" else CODES
