"""What the values mean. The names are made from what each record says, so they are recognised, not listed."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from drivers.driver import Metric, Names
from drivers.mbus.columns import snake_case
from drivers.mbus.fixed import UNITS as FIXED
from drivers.mbus.quantities import EXTENSION_FB, EXTENSION_FD, PRIMARY, Quantity
from drivers.mbus.units import usual

_NAME = re.compile(r"(.+?)(_max|_min|_err)?(_s\d+)?(_t\d+)?(_d\d+)?(_\d+)?", re.ASCII)
_WORDS = {"_max": "maximum", "_min": "minimum", "_err": "during an error"}
_NUMBERED = ("storage", "tariff", "subunit", "number")

_COUNTS = frozenset({
    "Energy", "Reactive energy", "Apparent energy", "Volume", "Mass", "On time", "Operating time", "H.C.A.",
})  # fmt: skip
_DEVICE_CLASSES = {
    "kW.h": "energy",
    "W.h": "energy",
    "W": "power",
    "V": "voltage",
    "A": "current",
    "Hz": "frequency",
    "%": "humidity",
    "m3": "volume",
    "m3/h": "volume_flow_rate",
    "kg": "weight",
    "Cel": "temperature",
    "bar": "pressure",
    "s": "duration",
    "h": "duration",
    "d": "duration",
}
_UCUM = {
    "Wh": "W.h",
    "varh": "V.A.h",
    "VAh": "V.A.h",
    "var": "V.A",
    "VA": "V.A",
    "degC": "Cel",
    "degF": "[degF]",
    "currency": "",
}
_STATUS = Metric(
    "", "Status: 0 is good; 4 power low, 8 permanent error, 16 temporary error, above: the maker's"
)
_MANUFACTURER_DATA = Metric("", "Manufacturer's own data")


class Metrics(Mapping[str, Metric]):
    """Of every name that a record can have; iteration gives those of storage 0, tariff 0 and subunit 0."""

    def __init__(self, names: Names) -> None:
        self._present = _readable() if names == "readable" else _of_protocol()

    def __iter__(self) -> Iterator[str]:
        return iter(self._present)

    def __len__(self) -> int:
        return len(self._present)

    def __getitem__(self, name: str) -> Metric:
        match = _NAME.fullmatch(name)
        if match is None:
            raise KeyError(name)
        present = self._present[match[1]]
        function, *numbers = match.groups()[1:]
        words = [_WORDS[function]] if function else []
        words += [
            f"{what} {number.lstrip('_std')}"
            for what, number in zip(_NUMBERED, numbers, strict=True)
            if number
        ]
        if not words:
            return present
        is_now = not function and not numbers[0]
        return replace(
            present,
            label=f"{present.label}, {', '.join(words)}",
            state_class=present.state_class if is_now else "",
        )


def _quantities() -> Iterator[Quantity]:
    for table in (PRIMARY, EXTENSION_FB, EXTENSION_FD, FIXED):
        yield from table.values()


def _readable() -> dict[str, Metric]:
    metrics = {"status": _STATUS}
    for quantity in _quantities():
        metrics[snake_case(quantity.name)] = _metric(quantity.name, usual(quantity.name, quantity.unit).unit)
    return metrics | {"manufacturer_data": _MANUFACTURER_DATA}


def _of_protocol() -> dict[str, Metric]:
    units: dict[str, set[str]] = defaultdict(set)
    for quantity in _quantities():
        if not quantity.newer:
            units[quantity.name].add(quantity.unit)
    metrics = {}
    for name, several in units.items():
        if len(several) == 1:
            [unit] = several
            metrics[snake_case(name)] = _metric(name, _UCUM.get(unit, unit))
        else:
            metrics[snake_case(name)] = Metric("", f"{_label(name)} in {' or '.join(sorted(several))}")
    return metrics


def _metric(quantity: str, unit: str) -> Metric:
    if quantity in _COUNTS:
        return Metric(unit, _label(quantity), _DEVICE_CLASSES.get(unit, ""), "total_increasing")
    return Metric(unit, _label(quantity), _DEVICE_CLASSES.get(unit, ""), "measurement" if unit else "")


def _label(quantity: str) -> str:
    return quantity[0].upper() + quantity[1:]


METRICS: Mapping[Names, Metrics] = {"readable": Metrics("readable"), "protocol": Metrics("protocol")}
