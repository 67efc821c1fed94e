import asyncio
import logging
from collections.abc import Iterator, Sequence
from itertools import cycle, pairwise, repeat
from math import inf
from pathlib import Path
from typing import Any

import pytest

from drivers.driver import DriverOptions
from gateway.bus import EventBus, Overflow
from gateway.errors import LinkAbsent, LinkLost, LinkSilent
from gateway.logs import MessageId
from gateway.model import Availability, Event, Reading
from gateway.recovery import Escalation, Recovery
from gateway.source import Source
from gateway.supervisor import Supervisor
from tests.support.logged import fields
from tests.support.scripted_driver import Instrument, Step, loop_clock
from tests.support.usb_hub import Hub

DAY = 86_400.0


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield


class Site:
    def __init__(self) -> None:
        self.bus = EventBus()
        self.mailbox = self.bus.subscribe(Event, name="test", capacity=100_000, overflow=Overflow.WAIT)
        self.sources: list[Source] = []
        self.recovery = Recovery(self.sources)

    def add(self, name: str, instrument: Instrument, **given: Any) -> None:
        table = {"driver": "scripted", "port": "/dev/nowhere", "stale_after": "10s", **given}
        options = DriverOptions.model_validate(table)
        self.sources.append(Source(name, instrument.driver(), options, self.bus, loop_clock))

    async def runs_for(self, seconds: float) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(Supervisor().run([each.child() for each in self.sources]))
                group.create_task(Supervisor().run([self.recovery.child]))
                for each in self.sources:
                    group.create_task(each.watch())
        self.bus.close()

    async def story(self, device: str) -> list[str]:
        """What was announced of it; readings as `·`."""
        return [
            "·" if isinstance(event, Reading) else f"{event.presence}: {event.reason}".rstrip(": ")
            async for event in self.mailbox
            if isinstance(event, Reading | Availability) and event.device == device
        ]


def speaking(*, every_s: float, times: int) -> Iterator[Step]:
    for _ in range(times):
        yield {"t": 1}
        yield every_s


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def seconds_between(moments: Sequence[float]) -> list[int]:
    return [round(later - earlier) for earlier, later in pairwise(moments)]


async def test_silent_device_is_opened_again_after_growing_waits(caplog: pytest.LogCaptureFixture) -> None:
    site, hung = Site(), Instrument([{"t": 1}])
    site.add("ardu", hung, reopen_after="1m")
    await site.runs_for(1000)
    # Stale after 10 s; then a minute, two, four … each after the one before.
    assert hung.openings == pytest.approx([0, 71, 193, 435, 917], abs=8)
    assert await site.story("ardu") == [
        "offline: starting",
        "offline: /dev/nowhere: open, no reading yet",
        "online",
        "·",
        "stale: nothing for 10s on /dev/nowhere",
    ]
    assert told(caplog)[:4] == [
        "ardu: online",
        "ardu: stale: nothing for 10s on /dev/nowhere",
        "ardu: still silent: /dev/nowhere is closed and opened again, next in 2m",
        "ardu: still silent: /dev/nowhere is closed and opened again, next in 4m",
    ]
    about = {"MESSAGE_ID": MessageId.PORT_REOPENED, "DEVICE": "ardu", "PORT": "/dev/nowhere"}
    assert fields(caplog.records, "next in 4m") == about


async def test_device_that_opening_brings_back_is_online_without_having_been_offline() -> None:
    site, hung = Site(), Instrument([{"t": 1}], [5.0, {"t": 2}, 5.0, {"t": 3}])
    site.add("ardu", hung, reopen_after="1m")
    await site.runs_for(85)
    assert (await site.story("ardu"))[2:] == [
        "online", "·", "stale: nothing for 10s on /dev/nowhere", "online", "·", "·",
    ]  # fmt: skip


async def test_rubbish_is_no_sign_of_life() -> None:
    site, hung = Site(), Instrument(asked=True)
    hung.rejected["checksum"] = 1000
    site.add("ardu", hung, reopen_after="1m")
    await site.runs_for(100)
    assert len(hung.openings) == 2


@pytest.mark.parametrize("given", [{"stale_after": "never"}, {"reopen_after": "never"}])
async def test_device_that_may_be_silent_is_left_alone(given: dict[str, Any]) -> None:
    site, quiet = Site(), Instrument([{"t": 1}])
    site.add("ardu", quiet, **given)
    await site.runs_for(DAY / 4)
    assert len(quiet.openings) == 1


async def test_device_that_is_heard_is_left_alone() -> None:
    site, busy = Site(), Instrument(speaking(every_s=9, times=1000))
    site.add("ardu", busy, reopen_after="1s")
    await site.runs_for(8000)
    assert len(busy.openings) == 1


async def test_hourly_device_that_starts_anew_when_its_port_is_opened_speaks_again_before_long() -> None:
    """A board that is reset by DTR, at the default `stale_after`, which is wrong for it."""

    def says_hourly() -> Iterator[Step]:
        return cycle([3600.0, {"t": 1}])

    site, hourly = Site(), Instrument(*[says_hourly() for _ in range(100)])
    site.add("ardu", hourly, reopen_after="1m", stale_after="1m")
    await site.runs_for(DAY / 3)
    assert (await site.story("ardu")).count("·") >= 6
    assert len(hourly.openings) < 9


async def test_device_that_does_not_answer_is_tried_at_its_own_pace_and_its_reason_stays() -> None:
    silent: list[Step] = [30.0, LinkSilent("/dev/nowhere: no answer")]
    site, dead = Site(), Instrument(*repeat(silent, 1000))
    site.add("meter", dead, stale_after="never", reopen_after="1m", retry_max="5s")
    await site.runs_for(1000)
    assert await site.story("meter") == [
        "offline: starting",
        "offline: /dev/nowhere: open, no reading yet",
        "offline: /dev/nowhere: no answer",
    ]
    assert max(seconds_between(dead.openings)) <= 36


async def test_port_of_several_is_opened_again_only_when_all_of_them_are_silent() -> None:
    site = Site()
    dead, alive = Instrument([{"t": 1}]), Instrument(speaking(every_s=5, times=60))
    site.add("dead", dead, reopen_after="1m")
    site.add("alive", alive, reopen_after="1m")
    await site.runs_for(600)
    # The second one says its last word at 300 s.
    assert dead.openings == pytest.approx([0, 369, 491], abs=8)
    assert alive.openings == pytest.approx(dead.openings)


async def test_port_that_is_away_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    absent = LinkAbsent("/dev/nowhere: no such device")
    site = Site()
    site.add("ardu", Instrument([{"t": 1}, 15.0, LinkLost("gone")], *[absent] * 1000), reopen_after="10s")
    await site.runs_for(600)
    assert not [line for line in told(caplog) if "still silent" in line]


async def test_device_that_may_be_silent_after_a_reload_is_left_alone_from_then_on() -> None:
    site, quiet = Site(), Instrument([{"t": 1}])
    site.add("ardu", quiet, reopen_after="1m")
    [source] = site.sources
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(DAY / 8), asyncio.TaskGroup() as group:
            group.create_task(Supervisor().run([source.child(), site.recovery.child]))
            watching = group.create_task(source.watch())
            await asyncio.sleep(100)
            watching.cancel()
            source.change(source.options.model_copy(update={"stale_after": None}))
            group.create_task(source.watch())
    assert len(quiet.openings) == 2


async def test_loose_plug_fills_neither_the_log_nor_the_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = tmp_path / "ttyUSB0"
    lost = LinkLost("unplugged")
    script: list[Step] = [{"t": 1}, 0.02, lost]
    site, loose = Site(), Instrument(*[script] * 10_000)
    site.add("ardu", loose, port=str(port))

    async def flap() -> None:
        while True:
            port.touch()
            await asyncio.sleep(0.06)
            port.unlink()
            await asyncio.sleep(0.05)

    flapping = asyncio.create_task(flap())
    await site.runs_for(600)
    flapping.cancel()
    await asyncio.wait([flapping])
    assert len(loose.openings) < 400, "not much more than retry_max alone would cause"
    assert len(told(caplog)) <= 2 * len(loose.openings)


async def test_device_that_is_gone_when_it_is_opened_again_is_offline() -> None:
    site = Site()
    site.add("ardu", Instrument([{"t": 1}], LinkAbsent("no such device"), [{"t": 2}]), reopen_after="1m")
    await site.runs_for(80)
    assert (await site.story("ardu"))[4:7] == [
        "stale: nothing for 10s on /dev/nowhere",
        "offline: no such device",
        "offline: /dev/nowhere: open, no reading yet",
    ]


@pytest.mark.parametrize("after_s", [-5e-10, 0.0, 5e-10, 15.0])
async def test_reading_under_way_when_the_port_is_to_be_shut_is_not_lost(after_s: float) -> None:
    """Its device is announced first, and there is no room for that; at the end it is even stale again."""
    bus = EventBus()
    presences = bus.subscribe(Availability, name="slow", capacity=3, overflow=Overflow.WAIT)
    readings = bus.subscribe(Reading, name="test", capacity=10, overflow=Overflow.WAIT)
    options = DriverOptions.model_validate({"driver": "", "port": "/dev/nowhere", "stale_after": "10s"})
    source = Source("ardu", Instrument([20.0, {"t": 1}]).driver(), options, bus, loop_clock)

    async def shut() -> None:
        await asyncio.sleep(20 + after_s)
        async with source.shut():
            await asyncio.sleep(1)
        presences.take()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(shut())
            group.create_task(Supervisor().run([source.child()]))
            group.create_task(source.watch())
    assert [reading.values for reading in readings.take()] == [{"t": 1}] * source.readings
    assert source.readings == 1


# Power


async def test_power_is_cycled_when_opening_twice_did_not_help(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub(tmp_path)
    switch = hub.port(2)
    site, hung = Site(), Instrument()
    site.add("ardu", hung, reopen_after="1m", power_cycle=str(switch))
    async with hub.switching(switch, on=lambda: hung.scripts.append([{"t": 1}])):
        await site.runs_for(448)
    assert hub.history == ["port2: 1", "port2: 0"]
    assert len(hung.openings) == 4
    assert (await site.story("ardu"))[-3:] == ["stale: nothing for 10s on /dev/nowhere", "online", "·"]
    assert f"ardu: still silent: the power of {switch.parent.name} is switched off and on" in told(caplog)


async def test_power_is_off_while_the_port_is_shut(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    switch = hub.port(2)
    site, hung = Site(), Instrument()
    site.add("ardu", hung, reopen_after="1m", power_cycle=str(switch))
    open_then: list[int] = []

    def see() -> None:
        open_then.append(hung.open)

    async with hub.switching(switch, off=see, on=see):
        await site.runs_for(460)
    assert open_then == [0, 0]


async def test_both_sides_of_a_socket_are_switched(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    other = hub.port(7)
    switch = hub.port(2, peer=7)
    site = Site()
    site.add("ardu", Instrument(), reopen_after="1m", power_cycle=str(switch))
    async with hub.switching(switch), hub.switching(other):
        await site.runs_for(460)
    assert sorted(hub.history) == ["port2: 0", "port2: 1", "port7: 0", "port7: 1"]


async def test_power_is_cycled_three_times_an_hour_at_most(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    switch = hub.port(2)
    site = Site()
    site.add("ardu", Instrument(), reopen_after="1s", stale_after="1s", power_cycle=str(switch))
    async with hub.switching(switch):
        await site.runs_for(1000)
    assert hub.history.count("port2: 1") == 3


async def test_port_that_powers_somebody_who_is_heard_keeps_its_power(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    switch = hub.port(2)
    site = Site()
    hung, busy = Instrument(), Instrument(speaking(every_s=5, times=1000))
    site.add("hung", hung, reopen_after="1m", power_cycle=str(switch))
    site.add("busy", busy, reopen_after="1m", power_cycle=str(switch), port="/dev/another")
    async with hub.switching(switch):
        await site.runs_for(2000)
    assert not hub.history
    assert 4 < len(hung.openings) < 8
    assert len(busy.openings) == 1


async def test_hub_that_cannot_switch_is_told_of_and_the_port_is_opened_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    switch = tmp_path / "1-1-port2/disable"
    site, hung = Site(), Instrument()
    site.add("ardu", hung, reopen_after="1m", power_cycle=str(switch))
    await site.runs_for(460)
    assert f"the power cannot be switched: {switch}: No such file or directory" in told(caplog)
    assert len(hung.openings) == 4
    assert not switch.exists()


async def test_stop_in_the_middle_leaves_the_power_on(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    switch = hub.port(2)
    site = Site()
    site.add("ardu", Instrument(), reopen_after="1m", power_cycle=str(switch))
    off = asyncio.Event()
    async with hub.switching(switch, off=off.set):
        running = asyncio.create_task(site.runs_for(460))
        await off.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert switch.read_text() == "0\n"


async def test_stop_in_the_middle_is_one_though_the_hub_is_gone(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    switch = hub.port(2)
    site = Site()
    site.add("ardu", Instrument(), reopen_after="1m", power_cycle=str(switch))
    off = asyncio.Event()
    async with hub.switching(switch, off=off.set):
        running = asyncio.create_task(Supervisor().run([site.recovery.child, site.sources[0].child()]))
        watching = asyncio.create_task(site.sources[0].watch())
        await off.wait()
        switch.rename(tmp_path / "gone")
        running.cancel()
        watching.cancel()
        await asyncio.wait([running], timeout=60)
        switch.write_text("")  # for `switching`, which looks at it
        assert running.cancelled()


async def test_port_that_was_left_without_power_gets_it_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    switch = Hub(tmp_path).port(2)
    switch.write_text("1\n")
    site = Site()
    site.add("ardu", Instrument([{"t": 1}]), power_cycle=str(switch))
    await site.runs_for(1)
    assert switch.read_text() == "0\n"
    assert f"{switch}: the port had been left without power; it has power again" in told(caplog)


# The waits, as numbers


def tries(escalation: Escalation, silent_since: float | None, moments: range) -> list[int]:
    tried = []
    for now in moments:
        if escalation.due(silent_since, now, first_s=60):
            escalation.tried(now)
            tried.append(now)
    return tried


def test_waits_double_up_to_a_day() -> None:
    escalation = Escalation()
    tried = tries(escalation, 0, range(0, 3_000_000, 10))
    assert tried[:5] == [60, 180, 420, 900, 1860]
    assert max(seconds_between(tried)) == DAY
    assert not tries(Escalation(tries=3), None, range(10_000))


def test_first_wait_comes_again_when_it_was_heard_for_as_long_as_the_last_one() -> None:
    escalation = Escalation()
    assert tries(escalation, 0, range(500)) == [60, 180, 420]
    tries(escalation, None, range(500, 600))  # the last wait was 240 s
    assert tries(escalation, 600, range(600, 1100)) == [600 + 480]
    tries(escalation, None, range(1100, 1600))
    assert tries(escalation, 1600, range(1600, 2000)) == [1660, 1780]


def test_never_does_not_come_however_long_it_takes() -> None:
    assert not Escalation().due(0, 1e12, first_s=inf)
