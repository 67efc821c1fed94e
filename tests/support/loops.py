"""Event loops for tests: time that jumps, and a check that nothing is left running."""

import asyncio
import selectors
from asyncio import constants
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

# In debug mode asyncio notes the stack of whoever schedules something, each time, and asks the disk whether each file
# in it is still the same: more work than most tests are. One frame says enough.
constants.DEBUG_STACK_DEPTH = 1  # type: ignore[misc]


class LeftRunningError(AssertionError):
    """A test (or the code it tests) ended while tasks of it were still running."""


class _Tidy(asyncio.SelectorEventLoop):
    _noted = True

    def get_debug(self) -> bool:
        return self._noted and super().get_debug()

    @contextmanager
    def _unnoted(self) -> Iterator[None]:
        """Tasks and futures ask for this to know whether to keep the stack of their making, of any depth."""
        self._noted = False
        try:
            yield
        finally:
            self._noted = True

    def create_future(self) -> asyncio.Future[Any]:
        with self._unnoted():
            return super().create_future()

    def create_task(self, coro: Any, **how: Any) -> asyncio.Task[Any]:
        with self._unnoted():
            return super().create_task(coro, **how)

    def run_until_complete(self, future: Any) -> Any:
        result = super().run_until_complete(future)
        for _ in range(3):  # what was cancelled or scheduled at the very end may finish
            super().run_until_complete(asyncio.sleep(0))
        if left := asyncio.all_tasks(self):
            raise LeftRunningError(
                ", ".join(sorted(f"{task.get_name()}: {task.get_coro()!r}" for task in left))
            )
        return result


class RealTimeLoop(_Tidy):
    """The system's clock, for sockets, ptys and processes."""


class VirtualTimeLoop(_Tidy):
    """The clock jumps to the next timer when nothing is ready: a simulated day takes a millisecond.

    It waits in real time while a thread works, and reports a deadlock when nothing can ever happen.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._threads = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]  # asyncio keeps its type variables to itself
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> Any:
        self._threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *how: Any) -> None:
        self._threads += 1
        try:
            await super().shutdown_default_executor(*how)
        finally:
            self._threads -= 1

    def _thread_done(self, _future: object) -> None:
        self._threads -= 1


class _JumpingSelector(selectors.BaseSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> Any:
        events = self._real.select(0)
        if events or timeout == 0:
            return events
        if self._loop._threads:
            return self._real.select(0.01)
        if timeout is None:
            raise RuntimeError("deadlock: nothing is ready and no timer is set")
        # A hair beyond the timer, as a real clock would be: the sum may be rounded down.
        self._loop._now += timeout + 1e-9
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> Any:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> Any:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, Any]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()
