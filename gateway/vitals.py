"""What the parts at work say of themselves: to `health`, and in one line to whoever asks the service manager."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from gateway.alerting import Alerting
from gateway.bus import EventBus
from gateway.health import Patience, Pulse
from gateway.journal.journal import Journal
from gateway.publish.delivery import Delivery
from gateway.source import Source

LONGEST_ATTEMPT_S = 120.0
"""To hand over a notice: the highest `timeout` that may be configured."""


def pulses(
    bus: EventBus,
    journal: Journal,
    alerting: Alerting,
    sources: Iterable[Source],
    deliveries: Iterable[Delivery],
    *,
    patience: Patience,
) -> Iterator[Pulse]:
    """Who else takes part in the work waits for one of these, or ends with an error that ends the gateway."""
    disk_s = patience.rescue_s if journal.reopening else patience.disk_s
    yield Pulse("journal: the disk", journal.unanswered, journal.answered, disk_s)
    remembrance = alerting.remembrance
    yield Pulse("what rules remember: the disk", remembrance.writing, remembrance.writes, patience.disk_s)
    for mail in bus.subscriptions:
        if mail.lossless:
            yield Pulse(f"reader of the bus: {mail.name}", mail.busy, mail.taken, patience.mailbox_s)
    for delivery in deliveries:
        forwarder = delivery.forwarder
        # A backlog that the disk refuses to give is not the forwarder's fault, and asked for again.
        waits = forwarder.connected and forwarder.waiting and not journal.trouble
        patience_s = delivery.ack_timeout_s + patience.forwarder_s
        yield Pulse(f"forwarder: {delivery.name}", waits, forwarder.progress, patience_s)
    for outbox in alerting.outboxes.values():
        patience_s = LONGEST_ATTEMPT_S + patience.hand_s
        yield Pulse(f"notify {outbox.name}", outbox.sending, outbox.attempts, patience_s)
    handled = Counter[str]()
    for source in (sources := tuple(sources)):
        handled[source.port] += source.handled
    for source in sources:
        # Devices that share a port open it one after the other.
        doing, done = source.handling, handled[source.port]
        yield Pulse(f"device {source.name}: {doing}", doing, done, patience.hand_s)


def status(journal: Journal, sources: Sequence[Source], deliveries: Sequence[Delivery]) -> str:
    """Such as `12 devices, 11 online, broker connected, backlog 0`."""
    devices = "1 device" if len(sources) == 1 else f"{len(sources)} devices"
    online = sum(source.online for source in sources)
    connected = sum(delivery.forwarder.connected for delivery in deliveries)
    if len(deliveries) == 1:
        brokers = "broker connected" if connected else "broker not connected"
    else:
        brokers = f"{connected} of {len(deliveries)} brokers connected"
    backlog = max(delivery.forwarder.waiting for delivery in deliveries)
    trouble = f", readings are held in memory: {journal.trouble}" if journal.trouble else ""
    return f"{devices}, {online} online, {brokers}, backlog {backlog}{trouble}"
