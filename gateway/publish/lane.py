"""One stream of the journal on its way to one broker: what is under way, how far it is, how much may be risked."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from gateway.errors import Dismissed, Rejected, Unreachable
from gateway.journal.journal import Journal
from gateway.journal.record import Record
from gateway.journal.stream import Stream
from gateway.logs import MessageId, about
from gateway.pacing.breaker import Breaker
from gateway.pacing.limiter import Limiter
from gateway.publish.batches import batches
from gateway.publish.publisher import Done, Message
from gateway.publish.refusals import Refusals
from gateway.publish.topics import Layout
from gateway.publish.window import Window

log = logging.getLogger(__name__)

HELPING = 256
"""Records that are fetched at once."""
BACKLOG = 1000
"""So many records that wait to be sent are a backlog, until there are no more than fit into the window."""
BATCHED_HELPING = 2000
HELPINGS_UNDER_WAY = 4
"""Of batches: a window of them would be too much for our memory."""
BURST_S = 0.1
"""A rate limit is kept to over so long: no timer per reading."""
KILLS = 3
"""So many links must end on a record that was alone under way before it is to blame."""


class Pace(NamedTuple):
    """How a backlog leaves."""

    batch_topic: Callable[[str], str] | None = None
    """By device, where batches go; without it, readings leave one by one."""
    rate: int | None = None
    """Records a second."""


class _Flight:
    """Records that are settled together. Called when its message has landed, if it has only one."""

    __slots__ = ("lane", "missing", "records", "refusals", "topic")

    def __init__(self, lane: "Lane", records: Sequence[Record], topic: str, missing: int) -> None:
        self.lane = lane
        self.records = records
        self.topic = topic
        self.missing = missing
        self.refusals: Sequence[tuple[Sequence[Record], str, str]] = ()

    def __call__(self, error: Rejected | None) -> None:
        lane = self.lane
        if error is not None or lane.refusals.topics or lane.idle:
            self.land(self.topic, self.records, error)
        else:  # for nearly every reading
            self.missing = 0

    def land(self, topic: str, records: Sequence[Record], error: Rejected | None) -> None:
        """One of its messages has landed, with these records."""
        self.missing -= 1
        lane = self.lane
        if error is not None or lane.refusals.topics:
            lane.refusals.note(lane.broker, topic, error)
            if error is not None and not any(each is records for each, _, _ in self.refusals):
                self.refusals = (*self.refusals, (records, topic, str(error)))
        lane.settle_soon()


class Lane:
    def __init__(
        self,
        journal: Journal,
        stream: Stream,
        reader: str,
        layout: Layout,
        *,
        refusals: Refusals,
        pace: Pace = Pace(),  # noqa: B008 - immutable
    ) -> None:
        self.sent = 0
        """Records, repeats included."""
        self.repeated = 0
        """Sent once more on a new connection; the broker may have got them before."""
        self.acknowledged = 0
        self.set_aside = 0
        """Refused, or to blame for the end of one connection after the other."""
        self.passed_over = 0
        """Gone from the journal before they were sent."""
        self.found = stream.behind(reader)
        """What was waiting at the start."""
        self.broker = ""
        self.refusals = refusals
        self._journal = journal
        self._stream = stream
        self._reader = reader
        self._breaker = Breaker()
        self.change(layout, pace)
        self._flights: deque[_Flight] = deque()
        self._cursor = stream.cursor(reader)
        self._at = self._cursor  # the last record that this connection has sent
        self._highest = self._cursor  # that any has
        self._began_at = self._cursor
        self._catching_up = False
        self._batching = False
        self._batches_break_links = False
        self._maximum_packet_size: int | None = None
        self._suspect = 0
        self._kills = 0
        self.idle = True
        """No settlement is due."""
        self._moved = asyncio.Event()

    def change(self, layout: Layout, pace: Pace = Pace()) -> None:  # noqa: B008 - immutable
        """From the next connection on."""
        self._layout = layout
        self._pace = pace
        self._burst = max(1, int((pace.rate or 0) * BURST_S))
        self._limiter = Limiter(rate=pace.rate, burst=self._burst) if pace.rate else None

    @property
    def waiting(self) -> int:
        return self._stream.behind(self._reader)

    @property
    def progress(self) -> tuple[int, int]:
        """The last record that was sent, and the last that is settled."""
        return self._at, self._cursor

    @property
    def evicted(self) -> int:
        """Forced out of the journal before this broker had them."""
        return self.passed_over + self._stream.last - self._cursor - self.waiting

    @property
    def last(self) -> int:
        """The offset of the newest record."""
        return self._stream.last

    @property
    def trusted(self) -> bool:
        """No circuit breaker holds it up."""
        return self._breaker.closed

    @property
    def under_way(self) -> int:
        return len(self._flights)

    def begin(self, broker: str, maximum_packet_size: int | None) -> None:
        """A new connection: what was under way when the last one ended is sent again, from the cursor on."""
        self.broker = broker
        self._maximum_packet_size = maximum_packet_size
        self._flights.clear()
        self._highest = max(self._highest, self._at)
        self._at = self._began_at = self._cursor
        self._catching_up = self._batching = False

    async def forward(self, window: Window, *, until: int | None = None) -> None:
        """Returns when the stream is sealed and everything is settled; or when all up to an offset is sent."""
        while until is None or self._at < until:
            most = await self._cleared(window)
            # From the disk the journal gives whole chunks.
            records = (await self._stream.after(self._reader, self._at, limit=most))[:most]
            if not records:
                break
            if self._limiter is not None and self._catching_up:
                await asyncio.sleep(self._limiter.take(len(records), _now()))
            if self._batching:
                await self._send_batches(window, records)
            else:
                await self._send_singly(window, records)
            if not self._breaker.closed:
                await self._settled(0)
                self._breaker.succeeded(window.size)
        if until is None:
            await self._settled(0)

    async def _cleared(self, window: Window) -> int:
        """How many records may go next; returns when they may."""
        if not self._breaker.closed:
            await asyncio.sleep(self._breaker.pause(_now()))
            while window.busy:  # alone, so that it is clear what has ended the link, if it ends
                await window.movement()
        waiting = self._stream.last - self._at
        self._catching_up = waiting > (window.size if self._catching_up else BACKLOG)
        self._batches_break_links &= self._catching_up
        batching = (
            self._catching_up
            and self._pace.batch_topic is not None
            and self._breaker.closed
            and not self._batches_break_links
        )
        if batching is not self._batching:
            # A broker keeps the order of each topic only: the batches must be with it before single readings
            # follow, and the other way round.
            await self._settled(0)
            self._batching = batching
        if not self._breaker.closed:
            return self._breaker.risk(window.size)
        most = BATCHED_HELPING if batching else HELPING
        return min(most, self._burst) if self._limiter is not None and self._catching_up else most

    async def _send_singly(self, window: Window, records: Sequence[Record]) -> None:
        layout, flights, highest = self._layout, self._flights, self._highest
        for record in records:
            messages = layout(record)
            if len(messages) == 1:
                message = messages[0]
                flight = _Flight(self, (record,), message.topic, 1)
                flights.append(flight)
                await window.send(message, flight)
            else:
                await self._send_apart(window, record, messages)
            self._at = offset = record.offset
            self.sent += 1
            if offset <= highest:
                self.repeated += 1

    async def _send_apart(self, window: Window, record: Record, messages: Sequence[Message]) -> None:
        flight = _Flight(self, (record,), messages[0].topic if messages else "", len(messages))
        self._flights.append(flight)
        for message in messages:
            done: Done = partial(flight.land, message.topic, flight.records)
            await window.send(message, done)
        if not messages:
            self.settle_soon()

    async def _send_batches(self, window: Window, records: Sequence[Record]) -> None:
        assert self._pace.batch_topic is not None
        await self._settled(HELPINGS_UNDER_WAY - 1)
        messages = [*batches(records, self._pace.batch_topic, maximum_packet_size=self._maximum_packet_size)]
        flight = _Flight(self, records, messages[0][0].topic, len(messages))
        self._flights.append(flight)
        if records[0].offset <= self._highest:
            self.repeated += sum(each.offset <= self._highest for each in records)
        self._at = records[-1].offset
        for message, part in messages:
            await window.send(message, partial(flight.land, message.topic, part))
            self.sent += len(part)

    async def _settled(self, most: int) -> None:
        """Returns when no more than so many flights are under way."""
        while len(self._flights) > most:
            self._moved.clear()
            await self._moved.wait()

    def settle_soon(self) -> None:
        """At the end of this turn of the loop: brokers acknowledge many at once, and we commit once."""
        if self.idle:
            self.idle = False
            asyncio.get_running_loop().call_soon(self.settle)

    def settle(self) -> None:
        """Move the cursor over everything that has landed, up to the first that has not."""
        self.idle = True
        flights = self._flights
        settled = aside = 0
        flight = None
        while flights and not flights[0].missing:
            flight = flights.popleft()
            settled += len(flight.records)
            if flight.refusals:
                aside += self._set_aside(flight)
        if flight is not None:
            cursor = flight.records[-1].offset
            self.acknowledged += settled - aside
            self.set_aside += aside
            self.passed_over += cursor - self._cursor - settled
            self._cursor = cursor
            self._stream.commit(self._reader, cursor)
            if self._breaker.closed:
                self._breaker.succeeded(1)
        self._moved.set()

    def _set_aside(self, flight: _Flight) -> int:
        for records, topic, reason in flight.refusals:
            for record in records:
                self._journal.set_aside(self._reader, record, topic, reason)
        return sum(len(records) for records, _, _ in flight.refusals)

    def link_lost(self, error: Unreachable, *, alone: bool) -> None:
        """What it says about the records that were under way; `alone`: nothing else was."""
        self.settle()
        # Without a record at risk the broker was just away; and if some have come through, it does work.
        if not self._flights or (self._breaker.closed and self._cursor != self._began_at):
            return
        flight = self._flights[0]
        if not self._breaker.closed and alone and len(flight.records) == 1:
            self._accuse(flight, error)
        self._breaker.failed(_now())
        if self._batching and not self._breaker.closed and not self._batches_break_links:
            self._batches_break_links = True
            log.warning(
                "%s: hangs up on batches: the backlog leaves one by one", self.broker,
                extra=about(broker=self._reader),
            )  # fmt: skip

    def _accuse(self, flight: _Flight, error: Unreachable) -> None:
        """Its one record was alone under way when the link ended: once is chance, several times is not."""
        if isinstance(error, Dismissed):
            return
        [record] = flight.records
        self._kills = self._kills + 1 if record.offset == self._suspect else 1
        self._suspect = record.offset
        if self._kills == KILLS:
            log.warning(
                "%s: %d connections ended on reading %d of %s: it is set aside: %s",
                self.broker, KILLS, record.seq, record.device, error,
                extra=about(MessageId.BROKER_REFUSES, device=record.device, broker=self._reader),
            )  # fmt: skip
            flight.refusals = [(flight.records, flight.topic, f"{KILLS} connections ended on it: {error}")]
            flight.missing = 0
            self.settle()


def _now() -> float:
    return asyncio.get_running_loop().time()
