"""Event ↔ bytes: what subscribers see."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from gateway.model import Alert, Availability, Event, Gap, Reading, Removal, Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNSYNCHRONISED = "unsynchronised"
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1


@lru_cache(maxsize=64)  # the readings of one chunk share their stamp
def rfc3339(wall_ns: int) -> str:
    """UTC with milliseconds: `2026-11-22T17:07:01.123Z` (RFC 3339, section 5.6)."""
    seconds, milliseconds = divmod(wall_ns // 1_000_000, 1000)
    return f"{_whole_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=2)  # many readings share a second, and formatting one costs more than all the rest
def _whole_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def encode(reading: Reading, run: str) -> bytes:
    """`{"time":…,"seq":…,"run":…,"values":{…}}`, and `"clock":"unsynchronised"` while the time cannot be believed."""
    at = reading.at
    event = {"time": rfc3339(at.wall_ns), "seq": reading.seq, "run": run, "values": reading.values}
    if not at.synchronised:
        event["clock"] = UNSYNCHRONISED
    try:
        return orjson.dumps(event)
    except TypeError:
        # Rare, so nobody pays for it beforehand; but no reading may stop the gateway.
        event["values"] = {portable(name): portable(value) for name, value in reading.values.items()}
        return orjson.dumps(event)


def portable(value: Any) -> Any:
    """What orjson will write: an integer beyond 64 bits as a float, half a surrogate pair as `?`."""
    match value:
        case int() if not _LOWEST <= value <= _HIGHEST:
            return float(value) if abs(value) <= sys.float_info.max else None
        case str():
            return value.encode(errors="replace").decode()
    return value


def values(payload: bytes) -> dict[str, Any]:
    """The values of an encoded reading."""
    found: dict[str, Any] = orjson.loads(payload)["values"]
    return found


def scalar(value: Any) -> bytes:
    """A bare value, as `layout = "metric"` publishes it: text as it is, all else as JSON."""
    return value.encode() if isinstance(value, str) else orjson.dumps(value)


def read_scalar(payload: bytes) -> Value:
    """What a bare value means: JSON where it is a number, a text in quotes, true or false, else the text itself.

    Raises: UnicodeDecodeError.
    """
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, bool | int | float | str) else payload.decode()


def command(metric: str, value: Value) -> bytes:
    """What is said to a device that it shall set a metric."""
    return orjson.dumps({"values": {metric: value}})


def encode_availability(event: Availability) -> bytes:
    state: dict[str, str] = {"state": event.presence, "since": rfc3339(event.at.wall_ns)}
    if event.reason:
        state["reason"] = event.reason
    if not event.at.synchronised:
        state["clock"] = UNSYNCHRONISED
    return orjson.dumps(state)


def encode_alert(alert: Alert) -> bytes:
    """`time` is that of this message, `since` that of the state."""
    event = {
        "time": rfc3339(alert.at.wall_ns), "rule": alert.rule, "device": alert.device, "state": alert.state,
        "since": rfc3339(alert.since.wall_ns), "severity": alert.severity, "value": portable(alert.value),
        "message": portable(alert.message), "labels": alert.labels,
    }  # fmt: skip
    if not (alert.at.synchronised and alert.since.synchronised):
        event["clock"] = UNSYNCHRONISED
    return orjson.dumps(event)


def encode_gap(gap: Gap, run: str) -> bytes:
    return orjson.dumps(
        {
            "time": rfc3339(gap.at.wall_ns), "device": gap.device, "run": run,
            "first": gap.first, "last": gap.last, "lost": gap.lost, "reason": gap.reason,
        }
    )  # fmt: skip


def live_line(event: Event, run: str) -> bytes | None:
    """As the live feed tells it: what is published, with `event` and `device` before it. None: it is not told."""
    match event:
        case Reading():
            return _told("reading", event.device, encode(event, run))
        case Removal():
            return _told("removal", event.device, encode_availability(event))
        case Availability():
            return _told("availability", event.device, encode_availability(event))
        case Gap():
            return b'{"event":"gap",' + encode_gap(event, run)[1:] + b"\n"
        case Alert():
            return b'{"event":"alert",' + encode_alert(event)[1:] + b"\n"
    return None


def _told(what: str, device: str, payload: bytes) -> bytes:
    return b'{"event":"%b","device":%b,%b\n' % (what.encode(), orjson.dumps(device), payload[1:])


def encode_counters(*, at_ns: int, since_ns: int, counters: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"time": rfc3339(at_ns), "since": rfc3339(since_ns), **counters})


def encode_online(*, since_ns: int, version: str, journal: str) -> bytes:
    """With `"journal"`, why readings are held in memory, as long as they are."""
    status = {"state": "online", "since": rfc3339(since_ns), "version": version}
    if journal:
        status["journal"] = journal
    return orjson.dumps(status)


OFFLINE = b'{"state":"offline"}'
