"""Discovery at work, on a time that jumps: what is posted, when, and what is remembered of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

import drivers
from gateway.bus import EventBus
from gateway.config import Config, HomeAssistantOptions, WebOptions
from gateway.filters.filter import MOST_METRICS
from gateway.homeassistant.discovery import BIRTH_EVERY_S, Discovery
from gateway.homeassistant.memory import Memory
from gateway.journal.journal import Journal
from gateway.model import Reading, Stamp, Value
from gateway.publish.aiomqtt_publisher import Heard
from gateway.publish.delivery import Delivery
from gateway.publish.publisher import Message
from gateway.supervisor import Supervisor
from tests.gateway.test_tallies import delivery
from tests.support.journals import opened

ROOT = "homeassistant/device/sallyport_g"
LIMIT = {"send": "V {value}", "minimum": 0, "maximum": 30}
ON = {"send": "O {value}", "names": {"1": True, "0": False}}
SUPPLY = {"driver": "scpi", "port": "/dev/ttyUSB0", "commands": {"limit": LIMIT, "on": ON}}


def site(*, there: bool = True, **devices: dict[str, Any]) -> Config:
    options = {
        name: drivers.find(table["driver"]).options.model_validate(table) for name, table in devices.items()
    }
    config = Config.model_validate({"gateway": {"name": "g"}, **({"homeassistant": {}} if there else {})})
    return config.model_copy(update={"devices": options})


def board(**options: Any) -> dict[str, Any]:
    return {"driver": "json", "port": "/dev/ttyUSB1", **options}


class Work:
    """A discovery with one broker, which takes everything at once, if it is there."""

    def __init__(self, config: Config, journal: Journal, path: Path | None = None) -> None:
        self.config = config
        self.is_there = True
        self.bus = EventBus()
        self.delivery: Delivery = delivery(journal)
        self.deliveries = [self.delivery]
        self.discovery = Discovery(
            lambda: self.config,
            self.deliveries,
            Memory(path),
            self.bus,
            lambda _device, metric: metric != "on",
        )
        self.sent: list[Message] = []

    @classmethod
    @asynccontextmanager
    async def running(
        cls, config: Config, path: Path | None = None, *, is_there: bool = True
    ) -> AsyncIterator["Work"]:
        async with opened(None) as journal:
            work = cls(config, journal, path)
            work.is_there = is_there
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(Supervisor().run([work.discovery.child])),
                    group.create_task(work._take()),
                ]
                await asyncio.sleep(3)
                yield work
                for task in tasks:
                    task.cancel()
            await work.discovery.finish()

    async def _take(self) -> None:
        while True:
            message = await self.delivery.board.next()
            if self.is_there:
                self.sent.append(message)
                self.delivery.board.seen(message)

    async def see(self, device: str, **values: Value) -> None:
        await self.bus.publish(Reading(at=Stamp(0, 0.0), device=device, values=values))
        await asyncio.sleep(3)

    async def change(self, config: Config) -> None:
        self.config = config
        await self.discovery.change()
        await asyncio.sleep(3)

    def components(self, device: str) -> dict[str, Any]:
        """Of what was sent last."""
        [*_, last] = [each for each in self.sent if each.topic == f"{ROOT}/{device}/config"]
        found: dict[str, Any] = orjson.loads(last.payload)["components"] if last.payload else {}
        return found


async def test_what_is_configured_to_be_set_is_there_before_it_is_seen_if_it_may_be_set() -> None:
    async with Work.running(site(supply=SUPPLY)) as work:
        assert work.components("supply").keys() == {"number_limit"}


async def test_protocols_settings_are_there_when_they_are_seen_and_what_filters_make_cannot_be_set() -> None:
    solar = {
        "driver": "vedirect",
        "port": "/dev/ttyUSB0",
        "filters": [{"scale": 2, "metric": "float_voltage"}],
    }
    async with Work.running(site(solar=solar)) as work:
        assert [each.topic for each in work.sent] == [f"{ROOT}/status/config"]
        await work.see("solar", absorption_voltage=14.4, float_voltage=27.6)
        assert work.components("solar").keys() == {"number_absorption_voltage", "sensor_float_voltage"}


async def test_many_new_metrics_are_announced_together() -> None:
    async with Work.running(site(board=board())) as work:
        for number in range(50):
            await work.bus.publish(Reading(at=Stamp(0, 0.0), device="board", values={f"m{number}": number}))
            await asyncio.sleep(0.01)
        await asyncio.sleep(3)
        assert len(work.components("board")) == 50
        assert len([each for each in work.sent if "board" in each.topic]) <= 2


async def test_what_is_already_known_is_not_said_again() -> None:
    async with Work.running(site(board=board())) as work:
        await work.see("board", t=1)
        count = len(work.sent)
        for _ in range(5):
            await work.see("board", t=2.5)
        await work.change(work.config)
        assert len(work.sent) == count


async def test_number_that_becomes_a_text_is_one_and_the_truth_that_does_is_another_entity() -> None:
    async with Work.running(site(board=board())) as work:
        await work.see("board", t=1, lamp=True)
        await work.see("board", t="error", lamp="dim")
        components = work.components("board")
        assert "state_class" not in components["sensor_t"]
        assert components["binary_sensor_lamp"] == {"platform": "binary_sensor"}, "it is to be forgotten"
        assert components["sensor_lamp"]["unique_id"] == "sallyport/g/board/lamp"


async def test_instrument_that_makes_up_names_fills_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "memory.json"
    async with Work.running(site(board=board()), path) as work:
        for number in range(0, 2 * MOST_METRICS, 64):
            await work.see("board", **{f"m{each}": each for each in range(number, number + 64)})
        assert len(work.components("board")) == 256
    assert len(json.loads(path.read_text())["seen"]["board"]["metrics"]) == MOST_METRICS
    assert len([each for each in caplog.messages if "has more metrics" in each]) == 1


async def test_name_that_cannot_be_written_anywhere_is_published_and_remembered_as_it_can(
    tmp_path: Path,
) -> None:
    async with Work.running(site(board=board()), tmp_path / "memory.json") as work:
        await work.see("board", **{"t\ud800": 1})
        [config] = work.components("board").values()
        assert "['values'].get('t?')" in config["value_template"]
    async with Work.running(site(board=board()), tmp_path / "memory.json") as work:
        assert len(work.components("board")) == 1


async def test_what_has_left_meanwhile_is_cleared_after_a_restart_until_the_broker_has_taken_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "memory.json"
    async with Work.running(site(board=board(), other=board()), path) as work:
        await work.see("board", t=1, u=2)
        await work.see("other", t=1)
    without_u = board(filters=[{"drop": ["u"]}])
    async with Work.running(site(board=without_u), path) as work:
        assert Message(f"{ROOT}/other/config", b"", retain=True) in work.sent
        assert work.components("board")["sensor_u"] == {"platform": "sensor"}
    async with Work.running(site(board=without_u), path) as work:
        assert {each.topic for each in work.sent} == {f"{ROOT}/board/config", f"{ROOT}/status/config"}
        assert work.components("board").keys() == {"sensor_t"}


async def test_metric_that_left_while_the_broker_was_away_is_cleared_though_the_gateway_is_restarted_twice(
    tmp_path: Path,
) -> None:
    path = tmp_path / "memory.json"
    async with Work.running(site(board=board()), path) as work:
        await work.see("board", t=1, u=2)
    without_u = site(board=board(filters=[{"drop": ["u"]}]))
    for _ in range(2):
        async with Work.running(without_u, path, is_there=False):
            pass
    async with Work.running(without_u, path) as work:
        assert work.components("board")["sensor_u"] == {"platform": "sensor"}
    async with Work.running(without_u, path) as work:
        assert work.components("board").keys() == {"sensor_t"}


async def test_entities_of_another_driver_are_forgotten_though_the_broker_was_away_when_it_left() -> None:
    async with Work.running(site(board=board())) as work:
        await work.see("board", t=1)
        work.is_there = False
        await work.change(site(board={"driver": "nmea0183", "port": "/dev/ttyUSB1"}))
        await work.see("board", sog=5.1)
        work.is_there = True
        work.delivery.board.repost_all()
        await asyncio.sleep(3)
        assert work.components("board")["sensor_t"] == {"platform": "sensor"}


async def test_it_speaks_where_home_assistant_listens_and_speaks() -> None:
    async with Work.running(site()) as work:
        assert work.discovery.says() == ("homeassistant", "homeassistant/status")
        work.config = work.config.model_copy(
            update={"homeassistant": HomeAssistantOptions(discovery_prefix="ha", status_topic="birth")}
        )
        assert work.discovery.says() == ("ha", "birth")
        await work.change(site(there=False))
        assert work.discovery.says() == ()


async def test_what_left_while_a_broker_was_not_configured_is_cleared_when_it_is_again() -> None:
    async with Work.running(site(board=board(), other=board())) as work:
        await work.see("board", t=1)
        await work.see("other", t=1)
        work.deliveries.clear()
        await work.change(site(board=board()))
        work.deliveries.append(work.delivery)
        work.delivery.board.take_down_all()
        await work.discovery.change(work.deliveries)
        await asyncio.sleep(3)
        assert work.components("other") == {}
        assert work.components("board").keys() == {"sensor_t"}


async def test_clearing_that_a_broker_with_other_topics_never_saw_is_not_taken_for_done(
    tmp_path: Path,
) -> None:
    path = tmp_path / "memory.json"
    async with Work.running(site(board=board(), other=board()), path) as work:
        await work.see("board", t=1)
        await work.see("other", t=1)
        work.is_there = False
        await work.change(site(board=board()))
        work.delivery.board.take_down_all()
        await work.see("board", new=1)
        work.is_there = True
        await work.discovery.change([work.delivery])
        await asyncio.sleep(3)
        assert work.components("other") == {}
    assert f"{ROOT}/other/config" not in json.loads(path.read_text())["posted"]["mqtt"]


async def test_other_driver_or_other_names_make_other_metrics(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    async with Work.running(site(board=board()), path) as work:
        await work.see("board", t=1)
        await work.change(site(board={"driver": "nmea0183", "port": "/dev/ttyUSB1"}))
        assert work.sent[-1] == Message(f"{ROOT}/board/config", b"", retain=True)
        await work.see("board", sog=5.1)
        assert work.components("board").keys() == {"sensor_sog"}


async def test_number_that_somebody_has_described_stays_one_whatever_slips_in() -> None:
    described = board(metrics={"t": {"unit": "Cel"}, "late": {"unit": "V"}})
    async with Work.running(site(board=described)) as work:
        await work.see("board", t=21.5, u=1, late="starting")
        await work.see("board", t="nan", u="nan", late=4.2)
        await work.see("board", t=True)
        components = work.components("board")
        assert components["sensor_t"]["unit_of_measurement"] == "°C"
        assert components["sensor_late"]["unit_of_measurement"] == "V"
        assert "state_class" not in components["sensor_u"]


async def test_reading_that_was_still_under_way_brings_nothing_back_that_filters_drop_now() -> None:
    async with Work.running(site(board=board())) as work:
        await work.see("board", t=1, u=2)
        await work.change(site(board=board(filters=[{"drop": ["u"]}])))
        await work.see("board", t=1, u=2)
        assert work.components("board")["sensor_u"] == {"platform": "sensor"}


async def test_readings_of_many_devices_pass_while_another_configuration_is_taken_up() -> None:
    devices = {f"board{number}": board() for number in range(5)}
    async with Work.running(site(there=True, **devices)) as work:
        for name in devices:
            await work.see(name, t=1)
        changing = asyncio.create_task(work.discovery.change())
        turns = 0
        while not changing.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > len(devices)


async def test_page_is_where_others_reach_it() -> None:
    config = site(board=board())
    async with Work.running(config) as work:
        assert "configuration_url" not in orjson.loads(work.sent[0].payload)["device"]
        page = {"listen": "192.168.1.7:8080", "token": "t"}
        await work.change(config.model_copy(update={"web": WebOptions.model_validate(page)}))
        assert (
            orjson.loads(work.sent[-1].payload)["device"]["configuration_url"] == "http://192.168.1.7:8080/"
        )


async def test_who_has_no_home_assistant_gets_no_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    async with Work.running(site(there=False, board=board()), path) as work:
        await work.see("board", t=1)
    assert not path.exists()


async def test_birth_is_answered_once_in_a_while_and_a_retained_one_not_at_all() -> None:
    async with Work.running(site(board=board())) as work:
        await work.see("board", t=1)
        count = len(work.sent)
        for payload, retained in ((b"online", True), (b"offline", False), (b"Online", False)):
            work.discovery.hear(heard(payload, retained=retained))
            await asyncio.sleep(3)
        assert len(work.sent) == count
        for _ in range(100):
            work.discovery.hear(heard(b"online"))
        await asyncio.sleep(3)
        assert len(work.sent) == count + 2
        for _ in range(20):
            work.discovery.hear(heard(b"online"))
            await asyncio.sleep(1)
        assert len(work.sent) == count + 2, "they wait"
        await asyncio.sleep(BIRTH_EVERY_S)
        assert len(work.sent) == count + 4, "and are answered once, all of them"
        await asyncio.sleep(BIRTH_EVERY_S)
        assert len(work.sent) == count + 4
        work.discovery.hear(heard(b"online"))
        await asyncio.sleep(3)
        assert len(work.sent) == count + 6, "after a rest, at once"


def heard(payload: bytes, *, retained: bool = False) -> Heard:
    return Heard(
        topic="homeassistant/status", payload=payload, retained=retained, response_topic=None,
        reply=lambda _message, _answer: None,
    )  # fmt: skip


async def test_readings_cost_nothing_without_the_table() -> None:
    async with Work.running(site(there=False, board=board())) as work:
        assert not work.discovery.topics()
        await work.see("board", t=1)
        assert work.sent == []
        await work.change(site(board=board()))
        await work.see("board", u=1)
        assert work.components("board").keys() == {"sensor_u"}
        await work.change(site(there=False, board=board()))
        await work.see("board", v=1)
        assert [each.payload for each in work.sent[-2:]] == [b"", b""]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version":2}',
        '{"version":1,"seen":{"a":1},"posted":{}}',
        '{"version":1,"seen":{"b":{"as":"x","metrics":{"t":"colour"}}},"posted":{}}',
        '{"version":1,"seen":{},"posted":{"mqtt":{"a":[]}}}',
    ],
)
async def test_memory_that_is_none_is_said_to_be_so_and_the_gateway_goes_on(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "memory.json"
    path.write_text(content)
    async with Work.running(site(board=board()), path) as work:
        await work.see("board", t=1)
        assert "sensor_t" in work.components("board")
    assert "must be removed in Home Assistant by hand" in caplog.text
    assert json.loads(path.read_text())["seen"]["board"]["metrics"] == {"t": "number"}
    assert path.stat().st_mode & 0o777 == 0o600


async def test_disk_that_does_not_take_it_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Work.running(site(board=board()), tmp_path / "nowhere" / "memory.json") as work:
        await work.see("board", t=1)
        await work.see("board", u=1)
        assert "sensor_u" in work.components("board")
    assert len([each for each in caplog.messages if "cannot be written" in each]) == 1
