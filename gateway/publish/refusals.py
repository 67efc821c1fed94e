import logging

from gateway.errors import Rejected
from gateway.logs import MessageId, about

log = logging.getLogger(__name__)


class Refusals:
    """The topics whose messages a broker will not have: said once for each, and once when it will again."""

    def __init__(self, name: str) -> None:
        """`name`: the broker's, in the configuration."""
        self.topics: set[str] = set()
        self._name = name

    def note(self, broker: str, topic: str, error: Rejected | None) -> None:
        if error is None:
            if topic in self.topics:
                self.topics.discard(topic)
                log.info("%s: takes messages on %s again", broker, topic, extra=about(broker=self._name))
        elif topic not in self.topics:
            self.topics.add(topic)
            log.warning(
                "%s: refuses messages on %s: %s", broker, topic, error,
                extra=about(MessageId.BROKER_REFUSES, broker=self._name),
            )  # fmt: skip
