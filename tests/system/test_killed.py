"""`kill -9`, of the gateway and of the broker, at random moments: what was read arrives."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.support.account import Account
from tests.support.gateway_process import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.plant import Plant
from tests.support.recorder import Recorder
from tests.support.relay import Relay

pytestmark = pytest.mark.real_time

PROMISE_S = 0.005
"""What was read longer ago than this has been handed to the operating system."""


async def _kill(gateway: GatewayProcess, plant: Plant) -> None:
    """In full swing. What it had read more than 5 ms ago stays noted as read, and no more than that."""
    plant.look()
    known = [len(each.read) for each in plant.instruments]
    loop = asyncio.get_running_loop()
    start, held_up_s = loop.time(), gateway.held_up_s()
    # Time that other processes had the core for does not count: a busy machine breaks no promise.
    while loop.time() - start - (gateway.held_up_s() - held_up_s) < PROMISE_S:
        await asyncio.sleep(0.001)
    gateway.kill()
    plant.talking = False
    for each, count in zip(plant.instruments, known, strict=True):
        each.write_off(count)


async def _kill_now_and_then(
    broker: Mosquitto, network: Relay, recorder: Recorder, dice: random.Random, enough: asyncio.Event
) -> None:
    while not enough.is_set():
        await asyncio.sleep(dice.uniform(0.2, 4))
        broker.kill()
        await network.cut()
        await asyncio.sleep(dice.choice([0, dice.uniform(0, 1)]))
        await asyncio.to_thread(broker.start)
        recorder.listen(broker.host, broker.port)  # before the gateway is back: the new one knows no session
        await network.mend()


async def _survives(folder: Path, *, rounds: int, journal: str) -> None:
    dice = random.Random(f"{rounds} {journal}")
    enough = asyncio.Event()
    with Mosquitto.running(folder) as broker, Recorder() as recorder, Plant.running(folder) as plant:
        recorder.listen(broker.host, broker.port)
        account = Account(recorder.heard)
        async with Relay.to(broker.port) as network, asyncio.TaskGroup() as group:
            talking = group.create_task(plant.talk())
            breaking = group.create_task(_kill_now_and_then(broker, network, recorder, dice, enough))
            config = plant.gateway_config(network.port, journal)
            for _ in range(rounds):
                async with GatewayProcess.running(config) as gateway:
                    if dice.random() < 0.15:
                        await asyncio.sleep(dice.uniform(0, 0.2))  # while it starts
                    else:
                        await plant.read_by(gateway)
                        await asyncio.sleep(dice.uniform(0, 1.2))
                    await _kill(gateway, plant)
            enough.set()
            await breaking
            async with GatewayProcess.running(config) as gateway:
                await plant.read_by(gateway)
                await asyncio.sleep(0.2)
                talking.cancel()
                await plant.pause()
                await account.complete(plant)
                await gateway.stop()
        read = {each.path.name: each.read for each in plant.instruments}
    assert sum(map(len, read.values())) > 100 * rounds  # it was in full swing
    account.take()
    assert account.missing(read) == {}
    assert account.altered == []
    assert account.disordered == []
    assert account.unannounced == {}
    assert len(account.runs) == 1


@pytest.mark.repetitive
@pytest.mark.parametrize("sync", ["200ms", "always"])
async def test_what_was_read_arrives_in_order_though_gateway_and_broker_are_killed(
    tmp_path: Path, sync: str
) -> None:
    await _survives(tmp_path, rounds=10, journal=f'sync = "{sync}"')


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sync", ["200ms", "always"])
async def test_what_was_read_arrives_in_order_though_gateway_and_broker_are_killed_200_times(
    tmp_path: Path, sync: str
) -> None:
    await _survives(tmp_path, rounds=200, journal=f'sync = "{sync}"')
