"""The live feed: real sockets, a real bus; what a client does is its own business."""

import asyncio
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drivers
from gateway.bus import EventBus
from gateway.config import LiveOptions
from gateway.live import (
    AT_ONCE,
    CHUNK_BYTES,
    FAREWELL_S,
    IDLE_S,
    MAILBOX,
    MOST_CLIENTS,
    PACE_S,
    RETRY_S,
    ROOM_BYTES,
    SAID_BYTES,
    STALL_S,
    STATES,
    Backlog,
    Chunk,
    Live,
)
from gateway.model import Availability, Presence, Reading, Stamp, Tally
from gateway.source import Source
from gateway.supervisor import Supervisor
from tests.support.feed import Feed
from tests.support.gateway_process import until
from tests.support.scripted_driver import Instrument, loop_clock

NOW = Stamp(0, 0.0)


def reading(seq: int, *, text: str = "") -> Reading:
    return Reading(at=NOW, device="boiler", values={"n": seq, "text": text}, seq=seq)


def numbers(feed: Feed) -> list[int]:
    return [each["seq"] for each in feed.events("reading")]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "gateway.live"]


class Site:
    """A feed on a UNIX socket, and the bus that it tells of."""

    def __init__(self, path: Path, *, devices: int = 0, passed: Sequence[socket.socket] = ()) -> None:
        self.path = path
        self.bus = EventBus()
        self.note = ""
        """What there is to say of each device."""
        self.asked = 0
        """How often the state of a device was made."""
        self.before_telling: Callable[[], object] = lambda: None
        options = drivers.find("json").options.model_validate({"driver": "json", "port": "/dev/x"})
        self.sources = [
            Source(f"d{number}", Instrument().driver(), options, self.bus, loop_clock)
            for number in range(devices)
        ]
        self.live = Live(
            LiveOptions.model_validate({} if passed else {"listen": str(path)}), self.bus, self.sources,
            run=self._run, about=lambda: {"gateway": "g", "time": "now"}, state=self._state, passed=passed,
        )  # fmt: skip

    @classmethod
    @asynccontextmanager
    async def running(cls, path: Path, **how: Any) -> AsyncIterator["Site"]:
        site = cls(path, **how)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(Supervisor().run([site.live.child]))
            await asyncio.sleep(0.01)
            try:
                yield site
            finally:
                task.cancel()

    def _run(self) -> str:
        self.before_telling()
        return "7f3a"

    def _state(self, source: Source) -> Mapping[str, Any]:
        self.asked += 1
        return {"name": source.name, "state": "online", **({"note": self.note} if self.note else {})}

    async def say(self, count: int, *, first: int = 1, text: str = "") -> None:
        """As devices do: a few at a time."""
        for seq in range(first, first + count):
            await self.bus.publish(reading(seq, text=text))
            if seq % 100 == 0:
                await asyncio.sleep(PACE_S)
        await asyncio.sleep(2 * PACE_S)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "live.sock"


async def test_first_line_says_whose_feed_it_is_then_comes_each_device_as_it_is_then_what_happens(
    path: Path,
) -> None:
    async with Site.running(path, devices=2) as site, Feed.open(path) as feed:
        await asyncio.sleep(PACE_S / 2)
        await site.say(2)
        await site.bus.publish(Tally(at=NOW, device="boiler", values={"$read": 2}))
        away = Availability(at=NOW, device="boiler", presence=Presence.OFFLINE, reason="unplugged")
        await site.bus.publish(away)
        await feed.has("availability")
    assert feed.got == [
        {"event": "gateway", "gateway": "g", "time": "now"},
        {"event": "device", "device": "d0", "state": "online"},
        {"event": "device", "device": "d1", "state": "online"},
        *(
            {
                "event": "reading", "device": "boiler", "time": "1970-01-01T00:00:00.000Z", "seq": seq,
                "run": "7f3a", "values": {"n": seq, "text": ""},
            }
            for seq in (1, 2)
        ),
        {
            "event": "availability", "device": "boiler", "state": "offline",
            "since": "1970-01-01T00:00:00.000Z", "reason": "unplugged",
        },
    ]  # fmt: skip


async def test_nothing_is_made_for_nobody(path: Path) -> None:
    async with Site.running(path, devices=1) as site:
        assert site.bus.subscriptions == []
        async with Feed.open(path) as feed:
            await site.say(3)
            assert numbers(feed) == [1, 2, 3]
            assert len(site.bus.subscriptions) == 1
        await asyncio.sleep(2 * PACE_S)
        assert site.bus.subscriptions == []
        asked = site.asked
        await asyncio.sleep(10)
        assert site.asked == asked == 1


async def test_states_are_made_once_for_all_who_come_together_and_a_few_at_a_time(path: Path) -> None:
    async with Site.running(path, devices=3 * STATES) as site, AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        feeds = [await stack.enter_async_context(Feed.open(path)) for _ in range(20)]
        while any(len(feed.events("device")) < 3 * STATES for feed in feeds):
            await asyncio.sleep(PACE_S)
            assert site.asked <= ((loop.time() - begun) / PACE_S + 1) * STATES
        assert site.asked <= 3 * 3 * STATES
        for feed in feeds:
            assert [each["device"] for each in feed.events("device")] == [each.name for each in site.sources]


async def test_who_comes_is_told_each_device_however_much_there_is_to_say_of_it(path: Path) -> None:
    async with Site.running(path, devices=STATES) as site:
        site.note = "x" * (ROOM_BYTES // 8)
        async with Feed.open(path) as feed:
            await feed.has("device", STATES)
        assert feed.dropped == 0


async def test_of_a_device_that_goes_while_states_are_told_its_removal_is_the_last_word(path: Path) -> None:
    async with Site.running(path, devices=2 * STATES) as site, Feed.open(path) as feed:
        await feed.has("device")
        gone = site.sources.pop()
        await gone.announce_removal()
        await feed.has("removal")
        await asyncio.sleep(2 * PACE_S)
        assert [each["device"] for each in feed.events("device")] == [each.name for each in site.sources]


async def test_client_that_comes_and_goes_leaves_nothing_behind_and_costs_others_nothing(path: Path) -> None:
    async with Site.running(path, devices=STATES) as site, Feed.open(path) as stays:
        await stays.has("device", STATES)
        for _ in range(300):
            _, writer = await asyncio.open_unix_connection(path)
            writer.transport.abort()
        await site.say(200)
        assert numbers(stays) == [*range(1, 201)]
        assert len(site.live.backlogs) == 1
        assert site.live._newcomers == []
        assert not site.live._greeted
        assert site.asked <= 20 * STATES


@pytest.mark.real_time
async def test_connections_that_are_reset_at_once_are_no_news(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        passed.setblocking(False)
        async with Site.running(path, passed=[passed]) as site, Feed.open(passed.getsockname()[1]) as stays:
            for _ in range(100):
                with socket.create_connection(passed.getsockname()) as one:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await asyncio.sleep(0)
            await until(lambda: len(site.live.backlogs) == 1)
            await site.say(1)
            await stays.has("reading")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_client_that_takes_nothing_loses_the_oldest_then_its_place_and_nobody_else_notices(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with Site.running(path) as site, Feed.open(path) as keeps_up:
        stalled, idler = (socket.socket(socket.AF_UNIX) for _ in range(2))
        with stalled, idler:
            for each in (stalled, idler):
                each.connect(str(path))
            await site.say(8000, text="x" * 200)
            assert numbers(keeps_up) == [*range(1, 8001)]
            assert keeps_up.dropped == 0
            assert max(site.live.backlogs.values()) <= ROOM_BYTES + CHUNK_BYTES + 1024
            lines = [json.loads(line) for line in await _read_out(stalled, until=b'"seq":8000,')]
            await asyncio.sleep(STALL_S + 1)
            assert len(site.live.backlogs) == 2
    got = [each["seq"] for each in lines if each["event"] == "reading"]
    holes = [number for number, each in enumerate(lines) if each["event"] == "dropped"]
    assert len(holes) == 1, "all that was lost was lost at once"
    before, after = lines[holes[0] - 1], lines[holes[0] + 1]
    assert after["seq"] - before["seq"] - 1 == lines[holes[0]]["lines"] > 1000
    assert got == [*range(1, before["seq"] + 1), *range(after["seq"], 8001)]
    assert said(caplog)[-1] == "live: client 3 has taken nothing for 30 s: it is left"


async def _read_out(stalled: socket.socket, until: bytes) -> list[bytes]:
    stalled.setblocking(False)
    data = b""
    while until not in data or not data.endswith(b"\n"):
        data += await asyncio.get_running_loop().sock_recv(stalled, 65536)
    return data.splitlines()


async def test_flood_is_cut_to_what_may_be_told_and_all_that_is_missing_is_told(path: Path) -> None:
    async with Site.running(path) as site, Feed.open(path) as one, Feed.open(path) as other:
        await one.has("gateway")
        await asyncio.sleep(2 * PACE_S)
        for seq in range(1, 5001):
            site.bus.put(reading(seq))
        await asyncio.sleep(2 * PACE_S)
        for feed in (one, other):
            assert feed.events("dropped") == [{"event": "dropped", "lines": 5000 - MAILBOX}]
            assert numbers(feed) == [*range(5001 - MAILBOX, 5001)]


async def test_place_is_given_to_so_many_and_the_next_one_is_told(path: Path) -> None:
    async with Site.running(path) as site, AsyncExitStack() as stack:
        there = [await stack.enter_async_context(Feed.open(path)) for _ in range(MOST_CLIENTS)]
        feed = await stack.enter_async_context(Feed.open(path))
        await feed.hung_up()
        assert feed.got == [{"event": "full", "clients": MOST_CLIENTS}]
        assert len(site.live.backlogs) == MOST_CLIENTS
        there[7].writer.transport.abort()
        await asyncio.sleep(PACE_S)
        feed = await stack.enter_async_context(Feed.open(path))
        await feed.has("gateway")
    assert site.live.backlogs == {}


async def test_what_a_client_says_is_heard_by_nobody_and_too_much_of_it_costs_its_place(path: Path) -> None:
    async with Site.running(path) as site, Feed.open(path) as talks, Feed.open(path) as listens:
        talks.writer.write(b"x" * SAID_BYTES)
        await site.say(1)
        await talks.has("reading")
        talks.writer.write(b"x")
        await talks.hung_up()
        await site.say(1, first=2)
        assert (numbers(talks), numbers(listens)) == ([1], [1, 2])


async def test_client_that_has_nothing_more_to_say_still_listens(path: Path) -> None:
    async with Site.running(path) as site, Feed.open(path) as feed:
        feed.writer.write_eof()
        await asyncio.sleep(1)
        await site.say(1)
        assert numbers(feed) == [1]


async def test_silence_is_told_and_shows_who_has_gone(path: Path) -> None:
    async with Site.running(path) as site, Feed.open(path) as feed:
        async with Feed.open(path) as goes:
            goes.writer.write_eof()
            await asyncio.sleep(2)
            assert len(site.live.backlogs) == 2
        await asyncio.sleep(IDLE_S * 2.5)
        assert feed.events("idle") == [{"event": "idle", "time": "now"}] * 2
        assert len(site.live.backlogs) == 1


async def test_address_that_is_taken_is_said_once_and_tried_until_it_is_free(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        async with Site.running(path):
            await asyncio.sleep(600)
            taken.close()
            await asyncio.sleep(RETRY_S + 1)
            async with Feed.open(path) as feed:
                await feed.has("gateway")
    complaint = (
        f"live: cannot listen on {path}: another program listens there: stop it, or choose another address in"
        " live.listen. It is tried again; all else goes on"
    )
    assert said(caplog) == [complaint, f"live: whoever connects to {path} gets each event"]


async def test_socket_that_a_dead_process_has_left_is_replaced_and_ours_is_for_its_group_and_goes_with_us(
    path: Path,
) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with Site.running(path):
        assert path.stat().st_mode & 0o777 == 0o660
        async with Feed.open(path) as feed:
            await feed.has("gateway")
    assert not path.exists()


async def test_file_that_is_no_socket_stays(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("somebody's notes")
    async with Site.running(path):
        await asyncio.sleep(100)
    assert path.read_text() == "somebody's notes"
    complaint = (
        f"live: cannot listen on {path}: what lies there is no socket: take it away, or choose another path in"
        " live.listen. It is tried again; all else goes on"
    )
    assert said(caplog) == [complaint]


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("/nowhere/live.sock", "there is no such folder: make it, or choose another one in live.listen"),
        ("192.0.2.7:4040", "this machine does not have that address (yet)"),
    ],
)
async def test_what_keeps_it_from_listening_is_said_in_words_by_which_one_can_act(
    listen: str, why: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Site.running(path) as site:
        site.live.change(LiveOptions.model_validate({"listen": listen, "remote": True}))
        await asyncio.sleep(1)
    assert said(caplog) == [f"live: cannot listen on {listen}: {why}. It is tried again; all else goes on"]


async def test_socket_of_a_process_that_came_after_us_stays(path: Path) -> None:
    async with Site.running(path):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(path))
    assert path.is_socket()


async def test_whoever_came_by_an_address_that_is_given_up_gets_what_was_there_and_is_left(
    path: Path,
) -> None:
    other = path.with_name("other.sock")
    async with Site.running(path) as site, Feed.open(path) as feed:
        await site.say(3)
        site.live.change(LiveOptions.model_validate({"listen": str(path), "remote": True}))
        await asyncio.sleep(1)
        assert not feed.over, "it is the same address"
        with socket.socket(socket.AF_UNIX) as slow:
            slow.connect(str(path))
            await asyncio.sleep(1)
            await site.say(4000, first=4, text="x" * 200)
            site.live.change(LiveOptions.model_validate({"listen": str(other)}))
            await feed.hung_up()
            assert len(site.live.backlogs) == 1
            await asyncio.sleep(STALL_S + 1)
            assert site.live.backlogs == {}
        assert numbers(feed) == [*range(1, 4004)]
        assert not path.exists()
        async with Feed.open(other) as next_one:
            await site.say(1, first=5000)
            assert numbers(next_one) == [5000]
        site.live.change(LiveOptions())
        await asyncio.sleep(1)
        assert not other.exists()


async def test_at_the_end_clients_get_what_is_there_and_the_feed_does_not_wait_for_those_who_take_nothing(
    path: Path,
) -> None:
    site = Site(path)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Supervisor().run([site.live.child]))
        await asyncio.sleep(0.01)
        async with Feed.open(path) as feed:
            with socket.socket(socket.AF_UNIX) as stalled:
                stalled.connect(str(path))
                await site.say(4000, text="x" * 200)
                site.bus.put(reading(4001))
                ended = loop.time()
                site.live.end()
                await feed.hung_up()
                assert numbers(feed) == [*range(1, 4002)]
                await asyncio.wait([task])
                assert loop.time() - ended <= FAREWELL_S + 0.05
    assert site.live.backlogs == {}


async def test_what_is_being_told_at_the_end_is_told_to_all(path: Path) -> None:
    """They are told a few at a time, and the end comes in between."""
    site = Site(path)
    async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        group.create_task(Supervisor().run([site.live.child]))
        await asyncio.sleep(0.01)
        feeds = [await stack.enter_async_context(Feed.open(path)) for _ in range(8 * AT_ONCE)]
        site.before_telling = partial(asyncio.get_running_loop().call_soon, site.live.end)
        site.bus.put(reading(1))
        for feed in feeds:
            await feed.hung_up()
    assert [numbers(feed) for feed in feeds] == [[1]] * len(feeds)


async def test_sockets_that_are_passed_to_us_are_served_all_and_stay_where_they_are(path: Path) -> None:
    other = path.with_name("other.sock")
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        for passed, where in ((one, path), (two, other)):
            passed.bind(str(where))
            passed.listen()
            passed.setblocking(False)
        async with (
            Site.running(path, passed=[one, two]) as site,
            Feed.open(path) as first,
            Feed.open(other) as second,
        ):
            await site.say(1)
            assert numbers(first) == numbers(second) == [1]
            site.live.change(LiveOptions.model_validate({"listen": str(path.with_name("third.sock"))}))
            await site.say(1, first=2)
            assert numbers(first) == [1, 2]
        assert path.is_socket()
        assert other.is_socket()
        with socket.socket(socket.AF_UNIX) as early:
            early.connect(str(path))  # it waits for the next gateway


@given(
    steps=st.lists(st.one_of(st.none(), st.integers(1, 400)), max_size=200),
    room=st.integers(1, 1000),
)
def test_backlog_loses_only_what_it_tells_and_nothing_else_changes_places(
    steps: list[int | None], room: int
) -> None:
    """None: the client takes; a number: something of that size at least comes."""
    backlog = Backlog(room)
    put = 0
    seen: list[int] = []  # each number that came, and -1 for each that was told as lost

    def take() -> bool:
        data = backlog.take()
        if data.startswith(b"{"):
            seen.extend([-1] * json.loads(data)["lines"])
        elif data:
            seen.append(int(data))
        return bool(data)

    for step in steps:
        if step is None:
            take()
        else:
            backlog.put(Chunk(b"%0*d" % (step, put), 1))
            put += 1
        assert backlog.size <= room
    while take():
        pass
    assert len(seen) == put
    assert all(told in (-1, number) for number, told in enumerate(seen))
