"""Instruments: one folder per protocol, and what they share."""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from drivers.driver import Driver

DRIVERS = {
    "json": "drivers.json",
    "modbus": "drivers.modbus",
    "nmea0183": "drivers.nmea0183",
}
"""The drivers that come with Sallyport. Others join by the entry-point group `sallyport.drivers`."""


@cache
def names() -> tuple[str, ...]:
    """Every driver that is installed, sorted."""
    return tuple(sorted({*DRIVERS, *(point.name for point in entry_points(group="sallyport.drivers"))}))


@cache
def find(name: str) -> Driver:
    """The driver of that name. Raises: KeyError."""
    if name in DRIVERS:
        driver = import_module(DRIVERS[name]).DRIVER
    else:
        driver = entry_points(group="sallyport.drivers")[name].load()
    if not isinstance(driver, Driver):
        raise TypeError(f"driver {name!r}: expected a drivers.driver.Driver, found {type(driver).__name__}")
    return driver
