"""The journal → one publisher: a full window, in order, nothing forgotten before it is acknowledged."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from gateway.errors import Rejected, Unreachable
from gateway.journal.journal import Journal
from gateway.publish.lane import Lane, Pace
from gateway.publish.noticeboard import Noticeboard
from gateway.publish.publisher import Message, Publisher, Session
from gateway.publish.refusals import Refusals
from gateway.publish.topics import Layout, Topics
from gateway.publish.window import Window
from gateway.supervisor import Report, first_cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """To one broker: how, and what is said there."""

    publisher: Publisher
    topics: Topics
    by_metric: bool = False
    pace: Pace = field(default_factory=Pace)
    last_words: Callable[[], Iterable[Message]]
    ack_timeout_s: float

    @property
    def layout(self) -> Layout:
        return self.topics.by_metric if self.by_metric else self.topics.by_device


class Forwarder:
    """Run it under a supervisor. It returns when the journal is sealed and everything is delivered.

    Three things share one window: readings; alerts and gaps, which are urgent; and notices. The last two go
    before a backlog of readings, and beside it.
    """

    def __init__(self, journal: Journal, board: Noticeboard, *, name: str, route: Route) -> None:
        """`name`: the broker's, in the configuration; whose cursor it is in the journal."""
        self.connected = False
        self.connects = 0
        self._refusals = Refusals(name)
        self._name = name
        self.readings = Lane(
            journal, journal.readings, name, route.layout, refusals=self._refusals, pace=route.pace
        )
        self.urgent = Lane(journal, journal.urgent, name, route.topics.urgent, refusals=self._refusals)
        self._board = board
        self._route = route
        self._leaving = asyncio.Event()
        self._window: Window | None = None
        self._notices_under_way = 0

    @property
    def waiting(self) -> int:
        return self.readings.waiting + self.urgent.waiting

    @property
    def progress(self) -> object:
        """Another value whenever the broker has been sent something, or has answered."""
        deferrals = self._window.deferrals if self._window is not None else 0
        return self.connects, self.readings.progress, self.urgent.progress, deferrals

    @property
    def ack_timeout_s(self) -> float:
        return self._route.ack_timeout_s

    def change(self, route: Route) -> None:
        """While it does not run. What was under way is sent again there, in the same order."""
        self._route = route
        self._refusals.topics.clear()
        self._leaving.clear()
        self.readings.change(route.layout, route.pace)
        self.urgent.change(route.topics.urgent)

    def leave(self) -> None:
        """Send nothing more but the last words, and return; the journal keeps the rest."""
        self._leaving.set()

    async def run(self, report: Report) -> None:
        """Raises: Unreachable, when the broker is away or does not answer."""
        async with self._route.publisher.connect() as session:
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
        window = self._window = Window(session, ack_timeout_s=self._route.ack_timeout_s, broker=self._name)
        self._notices_under_way = 0
        for lane in (self.readings, self.urgent):
            lane.begin(self._route.publisher.name, session.maximum_packet_size)
        self._board.repost_all()
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(session.ended(), name="link"),
                group.create_task(window.watch(), name="acknowledgements"),
                group.create_task(self._send_notices(window), name="notices"),
                group.create_task(self._tell_online(window, report), name="online"),
            ]
            await asyncio.sleep(0)  # the notices go first: "online" comes before what it brings
            forwarding = group.create_task(self._forward(window), name="records")
            leaving = group.create_task(self._leaving.wait(), name="leaving")
            await asyncio.wait([forwarding, leaving], return_when=asyncio.FIRST_COMPLETED)
            for task in (forwarding, leaving):
                task.cancel()
            await asyncio.wait([forwarding])
            while len(self._board) or window.busy:
                await window.movement()
            for message in self._route.last_words():
                await self._notify(window, message)
            while window.busy:
                await window.movement()
            for helper in helpers:
                helper.cancel()

    async def _forward(self, window: Window) -> None:
        if self.urgent.waiting and self.urgent.trusted:
            await self.urgent.forward(window, until=self.urgent.last)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.urgent.forward(window), name="urgent")
            await self.readings.forward(window)

    async def _tell_online(self, window: Window, report: Report) -> None:
        # Not when it lets us in: a broker that then takes nothing, or hangs up, has not been online.
        if window.busy:
            await window.movement()
        await report.online()

    async def _send_notices(self, window: Window) -> None:
        while True:
            await self._notify(window, await self._board.next())

    async def _notify(self, window: Window, message: Message) -> None:
        await window.send(message, partial(self._note, message))
        self._notices_under_way += 1

    def _note(self, message: Message, error: Rejected | None) -> None:
        self._notices_under_way -= 1
        if error is None:
            self._board.seen(message)
        self._refusals.note(self._route.publisher.name, message.topic, error)

    def _learn_from(self, group: ExceptionGroup[Unreachable]) -> None:
        error = first_cause(group)
        assert isinstance(error, Unreachable)
        flights = self.readings.under_way + self.urgent.under_way + self._notices_under_way
        for lane in (self.readings, self.urgent):
            lane.link_lost(error, alone=flights == 1)
