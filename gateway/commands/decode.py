"""`sallyport decode`: a capture through a driver's decoder, one JSON object per good frame."""

import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import drivers
from drivers.driver import Driver, DriverOptions, Frame
from drivers.recording import unwrapped
from gateway.config import device_options, driver_options
from gateway.errors import ConfigError, UsageError

CHUNK = 64 * 1024


def run(driver_name: str, file: str, options: Sequence[str], device: str | None = None) -> int:
    """Raises: UsageError for an unknown driver, option, file or device."""
    driver, validated = driver_and_options(driver_name, options, device)
    decoder = driver.decoder(validated)
    if file == "-" and sys.stdin is None:
        raise UsageError("standard input is closed")
    frames = total = 0
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(
                io.FileIO(sys.stdin.fileno() if file == "-" else file, closefd=file != "-")
            )
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}") from error
        # Unbuffered: what a pipe has by now, so that `… | sallyport decode nmea0183 -` answers line by line.
        for data in unwrapped(iter(partial(stream.read, CHUNK), b"")):
            total += len(data)
            frames += _print(decoder.feed(data))
    frames += _print(decoder.finish())
    print(f"frames={frames} rejected={decoder.rejected.total()} bytes={total}", file=sys.stderr)
    return 0


def driver_and_options(
    name: str | None, options: Sequence[str], device: str | None = None
) -> tuple[Driver, DriverOptions]:
    """From the command line. `device`: FILE.toml, or FILE.toml:NAME, whose options hold unless given.

    Without a name, the driver is the device's. Raises: UsageError.
    """
    if name is not None and name not in drivers.names():
        raise UsageError(f"no driver {name!r}: there are {', '.join(drivers.names())}")
    pairs = _pairs(options)
    if device is not None:
        validated = _options_of(device, name, pairs)
        return drivers.find(validated.driver), validated
    assert name is not None, "one of the two is given"
    try:
        return drivers.find(name), driver_options(name, pairs)
    except ConfigError as error:
        raise UsageError(f"--option {error}") from error


def _options_of(device: str, driver: str | None, pairs: Mapping[str, str]) -> DriverOptions:
    path, _, table = (device, "", "") if Path(device).exists() else device.rpartition(":")
    try:
        options = device_options(Path(path or device), table, pairs)
    except ConfigError as error:
        raise UsageError(f"--device {error}") from error
    if driver is not None and options.driver != driver:
        raise UsageError(f"--device {device}: it is read by {options.driver}, not by {driver}")
    return options


def _print(frames: Iterable[Frame]) -> int:
    count = 0
    for frame in frames:
        count += 1
        line = {"offset": frame.offset, "length": frame.length, "id": frame.id, "values": frame.values}
        print(
            json.dumps(line, separators=(",", ":"))
        )  # not orjson: beyond ASCII it writes what may steer a terminal
    sys.stdout.flush()
    return count


def _pairs(options: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"--option {option}: write key=value, such as --option max_depth=4")
        pairs[key.strip()] = value.strip()
    return pairs
