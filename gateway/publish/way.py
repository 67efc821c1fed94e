from collections.abc import Sequence

from gateway.publish.broker import Broker
from gateway.publish.failover import Failover
from gateway.publish.link import LinkPublisher
from gateway.publish.publisher import Message, Publisher


def publisher_to(broker: Broker, *, will: Message | None = None) -> Publisher:
    """The way to this broker: our own link, or aiomqtt where WebSockets are spoken."""
    if broker.transport == "websockets":
        from gateway.publish.aiomqtt_publisher import (  # noqa: PLC0415 - 6 MB that only its users pay
            AiomqttPublisher,
        )

        return AiomqttPublisher(broker, will=will)
    return LinkPublisher(broker, will=will)


def publisher_to_any(ways: Sequence[Broker], *, will: Message) -> Publisher:
    """The way to the first of them that lets us in."""
    publishers = [publisher_to(each, will=will) for each in ways]
    return publishers[0] if len(publishers) == 1 else Failover(publishers)
