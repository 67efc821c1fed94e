import logging

from gateway.errors import Rejected

log = logging.getLogger(__name__)


class Refusals:
    """The topics whose messages a broker will not have: said once for each, and once when it will again."""

    def __init__(self) -> None:
        self.topics: set[str] = set()

    def note(self, broker: str, topic: str, error: Rejected | None) -> None:
        if error is None:
            if topic in self.topics:
                self.topics.discard(topic)
                log.info("%s: takes messages on %s again", broker, topic)
        elif topic not in self.topics:
            self.topics.add(topic)
            log.warning("%s: refuses messages on %s: %s", broker, topic, error)
