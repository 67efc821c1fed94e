"""What docs/alerts.md says of requests and their answers, in this order."""

import asyncio
import re
from pathlib import Path
from typing import Any

import orjson

from gateway.config import MqttOptions
from gateway.control import Call, Control
from gateway.model import Reading, Stamp
from gateway.publish.aiomqtt_publisher import Heard
from gateway.publish.broker import Broker
from gateway.publish.publisher import Answer
from gateway.publish.publisher import Message as Sent
from gateway.publish.topics import Asked
from gateway.rules.desk import Desk
from gateway.rules.engine import Engine
from gateway.rules.message import Message
from gateway.rules.rule import Rule
from tests.gateway.rules.stage import Values, at_once, hot

TEXT = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
EXAMPLES = re.findall(r"^    request/(\S+) +(\{.*\})\n    response/(\S+) +(\{.*\})$", TEXT, re.MULTILINE)
SIX_PM_NS = 1_795_370_400_000_000_000


def at(seconds: float) -> Stamp:
    return Stamp(SIX_PM_NS + round(seconds * 1e9), seconds)


def _desk() -> Desk:
    """A boiler that is too hot since six o'clock, and a hall with three racks; it is half past one minute later."""
    values = Values()
    overheat = Rule(
        name="overheat",
        severity="critical",
        message=Message("{boiler.temperature} °C"),
        labels={"site": "north"},
    )
    devices = ("boiler", "rack-1", "rack-2", "rack-3")
    watches = [hot(values, overheat, device, metric=f"{device}.temperature") for device in devices]
    engine = Engine(watches, at(0), heed=values.heed)
    engine.on_event(Reading(at=at(0), device="boiler", values={"temperature": 85.2}))
    return Desk(lambda: engine, lambda: at(90), lambda _alerts: None, at_once)


async def test_each_request_is_answered_as_the_document_says() -> None:
    answers: list[tuple[str, Any]] = []

    def reply(message: Sent, taken: Answer) -> None:
        answers.append((message.topic, orjson.loads(message.payload)))
        taken(None)

    mqtt = MqttOptions()
    ways = Broker.ways(mqtt, client_id="g")
    control = Control(mqtt, ways, _desk().verbs, gateway="g", connected=lambda: True)
    for verb, payload, _, _ in EXAMPLES:
        heard = Heard(
            topic=f"sallyport/g/request/{verb}", payload=payload.encode(), retained=False, response_topic=None,
            reply=reply,
        )  # fmt: skip
        await control._answer(Call(heard, Asked(verb), asyncio.get_running_loop().create_future(), 0.0))
    assert answers == [
        (f"sallyport/g/response/{verb}", orjson.loads(answer)) for _, _, verb, answer in EXAMPLES
    ]


def test_each_verb_has_an_example_and_a_row() -> None:
    verbs = set(_desk().verbs)
    assert {verb for verb, *_ in EXAMPLES} == verbs
    assert set(re.findall(r"^\| `(alert/\w+)` \|", TEXT, re.MULTILINE)) == verbs
