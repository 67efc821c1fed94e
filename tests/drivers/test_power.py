"""A hub that does not answer, as the kernel shows it: what is written to its file does not come to an end."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from drivers.power import Power
from gateway.errors import LinkError
from tests.support.usb_hub import Hub

pytestmark = pytest.mark.real_time

ANSWER_S = 0.3

HANG_S = 20.0
"""Only what never ends takes so long."""


@contextmanager
def _hung(switch: Path) -> Iterator[None]:
    """It is a pipe that nobody reads, and that is full."""
    switch.unlink(missing_ok=True)
    os.mkfifo(switch)
    pipe = os.open(switch, os.O_RDWR | os.O_NONBLOCK)
    try:
        with suppress(BlockingIOError):
            while True:
                os.write(pipe, b"x" * 4096)
        yield
    finally:
        with suppress(BlockingIOError):  # it has been read already
            os.read(pipe, 65536)
        os.close(pipe)


async def _until_written(threads_before: int) -> None:
    while threading.active_count() == threads_before:
        await asyncio.sleep(0.01)


async def test_power_cannot_be_switched_where_the_hub_does_not_answer(tmp_path: Path) -> None:
    switch = Hub(tmp_path).port(2)
    with _hung(switch):
        async with asyncio.timeout(HANG_S):
            with pytest.raises(LinkError, match="does not answer: unplug it"):
                await Power(str(switch), answer_s=ANSWER_S).cycle()


async def test_power_that_cannot_be_looked_at_is_no_reason_to_wait(tmp_path: Path) -> None:
    switch = Hub(tmp_path).port(2)
    with _hung(switch):
        async with asyncio.timeout(HANG_S):
            with pytest.raises(LinkError, match="does not answer"):
                await Power(str(switch), answer_s=ANSWER_S).restore()


async def test_hub_that_does_not_answer_does_not_hold_up_who_is_cancelled(tmp_path: Path) -> None:
    switch = Hub(tmp_path).port(2)
    with _hung(switch):
        threads = threading.active_count()
        cycling = asyncio.create_task(Power(str(switch), answer_s=ANSWER_S).cycle())
        await _until_written(threads)
        cycling.cancel()
        await asyncio.wait([cycling], timeout=HANG_S)
        assert cycling.cancelled()


async def test_hub_that_does_not_answer_costs_one_thread_however_often_it_is_tried(tmp_path: Path) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    switch = Hub(tmp_path).port(2)
    with _hung(switch):
        async with asyncio.timeout(HANG_S):
            power = Power(str(switch), answer_s=ANSWER_S)
            for _ in range(2):
                with pytest.raises(LinkError):
                    await power.cycle()
            await asyncio.to_thread(switch.exists)
