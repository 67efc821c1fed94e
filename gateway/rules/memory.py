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

    __slots__ = ("_inherited", "before", "value", "windows")

    def __init__(self, heir_of: "Cell | None" = None) -> None:
        self.value: Value | Unknown = Unknown.NOT_SEEN if heir_of is None else heir_of.value
        self.before: Value | Unknown = Unknown.NOT_SEEN if heir_of is None else heir_of.before
        self.windows: dict[tuple[str, float], Window] = {}
        self._inherited = {} if heir_of is None else heir_of.windows

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
            self.windows[key] = self._inherited.get(key) or WINDOWS[function](seconds)
        return self.windows[key]

    def settle(self) -> None:
        """Nobody will ask for one of the inherited windows any more."""
        self._inherited = {}


class Heard:
    """What is known of one device."""

    __slots__ = ("_inherited", "at", "cells", "counts", "offline", "stale")

    def __init__(self, heir_of: "Heard | None" = None) -> None:
        self.at: float | Unknown = Unknown.NOT_SEEN if heir_of is None else heir_of.at
        """Of its last reading, in monotonic seconds."""
        self.stale: bool | Unknown = Unknown.NOT_SEEN if heir_of is None else heir_of.stale
        self.offline: bool | Unknown = Unknown.NOT_SEEN if heir_of is None else heir_of.offline
        self._inherited = heir_of
        self.cells: dict[str, Cell] = {}
        self.counts: dict[str, Cell] = {}
        """What the gateway counts of it, apart: an instrument may call its metrics whatever it likes."""

    def cells_of(self, metric: str) -> dict[str, Cell]:
        """Among which a metric of this name is."""
        return self.counts if metric.startswith(COUNTED) else self.cells

    def cell(self, metric: str) -> Cell:
        cells = self.cells_of(metric)
        if metric not in cells:
            former = None if self._inherited is None else self._inherited.cells_of(metric).get(metric)
            cells[metric] = Cell(former)
        return cells[metric]

    def settle(self) -> None:
        self._inherited = None
        for cell in (*self.cells.values(), *self.counts.values()):
            cell.settle()


class Memory:
    """Fed with each event first; then the rules that read its device are asked."""

    def __init__(self, heir_of: "Memory | None" = None) -> None:
        """`heir_of`: one that is not fed any more; what is asked for of what it knows is known here."""
        self.devices: dict[str, Heard] = {}
        self._inherited = {} if heir_of is None else heir_of.devices

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
        device = self.devices.get(reading.device)
        if device is None:
            return
        device.at = now = reading.at.mono
        device.stale = device.offline = False
        values = reading.values
        for metric, cell in device.cells.items():
            if metric in values:
                cell.take(values[metric], now)

    def hear(self, availability: Availability) -> None:
        device = self.devices.get(availability.device)
        if device is not None and not availability.unproven:
            device.stale = availability.presence is not Presence.ONLINE
            device.offline = availability.presence is Presence.OFFLINE

    def count(self, tally: Tally) -> None:
        device = self.devices.get(tally.device)
        if device is None:
            return
        for metric, value in tally.values.items():
            cell = device.cells_of(metric).get(metric)
            if cell is not None:
                cell.take(value, tally.at.mono)

    def device(self, name: str) -> Heard:
        if name not in self.devices:
            self.devices[name] = Heard(self._inherited.get(name))
        return self.devices[name]

    def cell(self, device: str, metric: str) -> Cell:
        return self.device(device).cell(metric)

    def settle(self) -> None:
        """All rules have asked for what they read: the rest of what was inherited is forgotten."""
        self._inherited = {}
        for device in self.devices.values():
            device.settle()
