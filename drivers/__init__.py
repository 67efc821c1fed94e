"""Instruments: one folder per protocol, and what they share."""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from drivers.driver import Driver

DRIVERS = {
    "d0": "drivers.d0",
    "davis": "drivers.davis",
    "dsmr": "drivers.dsmr",
    "frame": "drivers.frame",
    "json": "drivers.json",
    "mbus": "drivers.mbus",
    "mhz19": "drivers.mhz19",
    "modbus": "drivers.modbus",
    "mysensors": "drivers.mysensors",
    "nmea0183": "drivers.nmea0183",
    "pms": "drivers.pms",
    "scpi": "drivers.scpi",
    "sml": "drivers.sml",
    "sps30": "drivers.sps30",
    "text": "drivers.text",
    "ubx": "drivers.ubx",
    "vedirect": "drivers.vedirect",
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


def folder(name: str) -> Path:
    """Where a driver's code, sample and README are. Raises: KeyError."""
    module = DRIVERS.get(name) or entry_points(group="sallyport.drivers")[name].module
    file = import_module(module).__file__
    assert file is not None
    return Path(file).parent


def sample(name: str) -> str:
    """The driver's sample.toml: a device in the words of the configuration. Raises: KeyError; OSError."""
    return (folder(name) / "sample.toml").read_text()
