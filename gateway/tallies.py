"""What the gateway counts of its devices and of itself, for rules: `this["$rejected"]`, `status.behind`."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from drivers.driver import NO_ANSWER
from gateway.bus import EventBus
from gateway.journal.journal import Journal
from gateway.model import Clock, Tally, Value
from gateway.publish.delivery import Delivery
from gateway.rules.rulebook import STATUS
from gateway.source import Source

EVERY_S = 10.0
MOST_MARKS = 512


class Marks:
    """When a stream had grown how far: how old a record is at least; it may be one interval older."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._marks)

    def note(self, now: float, last: int) -> None:
        """The newest record, at this moment; they come in order."""
        if self._marks and last <= self._marks[-1][1]:
            return
        self._marks.append((now, last))
        if len(self._marks) > MOST_MARKS:
            self._thin()

    def forget(self, offset: int) -> None:
        """Nobody asks any more for records up to this one."""
        while self._marks and self._marks[0][1] <= offset:
            self._marks.popleft()

    def age(self, offset: int, now: float) -> float:
        """Of this record; 0 for one that has come since the last mark."""
        return next((max(0.0, now - at) for at, last in self._marks if last >= offset), 0.0)

    def _thin(self) -> None:
        """Evenly, so that a long outage is known to a hundredth; the oldest one stays."""
        apart_s = (self._marks[-1][0] - self._marks[0][0]) / (MOST_MARKS // 2)
        marks, self._marks = self._marks, deque()
        for at, last in marks:
            if not self._marks or at - self._marks[-1][0] >= apart_s:
                self._marks.append((at, last))


class Tallies:
    def __init__(
        self, journal: Journal, sources: Iterable[Source], deliveries: Iterable[Delivery], clock: Clock
    ) -> None:
        """Sources and deliveries are those that are there at each look."""
        self._journal = journal
        self._sources = sources
        self._deliveries = deliveries
        self._clock = clock
        self._marks = Marks()

    async def run(self, bus: EventBus) -> None:
        """Endless."""
        await self.begin()
        while True:
            for tally in self.look():
                await bus.publish(tally)
            await asyncio.sleep(EVERY_S)

    async def begin(self) -> None:
        """Learn how old the backlog is that was found: an outage is not shorter for a restart."""
        stream, now = self._journal.readings, self._clock().mono
        for each in sorted(self._deliveries, key=lambda each: stream.cursor(each.name)):
            oldest = stream.oldest(each.name)
            if oldest <= stream.last and (age_s := await self._journal.age(each.name)):
                self._marks.note(now - age_s, oldest)

    def look(self) -> Iterator[Tally]:
        """One of each device and one of the gateway, as it is now."""
        at = self._clock()
        for source in self._sources:
            yield Tally(at=at, device=source.name, values=_of_device(source))
        yield Tally(at=at, device=STATUS, values=self._of_gateway(at.mono, synchronised=at.synchronised))

    def _of_gateway(self, now: float, *, synchronised: bool) -> Mapping[str, Value]:
        journal = self._journal
        self._marks.note(now, journal.readings.last)
        self._marks.forget(journal.readings.committed)
        behind, waiting, broker = max(self._behind(each, now) for each in self._deliveries)
        values: dict[str, Value] = {
            "waiting": waiting,
            "behind": behind,
            "behind_broker": broker if waiting else "",
            "brokers_connected": sum(each.forwarder.connected for each in self._deliveries),
            "journal_trouble": bool(journal.trouble),
            "journal_refused": journal.refused,
            "clock_synchronised": synchronised,
        }
        if journal.used is not None:
            values["journal_used"] = journal.used
        return values

    def _behind(self, delivery: Delivery, now: float) -> tuple[float, int, str]:
        """For how long at least, how many readings, and who."""
        oldest = self._journal.readings.oldest(delivery.name)
        return self._marks.age(oldest, now), delivery.forwarder.readings.waiting, delivery.name


def _of_device(source: Source) -> Mapping[str, Value]:
    rejected = source.tally_rejected()
    return {
        "$read": source.readings,
        "$rejected": rejected.total() - rejected[NO_ANSWER],
        "$unanswered": rejected[NO_ANSWER],
    }
