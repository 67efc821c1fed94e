"""A subscriber as anybody would write one: what it got, in order."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import aiomqtt
import orjson

from tests.support.gateway_process import until


@dataclass(frozen=True)
class Got:
    topic: str
    payload: bytes
    retained: bool
    qos: int

    @cached_property
    def json(self) -> Any:
        """Read once: tests look again and again at thousands, until one has come."""
        return orjson.loads(self.payload)


class Subscriber:
    """Survives the broker's absence: it comes back with its session, as a careful consumer does.

    With `transport="unix"`, `host` is the path of a UNIX socket.
    """

    def __init__(
        self, host: str, port: int, topic: str, name: str, transport: Literal["tcp", "unix"]
    ) -> None:
        self.got: list[Got] = []
        self._transport = transport
        self._host = host
        self._port = port
        self._topic = topic
        self._name = name
        self._subscribed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def listening(
        cls, host: str, port: int, topic: str = "sallyport/#", *, name: str = "test-subscriber",
        transport: Literal["tcp", "unix"] = "tcp",
    ) -> AsyncIterator[Self]:  # fmt: skip
        subscriber = cls(host, port, topic, name, transport)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(subscriber._listen())
            await subscriber._subscribed.wait()
            try:
                yield subscriber
            finally:
                listening.cancel()

    def readings(self, device: str | None = None) -> list[Any]:
        """The readings' payloads, of one device or of all."""
        return [each.json for each in self._messages(device)]

    def on(self, ending: str) -> list[Any]:
        return [each.json for each in self.got if each.topic.endswith(ending) and each.payload]

    def left(self, ending: str) -> bytes:
        """What stands there after all that came; nothing once it was cleared."""
        return [b"", *(each.payload for each in self.got if each.topic.endswith(ending))][-1]

    async def has(self, count: int, device: str | None = None) -> None:
        await until(lambda: sum(1 for _ in self._messages(device)) >= count)

    def _messages(self, device: str | None) -> Iterator[Got]:
        for each in self.got:
            is_reading = each.topic.count("/") == 2 and not each.topic.endswith(("/status", "/gaps"))
            if is_reading and (device is None or each.topic.endswith(f"/{device}")):
                yield each

    async def returned(self) -> None:
        """Until it is subscribed again, after the broker was away."""
        await self._subscribed.wait()

    async def _listen(self) -> None:
        while True:
            if self._transport == "unix":
                await until(self._somebody_is_there)
            try:
                async with aiomqtt.Client(
                    self._host, self._port, identifier=self._name, clean_session=False, timeout=5,
                    transport=self._transport,
                ) as client:  # fmt: skip
                    await client.subscribe(self._topic, qos=1)
                    self._subscribed.set()
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        self.got.append(Got(str(message.topic), message.payload, message.retain, message.qos))
            except aiomqtt.MqttError:
                self._subscribed.clear()
                await asyncio.sleep(0.02)

    def _somebody_is_there(self) -> bool:
        """paho leaves a UNIX socket open on which nobody answered."""
        with socket.socket(socket.AF_UNIX) as trial:
            return trial.connect_ex(self._host) == 0
