import asyncio

import pytest

from gateway.errors import Dismissed, Unreachable
from gateway.publish.failover import RETURN_S, Failover
from gateway.publish.publisher import Message
from tests.support.memory_broker import MemoryBroker

MESSAGE = Message("t", b"1")


@pytest.fixture
def brokers() -> list[MemoryBroker]:
    return [MemoryBroker(name=name) for name in "abc"]


async def lost(failover: Failover) -> str:
    """One connection, until it is lost; why."""
    with pytest.raises(Unreachable) as caught:
        async with failover.connect() as session:
            session.publish(MESSAGE, lambda _: None)
            try:
                await session.ended()
            except ExceptionGroup as group:
                raise group.exceptions[0] from group
    return str(caught.value)


async def connected_to(failover: Failover) -> str:
    async with failover.connect():
        return failover.name


async def test_first_one_is_used_while_it_answers(brokers: list[MemoryBroker]) -> None:
    assert await connected_to(Failover(brokers)) == "a"
    assert [each.connections for each in brokers] == [1, 0, 0]


async def test_next_one_is_used_when_the_first_is_away(brokers: list[MemoryBroker]) -> None:
    failover = Failover(brokers)
    brokers[0].online = brokers[1].online = False
    assert await connected_to(failover) == "c"
    assert failover.name == "c"


async def test_when_all_are_away_the_reason_of_each_is_told(brokers: list[MemoryBroker]) -> None:
    for broker in brokers:
        broker.online = False
    with pytest.raises(Unreachable, match=r"^a: nobody listens; b: nobody listens; c: nobody listens$"):
        await connected_to(Failover(brokers))


async def test_first_one_is_used_again_when_it_is_back(brokers: list[MemoryBroker]) -> None:
    failover = Failover(brokers)
    brokers[0].online = False
    staying = asyncio.create_task(lost(failover))
    await asyncio.sleep(10 * RETURN_S)
    assert not staying.done()
    brokers[0].online = True
    assert await staying == "b: a is back"
    assert await connected_to(failover) == "a"


async def test_second_one_that_is_lost_is_told_like_any_other(brokers: list[MemoryBroker]) -> None:
    failover = Failover(brokers)
    brokers[0].online = False
    staying = asyncio.create_task(lost(failover))
    await asyncio.sleep(1)
    brokers[1].go_offline()
    assert await staying == "b: the link broke"


async def test_one_that_loses_us_at_once_is_tried_last(brokers: list[MemoryBroker]) -> None:
    failover = Failover(brokers)
    brokers[0].breaks_after = 1
    assert await lost(failover) == "a: the link broke"
    assert await connected_to(failover) == "b"


async def test_one_that_has_lasted_is_tried_first_again(brokers: list[MemoryBroker]) -> None:
    failover = Failover(brokers)
    staying = asyncio.create_task(lost(failover))
    await asyncio.sleep(2 * RETURN_S)
    brokers[0].break_link()
    await staying
    assert await connected_to(failover) == "a"


async def test_going_back_is_not_held_against_any_record(brokers: list[MemoryBroker]) -> None:
    brokers[0].online = False
    async with Failover(brokers).connect() as session:
        brokers[0].online = True
        with pytest.raises(ExceptionGroup) as group:
            await session.ended()
    assert isinstance(group.value.exceptions[0], Dismissed)


async def test_messages_and_limits_are_those_of_the_one_that_is_used(brokers: list[MemoryBroker]) -> None:
    brokers[0].online = False
    brokers[1].window, brokers[1].maximum_packet_size = 7, 1000
    landed: list[object] = []
    async with Failover(brokers).connect() as session:
        assert (session.window, session.maximum_packet_size) == (7, 1000)
        session.publish(MESSAGE, landed.append)
        await asyncio.sleep(1)
    assert landed == [None]
    assert brokers[1].messages == [MESSAGE]
