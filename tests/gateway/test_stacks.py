import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from gateway import stacks


async def _wait_for_ever() -> None:
    await asyncio.Event().wait()


async def _readings() -> AsyncGenerator[int, None]:
    yield 1
    await _wait_for_ever()


async def _read() -> None:
    async with aclosing(_readings()) as readings:
        async for _ in readings:
            pass


@asynccontextmanager
async def _port() -> AsyncIterator[None]:
    yield
    await _wait_for_ever()


async def _shut() -> None:
    async with _port():
        pass


async def _own() -> str:
    [mine] = [each for each in stacks.tasks(asyncio.get_running_loop()) if "_own" in each.places]
    return mine.whose


def _places(stack: str) -> list[str]:
    return [line.rpartition(".")[2].rpartition(" ")[2] for line in stack.splitlines()]


async def test_stack_of_a_task_goes_through_generators_to_what_it_waits_for() -> None:
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(), name="boiler")
        shutting = group.create_task(_shut(), name="meter")
        await asyncio.sleep(1)
        found = dict(stacks.tasks(asyncio.get_running_loop()))
        reading.cancel()
        shutting.cancel()
    assert _places(found["task boiler"]) == ["_read", "_readings", "_wait_for_ever", "wait"]
    assert _places(found["task meter"]) == ["_shut", "__aexit__", "_port", "_wait_for_ever", "wait"]
    assert (
        f"{__file__}:{_wait_for_ever.__code__.co_firstlineno + 1} in _wait_for_ever" in found["task boiler"]
    )


async def test_task_that_runs_just_now_is_there_as_well() -> None:
    async with asyncio.TaskGroup() as group:
        mine = group.create_task(_own(), name="me")
    assert mine.result() == "task me"


def test_stack_of_a_thread_goes_from_its_beginning_to_where_it_is() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="journal_0")
    thread.start()
    try:
        stack = dict(stacks.threads())["thread journal_0"]
    finally:
        release.set()
        thread.join()
    first, *_, last = _places(stack)
    assert (first, last) == ("_bootstrap", "wait")


def test_the_thread_that_asks_is_left_out() -> None:
    assert "thread MainThread" not in dict(stacks.threads())


@pytest.mark.real_time
async def test_another_thread_sees_the_tasks_too() -> None:
    waiting = asyncio.create_task(_wait_for_ever(), name="boiler")
    found = await asyncio.to_thread(lambda loop: dict(stacks.tasks(loop)), asyncio.get_running_loop())
    waiting.cancel()
    assert "task boiler" in found
