"""`sallyport decode`: a capture through a driver's decoder, one JSON object per good frame."""

import io
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial

import orjson

import drivers
from drivers.driver import Driver, DriverOptions, Frame
from drivers.recording import unwrapped
from gateway.config import driver_options
from gateway.errors import ConfigError, UsageError

CHUNK = 64 * 1024


def run(driver_name: str, file: str, options: Sequence[str]) -> int:
    """Raises: UsageError for an unknown driver, option or file."""
    driver, validated = driver_and_options(driver_name, options)
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


def driver_and_options(name: str, options: Sequence[str]) -> tuple[Driver, DriverOptions]:
    """From the command line. Raises: UsageError."""
    if name not in drivers.names():
        raise UsageError(f"no driver {name!r}: there are {', '.join(drivers.names())}")
    try:
        return drivers.find(name), driver_options(name, _pairs(options))
    except ConfigError as error:
        raise UsageError(f"--option {error}") from error


def _print(frames: Iterable[Frame]) -> int:
    count = 0
    for frame in frames:
        count += 1
        line = {"offset": frame.offset, "length": frame.length, "id": frame.id, "values": frame.values}
        sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
    return count


def _pairs(options: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"--option {option}: write key=value, such as --option max_depth=4")
        pairs[key.strip()] = value.strip()
    return pairs
