"""What every Publisher must do. A test module derives a class from each suite and brings its fixture."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import pytest

from gateway.errors import Deferred, Rejected, Unreachable
from gateway.publish.publisher import Message, Publisher, Session
from gateway.publish.window import Window
from tests.support.rogue_broker import (
    SESSION_TAKEN_OVER,
    RogueBroker,
    maximum_packet_size,
    receive_maximum,
)

PATIENCE_S = 60.0
"""Far beyond what anything here takes; only a hang reaches it."""

WILL = Message("t/status", b"gone", retain=True)
END = Message("t/end", b"")

Outcome = list[Rejected | Deferred | None]
"""What one message's `answer` or `done` was called with: nothing yet, or one thing."""


class Bench(Protocol):
    """A broker, and publishers to it. `async with` it: then the broker runs and somebody listens."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc: object) -> None: ...

    def publisher(self, *, window: int = 20, will: Message | None = None) -> Publisher: ...

    async def heard(self, until: Message) -> list[tuple[str, bytes]]:
        """What has come below `t/`, in order, up to this message; waits for it."""
        ...

    async def kept(self, topic: str) -> bytes | None:
        """What somebody who subscribes now is told first: the retained message."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """In good order, as an operator would."""
        ...

    async def kill(self) -> None:
        """As a power cut would."""
        ...


def numbered(count: int) -> list[Message]:
    return [Message("t/number", b"%d" % number) for number in range(count)]


def plain(messages: Sequence[Message]) -> list[tuple[str, bytes]]:
    return [(each.topic, each.payload) for each in messages]


async def deliver(session: Session, messages: Sequence[Message]) -> list[Outcome]:
    """With the window as full as can be; returns when the last one has landed."""
    outcomes: list[Outcome] = [[] for _ in messages]
    window = Window(session, ack_timeout_s=PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S):
        for message, outcome in zip(messages, outcomes, strict=True):
            await window.send(message, outcome.append)
        while window.busy:
            await window.movement()
    return outcomes


async def condemned(session: Session) -> str:
    """What `ended` says, as it must when the connection is lost."""
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Unreachable) as unreachable:
            await session.ended()
    return str(unreachable.value)


async def refused(publisher: Publisher) -> str:
    """What `connect` says, as it must when there is no way in."""
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Unreachable) as unreachable:
            async with publisher.connect():
                pytest.fail("connected")
    assert str(unreachable.value).startswith(f"{publisher.name}: ")
    return str(unreachable.value).removeprefix(f"{publisher.name}: ")


async def works(publisher: Publisher) -> None:
    async with asyncio.timeout(PATIENCE_S), publisher.connect() as session:
        assert await deliver(session, [END]) == [[None]]


class PublisherContract:
    """Against a broker that behaves."""

    async def test_messages_arrive_once_and_in_order_through_a_full_window(self, bench: Bench) -> None:
        messages = [*numbered(500), END]
        async with bench:
            async with bench.publisher(window=20).connect() as session:
                outcomes = await deliver(session, messages)
            assert outcomes == [[None]] * 501
            assert await bench.heard(END) == plain(messages)

    async def test_messages_that_nobody_acknowledges_arrive_too(self, bench: Bench) -> None:
        often = [each._replace(qos=0) for each in numbered(500)]
        async with bench:
            async with bench.publisher(window=20).connect() as session:
                assert await deliver(session, [*often, END]) == [[None]] * 501
            assert await bench.heard(END) == plain([*often, END])

    async def test_window_of_one_is_enough(self, bench: Bench) -> None:
        messages = [*numbered(20), END]
        async with bench:
            async with bench.publisher(window=1).connect() as session:
                assert session.window == 1
                await deliver(session, messages)
            assert await bench.heard(END) == plain(messages)

    async def test_payloads_arrive_byte_for_byte(self, bench: Bench) -> None:
        payloads = [bytes(range(256)), b"", b"\x00", b"\xff\xfe", b"x" * 127, b"x" * 128, b"long" * 75_000]
        messages = [*(Message("t/bytes", payload) for payload in payloads), END]
        async with bench:
            async with bench.publisher().connect() as session:
                await deliver(session, messages)
            assert await bench.heard(END) == plain(messages)

    async def test_topics_may_hold_any_script(self, bench: Bench) -> None:
        messages = [Message("t/Kühlraum 2/温度/🌡", b"4.5"), END]
        async with bench:
            async with bench.publisher().connect() as session:
                await deliver(session, messages)
            assert await bench.heard(END) == plain(messages)

    async def test_only_a_retained_message_is_kept_for_later_subscribers(self, bench: Bench) -> None:
        async with bench:
            async with bench.publisher().connect() as session:
                await deliver(session, [Message("t/kept", b"1", retain=True), Message("t/gone", b"1")])
            assert await bench.kept("t/kept") == b"1"
            assert await bench.kept("t/gone") is None

    async def test_session_left_in_good_order_sends_no_last_will(self, bench: Bench) -> None:
        async with bench:
            publisher = bench.publisher(will=WILL)
            async with publisher.connect():
                pass
            await works(publisher)
            assert await bench.heard(END) == plain([END])

    async def test_session_left_by_an_error_lets_the_last_will_speak(self, bench: Bench) -> None:
        async with bench:
            with pytest.raises(ZeroDivisionError):
                async with bench.publisher(will=WILL).connect():
                    raise ZeroDivisionError
            assert await bench.heard(WILL) == plain([WILL])
            assert await bench.kept(WILL.topic) == WILL.payload

    async def test_session_left_by_a_cancellation_lets_the_last_will_speak(self, bench: Bench) -> None:
        async with bench:
            with pytest.raises(TimeoutError):
                async with bench.publisher(will=WILL).connect() as session, asyncio.timeout(0.01):
                    await session.ended()
            assert await bench.heard(WILL) == plain([WILL])

    async def test_session_ends_when_the_broker_stops(self, bench: Bench) -> None:
        async with bench:
            publisher = bench.publisher()
            async with publisher.connect() as session:
                await bench.stop()
                assert (await condemned(session)).startswith(publisher.name)
            await bench.start()
            await works(publisher)

    async def test_session_ends_when_the_broker_is_killed(self, bench: Bench) -> None:
        async with bench:
            publisher = bench.publisher()
            async with publisher.connect() as session:
                await deliver(session, numbered(3))
                await bench.kill()
                await condemned(session)
            await bench.start()
            await works(publisher)

    async def test_publishing_on_a_lost_connection_calls_nobody_back(self, bench: Bench) -> None:
        outcome: Outcome = []
        async with bench, bench.publisher().connect() as session:
            await bench.kill()
            session.publish(END, outcome.append)
            await condemned(session)
            session.publish(END, outcome.append)
            await condemned(session)
        assert outcome == []

    async def test_broker_that_is_not_there_is_unreachable_until_it_is(self, bench: Bench) -> None:
        async with bench:
            publisher = bench.publisher()
            await bench.stop()
            assert await refused(publisher)
            assert await refused(publisher)
            await bench.start()
            await works(publisher)

    @pytest.mark.parametrize("pauses", [0, 1, 2, 3, 5, 8, 13, 50])
    async def test_connecting_can_be_cancelled_at_any_point(self, bench: Bench, pauses: int) -> None:
        async def connect() -> None:
            async with publisher.connect() as session:
                await session.ended()

        async with bench:
            publisher = bench.publisher()
            connecting = asyncio.create_task(connect())
            for _ in range(pauses):
                await asyncio.sleep(0)
            connecting.cancel()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.wait([connecting])
            assert connecting.cancelled()
            await works(publisher)

    async def test_publishing_can_be_cancelled(self, bench: Bench) -> None:
        landed: Outcome = []

        async def publish() -> None:
            async with publisher.connect() as session:
                window = Window(session, ack_timeout_s=PATIENCE_S)
                while True:
                    await window.send(Message("t/number", b"1"), landed.append)

        async with bench:
            publisher = bench.publisher()
            publishing = asyncio.create_task(publish())
            async with asyncio.timeout(PATIENCE_S):
                while len(landed) < 100:
                    await asyncio.sleep(0.001)
                publishing.cancel()
                await asyncio.wait([publishing])
            before = len(landed)
            await works(publisher)
            assert len(landed) == before


class NetworkPublisherContract:
    """Against a broker that does not behave, over TCP."""

    def publisher(  # what a deriving class brings
        self,
        port: int,
        *,
        window: int = 20,
        connect_timeout_s: float = 5.0,
        keepalive_s: float = 60.0,
        password: str | None = None,
        will: Message | None = None,
    ) -> Publisher:
        raise NotImplementedError

    bad_credentials = 4
    """The return code of CONNACK. Source: MQTT 3.1.1, table 3.1."""
    bad_version = 1

    async def test_says_who_it_is(self, rogue: RogueBroker) -> None:
        async with self.publisher(rogue.port, password="geheim", will=WILL).connect():
            pass
        [connect] = rogue.connects
        assert (connect.client_id, connect.username, connect.password) == ("test", "user", "geheim")
        assert connect.will == WILL
        assert rogue.goodbyes == 1

    async def test_broker_that_never_answers_is_unreachable(self, rogue: RogueBroker) -> None:
        rogue.mute = True
        publisher = self.publisher(rogue.port, connect_timeout_s=1)
        assert await refused(publisher) == "no answer"
        rogue.mute = False
        await works(publisher)

    async def test_broker_that_hangs_up_first_is_unreachable(self, rogue: RogueBroker) -> None:
        rogue.hangs_up = "before"
        publisher = self.publisher(rogue.port)
        assert (await refused(publisher)).startswith("the broker hung up before it let us in")
        rogue.hangs_up = None
        await works(publisher)

    async def test_broker_that_lets_in_and_hangs_up_is_noticed(self, rogue: RogueBroker) -> None:
        rogue.hangs_up = "after"
        publisher = self.publisher(rogue.port)
        with pytest.raises(Unreachable, match="hung up"):
            async with asyncio.timeout(PATIENCE_S), publisher.connect() as session:
                await session.ended()
        rogue.hangs_up = None
        await works(publisher)

    async def test_broker_that_refuses_our_password_says_so(self, rogue: RogueBroker) -> None:
        rogue.refuses = self.bad_credentials
        publisher = self.publisher(rogue.port, password="wrong")
        assert await refused(publisher) == "refused: Bad user name or password"
        rogue.refuses = None
        await works(publisher)

    async def test_broker_that_speaks_another_version_says_so(self, rogue: RogueBroker) -> None:
        rogue.refuses = self.bad_version
        publisher = self.publisher(rogue.port)
        assert "MQTT" in await refused(publisher)
        rogue.refuses = None
        await works(publisher)

    async def test_connecting_is_cancelled_at_once_while_the_broker_is_silent(
        self, rogue: RogueBroker
    ) -> None:
        rogue.mute = True
        publisher = self.publisher(rogue.port, connect_timeout_s=600)
        connecting = asyncio.create_task(refused(publisher))
        async with asyncio.timeout(PATIENCE_S):
            while not rogue.links:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)  # it waits for the answer by now
            connecting.cancel()
            connecting.cancel()
            await asyncio.wait([connecting])
            while rogue.links:
                await asyncio.sleep(0.001)
        assert connecting.cancelled()
        rogue.mute = False
        await works(publisher)

    async def test_connection_that_is_reset_ends_the_session(self, rogue: RogueBroker) -> None:
        rogue.resets_after = 50
        outcomes: list[Outcome] = [[] for _ in range(200)]
        publisher = self.publisher(rogue.port, will=WILL)
        async with publisher.connect() as session:
            window = Window(session, ack_timeout_s=PATIENCE_S)

            async def publish() -> None:
                for message, outcome in zip(numbered(200), outcomes, strict=True):
                    await window.send(message, outcome.append)

            publishing = asyncio.create_task(publish())
            await condemned(session)
            publishing.cancel()
            await asyncio.wait([publishing])
        landed = outcomes.count([None])
        assert landed < 50
        assert outcomes == [[None]] * landed + [[]] * (200 - landed)
        assert rogue.messages == [*numbered(50), WILL]
        await works(publisher)

    async def test_window_is_never_exceeded(self, rogue: RogueBroker) -> None:
        rogue.latency_s = 0.005
        async with self.publisher(rogue.port, window=7).connect() as session:
            assert session.window == 7
            await deliver(session, numbered(70))
        assert rogue.messages == numbered(70)
        assert rogue.most_unacknowledged == 7

    async def test_acknowledgements_may_come_in_any_order(self, rogue: RogueBroker) -> None:
        rogue.backwards = 4
        async with self.publisher(rogue.port).connect() as session:
            outcomes = await deliver(session, numbered(42))
        assert outcomes == [[None]] * 42

    async def test_broker_that_acknowledges_nothing_can_be_left(self, rogue: RogueBroker) -> None:
        rogue.acknowledges = False
        outcome: Outcome = []
        publisher = self.publisher(rogue.port)
        async with asyncio.timeout(PATIENCE_S), publisher.connect() as session:
            session.publish(END, outcome.append)
        rogue.acknowledges = True
        await works(publisher)
        assert outcome == []

    async def test_broker_that_has_gone_silent_is_left_when_it_answers_no_ping(
        self, rogue: RogueBroker
    ) -> None:
        publisher = self.publisher(rogue.port, keepalive_s=1)
        async with publisher.connect() as session:
            rogue.mute = True
            assert ": no answer" in await condemned(session)
        rogue.mute = False
        await works(publisher)

    async def test_broker_that_reads_nothing_can_be_left_in_good_order(self, rogue: RogueBroker) -> None:
        outcome: Outcome = []
        publisher = self.publisher(rogue.port, connect_timeout_s=0.2)
        async with asyncio.timeout(PATIENCE_S):
            async with publisher.connect() as session:
                rogue.stop_reading()
                session.publish(Message("t/large", b"x" * 50_000_000), outcome.append)
        assert outcome == []
        await works(publisher)

    async def test_topic_that_cannot_be_published_is_rejected_and_nothing_else(
        self, rogue: RogueBroker
    ) -> None:
        async with self.publisher(rogue.port).connect() as session:
            bad = [
                Message("t/#", b""),
                Message("t/+", b""),
                Message("t/\ud800", b""),
                Message("t" * 65536, b""),
            ]
            outcomes = await deliver(session, [*bad, END])
        assert [type(each) for [each] in outcomes] == [Rejected] * 4 + [type(None)]
        assert rogue.messages == [END]


class Mqtt5PublisherContract(NetworkPublisherContract):
    bad_credentials = 0x86
    bad_version = 0x84

    @pytest.mark.parametrize(
        ("code", "text"),
        [
            (0x87, "Not authorized (0x87)"),
            (0x90, "Topic name invalid (0x90)"),
            (0x99, "Payload format invalid (0x99)"),
            (0x80, "Unspecified error (0x80)"),
            (0x83, "Implementation specific error (0x83)"),
        ],
    )
    async def test_refused_message_is_rejected_with_the_brokers_reason(
        self, rogue: RogueBroker, code: int, text: str
    ) -> None:
        rogue.reasons["t/bad"] = code
        rogue.backwards = 3
        async with self.publisher(rogue.port).connect() as session:
            outcomes = await deliver(session, [*numbered(4), Message("t/bad", b""), *numbered(4)])
        assert outcomes.pop(4) != [None]
        assert outcomes == [[None]] * 8

        async with self.publisher(rogue.port).connect() as session:
            [[rejected]] = await deliver(session, [Message("t/bad", b"")])
        assert isinstance(rejected, Rejected)
        assert str(rejected) == text

    async def test_no_matching_subscribers_is_no_refusal(self, rogue: RogueBroker) -> None:
        rogue.reasons[END.topic] = 0x10
        async with self.publisher(rogue.port).connect() as session:
            assert await deliver(session, [END]) == [[None]]

    async def test_message_that_exceeds_a_quota_is_deferred(self, rogue: RogueBroker) -> None:
        rogue.reasons["t/much"] = 0x97
        outcome: Outcome = []
        publisher = self.publisher(rogue.port)
        async with publisher.connect() as session:
            session.publish(Message("t/much", b""), outcome.append)
            assert await deliver(session, [END]) == [[None]]
        [deferred] = outcome
        assert isinstance(deferred, Deferred)
        assert str(deferred) == f"{publisher.name}: Quota exceeded (0x97)"

    async def test_quota_costs_neither_a_message_nor_the_order_nor_the_connection(
        self, rogue: RogueBroker, caplog: pytest.LogCaptureFixture
    ) -> None:
        rogue.reasons["t/number"] = 0x97
        async with self.publisher(rogue.port, window=5).connect() as session:
            delivering = asyncio.create_task(deliver(session, [*numbered(20), END]))
            async with asyncio.timeout(PATIENCE_S):
                while len(rogue.messages) < 5:
                    await asyncio.sleep(0.001)
            del rogue.reasons["t/number"]
            assert await delivering == [[None]] * 21
        assert rogue.messages[:5] == numbered(5)  # refused
        assert rogue.messages[-21:] == [*numbered(20), END]
        assert len(rogue.connects) == 1
        assert "Quota exceeded (0x97)" in caplog.text

    async def test_window_shrinks_to_the_brokers_receive_maximum(self, rogue: RogueBroker) -> None:
        rogue.announces = receive_maximum(3)
        rogue.latency_s = 0.005
        publisher = self.publisher(rogue.port, window=20)
        async with publisher.connect() as session:
            assert session.window == 3
            await deliver(session, numbered(30))
        assert rogue.most_unacknowledged == 3

        rogue.announces = b""
        async with publisher.connect() as session:
            assert session.window == 20

    async def test_receive_maximum_does_not_widen_the_window(self, rogue: RogueBroker) -> None:
        rogue.announces = receive_maximum(65535)
        async with self.publisher(rogue.port, window=20).connect() as session:
            assert session.window == 20

    async def test_message_larger_than_the_broker_takes_is_rejected_unsent(self, rogue: RogueBroker) -> None:
        # PUBLISH: 2 bytes of header, 2 + 3 of topic, 2 of identifier, 1 of properties, the payload.
        fits, exceeds = Message("t/s", b"x" * 90), Message("t/s", b"x" * 91)
        rogue.announces = maximum_packet_size(100)
        async with self.publisher(rogue.port).connect() as session:
            outcomes = await deliver(session, [exceeds, fits, END])
        assert [str(each) for [each] in outcomes] == [
            "101 bytes; the broker takes at most 100",
            "None",
            "None",
        ]
        assert rogue.messages == [fits, END]

    async def test_another_client_with_our_name_is_reported(self, rogue: RogueBroker) -> None:
        publisher = self.publisher(rogue.port)
        async with publisher.connect() as session:
            rogue.expel(SESSION_TAKEN_OVER)
            assert '"test"' in await condemned(session)
        await works(publisher)

    async def test_broker_that_says_goodbye_is_quoted(self, rogue: RogueBroker) -> None:
        publisher = self.publisher(rogue.port)
        for reason, text in ((0x8B, "Server shutting down"), (0x00, "Normal disconnection")):
            async with publisher.connect() as session:
                rogue.expel(reason)
                assert (await condemned(session)).endswith(f"the broker hung up: {text}")
