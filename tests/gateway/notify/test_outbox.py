import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from gateway.errors import Declined, Undelivered
from gateway.model import Presence, Stamp
from gateway.notify.grouping import Grouping, Rhythm
from gateway.notify.notice import Notice
from gateway.notify.outbox import MOST_BUGS, Outbox, Patience
from gateway.pacing.backoff import Backoff
from gateway.supervisor import Child, Report, Supervisor
from tests.gateway.notify.alerts import MORNING_NS, RESOLVED, alert
from tests.support.logged import fields

DAY_S = 86_400.0


def clock() -> Stamp:
    now = asyncio.get_running_loop().time()
    return Stamp(MORNING_NS + int(now * 10**9), now)


class Phone:
    """Somebody who takes notices, or does not, on virtual time."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, Notice]] = []
        self.attempts: list[float] = []
        self.mood: Callable[[Notice], Awaitable[None]] | None = None

    async def send(self, notice: Notice) -> None:
        now = asyncio.get_running_loop().time()
        self.attempts.append(now)
        if self.mood is not None:
            await self.mood(notice)
        self.heard.append((now, notice))

    @property
    def devices(self) -> list[str]:
        return [notice.alerts[0].device for _, notice in self.heard]

    async def away(self, _notice: Notice) -> None:
        raise Undelivered("no line")


def outbox(phone: Phone, **patience: float) -> Outbox:
    grouping = Grouping(
        Rhythm(by=("device",), wait_s=0.0, interval_s=300.0, repeat_s=4 * 3600.0), gateway="g"
    )
    return Outbox("oncall", phone, grouping, clock=clock, patience=Patience(**patience))  # type: ignore[arg-type]


@asynccontextmanager
async def running(box: Outbox) -> AsyncIterator[list[tuple[Presence, str]]]:
    """Under a supervisor; what it reports."""
    said: list[tuple[Presence, str]] = []

    async def changed(presence: Presence, reason: str) -> None:
        said.append((presence, reason))

    child = Child(name="notify oncall", run=box.run, restart=Backoff(first_s=1, cap_s=1), changed=changed)
    task = asyncio.create_task(Supervisor().run([child]))
    try:
        yield said
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_alert_is_told_and_counted() -> None:
    phone = Phone()
    box = outbox(phone)
    async with running(box) as said:
        box.take(alert("a"))
        await asyncio.sleep(1)
        assert phone.devices == ["a"]
        assert box.counters() == {
            "firing": 1, "waiting": 0, "delivered": 1, "failed": 0, "given_up": 0, "forced_out": 0
        }  # fmt: skip
    assert said[-1] == (Presence.ONLINE, "")


async def test_each_notice_arrives_once_and_in_order_when_the_receiver_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    phone = Phone()
    phone.mood = phone.away
    box = outbox(phone)
    caplog.set_level(logging.INFO)
    async with running(box) as said:
        for name in "abc":
            box.take(alert(name))
            await asyncio.sleep(200)
        box.take(alert("a", RESOLVED))
        await asyncio.sleep(600)
        assert (phone.heard, box.waiting) == ([], 4)
        assert said[-1] == (Presence.OFFLINE, "no line")
        phone.mood = None
        await asyncio.sleep(400)
        assert phone.devices == ["a", "b", "c", "a"]
        assert [notice.state for _, notice in phone.heard] == ["firing", "firing", "firing", "resolved"]
        assert said[-1] == (Presence.ONLINE, "")
        assert (box.waiting, box.delivered) == (0, 4)
    ours = [each.message for each in caplog.records if each.name.startswith("gateway")]
    assert len(ours) == 2
    assert ours[0] == "notify oncall: offline: no line"
    assert ours[1].startswith("notify oncall: online again after ")


async def test_taking_an_alert_waits_for_nobody_while_the_receiver_hangs() -> None:
    phone = Phone()

    async def hang(_notice: Notice) -> None:
        await asyncio.sleep(DAY_S)

    phone.mood = hang
    box = outbox(phone)
    async with running(box):
        before = asyncio.get_running_loop().time()
        for number in range(100):
            box.take(alert(str(number)))
        assert asyncio.get_running_loop().time() == before
        await asyncio.sleep(1)
        assert box.waiting == 100


async def test_attempts_come_less_often_the_longer_it_fails() -> None:
    phone = Phone()
    phone.mood = phone.away
    box = outbox(phone, retry_max_s=300.0, rest_s=30.0)
    async with running(box):
        box.take(alert("a"))
        await asyncio.sleep(DAY_S / 2)
    # The breaker keeps them 30 s apart after the first five, whatever the backoff has drawn.
    gaps = [later - sooner for sooner, later in zip(phone.attempts[4:], phone.attempts[5:], strict=False)]
    assert min(gaps) >= 30
    assert max(gaps) <= 301
    assert box.failed == len(phone.attempts)


async def test_no_pause_is_longer_than_the_longest_that_was_asked_for() -> None:
    phone = Phone()
    phone.mood = phone.away
    box = outbox(phone, retry_max_s=2.0, per_minute=6000)
    async with running(box):
        box.take(alert("a"))
        await asyncio.sleep(300)
    gaps = [later - sooner for sooner, later in zip(phone.attempts, phone.attempts[1:], strict=False)]
    assert max(gaps) <= 2.1


async def test_success_forgives_what_was_before() -> None:
    phone = Phone()
    phone.mood = phone.away
    box = outbox(phone)
    async with running(box):
        box.take(alert("a"))
        await asyncio.sleep(DAY_S / 2)
        phone.mood = None
        await asyncio.sleep(600)
        assert box.delivered == 1

        async def busy(_notice: Notice) -> None:
            phone.mood = None
            raise Undelivered("just now not")

        phone.mood = busy
        box.take(alert("b"))
        await asyncio.sleep(1.1)
        assert phone.devices == ["a", "b"]


async def test_receiver_that_asks_for_a_pause_gets_it() -> None:
    phone = Phone()

    async def busy(_notice: Notice) -> None:
        phone.mood = None
        raise Undelivered("429 Too Many Requests", after_s=3600)

    phone.mood = busy
    box = outbox(phone)
    async with running(box):
        box.take(alert("a"))
        await asyncio.sleep(3599)
        assert len(phone.attempts) == 1
        await asyncio.sleep(2)
        assert phone.devices == ["a"]


async def test_declined_notice_gives_way_to_the_next_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    phone = Phone()

    async def choosy(notice: Notice) -> None:
        if notice.alerts[0].device == "a":
            raise Declined("400 Bad Request")

    phone.mood = choosy
    box = outbox(phone)
    async with running(box):
        box.take(alert("a"))
        box.take(alert("b"))
        await asyncio.sleep(10)
        assert phone.devices == ["b"]
        assert (box.given_up, box.delivered, box.waiting) == (1, 1, 0)
        assert [*box.reasons] == ["g: warning: hot, a: 400 Bad Request"]
    assert "oncall: not told: g: warning: hot, a: 400 Bad Request" in caplog.messages
    assert fields(caplog.records, "400 Bad Request") == {"RECEIVER": "oncall"}


async def test_rate_limit_is_kept() -> None:
    phone = Phone()
    box = outbox(phone, per_minute=6)
    async with running(box):
        for number in range(65):
            box.take(alert(str(number)))
        await asyncio.sleep(600)
        assert len(phone.heard) == pytest.approx(5 + 60, abs=1)
        assert sum(moment < 60 for moment, _ in phone.heard) <= 5 + 6
    assert box.waiting <= 1


async def test_store_is_bounded_and_the_oldest_that_waits_gives_way(caplog: pytest.LogCaptureFixture) -> None:
    phone = Phone()
    phone.mood = phone.away
    box = outbox(phone, most_waiting=5)
    async with running(box):
        for number in range(8):
            box.take(alert(str(number)))
            await asyncio.sleep(0.001)
        assert (box.waiting, box.forced_out) == (5, 3)
        phone.mood = None
        await asyncio.sleep(60)
        # "0" was in hand when the others gave way.
        assert phone.devices == ["0", "4", "5", "6", "7"]
    assert "oncall: not told: g: warning: hot, 1: more than 5 are waiting" in caplog.messages


async def test_notice_that_nobody_takes_for_too_long_is_given_up_and_what_still_fires_is_told() -> None:
    phone = Phone()
    phone.mood = phone.away
    box = outbox(phone, give_up_after_s=3600)
    async with running(box):
        box.take(alert("a"))
        await asyncio.sleep(5000)
        assert (box.given_up, box.waiting) == (1, 0)
        assert box.reasons[0].endswith(": no line")
        phone.mood = None
        await asyncio.sleep(4 * 3600)
        assert [notice.repeat for _, notice in phone.heard] == [True]


async def test_repeats_do_not_pile_up_while_the_same_still_waits() -> None:
    phone = Phone()
    phone.mood = phone.away
    box = outbox(phone, give_up_after_s=30 * DAY_S)
    async with running(box):
        box.take(alert("a"))
        await asyncio.sleep(7 * DAY_S)
        assert box.waiting == 1
        phone.mood = None
        await asyncio.sleep(600)
        assert [notice.repeat for _, notice in phone.heard] == [False]
        await asyncio.sleep(DAY_S)
        assert len(phone.heard) in (6, 7)


async def test_withdrawn_alert_is_not_repeated() -> None:
    phone = Phone()
    box = outbox(phone)
    async with running(box):
        box.take(alert("a"))
        await asyncio.sleep(1)
        box.withdraw("hot", "a")
        await asyncio.sleep(DAY_S)
        assert len(phone.heard) == 1


async def test_bug_in_sending_one_notice_does_not_keep_the_others() -> None:
    phone = Phone()

    async def crash(notice: Notice) -> None:
        if notice.alerts[0].device == "a":
            raise KeyError("a bug")

    phone.mood = crash
    box = outbox(phone)
    async with running(box) as said:
        box.take(alert("a"))
        box.take(alert("b"))
        await asyncio.sleep(60)
        assert phone.devices == ["b"]
        assert len(phone.attempts) == MOST_BUGS + 1
        assert box.given_up == 1
    assert any("internal error" in reason for _, reason in said)


async def test_restart_keeps_what_waits_and_what_is_being_grouped() -> None:
    phone = Phone()
    phone.mood = phone.away
    box = outbox(phone)
    async with running(box):
        box.take(alert("a"))
        await asyncio.sleep(1)
        box.take(alert("b"))
        await asyncio.sleep(100)
    before = box.kept()
    [first, _] = before["waiting"]
    phone.mood = None
    after = outbox(phone)
    after.restore(orjson.loads(orjson.dumps(before)))
    assert after.waiting == 2
    async with running(after):
        await asyncio.sleep(200)
        assert phone.devices == ["a", "b"]
        assert phone.heard[0][1].id == first["notice"]["id"]
        after.take(alert("a", RESOLVED))
        await asyncio.sleep(400)
        assert phone.devices == ["a", "b", "a"]


async def test_time_that_a_notice_has_waited_counts_over_a_restart() -> None:
    phone = Phone()
    phone.mood = phone.away
    box = outbox(phone, give_up_after_s=3600)
    async with running(box):
        box.take(alert("a"))
        await asyncio.sleep(3000)
    after = outbox(phone, give_up_after_s=3600)
    after.restore(box.kept())
    async with running(after):
        await asyncio.sleep(1000)
        assert after.given_up == 1


async def test_damaged_state_is_refused_and_changes_nothing() -> None:
    box = outbox(Phone())
    damages: list[dict[str, Any]] = [{}, {"waiting": [{}]}, {"waiting": [], "grouping": {}}]
    for damage in damages:
        with pytest.raises((KeyError, TypeError, ValueError)):
            box.restore(damage)
    assert box.waiting == 0


async def test_whoever_keeps_it_is_told_of_each_change() -> None:
    phone = Phone()
    changes: list[int] = []
    grouping = Grouping(Rhythm(by=(), wait_s=10.0, interval_s=300.0, repeat_s=DAY_S), gateway="g")
    box = Outbox("oncall", phone, grouping, clock=clock, changed=lambda: changes.append(box.waiting))
    async with running(box):
        box.take(alert("a"))
        await asyncio.sleep(20)
    assert changes == [0, 1, 0]


async def run_to_its_end(box: Outbox) -> None:
    async def nobody(_presence: Presence, _reason: str) -> None: ...

    async with asyncio.timeout(600):
        await box.run(Report("notify oncall", nobody))


async def test_at_the_end_all_that_waits_is_told_if_it_can_be() -> None:
    phone = Phone()
    box = outbox(phone)
    for name in "abc":
        box.take(alert(name))
    task = asyncio.create_task(run_to_its_end(box))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    box.end()
    await task
    assert phone.devices == ["a", "b", "c"]


@pytest.mark.parametrize("rate", [6, 600])
async def test_at_the_end_nobody_waits_for_a_receiver_that_is_away(rate: int) -> None:
    phone = Phone()
    phone.mood = phone.away
    box = outbox(phone, per_minute=rate)
    for number in range(20):
        box.take(alert(str(number)))
    task = asyncio.create_task(run_to_its_end(box))
    await asyncio.sleep(100)
    tried = len(phone.attempts)
    box.end()
    ended = asyncio.get_running_loop().time()
    await task
    assert asyncio.get_running_loop().time() == ended
    assert len(phone.attempts) - tried <= 1
    assert len(box.kept()["waiting"]) == 20


async def test_at_the_end_an_idle_one_returns() -> None:
    box = outbox(Phone())
    task = asyncio.create_task(run_to_its_end(box))
    await asyncio.sleep(10)
    box.end()
    await task
