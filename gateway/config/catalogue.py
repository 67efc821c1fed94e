"""What the metrics of the configured devices mean, by the names under which they are published."""

from collections import Counter
from collections.abc import Iterator, Mapping

import drivers
from drivers.driver import DriverOptions, Metric
from gateway.filters.filter import Names
from gateway.filters.naming import name_before, origin, origins_behind


class Catalogue:
    """Of one device."""

    def __init__(self, options: DriverOptions) -> None:
        self._described: Mapping[str, Metric] = drivers.find(options.driver).describe(options)
        self._origins = origins_behind(options.filters, self._described)
        self._written = options.metrics
        self._labels = Counter(metric.label for _, metric in self)
        self._found: dict[str, Metric | None] = {}

    def __iter__(self) -> Iterator[tuple[str, Metric]]:
        """All that are known before it has said anything; `*` in a name stands for what the instrument chooses."""
        for name, was in self._origins.items():
            written = self._written.get(name)
            yield name, self._described[was] if written is None else written.over(self._described[was], name)
        for name, written in self._written.items():
            if name not in self._origins:
                yield name, written.over(None, name)

    def metric(self, name: str) -> Metric | None:
        """What the driver says of it, and the configuration; None for one that nobody has described."""
        if name not in self._found:
            try:
                found: Metric | None = self._described[origin(self._origins, name)]
            except KeyError:
                found = None
            if (written := self._written.get(name)) is not None:
                found = written.over(found, name)
            if len(self._found) < _MOST:
                self._found[name] = found
            return found
        return self._found[name]

    def label(self, name: str) -> str:
        """What people call it, and no other metric of the device."""
        written, metric = self._written.get(name), self.metric(name)
        if written is not None and written.label:
            return written.label
        if metric is None or name not in self._origins:
            return name
        return metric.label if self._labels[metric.label] == 1 else f"{metric.label} ({name})"


def may_come(options: DriverOptions, name: str) -> bool:
    """Whether the filters let pass what is called so, and the driver has it, where it says all that it has."""
    before = name_before(options.filters, name)
    driver = drivers.find(options.driver)
    if before is None or not driver.complete:
        return before is not None
    described = driver.describe(options)
    return before in described or before in Names(described)


_MOST = 1024
"""Names that are remembered: an instrument that makes up names must not fill the memory."""
