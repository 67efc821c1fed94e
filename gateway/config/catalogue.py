"""What the metrics of the configured devices mean, by the names under which they are published."""

from collections.abc import Iterator, Mapping

import drivers
from drivers.driver import DriverOptions, Metric
from gateway.filters.naming import origin, origins_behind


class Catalogue:
    """Of one device."""

    def __init__(self, options: DriverOptions) -> None:
        self._described: Mapping[str, Metric] = drivers.find(options.driver).describe(options)
        self._origins = origins_behind(options.filters, self._described)
        self._found: dict[str, Metric | None] = {}

    def __iter__(self) -> Iterator[tuple[str, Metric]]:
        """All that are known before it has said anything; `*` in a name stands for what the instrument chooses."""
        return ((name, self._described[was]) for name, was in self._origins.items())

    def metric(self, name: str) -> Metric | None:
        """What the driver says of it; None for one that nobody has described."""
        if name not in self._found:
            try:
                found = self._described[origin(self._origins, name)]
            except KeyError:
                found = None
            if len(self._found) < _MOST:
                self._found[name] = found
            return found
        return self._found[name]


_MOST = 1024
"""Names that are remembered: an instrument that makes up names must not fill the memory."""
