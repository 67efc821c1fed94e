"""What a running gateway is asked over its broker, and what it answers."""

import asyncio
import os
import secrets
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.config import Config
from gateway.errors import Deferred, Refused, Rejected, Unreachable
from gateway.publish.aiomqtt_publisher import AiomqttPublisher, Ear, Heard
from gateway.publish.broker import Broker
from gateway.publish.publisher import Message
from gateway.publish.topics import Topics

PATIENCE_S = 5.0


def ask(config: Config, verb: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of the gateway that runs with this configuration.

    Raises: Refused, as it says; Unreachable, when no answer comes, with what to look at.
    """
    return asyncio.run(_ask(config, verb, request))


async def _ask(config: Config, verb: str, request: Mapping[str, Any]) -> dict[str, Any]:
    topics = Topics(prefix=config.mqtt.prefix, gateway=config.gateway.name)
    reasons = []
    for way in Broker.ways(config.mqtt, client_id=f"sallyport-ask-{os.getpid()}"):
        question = _Question(config.gateway.name, topics, verb, way.name)
        try:
            answer = await question.put(way, request)
        except Unreachable as error:
            reasons.append(str(error))
            continue
        if answer.pop("status", None) != "ok":
            raise Refused(str(answer.get("error", "the gateway did not say why")))
        return answer
    raise Unreachable("; ".join(reasons))


class _Question:
    def __init__(self, gateway: str, topics: Topics, verb: str, broker: str) -> None:
        self._gateway = gateway
        self._topics = topics
        self._verb = verb
        self._broker = broker
        self._transaction = secrets.token_hex(8)
        self._answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._state: Any = None
        """What the broker knows of the gateway."""

    async def put(self, way: Broker, request: Mapping[str, Any]) -> dict[str, Any]:
        ear = Ear((self._topics.response(self._verb), self._topics.status), self._hear)
        async with AiomqttPublisher(way, ear=ear).connect() as session:
            payload = orjson.dumps({**request, "transaction": self._transaction})
            session.publish(Message(self._topics.request(self._verb), payload), self._note)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await self._answered
            except TimeoutError:
                raise Unreachable(f"{self._broker}: {self._silence()}") from None

    def _hear(self, heard: Heard) -> None:
        try:
            said = orjson.loads(heard.payload)
        except orjson.JSONDecodeError:
            return
        if not isinstance(said, dict):
            return
        if heard.topic == self._topics.status:
            self._state = said.get("state")
        elif said.pop("transaction", None) == self._transaction and not self._answered.done():
            self._answered.set_result(said)

    def _note(self, error: Rejected | Deferred | None) -> None:
        if error is not None and not self._answered.done():
            topic = self._topics.request(self._verb)
            why = f"{self._broker}: the broker does not take requests on {topic}: {error}"
            self._answered.set_exception(Unreachable(why))

    def _silence(self) -> str:
        who = f"gateway {self._gateway} does not answer"
        if self._state is None:
            return (
                f"{who}, and the broker has never heard of it: is this the configuration that it runs with?"
            )
        if self._state == "online":
            return (
                f"{who} though it is online: its log says if the broker does not let it listen;"
                f" see whether this user may read {self._topics.response(self._verb)}"
            )
        return f"{who}: it is not running, or has lost this broker"
