"""Commands of rules, on virtual time to devices that obey, refuse or are away; and to a real line."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from drivers import scpi
from drivers.instrument import PtyInstrument
from drivers.scpi.simulator import Supply
from gateway.actions import MOST_BUGS, RETRY_MAX_S, Actions
from gateway.bus import EventBus, Overflow
from gateway.clock import system_clock
from gateway.config.actions import Action
from gateway.errors import FrameError, LinkAbsent, LinkSilent, Refused
from gateway.model import Alert, Reading, Stamp, Value
from gateway.pacing.backoff import Backoff
from gateway.source import Source
from gateway.supervisor import Child, Supervisor
from tests.gateway.notify.alerts import MORNING_NS, RESOLVED, alert
from tests.support.logged import fields

HOUR_S = 3600.0


def clock() -> Stamp:
    now = asyncio.get_running_loop().time()
    return Stamp(MORNING_NS + int(now * 10**9), now)


def at(seconds: float) -> Stamp:
    return Stamp(MORNING_NS + int(seconds * 10**9), seconds)


def sets(device: str = "pump", **values: Value) -> Action:
    return Action.model_validate({"device": device, "set": values})


STOP = sets(running=False)


class Plant:
    """Devices on virtual time: what is wrong with one, and what each was told when."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, Value]] = []
        self.attempts: list[tuple[float, str, str]] = []
        self.wrong: dict[str, Exception] = {}
        """By device, or by device and metric."""
        self.takes_s = 0.0
        self.changes = 0

    async def write(self, device: str, metric: str, value: Value) -> None:
        self.attempts.append((asyncio.get_running_loop().time(), device, metric))
        await asyncio.sleep(self.takes_s)
        for place in (device, f"{device}.{metric}"):
            if place in self.wrong:
                raise self.wrong[place]
        self.told.append((device, metric, value))

    def changed(self) -> None:
        self.changes += 1

    def actions(self) -> Actions:
        return Actions(self.write, clock, self.changed)

    def unplug(self, device: str) -> None:
        self.wrong[device] = LinkAbsent("the port is not there")


@asynccontextmanager
async def running(actions: Actions) -> AsyncIterator[asyncio.Task[None]]:
    child = Child(name="actions", run=actions.run, restart=Backoff(first_s=1, cap_s=1))
    task = asyncio.create_task(Supervisor().run([child]))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def waits(actions: Actions) -> list[tuple[str, str, Value]]:
    return [(each["device"], each["metric"], each["value"]) for each in actions.kept()["waiting"]]


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="gateway.actions"):
        yield caplog


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in log.records if each.name == "gateway.actions"]


async def test_alert_that_fires_does_it_once_however_often_it_is_said(log: pytest.LogCaptureFixture) -> None:
    plant = Plant()
    actions = plant.actions()
    async with running(actions):
        for labels in ({}, {}, {"silenced": "anna"}, {}):
            actions.take(alert("boiler", labels=labels), [STOP])
            await asyncio.sleep(10)
    assert plant.told == [("pump", "running", False)]
    assert lines(log) == ["action of hot (boiler): pump.running = false: done after 0.0 s"]
    assert fields(log.records, "done after") == {"DEVICE": "pump", "RULE": "hot"}
    assert actions.counters() == {
        "waiting": 0, "done": 1, "refused": 0, "given_up": 0, "replaced": 0, "failed": 0
    }  # fmt: skip


@pytest.mark.parametrize("label", ["silenced", "acknowledged", "inhibited"])
async def test_alert_that_nobody_is_told_of_acts_all_the_same(label: str) -> None:
    plant = Plant()
    actions = plant.actions()
    async with running(actions):
        actions.take(alert("boiler", labels={label: "anna"}), [STOP])
        await asyncio.sleep(1)
    assert plant.told == [("pump", "running", False)]


async def test_alert_that_fires_anew_acts_anew_and_its_end_does_nothing() -> None:
    plant = Plant()
    actions = plant.actions()
    async with running(actions):
        for moment in (1, 2):
            actions.take(alert("boiler", since=at(moment)), [STOP])
            await asyncio.sleep(1)
            actions.take(alert("boiler", RESOLVED, since=at(moment + 0.5)), [STOP])
            await asyncio.sleep(1)
    assert plant.told == [("pump", "running", False)] * 2


async def test_this_is_the_device_that_the_alert_is_about() -> None:
    plant = Plant()
    actions = plant.actions()
    async with running(actions):
        for device in ("rack-1", "rack-2"):
            actions.take(alert(device), [sets("this", fan=100), sets("lamp", red=True)])
        await asyncio.sleep(1)
    assert [each for each in plant.told if each[0] != "lamp"] == [
        ("rack-1", "fan", 100),
        ("rack-2", "fan", 100),
    ]


async def test_devices_do_not_wait_for_each_other_and_each_is_told_in_order() -> None:
    plant = Plant()
    plant.takes_s = 5.0
    actions = plant.actions()
    async with running(actions):
        actions.take(
            alert("a"), [sets("pump", mode="manual", speed=3, running=True), sets("valve", open=False)]
        )
        await asyncio.sleep(6)
        assert plant.told == [("pump", "mode", "manual"), ("valve", "open", False)]
        await asyncio.sleep(10)
    assert [each for each in plant.told if each[0] == "pump"] == [
        ("pump", "mode", "manual"), ("pump", "speed", 3), ("pump", "running", True)
    ]  # fmt: skip


async def test_write_is_tried_again_until_the_port_is_back_and_the_order_is_kept(
    log: pytest.LogCaptureFixture,
) -> None:
    plant = Plant()
    plant.unplug("pump")
    actions = plant.actions()
    async with running(actions):
        actions.take(alert("boiler"), [sets(mode="manual", running=False)])
        await asyncio.sleep(HOUR_S)
        assert plant.told == []
        assert {metric for _, _, metric in plant.attempts} == {
            "mode"
        }  # no way for this one, nor for the next
        assert HOUR_S / RETRY_MAX_S < len(plant.attempts) < 4 * HOUR_S / RETRY_MAX_S
        del plant.wrong["pump"]
        await asyncio.sleep(RETRY_MAX_S)
    assert plant.told == [("pump", "mode", "manual"), ("pump", "running", False)]
    said = lines(log)
    assert said[0] == (
        'action of hot (boiler): pump.mode = "manual": tried again while the alert fires: the port is not there'
    )
    assert said[1].startswith('action of hot (boiler): pump.mode = "manual": done after 360')
    assert said[2].startswith("action of hot (boiler): pump.running = false: done after 360")
    assert len(said) == 3


@pytest.mark.parametrize("silence", [LinkSilent("no answer"), FrameError("checksum")])
async def test_metric_that_is_not_answered_does_not_hold_up_the_next_one(silence: Exception) -> None:
    plant = Plant()
    plant.wrong["pump.mode"] = silence
    actions = plant.actions()
    async with running(actions):
        actions.take(alert("boiler"), [sets(mode="manual", running=False)])
        await asyncio.sleep(0.1)
        assert plant.told == [("pump", "running", False)]
        await asyncio.sleep(HOUR_S)
        assert waits(actions) == [("pump", "mode", "manual")]
        # A device that hardly answers is not asked without a pause.
        assert len(plant.attempts) < 4 * HOUR_S / RETRY_MAX_S
        del plant.wrong["pump.mode"]
        await asyncio.sleep(RETRY_MAX_S)
    assert plant.told == [("pump", "running", False), ("pump", "mode", "manual")]


async def test_what_is_refused_is_given_up_at_once_and_the_rest_is_done(
    log: pytest.LogCaptureFixture,
) -> None:
    plant = Plant()
    plant.wrong["pump.mode"] = Refused("it is locked")
    actions = plant.actions()
    async with running(actions):
        actions.take(alert("boiler"), [sets(mode="manual", running=False)])
        await asyncio.sleep(HOUR_S)
    assert plant.told == [("pump", "running", False)]
    assert len(plant.attempts) == 2
    assert lines(log)[0] == 'action of hot (boiler): pump.mode = "manual": refused: it is locked'
    assert (actions.counters()["refused"], actions.counters()["done"], actions.waiting) == (1, 1, 0)


async def test_write_that_failed_is_given_up_when_its_alert_is_resolved(
    log: pytest.LogCaptureFixture,
) -> None:
    plant = Plant()
    plant.unplug("pump")
    actions = plant.actions()
    async with running(actions):
        actions.take(alert("boiler"), [STOP])
        await asyncio.sleep(60)
        actions.take(alert("boiler", RESOLVED), [STOP])
        assert actions.waiting == 0
        tries = len(plant.attempts)
        del plant.wrong["pump"]
        await asyncio.sleep(HOUR_S)
    assert (plant.told, len(plant.attempts)) == ([], tries)
    assert lines(log)[1:] == ["action of hot (boiler): pump.running = false: given up: the alert is resolved"]
    assert actions.counters()["given_up"] == 1


async def test_attempt_under_way_when_its_alert_is_resolved_may_still_succeed() -> None:
    plant = Plant()
    plant.wrong["pump"] = LinkSilent("no answer")
    plant.takes_s = 5.0
    actions = plant.actions()
    async with running(actions):
        actions.take(alert("boiler"), [STOP])
        await asyncio.sleep(60)
        tries = len(plant.attempts)
        while len(plant.attempts) == tries:
            await asyncio.sleep(0.01)
        plant.wrong.clear()
        actions.take(alert("boiler", RESOLVED), [])
        await asyncio.sleep(60)
    assert plant.told == [("pump", "running", False)]
    assert len(plant.attempts) == tries + 1
    assert (actions.counters()["done"], actions.counters()["given_up"]) == (1, 0)


async def test_write_is_tried_once_even_if_its_alert_was_over_before_its_turn(
    log: pytest.LogCaptureFixture,
) -> None:
    plant = Plant()
    plant.takes_s = 5.0
    actions = plant.actions()
    async with running(actions):
        actions.take(alert("boiler"), [sets(mode="manual", running=False)])
        await asyncio.sleep(1)
        actions.take(alert("boiler", RESOLVED), [])
        plant.wrong["pump.mode"] = LinkSilent("no answer")
        await asyncio.sleep(HOUR_S)
    assert plant.told == [("pump", "running", False)]
    assert lines(log)[0] == (
        'action of hot (boiler): pump.mode = "manual": given up: the alert is resolved, and no answer'
    )
    assert len(lines(log)) == 2


async def test_newer_value_takes_the_place_of_one_that_waits(log: pytest.LogCaptureFixture) -> None:
    plant = Plant()
    plant.unplug("pump")
    actions = plant.actions()
    async with running(actions):
        actions.take(alert("boiler"), [sets(running=False, speed=0)])
        actions.take(alert("tank", rule="full"), [sets(running=True)])
        assert waits(actions) == [("pump", "speed", 0), ("pump", "running", True)]
        plant.wrong.clear()
        await asyncio.sleep(RETRY_MAX_S)
    assert plant.told == [("pump", "speed", 0), ("pump", "running", True)]
    assert lines(log)[0] == (
        "action of hot (boiler): pump.running = false: replaced: action of full (tank): pump.running = true"
    )
    assert actions.counters()["replaced"] == 1


async def test_value_that_was_replaced_while_another_metric_was_being_set_is_not_set() -> None:
    plant = Plant()
    plant.takes_s = 5.0
    actions = plant.actions()
    async with running(actions):
        actions.take(alert("boiler"), [sets(mode="manual", running=False)])
        await asyncio.sleep(1)
        actions.take(alert("tank", rule="full"), [sets(running=True)])
        await asyncio.sleep(60)
    assert plant.told == [("pump", "mode", "manual"), ("pump", "running", True)]


@pytest.mark.parametrize("fails", [False, True])
async def test_newer_value_comes_after_one_that_is_being_set(fails: bool) -> None:
    plant = Plant()
    plant.takes_s = 5.0
    actions = plant.actions()
    async with running(actions):
        if fails:
            plant.wrong["pump"] = LinkSilent("no answer")
        actions.take(alert("boiler"), [STOP])
        await asyncio.sleep(1)
        actions.take(alert("tank", rule="full"), [sets(running=True)])
        await asyncio.sleep(4.5)
        plant.wrong.clear()
        await asyncio.sleep(20)
    values = [value for _, _, value in plant.told]
    assert values == ([True] if fails else [False, True])
    assert actions.counters()["replaced"] == int(fails)
    assert actions.waiting == 0


async def test_taking_an_alert_waits_for_nobody_and_tells_that_something_is_to_be_kept() -> None:
    plant = Plant()
    plant.takes_s = HOUR_S
    actions = plant.actions()
    async with running(actions):
        for number in range(1000):
            actions.take(alert("boiler", since=at(number)), [STOP])
            assert plant.changes == number + 1
        await asyncio.sleep(1)
        assert actions.waiting == 1
        await asyncio.sleep(HOUR_S)
        assert (actions.waiting, plant.changes) == (0, 1001)


async def test_killed_gateway_does_it_after_the_start(log: pytest.LogCaptureFixture) -> None:
    before, after = Plant(), Plant()
    before.unplug("pump")
    killed, actions = before.actions(), after.actions()
    async with running(killed):
        killed.take(alert("boiler"), [sets(mode="manual", running=False), sets("this", heating=False)])
        await asyncio.sleep(60)
    kept = orjson.loads(orjson.dumps(killed.kept()))
    do = {"hot": [sets(mode="manual", running=False), sets("this", heating=False)]}
    actions.restore(kept, do)
    assert waits(actions) == waits(killed) == [("pump", "mode", "manual"), ("pump", "running", False)]
    async with running(actions):
        actions.take(alert("boiler"), do["hot"])  # it is said again, since nobody knew that it had been said
        await asyncio.sleep(1)
    assert after.told == [("pump", "mode", "manual"), ("pump", "running", False)]
    assert lines(log)[-1].startswith("action of hot (boiler): pump.running = false: done after 6")


async def test_write_in_hand_is_done_again_after_kill() -> None:
    plant = Plant()
    plant.takes_s = 5.0
    killed, actions = plant.actions(), plant.actions()
    async with running(killed):
        killed.take(alert("boiler"), [STOP])
        await asyncio.sleep(1)
        kept = killed.kept()
    actions.restore(kept, {"hot": [STOP]})
    async with running(actions):
        await asyncio.sleep(6)
    assert plant.told == [("pump", "running", False)]


async def test_restored_write_is_given_up_when_its_alert_is_resolved_meanwhile() -> None:
    plant = Plant()
    plant.unplug("pump")
    killed, actions = plant.actions(), plant.actions()
    async with running(killed):
        killed.take(alert("boiler"), [STOP])
        await asyncio.sleep(1)
    actions.restore(killed.kept(), {"hot": [STOP]})
    actions.take(alert("boiler", RESOLVED), [STOP])
    assert (actions.waiting, actions.counters()["given_up"]) == (0, 1)
    assert actions.kept() == {"firing": [], "waiting": []}


@pytest.mark.parametrize("now", [{}, {"hot": [sets(running=True)]}, {"hot": [sets("valve", running=False)]}])
async def test_what_the_rule_does_not_do_any_more_is_not_done_after_the_start(
    now: dict[str, Sequence[Action]], log: pytest.LogCaptureFixture
) -> None:
    plant = Plant()
    killed, actions = plant.actions(), plant.actions()
    killed.take(alert("boiler"), [STOP])
    actions.restore(killed.kept(), now)
    assert actions.waiting == 0
    assert lines(log) == [
        "action of hot (boiler): pump.running = false: given up: the rule does not say so any more"
    ]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"firing": [], "waiting": [{}]},
        {"firing": [["hot"]], "waiting": []},
        {"firing": [["hot", "boiler", "x"]], "waiting": []},
        {
            "firing": [],
            "waiting": [
                {
                    "device": "pump", "metric": "running", "value": [], "rule": "hot", "about": "",
                    "waited_s": 0, "tried": False,
                }
            ],
        },
    ],
)  # fmt: skip
async def test_what_nobody_has_kept_is_not_restored(data: dict[str, Any]) -> None:
    actions = Plant().actions()
    with pytest.raises((KeyError, TypeError, ValueError)):
        actions.restore(data, {"hot": [STOP]})
    assert actions.kept() == {"firing": [], "waiting": []}


async def test_at_the_end_what_waits_is_tried_once_more_and_the_rest_is_kept(
    log: pytest.LogCaptureFixture,
) -> None:
    plant = Plant()
    plant.unplug("pump")
    plant.unplug("valve")
    actions = plant.actions()
    async with running(actions) as task:
        actions.take(alert("boiler"), [STOP, sets("valve", open=False)])
        await asyncio.sleep(HOUR_S)
        tries = len(plant.attempts)
        del plant.wrong["valve"]
        actions.end()
        async with asyncio.timeout(0.1):
            await task
    assert plant.told == [("valve", "open", False)]
    assert len(plant.attempts) == tries + 2
    assert waits(actions) == [("pump", "running", False)]
    assert lines(log)[-1] == "left for the next start: action of hot (boiler): pump.running = false"


async def test_end_with_nothing_to_do_is_at_once() -> None:
    actions = Plant().actions()
    async with running(actions) as task:
        await asyncio.sleep(1)
        actions.end()
        async with asyncio.timeout(0.1):
            await task


async def test_bug_in_one_device_gives_way_to_the_others(log: pytest.LogCaptureFixture) -> None:
    plant = Plant()
    plant.wrong["pump"] = ZeroDivisionError("a bug")
    plant.takes_s = 0.25
    actions = plant.actions()
    async with running(actions):
        actions.take(alert("boiler"), [STOP, sets("valve", open=False)])
        await asyncio.sleep(60)
    assert plant.told == [("valve", "open", False)]
    assert [device for _, device, _ in plant.attempts].count("pump") == MOST_BUGS
    assert (
        "action of hot (boiler): pump.running = false: given up: a bug of ours, see above in the log"
        in lines(log)
    )


async def test_bugs_of_one_device_do_not_count_against_another() -> None:
    plant = Plant()
    actions = plant.actions()

    async def write(device: str, metric: str, value: Value) -> None:
        await plant.write(device, metric, value)
        await asyncio.sleep(10 if device == "valve" else 0)
        if device == "pump":
            raise ZeroDivisionError

    actions = Actions(write, clock, plant.changed)
    async with running(actions):
        actions.take(alert("boiler"), [sets(a=1, b=2), sets("valve", open=False)])
        await asyncio.sleep(60)
    assert (actions.counters()["given_up"], actions.counters()["done"]) == (2, 1)


@pytest.mark.real_time
async def test_instrument_that_was_unplugged_when_the_alert_fired_is_set_when_it_is_back(
    tmp_path: Path,
) -> None:
    bus = EventBus()
    options = scpi.Options.model_validate(
        {
            "driver": "scpi", "port": str(tmp_path / "line"), "interval": "20ms", "timeout": "300ms",
            "retry_max": "100ms", "queries": [{"name": "volts", "query": "SOUR1:VOLT?"}],
            "commands": {"limit": {"send": "SOUR1:VOLT {value:.3f}", "minimum": 0, "maximum": 32}},
            "filters": [{"rename": {"limit": "setpoint"}}],
        }
    )  # fmt: skip
    supply = Source("supply", scpi.DRIVER, options, bus, system_clock)

    async def write(device: str, metric: str, value: Value) -> None:
        assert device == "supply"
        await supply.write(metric, value)

    actions = Actions(write, system_clock, lambda: None)
    readings = bus.subscribe(Reading, name="test", capacity=1000, overflow=Overflow.DROP_OLDEST)
    with readings:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            reading = group.create_task(Supervisor().run([supply.child()]))
            acting = group.create_task(
                Supervisor().run(
                    [Child(name="actions", run=actions.run, restart=Backoff(first_s=1, cap_s=1))]
                )
            )
            fired: Alert = alert("supply")
            actions.take(fired, [sets("this", setpoint=7.5)])
            await asyncio.sleep(0.2)
            assert actions.waiting == 1
            with PtyInstrument.plugged_in(tmp_path / "line") as instrument:
                serving = group.create_task(instrument.serve(Supply()))
                async for each in readings:
                    if each.values["volts"] == 7.5:
                        break
                actions.end()
                await acting
                reading.cancel()
                await asyncio.wait([reading])
            await serving
    assert actions.counters()["done"] == 1
