"""Who is stuck and who only waits: each part at work, looked at every three seconds of its own time."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event as Gate
from typing import NoReturn

import pytest

from drivers.driver import Device, Driver, DriverOptions
from gateway import vitals
from gateway.bus import EventBus, Overflow
from gateway.config import Config
from gateway.errors import Deferred, LinkAbsent
from gateway.health import Health, Patience, Pulse
from gateway.journal.record import Entry
from gateway.model import Clock, Reading, Stamp
from gateway.pacing.backoff import Backoff
from gateway.publish.forwarder import Forwarder, Route
from gateway.publish.noticeboard import Noticeboard
from gateway.publish.publisher import Answer, Message, Publisher
from gateway.publish.topics import Topics
from gateway.recovery import Recovery
from gateway.reloading import Change, Reloading
from gateway.remembrance import Remembrance
from gateway.source import Source
from gateway.supervisor import Child, Supervisor
from gateway.systemd import ServiceManager
from tests.support.journals import files_end_at, fill, opened
from tests.support.memory_broker import MemoryBroker
from tests.support.memory_journal import MemoryJournal
from tests.support.scripted_driver import Instrument, loop_clock

PATIENCE = Patience()
ACK_TIMEOUT_S = 20.0


async def _stuck(pulses: Callable[[], Iterable[Pulse]], seconds: float) -> set[str]:
    """Who was, at any look."""
    found: set[str] = set()
    health = Health()
    health.ready(pulses, str)
    for _ in range(round(seconds / PATIENCE.look_s)):
        health.look(asyncio.get_running_loop(), PATIENCE.look_s)
        found |= health.stuck.keys()
        await asyncio.sleep(PATIENCE.look_s)
    return found


def _reading(seq: int = 0) -> Reading:
    return Reading(at=Stamp(0, 0.0), device="boiler", values={"n": seq}, seq=seq)


# Readers of the bus.


async def test_reader_that_waits_for_mail_is_well_and_one_that_does_not_come_back_is_stuck() -> None:
    bus = EventBus()
    idle = bus.subscribe(Reading, name="idle", capacity=64, overflow=Overflow.WAIT)
    wedged = bus.subscribe(Reading, name="wedged", capacity=64, overflow=Overflow.WAIT)

    async def read_all() -> None:
        async for _ in idle:
            pass

    async def never_come_back() -> None:
        async for _ in wedged.batches():
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        reading = [group.create_task(read_all()), group.create_task(never_come_back())]
        assert await _stuck(lambda: vitals.of_mailboxes(bus, PATIENCE), 300) == set()
        await bus.publish(_reading())  # taken by both: the mailbox of the one that is stuck is empty
        assert await _stuck(lambda: vitals.of_mailboxes(bus, PATIENCE), 300) == {"reader of the bus: wedged"}
        for each in reading:
            each.cancel()


async def test_reader_that_is_behind_but_gets_on_is_well() -> None:
    bus = EventBus()
    slow = bus.subscribe(Reading, name="slow", capacity=64, overflow=Overflow.WAIT)
    for seq in range(50):
        bus.put(_reading(seq))

    async def read_slowly() -> None:
        async for _ in slow:
            await asyncio.sleep(PATIENCE.mailbox_s - 2 * PATIENCE.look_s)

    reading = asyncio.create_task(read_slowly())
    assert await _stuck(lambda: vitals.of_mailboxes(bus, PATIENCE), 600) == set()
    assert slow.busy
    reading.cancel()


async def test_reader_that_may_lose_mail_may_take_its_time() -> None:
    bus = EventBus()
    bus.subscribe(Reading, name="live", capacity=64, overflow=Overflow.DROP_OLDEST)
    bus.put(_reading())
    assert await _stuck(lambda: vitals.of_mailboxes(bus, PATIENCE), 600) == set()


# Disks.


def _no_rules(folder: Path) -> Remembrance:
    return Remembrance(folder / "rules.json", "boot", loop_clock, dict)


async def test_disk_that_is_full_is_well(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal.db") as journal:
        remembrance = _no_rules(tmp_path)
        with files_end_at(0):
            await fill(journal, 100)
            remembrance.note(weighty=True)
            running = asyncio.create_task(remembrance.run())
            assert await _stuck(lambda: vitals.of_disks(journal, remembrance, PATIENCE), 600) == set()
            assert journal.trouble
            assert remembrance.writes > 1
            assert not remembrance.writing
        running.cancel()
        await asyncio.wait([running])
        await remembrance.close()


@pytest.mark.real_time
async def test_disk_that_does_not_answer_is_stuck_until_it_does(tmp_path: Path) -> None:
    pulses: list[Pulse] = []

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)
                pulses[:] = vitals.of_disks(journal, remembrance, PATIENCE)

    async with opened(tmp_path / "journal.db") as journal:
        remembrance = _no_rules(tmp_path)
        await until(lambda: bool(pulses) and not pulses[0].waits)
        gate = Gate()
        journal._disk.submit(gate.wait)
        remembrance._disk.submit(gate.wait)
        try:
            await fill(journal, 100)
            writing = asyncio.create_task(remembrance.write())
            await until(lambda: bool(pulses[0].waits and pulses[1].waits))
            before = [each.moved for each in pulses]
        finally:
            gate.set()
        await writing
        await until(lambda: not pulses[0].waits and not pulses[1].waits)
        assert all(now.moved != then for now, then in zip(pulses, before, strict=True))
        await remembrance.close()


async def test_files_that_are_saved_have_the_time_that_takes(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal.db") as journal:
        remembrance = _no_rules(tmp_path)
        journal.reopening = True
        disk, _ = vitals.of_disks(journal, remembrance, PATIENCE)
        assert disk.patience_s == PATIENCE.long_s
        await remembrance.close()


# Forwarders.


class _Broker(MemoryBroker):
    """Answers each message with what its `mood` says."""

    mood = "taken"

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["_Session"]:  # type: ignore[override]
        self.connections += 1
        yield _Session(self)


class _Session:
    window = 20
    maximum_packet_size = None

    def __init__(self, broker: _Broker) -> None:
        self._broker = broker

    def publish(self, _message: Message, answer: Answer) -> None:
        error = Deferred("memory: quota exceeded") if self._broker.mood == "deferred" else None
        asyncio.get_running_loop().call_later(0.01, answer, error)

    async def ended(self) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError


@asynccontextmanager
async def _forwarding(publisher: Publisher) -> AsyncIterator[tuple[Forwarder, MemoryJournal]]:
    journal = MemoryJournal("mqtt")
    topics = Topics(prefix="p", gateway="g")
    route = Route(publisher=publisher, topics=topics, last_words=list, ack_timeout_s=ACK_TIMEOUT_S)
    forwarder = Forwarder(journal, Noticeboard(), name="mqtt", route=route)
    child = Child(name="broker", run=forwarder.run, restart=Backoff(first_s=0.5, cap_s=30))
    running = asyncio.create_task(Supervisor().run([child]))
    try:
        yield forwarder, journal
    finally:
        running.cancel()
        await asyncio.wait([running])


async def _read(journal: MemoryJournal, count: int) -> None:
    await journal.append([Entry("boiler", seq, b'{"n":1}') for seq in range(1, count + 1)])


@pytest.mark.parametrize("trouble", ["away", "silent", "deferring"])
async def test_forwarder_whose_broker_is_the_one_that_does_not_move_is_well(trouble: str) -> None:
    broker = _Broker() if trouble == "deferring" else MemoryBroker()
    async with _forwarding(broker) as (forwarder, journal):
        await asyncio.sleep(1)
        broker.acknowledges = trouble != "silent"
        if trouble == "away":
            broker.go_offline()
        if isinstance(broker, _Broker):
            broker.mood = "deferred"
        await _read(journal, 1000)

        def pulses() -> list[Pulse]:
            return [vitals.of_forwarder("main", forwarder, journal, PATIENCE)]

        assert await _stuck(pulses, 3600) == set()
        assert forwarder.waiting


async def test_forwarder_that_sends_nothing_of_what_waits_though_it_could_is_stuck() -> None:
    broker = MemoryBroker()
    async with _forwarding(broker) as (forwarder, journal):
        await asyncio.sleep(1)

        def pulses() -> list[Pulse]:
            return [vitals.of_forwarder("main", forwarder, journal, PATIENCE)]

        assert await _stuck(pulses, 600) == set()  # connected, and nothing to do
        window = forwarder._window
        assert window is not None
        window._room = 0  # a place that is never given back: such a bug was there once
        await _read(journal, 10)
        assert await _stuck(pulses, 600) == {"forwarder: main"}
        journal.trouble = "the disk refuses"
        assert await _stuck(pulses, 600) == set()


# Ports.


def _source(name: str, driver: Driver, port: str, **given: str) -> Source:
    table = {"driver": "scripted", "port": port, "retry_max": "5s", **given}
    options = DriverOptions.model_validate(table)
    return Source(name, driver, options, EventBus(), loop_clock)


async def test_port_that_is_not_there_or_has_nothing_to_say_is_well() -> None:
    absent = Instrument(*[LinkAbsent("not there")] * 10_000)
    sources = [
        _source("absent", absent.driver(), "/dev/a"),
        _source("silent", Instrument().driver(), "/dev/b"),
    ]
    running = asyncio.create_task(Supervisor().run([each.child() for each in sources]))
    assert await _stuck(lambda: vitals.of_ports(sources, PATIENCE), 3600) == set()
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize("turn_s", [10, 3600])
async def test_devices_on_one_port_wait_for_each_other_and_not_for_ever(turn_s: float) -> None:
    line = asyncio.Lock()

    @asynccontextmanager
    async def take_turns(_name: str, _options: DriverOptions, _clock: Clock) -> AsyncIterator[Device]:
        async with line:
            await asyncio.sleep(turn_s)
        raise LinkAbsent("no answer")
        yield

    driver = Driver(summary="", options=DriverOptions, decoder=_no_decoder, open=take_turns)
    sources = [_source(f"meter{n}", driver, "tcp://bus:4001") for n in range(40)]
    running = asyncio.create_task(Supervisor().run([each.child() for each in sources]))
    stuck = await _stuck(lambda: vitals.of_ports(sources, PATIENCE), 1200)
    assert len(stuck) == (0 if turn_s == 10 else 40)
    running.cancel()
    await asyncio.wait([running])


async def test_recovery_is_well_while_it_helps_and_stuck_when_a_port_does_not_shut() -> None:
    shuts = [True]

    @asynccontextmanager
    async def open_device(name: str, options: DriverOptions, clock: Clock) -> AsyncIterator[Device]:
        async with silent.open(name, options, clock) as device:
            yield device
        if not shuts[0]:
            await asyncio.sleep(3600)

    silent = Instrument().driver()
    driver = Driver(summary="", options=DriverOptions, decoder=_no_decoder, open=open_device)
    source = _source("silent", driver, "/dev/a", stale_after="10s")
    recovery = Recovery([source])
    running = asyncio.create_task(Supervisor().run([source.child(), recovery.child]))
    watching = asyncio.create_task(source.watch())

    def pulses() -> list[Pulse]:
        return [vitals.of_recovery(recovery, PATIENCE)]

    assert await _stuck(pulses, 600) == set()
    shuts[0] = False
    assert await _stuck(pulses, 2400) == {"recovery: closing /dev/a"}
    running.cancel()
    watching.cancel()
    await asyncio.wait([running, watching])


def _no_decoder(_options: object) -> NoReturn:
    raise NotImplementedError


# Reloads.


@pytest.mark.real_time
async def test_reload_whose_file_does_not_come_is_stuck_until_it_does(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    os.mkfifo(file)  # read like a file on a server that is away

    async def carry_out(change: Change) -> None:
        raise AssertionError(change)

    def current() -> Config:
        raise AssertionError

    async def until_waits(waits: bool) -> object:
        async with asyncio.timeout(30):
            while (pulse := vitals.of_reloads(reloading, PATIENCE)).waits is not waits:
                await asyncio.sleep(0.01)
        return pulse.moved

    reloading, signalled = Reloading(file, current, carry_out, ServiceManager()), asyncio.Event()
    running = asyncio.create_task(reloading.run(signalled))
    before = await until_waits(False)
    signalled.set()
    assert await until_waits(True) == before
    await asyncio.to_thread(file.write_text, "rubbish")
    assert await until_waits(False) != before
    running.cancel()
    await asyncio.wait([running])


def test_document_says_how_patient_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs/watchdog.md").read_text()
    table = text[text.index("| stuck is |") : text.index("The log then says")]
    told = [line.split("|")[3].strip() for line in table.splitlines()[2:] if line]
    long, hand = PATIENCE.long_s / 60, PATIENCE.hand_s / 60
    notice = hand + vitals.LONGEST_ATTEMPT_S / 60
    assert told == [
        f"{PATIENCE.loop_s:g} s",
        f"{PATIENCE.loop_s:g} s",
        f"{PATIENCE.mailbox_s:g} s",
        f"`ack_timeout` and {PATIENCE.forwarder_s:g} s",
        f"{PATIENCE.disk_s:g} s ({long:g} min while a damaged journal is saved)",
        f"{hand:g} min",
        f"{hand:g} min",
        f"{notice:g} min",
        f"{long:g} min",
    ]
