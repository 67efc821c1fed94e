import asyncio
import logging
import threading
from typing import Any

import pytest

from gateway import stacks
from gateway.dump import MOST_BYTES, MOST_NAMES, PERIOD_S, Dump
from gateway.errors import Refused


async def _wait_for_ever() -> None:
    await asyncio.Event().wait()


def _with(told: Any, kind: str, name: str) -> Any:
    [group] = [each for each in told[kind] if name in each["names"]]
    return group


async def test_answer_says_where_each_task_and_thread_is_and_what_waits() -> None:
    dump = Dump()
    dump.ready(lambda: {"bus": {"journal": {"waiting": 3, "dropped": 0}}})
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="worker 7")
    thread.start()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_wait_for_ever(), name=f"boiler {number}") for number in range(3)]
            await asyncio.sleep(0)
            told = dump.tell({})
            for task in tasks:
                task.cancel()
    finally:
        over.set()
        thread.join()
    waiting = _with(told, "tasks", "boiler 1")
    assert waiting["names"] == ["boiler 0", "boiler 1", "boiler 2"], "who is at the same place is told once"
    assert [place.rpartition(" ")[2] for place in waiting["stack"]] == ["_wait_for_ever", "Event.wait"]
    assert any(place.endswith("Event.wait") for place in _with(told, "threads", "worker 7")["stack"])
    assert told["queues"] == {"bus": {"journal": {"waiting": 3, "dropped": 0}}}
    assert told["left_out"] == 0


async def _wait_at(depth: int) -> None:
    await (_wait_at(depth - 1) if depth else _wait_for_ever())


async def test_answer_is_bounded_and_says_how_much_is_left_out() -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_wait_at(number % 90), name=f"{number:0100}") for number in range(3000)]
        await asyncio.sleep(0)
        told = Dump().tell({})
        for task in tasks:
            task.cancel()
    assert MOST_BYTES / 2 < len(str(told)) < 2 * MOST_BYTES
    assert {len(each["names"]) for each in told["tasks"] if each["total"] > 1} == {MOST_NAMES}
    assert told["left_out"] > 0
    assert (
        told["left_out"] + sum(each["total"] for kind in ("tasks", "threads") for each in told[kind]) > 3000
    )


async def test_it_may_be_asked_for_once_a_second() -> None:
    dump = Dump()
    with pytest.raises(Refused, match="unknown key"):
        dump.tell({"device": "boiler"})
    dump.tell({})
    with pytest.raises(Refused, match="a moment ago"):
        dump.tell({})
    await asyncio.sleep(PERIOD_S)
    assert dump.tell({})["tasks"]


async def test_it_is_logged_at_the_next_look_once_whatever_else_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logging.getLogger("gateway.dump").setLevel(logging.ERROR)
    try:
        dump, loop = Dump(), asyncio.get_running_loop()
        dump.ready(lambda: {"bus": {"journal": {"waiting": 3}}})
        for _ in range(3):
            await asyncio.to_thread(dump.look, loop)
        assert caplog.messages == []
        dump.ask()
        for _ in range(3):
            await asyncio.to_thread(dump.look, loop)
        own = asyncio.current_task()
        assert own is not None
        [mine] = [record for record in caplog.records if own.get_name() in record.getMessage()]
        assert "test_dump.py" in vars(mine)["TRACE"]
        assert caplog.messages.count('dump: queues: bus: {"journal":{"waiting":3}}') == 1
        assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    finally:
        logging.getLogger("gateway.dump").setLevel(logging.NOTSET)


async def test_stacks_hold_no_values(caplog: pytest.LogCaptureFixture) -> None:
    async def login(password: str) -> None:
        await asyncio.sleep(len(password))

    async with asyncio.TaskGroup() as group:
        group.create_task(login("hunter2"), name="broker")
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        assert any("login" in stack.places for stack in stacks.tasks(loop))
        assert "hunter2" not in str(Dump().tell({}))
        dump = Dump()
        dump.ask()
        await asyncio.to_thread(dump.look, loop)
        assert not any("hunter2" in str(vars(record)) for record in caplog.records)
