"""Rules at work in a real process: an instrument on a pty, a real mosquitto, a real receiver of webhooks."""

import asyncio
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.alarms import Alarms, Told, genuine
from tests.support.gateway_process import until
from tests.support.subscriber import Subscriber
from tests.support.wall_clock import WallClock

pytestmark = pytest.mark.real_time

HOT = '[rules.hot]\nwhen = "board.t > 80"\nnotify = ["oncall"]\n'
FIRED, RESOLVED = ("hot", "firing"), ("hot", "resolved")


def _moment(written: str) -> datetime:
    return datetime.fromisoformat(written)


async def test_sensor_that_dies_is_told_of_and_so_is_its_return(tmp_path: Path) -> None:
    stale = [("device_stale", "firing"), ("device_stale", "resolved")]
    async with Alarms.at(tmp_path) as site:
        config = site.config('[rules.device_stale]\nnotify = ["oncall"]\n', stale_after="500ms")
        async with site.running(config) as gateway:
            await site.open(gateway)
            await site.say(t=20)
            await until(lambda: site.rung == stale[:1])
            async with Subscriber.listening(
                site.broker.host, site.broker.port, "sallyport/test/alerts/device_stale/+", name="late"
            ) as late:
                await until(lambda: late.got)
            while site.rung == stale[:1]:
                await site.say(t=20)
                await asyncio.sleep(0.05)
            await gateway.stop()
    assert site.told[:2] == [Told(rule, "board", state, "") for rule, state in stale]
    assert site.rung[:2] == stale
    assert [(each.topic, each.retained, each.qos) for each in late.got] == [
        ("sallyport/test/alerts/device_stale/board", True, 1)
    ]
    assert all(map(genuine, site.hook.posts))
    assert gateway.lines("alert device_stale")[0] == (
        "alert device_stale (board): firing: board is not heard any more"
    )


async def test_port_that_goes_away_is_one_notification_not_three(tmp_path: Path) -> None:
    rules = (
        '[rules.port_down]\nnotify = ["oncall"]\nfor = "200ms"\n'
        '[rules.device_offline]\nnotify = ["oncall"]\nfor = "200ms"\n'
        '[rules.silent]\nwhen = \'age(board) > "2s"\'\nnotify = ["oncall"]\n'
    )
    expected = [("port_down", "firing"), ("port_down", "resolved"), FIRED]
    async with Alarms.at(tmp_path) as site:
        config = site.config(rules + HOT, group_wait="500ms")
        async with site.running(config) as gateway:
            await site.open(gateway)
            await site.say(t=20)
            await site.heard.has(1)
            site.board.unplug()
            await until(lambda: len(site.told) == len(expected))
            assert site.rung == expected[:1]
            site.board.plug_in()
            await site.open(gateway)
            await site.say(t=20)
            await until(lambda: ("silent", "resolved") in site.stories)
            while len(site.rung) < len(expected):  # the last one waits for as long as those that do not come
                await site.say(t=90)
                await asyncio.sleep(0.05)
            await gateway.stop()
    assert site.told[:3] == [
        Told("port_down", str(site.board.path), "firing", ""),
        Told("device_offline", "board", "firing", "inhibited by port_down"),
        Told("silent", "board", "firing", "inhibited by port_down"),
    ]
    assert sorted(site.rung) == sorted(expected)


@pytest.mark.parametrize("restart", [False, True])
async def test_alert_waits_for_the_broker_and_arrives_once(tmp_path: Path, restart: bool) -> None:
    async with Alarms.at(tmp_path) as site:
        config = site.config(HOT)
        async with site.running(config) as gateway:
            await site.open(gateway)
            await site.say(t=20)
            await site.heard.has(1)
            site.broker.kill()
            await site.network.cut()
            await site.say(t=90)
            await gateway.said("alert hot (board): firing")
            await until(lambda: site.rung == [FIRED])
            if restart:
                assert await gateway.stop() == 0
            else:
                await _bring_back(site)
                await site.dealt_with(t=90)
        if restart:
            async with site.running(config) as again:
                await site.open(again)
                await site.say(t=90)
                await _bring_back(site)
                await site.dealt_with(t=90)
    topics = [each.topic for each in site.heard.got]
    assert topics.count("sallyport/test/alerts/hot") == 1
    assert site.stories == [FIRED]
    assert site.rung == [FIRED]


async def test_rule_about_the_gateway_itself_sees_what_waits_and_what_was_broken(tmp_path: Path) -> None:
    rules = (
        '[rules.waiting]\nwhen = "status.waiting > 5 and status.brokers_connected == 0"\nnotify = ["oncall"]\n'
        '[rules.broken]\nwhen = \'board["$rejected"] > 3\'\nnotify = ["oncall"]\n'
    )
    async with Alarms.at(tmp_path) as site, site.running(site.config(rules)) as gateway:
        await site.open(gateway)
        await site.say(t=20)
        await site.heard.has(1)
        site.broker.kill()
        await site.network.cut()
        for number in range(10):
            await site.say(t=number)
            await site.board.say(b"{broken}\n")
        await until(lambda: sorted(site.rung) == [("broken", "firing"), ("waiting", "firing")])
    assert site.stories == []  # it was a webhook that told of it: nothing else was there


async def _bring_back(site: Alarms) -> None:
    """The subscriber first: a broker that was killed has forgotten it, and would give it nothing."""
    site.broker.start()
    await site.heard.returned()
    await site.network.mend()


async def test_alert_that_was_pending_at_kill_9_fires_when_it_would_have(tmp_path: Path) -> None:
    wait_s = 5
    async with Alarms.at(tmp_path) as site:
        config = site.config(f'{HOT}for = "{wait_s}s"\n')
        async with site.running(config) as gateway:
            await site.open(gateway)
            await site.say(t=90)
            await until(lambda: [each["differs_s"] for each in site.remembered] not in ([], [None]))
            await site.heard.has(1)
            gateway.kill()
        async with site.running(config) as gateway:
            await site.open(gateway)
            while not site.stories:
                await site.say(t=90)
                await asyncio.sleep(0.05)
            await gateway.stop()
    begun, *after = [_moment(each["time"]) for each in site.heard.readings("board")]
    [alert] = site.alerts("hot")
    due = begun + timedelta(seconds=wait_s)
    # Before the first reading after the start, nothing is known, and nothing is fired by guessing.
    expected = max(due, after[0])
    assert abs(_moment(alert["since"]) - expected) < timedelta(milliseconds=20)
    assert site.stories == [FIRED]


async def test_alert_that_fires_is_neither_told_again_nor_forgotten_over_a_restart(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_restarted(tmp_path / "killed", kill=True))
        group.create_task(_restarted(tmp_path / "stopped", kill=False))


async def _restarted(folder: Path, *, kill: bool) -> None:
    async with Alarms.at(folder) as site:
        config = site.config(HOT)
        for _ in range(3):
            async with site.running(config) as gateway:
                await site.open(gateway)
                await site.dealt_with(t=90)
                await until(lambda: site.rung == [FIRED])
                if kill:
                    gateway.kill()
                else:
                    assert await gateway.stop() == 0
        assert site.stories == [FIRED]
        async with site.running(config) as gateway:
            await site.open(gateway)
            await site.dealt_with(t=20)
            await until(lambda: site.rung == [FIRED, RESOLVED])
            await gateway.stop()
    assert site.stories == [FIRED, RESOLVED]


async def _killed_at_random(folder: Path, *, rounds: int, seed: int) -> None:
    """A value that goes up and down for ever, and a gateway that is killed while it looks at it."""
    dice = random.Random(seed)
    async with Alarms.at(folder) as site:
        config = site.config(f'{HOT}for = "100ms"\nkeep_for = "100ms"\n')
        for _ in range(rounds):
            async with site.running(config) as gateway:
                if dice.random() < 0.2:
                    await asyncio.sleep(dice.uniform(0, 0.2))  # while it starts
                else:
                    await site.open(gateway)
                    swinging = asyncio.create_task(_swing(site))
                    await asyncio.sleep(dice.uniform(0, 0.8))
                    swinging.cancel()
                    await asyncio.wait([swinging])
                gateway.kill()
        async with site.running(config) as gateway:
            await site.open(gateway)
            await site.say(t=20)
            await until(lambda: site.stories[-1:] == [RESOLVED])
            await until(lambda: site.rung[-1:] == [RESOLVED])
            await site.dealt_with(t=20)
            await gateway.stop()
    assert len(site.stories) > rounds // 2
    assert site.stories == [FIRED, RESOLVED] * (len(site.stories) // 2)
    heard = [each for each in site.heard.got if each.topic == "sallyport/test/alerts/hot"]
    assert heard[-1].json["state"] == "resolved"


async def _swing(site: Alarms) -> None:
    while True:
        for value in (90, 20):
            for _ in range(3):
                await site.say(t=value)
                await asyncio.sleep(0.06)


@pytest.mark.repetitive
async def test_alerts_come_and_go_in_turn_though_the_gateway_is_killed(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        for seed in range(2):
            group.create_task(_killed_at_random(tmp_path / str(seed), rounds=10, seed=seed))


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_alerts_come_and_go_in_turn_though_the_gateway_is_killed_200_times(tmp_path: Path) -> None:
    await _killed_at_random(tmp_path, rounds=200, seed=5)


async def _webhook_away(folder: Path, away_s: float) -> None:
    async with Alarms.at(folder) as site, site.running(site.config(HOT)) as gateway:
        await site.open(gateway)
        await site.hook.close()
        await site.dealt_with(t=90)
        await gateway.said("notify oncall: offline")
        await asyncio.sleep(away_s)
        await site.dealt_with(t=90)
        await site.hook.open()
        async with asyncio.timeout(120):  # its breaker may rest
            while not site.rung:
                await asyncio.sleep(0.01)
        await site.dealt_with(t=20)
        await until(lambda: len(site.rung) > 1)
        await gateway.stop()
    assert site.rung == [FIRED, RESOLVED]
    assert len(site.hook.posts) == 2


async def test_webhook_that_was_away_is_told_once_it_is_back(tmp_path: Path) -> None:
    await _webhook_away(tmp_path, 0.3)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_webhook_that_was_away_for_ten_minutes_is_told_once_it_is_back(tmp_path: Path) -> None:
    await _webhook_away(tmp_path, 600)


async def test_clock_on_the_wall_moves_no_alert(tmp_path: Path) -> None:
    wall_clock = WallClock(tmp_path)
    slow = '[rules.slow]\nwhen = "board.t > 80"\nfor = "1h"\n'
    quick = '[rules.quick]\nwhen = "board.t > 80"\nfor = "1500ms"\nkeep_for = "1500ms"\n'
    async with Alarms.at(tmp_path) as site:
        config = site.config(slow + quick)
        async with site.running(config, wall_clock.environment) as gateway:
            await site.open(gateway)
            await site.dealt_with(t=90)
            assert site.stories == []
            wall_clock.step(400)  # slow would have waited for long enough
            await site.dealt_with(t=90)
            assert site.stories == []
            wall_clock.step(-400)  # quick would have to wait for years
            await until(lambda: site.stories == [("quick", "firing")])
            wall_clock.step(400)
            await site.dealt_with(t=20)
            assert site.stories == [("quick", "firing")]
            wall_clock.step(-400)
            await until(lambda: site.stories == [("quick", "firing"), ("quick", "resolved")])
            await site.dealt_with(t=90)
            await until(
                lambda: "slow" in [each["rule"] for each in site.remembered if each["differs_s"] is not None]
            )
            gateway.kill()
        wall_clock.step(400)
        async with site.running(config, wall_clock.environment) as gateway:
            await site.open(gateway)
            await site.dealt_with(t=90)
            await until(lambda: len(site.stories) == 3)
            await gateway.stop()
    assert site.stories == [("quick", "firing"), ("quick", "resolved"), ("quick", "firing")]


CROSSINGS = 1000
"""Of docs/alerts.md's 10,000, each of its seconds a tenth of one or less: its rows, and what they promise."""
PROMISED: dict[str, tuple[str, int]] = {
    "plain": ("", CROSSINGS // 2),
    "for_long": ('for = "1s"', 0),
    "clear": ('clear = "board.t < 75"', 1),
    "keep_for": ('keep_for = "5s"', 1),
    "flap": ('flap = { changes = 6, within = "3s" }', 3),
    "for_flap": ('for = "1s"\nflap = { changes = 6, within = "3s" }', 0),
    "for_clear": ('for = "1s"\nclear = "board.t < 75"', 0),
}


async def test_value_that_cannot_decide_makes_as_many_alerts_as_the_document_says(tmp_path: Path) -> None:
    rules = "".join(
        f'[rules.{name}]\nwhen = "board.t > 80"\n{options}\n' for name, (options, _) in PROMISED.items()
    )
    async with Alarms.at(tmp_path) as site, site.running(site.config(rules)) as gateway:
        await site.open(gateway)
        await site.board.say(b'{"t":81}\n{"t":79}\n' * (CROSSINGS // 2) + b'{"t":20}\n')
        await until(lambda: [each["state"] for each in site.alerts("flap")].count("resolved") == 3)
        await until(lambda: [each["state"] for each in site.alerts("keep_for")][-1:] == ["resolved"])
        await site.dealt_with(t=20)
        await gateway.stop()
    counts: dict[str, Any] = {name: [each["state"] for each in site.alerts(name)] for name in PROMISED}
    assert {name: (states.count("firing"), states.count("resolved")) for name, states in counts.items()} == {
        name: (times, times) for name, (_, times) in PROMISED.items()
    }


async def test_write_to_a_device_that_was_taken_out_meanwhile_is_refused(tmp_path: Path) -> None:
    rule = (
        '[rules.open]\neach = "valve*"\nwhen = "board.t > 80"\n'
        'do = [{ device = "this", set = { open = true } }]\n'
    )
    valve = (
        f'[devices.valve]\ndriver = "modbus"\nport = "{tmp_path}/nowhere"\nretry_max = "100ms"\n'
        'registers.open = { table = "coil", address = 3, type = "bool", writable = true }\n'
    )
    async with Alarms.at(tmp_path) as site:
        async with site.running(site.config(rule + valve)) as gateway:
            await site.open(gateway)
            await site.say(t=90)
            await gateway.said("action of open (valve): valve.open = true: tried again")
            assert await gateway.stop() == 0
        async with site.running(site.config(rule)) as gateway:
            await gateway.said("action of open (valve): valve.open = true: refused: there is no such device")
            await gateway.stop()
