"""What all rules together remember: of each metric that one of them mentions, the last value, and its windows."""

from gateway.model import Availability, Observation, Presence, Reading, Tally, Value
from gateway.rules.unknown import Unknown
from gateway.rules.windows import WINDOWS, Window

LARGEST = 2**63
"""Beyond it an integer becomes a float: no instrument's number may make a rule slow."""


COUNTED = "$"
"""What the names begin with of what the gateway itself counts of a device."""


class Cell:
    """One metric of one device."""

    __slots__ = ("before", "value", "windows")

    def __init__(self) -> None:
        self.value: Value | Unknown = Unknown.NOT_SEEN
        self.before: Value | Unknown = Unknown.NOT_SEEN
        self.windows: dict[tuple[str, float], Window] = {}

    def take(self, value: Value, now: float) -> None:
        self.before = self.value
        if value.__class__ is int and not -LARGEST <= value < LARGEST:
            try:
                value = float(value)
            except OverflowError:
                self.value = Unknown.OVERFLOW
                return
        self.value = value
        for window in self.windows.values():
            window.take(value, now)

    def window(self, function: str, seconds: float) -> Window:
        """Rules that ask for the same share it; one that is new begins with what comes next."""
        key = (function, seconds)
        if key not in self.windows:
            self.windows[key] = WINDOWS[function](seconds)
        return self.windows[key]


class Heard:
    """What is known of one device."""

    __slots__ = ("at", "cells", "counts", "offline", "stale")

    def __init__(self) -> None:
        self.at: float | Unknown = Unknown.NOT_SEEN
        """Of its last reading, in monotonic seconds."""
        self.stale: bool | Unknown = Unknown.NOT_SEEN
        self.offline: bool | Unknown = Unknown.NOT_SEEN
        self.cells: dict[str, Cell] = {}
        self.counts: dict[str, Cell] = {}
        """What the gateway counts of it, apart: an instrument may call its metrics whatever it likes."""

    def cells_of(self, metric: str) -> dict[str, Cell]:
        """Among which a metric of this name is."""
        return self.counts if metric.startswith(COUNTED) else self.cells


class Memory:
    """Fed with each event first; then the rules that read its device are asked."""

    def __init__(self) -> None:
        self._devices: dict[str, Heard] = {}

    def heed(self, event: Observation) -> None:
        """Whatever it is."""
        match event:
            case Reading():
                self.take(event)
            case Availability():
                self.hear(event)
            case Tally():
                self.count(event)

    def take(self, reading: Reading) -> None:
        device = self._devices.get(reading.device)
        if device is None:
            return
        device.at = now = reading.at.mono
        device.stale = device.offline = False
        values = reading.values
        for metric, cell in device.cells.items():
            if metric in values:
                cell.take(values[metric], now)

    def hear(self, availability: Availability) -> None:
        device = self._devices.get(availability.device)
        if device is not None and not availability.unproven:
            device.stale = availability.presence is not Presence.ONLINE
            device.offline = availability.presence is Presence.OFFLINE

    def count(self, tally: Tally) -> None:
        device = self._devices.get(tally.device)
        if device is None:
            return
        for metric, value in tally.values.items():
            cell = device.cells_of(metric).get(metric)
            if cell is not None:
                cell.take(value, tally.at.mono)

    def device(self, name: str) -> Heard:
        return self._devices.setdefault(name, Heard())

    def cell(self, device: str, metric: str) -> Cell:
        return self.device(device).cells_of(metric).setdefault(metric, Cell())
