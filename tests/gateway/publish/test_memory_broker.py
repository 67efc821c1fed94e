"""The MemoryBroker keeps the contract, so what the forwarder's tests show of it holds for real ones."""

import asyncio

import pytest

from gateway.publish.publisher import Message
from tests.contracts.publisher import (
    PATIENCE_S,
    Outcome,
    PublisherContract,
    condemned,
    deliver,
    numbered,
    plain,
)
from tests.support.memory_broker import MemoryBroker


class MemoryBench:
    def __init__(self) -> None:
        self._broker = MemoryBroker()

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *exc: object) -> None:
        pass

    def publisher(self, *, window: int = 20, will: Message | None = None) -> MemoryBroker:
        self._broker.window, self._broker.will = window, will
        return self._broker

    async def heard(self, until: Message) -> list[tuple[str, bytes]]:
        async with asyncio.timeout(PATIENCE_S):
            while until not in self._broker.messages:
                await asyncio.sleep(0.1)
        return plain(self._broker.messages[: self._broker.messages.index(until) + 1])

    async def kept(self, topic: str) -> bytes | None:
        retained = {each.topic: each.payload for each in self._broker.messages if each.retain}
        return retained.get(topic)

    async def start(self) -> None:
        self._broker.online = True

    async def stop(self) -> None:
        self._broker.go_offline()

    async def kill(self) -> None:
        self._broker.go_offline()


class TestMemoryBroker(PublisherContract):
    @pytest.fixture
    def bench(self) -> MemoryBench:
        return MemoryBench()


async def test_window_is_never_exceeded() -> None:
    broker = MemoryBroker(window=7)
    async with broker.connect() as session:
        await deliver(session, numbered(70))
    assert broker.most_unacknowledged == 7


async def test_broken_link_loses_what_is_on_its_way_in_both_directions() -> None:
    broker = MemoryBroker(latency_s=1.0)
    outcomes: list[Outcome] = [[] for _ in range(3)]
    async with broker.connect() as session:
        for message, outcome in zip(numbered(3), outcomes, strict=True):
            session.publish(message, outcome.append)
            await asyncio.sleep(0.4)
        broker.break_link()
        assert await condemned(session) == "memory: the link broke"
        await asyncio.sleep(10)
    assert broker.messages == numbered(2)
    assert outcomes == [[None], [], []]
