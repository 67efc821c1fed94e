"""What Prometheus scrapes. Values of devices are one metric with labels, as their names are the site's, not ours."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.exposition import generate_latest

from gateway.model import Presence
from gateway.web.sight import Sight
from gateway.web.stream import Stream

__all__ = ["CONTENT_TYPE", "Metrics"]

STRETCH = 16
"""Devices that are looked at in one turn of the loop: readings are to come between them."""


class _Seen(NamedTuple):
    """All that is told, taken in the loop; to write it down takes a thread."""

    gateway: Mapping[str, Any]
    devices: Iterable[Mapping[str, Any]]
    dropped: Mapping[str, Mapping[str, int]]
    counters: Mapping[str, Any]
    brokers: Iterable[Mapping[str, Any]]
    journal: Mapping[str, Any]
    now_s: float
    ready: bool
    viewers: int


class Metrics:
    def __init__(self, sight: Sight, stream: Stream) -> None:
        self._sight = sight
        self._stream = stream
        self._turn = asyncio.Lock()
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    async def scrape(self) -> bytes:
        async with self._turn:
            return await asyncio.to_thread(self._written, await self._look())

    async def _look(self) -> _Seen:
        overview = self._sight.overview
        devices, dropped = [], {}
        for number, source in enumerate(overview.changed(), 1):
            devices.append(overview.device(source))
            dropped[source.name] = dict(source.tally_dropped())
            if not number % STRETCH:
                await asyncio.sleep(0)
        return _Seen(
            gateway=overview.gateway(),
            devices=devices,
            dropped=dropped,
            counters=self._sight.accounts.counters(),
            brokers=overview.brokers(),
            journal=overview.journal(),
            now_s=self._sight.clock().wall_ns / 1e9,
            ready=not self._sight.health.unready,
            viewers=self._stream.viewers,
        )

    def _written(self, seen: _Seen) -> bytes:
        registry = CollectorRegistry()
        registry.register(_Collector(seen))
        return generate_latest(registry) + generate_latest(self._process)


class _Collector:
    def __init__(self, seen: _Seen) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        seen = self._seen
        yield InfoMetricFamily(
            "sallyport_gateway", "The gateway.",
            value={"gateway": seen.gateway["gateway"], "version": seen.gateway["version"]},
        )  # fmt: skip
        yield GaugeMetricFamily(
            "sallyport_start_time_seconds", "When the gateway started, since the epoch.",
            value=round(seen.now_s - seen.gateway["up_s"]),  # the same with each scrape
        )  # fmt: skip
        yield GaugeMetricFamily("sallyport_ready", "1: the gateway does its work.", value=seen.ready)
        yield GaugeMetricFamily("sallyport_web_viewers", "Who looks at the status page.", value=seen.viewers)
        yield from self._of_devices()
        yield from self._of_brokers()
        yield from self._of_journal()
        yield from self._of_rules()

    def _of_devices(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "sallyport_device_state",
            "1 for the state that the device is in.",
            labels=["device", "driver", "state"],
        )
        last = GaugeMetricFamily(
            "sallyport_device_last_reading_timestamp_seconds", "When the device was heard last, since the epoch.",
            labels=["device"],
        )  # fmt: skip
        rejected = CounterMetricFamily(
            "sallyport_device_rejected_frames", "Frames that were broken, or answers missing.",
            labels=["device", "reason"],
        )  # fmt: skip
        dropped = CounterMetricFamily(
            "sallyport_device_dropped_values", "Values that could not be used.", labels=["device", "reason"]
        )
        values = GaugeMetricFamily(
            "sallyport_value", "What a device that is online said last of a metric, in its unit.",
            labels=["device", "metric", "unit"],
        )  # fmt: skip
        for device in self._seen.devices:
            name = device["name"]
            for each in Presence:
                state.add_metric([name, device["driver"], each.value], float(device["state"] == each))
            if device["age_s"] is not None:
                last.add_metric([name], self._seen.now_s - device["age_s"])
            for reason, count in device["rejected"].items():
                rejected.add_metric([name, reason], count)
            for reason, count in self._seen.dropped[name].items():
                dropped.add_metric([name, reason], count)
            # Nothing of one that is silent: what it said last is no value of now.
            for metric in device["metrics"] if device["state"] == Presence.ONLINE else ():
                if isinstance(metric["value"], int | float):
                    values.add_metric([name, metric["name"], metric["unit"]], float(metric["value"]))
        yield from (state, last, rejected, dropped, values)
        yield from _families(
            CounterMetricFamily, self._seen.counters["devices"], "device",
            {
                "read": ("sallyport_device_readings", "Readings that came from the device."),
                "filtered": ("sallyport_device_filtered_readings", "Of these, the ones that filters withheld."),
                "made": ("sallyport_device_made_readings", "Readings that filters made by themselves."),
                "lost": ("sallyport_device_lost_readings", "Readings that some broker will never get."),
            },
        )  # fmt: skip

    def _of_brokers(self) -> Iterator[Metric]:
        connected = GaugeMetricFamily(
            "sallyport_broker_connected", "1: the broker takes messages.", labels=["broker"]
        )
        for broker in self._seen.brokers:
            connected.add_metric([broker["name"]], float(broker["connected"]))
        yield connected
        yield from _families(
            CounterMetricFamily, self._seen.counters["brokers"], "broker",
            {
                "connects": ("sallyport_broker_connects", "Connections that were made."),
                "sent": ("sallyport_broker_sent_readings", "Readings that have left for the broker."),
                "repeated": ("sallyport_broker_repeated_readings", "Of these, once more on a new connection."),
                "acknowledged": ("sallyport_broker_acknowledged_readings", "Readings that it has taken."),
                "set_aside": ("sallyport_broker_set_aside_readings", "Readings that it has refused."),
                "evicted": ("sallyport_broker_evicted_readings", "Readings that a full journal gave up before."),
            },
        )  # fmt: skip
        yield from _families(
            GaugeMetricFamily, self._seen.counters["brokers"], "broker",
            {
                "waiting": ("sallyport_broker_waiting_readings", "Readings that wait for the broker."),
                "urgent_waiting": ("sallyport_broker_waiting_alerts", "Alerts and gaps that wait for the broker."),
            },
        )  # fmt: skip

    def _of_journal(self) -> Iterator[Metric]:
        counts, journal = self._seen.counters["journal"], self._seen.journal
        for key, what in {
            "recorded": "Readings that the journal was given.",
            "journaled": "Of these, the ones that it has kept.",
            "refused": "Of these, the ones that it had no room for.",
        }.items():
            yield CounterMetricFamily(f"sallyport_journal_{key}_readings", what, value=counts[key])
        if journal["used"] is not None:
            yield GaugeMetricFamily(
                "sallyport_journal_used_ratio", "Of the room that the journal has.", value=journal["used"]
            )
        yield GaugeMetricFamily(
            "sallyport_journal_trouble", "1: its disk fails, and readings are held in memory.",
            value=float(bool(journal["trouble"])),
        )  # fmt: skip

    def _of_rules(self) -> Iterator[Metric]:
        rules = self._seen.counters["rules"]
        alerts = GaugeMetricFamily("sallyport_alerts", "Alerts now.", labels=["state"])
        for state in ("pending", "firing"):
            alerts.add_metric([state], rules[state])
        yield alerts
        yield from _families(
            CounterMetricFamily, rules["notify"], "receiver",
            {
                "delivered": ("sallyport_notifications_delivered", "Messages that have arrived."),
                "failed": ("sallyport_notification_attempts_failed", "Attempts that failed."),
                "given_up": ("sallyport_notifications_given_up", "Messages that were given up."),
            },
        )  # fmt: skip


def _families(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    counters: Mapping[str, Mapping[str, Any]],
    label: str,
    wanted: Mapping[str, tuple[str, str]],
) -> Iterator[Metric]:
    """`wanted`: of each count its name and what it is."""
    for key, (name, what) in wanted.items():
        family = kind(name, what, labels=[label])
        for each, counts in counters.items():
            family.add_metric([each], counts[key])
        yield family
