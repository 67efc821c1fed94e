"""What becomes of an alert: where it is published, who is told of it, and what of that outlasts the process."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import orjson
import pytest

from gateway.alerting import LATE_S, Alerting, beside
from gateway.bus import EventBus
from gateway.config import Config, load, rulebook
from gateway.journal.journal import MOST_URGENT
from gateway.logs import MessageId
from gateway.model import Availability, Presence, Reading, Value
from gateway.rules.rulebook import Rulebook
from tests.support.logged import fields
from tests.support.memory_journal import MemoryJournal
from tests.support.scripted_driver import loop_clock

HOT = '[rules.hot]\nwhen = "boiler.t > 80"\nmessage = "{value}"\n'
PATIENT = 'url = "http://127.0.0.1:9/"\ngroup_wait = "1h"\n'
ONCALL, PHONE = f"[notify.oncall]\n{PATIENT}", f"[notify.phone]\n{PATIENT}"
BUILT_IN = ("port_down", "device_offline", "device_stale", "clock_unsynchronised")


def _config(folder: Path, text: str) -> Config:
    file = folder / "gateway.toml"
    devices = "".join(
        f'[devices.{name}]\ndriver = "json"\nport = "/dev/{name}"\n' for name in ("boiler", "pump")
    )
    quiet = "".join(
        f"[rules.{name}]\nenabled = false\n" for name in BUILT_IN if f"[rules.{name}]" not in text
    )
    file.write_text(
        f'[gateway]\nname = "test"\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n'
        f'[journal]\npath = "{folder / "journal.db"}"\n{devices}{quiet}{text}'
    )
    return load(file)


def _book(config: Config) -> Rulebook:
    return rulebook(config.rules, config.devices, config.gateway.zone)


class Office:
    """A gateway's alerting without the gateway: what is heard goes in, what is published is in the journal."""

    def __init__(self, alerting: Alerting, bus: EventBus, journal: MemoryJournal) -> None:
        self.alerting = alerting
        self.bus = bus
        self.journal = journal

    @classmethod
    @asynccontextmanager
    async def at_work(
        cls, folder: Path, text: str, *, killed: bool = False, journal: MemoryJournal | None = None
    ) -> AsyncIterator[Self]:
        """`killed`: as the process would be, with nothing said at the end."""
        config = _config(folder, text)
        bus, journal = EventBus(), journal or MemoryJournal("broker")

        async def write(device: str, metric: str, value: Value) -> None:
            raise AssertionError(f"no rule here sets {device}.{metric} to {value}")

        alerting = Alerting(config, _book(config), bus, journal, loop_clock, write=write)
        async with asyncio.TaskGroup() as group:
            alerting.start(group)
            yield cls(alerting, bus, journal)
            await asyncio.sleep(1)
            kept = beside(config.journal.path).read_bytes() if killed else b""
            await alerting.finish_actions()
            await alerting.finish_judging()
            bus.close()
            await alerting.finish_handing()
            await asyncio.wait([alerting.finish_notifying()], timeout=1)
            await alerting.finish()
            if killed:
                beside(config.journal.path).write_bytes(kept)

    async def says(self, temperature: Value, device: str = "boiler") -> None:
        await self.bus.publish(Reading(at=loop_clock(), device=device, values={"t": temperature}))
        await asyncio.sleep(1)

    async def goes(self, presence: Presence, *, port_open: bool) -> None:
        await self.bus.publish(
            Availability(at=loop_clock(), device="boiler", presence=presence, reason="", port_open=port_open)
        )
        await asyncio.sleep(1)

    @property
    async def published(self) -> list[tuple[str, str]]:
        """Topics and states."""
        if not self.journal.urgent.last:
            return []
        records = await self.journal.urgent.after("broker", 0, limit=1000)
        return [
            (each.device, orjson.loads(each.payload)["state"] if each.payload else "cleared")
            for each in records
        ]

    def firing(self, receiver: str) -> int:
        """How many alerts are to be told, or told again."""
        return self.alerting.receivers[receiver].counters()["firing"]

    def knows(self, receiver: str, rule: str = "hot", device: str = "boiler") -> bool:
        return self.alerting.receivers[receiver].knows(rule, device)


async def test_rule_has_a_topic_and_a_rule_for_several_one_for_each(tmp_path: Path) -> None:
    each = '[rules."any.hot"]\nwhen = "this.t > 80"\neach = "*"\n'
    async with Office.at_work(tmp_path, HOT + each) as office:
        await office.says(90)
        await office.says(90, "pump")
        assert sorted(await office.published) == [
            ("alerts/any.hot/boiler", "firing"), ("alerts/any.hot/pump", "firing"), ("alerts/hot", "firing"),
        ]  # fmt: skip


async def test_name_of_a_port_is_one_level_of_a_topic(tmp_path: Path) -> None:
    rules = '[rules.port_down]\nenabled = true\nfor = "0s"\n'
    async with Office.at_work(tmp_path, rules) as office:
        await office.goes(Presence.OFFLINE, port_open=False)
        assert await office.published == [("alerts/port_down/_dev_boiler", "firing")]


async def test_whom_a_rule_names_is_told_and_nobody_else(tmp_path: Path) -> None:
    async with Office.at_work(tmp_path, f'{HOT}notify = ["oncall"]\n{ONCALL}{PHONE}') as office:
        await office.says(90)
        assert (office.firing("oncall"), office.firing("phone")) == (1, 0)
        await office.says(20)
        assert (office.firing("oncall"), office.firing("phone")) == (0, 0)


async def test_quiet_alert_is_published_and_withdrawn_from_who_was_to_be_told(tmp_path: Path) -> None:
    async with Office.at_work(tmp_path, f'{HOT}notify = ["oncall"]\n{ONCALL}') as office:
        await office.says(90)
        ruling = office.alerting.ruling
        ruling.put(ruling.engine.acknowledge("hot", "boiler", "Ada", loop_clock()))
        await asyncio.sleep(1)
        assert office.firing("oncall") == 0
        assert not office.knows("oncall")
        assert await office.published == [("alerts/hot", "firing"), ("alerts/hot", "firing")]
        await office.says(20)
        await office.says(90)  # another one
        assert office.firing("oncall") == 1


async def test_alert_that_begins_quietly_is_told_to_nobody(tmp_path: Path) -> None:
    rules = f'{HOT}notify = ["oncall"]\ninhibited_by = ["off"]\n[rules.off]\nwhen = "pump.t > 80"\n{ONCALL}'
    async with Office.at_work(tmp_path, rules) as office:
        await office.says(90, "pump")
        await office.says(90)
        assert office.firing("oncall") == 1  # another device: it does not count
    async with Office.at_work(
        tmp_path, rules.replace("pump.t > 80", "boiler.p > 1 or pump.t > 80")
    ) as office:
        await office.says(90, "pump")
        await office.says(20)
        await office.says(90)
        assert office.firing("oncall") == 0


async def test_alert_that_was_given_out_and_not_said_is_said_after_the_restart(tmp_path: Path) -> None:
    async with Office.at_work(tmp_path, HOT) as office:
        await office.says(90)
    file = tmp_path / "journal.db-rules.json"
    kept = orjson.loads(file.read_bytes())
    assert kept["parts"]["unsaid"] == []
    alert = {
        "at": [1, True], "rule": "hot", "device": "boiler", "state": "firing", "since": [1, True], "value": 90,
        "severity": "warning", "message": "90", "labels": {},
    }  # fmt: skip
    kept["parts"]["unsaid"] = [alert]
    file.write_bytes(orjson.dumps(kept))
    async with Office.at_work(tmp_path, HOT) as office:
        await asyncio.sleep(1)
        assert await office.published == [("alerts/hot", "firing")]
    assert orjson.loads(file.read_bytes())["parts"]["unsaid"] == []
    async with Office.at_work(tmp_path, HOT) as office:
        await office.says(90)
        assert await office.published == []


class Witness(MemoryJournal):
    """Looks at what rules have written down by the time that an alert comes."""

    def __init__(self, file: Path) -> None:
        super().__init__("broker")
        self.seen: list[Any] = []
        self._file = file

    async def append_urgent(self, topic: str, payload: bytes) -> None:
        self.seen.append(orjson.loads(self._file.read_bytes())["parts"])
        await super().append_urgent(topic, payload)


async def test_alert_is_written_down_before_it_is_in_the_journal(tmp_path: Path) -> None:
    journal = Witness(tmp_path / "journal.db-rules.json")
    async with Office.at_work(tmp_path, HOT, journal=journal) as office:
        await office.says(90)
    [parts] = journal.seen
    assert [each["rule"] for each in parts["unsaid"]] == ["hot"]
    assert [each["firing"] for each in parts["rules"]["alerts"]] == [True]


@pytest.mark.parametrize("safe", [False, True])
async def test_alert_that_a_power_cut_took_from_the_journal_is_published_after_it(
    tmp_path: Path, safe: bool
) -> None:
    async with Office.at_work(tmp_path, HOT) as office:
        await office.says(90)
        if safe:
            office.journal.urgent.commit("broker", office.journal.urgent.last)
            await asyncio.sleep(2 * LATE_S)
    file = tmp_path / "journal.db-rules.json"
    file.write_bytes(orjson.dumps({**orjson.loads(file.read_bytes()), "boot": "another"}))
    async with Office.at_work(tmp_path, HOT) as office:
        await asyncio.sleep(1)
        assert await office.published == ([] if safe else [("alerts/hot", "firing")])


@pytest.mark.parametrize("end", ["killed", "stopped"])
async def test_alert_that_fires_is_not_said_again_after_a_restart_and_its_end_is(
    tmp_path: Path, end: str
) -> None:
    text = f'{HOT}notify = ["oncall"]\n{ONCALL}'
    async with Office.at_work(tmp_path, text, killed=end == "killed") as office:
        await office.says(90)
    async with Office.at_work(tmp_path, text) as office:
        await office.says(90)
        assert await office.published == []
        assert office.firing("oncall") == 1
        await office.says(20)
        assert await office.published == [("alerts/hot", "resolved")]
        assert office.firing("oncall") == 0


async def test_rule_that_is_gone_is_resolved_where_it_was_published_and_its_topic_cleared(
    tmp_path: Path,
) -> None:
    async with Office.at_work(tmp_path, '[rules.hot]\nwhen = "this.t > 80"\neach = "boiler"\n') as office:
        await office.says(90)
        assert await office.published == [("alerts/hot/boiler", "firing")]
    async with Office.at_work(tmp_path, "") as office:
        await asyncio.sleep(1)
        assert await office.published == [
            ("alerts/hot/boiler", "resolved"),
            ("alerts/hot/boiler", "cleared"),
        ]
    async with Office.at_work(tmp_path, "") as office:
        await asyncio.sleep(1)
        assert await office.published == []


async def test_topic_of_a_rule_that_is_taken_out_is_cleared_though_there_is_no_room_for_that_at_first(
    tmp_path: Path,
) -> None:
    async with Office.at_work(tmp_path, HOT) as office:
        await office.says(90)
        await office.says(20)
        for _ in range(MOST_URGENT):
            if not office.journal.urgent_full:
                await office.journal.append_urgent("gaps", b"{}")
        config = _config(tmp_path, "")
        await office.alerting.change(config, _book(config), [])
        office.journal.urgent.commit("broker", before := office.journal.urgent.last)
        await asyncio.sleep(2 * LATE_S)
        assert office.journal.urgent.last == before + 1
        [cleared] = await office.journal.urgent.after("broker", before, limit=10)
        assert (cleared.device, cleared.payload) == ("alerts/hot", b"")


async def test_receiver_that_is_not_configured_any_more_is_no_reason_to_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = f'{HOT}notify = ["oncall"]\n{ONCALL.replace("1h", "0s")}'
    async with Office.at_work(tmp_path, text) as office:
        await office.says(90)
        assert office.alerting.receivers["oncall"].waiting == 1
    caplog.clear()
    async with Office.at_work(tmp_path, f'{HOT}notify = ["phone"]\n{PHONE}') as office:
        await office.says(20)
        assert await office.published == [("alerts/hot", "resolved")]
        assert office.firing("phone") == 0
    assert caplog.text.count("notify oncall: is not configured any more; what it had to tell is dropped") == 1


async def test_receiver_that_a_rule_does_not_name_any_more_hears_no_repeats(tmp_path: Path) -> None:
    async with Office.at_work(tmp_path, f'{HOT}notify = ["oncall"]\n{ONCALL}{PHONE}') as office:
        await office.says(90)
        assert office.firing("oncall") == 1
    async with Office.at_work(tmp_path, f'{HOT}notify = ["phone"]\n{ONCALL}{PHONE}') as office:
        assert office.firing("oncall") == 0


@pytest.mark.parametrize(
    "parts",
    [
        {}, [], {"rules": {}, "unsaid": [], "topics": [], "actions": {}, "notify": []},
        {"unsaid": [{}], "notify": {}, "rules": {}}, {"unsaid": 3, "notify": {}, "rules": {}},
        {"unsaid": [], "topics": [], "actions": {}, "notify": {"oncall": 3}, "rules": {}},
    ],
    ids=str,
)  # fmt: skip
async def test_memory_that_is_not_ours_is_set_aside_and_work_begins_anew(
    tmp_path: Path, parts: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "journal.db-rules.json"
    kept = {"version": 1, "boot": "x", "mono": 1.0, "wall_ns": 1, "synchronised": True, "parts": parts}
    file.write_bytes(orjson.dumps(kept))
    async with Office.at_work(tmp_path, f'{HOT}notify = ["oncall"]\n{ONCALL}') as office:
        assert "is set aside as" in caplog.text
        await office.says(90)
        assert await office.published == [("alerts/hot", "firing")]
        assert office.firing("oncall") == 1
    assert file.with_name(f"{file.name}.unreadable").exists()


async def test_counters_say_what_fires_waits_and_cannot_be_known(tmp_path: Path) -> None:
    rules = f'{HOT}[rules.slow]\nwhen = "boiler.t > 80"\nfor = "1h"\n[rules.odd]\nwhen = "boiler.t / 0 > 1"\n'
    async with Office.at_work(tmp_path, rules + ONCALL) as office:
        await office.says(90)
        counters = office.alerting.counters()
    assert (counters["firing"], counters["pending"]) == (1, 1)
    assert counters["unknown"]["odd"]["division by zero"] == 1
    assert "hot" not in counters["unknown"] or "division by zero" not in counters["unknown"]["hot"]
    assert counters["notify"]["oncall"]["firing"] == 0


async def test_log_warns_of_what_fires_and_not_of_what_is_quiet_or_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Office.at_work(tmp_path, HOT) as office:
        await office.says(90)
        ruling = office.alerting.ruling
        ruling.put(ruling.engine.acknowledge("hot", "boiler", "Ada", loop_clock()))
        await asyncio.sleep(1)
        await office.says(20)
    told = [
        (each.levelname, each.getMessage()) for each in caplog.records if each.message.startswith("alert ")
    ]
    assert told == [
        ("WARNING", "alert hot (boiler): firing: 90"),
        ("INFO", "alert hot (boiler): firing, acknowledged by Ada: 90"),
        ("INFO", "alert hot (boiler): resolved, acknowledged by Ada"),
    ]
    about = {"DEVICE": "boiler", "RULE": "hot"}
    assert fields(caplog.records, "firing: 90") == {"MESSAGE_ID": MessageId.ALERT_FIRING, **about}
    assert fields(caplog.records, "resolved") == {"MESSAGE_ID": MessageId.ALERT_RESOLVED, **about}
