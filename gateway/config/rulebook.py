"""What the rules of a configuration may speak of, and the rules, compiled."""

from collections.abc import Iterable, Mapping
from datetime import tzinfo

import drivers
from drivers.driver import DriverOptions
from gateway.config.rules import RuleOptions
from gateway.filters.naming import names_behind
from gateway.rules.names import Instrument, Site
from gateway.rules.rulebook import OF_DEVICES, OF_GATEWAY, STATUS, Rulebook


def rulebook(
    rules: Mapping[str, RuleOptions],
    devices: Mapping[str, DriverOptions],
    zone: tzinfo,
    *,
    unclear: Iterable[str] = (),
) -> Rulebook:
    """`unclear`: devices of which nothing but the name is known."""
    instruments = {name: Instrument() for name in unclear}
    instruments |= {name: _instrument(options) for name, options in devices.items()}
    instruments[STATUS] = Instrument(metrics=OF_GATEWAY, complete=True)
    return Rulebook(
        (options.statute(name) for name, options in rules.items()),
        Site(instruments, zone),
        ports={name: options.port for name, options in devices.items()},
    )


def _instrument(options: DriverOptions) -> Instrument:
    driver = drivers.find(options.driver)
    names = names_behind(options.filters, driver.describe(options))
    complete = driver.complete and bool(names) and not any("*" in name for name in names)
    return Instrument(metrics=(*names, *OF_DEVICES), complete=complete)
