"""Requests over MQTT: one JSON object on `…/request/<verb>` in, one on `…/response/<verb>` out."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.config import MAIN_BROKER, MqttOptions
from gateway.errors import Deferred, Refused, Rejected, Unreachable
from gateway.logs import about
from gateway.pacing.backoff import Backoff
from gateway.pacing.limiter import Limiter
from gateway.pacing.throttle import Throttle
from gateway.publish.aiomqtt_publisher import AiomqttPublisher, Ear, Heard
from gateway.publish.broker import Broker
from gateway.publish.failover import Failover
from gateway.publish.publisher import Message
from gateway.publish.topics import Topics
from gateway.request import LARGEST, Verb, carried_out, failed, parsed
from gateway.supervisor import STABLE_S, Child, Report, first_cause

log = logging.getLogger(__name__)

LARGEST_PACKET = 4 * LARGEST
"""Up to here there is an answer that says it is too large; beyond it a broker of MQTT 5 keeps it to itself."""

MOST_WAITING = 64
MOST_DROPPED = 500
"""On one connection; then we hang up for a while: only to hear a request costs three times as much as a reading."""
RATE, BURST = 20.0, 40.0
"""Requests a second in the long run, and at once: people ask, not machines in a loop."""

LONGEST_TRANSACTION = 256

_SAY_EVERY_S = 60.0


class Control:
    """Carries out what is asked on `…/request/#` of one broker, one request after the other, as far as it has a verb.

    A request that came while we were away is not carried out later: neither does the broker keep it for us, nor does
    one count that it has retained. What is carried out is answered once.
    """

    def __init__(
        self,
        mqtt: MqttOptions,
        verbs: Mapping[str, Verb],
        *,
        gateway: str,
        client_id: str,
        connected: Callable[[], bool],
    ) -> None:
        """Begin; `child` is to be run.

        Args:
            mqtt: the broker.
            verbs: what can be asked for.
            gateway: its name.
            client_id: the gateway's at this broker; ours is made of it.
            connected: whether the gateway itself is with the broker; if it is not, that has been said already.

        Raises: ConfigError, when the TLS files cannot be used.
        """
        self.listening = False
        """Whether requests can come in."""
        self._verbs = verbs
        self._topics = Topics(prefix=mqtt.prefix, gateway=gateway)
        ear = Ear((self._topics.requests,), self._hear, largest=LARGEST_PACKET)
        ways = Broker.ways(mqtt, client_id=f"{client_id}-control")
        self._publisher = Failover([AiomqttPublisher(way, ear=ear) for way in ways])
        self._connected = connected
        self._ack_timeout_s = mqtt.ack_timeout
        self._retry = Backoff(first_s=0.5, cap_s=mqtt.retry_max)
        self.child = Child(name="control", run=self.run, restart=Backoff(first_s=0.5, cap_s=mqtt.retry_max))
        self._waiting: asyncio.Queue[Heard] = asyncio.Queue(MOST_WAITING)
        self._gone: asyncio.Future[None]
        self._at_work = asyncio.Lock()
        self._retired = asyncio.Event()
        self._limiter = Limiter(rate=RATE, burst=BURST)
        self._complained = False
        self._dropped = 0
        self._tell_dropped = Throttle(_SAY_EVERY_S)
        self._tell_refused = Throttle(_SAY_EVERY_S)

    async def run(self, _report: Report) -> None:
        """Returns when it was retired. Whether the broker is there is for the forwarder to report."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._keep_listening(), name="control: connection")
            answering = group.create_task(self._keep_answering(), name="control: answers")
            try:
                await self._retired.wait()
                async with self._at_work:
                    answering.cancel()
            finally:  # at a stop, too: the last answer leaves before the connection goes
                answering.cancel()
                await asyncio.wait([answering])
                listening.cancel()

    def retire(self) -> None:
        """Answer what is being carried out, and return: another one takes the requests."""
        self._retired.set()

    async def _keep_answering(self) -> None:
        while True:
            heard = await self._waiting.get()
            gone = self._gone
            await asyncio.sleep(self._limiter.take(1, asyncio.get_running_loop().time()))
            # What can no longer be answered is not carried out; what is being carried out is not left halfway.
            if not gone.done():
                async with self._at_work:
                    await self._answer(heard, gone)

    async def _keep_listening(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._gone = loop.create_future()
            self._dropped = 0
            since = None
            connected = self._connected()
            try:
                async with self._publisher.connect() as session:
                    since = loop.time()
                    self.listening = True
                    self._be_content()
                    await session.ended()
            except* Unreachable as group:
                # One that began before the broker was back proves nothing.
                if since is None and connected and self._connected():
                    self._complain(str(first_cause(group)))
            finally:
                self.listening = False
                self._gone.set_result(None)
                while not self._waiting.empty():
                    self._waiting.get_nowait()
            if since is not None and loop.time() - since >= STABLE_S:
                self._retry.reset()
            await asyncio.sleep(self._retry.next_delay())

    def _complain(self, why: str) -> None:
        if not self._complained:
            log.warning("control: no requests can be taken: %s", why, extra=about(broker=MAIN_BROKER))
        self._complained = True

    def _be_content(self) -> None:
        if self._complained:
            log.info("control: requests are taken again", extra=about(broker=MAIN_BROKER))
        self._complained = False

    def _hear(self, heard: Heard) -> None:
        verb = self._topics.verb(heard.topic)
        if verb is None:  # amqtt tells everybody what it has retained
            return
        if heard.retained:
            log.debug("control: a retained request to %s is not carried out", verb)
        elif self._waiting.full():
            self._dropped += 1
            if self._tell_dropped.passes(asyncio.get_running_loop().time()):
                log.warning("control: requests come too fast: some are dropped")
            if self._dropped >= MOST_DROPPED:
                raise Unreachable("requests come too fast")
        else:
            # Of what is too large to be carried out nothing is held but that it is.
            self._waiting.put_nowait(replace(heard, payload=heard.payload[: LARGEST + 1]))

    async def _answer(self, heard: Heard, gone: asyncio.Future[None]) -> None:
        verb = self._topics.verb(heard.topic) or ""
        answer: dict[str, Any] = {}
        outcome: Mapping[str, Any] = failed(
            "the gateway stopped, or failed, before this was done: see its log"
        )
        try:
            request = parsed(heard.payload)
            if "transaction" in request:
                answer["transaction"] = _transaction(request.pop("transaction"))
            outcome = await carried_out(self._verbs, verb, request)
        except Refused as error:
            outcome = failed(str(error))
        finally:
            taken = self._reply(heard, verb, {**answer, **outcome})
        # One at a time: a broker that acknowledges nothing must not make us hold all answers for it.
        ends: tuple[asyncio.Future[Any], ...] = (taken, gone)
        await asyncio.wait(ends, timeout=self._ack_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        refusal = taken.result() if taken.done() else None
        if refusal is not None and self._tell_refused.passes(asyncio.get_running_loop().time()):
            log.warning("control: the answer to %s did not leave: %s", verb, refusal)

    def _reply(
        self, heard: Heard, verb: str, answer: Mapping[str, Any]
    ) -> asyncio.Future[Rejected | Deferred | None]:
        """Set when the broker has taken the answer, or why it does not."""
        topic = self._topics.response(verb)
        if heard.response_topic is not None and self._topics.takes_answers(heard.response_topic):
            topic = heard.response_topic
        taken: asyncio.Future[Rejected | Deferred | None] = asyncio.get_running_loop().create_future()

        def settle(refusal: Rejected | Deferred | None) -> None:
            if not taken.done():
                taken.set_result(refusal)

        heard.reply(Message(topic, orjson.dumps(answer)), settle)
        return taken


def _transaction(given: Any) -> str | int:
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise Refused("transaction: must be text or a whole number")
    if isinstance(given, str) and len(given) > LONGEST_TRANSACTION:
        raise Refused(f"transaction: must not be longer than {LONGEST_TRANSACTION} characters")
    return given
