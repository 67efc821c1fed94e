"""Who is told of alerts while that changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.config import NotifyOptions
from gateway.notify.outbox import at_once, nobody
from gateway.notify.receivers import Receivers
from tests.gateway.notify.alerts import RESOLVED, alert
from tests.support.scripted_driver import loop_clock

PHONE = {"url": "http://127.0.0.1:9/", "group_wait": "1h"}


@asynccontextmanager
async def _at_work() -> AsyncIterator[Receivers]:
    receivers = Receivers(
        {"phone": NotifyOptions.model_validate(PHONE)},
        gateway="test", clock=loop_clock, changed=nobody, settled=at_once,
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        group.create_task(receivers.run())
        await asyncio.sleep(1)
        yield receivers
        receivers.end()


async def test_alert_that_comes_while_its_receiver_is_changed_is_not_forgotten() -> None:
    async with _at_work() as receivers:
        receivers["phone"].take(alert("boiler"))
        options = NotifyOptions.model_validate({**PHONE, "timeout": "1s"})
        changing = asyncio.create_task(receivers.change({"phone": options}))
        await asyncio.sleep(0)
        assert not changing.done()
        for each in receivers:
            each.take(alert("boiler", RESOLVED))
        await changing
        assert receivers["phone"].counters()["firing"] == 0


@pytest.mark.parametrize("fires", [True, False])
async def test_receiver_that_is_taken_out_before_it_was_told_is_said_to_be_not_told(
    caplog: pytest.LogCaptureFixture, fires: bool
) -> None:
    async with _at_work() as receivers:
        if fires:
            receivers["phone"].take(alert("boiler"))
        await receivers.change({})
    dropped = "notify phone: is not configured any more; what it had to tell is dropped"
    assert caplog.messages == [dropped] * fires
