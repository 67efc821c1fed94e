import asyncio
import json
import re
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import aiomqtt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.config import ControlOptions, MqttOptions
from gateway.control import MOST_DROPPED, MOST_WAITING, Call, Control
from gateway.errors import Refused, Unreachable
from gateway.publish.aiomqtt_publisher import Heard
from gateway.publish.broker import Broker
from gateway.publish.embedded import embedded_broker
from gateway.publish.publisher import Answer, Message
from gateway.publish.topics import Asked
from gateway.request import LARGEST, Verb
from gateway.supervisor import Supervisor
from tests.support.amqtt_process import AmqttProcess
from tests.support.gateway_process import until
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port
from tests.support.rogue_broker import RogueBroker, maximum_packet_size

pytestmark = pytest.mark.real_time

Request = dict[str, Any]
ROOT = "plant/hall-2/greenhouse"
ANYWHERE = "127.0.0.1"


class Works:
    """What is asked for, and a few ways to answer."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.may_go_on = asyncio.Event()
        self.verbs: Mapping[str, Verb] = {
            "echo": self.echo,
            "deep/echo": self.echo,
            "slow": self.slow,
            "no": self.no,
            "bug": self.bug,
            "no json": self.no_json,
        }

    def echo(self, request: Request) -> Request:
        self.done.append(request)
        return {"echo": request}

    async def slow(self, request: Request) -> Request:
        self.done.append(request)
        await self.may_go_on.wait()
        self.done.append("finished")
        return {}

    def no(self, _request: Request) -> Request:
        raise Refused("not today")

    def bug(self, _request: Request) -> Request:
        raise ZeroDivisionError

    def no_json(self, _request: Request) -> Request:
        return {"it": object()}


class Person:
    """Another client of the broker: asks, and has heard everything that was answered."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.heard: list[tuple[str, Any, Any]] = []
        """Topic, answer, Correlation Data."""

    @classmethod
    @asynccontextmanager
    async def at(
        cls, port: int, name: str = "anna", version: Literal["5", "3.1.1"] = "5", *also: str
    ) -> AsyncIterator["Person"]:
        protocol = aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311
        async with aiomqtt.Client(ANYWHERE, port, identifier=name, protocol=protocol) as client:
            person = cls(client)
            for topic in (f"{ROOT}/response/#", *also):
                await client.subscribe(topic, qos=1)
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(person._listen())
                yield person
                listening.cancel()

    async def ask(self, verb: str, request: Any, **settings: Any) -> None:
        payload = request if isinstance(request, bytes) else orjson.dumps(request)
        await self.client.publish(f"{ROOT}/request/{verb}", payload, qos=1, **settings)

    async def answer(self, count: int = 1) -> Any:
        """The last of so many."""
        await until(lambda: len(self.heard) >= count)
        return self.heard[count - 1][1]

    async def asks(self, verb: str, request: Any, **settings: Any) -> Any:
        before = len(self.heard)
        await self.ask(verb, request, **settings)
        return await self.answer(before + 1)

    def has_heard(self, transaction: int) -> bool:
        return bool(self.heard) and self.heard[-1][1]["transaction"] == transaction

    async def _listen(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            correlation = getattr(message.properties, "CorrelationData", None)
            self.heard.append((str(message.topic), orjson.loads(message.payload), correlation))


def everything() -> ControlOptions:
    return ControlOptions(allow=("*",))


def control_at(
    *ports: int,
    verbs: Mapping[str, Verb],
    connected: Callable[[], bool] = lambda: True,
    version: Literal["5", "3.1.1"] = "5",
    options: Callable[[], ControlOptions] = everything,
    settable: Callable[[str], Iterable[str]] = lambda _device: (),
    says: Callable[[], Iterable[str]] = tuple,
    **mqtt_options: Any,
) -> Control:
    mqtt = MqttOptions.model_validate(
        {
            "urls": [f"mqtt://{ANYWHERE}:{port}" for port in ports], "prefix": "plant/hall-2", "version": version,
            "retry_max": "100ms", "connect_timeout": "5s", **mqtt_options,
        }
    )  # fmt: skip
    return Control(
        mqtt, Broker.ways(mqtt, client_id="sallyport-greenhouse"), verbs, gateway="greenhouse", connected=connected,
        options=options, settable=settable, says=says,
    )  # fmt: skip


@asynccontextmanager
async def running(control: Control) -> AsyncIterator[None]:
    """Until the block is left; it then ends by cancellation, as the gateway does it."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Supervisor().run([control.child]))
        yield
        task.cancel()


async def listens(*persons: Person) -> None:
    """Whoever asks before that is not heard."""
    asker, number = persons[0], 0
    async with asyncio.timeout(30):
        while not asker.heard:
            number += 1
            await asker.ask("no", {"transaction": number})
            await asyncio.sleep(0.02)
        for person in persons:
            await until(partial(person.has_heard, number))
            person.heard.clear()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """By us, not by a loop that was slow."""
    return [
        each.getMessage() for each in caplog.records if each.name in ("gateway.control", "gateway.supervisor")
    ]


@pytest.fixture
def works() -> Works:
    return Works()


@pytest.fixture
def broker(tmp_path: Path) -> Any:
    with Mosquitto.running(tmp_path) as mosquitto:
        yield mosquitto


async def test_request_is_carried_out_and_answered_with_its_transaction(
    broker: Mosquitto, works: Works
) -> None:
    async with running(control_at(broker.port, verbs=works.verbs)), Person.at(broker.port) as anna:
        await listens(anna)
        for transaction in ("a-1", 17, ""):
            answer = await anna.asks("echo", {"value": 5, "transaction": transaction})
            assert answer == {"transaction": transaction, "status": "ok", "echo": {"value": 5}}
        assert await anna.asks("deep/echo", {}) == {"status": "ok", "echo": {}}
        assert [topic for topic, _, _ in anna.heard] == [f"{ROOT}/response/echo"] * 3 + [
            f"{ROOT}/response/deep/echo"
        ]
    assert works.done == [{"value": 5}] * 3 + [{}]


NO_SUCH_VERB = "there is no such verb; there are bug, deep/echo, echo, no, no json, slow"
NO_OBJECT = "the request must be a JSON object, if only {}"
NO_TRANSACTION = "transaction: must be text or a whole number"
BAD_REQUESTS: list[tuple[str, Any, Any]] = [
    ("no", {"transaction": 1}, {"transaction": 1, "error": "not today"}),
    ("fly", {"transaction": 1}, {"transaction": 1, "error": NO_SUCH_VERB}),
    ("echo/echo", {}, {"error": NO_SUCH_VERB}),
    ("echo", b"", {"error": "the request is empty: it must be a JSON object, if only {}"}),
    ("echo", b"\xff\x00", None),
    ("echo", b"[" * 5000, None),
    ("echo", b'{"a": NaN}', None),
    ("echo", [], {"error": NO_OBJECT}),
    ("echo", "text", {"error": NO_OBJECT}),
    ("echo", {"transaction": [1]}, {"error": NO_TRANSACTION}),
    ("echo", {"transaction": True}, {"error": NO_TRANSACTION}),
    ("echo", {"transaction": "x" * 257}, {"error": "transaction: must not be longer than 256 characters"}),
    ("echo", b" " * (LARGEST - 1) + b"{}", {"error": "the request is larger than 65536 bytes"}),
]


async def test_request_that_cannot_be_is_answered_with_the_reason(broker: Mosquitto, works: Works) -> None:
    async with running(control_at(broker.port, verbs=works.verbs)), Person.at(broker.port) as anna:
        await listens(anna)
        for verb, payload, wanted in BAD_REQUESTS:
            answer = await anna.asks(verb, payload)
            assert answer.pop("status") == "error"
            if wanted is None:
                assert answer["error"].startswith("the request is no JSON: ")
            else:
                assert answer == wanted
            assert anna.heard[-1][0] == f"{ROOT}/response/{verb}"
        assert (await anna.asks("echo", {}))["status"] == "ok"
    assert works.done == [{}]


async def test_request_at_the_limit_is_carried_out_and_one_far_beyond_it_costs_nothing(
    broker: Mosquitto, works: Works
) -> None:
    async with running(control_at(broker.port, verbs=works.verbs)), Person.at(broker.port) as anna:
        await listens(anna)
        await anna.ask("echo", b"{" + b" " * (LARGEST * 10) + b"}")
        assert (await anna.asks("echo", b"{" + b" " * (LARGEST - 2) + b"}"))["status"] == "ok"
        assert len(anna.heard) == 1


async def test_of_a_request_beyond_all_bounds_nothing_waits_but_that_it_came(works: Works) -> None:
    control = control_at(1, verbs=works.verbs)
    topic = f"{ROOT}/request/echo"
    control._gone = asyncio.get_running_loop().create_future()
    for size in (LARGEST, 100 * LARGEST):
        control._hear(
            Heard(
                topic=topic, payload=b"x" * size, retained=False, response_topic=None, reply=lambda *_: None
            )
        )
    assert [len(call.heard.payload) for call in control._lanes[""]] == [LARGEST, LARGEST + 1]


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
async def test_retained_request_is_not_carried_out_again_by_whoever_comes(
    tmp_path: Path, works: Works, kind: str
) -> None:
    with Mosquitto.running(tmp_path) if kind == "mosquitto" else AmqttProcess.running() as broker:
        version: Literal["5", "3.1.1"] = "5" if kind == "mosquitto" else "3.1.1"
        async with Person.at(broker.port, "anna", version) as anna:
            await anna.ask("echo", {"transaction": "from yesterday"}, retain=True)
            for _ in range(2):
                async with running(control_at(broker.port, verbs=works.verbs, version=version)):
                    await listens(anna)
    assert works.done == []


async def test_broker_that_speaks_3_1_1_only_will_do(works: Works) -> None:
    with AmqttProcess.running() as broker:
        control = control_at(broker.port, verbs=works.verbs, version="3.1.1")
        async with running(control), Person.at(broker.port, "anna", "3.1.1") as anna:
            await listens(anna)
            assert (await anna.asks("echo", {"transaction": 1}))["transaction"] == 1


def _wishes(topic: str | None, correlation: bytes | None = None) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if topic is not None:
        properties.ResponseTopic = topic
    if correlation is not None:
        properties.CorrelationData = correlation
    return properties


async def test_answer_goes_where_the_sender_wants_it_with_its_correlation_data(
    broker: Mosquitto, works: Works
) -> None:
    control = control_at(broker.port, verbs=works.verbs)
    async with running(control), Person.at(broker.port, "anna", "5", "anna/#") as anna:
        await listens(anna)
        await anna.asks("echo", {"transaction": 1}, properties=_wishes("anna/answers", b"\x00\xff"))
        await anna.asks("echo", {}, properties=_wishes(None, b"only"))
        await anna.asks("echo", {}, properties=_wishes(f"{ROOT}/response/anna"))
        assert anna.heard == [
            ("anna/answers", {"transaction": 1, "status": "ok", "echo": {}}, b"\x00\xff"),
            (f"{ROOT}/response/echo", {"status": "ok", "echo": {}}, b"only"),
            (f"{ROOT}/response/anna", {"status": "ok", "echo": {}}, None),
        ]


async def test_answer_cannot_be_sent_where_it_would_pass_for_something_else(
    broker: Mosquitto, works: Works
) -> None:
    # mosquitto hangs up on who publishes where there are more than 200 levels.
    others = ("plant/hall-2", "plant/hall-2/other/boiler", "$SYS/x", f"{ROOT}/response", "a/" * 300)
    async with running(control_at(broker.port, verbs=works.verbs)), Person.at(broker.port) as anna:
        await listens(anna)
        for topic in (f"{ROOT}/boiler/set", f"{ROOT}/request/echo", *others):
            await anna.asks("echo", {}, properties=_wishes(topic, b"x"))
            assert anna.heard.pop() == (f"{ROOT}/response/echo", {"status": "ok", "echo": {}}, b"x")
    assert works.done == [{}] * 7


async def test_answer_cannot_be_sent_where_home_assistant_listens_as_it_is_configured_now(
    broker: Mosquitto, works: Works
) -> None:
    says: list[str] = []
    control = control_at(broker.port, verbs=works.verbs, says=lambda: says)
    async with running(control), Person.at(broker.port, "anna", "5", "homeassistant/#") as anna:
        await listens(anna)
        await anna.asks("echo", {}, properties=_wishes("homeassistant/cover/x/config", b"x"))
        assert anna.heard.pop()[0] == "homeassistant/cover/x/config"
        says.append("homeassistant")
        for topic in ("homeassistant/cover/x/config", "homeassistant/status", "homeassistant"):
            await anna.asks("echo", {}, properties=_wishes(topic, b"x"))
            assert anna.heard.pop()[0] == f"{ROOT}/response/echo"


async def test_two_who_ask_at_once_each_get_their_answers(broker: Mosquitto, works: Works) -> None:
    control = control_at(broker.port, verbs=works.verbs)
    async with running(control), Person.at(broker.port) as anna, Person.at(broker.port, "bert") as bert:
        await listens(anna, bert)
        async with asyncio.TaskGroup() as group:
            for number in range(15):
                group.create_task(anna.ask("echo", {"transaction": f"anna {number}"}))
                group.create_task(bert.ask("echo", {"transaction": f"bert {number}"}))
        for person in (anna, bert):
            await person.answer(30)
            answered = [answer["transaction"] for _, answer, _ in person.heard]
            assert sorted(answered) == sorted(f"{who} {n}" for who in ("anna", "bert") for n in range(15))
    assert len(works.done) == 30


async def test_flood_of_requests_is_cut_off_and_said_once(
    broker: Mosquitto, works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    control = control_at(broker.port, verbs=works.verbs)
    async with running(control), Person.at(broker.port) as anna:
        await listens(anna)
        works.may_go_on.clear()
        await anna.ask("slow", {})
        await until(lambda: works.done)
        async with asyncio.TaskGroup() as group:
            for number in range(MOST_WAITING * 3):
                group.create_task(anna.ask("echo", {"number": number}))
        works.may_go_on.set()
        await anna.answer(1 + 20)
        assert control.listening
        assert len([line for line in said(caplog) if "too fast" in line]) == 1
    carried_out = works.done[2:]
    assert carried_out == [{"number": number} for number in range(len(carried_out))]
    assert len(carried_out) <= MOST_WAITING


async def test_endless_flood_is_hung_up_on_for_a_while(works: Works) -> None:
    async with RogueBroker.running() as rogue:
        control = control_at(rogue.port, verbs=works.verbs)
        async with running(control):
            await until(lambda: control.listening)
            request = publish(f"{ROOT}/request/slow", b"{}")
            rogue.say(request)
            await until(lambda: works.done)
            rogue.say(request * (MOST_WAITING + MOST_DROPPED - 1))
            await asyncio.sleep(0.5)
            assert len(rogue.connects) == 1
            rogue.say(request)
            await until(lambda: len(rogue.connects) > 1 and control.listening)
    assert works.done == [{}]


async def test_burst_now_and_then_is_no_flood(works: Works) -> None:
    """On one connection, in the course of a year; the clock is turned on."""
    loop, dropped = asyncio.get_running_loop(), MOST_DROPPED - 10
    control = control_at(1, verbs=works.verbs)
    control._gone = loop.create_future()
    request = Heard(
        topic=f"{ROOT}/request/echo", payload=b"{}", retained=False, response_topic=None, reply=lambda *_: None
    )  # fmt: skip
    for _ in range(3):
        for _ in range(MOST_WAITING + dropped):
            control._hear(request)
        control._lanes.clear()
        control._tell_dropped.opens_at = loop.time()
    with pytest.raises(Unreachable, match="requests come too fast"):
        for _ in range(MOST_WAITING + MOST_DROPPED):
            control._hear(request)


async def test_gateway_listens_again_when_the_broker_is_back(
    broker: Mosquitto, works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    online = True
    control = control_at(broker.port, verbs=works.verbs, connected=lambda: online)
    async with running(control):
        for _ in range(2):
            async with Person.at(broker.port) as anna:
                await listens(anna)
                assert (await anna.asks("echo", {}))["status"] == "ok"
            online = False
            broker.kill()
            await asyncio.sleep(0.3)
            broker.start()
            online = True
    assert said(caplog) == []  # the forwarder says it


async def test_request_that_waits_when_the_broker_goes_is_not_carried_out_later_but_one_under_way_is_finished(
    broker: Mosquitto, works: Works
) -> None:
    async with running(control_at(broker.port, verbs=works.verbs, connected=lambda: False)):
        async with Person.at(broker.port) as anna:
            await listens(anna)
            await anna.ask("slow", {})
            await anna.ask("echo", {"number": 1})
            await until(lambda: works.done)
        broker.kill()
        await asyncio.sleep(0.2)
        works.may_go_on.set()
        broker.start()
        async with Person.at(broker.port) as anna:
            await listens(anna)
            await anna.asks("echo", {"number": 2})
    assert works.done == [{}, "finished", {"number": 2}]


async def test_next_way_is_taken_when_the_first_broker_is_away(broker: Mosquitto, works: Works) -> None:
    control = control_at(free_port(), broker.port, verbs=works.verbs)
    async with running(control), Person.at(broker.port) as anna:
        await listens(anna)
        assert (await anna.asks("echo", {}))["status"] == "ok"


async def test_broker_that_does_not_let_us_listen_is_named_once(
    works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway.control")
    async with RogueBroker.running() as rogue:
        rogue.grants = 0x87
        rogue_name = f"{ANYWHERE}:{rogue.port}"
        async with running(control_at(rogue.port, verbs=works.verbs)):
            await until(lambda: len(rogue.connects) >= 4)
            rogue.grants = 1
            await until(lambda: "control: requests are taken again" in said(caplog))
    assert said(caplog) == [
        f"control: no requests can be taken: {rogue_name}: the broker does not let us listen on {ROOT}/request/#",
        "control: requests are taken again",
    ]


async def test_broker_that_hangs_up_on_whoever_wants_to_listen_is_named(
    works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    async with RogueBroker.running() as rogue:
        rogue.grants = None
        async with running(control_at(rogue.port, verbs=works.verbs)):
            await until(lambda: said(caplog))
    assert said(caplog) == [f"control: no requests can be taken: {ANYWHERE}:{rogue.port}: the broker hung up"]


async def test_own_name_at_the_broker_is_made_of_the_gateways(works: Works) -> None:
    async with RogueBroker.running() as rogue, running(control_at(rogue.port, verbs=works.verbs)):
        await until(lambda: rogue.connects)
        assert rogue.connects[0].client_id == "sallyport-greenhouse-control"
        assert rogue.connects[0].will is None


async def test_bug_in_a_verb_is_reported_and_costs_the_request_that_met_it_and_no_other(
    broker: Mosquitto, works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(control_at(broker.port, verbs=works.verbs)), Person.at(broker.port) as anna:
        await listens(anna)
        for verb, kind in (("bug", "ZeroDivisionError"), ("no json", "TypeError")):
            await anna.ask(verb, {"transaction": 5})
            await anna.ask("echo", {})
            assert await anna.answer(1) == {
                "transaction": 5, "status": "error", "error": f"internal error ({kind}): the gateway's log has more",
            }  # fmt: skip
            assert (await anna.answer(2))["status"] == "ok"
            anna.heard.clear()
    assert said(caplog) == ["control: a bug, please report it"] * 2


NOT_BEGUN = "not carried out: the gateway is being stopped, or listens anew: ask again"


async def test_stop_in_the_middle_of_requests_answers_each_once_and_leaves(
    broker: Mosquitto, works: Works
) -> None:
    async with Person.at(broker.port) as anna:
        async with running(control_at(broker.port, verbs=works.verbs)):
            await listens(anna)
            await anna.ask("slow", {"transaction": 1})
            await anna.ask("echo", {"transaction": 2})
            await anna.ask("echo", b"no JSON")
            await asyncio.sleep(0.1)
            await until(lambda: works.done)
        await anna.answer(3)
        await asyncio.sleep(0.1)
        answers = {answer.get("transaction"): answer["error"] for _, answer, _ in anna.heard}
        unfinished = "the gateway stopped, or failed, before this was done: see its log"
        assert answers == {1: unfinished, 2: NOT_BEGUN, None: NOT_BEGUN}
        assert len(anna.heard) == 3
    assert works.done == [{}]


async def test_who_is_retired_turns_away_what_comes_and_no_more_than_the_rate_allows(works: Works) -> None:
    async with RogueBroker.running() as rogue:
        control = control_at(
            rogue.port, verbs=works.verbs, options=lambda: ControlOptions(allow=("*",), rate=2)
        )
        async with running(control):
            await until(lambda: control.listening)
            rogue.say(publish(f"{ROOT}/request/slow", b"{}"))
            await until(lambda: works.done)
            control.retire()
            await asyncio.sleep(0)
            for number in range(10):
                rogue.say(publish(f"{ROOT}/request/echo", b'{"transaction":%d}' % number))
            await until(lambda: len(rogue.messages) >= 3)
            works.may_go_on.set()
            await until(lambda: not control.listening)
    *turned_away, last = [orjson.loads(each.payload) for each in rogue.messages]
    assert [each["error"] for each in turned_away] == [NOT_BEGUN] * len(turned_away)
    assert [each["transaction"] for each in turned_away] == [*range(len(turned_away))]
    assert 3 <= len(turned_away) < 10  # of twice the rate, one was for what is under way
    assert last == {"status": "ok"}


@pytest.mark.parametrize("turns", range(10))
async def test_stop_is_heeded_at_any_moment_of_the_subscription(works: Works, turns: int) -> None:
    async with RogueBroker.running() as rogue:
        control = control_at(rogue.port, verbs=works.verbs)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(Supervisor().run([control.child]))
            while not rogue.subscriptions:
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=5)
            task.cancel()
        assert done


@pytest.mark.parametrize("delay_s", [0, 0.001, 0.003, 0.01])
async def test_stop_at_any_moment_is_clean(broker: Mosquitto, works: Works, delay_s: float) -> None:
    async with running(control_at(broker.port, verbs=works.verbs)):
        await asyncio.sleep(delay_s)


async def test_stop_does_not_wait_for_a_broker_that_is_away(works: Works) -> None:
    async with RogueBroker.running() as rogue:
        rogue.mute = True
        async with asyncio.timeout(10), running(control_at(rogue.port, free_port(), verbs=works.verbs)):
            await asyncio.sleep(0.1)


def publish(topic: str, payload: bytes) -> bytes:
    rest = struct.pack(">H", len(topic)) + topic.encode() + b"\0" + payload
    low, high = len(rest) % 128, len(rest) // 128
    return bytes([0x30, low | 0x80, high]) + rest if high else bytes([0x30, low]) + rest


async def test_topic_that_is_no_text_or_no_request_is_passed_over(works: Works) -> None:
    async with RogueBroker.running() as rogue:
        control = control_at(rogue.port, verbs=works.verbs)
        async with running(control):
            await until(lambda: control.listening)
            good = publish(f"{ROOT}/request/echo", b"{}")
            unasked = publish(f"{ROOT}/boiler", b"{}")  # amqtt tells everybody what it has retained
            rogue.say(good.replace(b"echo", b"ech\xff") + unasked + good)
            await until(lambda: rogue.messages)
            assert [each.topic for each in rogue.messages] == [f"{ROOT}/response/echo"]
            assert len(rogue.connects) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PAYLOADS = st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()) | st.dictionaries(
    st.sampled_from(["transaction", "value"]), JSON
).map(lambda value: json.dumps(value).encode())  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from(["echo", "no", "", "x/y", "\0", "é" * 200]), PAYLOADS), max_size=20)
)
def test_whatever_comes_gets_one_answer(requests: list[tuple[str, bytes]]) -> None:
    async def all_of_them() -> None:
        works, answers = Works(), []

        def reply(message: Message, taken: Answer) -> None:
            answers.append(orjson.loads(message.payload))
            taken(None)

        control = control_at(1, verbs=works.verbs)
        for verb, payload in requests:
            heard = Heard(
                topic=f"{ROOT}/request/{verb}",
                payload=payload,
                retained=False,
                response_topic=None,
                reply=reply,
            )
            gone = asyncio.get_running_loop().create_future()
            await control._answer(Call(heard, Asked(verb), gone, 0.0))
        assert len(answers) == len(requests)
        assert sum(answer["status"] == "ok" for answer in answers) == len(works.done)

    asyncio.run(all_of_them())


async def test_answer_that_is_larger_than_the_broker_takes_is_answered_so(works: Works) -> None:
    async with RogueBroker.running() as rogue:
        rogue.announces = maximum_packet_size(300)
        control = control_at(rogue.port, verbs=works.verbs)
        async with running(control):
            await until(lambda: control.listening)
            rogue.say(publish(f"{ROOT}/request/echo", b'{"transaction":1,"x":"%s"}' % (b"x" * 60)))
            rogue.say(publish(f"{ROOT}/request/echo", b'{"transaction":2,"x":[%s0]}' % (b"0," * 150)))
            await until(lambda: len(rogue.messages) == 2)
    first, second = [orjson.loads(each.payload) for each in rogue.messages]
    assert first["transaction"] == 1
    why = (
        r"the answer did not leave: 3\d\d bytes; the broker takes at most 300; what was asked for may be done"
    )
    assert re.fullmatch(why, second.pop("error"))
    assert second == {"transaction": 2, "status": "error"}


@pytest.mark.parametrize(
    ("announces", "reasons", "why"),
    [
        (b"", {f"{ROOT}/response/echo": 0x87}, "Not authorized (0x87)"),
        (maximum_packet_size(60), {}, "69 bytes; the broker takes at most 60"),
    ],
)
async def test_answer_that_the_broker_refuses_is_said_once(
    works: Works, caplog: pytest.LogCaptureFixture, announces: bytes, reasons: dict[str, int], why: str
) -> None:
    async with RogueBroker.running() as rogue:
        rogue.announces, rogue.reasons = announces, reasons
        control = control_at(rogue.port, verbs=works.verbs)
        async with running(control):
            await until(lambda: control.listening)
            for _ in range(5):
                rogue.say(publish(f"{ROOT}/request/echo", b"{}"))
            await until(lambda: len(works.done) == 5)
            assert control.listening
    assert said(caplog) == [f"control: answers: the one to echo did not leave: {why}"]


async def test_broker_that_acknowledges_no_answer_slows_down_requests_and_nothing_else(works: Works) -> None:
    async with RogueBroker.running() as rogue:
        rogue.acknowledges = False
        control = control_at(rogue.port, verbs=works.verbs, ack_timeout="100ms")
        async with running(control):
            await until(lambda: control.listening)
            for _ in range(3):
                rogue.say(publish(f"{ROOT}/request/echo", b"{}"))
            await until(lambda: len(rogue.messages) == 3)
            assert len(rogue.connects) == 1


async def test_broker_inside_the_process_will_do(works: Works) -> None:
    port = free_port()
    async with embedded_broker(port):
        control = control_at(port, verbs=works.verbs, version="3.1.1")
        async with running(control), Person.at(port, "anna", "3.1.1") as anna:
            await until(lambda: control.listening)
            assert (await anna.asks("echo", {"transaction": 1}))["transaction"] == 1
