"""Where everybody is at this moment: all tasks of a loop and all threads, seen from any thread.

Without the lines of the sources: to read them takes the disk, and that may be what is stuck.
"""

import asyncio
import gc
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, NamedTuple

DEEPEST = 100
"""Frames of one stack."""


class Stack(NamedTuple):
    whose: str
    places: str
    """A line for each, the outermost first."""


def tasks(loop: asyncio.AbstractEventLoop) -> Iterator[Stack]:
    for task in sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name()):
        yield _written(f"task {task.get_name()}", _awaited(task.get_coro()))


def threads() -> Iterator[Stack]:
    """All but the one that asks."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for number, frame in sys._current_frames().items():  # noqa: SLF001 - documented, and the only way
        if number != threading.get_ident():
            stack = [each for each, _ in traceback.walk_stack(frame)]
            yield _written(f"thread {names.get(number, number)}", reversed(stack[:DEEPEST]))


def _written(whose: str, frames: Iterable[FrameType]) -> Stack:
    places = [f"{each.f_code.co_filename}:{each.f_lineno} in {each.f_code.co_qualname}" for each in frames]
    return Stack(whose, "\n".join(places))


def _awaited(awaitable: Any) -> Iterator[FrameType]:
    """The frames from a task's coroutine to what it waits for: `Task.get_stack` knows the first only."""
    for _ in range(DEEPEST):
        match awaitable:
            case CoroutineType():
                frame, awaitable = awaitable.cr_frame, awaitable.cr_await
            case GeneratorType():
                frame, awaitable = awaitable.gi_frame, awaitable.gi_yieldfrom
            case AsyncGeneratorType():
                frame, awaitable = awaitable.ag_frame, awaitable.ag_await
            case _:  # one step of an async generator says of nothing whose it is; the collector knows
                held = gc.get_referents(awaitable)
                awaitable = next((each for each in held if isinstance(each, AsyncGeneratorType)), None)
                if awaitable is None:
                    return
                continue
        if frame is not None:
            yield frame
