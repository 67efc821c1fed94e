from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.rogue_broker import RogueBroker


@pytest_asyncio.fixture
async def rogue() -> AsyncIterator[RogueBroker]:
    async with RogueBroker.running() as broker:
        yield broker
