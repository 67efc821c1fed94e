"""The contract against brokers of other makes; slow, so only when asked for: `scripts/test -m slow`."""

from pathlib import Path

import pytest

from gateway.publish.publisher import Message
from tests.contracts.publisher import END, Bench, PublisherContract, condemned, deliver, plain
from tests.gateway.publish.real_bench import RealBench
from tests.support.other_brokers import Nats, RabbitMq

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


class TestNats(PublisherContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> RealBench:
        return RealBench(Nats(tmp_path), version="3.1.1")

    async def test_topics_may_hold_any_script(self, bench: Bench) -> None:
        """But no spaces: NATS hangs up on them, because a topic is a NATS subject."""
        messages = [Message("t/Kühlraum/温度/🌡", b"4.5"), END]
        async with bench:
            async with bench.publisher().connect() as session:
                await deliver(session, messages)
            async with bench.publisher().connect() as session:
                session.publish(Message("t/Kühlraum 2", b"4.5"), lambda _outcome: None)
                assert (await condemned(session)).endswith("the broker hung up")
            assert await bench.heard(END) == plain(messages)


class TestRabbitMq(PublisherContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> RealBench:
        return RealBench(RabbitMq(tmp_path), version="3.1.1")
