"""Who is told of alerts while that changes."""

import asyncio

from gateway.config import NotifyOptions
from gateway.notify.outbox import at_once, nobody
from gateway.notify.receivers import Receivers
from tests.gateway.notify.alerts import RESOLVED, alert
from tests.support.scripted_driver import loop_clock

PHONE = {"url": "http://127.0.0.1:9/", "group_wait": "1h"}


async def test_alert_that_comes_while_its_receiver_is_changed_is_not_forgotten() -> None:
    receivers = Receivers(
        {"phone": NotifyOptions.model_validate(PHONE)},
        gateway="test", clock=loop_clock, changed=nobody, settled=at_once,
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        group.create_task(receivers.run())
        await asyncio.sleep(1)
        receivers["phone"].take(alert("boiler"))
        changing = group.create_task(
            receivers.change({"phone": NotifyOptions.model_validate({**PHONE, "timeout": "1s"})})
        )
        await asyncio.sleep(0)
        assert not changing.done()
        for each in receivers:
            each.take(alert("boiler", RESOLVED))
        await changing
        assert receivers["phone"].counters()["firing"] == 0
        receivers.end()
