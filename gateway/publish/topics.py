"""Which message an event becomes: topic, payload, retain."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from gateway import wire
from gateway.config.options import RESERVED_LEVELS
from gateway.journal.record import Record
from gateway.model import Availability
from gateway.publish.publisher import Message

Layout = Callable[[Record], Sequence[Message]]

MOST_LEVELS = 32
"""Of a topic that somebody else has chosen: a broker hangs up on who publishes where there are too many (mosquitto:
200)."""

_TAKEN = ("availability", "batch", "set")
"""Topics below a device's that are not metrics."""


def safe(name: str) -> str:
    """One topic level, whatever the name holds: no `+ # /`, no control characters, not empty.

    Source: MQTT 5.0, sections 1.5.4 and 4.7.
    """
    return "".join("_" if char in "+#/" or not char.isprintable() else char for char in name) or "_"


def metric_level(metric: str) -> str:
    level = safe(metric)
    return f"{level}_" if level in _TAKEN else level


class Asked(NamedTuple):
    """What a topic wants of us."""

    verb: str
    device: str = ""
    """As its topics have it; of what is to be set only."""
    metric: str = ""
    """Likewise; empty where the message itself says which."""


class Topics:
    def __init__(self, *, prefix: str, gateway: str) -> None:
        self._prefix = prefix
        self._root = f"{prefix}/{safe(gateway)}"
        # Bounded: a damaged line of JSON may name a metric that never comes again.
        self._device = lru_cache(1024)(lambda device: f"{self._root}/{safe(device)}")
        self._metric = lru_cache(8192)(
            lambda device, metric: f"{self._device(device)}/{metric_level(metric)}"
        )

    @property
    def everything(self) -> str:
        return f"{self._root}/#"

    @property
    def status(self) -> str:
        return f"{self._root}/status"

    @property
    def requests(self) -> str:
        return self.request("#")

    def request(self, verb: str) -> str:
        return f"{self._root}/request/{verb}"

    def response(self, verb: str) -> str:
        return f"{self._root}/response/{verb}"

    def set_(self, device: str) -> str:
        return f"{self._device(device)}/set"

    @property
    def sets(self) -> tuple[str, ...]:
        """Where devices are told what to be: several metrics at once, or one that has a topic of its own."""
        return f"{self._root}/+/set", f"{self._root}/+/+/set"

    def asked(self, topic: str) -> Asked | None:
        """None: nothing."""
        if not topic.startswith(above := f"{self._root}/"):
            return None
        match topic.removeprefix(above).split("/"):
            # What both subscriptions are for, brokers tell us twice: it is no request, nor about a device.
            case ["request", "set"] | ["request", _, "set"]:
                return None
            case ["request", first, *rest]:
                return Asked("/".join((first, *rest)))
            case [device, "set"] if device not in RESERVED_LEVELS:
                return Asked("set", device)
            case [device, metric, "set"] if device not in RESERVED_LEVELS:
                return Asked("set", device, metric)
        return None

    def takes_answers(self, topic: str, besides: Iterable[str] = ()) -> bool:
        """Whether somebody may send our answer there: not where it would pass for what a gateway says by itself.

        `besides`: above what other topics that is, than those below the prefix.
        """
        if topic.startswith("$") or not topic or set(topic) & set("+#") or not topic.isprintable():
            return False
        if topic.count("/") >= MOST_LEVELS:
            return False
        return topic.startswith(self.response("")) or not any(
            f"{topic}/".startswith(f"{above}/") for above in (self._prefix, *besides)
        )

    def by_device(self, record: Record) -> Sequence[Message]:
        """`layout = "device"`: a reading is one message."""
        return (Message(self._device(record.device), record.payload),)

    def by_metric(self, record: Record) -> Sequence[Message]:
        """`layout = "metric"`: each value is a message, bare."""
        return [
            Message(self._metric(record.device, metric), wire.scalar(value))
            for metric, value in wire.values(record.payload).items()
        ]

    def of_device(self, device: str) -> str:
        return self._device(device)

    def of_metric(self, device: str, metric: str) -> str:
        """With `layout = "metric"`."""
        return self._metric(device, metric)

    def of_alert(self, rule: str, *device: str) -> str:
        """Where one stands: of a rule for several devices, the one about `device`."""
        return "/".join((self.of_alerts(rule), *map(safe, device)))

    def of_alerts(self, rule: str) -> str:
        """One for a rule; those of a rule for several devices are below it."""
        return f"{self._root}/alerts/{safe(rule)}"

    def batch(self, device: str) -> str:
        """Where a device's backlog goes."""
        return f"{self._device(device)}/batch"

    def urgent(self, record: Record) -> Sequence[Message]:
        """Alerts are states, and kept for whoever comes later; a gap is an event."""
        return (
            Message(
                f"{self._root}/{record.device}", record.payload, retain=record.device.startswith("alerts/")
            ),
        )

    @property
    def of_counters(self) -> str:
        return f"{self.status}/counters"

    def counters(self, payload: bytes) -> Message:
        return Message(self.of_counters, payload, retain=True)

    def of_availability(self, device: str) -> str:
        return f"{self._device(device)}/availability"

    def availability(self, event: Availability) -> Message:
        return Message(self.of_availability(event.device), wire.encode_availability(event), retain=True)

    def online(self, since_ns: int, version: str, journal: str = "") -> Message:
        """`journal`: what troubles it."""
        status = wire.encode_online(since_ns=since_ns, version=version, journal=journal)
        return Message(self.status, status, retain=True)

    def offline(self) -> Message:
        return Message(self.status, wire.OFFLINE, retain=True)
