"""Requests over MQTT: one JSON object on `…/request/<verb>` in, one on `…/response/<verb>` out.

What a device shall be comes on `…/<device>/set`, and is answered on `…/response/set`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from gateway import wire
from gateway.config import MAIN_BROKER, ControlOptions, MqttOptions
from gateway.errors import Deferred, Refused, Rejected, Unreachable
from gateway.logs import about
from gateway.pacing.backoff import Backoff
from gateway.pacing.limiter import Limiter
from gateway.pacing.throttle import Throttle
from gateway.publish.aiomqtt_publisher import AiomqttPublisher, Ear, Heard
from gateway.publish.broker import Broker
from gateway.publish.failover import Failover
from gateway.publish.publisher import Message
from gateway.publish.topics import Asked, Topics, metric_level
from gateway.request import LARGEST, Verb, carried_out, failed, parsed
from gateway.supervisor import STABLE_S, Child, Report, first_cause, refusing

log = logging.getLogger(__name__)

LARGEST_PACKET = 4 * LARGEST
"""Up to here there is an answer that says it is too large; beyond it a broker of MQTT 5 keeps it to itself."""

MOST_WAITING = 64
MOST_OF_ONE = 16
"""Of these, for one device: a slow one must not take the place of what others are told."""
MOST_DROPPED = 500
"""In a minute; then we hang up for a while: only to hear a request costs three times as much as a reading."""

MOST_UNTAKEN = 2 * MOST_WAITING
"""Answers that the broker has not acknowledged, far more than there are at once; then we hang up on it."""
FAREWELL_S = 1.0
"""For the last answers to arrive."""

OVERDUE_S = 30.0
"""What was to be set and has waited for longer is not what anybody still expects."""
REPEATED_S = 60.0
"""For so long the same message to a device counts as the one before, which came twice."""

LONGEST_TRANSACTION = 256
MOST_TOLD = 100
"""Topics whose retained message is complained about."""

SET = "set"
"""The verb that has topics of its own."""

_SAY_EVERY_S = 60.0

_UNFINISHED = "the gateway stopped, or failed, before this was done: see its log"
_NOT_BEGUN = "not carried out: the gateway is being stopped, or listens anew: ask again"


@dataclass(slots=True)
class Call:
    heard: Heard
    asked: Asked
    gone: asyncio.Future[None]
    """Set when the connection is that it came by."""
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    """What a device was told last, and what came of it."""

    message: tuple[str, bytes]
    at: float
    answer: Mapping[str, Any]


def _nothing(_device: str) -> Iterable[str]:
    return ()


class Control:
    """Carries out what one broker's clients ask for, as far as it has a verb and the configuration allows it.

    What comes on `…/request/#` is done one after the other, and so is what comes for each device on `…/<device>/set`;
    devices do not wait for each other.

    A request that came while we were away is not carried out later: neither does the broker keep it for us, nor does
    one count that it has retained. What is carried out is answered once.
    """

    def __init__(
        self,
        mqtt: MqttOptions,
        ways: Iterable[Broker],
        verbs: Mapping[str, Verb],
        *,
        gateway: str,
        connected: Callable[[], bool],
        options: Callable[[], ControlOptions] = ControlOptions,
        settable: Callable[[str], Iterable[str]] = _nothing,
        hears: Mapping[str, Callable[[Heard], None]] | None = None,
        says: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """Begin; `child` is to be run.

        Args:
            mqtt: the broker.
            ways: to it, as the gateway itself goes them; our client ids are made of those.
            verbs: what can be asked for; `set` is by the topics of devices only.
            gateway: its name.
            connected: whether the gateway itself is with the broker; if it is not, that has been said already.
            options: as they are now. Whether anything may be set counts at the beginning: only then it is listened for.
            settable: what can be set of a device. Raises: Refused, when there is none of this name.
            hears: what else is told to whom, by topic, as far as the broker lets us.
            says: where the gateway speaks besides its own topics, as it is now: there, and below, goes no answer.
        """
        self.listening = False
        """Whether requests can come in."""
        self._verbs = verbs
        self._topics = Topics(prefix=mqtt.prefix, gateway=gateway)
        self._hears = hears or {}
        self._says = says
        sets = self._topics.sets if options().set_ else ()
        ear = Ear(
            (self._topics.requests,), self._hear, if_allowed=(*sets, *self._hears), largest=LARGEST_PACKET
        )
        ours = [replace(way, client_id=f"{way.client_id}-control") for way in ways]
        self._publisher = Failover([AiomqttPublisher(way, ear=ear) for way in ours])
        self._connected = connected
        self._ack_timeout_s = mqtt.ack_timeout
        self._retry = Backoff(first_s=0.5, cap_s=mqtt.retry_max)
        self.child = Child(name="control", run=self.run, restart=Backoff(first_s=0.5, cap_s=mqtt.retry_max))
        self._options = options
        self._settable = settable
        self._lanes: dict[str, deque[Call]] = {}
        """What is carried out one after the other: by device, and all requests; those that have something to do."""
        self._working: set[str] = set()
        self._fresh = asyncio.Event()
        self._gone: asyncio.Future[None]
        self._untaken: set[asyncio.Future[Rejected | Deferred | None]] = set()
        """Answers on their way."""
        self._leaving = False
        """What comes from now on is not begun any more."""
        self._last: dict[str, _Last] = {}
        self._retired = asyncio.Event()
        self._rate = 0
        self._limiter = Limiter(rate=1, burst=1)
        self._told_retained: set[str] = set()
        self._complained = False
        self._dropped = 0
        self._tell_dropped = Throttle(_SAY_EVERY_S)
        self._tell_refused = Throttle(_SAY_EVERY_S)

    @property
    def waiting(self) -> int:
        """What is still to be begun."""
        return sum(map(len, self._lanes.values()))

    async def run(self, _report: Report) -> None:
        """Returns when it was retired. Whether the broker is there is for the forwarder to report."""
        self._lanes.clear()
        self._working.clear()
        self._leaving = False
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._keep_listening(), name="control: connection")
            try:
                async with asyncio.TaskGroup() as workers:
                    starting = workers.create_task(self._keep_starting(workers), name="control: answers")
                    try:
                        await self._retired.wait()
                    finally:
                        starting.cancel()
                        self._leaving = True
                        for call in (call for lane in self._lanes.values() for call in lane):
                            self._turn_away(call)
                        self._drop_what_waits()
            finally:
                # At a stop, too: a connection that is cut off takes along what the broker has not read.
                if self._untaken:
                    await asyncio.wait([*self._untaken], timeout=FAREWELL_S)
            listening.cancel()

    def retire(self) -> None:
        """Carry out what was begun, answer the rest, and return: another one takes the requests."""
        self._retired.set()

    async def _keep_starting(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._fresh.clear()
            for name, lane in self._lanes.items():
                if name not in self._working:
                    self._working.add(name)
                    group.create_task(self._work(name, lane), name=f"control: {name or 'requests'}")
            await self._fresh.wait()

    async def _work(self, name: str, lane: deque[Call]) -> None:
        """Until there is nothing to do."""
        while lane:
            await asyncio.sleep(self._pause_s())
            # What can no longer be answered is not carried out; what is being carried out is not left halfway.
            if lane and not (call := lane.popleft()).gone.done():
                await self._answer(call)
        del self._lanes[name]
        self._working.discard(name)

    def _pause_s(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._rate != self._options().rate:
            self._rate = self._options().rate
            self._limiter = Limiter(rate=self._rate, burst=2 * self._rate)
        return self._limiter.take(1, now)

    def _drop_what_waits(self) -> None:
        for lane in self._lanes.values():
            lane.clear()

    async def _keep_listening(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._gone = loop.create_future()
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
                for taken in self._untaken:
                    if not taken.done():
                        taken.set_result(None)
                self._drop_what_waits()
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
        if heard.topic in self._hears:
            self._hears[heard.topic](heard)
            return
        asked = self._topics.asked(heard.topic)
        if asked is None:  # amqtt tells everybody what it has retained
            return
        # Of what is too large to be carried out nothing is held but that it is.
        heard = replace(heard, payload=heard.payload[: LARGEST + 1])
        call = Call(heard, asked, self._gone, asyncio.get_running_loop().time())
        if heard.retained:
            self._tell_retained(heard.topic)
        elif len(self._untaken) >= MOST_UNTAKEN:
            self._complain_of_answers("the broker acknowledges none: we hang up on it")
            raise Unreachable("the broker takes no answers")
        elif self._is_full(asked.device) or (self._leaving and self._pause_s()):
            self._drop()
        elif self._leaving:
            self._turn_away(call)
        else:
            self._lanes.setdefault(asked.device, deque()).append(call)
            self._fresh.set()

    def _is_full(self, device: str) -> bool:
        lane = self._lanes.get(device)
        if sum(map(len, self._lanes.values())) >= MOST_WAITING:
            return True
        # Anybody can make up devices, and the answer to each waits for the broker.
        return len(self._lanes) >= MOST_WAITING if lane is None else bool(device) and len(lane) >= MOST_OF_ONE

    def _drop(self) -> None:
        if self._tell_dropped.passes(asyncio.get_running_loop().time()):
            self._dropped = 0
            log.warning("control: requests come too fast: some are dropped")
        self._dropped += 1
        if self._dropped >= MOST_DROPPED:
            self._dropped = 0
            raise Unreachable("requests come too fast")

    def _tell_retained(self, topic: str) -> None:
        if topic in self._told_retained or len(self._told_retained) >= MOST_TOLD:
            return
        self._told_retained.add(topic)
        log.warning(
            "control: the retained message on %s is not carried out: clear it (mosquitto_pub -r -n -t TOPIC), and send"
            " without retain",
            topic,
        )

    async def _answer(self, call: Call) -> None:
        heard, asked = call.heard, call.asked
        echo: dict[str, Any] = {}
        answer = b""
        try:
            with refusing("control"):
                request = self._request(asked, heard.payload)
                echo = _echo(request)
                outcome = await self._carried_out(call, request, echo.get("transaction"))
                answer = orjson.dumps({**echo, **outcome})
        except Refused as error:
            answer = orjson.dumps({**echo, **failed(str(error))})
        finally:
            answer = answer or orjson.dumps({**echo, **failed(_UNFINISHED)})
            taken = self._reply(call, answer)
        # One at a time: a broker that acknowledges nothing must not make us hold all answers for it.
        await asyncio.wait([taken], timeout=self._ack_timeout_s)
        refusal = taken.result() if taken.done() else None
        if refusal is not None:
            # It may have been larger than the broker takes.
            why = f"the answer did not leave: {refusal}; what was asked for may be done"
            self._reply(call, orjson.dumps({**echo, **failed(why)}))
            self._complain_of_answers(f"the one to {asked.verb} did not leave: {refusal}")

    def _complain_of_answers(self, why: str) -> None:
        if self._tell_refused.passes(asyncio.get_running_loop().time()):
            log.warning("control: answers: %s", why)

    def _turn_away(self, call: Call) -> None:
        echo: dict[str, Any] = {}
        with suppress(Refused):
            echo = _echo(self._request(call.asked, call.heard.payload))
        self._reply(call, orjson.dumps({**echo, **failed(_NOT_BEGUN)}))

    def _request(self, asked: Asked, payload: bytes) -> dict[str, Any]:
        """Raises: Refused."""
        if not asked.metric:
            request = parsed(payload)
            if asked.device and "device" in request:
                raise Refused("device: is said by the topic")
            return request
        if len(payload) > LARGEST:
            raise Refused(f"the value is larger than {LARGEST} bytes")
        named = (each for each in self._settable(asked.device) if metric_level(each) == asked.metric)
        try:
            return {"values": {next(named, asked.metric): wire.read_scalar(payload)}}
        except UnicodeDecodeError:
            raise Refused("the value is no text in UTF-8") from None

    async def _carried_out(
        self, call: Call, request: dict[str, Any], transaction: str | int | None
    ) -> Mapping[str, Any]:
        """Raises: Refused."""
        said = "" if transaction is None else f", transaction {_quoted(transaction)}"
        # With a space in it, it could go on as a line of ours does.
        topic = _quoted(call.heard.topic) if " " in call.heard.topic else call.heard.topic
        asked = f"asked on {topic}{said}"
        if call.asked.device:
            return await self._set(call, request, asked, is_one=transaction is not None)
        allows = self._options().allows
        denied = "{} is not in [control] allow of the gateway's configuration"
        verbs = {
            verb: each if allows(verb) else _refusal(denied.format(verb))
            for verb, each in self._verbs.items()
            if verb != SET
        }
        return await carried_out(verbs, call.asked.verb, request, asked=asked)

    async def _set(
        self, call: Call, request: dict[str, Any], asked: str, *, is_one: bool
    ) -> Mapping[str, Any]:
        """`is_one`: the sender gives each message that he sends a name of its own. Raises: Refused."""
        now = asyncio.get_running_loop().time()
        device, message = call.asked.device, (call.heard.topic, call.heard.payload)
        last = self._last.get(device)
        # A sender that does not know whether it has arrived sends it again, and the broker passes on both.
        if is_one and last is not None and last.message == message and now - last.at <= REPEATED_S:
            return {**last.answer, "repeated": True}
        verbs = self._verbs
        if now - call.since > OVERDUE_S:
            why = f"it has waited for more than {OVERDUE_S:g} s for what {device} was told before"
            verbs = {SET: _refusal(why)}
        answer = await carried_out(verbs, SET, {"device": device, **request}, asked=asked)
        if answer.get("set") or answer.get("uncertain"):
            self._last[device] = _Last(message=message, at=asyncio.get_running_loop().time(), answer=answer)
        return answer

    def _reply(self, call: Call, answer: bytes) -> asyncio.Future[Rejected | Deferred | None]:
        """Set when the broker has taken the answer, or why it does not; also when the connection is gone."""
        topic = self._topics.response(call.asked.verb)
        wanted = call.heard.response_topic
        if wanted is not None and self._topics.takes_answers(wanted, self._says()):
            topic = wanted
        taken: asyncio.Future[Rejected | Deferred | None] = asyncio.get_running_loop().create_future()

        def settle(refusal: Rejected | Deferred | None) -> None:
            if not taken.done():
                taken.set_result(refusal)

        if call.gone.done():
            settle(None)
        else:
            self._untaken.add(taken)
            taken.add_done_callback(self._untaken.discard)
        call.heard.reply(Message(topic, answer), settle)
        return taken


def _refusal(why: str) -> Verb:
    """In the place of a verb."""

    def refuse(_request: dict[str, Any]) -> Mapping[str, Any]:
        raise Refused(why)

    return refuse


def _quoted(text: str | int) -> str:
    return orjson.dumps(text).decode()


def _echo(request: dict[str, Any]) -> dict[str, Any]:
    """What of a request comes back in its answer; it is taken out. Raises: Refused."""
    if "transaction" not in request:
        return {}
    given = request.pop("transaction")
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise Refused("transaction: must be text or a whole number")
    if isinstance(given, str) and len(given) > LONGEST_TRANSACTION:
        raise Refused(f"transaction: must not be longer than {LONGEST_TRANSACTION} characters")
    return {"transaction": given}
