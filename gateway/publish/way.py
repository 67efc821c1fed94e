from gateway.publish.broker import Broker
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
