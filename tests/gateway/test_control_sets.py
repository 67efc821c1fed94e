"""What devices are told over MQTT, and what the configuration lets through: at real brokers."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest

from gateway.config import ControlOptions
from gateway.control import MOST_OF_ONE, MOST_UNTAKEN, MOST_WAITING, OVERDUE_S, REPEATED_S, Call, Control
from gateway.errors import Refused
from gateway.logs import MessageId
from gateway.model import Value
from gateway.publish.aiomqtt_publisher import Heard
from gateway.publish.publisher import Answer, Message
from gateway.publish.topics import Asked
from gateway.request import LARGEST
from tests.gateway.test_control import (
    NOT_BEGUN,
    ROOT,
    Person,
    Request,
    Works,
    control_at,
    listens,
    publish,
    running,
)
from tests.support.amqtt_process import AmqttProcess
from tests.support.gateway_process import until
from tests.support.logged import fields
from tests.support.mosquitto import Mosquitto
from tests.support.rogue_broker import RogueBroker

EVERYTHING = ControlOptions.model_validate({"allow": ["*"], "set": ["*"]})


class Board(Works):
    """Devices that can be set; one of them, `slow`, when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.verbs: Mapping[str, Any] = {**self.verbs, "set": self.set_}
        self.told: dict[str, list[dict[str, Value]]] = {}

    async def set_(self, request: Request) -> Request:
        device, values = request.pop("device"), request.pop("values")
        if request:
            raise Refused(f"{[*request]}: unknown")
        if device == "absent":
            raise Refused("there is no device absent")
        told = self.told.setdefault(device, [])
        told.append(values)
        if device == "slow":
            await self.may_go_on.wait()
        if device == "mute":
            return {"status": "error", "error": "no answer", "device": device, "set": {}, "uncertain": values}
        if device == "away":
            return {"status": "error", "error": "away", "device": device, "set": {}, "uncertain": {}}
        return {"device": device, "set": values}


def settable(device: str) -> Iterable[str]:
    if device == "absent":
        raise Refused("there is no device absent")
    return "setpoint", "a/b", "set"


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto.running(tmp_path) as mosquitto:
        yield mosquitto


def control_of(*ports: int, board: Board, options: ControlOptions = EVERYTHING, **more: Any) -> Control:
    return control_at(*ports, verbs=board.verbs, options=lambda: options, settable=settable, **more)


@asynccontextmanager
async def at_work(
    port: int, board: Board, version: Literal["5", "3.1.1"] = "5", **more: Any
) -> AsyncIterator[Person]:
    control = control_of(port, board=board, version=version, **more)
    async with running(control), Person.at(port, "anna", version) as anna:
        await listens(anna)
        yield anna


async def tell(anna: Person, topic: str, payload: bytes | Request, **settings: Any) -> None:
    payload = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    await anna.client.publish(f"{ROOT}/{topic}", payload, qos=1, **settings)


async def tells(anna: Person, topic: str, payload: bytes | Request, **settings: Any) -> Any:
    before = len(anna.heard)
    await tell(anna, topic, payload, **settings)
    return await anna.answer(before + 1)


@pytest.mark.real_time
@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
async def test_device_is_set_by_an_object_or_a_bare_value_and_answered_once(
    tmp_path: Path, board: Board, kind: str
) -> None:
    with Mosquitto.running(tmp_path) if kind == "mosquitto" else AmqttProcess.running() as broker:
        async with at_work(broker.port, board, "5" if kind == "mosquitto" else "3.1.1") as anna:
            answer = await tells(anna, "boiler/set", {"values": {"a": 1, "b": "on"}, "transaction": 7})
            assert answer == {
                "transaction": 7,
                "status": "ok",
                "device": "boiler",
                "set": {"a": 1, "b": "on"},
            }
            for payload, value in ((b"7.5", 7.5), (b"true", True), (b"ON", "ON"), (b'"1"', "1"), (b"", "")):
                answer = await tells(anna, "boiler/setpoint/set", payload)
                assert answer == {"status": "ok", "device": "boiler", "set": {"setpoint": value}}
            for level, metric in (("a_b", "a/b"), ("set_", "set"), ("other", "other")):
                answer = await tells(anna, f"boiler/{level}/set", b"1")
                assert answer["set"] == {metric: 1}
            assert {topic for topic, *_ in anna.heard} == {f"{ROOT}/response/set"}
            assert len(anna.heard) == 9


@pytest.mark.real_time
async def test_command_that_cannot_be_is_answered_with_the_reason(broker: Mosquitto, board: Board) -> None:
    refused: list[tuple[str, bytes | Request, str]] = [
        ("boiler/set", b"", "the request is empty: it must be a JSON object, if only {}"),
        ("boiler/set", b"5", "the request must be a JSON object, if only {}"),
        ("boiler/set", {"values": {}, "device": "pump"}, "device: is said by the topic"),
        ("boiler/set", {"values": {}, "transaction": []}, "transaction: must be text or a whole number"),
        ("absent/set", {"values": {"a": 1}}, "there is no device absent"),
        ("absent/a/set", b"1", "there is no device absent"),
        ("boiler/a/set", b"\xff", "the value is no text in UTF-8"),
        ("boiler/a/set", b"1" * (LARGEST + 1), f"the value is larger than {LARGEST} bytes"),
    ]
    async with at_work(broker.port, board) as anna:
        for topic, payload, why in refused:
            answer = await tells(anna, topic, payload)
            assert (answer["status"], answer["error"]) == ("error", why)
        answer = await anna.asks("ping", {})
        assert "set" not in answer["error"].split("there are ")[1].split(", ")
    assert board.told == {}


@pytest.mark.real_time
async def test_device_that_does_not_answer_holds_up_nobody_else_and_has_a_bounded_queue(
    broker: Mosquitto, board: Board
) -> None:
    options = EVERYTHING.model_copy(update={"rate": 1000})
    async with at_work(broker.port, board, options=options) as anna:
        await tell(anna, "slow/set", {"values": {"n": -1}})
        await until(lambda: board.told.get("slow"))
        for number in range(MOST_OF_ONE + 5):
            await tell(anna, "slow/set", {"values": {"n": number}})
        for number in range(5):
            assert (await tells(anna, "quick/set", {"values": {"n": number}}))["set"] == {"n": number}
        assert (await anna.asks("echo", {}))["status"] == "ok"
        board.may_go_on.set()
        await anna.answer(6 + 1 + MOST_OF_ONE)
    assert board.told["slow"] == [{"n": number} for number in range(-1, MOST_OF_ONE)]


@pytest.mark.real_time
async def test_flood_for_many_devices_is_bounded_as_a_whole(broker: Mosquitto, board: Board) -> None:
    board.may_go_on.clear()
    async with at_work(broker.port, board, options=EVERYTHING.model_copy(update={"rate": 1})) as anna:
        async with asyncio.TaskGroup() as group:
            for number in range(3 * MOST_WAITING):
                group.create_task(tell(anna, f"device-{number}/set", {"values": {"n": 1}}))
        await asyncio.sleep(0.2)
        assert sum(map(len, board.told.values())) <= MOST_WAITING


@pytest.mark.real_time
async def test_command_that_comes_twice_is_carried_out_once(broker: Mosquitto, board: Board) -> None:
    async with at_work(broker.port, board) as anna:
        on = {"values": {"pulse": True}, "transaction": "anna-1"}
        first, again = [await tells(anna, "boiler/set", on) for _ in range(2)]
        assert again == {**first, "repeated": True}
        assert len(board.told["boiler"]) == 1
        for other in (
            {**on, "transaction": "anna-2"},
            on,
            {"values": {"pulse": True}},
            {"values": {"pulse": True}},
        ):
            answer = await tells(anna, "boiler/set", other)
            assert "repeated" not in answer
        assert len(board.told["boiler"]) == 5
        for device, times in (
            ("mute", 1),
            ("away", 2),
        ):  # of the one, nobody knows; the other has not heard it
            for _ in range(2):
                await tells(anna, f"{device}/set", on)
            assert len(board.told[device]) == times


def heard(topic: str, payload: bytes, answers: list[Any], **more: Any) -> Heard:
    def reply(message: Message, taken: Answer) -> None:
        answers.append(orjson.loads(message.payload))
        taken(None)

    return Heard(
        topic=f"{ROOT}/{topic}", payload=payload, retained=False, response_topic=None, reply=reply, **more
    )


async def test_repeat_counts_for_a_minute_and_what_has_waited_too_long_is_not_carried_out(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    loop, answers = asyncio.get_running_loop(), list[Any]()
    control = control_of(1, board=board)

    async def told(since: float) -> Any:
        message = heard("boiler/set", b'{"values":{"a":1},"transaction":1}', answers)
        await control._answer(Call(message, Asked("set", "boiler"), loop.create_future(), since))
        return answers[-1]

    await told(loop.time())
    await asyncio.sleep(REPEATED_S - 1)
    assert (await told(loop.time()))["repeated"] is True
    await asyncio.sleep(2)
    assert "repeated" not in await told(loop.time())
    await asyncio.sleep(REPEATED_S + 1)
    why = "it has waited for more than 30 s for what boiler was told before"
    assert (await told(loop.time() - OVERDUE_S - 1))["error"] == why
    assert caplog.messages[-1].endswith(f": {why}")  # nothing is set, or not, unseen
    assert len(board.told["boiler"]) == 2


@pytest.mark.real_time
@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
async def test_retained_command_is_not_carried_out_and_named_once(
    tmp_path: Path, board: Board, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    version: Literal["5", "3.1.1"] = "5" if kind == "mosquitto" else "3.1.1"
    with Mosquitto.running(tmp_path) if kind == "mosquitto" else AmqttProcess.running() as broker:
        async with Person.at(broker.port, "bert", version) as bert:
            await tell(bert, "boiler/set", {"values": {"from": "yesterday"}}, retain=True)
            await tell(bert, "boiler/a/set", b"1", retain=True)
            control = control_of(broker.port, board=board, version=version)
            for _ in range(2):
                async with running(control):
                    await listens(bert)
    assert board.told == {}
    told = [each.getMessage() for each in caplog.records if each.name == "gateway.control"]
    assert sorted(told) == [
        f"control: the retained message on {ROOT}/{topic} is not carried out: clear it"
        " (mosquitto_pub -r -n -t TOPIC), and send without retain"
        for topic in ("boiler/a/set", "boiler/set")
    ]


@pytest.mark.real_time
async def test_rule_that_is_called_set_is_no_command_nor_is_a_request(
    broker: Mosquitto, board: Board
) -> None:
    async with at_work(broker.port, board) as anna:
        await tell(anna, "alerts/set", {"values": {"a": 1}})
        await tell(anna, "alerts/set/set", b"1")
        for topic in ("request/set", "request/boiler/set"):  # which both subscriptions would hear
            await tell(anna, topic, {"device": "boiler", "values": {"a": 1}})
        assert (await tells(anna, "boiler/set", {"values": {"a": 1}}))["device"] == "boiler"
        assert len(anna.heard) == 1
    assert board.told.keys() == {"boiler"}


@pytest.mark.real_time
async def test_without_a_set_nobody_listens_on_the_topics_of_devices(broker: Mosquitto, board: Board) -> None:
    async with at_work(broker.port, board, options=ControlOptions(allow=("*",))) as anna:
        await tell(anna, "boiler/set", {"values": {"a": 1}})
        await tell(anna, "boiler/a/set", b"1")
        await anna.asks("echo", {})
        assert [topic for topic, *_ in anna.heard] == [f"{ROOT}/response/echo"]
    assert board.told == {}


@pytest.mark.real_time
async def test_request_that_the_configuration_does_not_allow_is_refused_and_noted(
    broker: Mosquitto, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    options = ControlOptions(allow=("echo",))
    control = control_at(broker.port, verbs=board.verbs, options=lambda: options)
    async with running(control), Person.at(broker.port) as anna:
        await listens(anna)
        answer = await anna.asks("slow", {"transaction": 1})
        denied = "slow is not in [control] allow of the gateway's configuration"
        assert answer == {"transaction": 1, "status": "error", "error": denied}
        assert (await anna.asks("echo", {}))["status"] == "ok"
        options = ControlOptions(allow=("*",))  # from now on, on the same connection
        board.may_go_on.set()
        assert (await anna.asks("slow", {}))["status"] == "ok"
    told = fields(caplog.records, f"asked on {ROOT}/request/slow, transaction 1: slow {{}}: {denied}")
    assert told == {"MESSAGE_ID": MessageId.REQUEST_REFUSED}


@pytest.mark.real_time
async def test_what_changes_something_is_in_the_log_with_topic_and_transaction(
    broker: Mosquitto, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway.request")
    async with at_work(broker.port, board) as anna:
        caplog.clear()
        await tells(anna, "boiler/set", {"values": {"a": 1}, "transaction": 'x"\n'})
        await tells(anna, "mute/a/set", b"1")
        await anna.asks("no", {"transaction": 5})
    said = [each.getMessage() for each in caplog.records if each.name == "gateway.request"]
    assert said == [
        f'asked on {ROOT}/boiler/set, transaction "x\\"\\n": set {{"device":"boiler","values":{{"a":1}}}}: done',
        f'asked on {ROOT}/mute/a/set: set {{"device":"mute","values":{{"a":1}}}}: no answer',
        f"asked on {ROOT}/request/no, transaction 5: no {{}}: not today",
    ]
    assert fields(caplog.records, "boiler") == {
        "MESSAGE_ID": MessageId.REQUEST_CARRIED_OUT, "DEVICE": "boiler",
    }  # fmt: skip


@pytest.mark.real_time
async def test_topic_cannot_pass_for_a_line_of_the_log(
    broker: Mosquitto, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    async with at_work(broker.port, board) as anna:
        caplog.clear()
        await tells(anna, "mute/set: on: done/set", b"1")
    [line] = [each.getMessage() for each in caplog.records if each.name == "gateway.request"]
    assert line.startswith(f'asked on "{ROOT}/mute/set: on: done/set": set {{')


@pytest.mark.real_time
async def test_who_is_retired_carries_out_what_is_under_way_at_all_devices_and_turns_the_rest_away(
    broker: Mosquitto, board: Board
) -> None:
    control = control_of(broker.port, board=board)
    async with Person.at(broker.port) as anna, running(control):
        await listens(anna)
        for number, topic in enumerate(("slow/set", "slow/set", "mute/set")):
            await tell(anna, topic, {"values": {"a": 1}, "transaction": number})
        await anna.ask("slow", {"transaction": "slow"})
        await until(lambda: board.told.keys() == {"slow", "mute"} and board.done)
        control.retire()
        await tell(anna, "late/set", {"values": {"a": 1}, "transaction": "late"})
        await tell(anna, "late/a/set", b"1")
        await until(lambda: len(anna.heard) == 4)
        board.may_go_on.set()
        await until(lambda: not control.listening and len(anna.heard) >= 6)
    errors = {answer.get("transaction"): answer.get("error") for _, answer, _ in anna.heard}
    assert errors == {0: None, 1: NOT_BEGUN, 2: "no answer", "slow": None, "late": NOT_BEGUN, None: NOT_BEGUN}
    assert len(anna.heard) == 6
    assert board.told == {"slow": [{"a": 1}], "mute": [{"a": 1}]}


@pytest.mark.real_time
async def test_stop_while_devices_are_set_answers_each_once(broker: Mosquitto, board: Board) -> None:
    async with Person.at(broker.port) as anna:
        async with running(control_of(broker.port, board=board)):
            await listens(anna)
            await tell(anna, "slow/set", {"values": {"a": 1}, "transaction": 1})
            await tell(anna, "slow/set", {"values": {"a": 2}, "transaction": 2})
            await until(lambda: board.told)
        await anna.answer(2)
        await asyncio.sleep(0.1)
        assert sorted(answer["transaction"] for _, answer, _ in anna.heard) == [1, 2]
        assert {answer["status"] for _, answer, _ in anna.heard} == {"error"}
    assert board.told == {"slow": [{"a": 1}]}


@pytest.mark.real_time
async def test_command_that_waits_when_the_broker_goes_is_not_carried_out_later(
    broker: Mosquitto, board: Board
) -> None:
    control = control_of(broker.port, board=board, connected=lambda: False)
    async with running(control):
        async with Person.at(broker.port) as anna:
            await listens(anna)
            for number in range(3):
                await tell(anna, "slow/set", {"values": {"n": number}})
            await until(lambda: board.told)
        broker.kill()
        await until(lambda: not control.listening)
        board.may_go_on.set()
        broker.start()
        async with Person.at(broker.port) as anna:
            await listens(anna)
            await tells(anna, "slow/set", {"values": {"n": 9}})
    assert board.told["slow"] == [{"n": 0}, {"n": 9}]


@pytest.mark.real_time
async def test_broker_that_makes_up_devices_and_acknowledges_nothing_is_not_answered_without_end(
    board: Board,
) -> None:
    options = EVERYTHING.model_copy(update={"rate": 1000})
    async with RogueBroker.running() as rogue:
        rogue.acknowledges = False
        control = control_of(rogue.port, board=board, options=options)
        async with running(control):
            await until(lambda: control.listening)
            for number in range(4 * MOST_WAITING):
                rogue.say(publish(f"{ROOT}/device-{number}/a/set", b"1"))
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.2)
            assert control.listening
            assert len(rogue.messages) == MOST_WAITING


@pytest.mark.real_time
async def test_broker_that_acknowledges_nothing_at_all_is_hung_up_on(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    options = EVERYTHING.model_copy(update={"rate": 1000})
    async with RogueBroker.running() as rogue:
        rogue.acknowledges = False
        async with running(control_of(rogue.port, board=board, options=options, ack_timeout="100ms")):
            for number in range(20 * MOST_UNTAKEN):
                rogue.say(publish(f"{ROOT}/device-{number % 50}/a/set", b"1"))
                await asyncio.sleep(0.002)
                if len(rogue.connects) > 1:
                    break
            assert len(rogue.connects) > 1
            assert MOST_WAITING < sum(map(len, board.told.values())) <= MOST_UNTAKEN + MOST_WAITING
    assert "control: answers: the broker acknowledges none: we hang up on it" in caplog.messages


@pytest.mark.real_time
async def test_broker_that_does_not_let_us_listen_for_devices_is_named_once_and_requests_are_taken(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    async with RogueBroker.running() as rogue:
        rogue.denies = {f"{ROOT}/+/set", f"{ROOT}/+/+/set"}
        control = control_of(rogue.port, board=board)
        async with running(control):
            for connects in (1, 2):
                await until(lambda connects=connects: len(rogue.connects) == connects and control.listening)  # type: ignore[misc]
                rogue.say(publish(f"{ROOT}/request/echo", b"{}"))
                await until(lambda connects=connects: len(rogue.messages) == connects)  # type: ignore[misc]
                rogue.hang_up()
    told = [line for line in caplog.messages if "does not let us listen" in line]
    name = f"127.0.0.1:{rogue.port}"
    assert told == [
        f"{name}: the broker does not let us listen on {ROOT}/{topic}" for topic in ("+/+/set", "+/set")
    ]


@pytest.mark.real_time
@pytest.mark.parametrize("delay_s", [0, 0.002, 0.005, 0.02, 0.05])
async def test_stop_in_a_hail_of_commands_is_clean(broker: Mosquitto, board: Board, delay_s: float) -> None:
    board.may_go_on.set()
    options = EVERYTHING.model_copy(update={"rate": 1000})
    control = control_of(broker.port, board=board, options=options)
    async with Person.at(broker.port) as anna, asyncio.TaskGroup() as group, running(control):
        await listens(anna)
        for number in range(30):
            group.create_task(tell(anna, f"device-{number % 3}/set", {"values": {"n": number}}))
        await asyncio.sleep(delay_s)
    assert all(told == sorted(told, key=lambda each: each["n"]) for told in board.told.values())
