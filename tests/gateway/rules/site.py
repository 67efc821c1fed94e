"""A site to speak of, and what has been seen of it."""

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from gateway.model import Availability, Presence, Reading, Stamp, Tally, Value
from gateway.rules.expression import Bound, Expression
from gateway.rules.memory import Memory
from gateway.rules.names import Instrument, Site
from gateway.rules.unknown import Unknown

SITE = Site(
    {
        "boiler": Instrument(),
        "pump": Instrument(metrics=("running", "speed", "phase_*"), complete=True),
        "meter": Instrument(),
        "rack": Instrument(),
        "rack-1": Instrument(metrics=("power",)),
        "rack-2": Instrument(metrics=("power",)),
        "2nd floor": Instrument(),
        "boiler.cellar": Instrument(),
        "größe": Instrument(),
        "min": Instrument(),
        "in": Instrument(),
        "1": Instrument(),
    },
    ZoneInfo("Europe/Berlin"),
)

Readings = Sequence[tuple[float, str, Mapping[str, Value]]]
"""When, of which device, what."""


def at(mono: float, wall_s: float = 0.0) -> Stamp:
    return Stamp(int(wall_s * 1e9), mono)


def reading(mono: float, device: str, values: Mapping[str, Value]) -> Reading:
    return Reading(at=at(mono), device=device, values=values)


def availability(mono: float, device: str, presence: Presence) -> Availability:
    return Availability(at=at(mono), device=device, presence=presence, reason="")


def tally(mono: float, device: str, values: Mapping[str, Value]) -> Tally:
    return Tally(at=at(mono), device=device, values=values)


def bound(text: str, readings: Readings = (), *, condition: bool = True) -> Bound:
    """With what it makes of these readings."""
    memory = Memory()
    expression = Expression(text, SITE, condition=condition).bind(memory)
    for each in readings:
        memory.take(reading(*each))
    return expression


def value(text: str, readings: Readings = (), *, now: float = 100.0) -> Value | Unknown:
    return bound(text, readings, condition=False).judge(at(now))


def truth(text: str, readings: Readings = (), *, now: float = 100.0) -> Value | Unknown:
    return bound(text, readings).judge(at(now))
