"""The contract against brokers of other makes; slow, so only when asked for: `scripts/test -m slow`."""

from pathlib import Path

import pytest

from tests.contracts.publisher import PublisherContract
from tests.gateway.publish.real_bench import RealBench
from tests.support.other_brokers import Nats, RabbitMq

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


class TestNats(PublisherContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> RealBench:
        return RealBench(Nats(tmp_path), version="3.1.1")


class TestRabbitMq(PublisherContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> RealBench:
        return RealBench(RabbitMq(tmp_path), version="3.1.1")
