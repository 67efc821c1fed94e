"""Sources on real terminals: what is said of their ports."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.instrument import PtyInstrument
from drivers.modbus.simulator import EnergyMeter
from gateway.bus import EventBus, Overflow, Subscription
from gateway.clock import system_clock
from gateway.model import Availability, Presence
from gateway.source import Source
from gateway.supervisor import Supervisor

pytestmark = pytest.mark.real_time

PATIENCE_S = 20


def source(bus: EventBus, name: str, driver: str, port: Path, **given: Any) -> Source:
    chosen = drivers.find(driver)
    table = {"driver": driver, "port": str(port), "retry_max": "100ms", **given}
    return Source(name, chosen, chosen.options.model_validate(table), bus, system_clock)


def meter(bus: EventBus, name: str, port: Path, unit: int) -> Source:
    asked = {"interval": "50ms", "timeout": "100ms", "registers": {"m": {"address": 0x0C, "type": "float32"}}}
    return source(bus, name, "modbus", port, unit=unit, **asked)


@asynccontextmanager
async def running(*sources: Source) -> AsyncIterator[None]:
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(Supervisor().run([each.child() for each in sources]))]
        tasks += [group.create_task(each.watch()) for each in sources]
        yield
        for task in tasks:
            task.cancel()


async def said(
    mailbox: Subscription[Availability], is_it: Callable[[Availability], bool]
) -> list[Availability]:
    """All until this."""
    heard = []
    async for each in mailbox:
        heard.append(each)
        if is_it(each):
            break
    return heard


def announcements(bus: EventBus) -> Subscription[Availability]:
    return bus.subscribe(Availability, name="test", capacity=1000, overflow=Overflow.WAIT)


def is_offline_for_good(event: Availability) -> bool:
    return event.presence is Presence.OFFLINE and not event.unproven


async def test_port_that_is_not_there_is_not_open_and_before_it_was_tried_nobody_knows(
    tmp_path: Path,
) -> None:
    bus = EventBus()
    with announcements(bus) as mailbox:
        async with running(source(bus, "ardu", "json", tmp_path / "nowhere")):
            heard = await said(mailbox, is_offline_for_good)
    assert [(each.port_open, each.unproven) for each in heard] == [(None, True), (False, False)]


async def test_port_is_open_until_it_is_unplugged_and_again_when_it_is_back(tmp_path: Path) -> None:
    bus = EventBus()
    with announcements(bus) as mailbox, PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with running(source(bus, "ardu", "json", instrument.path)):
            await instrument.opened()
            await instrument.say(b'{"t":1}\n')
            heard = await said(mailbox, lambda each: each.presence is Presence.ONLINE)
            instrument.unplug()
            heard += await said(mailbox, is_offline_for_good)
            instrument.plug_in()
            heard += await said(mailbox, lambda each: each.port_open is True)
            await instrument.say(b'{"t":2}\n')
            heard += await said(mailbox, lambda each: each.presence is Presence.ONLINE)
    # Between the two it may have been tried, and found absent, under another reason.
    states = [(each.presence.value, each.port_open, each.unproven) for each in heard]
    assert list(dict.fromkeys(states)) == [
        ("offline", None, True),
        ("offline", True, True),
        ("online", True, False),
        ("offline", False, False),
    ]
    assert states[-2:] == [("offline", True, True), ("online", True, False)]


async def test_port_at_which_nobody_speaks_is_open(tmp_path: Path) -> None:
    bus = EventBus()
    with announcements(bus) as mailbox, PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        async with running(source(bus, "ardu", "json", instrument.path, stale_after="100ms")):
            heard = await said(mailbox, lambda each: each.presence is Presence.STALE)
    assert (heard[-1].port_open, heard[-1].unproven) == (True, False)


async def test_device_that_does_not_answer_is_offline_on_an_open_port_beside_one_that_does(
    tmp_path: Path,
) -> None:
    bus = EventBus()
    with announcements(bus) as mailbox, PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        serving = asyncio.create_task(instrument.serve(EnergyMeter(1)))
        there, gone = meter(bus, "there", instrument.path, 1), meter(bus, "gone", instrument.path, 2)
        async with running(there, gone):
            heard = await said(mailbox, is_offline_for_good)
            await asyncio.sleep(0.5)  # it is tried again meanwhile
            instrument.unplug()
            lost = await said(mailbox, is_offline_for_good)
            while {each.device for each in lost if is_offline_for_good(each)} != {"there", "gone"}:
                lost += await said(mailbox, is_offline_for_good)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    assert [(each.device, each.port_open) for each in heard if is_offline_for_good(each)] == [("gone", True)]
    assert {each.device for each in heard if each.presence is Presence.ONLINE} <= {"there"}
    assert {(each.device, each.port_open) for each in lost if is_offline_for_good(each)} == {
        ("there", False), ("gone", False),
    }  # fmt: skip


async def test_stop_of_the_gateway_says_nothing_against_a_device(tmp_path: Path) -> None:
    bus = EventBus()
    with announcements(bus) as mailbox, PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        ardu = source(bus, "ardu", "json", instrument.path)
        async with running(ardu):
            await instrument.opened()
            await instrument.say(b'{"t":1}\n')
            await said(mailbox, lambda each: each.presence is Presence.ONLINE)
        await ardu.announce_stop()
        (last,) = await said(mailbox, lambda each: each.presence is Presence.OFFLINE)
    assert (last.reason, last.port_open, last.unproven) == ("the gateway was stopped", True, True)
