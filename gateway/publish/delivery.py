from collections.abc import Callable

from gateway.config import MqttOptions
from gateway.journal.journal import Journal
from gateway.pacing.backoff import Backoff
from gateway.publish.broker import Broker
from gateway.publish.forwarder import Forwarder
from gateway.publish.lane import Pace
from gateway.publish.noticeboard import Noticeboard
from gateway.publish.publisher import Message
from gateway.publish.topics import Topics
from gateway.publish.way import publisher_to_any
from gateway.supervisor import Child


class Delivery:
    """All that one broker of the configuration needs: its topics, its notices, its forwarder."""

    def __init__(
        self,
        name: str,
        mqtt: MqttOptions,
        journal: Journal,
        *,
        gateway: str,
        client_id: str,
        counters: Callable[[], bytes],
        title: str,
    ) -> None:
        """`title`: in the log. Raises: ConfigError, when the TLS files cannot be used."""
        self.name = name
        self.topics = Topics(prefix=mqtt.prefix, gateway=gateway)
        self.board = Noticeboard()
        self.ack_timeout_s = mqtt.ack_timeout
        self._counters = counters
        batched = mqtt.catch_up == "batched"
        self.forwarder = Forwarder(
            journal,
            self.board,
            publisher_to_any(Broker.ways(mqtt, client_id=client_id), will=self.topics.offline()),
            self.topics,
            name=name,
            by_metric=mqtt.layout == "metric",
            pace=Pace(batch_topic=self.topics.batch if batched else None, rate=mqtt.catch_up_rate),
            last_words=self._last_words,
            ack_timeout_s=mqtt.ack_timeout,
        )
        self.child = Child(
            name=title, run=self.forwarder.run, restart=Backoff(first_s=0.5, cap_s=mqtt.retry_max)
        )

    def post_counters(self) -> None:
        self.board.post(self.topics.counters(self._counters()))

    def _last_words(self) -> tuple[Message, Message]:
        return self.topics.counters(self._counters()), self.topics.offline()
