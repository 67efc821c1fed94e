"""What the parts at work say of themselves: to `health`, and in one line to whoever asks the service manager."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from gateway.alerting import Alerting
from gateway.bus import EventBus
from gateway.health import Patience, Pulse
from gateway.journal.journal import Journal
from gateway.publish.delivery import Delivery
from gateway.publish.forwarder import Forwarder
from gateway.remembrance import Remembrance
from gateway.source import Source

LONGEST_ATTEMPT_S = 120.0
"""To hand over a notice: the highest `timeout` that may be configured."""


def pulses(
    bus: EventBus,
    journal: Journal,
    alerting: Alerting,
    sources: Sequence[Source],
    deliveries: Iterable[Delivery],
    *,
    patience: Patience,
) -> Iterator[Pulse]:
    """Who else takes part in the work waits for one of these, or ends with an error that ends the gateway."""
    yield from of_disks(journal, alerting.remembrance, patience)
    yield from of_mailboxes(bus, patience)
    for each in deliveries:
        yield of_forwarder(each.name, each.forwarder, journal, each.ack_timeout_s + patience.forwarder_s)
    for name, outbox in alerting.outboxes.items():
        yield Pulse(f"notify {name}", outbox.sending, outbox.attempts, LONGEST_ATTEMPT_S + patience.hand_s)
    yield from of_ports(sources, patience)


def of_disks(journal: Journal, remembrance: Remembrance, patience: Patience) -> Iterator[Pulse]:
    """One that refuses is well: what cannot be written is held in memory. One that does not answer is not."""
    disk_s = patience.rescue_s if journal.reopening else patience.disk_s
    yield Pulse("journal: the disk", journal.unanswered, journal.answered, disk_s)
    yield Pulse("what rules remember: the disk", remembrance.writing, remembrance.writes, patience.disk_s)


def of_mailboxes(bus: EventBus, patience: Patience) -> Iterator[Pulse]:
    for mail in bus.subscriptions:
        if mail.lossless:
            yield Pulse(f"reader of the bus: {mail.name}", mail.busy, mail.taken, patience.mailbox_s)


def of_forwarder(name: str, forwarder: Forwarder, journal: Journal, patience_s: float) -> Pulse:
    # A backlog that the disk refuses to give is asked for again and again.
    waits = forwarder.connected and forwarder.waiting and not journal.trouble
    return Pulse(f"forwarder: {name}", waits, forwarder.progress, patience_s)


def of_ports(sources: Sequence[Source], patience: Patience) -> Iterator[Pulse]:
    """Devices that share a port open it one after the other: while one of them gets on, none is stuck."""
    handled = Counter[str]()
    for source in sources:
        handled[source.port] += source.handled
    for source in sources:
        name = f"device {source.name}: {source.handling}"
        yield Pulse(name, source.handling, handled[source.port], patience.hand_s)


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
