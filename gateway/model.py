"""The values that travel: plain data, made by machines, checked where it enters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

Value = float | int | bool | str


class Stamp(NamedTuple):
    """One moment on two clocks."""

    wall_ns: int
    """UTC, nanoseconds since the epoch: goes on the wire as RFC 3339."""
    mono: float
    """Seconds that never jump: every decision uses this one."""
    synchronised: bool = True
    """Whether the wall clock can be believed; false on a board that has just started and not heard of the time yet."""


Clock = Callable[[], Stamp]


@dataclass(slots=True, kw_only=True)
class Event:
    at: Stamp


@dataclass(slots=True, kw_only=True)
class Observation(Event):
    """What a source says of a device."""

    device: str


@dataclass(slots=True, kw_only=True)
class Reading(Observation):
    """All that one device reported at one moment.

    Not frozen: a frozen dataclass costs four times as much to make, and this is the hot path.
    """

    values: Mapping[str, Value]
    seq: int = 0
    """Grows by one per device. The gateway numbers a reading when the driver has yielded it."""


class Presence(StrEnum):
    ONLINE = "online"
    STALE = "stale"
    """The port is open, but no reading has come for longer than the device's `stale_after`."""
    OFFLINE = "offline"


@dataclass(slots=True, kw_only=True)
class Availability(Observation):
    """Absence is data too: whether a device can be believed, and if not, why."""

    presence: Presence
    reason: str
    port_open: bool | None = None
    """False: its port cannot be opened, or went away: nothing behind it can be heard. None: not known yet."""
    unproven: bool = False
    """Nothing speaks against the device, and no rule may act on it: it has not had the time to speak since the gateway
    started or opened its port, or the gateway is being stopped."""


@dataclass(slots=True, kw_only=True)
class Removal(Availability):
    """The device is not configured any more."""


@dataclass(slots=True, kw_only=True)
class Tally(Observation):
    """What the gateway counts of a device, or of itself (device `status`): no reading, and no sign of life."""

    values: Mapping[str, Value]
    """By name; what is counted of a device is called `$…`, which no instrument's metric is taken for."""


@dataclass(slots=True, kw_only=True)
class Gap(Event):
    """Numbers that will never arrive, and why: loss is never silent."""

    device: str
    first: int
    last: int
    lost: int
    """Readings that are lost; fewer than the numbers between `first` and `last` when some had gone before."""
    reason: str


class AlertState(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(slots=True, kw_only=True)
class Alert(Event):
    rule: str
    device: str
    """Empty where the rule is about no single one."""
    state: AlertState
    since: Stamp
    """When it entered this state."""
    value: Value | None
    severity: str
    message: str
    labels: Mapping[str, str]
