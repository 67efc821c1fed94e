"""What the parts at work say of themselves: to `health`, and in one line to whoever asks the service manager."""

from collections import Counter
from collections.abc import Iterable, Iterator

from gateway.alerting import Alerting
from gateway.bus import EventBus
from gateway.health import Patience, Pulse
from gateway.journal.journal import Journal
from gateway.publish.delivery import Delivery
from gateway.publish.forwarder import Forwarder
from gateway.recovery import Recovery
from gateway.reloading import Reloading
from gateway.remembrance import Remembrance
from gateway.source import Source

LONGEST_ATTEMPT_S = 120.0
"""To hand over a notice: the highest `timeout` that may be configured."""


def pulses(
    bus: EventBus,
    journal: Journal,
    *,
    alerting: Alerting,
    sources: Iterable[Source],
    recovery: Recovery,
    deliveries: Iterable[Delivery],
    reloading: Reloading,
    patience: Patience,
) -> Iterator[Pulse]:
    """Who else takes part in the work waits for one of these, or ends with an error that ends the gateway."""
    yield from of_disks(journal, alerting.remembrance, patience)
    yield from of_mailboxes(bus, patience)
    for delivery in deliveries:
        yield of_forwarder(delivery.name, delivery.forwarder, journal, patience)
    for each in alerting.receivers:
        yield Pulse(f"notify {each.name}", each.sending, each.attempts, LONGEST_ATTEMPT_S + patience.hand_s)
    yield from of_ports(sources, patience)
    yield of_recovery(recovery, patience)
    yield of_reloads(reloading, patience)


def of_disks(journal: Journal, remembrance: Remembrance, patience: Patience) -> Iterator[Pulse]:
    """One that refuses is well: what cannot be written is held in memory. One that does not answer is not."""
    disk_s = patience.long_s if journal.reopening else patience.disk_s
    yield Pulse("journal: the disk", journal.unanswered, journal.answered, disk_s)
    yield Pulse("what rules remember: the disk", remembrance.writing, remembrance.writes, patience.disk_s)


def of_mailboxes(bus: EventBus, patience: Patience) -> Iterator[Pulse]:
    for mail in bus.subscriptions:
        if mail.lossless:
            yield Pulse(f"reader of the bus: {mail.name}", mail.busy, mail.taken, patience.mailbox_s)


def of_forwarder(name: str, forwarder: Forwarder, journal: Journal, patience: Patience) -> Pulse:
    # A backlog that the disk refuses to give is asked for again and again.
    waits = forwarder.connected and forwarder.waiting and not journal.trouble
    patience_s = forwarder.ack_timeout_s + patience.forwarder_s
    return Pulse(f"forwarder: {name}", waits, forwarder.progress, patience_s)


def of_ports(sources: Iterable[Source], patience: Patience) -> Iterator[Pulse]:
    """Devices that share a port open it one after the other: while one of them gets on, none is stuck."""
    sources, handled = tuple(sources), Counter[str]()
    for source in sources:
        handled[source.port] += source.handled
    for source in sources:
        name = f"device {source.name}: {source.handling}"
        yield Pulse(name, source.handling, handled[source.port], patience.hand_s)


def of_recovery(recovery: Recovery, patience: Patience) -> Pulse:
    return Pulse(f"recovery: {recovery.handling}", recovery.handling, recovery.handled, patience.hand_s)


def of_reloads(reloading: Reloading, patience: Patience) -> Pulse:
    return Pulse("reload", reloading.under_way, reloading.ended, patience.long_s)


def status(journal: Journal, sources: Iterable[Source], deliveries: Iterable[Delivery]) -> str:
    """Such as `12 devices, 11 online, broker connected, backlog 0`."""
    online = [source.online for source in sources]
    forwarders = [delivery.forwarder for delivery in deliveries]
    devices = "1 device" if len(online) == 1 else f"{len(online)} devices"
    connected = sum(forwarder.connected for forwarder in forwarders)
    if len(forwarders) == 1:
        brokers = "broker connected" if connected else "broker not connected"
    else:
        brokers = f"{connected} of {len(forwarders)} brokers connected"
    backlog = max(forwarder.waiting for forwarder in forwarders)
    trouble = f", readings are held in memory: {journal.trouble}" if journal.trouble else ""
    return f"{devices}, {sum(online)} online, {brokers}, backlog {backlog}{trouble}"
