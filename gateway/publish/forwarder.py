"""The journal → one publisher: a full window, in order, nothing forgotten before it is acknowledged."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from gateway.errors import Rejected, Unreachable
from gateway.journal.journal import Journal
from gateway.publish.lane import Lane, Pace
from gateway.publish.noticeboard import Noticeboard
from gateway.publish.publisher import Message, Publisher, Session
from gateway.publish.refusals import Refusals
from gateway.publish.topics import Topics
from gateway.publish.window import Window
from gateway.supervisor import Report, first_cause


class Forwarder:
    """Run it under a supervisor. It returns when the journal is sealed and everything is delivered.

    Three things share one window: readings; alerts and gaps, which are urgent; and notices. The last two go
    before a backlog of readings, and beside it.
    """

    def __init__(
        self,
        journal: Journal,
        board: Noticeboard,
        publisher: Publisher,
        topics: Topics,
        *,
        name: str,
        by_metric: bool = False,
        pace: Pace = Pace(),  # noqa: B008 - immutable
        last_words: Callable[[], Iterable[Message]],
        ack_timeout_s: float,
    ) -> None:
        """`name`: whose cursor it is in the journal."""
        self.connected = False
        self.connects = 0
        refusals = Refusals()
        layout = topics.by_metric if by_metric else topics.by_device
        self.readings = Lane(journal, journal.readings, name, layout, refusals=refusals, pace=pace)
        self.urgent = Lane(journal, journal.urgent, name, topics.urgent, refusals=refusals)
        self._board = board
        self._publisher = publisher
        self._last_words = last_words
        self._ack_timeout_s = ack_timeout_s
        self._window: Window | None = None
        self._refusals = refusals
        self._notices_under_way = 0

    @property
    def waiting(self) -> int:
        return self.readings.waiting + self.urgent.waiting

    @property
    def progress(self) -> object:
        """Another value whenever the broker has been sent something, or has answered."""
        deferrals = self._window.deferrals if self._window is not None else 0
        return self.connects, self.readings.progress, self.urgent.progress, deferrals

    async def run(self, report: Report) -> None:
        """Raises: Unreachable, when the broker is away or does not answer."""
        async with self._publisher.connect() as session:
            self.connected = True
            self.connects += 1
            try:
                await self._converse(session, report)
            except* Unreachable as group:
                self._learn_from(group)
                raise
            finally:
                self.connected = False

    async def _converse(self, session: Session, report: Report) -> None:
        window = self._window = Window(session, ack_timeout_s=self._ack_timeout_s)
        self._notices_under_way = 0
        for lane in (self.readings, self.urgent):
            lane.begin(self._publisher.name, session.maximum_packet_size)
        self._board.repost_all()
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(session.ended(), name="link"),
                group.create_task(window.watch(), name="acknowledgements"),
                group.create_task(self._send_notices(window), name="notices"),
                group.create_task(self._tell_online(window, report), name="online"),
            ]
            await asyncio.sleep(0)  # the notices go first: "online" comes before what it brings
            if self.urgent.waiting and self.urgent.trusted:
                await self.urgent.forward(window, until=self.urgent.last)
            urgent = group.create_task(self.urgent.forward(window), name="urgent")
            await self.readings.forward(window)
            await urgent
            while len(self._board) or window.busy:
                await window.movement()
            for message in self._last_words():
                await self._notify(window, message)
            while window.busy:
                await window.movement()
            for helper in helpers:
                helper.cancel()

    async def _tell_online(self, window: Window, report: Report) -> None:
        # Not when it lets us in: a broker that then takes nothing, or hangs up, has not been online.
        if window.busy:
            await window.movement()
        await report.online()

    async def _send_notices(self, window: Window) -> None:
        while True:
            await self._notify(window, await self._board.next())

    async def _notify(self, window: Window, message: Message) -> None:
        await window.send(message, partial(self._note, message.topic))
        self._notices_under_way += 1

    def _note(self, topic: str, error: Rejected | None) -> None:
        self._notices_under_way -= 1
        self._refusals.note(self._publisher.name, topic, error)

    def _learn_from(self, group: ExceptionGroup[Unreachable]) -> None:
        error = first_cause(group)
        assert isinstance(error, Unreachable)
        flights = self.readings.under_way + self.urgent.under_way + self._notices_under_way
        for lane in (self.readings, self.urgent):
            lane.link_lost(error, alone=flights == 1)
