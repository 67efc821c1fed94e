"""A long time without a broker, and the gateway restarted meanwhile: everything arrives, in order."""

import asyncio
from pathlib import Path

import pytest

from tests.support.account import Account
from tests.support.gateway_process import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.plant import Plant
from tests.support.recorder import Recorder
from tests.support.relay import Relay

pytestmark = pytest.mark.real_time

RATE = 800
LIVES = 3


async def _outage(folder: Path, *, seconds: int) -> list[list[int]]:
    """What each of the gateway's lives weighed (resident bytes), from second to second."""
    lines = RATE * seconds
    weights: list[list[int]] = [[] for _ in range(LIVES)]
    with (
        Mosquitto.running(folder) as broker,
        Recorder() as recorder,
        Plant.running(folder, rate=RATE) as plant,
    ):
        recorder.listen(broker.host, broker.port)
        account = Account(recorder.heard)
        async with Relay.to(broker.port) as network, asyncio.TaskGroup() as group:
            config = plant.gateway_config(network.port)
            talking = group.create_task(plant.talk(lines))
            for life, weight in enumerate(weights, 1):
                async with GatewayProcess.running(config, anew=True) as gateway:
                    await plant.read_by(gateway)
                    if life == 1:
                        await asyncio.sleep(1)
                        broker.kill()
                        await network.cut()
                    while not talking.done() and (life == LIVES or plant.said < lines * life // LIVES):
                        await asyncio.sleep(1)
                        weight.append(gateway.memory())
                    await plant.pause()
                    if life == LIVES:
                        broker.start()
                        recorder.listen(broker.host, broker.port)
                        await network.mend()
                        await account.complete(plant)
                        weight.append(gateway.memory())
                    await gateway.stop()
    assert plant.said == lines
    assert account.take().missing({each.path.name: range(each.said) for each in plant.instruments}) == {}
    assert account.altered == []
    assert account.disordered == []
    assert account.unannounced == {}
    return weights


@pytest.mark.repetitive
async def test_readings_of_20_s_without_a_broker_arrive_though_the_gateway_is_restarted_twice(
    tmp_path: Path,
) -> None:
    await _outage(tmp_path, seconds=20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_480_000_readings_of_ten_minutes_without_a_broker_arrive_and_memory_stays_flat(
    tmp_path: Path,
) -> None:
    weights = await _outage(tmp_path, seconds=600)
    for weight in weights:
        # A third of the readings would be some 60 MB, and each of them at least its 100 bytes on the wire, 16 MB.
        assert max(weight) - weight[5] < 8_000_000
    assert max(max(weight) for weight in weights) < 60_000_000
