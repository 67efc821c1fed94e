from collections.abc import Callable, Sequence

from gateway.config import MqttOptions
from gateway.journal.journal import Journal
from gateway.logs import MessageId, about
from gateway.model import Presence
from gateway.pacing.backoff import Backoff
from gateway.publish.broker import Broker
from gateway.publish.forwarder import Forwarder, Route
from gateway.publish.lane import Pace
from gateway.publish.noticeboard import Noticeboard
from gateway.publish.publisher import Message
from gateway.publish.topics import Topics
from gateway.publish.way import publisher_to_any
from gateway.supervisor import Child

NEWS = {Presence.ONLINE: MessageId.BROKER_CONNECTED, Presence.OFFLINE: MessageId.BROKER_LOST}


class Delivery:
    """All that one broker of the configuration needs: its topics, its notices, its forwarder."""

    def __init__(
        self,
        name: str,
        mqtt: MqttOptions,
        ways: Sequence[Broker],
        journal: Journal,
        *,
        gateway: str,
        counters: Callable[[], bytes],
        title: str,
    ) -> None:
        """`title`: in the log."""
        self.name = name
        self.title = title
        self.joined_after = 0
        """Readings that the gateway had journaled before it had to do with this broker."""
        self.board = Noticeboard()
        self._gateway = gateway
        self._counters = counters
        route = self._go_by(mqtt, ways)
        self.forwarder = Forwarder(journal, self.board, name=name, route=route)

    def change(self, mqtt: MqttOptions, ways: Sequence[Broker]) -> None:
        """While the forwarder does not run. All notices are to be posted anew."""
        self.board.take_down_all()
        self.forwarder.change(self._go_by(mqtt, ways))

    def child(self) -> Child:
        restart = Backoff(first_s=0.5, cap_s=self._retry_max_s)
        return Child(
            name=self.title,
            run=self.forwarder.run,
            restart=restart,
            fields=about(broker=self.name),
            news=NEWS,
        )

    def post_counters(self) -> None:
        self.board.post(self.topics.counters(self._counters()))

    def _go_by(self, mqtt: MqttOptions, ways: Sequence[Broker]) -> Route:
        self.ways = ways
        self.topics = Topics(prefix=mqtt.prefix, gateway=self._gateway)
        self._retry_max_s = mqtt.retry_max
        batched = mqtt.catch_up == "batched"
        return Route(
            publisher=publisher_to_any(ways, will=self.topics.offline()),
            topics=self.topics,
            by_metric=mqtt.layout == "metric",
            pace=Pace(batch_topic=self.topics.batch if batched else None, rate=mqtt.catch_up_rate),
            last_words=self._last_words,
            ack_timeout_s=mqtt.ack_timeout,
        )

    def _last_words(self) -> tuple[Message, Message]:
        return self.topics.counters(self._counters()), self.topics.offline()
