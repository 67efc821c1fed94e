"""Recordings for a rehearsal: whose they are, and when each began."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from drivers.driver import DriverOptions
from drivers.port import place
from drivers.recording import Recording
from gateway.commands.rules.cues import Cue, in_order, of_capture
from gateway.config.complaints import listed
from gateway.config.rule_tests import YEARS
from gateway.errors import UsageError
from gateway.model import Stamp
from gateway.rules.names import did_you_mean
from gateway.rules.rehearsal import Rehearsal

BEFORE_THE_CLOCK = Stamp(0, 0.0, synchronised=False)
"""When raw bytes began, nobody knows."""


class Take(NamedTuple):
    """One recording of one device."""

    device: str
    file: Path
    began_ns: int | None


@dataclass(frozen=True, slots=True)
class Takes:
    takes: Sequence[Take]
    devices: Mapping[str, DriverOptions]

    @property
    def start(self) -> Stamp:
        """The clock on the wall at the beginning of the first one."""
        moments = [each.began_ns for each in self.takes if each.began_ns is not None]
        return Stamp(min(moments), 0.0) if moments else BEFORE_THE_CLOCK

    def cues(self, rehearsal: Rehearsal) -> Iterator[Cue]:
        """Each device is opened when its recording begins, and nothing is known of it when that is over."""
        return in_order(*(self._of(each, rehearsal) for each in self.takes))

    def _of(self, take: Take, rehearsal: Rehearsal) -> Iterator[Cue]:
        at = 0.0 if take.began_ns is None else (take.began_ns - self.start.wall_ns) / 1e9
        yield at, lambda device, at, _: rehearsal.open(device, at), take.device, None
        for cue in of_capture(rehearsal, take.device, self.devices[take.device], take.file, at=at):
            at = cue[0]
            yield cue
        yield at, lambda device, at, _: rehearsal.leave(device, at), take.device, None


def takes(named: Sequence[tuple[str, Path]], devices: Mapping[str, DriverOptions]) -> Takes:
    """Whose name is not given is found by its port, or is the only one there is.

    Raises: UsageError.
    """
    found = [_take(device, file, devices) for device, file in named]
    if twice := {each.device for each in found if sum(each.device == one.device for one in found) > 1}:
        raise UsageError(f"{', '.join(sorted(twice))}: two recordings of one device; name each: NAME=FILE")
    return Takes(found, devices)


def _take(device: str, file: Path, devices: Mapping[str, DriverOptions]) -> Take:
    try:
        recording = Recording.read(file)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    about = {} if recording is None else recording.about
    device = device or _owner(about.get("port"), file, devices)
    if device not in devices:
        raise UsageError(f'there is no device "{device}"{did_you_mean(device, devices)}')
    began = about.get("began")
    try:
        moment = None if began is None else datetime.fromisoformat(str(began))
    except ValueError as error:
        raise UsageError(f"{file}: the recording does not say when it began: {error}") from None
    if moment is not None and moment.year not in YEARS:
        raise UsageError(f"{file}: this recording claims to be of the year {moment.year}")
    return Take(device, file, None if moment is None else round(moment.timestamp() * 1e9))


def _owner(port: object, file: Path, devices: Mapping[str, DriverOptions]) -> str:
    """Of the port that was recorded."""
    owners = [
        name
        for name, options in devices.items()
        if isinstance(port, str) and place(options.port) == place(port)
    ]
    if len(owners) != 1 and len(devices) == 1:
        owners = [*devices]
    if len(owners) != 1:
        raise UsageError(
            f"{file}: whose recording is it? Write NAME={file}; the devices are {listed([*devices])}"
        )
    return owners[0]
