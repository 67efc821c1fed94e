"""The bench of `tests/contracts/publisher.py` with brokers that others wrote."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import aiomqtt

from gateway.publish.aiomqtt_publisher import client as listener
from gateway.publish.broker import Broker
from gateway.publish.publisher import Message, Publisher
from gateway.publish.way import publisher_to
from tests.contracts.publisher import PATIENCE_S
from tests.support.amqtt_process import AmqttProcess
from tests.support.mosquitto import Mosquitto
from tests.support.other_brokers import OtherBroker


class RealBench:
    """The broker, and an ordinary subscriber to it."""

    def __init__(self, process: Mosquitto | AmqttProcess | OtherBroker, **settings: Any) -> None:
        self._process = process
        self._settings = Broker(host=process.host, port=process.port, client_id="test", **settings)
        self._heard: list[tuple[str, bytes]] = []
        self._news = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> None:
        self._process.start()
        self._stack.callback(self._process.kill)
        subscriber = listener(replace(self._settings, client_id="subscriber"))
        listening = asyncio.create_task(self._listen(subscriber))
        self._stack.push_async_callback(asyncio.wait, [listening])
        self._stack.callback(listening.cancel)
        await self._news.wait()

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def publisher(self, *, window: int = 20, will: Message | None = None) -> Publisher:
        return publisher_to(replace(self._settings, window=window), will=will)

    async def heard(self, until: Message) -> list[tuple[str, bytes]]:
        end = (until.topic, until.payload)
        async with asyncio.timeout(PATIENCE_S):
            while end not in self._heard:
                self._news.clear()
                await self._news.wait()
        return self._heard[: self._heard.index(end) + 1]

    async def kept(self, topic: str) -> bytes | None:
        async with listener(replace(self._settings, client_id=f"asks for {topic}")) as latecomer:
            await latecomer.subscribe(topic, qos=1)
            await latecomer.publish(topic, b"live", qos=1)
            # amqtt tells every newcomer what it has retained, asked or not.
            first = await anext(each async for each in latecomer.messages if str(each.topic) == topic)
        assert isinstance(first.payload, bytes)
        return first.payload if first.retain else None

    async def start(self) -> None:
        self._process.start()

    async def stop(self) -> None:
        # A WebSocket is closed by both sides: ours must be able to answer.
        await asyncio.to_thread(self._process.stop)

    async def kill(self) -> None:
        self._process.kill()

    async def _listen(self, subscriber: aiomqtt.Client) -> None:
        with suppress(aiomqtt.MqttError):  # when the test stops the broker
            async with subscriber:
                await subscriber.subscribe("t/#", qos=1)
                self._news.set()
                async for message in subscriber.messages:
                    assert isinstance(message.payload, bytes)
                    self._heard.append((str(message.topic), message.payload))
                    self._news.set()
