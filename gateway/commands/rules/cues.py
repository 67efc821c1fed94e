"""What happens to devices in a rehearsal, and when."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import zip_longest
from operator import itemgetter
from pathlib import Path
from typing import Any

import drivers
from drivers.driver import DriverOptions, Frame
from gateway.commands.replay import pieces
from gateway.config.rule_tests import AvailabilityOptions, ReadingOptions, Series
from gateway.config.series import values
from gateway.errors import UsageError
from gateway.model import Presence, Value
from gateway.rules.rehearsal import Happening, Rehearsal
from gateway.rules.rulebook import STATUS
from gateway.tallies import EVERY_S

Cue = tuple[float, Callable[[str, float, Any], Sequence[Happening]], str, Any]
"""When, what is done, to which device, and with what."""

LONGEST_S = 366 * 86_400.0


def in_order(*cues: Iterable[Cue]) -> Iterator[Cue]:
    """At the same moment, those of the first ones first."""
    return merge(*cues, key=itemgetter(0))


def of_series(rehearsal: Rehearsal, series: Series) -> Iterator[Cue]:
    names = [*series.values]
    hear, device, at, every = _ear(rehearsal, series.device), series.device, series.at, series.every_s
    columns = [values(each) for each in series.values.values()]
    for index, row in enumerate(zip_longest(*columns)):
        reading = {name: value for name, value in zip(names, row, strict=True) if value is not None}
        if reading:
            # Rounded, so that the third of 0.1 s is at 0.3 s, as somebody writes it.
            yield round(at + index * every, 9), hear, device, reading


def of_readings(rehearsal: Rehearsal, readings: Iterable[ReadingOptions]) -> Iterator[Cue]:
    for each in sorted(readings, key=lambda each: each.at):
        yield each.at, _ear(rehearsal, each.device), each.device, each.values


def _ear(rehearsal: Rehearsal, device: str) -> Callable[[str, float, Any], Sequence[Happening]]:
    """What the gateway counts of itself is no reading."""
    return rehearsal.count if device == STATUS else rehearsal.hear


def of_availability(rehearsal: Rehearsal, changes: Iterable[AvailabilityOptions]) -> Iterator[Cue]:
    def become(device: str, at: float, change: AvailabilityOptions) -> Sequence[Happening]:
        match change.state:
            case "port up":
                return rehearsal.reopen(device, at)
            case "port down":
                return rehearsal.present(device, at, Presence.OFFLINE, change.reason, port_open=False)
            case state:
                return rehearsal.present(device, at, Presence(state), change.reason)

    for each in sorted(changes, key=lambda each: each.at):
        yield each.at, become, each.device, each


def of_capture(
    rehearsal: Rehearsal, device: str, options: DriverOptions, file: Path, *, at: float
) -> Iterator[Cue]:
    """Of a recording, or of raw bytes at the line's speed.

    Raises: UsageError, when it cannot be read.
    """
    try:
        heard = pieces(file, options.baudrate)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    decoder = drivers.find(options.driver).decoder(options)
    read, counted_at, end = 0, at + EVERY_S, at

    def count() -> Mapping[str, Value]:
        return {"$read": read, "$rejected": decoder.rejected.total(), "$unanswered": 0}

    def cues(frames: Iterable[Frame], moment: float) -> Iterator[Cue]:
        nonlocal read
        for frame in frames:
            if frame.values:
                read += 1
                yield moment, rehearsal.read, device, frame.values

    yield at, rehearsal.count, device, count()
    for piece in heard:
        if piece.at > LONGEST_S:
            raise UsageError(f"{file}: this recording claims to be longer than a year")
        end = max(end, round(at + piece.at, 9))
        while counted_at <= end:
            yield counted_at, rehearsal.count, device, count()
            counted_at += EVERY_S
        yield from cues(decoder.feed(piece.data), end)
    yield from cues(decoder.finish(), end)
