"""Sources on real terminals: what is said of their ports."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.instrument import PtyInstrument
from drivers.modbus.simulator import EnergyMeter
from gateway.bus import EventBus, Overflow, Subscription
from gateway.clock import system_clock
from gateway.model import Availability, Event, Presence, Reading
from gateway.pacing.backoff import Backoff
from gateway.recovery import Recovery
from gateway.source import Source
from gateway.supervisor import Supervisor
from tests.support.usb_hub import Hub
from tests.support.usb_tree import Adapter, Machine

pytestmark = pytest.mark.real_time

PATIENCE_S = 60


def source(bus: EventBus, name: str, driver: str, port: Path | str, **given: Any) -> Source:
    chosen = drivers.find(driver)
    table = {"driver": driver, "port": str(port), "retry_max": "100ms", **given}
    return Source(name, chosen, chosen.options.model_validate(table), bus, system_clock)


def meter(bus: EventBus, name: str, port: Path, unit: int, **given: Any) -> Source:
    asked = {"interval": "50ms", "timeout": "100ms", "registers": {"m": {"address": 0x0C, "type": "float32"}}}
    return source(bus, name, "modbus", port, unit=unit, **{**asked, **given})


@asynccontextmanager
async def running(*sources: Source, retry_s: float | None = None) -> AsyncIterator[None]:
    """`retry_s`: from one attempt to open a port to the next, where that is not to be left to chance."""
    children = [each.child() for each in sources]
    if retry_s is not None:
        restart = Backoff(first_s=retry_s, cap_s=retry_s, draw=lambda _, high: high)
        children = [replace(each, restart=restart) for each in children]
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(Supervisor().run(children))]
        tasks += [group.create_task(each.watch()) for each in sources]
        tasks += [group.create_task(Supervisor().run([Recovery(sources).child]))]
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


async def read(mailbox: Subscription[Reading], value: int) -> None:
    async for reading in mailbox:
        if reading.values == {"t": value}:
            break


async def test_port_that_is_plugged_in_is_read_again_long_before_its_backoff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a link and by what it is, side by side."""
    bus, machine = EventBus(), Machine(tmp_path / "machine", monkeypatch)
    with (
        bus.subscribe(Reading, name="test", capacity=1000, overflow=Overflow.WAIT) as readings,
        PtyInstrument.plugged_in(tmp_path / "first") as first,
        PtyInstrument.plugged_in(tmp_path / "second") as second,
    ):
        machine.plug_in("ttyUSB0", Adapter("0403", "6001", "A50285BI"), second.path)
        sources = [
            source(bus, "first", "json", first.path),
            source(bus, "second", "json", "usb:0403:6001:A50285BI"),
        ]
        async with running(*sources, retry_s=3600):
            for number in range(2):
                for instrument in (first, second):
                    await instrument.opened()
                    await instrument.say(b'{"t":%d}\n' % number)
                    await read(readings, number)
                    instrument.unplug()
                    instrument.plug_in()
            for instrument in (first, second):
                await instrument.opened()


async def test_device_that_hangs_comes_back_by_its_port_or_by_its_power_and_was_never_offline(
    tmp_path: Path,
) -> None:
    """Each takes its time, so they do it side by side."""
    bus, hub = EventBus(), Hub(tmp_path)
    switch = hub.port(2)
    with (
        bus.subscribe(Event, name="test", capacity=1000, overflow=Overflow.WAIT) as mailbox,
        PtyInstrument.plugged_in(tmp_path / "hung") as hung,
        PtyInstrument.plugged_in(tmp_path / "dead") as dead,
    ):

        async def live(instrument: PtyInstrument) -> None:
            await instrument.opened()
            await asyncio.sleep(0.1)  # whoever opens a port forgets what was said before
            await instrument.say(b'{"t":1}\n')

        async def hang() -> None:
            """Speaks once each time that its port is opened."""
            await live(hung)
            for _ in range(2):
                await hung.closed()
                await live(hung)

        async def die() -> None:
            """Speaks once each time that it gets power."""
            await live(dead)
            while len(hub.history) < 2:
                await asyncio.sleep(0.05)
            await live(dead)

        watched = {"stale_after": "200ms", "reopen_after": "1s"}
        sources = [
            source(bus, "hung", "json", hung.path, **watched),
            source(bus, "dead", "json", dead.path, **watched, power_cycle=str(switch)),
        ]
        power = hub.switching(switch, off=dead.unplug, on=dead.plug_in)
        async with running(*sources), power, asyncio.TaskGroup() as group:
            group.create_task(hang())
            group.create_task(die())
            heard: list[Event] = []
            async for event in mailbox:
                heard.append(event)
                if [readings_of(heard, name) for name in ("hung", "dead")] == [3, 2]:
                    break
    for name in ("hung", "dead"):
        states = [each.presence for each in heard if isinstance(each, Availability) and each.device == name]
        assert set(states[states.index(Presence.ONLINE) :]) == {Presence.ONLINE, Presence.STALE}
    assert hub.history == ["port2: 1", "port2: 0"]


def readings_of(events: list[Event], device: str) -> int:
    return sum(isinstance(each, Reading) and each.device == device for each in events)


async def test_bus_of_silent_instruments_is_opened_again_as_one(tmp_path: Path) -> None:
    bus = EventBus()
    # By themselves they would never be away at once for so long as to be noticed.
    often = {"reopen_after": "1s", "retry_max": "100ms", "interval": "10ms", "timeout": "300ms"}
    with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
        sources = [meter(bus, f"meter{unit}", instrument.path, unit, **often) for unit in (1, 2)]
        async with running(*sources):
            await instrument.opened()
            away = 0
            while away < 8:
                await instrument.closed()
                await asyncio.sleep(0.1)
                away = away + 1 if not instrument.is_open else 0


async def test_port_that_is_looked_for_and_not_found_for_long_is_being_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of sysfs that does not come: so does a hub that hangs."""
    machine = Machine(tmp_path, monkeypatch)
    machine.plug_in("ttyUSB0", Adapter("0403", "6001", "A50285BI"))
    [vendor] = machine.sys.rglob("idVendor")
    vendor.unlink()
    os.mkfifo(vendor)
    pipe = os.open(vendor, os.O_RDWR)
    hung = source(EventBus(), "board", "json", "usb:0403:6001")
    async with running(hung):
        try:
            async with asyncio.timeout(PATIENCE_S / 4):
                while hung.handling != "opening":
                    await asyncio.sleep(0.01)
        finally:
            vendor.unlink()
            os.close(pipe)
