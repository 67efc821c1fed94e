import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import pytest

from gateway.errors import LinkAbsent, LinkDenied, LinkLost, Unreachable
from gateway.logs import MessageId, about
from gateway.model import Presence
from gateway.pacing.backoff import Backoff
from gateway.supervisor import STABLE_S, Child, Report, Supervisor
from tests.support.logged import fields


def _whole_delay(_low: float, high: float) -> float:
    return high


def _child(
    run: Callable[[Report], Awaitable[None]], *, cap_s: float = 8, changes: list[str] | None = None
) -> Child:
    async def changed(presence: Presence, reason: str) -> None:
        if changes is not None:
            changes.append(f"{presence}: {reason}" if reason else presence)

    return Child(
        name="boiler", run=run, restart=Backoff(first_s=1, cap_s=cap_s, draw=_whole_delay), changed=changed
    )


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield


async def _run_for(seconds: float, *children: Child) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await Supervisor().run(children)


async def test_child_that_fails_is_run_again_with_growing_pauses() -> None:
    attempts: list[float] = []

    async def run(_report: Report) -> None:
        attempts.append(round(asyncio.get_running_loop().time()))
        raise LinkAbsent("/dev/ttyUSB0: no such device")

    await _run_for(30, _child(run))
    assert attempts == [0, 1, 3, 7, 15, 23]


async def test_it_never_gives_up() -> None:
    attempts = 0

    async def run(_report: Report) -> None:
        nonlocal attempts
        attempts += 1
        raise LinkAbsent("/dev/ttyUSB0: no such device")

    await _run_for(30 * 86_400, _child(run, cap_s=3600))
    assert attempts >= 30 * 24


async def test_log_reads_one_line_down_one_line_up(caplog: pytest.LogCaptureFixture) -> None:
    plugged = [True, False, False, False, True]

    async def run(report: Report) -> None:
        if not plugged.pop(0):
            raise LinkAbsent("/dev/ttyUSB0: no such device")
        await report.online()
        await asyncio.sleep(100 if plugged else 1e9)
        raise LinkLost("/dev/ttyUSB0: unplugged or hung up")

    await _run_for(1000, _child(run))
    assert _lines(caplog) == [
        "boiler: online",
        "boiler: offline: /dev/ttyUSB0: unplugged or hung up",
        "boiler: online again after 15 s",
    ]


async def test_child_that_was_never_up_is_down_once(caplog: pytest.LogCaptureFixture) -> None:
    async def run(_report: Report) -> None:
        raise LinkAbsent("/dev/ttyUSB0: no such device")

    await _run_for(1000, _child(run))
    assert _lines(caplog) == ["boiler: offline: /dev/ttyUSB0: no such device"]


async def test_every_change_of_state_or_reason_is_passed_on_once() -> None:
    changes: list[str] = []
    failures = ["no such device", "no such device", "permission denied"]

    async def run(report: Report) -> None:
        if failures:
            raise LinkAbsent(failures.pop(0))
        await report.waiting("open, no reading yet")
        await report.online()
        await report.online()
        await report.stale("nothing for 5 s")
        await report.online()
        await asyncio.sleep(1e9)

    await _run_for(100, _child(run, changes=changes))
    assert changes == [
        "offline: starting",
        "offline: no such device",
        "offline: permission denied",
        "offline: open, no reading yet",
        "online",
        "stale: nothing for 5 s",
        "online",
    ]


async def test_stable_while_earns_a_fresh_backoff() -> None:
    starts: list[float] = []
    good_for = iter([0, 0, 0, STABLE_S, 0, 0])

    async def run(report: Report) -> None:
        starts.append(round(asyncio.get_running_loop().time()))
        await report.online()
        await asyncio.sleep(next(good_for, 1e9))
        raise LinkLost("gone")

    await _run_for(1000, _child(run))
    assert starts == [0, 1, 3, 7, 68, 70, 74]


async def test_child_that_opens_and_fails_at_once_does_not_spin() -> None:
    attempts = 0

    async def run(report: Report) -> None:
        nonlocal attempts
        attempts += 1
        await report.online()
        raise LinkLost("gone")

    await _run_for(800, _child(run))
    assert attempts <= 5 + 800 / 8


async def test_one_bad_child_costs_only_that_child() -> None:
    ticks = 0

    async def good(report: Report) -> None:
        nonlocal ticks
        await report.online()
        while True:
            await asyncio.sleep(1)
            ticks += 1

    async def bad(_report: Report) -> None:
        raise ZeroDivisionError

    await _run_for(100.5, _child(good), _child(bad))
    assert ticks == 100


async def test_bug_is_reported_once_with_its_traceback_and_the_child_restarted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts = 0

    async def run(_report: Report) -> None:
        nonlocal attempts
        attempts += 1
        raise ZeroDivisionError("in the decoder")

    await _run_for(100, _child(run))
    assert attempts > 10
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "boiler: a bug, please report it"
    ]
    assert _lines(caplog)[1:] == ["boiler: offline: internal error: ZeroDivisionError('in the decoder')"]


async def test_lines_of_a_child_have_its_fields_and_say_what_has_happened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run(report: Report) -> None:
        await report.online()
        await report.stale("nothing for 5 s")
        await report.online()
        raise ZeroDivisionError

    news = {Presence.ONLINE: MessageId.DEVICE_ONLINE, Presence.STALE: MessageId.DEVICE_STALE}
    await _run_for(0.5, replace(_child(run), fields=about(device="boiler", port="/dev/a"), news=news))
    whose = {"DEVICE": "boiler", "PORT": "/dev/a"}
    for text, message_id in {
        "boiler: online again": MessageId.DEVICE_ONLINE,
        "nothing for 5 s": MessageId.DEVICE_STALE,
        "a bug": MessageId.BUG,
    }.items():
        assert fields(caplog.records, text) == {"MESSAGE_ID": message_id, **whose}
    assert fields(caplog.records, "boiler: offline") == whose


async def test_of_a_group_of_errors_a_bug_is_named_before_a_lost_link(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def run(_report: Report) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(Unreachable("connection reset")))
            group.create_task(fail(KeyError("seq")))

    await _run_for(1, _child(run))
    assert "boiler: offline: internal error: KeyError('seq')" in _lines(caplog)


async def test_of_a_group_of_lost_links_the_first_gives_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def run(_report: Report) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(Unreachable("connection reset")))
            await asyncio.sleep(1)

    await _run_for(1, _child(run))
    assert _lines(caplog) == ["boiler: offline: connection reset"]


async def test_child_that_returns_is_done() -> None:
    runs = 0

    async def run(_report: Report) -> None:
        nonlocal runs
        runs += 1

    await Supervisor().run([_child(run)])
    assert runs == 1


async def test_haste_cuts_pauses_short() -> None:
    attempts: list[float] = []

    async def run(_report: Report) -> None:
        attempts.append(round(asyncio.get_running_loop().time(), 1))
        raise LinkAbsent("no such device")

    supervisor = Supervisor()
    running = asyncio.ensure_future(supervisor.run([_child(run, cap_s=1000)]))
    await asyncio.sleep(100)
    supervisor.hasten()
    await asyncio.sleep(1.2)
    running.cancel()
    await asyncio.wait([running])
    assert attempts == [0, 1, 3, 7, 15, 31, 63, 100, 100.5, 101]


async def test_cancelled_supervisor_cancels_its_children_and_waits_for_them() -> None:
    closed = False

    async def run(_report: Report) -> None:
        nonlocal closed
        try:
            await asyncio.sleep(1e9)
        finally:
            await asyncio.sleep(3)
            closed = True

    await _run_for(10, _child(run))
    assert closed


async def test_child_whose_cleanup_fails_while_it_is_cancelled_is_not_run_again() -> None:
    runs = 0

    async def run(_report: Report) -> None:
        nonlocal runs
        runs += 1
        try:
            await asyncio.sleep(1e9)
        finally:
            raise ZeroDivisionError

    await _run_for(10, _child(run))
    assert runs == 1


async def test_backoff_is_fresh_for_a_device_that_was_stable_and_fell_silent_before_it_was_lost() -> None:
    starts: list[float] = []

    async def run(report: Report) -> None:
        starts.append(round(asyncio.get_running_loop().time()))
        if len(starts) == 4:
            await report.online()
            await asyncio.sleep(STABLE_S)
            await report.stale("nothing for 5 s")
            await asyncio.sleep(3)
        raise LinkLost("gone")

    await _run_for(80, _child(run))
    assert starts == [0, 1, 3, 7, 71, 73, 77]


async def test_reason_that_only_a_person_can_remove_is_logged_though_it_was_down_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = [LinkLost("unplugged"), LinkAbsent("no such device"), *[LinkDenied("permission denied")] * 3]

    async def run(report: Report) -> None:
        if failures:
            raise failures.pop(0)
        await report.online()
        await asyncio.sleep(1e9)

    await _run_for(100, _child(run))
    assert _lines(caplog)[:2] == ["boiler: offline: unplugged", "boiler: offline: permission denied"]
    assert len(_lines(caplog)) == 3


async def test_bug_whose_message_varies_is_still_one_bug(caplog: pytest.LogCaptureFixture) -> None:
    attempts = 0

    async def run(_report: Report) -> None:
        nonlocal attempts
        attempts += 1
        raise ValueError(attempts)

    await _run_for(100, _child(run))
    assert attempts > 10
    assert sum(bool(record.exc_info) for record in caplog.records) == 1


async def test_chance_ends_the_pause_and_earns_a_fresh_backoff() -> None:
    attempts: list[float] = []
    plugged_in = asyncio.Event()

    async def run(_report: Report) -> None:
        attempts.append(round(asyncio.get_running_loop().time()))
        plugged_in.clear()
        raise LinkAbsent("/dev/ttyUSB0: no such device")

    async def plug_in() -> None:
        await asyncio.sleep(10)
        plugged_in.set()
        await asyncio.Event().wait()

    async def chance() -> bool:
        return await plugged_in.wait()

    plugging = asyncio.create_task(plug_in())
    await _run_for(19, replace(_child(run, cap_s=3600), chance=chance))
    plugging.cancel()
    await asyncio.wait([plugging])
    assert attempts == [0, 1, 3, 7, 10, 11, 13, 17]


async def _cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


async def _waits_for_what_is_cancelled() -> None:
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone


@pytest.mark.parametrize("end", [_cancels_itself, _waits_for_what_is_cancelled])
async def test_child_that_cancels_itself_has_failed_and_is_run_again(
    end: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[float] = []

    async def run(_report: Report) -> None:
        attempts.append(round(asyncio.get_running_loop().time()))
        await end()

    await _run_for(10, _child(run))
    assert attempts == [0, 1, 3, 7]
    assert _lines(caplog) == [
        "boiler: a bug, please report it",
        "boiler: offline: internal error: CancelledError()",
    ]


async def test_child_that_cancelled_itself_ends_with_its_supervisor() -> None:
    runs = 0

    async def run(_report: Report) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            await _cancels_itself()
        await asyncio.sleep(1e9)

    await _run_for(10, _child(run))
    assert runs == 2


class _BeyondRepair(BaseException):
    pass


async def test_what_is_no_exception_ends_all_children_and_none_of_them_is_run_again() -> None:
    runs = 0

    async def good(_report: Report) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(1e9)

    async def bad(_report: Report) -> None:
        await asyncio.sleep(1)
        raise _BeyondRepair

    with pytest.raises(BaseExceptionGroup) as caught:
        async with asyncio.timeout(100):
            await Supervisor().run([_child(good), _child(bad)])
    assert caught.group_contains(_BeyondRepair)
    assert runs == 1


async def test_chance_that_fails_is_reported_once_and_the_pauses_are_as_without_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts: list[float] = []

    async def run(_report: Report) -> None:
        attempts.append(round(asyncio.get_running_loop().time()))
        raise LinkAbsent("/dev/ttyUSB0: no such device")

    async def chance() -> bool:
        await asyncio.sleep(0.5)
        raise OSError("the folder cannot be looked at")

    await _run_for(10, replace(_child(run), chance=chance))
    assert attempts == [0, 1, 3, 7]
    assert _lines(caplog) == [
        "boiler: offline: /dev/ttyUSB0: no such device",
        "boiler: a bug, please report it",
    ]
