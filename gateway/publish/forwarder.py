"""The journal → one publisher: a full window, in order, nothing forgotten before it is acknowledged."""

import asyncio
import logging
from collections import deque
from functools import partial

from gateway.errors import Rejected
from gateway.journal.stream import Stream
from gateway.publish.noticeboard import Noticeboard
from gateway.publish.publisher import Message, Publisher, Session
from gateway.publish.topics import Layout
from gateway.publish.window import Window
from gateway.supervisor import Report

log = logging.getLogger(__name__)


class _Flight:
    """A record, and how many of its messages are still to land."""

    __slots__ = ("missing", "offset", "refused")

    def __init__(self, offset: int, missing: int) -> None:
        self.offset = offset
        self.missing = missing
        self.refused = False


class Forwarder:
    """Run it under a supervisor. It returns when the journal is sealed and everything is delivered."""

    def __init__(
        self,
        stream: Stream,
        board: Noticeboard,
        publisher: Publisher,
        layout: Layout,
        *,
        farewell: Message,
        ack_timeout_s: float,
    ) -> None:
        self.connected = False
        self.forwarded = 0
        """Records that the broker has taken whole."""
        self.rejected = 0
        """Messages that it has refused."""
        self._stream = stream
        self._board = board
        self._publisher = publisher
        self._layout = layout
        self._farewell = farewell
        self._ack_timeout_s = ack_timeout_s
        self._cursor = stream.cursor("mqtt")
        self._flights: deque[_Flight] = deque()
        self._refused_topics: set[str] = set()

    async def run(self, report: Report) -> None:
        """Raises: Unreachable, when the broker is away or does not answer."""
        async with self._publisher.connect() as session:
            self.connected = True
            try:
                await self._converse(session, report)
            finally:
                self.connected = False

    async def _converse(self, session: Session, report: Report) -> None:
        window = Window(session, ack_timeout_s=self._ack_timeout_s)
        # What was under way when the last link went is sent again: from the cursor on.
        self._flights.clear()
        self._board.repost_all()
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(session.ended(), name="link"),
                group.create_task(window.watch(), name="acknowledgements"),
                group.create_task(self._send_notices(window), name="notices"),
                group.create_task(self._tell_online(window, report), name="online"),
            ]
            await asyncio.sleep(0)  # the notices go first: "online" comes before what it brings
            await self._send_records(window)
            while len(self._board) or window.busy:
                await window.movement()
            await window.send(self._farewell, partial(self._note, self._farewell))
            while window.busy:
                await window.movement()
            for helper in helpers:
                helper.cancel()

    async def _tell_online(self, window: Window, report: Report) -> None:
        # Not when it lets us in: a broker that then takes nothing, or hangs up, has not been online.
        if window.busy:
            await window.movement()
        await report.online()

    async def _send_records(self, window: Window) -> None:
        sent = self._cursor
        while records := await self._stream.after("mqtt", sent, limit=window.size):
            for record in records:
                messages = self._layout(record)
                flight = _Flight(record.offset, len(messages))
                self._flights.append(flight)
                for message in messages:
                    await window.send(message, partial(self._landed, flight, message))
                if not messages:
                    self._advance()
                sent = record.offset

    async def _send_notices(self, window: Window) -> None:
        while True:
            message = await self._board.next()
            await window.send(message, partial(self._note, message))

    def _landed(self, flight: _Flight, message: Message, error: Rejected | None) -> None:
        if error is not None or self._refused_topics:
            self._note(message, error)
            flight.refused |= error is not None
        flight.missing -= 1
        if flight is self._flights[0]:
            self._advance()

    def _advance(self) -> None:
        """Move the cursor over every record that waits for nothing, up to the first one that does."""
        before = self._cursor
        while self._flights and not self._flights[0].missing:
            flight = self._flights.popleft()
            self._cursor = flight.offset
            self.forwarded += not flight.refused
        if self._cursor != before:
            self._stream.commit("mqtt", self._cursor)

    def _note(self, message: Message, error: Rejected | None) -> None:
        """Say once for each topic that the broker will not have it, and once that it will again."""
        if error is not None:
            self.rejected += 1
            if message.topic not in self._refused_topics:
                self._refused_topics.add(message.topic)
                log.warning("%s: refuses messages on %s: %s", self._publisher.name, message.topic, error)
        elif message.topic in self._refused_topics:
            self._refused_topics.discard(message.topic)
            log.info("%s: takes messages on %s again", self._publisher.name, message.topic)
