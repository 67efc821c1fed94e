"""Idleness is healthy, work that does not move is not; and whoever is stuck is named before the watchdog starves."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.health import EXTENSION_S, START_S, Health, Patience, Pulse
from gateway.systemd import ServiceManager
from tests.support.service_manager import FakeServiceManager

SHORT = Patience.within(1.0)


class Part:
    def __init__(self, name: str = "recorder") -> None:
        self.name = name
        self.waits = False
        self.moved = 0

    def pulse(self) -> Pulse:
        return Pulse(self.name, self.waits, self.moved, 30)


class Patient:
    """A gateway with these parts, looked at by hand."""

    def __init__(self, manager: FakeServiceManager, *parts: Part) -> None:
        self.heard = manager
        self.health = Health(ServiceManager(manager.address, watchdog_s=30))
        self._parts = parts

    def ready(self) -> None:
        self.health.ready(lambda: [part.pulse() for part in self._parts], lambda: "1 device")

    async def live(self, seconds: float, *, loop_turns: bool = True) -> None:
        """Looked at every three seconds."""
        for _ in range(round(seconds / 3)):
            self.health.look(asyncio.get_running_loop(), 3)
            self.heard.listen()  # its socket holds ten messages
            if loop_turns:
                await asyncio.sleep(0.1)

    def fed(self) -> bool:
        """Since this was last asked."""
        fed = "WATCHDOG=1" in self.heard.listen()
        self.heard.clear()
        return fed


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[FakeServiceManager]:
    with FakeServiceManager.listening(tmp_path / "notify") as manager:
        yield manager


def _trace(record: logging.LogRecord) -> str:
    return str(vars(record)["TRACE"])


def _stuck(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each for each in caplog.messages if ": stuck: " in each]


async def test_gateway_that_has_nothing_to_do_is_healthy(manager: FakeServiceManager) -> None:
    patient = Patient(manager, Part())
    patient.ready()
    for _ in range(10):
        await patient.live(600)
        assert patient.fed()


async def test_part_that_moves_is_healthy_however_much_waits(manager: FakeServiceManager) -> None:
    part = Part()
    patient = Patient(manager, part)
    patient.ready()
    part.waits = True
    for _ in range(10):
        await patient.live(27)
        part.moved += 1
        await patient.live(3)
        assert patient.fed()


async def test_what_waits_and_does_not_move_stops_the_feeding_and_is_named_once(
    manager: FakeServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    part = Part()
    patient = Patient(manager, part, Part("idle"))
    patient.ready()
    await patient.live(300)
    part.waits = True
    await patient.live(30)
    assert patient.fed()
    assert not _stuck(caplog)
    await patient.live(9)
    patient.fed()  # up to now
    await patient.live(60)
    heard = patient.heard.listen()
    assert "WATCHDOG=1" not in heard
    assert any(each.startswith("STATUS=stuck for ") and each.endswith(": recorder") for each in heard)
    [line] = _stuck(caplog)
    assert line.startswith("health: recorder: stuck: nothing has moved for 3")
    assert "the service manager restarts the gateway within 30 s" in line
    [stack] = [_trace(each) for each in caplog.records if each.getMessage().startswith("health: task Task-")]
    assert "in test_what_waits_and_does_not_move" in stack


async def test_part_that_goes_on_is_said_so_and_the_watchdog_is_fed_again(
    manager: FakeServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    part = Part()
    patient = Patient(manager, part)
    patient.ready()
    part.waits = True
    await patient.live(60)
    part.moved += 1
    await patient.live(6)
    assert caplog.messages[-1] == "health: recorder: goes on"
    assert patient.fed()
    assert patient.heard.listen() == []
    await patient.live(60)  # and is it sick again, that is news
    assert len(_stuck(caplog)) == 2


async def test_status_follows_the_gateway_again_after_it_was_stuck(manager: FakeServiceManager) -> None:
    part = Part()
    patient = Patient(manager, part)
    patient.ready()
    part.waits = True
    await patient.live(60)
    part.waits = False
    await patient.live(9)
    assert [each for each in manager.listen() if each.startswith("STATUS")][-1] == "STATUS=1 device"


async def test_loop_that_does_not_turn_is_named_and_nobody_else_is_blamed(
    manager: FakeServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    part = Part()
    part.waits = True
    patient = Patient(manager, part)
    patient.ready()
    await patient.live(6)
    await patient.live(15, loop_turns=False)
    assert patient.fed()
    await patient.live(60, loop_turns=False)
    [line] = _stuck(caplog)
    assert line.startswith("health: the event loop: stuck: nothing has moved for 15 s")
    await patient.live(6)
    assert [each for each in caplog.messages if each.endswith("goes on")] == [
        "health: the event loop: goes on"
    ]
    assert len(_stuck(caplog)) == 1


async def test_machine_that_stood_still_has_nobody_stuck(manager: FakeServiceManager) -> None:
    part = Part()
    part.waits = True
    patient = Patient(manager, part)
    patient.ready()
    await patient.live(3)
    patient.fed()
    patient.health.look(asyncio.get_running_loop(), 86_400)
    assert patient.fed()


async def test_start_is_extended_until_it_is_over_but_not_for_ever(manager: FakeServiceManager) -> None:
    patient = Patient(manager)
    extension = f"EXTEND_TIMEOUT_USEC={int(EXTENSION_S * 1e6)}"
    await patient.live(3)
    assert extension in manager.listen()
    await patient.live(START_S)
    manager.clear()
    await patient.live(30)
    assert extension not in manager.listen()
    patient.ready()
    manager.clear()
    await patient.live(30)
    assert extension not in manager.listen()


async def test_stop_is_extended_while_it_goes_on_and_not_beyond_its_time(manager: FakeServiceManager) -> None:
    part = Part()
    patient = Patient(manager, part)
    patient.ready()
    await patient.live(30)
    manager.clear()
    patient.health.stopping(60)
    extension = f"EXTEND_TIMEOUT_USEC={int(EXTENSION_S * 1e6)}"
    assert manager.listen() == ["STOPPING=1", "STATUS=stopping: 1 device", extension]
    manager.clear()
    await patient.live(60)
    assert manager.listen().count(extension) == 20
    manager.clear()
    await patient.live(30)
    assert extension not in manager.listen()
    assert patient.fed()


async def test_reload_is_extended_while_it_goes_on_and_at_a_stop_no_longer(
    manager: FakeServiceManager,
) -> None:
    patient = Patient(manager, Part())
    patient.ready()
    extension = f"EXTEND_TIMEOUT_USEC={int(EXTENSION_S * 1e6)}"
    for end in (patient.health.manager.ready, lambda: patient.health.stopping(60)):
        patient.health.manager.reloading()
        manager.clear()
        await patient.live(300)
        assert manager.listen().count(extension) == 100
        end()
        await patient.live(60)
        manager.clear()
        await patient.live(30)
        assert extension not in manager.listen()


async def test_reload_that_is_stuck_is_not_extended(manager: FakeServiceManager) -> None:
    part = Part()
    part.waits = True
    patient = Patient(manager, part)
    patient.ready()
    patient.health.manager.reloading()
    await patient.live(60)
    manager.clear()
    await patient.live(30)
    assert not [each for each in manager.listen() if each.startswith(("EXTEND", "WATCHDOG"))]


async def test_stop_that_is_stuck_is_not_extended(manager: FakeServiceManager) -> None:
    part = Part()
    part.waits = True
    patient = Patient(manager, part)
    patient.ready()
    patient.health.stopping(600)
    await patient.live(60)
    manager.clear()
    await patient.live(30)
    assert not [each for each in manager.listen() if each.startswith(("EXTEND", "WATCHDOG"))]


def test_patience_goes_with_the_watchdog_of_the_unit() -> None:
    whole, half = Health(ServiceManager("/n", watchdog_s=30)), Health(ServiceManager("/n", watchdog_s=15))
    assert whole.patience == Health().patience == Patience()
    assert half.patience.disk_s == Patience().disk_s / 2
    # It is fed several times while it has patience, and what is stuck is said before it is over.
    assert 5 * whole.patience.look_s <= 30
    assert whole.patience.loop_s <= 15


async def test_parts_that_cannot_be_looked_at_are_named_and_not_the_loop_which_turns(
    manager: FakeServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    part, parts = Part(), Patient(manager)
    broken = [False]

    def pulses() -> Iterator[Pulse]:
        yield part.pulse()
        if broken[0]:
            raise ZeroDivisionError("in the vitals")

    parts.health.ready(pulses, lambda: "1 device")
    await parts.live(60)
    broken[0] = True
    await parts.live(60)
    assert _stuck(caplog)[0].startswith("health: the look at all parts: stuck: nothing has moved for 15 s")
    assert len(_stuck(caplog)) == 1
    assert any(each.exc_info and each.exc_info[0] is ZeroDivisionError for each in caplog.records)
    assert parts.heard.listen()[-1].startswith("STATUS=stuck for ")
    broken[0] = False
    manager.clear()
    await parts.live(60)
    assert caplog.messages[-1] == "health: the look at all parts: goes on"
    assert parts.fed()


# In real time: with threads and loops that are really stuck.


@contextmanager
def _alive(health: Health, *pulses: Pulse) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in a thread of its own, watched."""
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        over = asyncio.Event()
        with health.watched():
            health.ready(lambda: pulses, lambda: "1 device")
            begun.set_result((asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=[live()], name="loop")
    thread.start()
    loop, over = begun.result(30)
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


@contextmanager
def _gate() -> Iterator[threading.Event]:
    """Shut; open at the end whatever happens."""
    gate = threading.Event()
    try:
        yield gate
    finally:
        gate.set()


@pytest.mark.real_time
def test_wedged_loop_is_found_with_the_place_where_it_is(
    manager: FakeServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    health = Health(ServiceManager(manager.address, watchdog_s=1), SHORT)
    with _alive(health) as loop, _gate() as gate:

        def a_driver_that_waits_for_its_instrument() -> None:
            gate.wait()

        manager.wait_for("WATCHDOG=1", times=3)
        loop.call_soon_threadsafe(a_driver_that_waits_for_its_instrument)
        manager.wait_for("STATUS=stuck")
        manager.clear()
        [thread] = [each for each in caplog.records if each.getMessage() == "health: thread loop:"]
        assert "a_driver_that_waits_for_its_instrument" in _trace(thread)
        assert any(
            each.getMessage().startswith("health: task ") and "live" in _trace(each)
            for each in caplog.records
        )
        manager.wait_for("STATUS=stuck")
        assert "WATCHDOG=1" not in manager.heard
        gate.set()
        manager.wait_for("WATCHDOG=1")


@pytest.mark.real_time
def test_thread_of_the_disk_that_does_not_come_back_is_found_while_the_loop_turns(
    manager: FakeServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    health = Health(ServiceManager(manager.address, watchdog_s=1), SHORT)
    stuck = Pulse("journal: the disk", 1, 17, SHORT.disk_s)
    with ThreadPoolExecutor(1, thread_name_prefix="journal") as disk, _gate() as gate, _alive(health, stuck):
        disk.submit(gate.wait)
        manager.wait_for("STATUS=stuck")
        [thread] = [each for each in caplog.records if each.getMessage() == "health: thread journal_0:"]
        assert "in Event.wait" in _trace(thread)


@pytest.mark.real_time
async def test_without_a_watchdog_what_is_stuck_is_said_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    health = Health(patience=SHORT)
    with health.watched():
        health.ready(lambda: [Pulse("recorder", 1, 1, SHORT.mailbox_s)], lambda: "")
        async with asyncio.timeout(30):
            while not _stuck(caplog):
                await asyncio.sleep(0.01)
    assert "restart the gateway." in _stuck(caplog)[0]
