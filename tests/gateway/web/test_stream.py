"""What the page is told: everything once, then what is another, and nothing that piles up."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import orjson

from gateway.errors import LinkLost
from gateway.model import Alert, AlertState
from gateway.overview import SAMPLE_S
from gateway.web.history import MOST, History
from gateway.web.scene import Scene
from gateway.web.stream import MOST_VIEWERS, TICK_S, Stream, Viewer
from tests.support.scripted_driver import Instrument, Step, loop_clock
from tests.support.sight import Site, looked_at

Told = tuple[str, dict[str, Any]]


def read(event: bytes) -> Told:
    name, data, *rest = event.decode().split("\n")
    assert rest == ["", ""]
    return name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))


@asynccontextmanager
async def streaming(*steps: Step) -> AsyncIterator[tuple[Site, Stream]]:
    async with looked_at(Instrument(steps)) as site:
        stream = Stream(Scene(site.sight, History()))
        running = asyncio.create_task(stream.run())
        try:
            yield site, stream
        finally:
            running.cancel()
            await asyncio.wait([running])


def counting(count: int, pause_s: float) -> Iterator[Step]:
    for number in range(count):
        yield {"t": float(number)}
        yield pause_s


async def told(viewer: Viewer, count: int) -> list[Told]:
    events = viewer.events()
    return [read(await anext(events)) for _ in range(count)]


async def test_viewer_is_told_everything_and_then_what_is_another() -> None:
    async with streaming({"t": 20.0, "mode": "heat"}, 10.0, {"t": 21.0}) as (_, stream):
        await asyncio.sleep(5.1)
        with stream.watched() as viewer:
            assert viewer is not None
            (name, whole), *changes = await told(viewer, 6)
    assert name == "whole"
    [device] = whole["devices"]
    assert (device["name"], device["state"], device["read"]) == ("boiler", "online", 1)
    [change] = [each for _, each in changes if "values" in str(each)]
    [changed] = change["devices"]
    assert (changed["values"], changed["read"]) == ({"t": 21.0}, 2)
    assert "port" not in changed
    assert "metrics" not in changed


async def test_metric_that_is_new_comes_with_its_meaning() -> None:
    async with streaming({"t": 20.0}, 1.0, {"rh": 40}) as (_, stream):
        await asyncio.sleep(0.5)
        with stream.watched() as viewer:
            assert viewer is not None
            *_, (_, change) = await told(viewer, 2)
    assert [each["name"] for each in change["devices"][0]["metrics"]] == ["t", "rh"]


async def test_reason_is_gone_when_a_device_is_back() -> None:
    async with looked_at(Instrument([{"t": 1.0}, 3.0, LinkLost("unplugged")], [{"t": 1.0}])) as site:
        scene = Scene(site.sight, History())
        await asyncio.sleep(1)
        await scene.change()
        await asyncio.sleep(2.0001)  # and not long enough for another attempt
        gone = (await scene.change())["devices"][0]
        assert (gone["state"], gone["reason"]) == ("offline", "unplugged")
        await asyncio.sleep(3)
        back = (await scene.change())["devices"][0]
        assert back["state"] == "online"
        assert "reason" in back["dropped"]


async def test_viewer_that_has_missed_something_is_told_everything_again() -> None:
    async with streaming(*counting(100, 0.5)) as (_, stream):
        with stream.watched() as slow, stream.watched() as quick:
            assert slow is not None
            assert quick is not None
            late, prompt = slow.events(), quick.events()
            assert read(await anext(late))[0] == "whole"
            names = [read(await anext(prompt))[0] for _ in range(6)]
            assert names == ["whole", *["change"] * 5]
            name, whole = read(await anext(late))
            assert name == "whole"
            assert whole["devices"][0]["metrics"][0]["value"] == site_value(stream)


def site_value(stream: Stream) -> float:
    """The value that was told last."""
    value: float = read(stream.change)[1]["devices"][0]["values"]["t"]
    return value


async def test_events_are_no_closer_than_the_tick() -> None:
    async with streaming(*counting(1000, 0.01)) as (_, stream):
        with stream.watched() as viewer:
            assert viewer is not None
            events, moments = viewer.events(), []
            for _ in range(8):
                await anext(events)
                moments.append(asyncio.get_running_loop().time())
    assert all(later - earlier >= TICK_S for earlier, later in pairwise(moments[1:]))


async def test_what_somebody_does_is_told_at_once() -> None:
    async with streaming({"t": 1.0}) as (site, stream):
        with stream.watched() as viewer:
            assert viewer is not None
            events = viewer.events()
            await anext(events)
            await asyncio.sleep(TICK_S / 10)
            before = asyncio.get_running_loop().time()
            site.sight.log.emit(logging.makeLogRecord({"msg": "done"}))
            stream.look()
            assert read(await anext(events))[1]["log"][0]["text"] == "done"
            assert asyncio.get_running_loop().time() - before < TICK_S / 10


async def _nothing_fires_after_a_while(_request: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(TICK_S / 2)
    return {"alerts": [], "silences": []}


async def test_what_others_take_of_the_time_while_it_is_looked_puts_no_event_off() -> None:
    async with streaming(*counting(100, 0.2)) as (site, stream):
        site.verbs["alert/list"] = _nothing_fires_after_a_while
        with stream.watched() as viewer:
            assert viewer is not None
            before = asyncio.get_running_loop().time()
            await told(viewer, 6)
            assert asyncio.get_running_loop().time() - before < 6 * 2 * TICK_S


async def test_what_somebody_does_while_it_is_looked_is_told_right_after() -> None:
    async with streaming({"t": 1.0}) as (site, stream):
        site.verbs["alert/list"] = _nothing_fires_after_a_while
        with stream.watched() as viewer:
            assert viewer is not None
            events = viewer.events()
            await asyncio.sleep(TICK_S / 10)  # it has begun to look
            stream.look()
            await anext(events)
            before = asyncio.get_running_loop().time()
            site.sight.log.emit(logging.makeLogRecord({"msg": "done"}))
            assert read(await anext(events))[1]["log"][0]["text"] == "done"
            assert asyncio.get_running_loop().time() - before < TICK_S


async def test_who_comes_after_the_last_one_left_amid_a_look_sees_how_it_is() -> None:
    async with streaming({"t": 1.0}, 100.0, {"t": 2.0}) as (site, stream):
        site.verbs["alert/list"] = _nothing_fires_after_a_while
        with stream.watched():
            await asyncio.sleep(TICK_S / 10)
        await asyncio.sleep(200)
        with stream.watched() as viewer:
            assert viewer is not None
            [(_, whole)] = await told(viewer, 1)
    assert whole["devices"][0]["metrics"][0]["value"] == 2.0


async def test_stream_of_which_nothing_is_heard_shows_that_it_is_there() -> None:
    async with streaming() as (_, stream):
        with stream.watched() as viewer:
            assert viewer is not None
            events, moments = viewer.events(), []
            for _ in range(8):
                await anext(events)
                moments.append(asyncio.get_running_loop().time())
    assert all(later - earlier <= SAMPLE_S + TICK_S for earlier, later in pairwise(moments))


async def test_while_nobody_looks_nothing_is_done_and_who_comes_then_sees_how_it_is() -> None:
    async with streaming({"t": 1.0}, 100.0, {"t": 2.0}) as (_, stream):
        with stream.watched() as viewer:
            assert viewer is not None
            await told(viewer, 1)
        await asyncio.sleep(1)
        number = stream.number
        await asyncio.sleep(200)
        assert stream.number == number
        with stream.watched() as viewer:
            assert viewer is not None
            [(name, whole)] = await told(viewer, 1)
    assert name == "whole"
    assert whole["devices"][0]["metrics"][0]["value"] == 2.0


async def test_stream_that_ends_while_an_event_is_on_its_way_leaves_the_viewer_without_another() -> None:
    async with streaming(*counting(100, 0.5)) as (_, stream):
        with stream.watched() as viewer:
            assert viewer is not None
            events = viewer.events()
            await anext(events)
            stream.end()
            assert [each async for each in events] == []


async def test_there_is_room_for_so_many_and_one_more_when_one_has_left() -> None:
    async with streaming() as (_, stream):
        held = [stream.watched() for _ in range(MOST_VIEWERS)]
        assert all(each.__enter__() is not None for each in held)
        with stream.watched() as viewer:
            assert viewer is None
        held.pop().__exit__(None, None, None)
        with stream.watched() as viewer:
            assert viewer is not None
        for each in held:
            each.__exit__(None, None, None)
        assert stream.viewers == 0


def alert(number: int) -> Alert:
    at = loop_clock()
    return Alert(
        at=at, rule=f"r{number}", device="", state=AlertState.FIRING, since=at, value=1, severity="warning",
        message="", labels={},
    )  # fmt: skip


async def test_history_of_alerts_is_bounded_and_each_is_told_once() -> None:
    async with looked_at(Instrument()) as site:
        history = History()
        scene = Scene(site.sight, history)
        running = asyncio.create_task(history.run(site.sight.bus))
        await asyncio.sleep(0)
        for number in range(MOST + 10):
            await site.sight.bus.publish(alert(number))
            await asyncio.sleep(0)
        first = await scene.change()
        assert [each["rule"] for each in first["happened"]] == [f"r{n}" for n in range(10, MOST + 10)]
        assert "happened" not in await scene.change()
        await site.sight.bus.publish(alert(7))
        await asyncio.sleep(0)
        assert [each["rule"] for each in (await scene.change())["happened"]] == ["r7"]
        assert len(scene.whole()["happened"]) == MOST
        running.cancel()
        await asyncio.wait([running])
