"""What was read, kept, sent and lost since the start, and that it adds up.

recorded           = read - filtered + made, less what is still on the bus
recorded           = journaled + refused
found + journaled  = joined after + acknowledged + set aside + evicted + waiting, for each broker
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway import wire
from gateway.devices import Devices
from gateway.journal.journal import Journal
from gateway.logs import MessageId, about
from gateway.model import Clock, Gap
from gateway.publish.delivery import Delivery

log = logging.getLogger(__name__)


class Accounts:
    def __init__(
        self,
        journal: Journal,
        devices: Devices,
        clock: Clock,
        *,
        alerting: Callable[[], Mapping[str, Any]],
    ) -> None:
        """`alerting`: what the rules count of themselves."""
        self._alerting = alerting
        self.brokers: Iterable[Delivery] = ()
        self._journal = journal
        self._devices = devices
        self._clock = clock
        self._since = clock()
        self._first = journal.readings.last
        self._lost: Counter[str] = Counter()

    def note(self, gap: Gap) -> None:
        self._lost[gap.device] += gap.lost

    @property
    def journaled(self) -> int:
        return self._journal.readings.last - self._first

    def as_json(self) -> bytes:
        return wire.encode_counters(
            at_ns=self._clock().wall_ns, since_ns=self._since.wall_ns, counters=self.counters()
        )

    def counters(self) -> dict[str, Any]:
        return {
            "devices": {
                source.name: {
                    "read": source.readings,
                    "filtered": source.filtered,
                    "made": source.made,
                    "withheld": dict(source.tally_withheld()),
                    "rejected": source.tally_rejected().total(),
                    "dropped": source.tally_dropped().total(),
                    "lost": self._lost[source.name],
                }
                for source in self._devices
            },
            "gone": {what: self._devices.gone[what] for what in ("read", "filtered", "made")},
            "journal": {
                "recorded": self._journal.appended,
                "journaled": self.journaled,
                "refused": self._journal.refused,
            },
            "rules": self._alerting(),
            "brokers": {each.name: _of(each) for each in self.brokers},
        }

    def tell(self, kept_in: Path | None) -> None:
        """The last lines of the log: everything read has gone somewhere."""
        for source in self._devices:
            for what, tally in (
                ("rejected", source.tally_rejected()),
                ("dropped", source.tally_dropped()),
                ("withheld", source.tally_withheld()),
            ):
                if tally:
                    reasons = ", ".join(f"{count} {reason}" for reason, count in tally.most_common())
                    log.info("%s: %s: %s", source.name, what, reasons, extra=about(device=source.name))
        gone = self._devices.gone
        filtered = gone["filtered"] + sum(source.filtered for source in self._devices)
        made = gone["made"] + sum(source.made for source in self._devices)
        log.info(
            "stopped: %d readings read%s, %d journaled, %d refused by a full journal",
            gone["read"] + sum(source.readings for source in self._devices),
            f", less {filtered} filtered, and {made} made by filters" if filtered or made else "",
            self.journaled, self._journal.refused,
            extra=about(MessageId.GATEWAY_STOPPED),
        )  # fmt: skip
        for delivery in self.brokers:
            lane = delivery.forwarder.readings
            log.info(
                "stopped: %s: %d acknowledged, %d set aside, %d forced out of the journal, %d left; %d were found",
                delivery.title, lane.acknowledged, lane.set_aside, lane.evicted, lane.waiting, lane.found,
                extra=about(MessageId.GATEWAY_STOPPED, broker=delivery.name),
            )  # fmt: skip
            if lane.waiting and kept_in is None:
                log.warning(
                    "the %s has not taken the last %d readings: they are lost",
                    delivery.title,
                    lane.waiting,
                    extra=about(MessageId.READINGS_WERE_LOST, broker=delivery.name),
                )
            elif lane.waiting:
                log.info(
                    "the %s has not taken %d readings: they stay in %s",
                    delivery.title,
                    lane.waiting,
                    kept_in,
                    extra=about(broker=delivery.name),
                )


def _of(delivery: Delivery) -> dict[str, int]:
    lane = delivery.forwarder.readings
    return {
        "connects": delivery.forwarder.connects,
        "found": lane.found,
        "joined_after": delivery.joined_after,
        "sent": lane.sent,
        "repeated": lane.repeated,
        "acknowledged": lane.acknowledged,
        "set_aside": lane.set_aside,
        "evicted": lane.evicted,
        "waiting": lane.waiting,
        "urgent_waiting": delivery.forwarder.urgent.waiting,
    }
