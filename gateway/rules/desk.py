"""Where people ask what fires, and for quiet: requests in, answers out; time is passed in."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from itertools import count
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway import wire
from gateway.errors import Refused
from gateway.model import Alert, AlertState, Clock, Stamp
from gateway.request import Request, Text
from gateway.rules.engine import Engine, Silence
from gateway.rules.message import LONGEST
from gateway.units import Duration

LONGEST_SILENCE_S = 366 * 86_400.0
"""Who wants longer quiet wants another rule."""

MOST_SILENCES = 100
MOST_LABELS = 16

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALL = "*"


def _moment(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError('must be a moment with its time zone, such as "2026-11-22T17:00:00Z"')


def _bounded(seconds: float) -> float:
    if not 0 < seconds <= LONGEST_SILENCE_S:
        raise ValueError("must be longer than nothing, and a year at most")
    return seconds


_Span = Annotated[Duration, AfterValidator(_bounded)]
_Moment = Annotated[datetime, BeforeValidator(_moment)]
_Name = Annotated[Text, Field(min_length=1)]


class _Acknowledge(Request):
    rule: _Name
    device: Text | None = None
    """None: the only one of the rule that fires; `*`: all of them."""
    by: Text = ""


class _Quieten(Request):
    name: _Name | None = None
    rule: _Name | None = None
    device: _Name | None = None
    labels: dict[Text, Text] = Field(default_factory=dict, max_length=MOST_LABELS)
    for_s: _Span | None = Field(default=None, alias="for")
    until: _Moment | None = None
    by: Text = ""

    @model_validator(mode="after")
    def _matches_something_and_ends(self) -> Self:
        if self.rule is None and self.device in (None, _ALL) and not self.labels:
            raise ValueError('needs a rule, a device or labels; rule = "*" silences everything')
        if (self.for_s is None) == (self.until is None):
            raise ValueError('needs either "for", such as "2h", or "until"')
        return self


class _Unsilence(Request):
    name: Text


class _List(Request):
    pass


class Desk:
    def __init__(
        self,
        engine: Callable[[], Engine],
        now: Clock,
        out: Callable[[list[Alert]], object],
        remembered: Callable[[], Awaitable[None]],
    ) -> None:
        """Begin.

        Args:
            engine: all rules, as they are now.
            now: when all that happened before has been judged.
            out: takes what the engine gives out, after each request: also nothing, since it may be due earlier now.
            remembered: returns when what has been done outlasts the process; nobody is told before that it is done.
        """
        self.verbs: Mapping[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "alert/ack": self._acknowledge,
            "alert/silence": self._silence,
            "alert/unsilence": self._unsilence,
            "alert/list": self._list,
        }
        self._engine = engine
        self._clock = now
        self._out = out
        self._remembered = remembered
        self._closed = False

    def close(self) -> None:
        """Whoever asks from now on is refused: nobody takes any more what the engine gives out."""
        self._closed = True

    async def _acknowledge(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = _Acknowledge.of(request)
        at = self._now()
        firing: list[str] = []
        pending: list[str] = []
        for alert in self._engine().standing():
            if alert.rule == wanted.rule and wanted.device in (None, _ALL, alert.device):
                (firing if alert.state is AlertState.FIRING else pending).append(alert.device)
        if not firing:
            raise Refused(self._why_not(wanted, pending=bool(pending)))
        if len(firing) > 1 and wanted.device is None:
            names = ", ".join(f'"{device}"' for device in firing)
            raise Refused(f'{wanted.rule}: fires for several devices: {names}; say which, or "*"')
        for device in firing:
            self._out(self._engine().acknowledge(wanted.rule, device, wanted.by, at))
        await self._remembered()
        return {"acknowledged": [{"rule": wanted.rule, "device": device} for device in firing]}

    async def _silence(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = _Quieten.of(request)
        at = self._now()
        names = {each.name for each in self._engine().silences}
        name = wanted.name or next(each for n in count(1) if (each := f"silence-{n}") not in names)
        if len(names) >= MOST_SILENCES and name not in names:
            raise Refused(f"there are {MOST_SILENCES} silences already")
        silence = Silence(
            name=name, ends_at=at.mono + _left_s(wanted, at), rule=wanted.rule or _ALL,
            device=wanted.device or _ALL, labels=wanted.labels, by=wanted.by,
        )  # fmt: skip
        self._out(self._engine().silence(silence, at))
        await self._remembered()
        return {**_written(silence, at), "covers": sum(map(silence.matches, self._engine().watches))}

    async def _unsilence(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = _Unsilence.of(request)
        at = self._now()
        names = [each.name for each in self._engine().silences]
        if wanted.name not in names:
            raise Refused(f"{wanted.name}: no such silence{_nearest(wanted.name, names)}")
        self._out(self._engine().unsilence(wanted.name, at))
        await self._remembered()
        return {"name": wanted.name}

    async def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        _List.of(request)
        at = self._now()
        return {
            "alerts": [_told(alert, at) for alert in self._engine().standing()],
            "silences": [_written(silence, at) for silence in self._engine().silences],
        }

    def _now(self) -> Stamp:
        """What was due before has been done: a request that is refused must not take alerts with it.

        Raises: Refused, when it is closed.
        """
        if self._closed:
            raise Refused("the gateway is being stopped: its rules judge no more")
        at = self._clock()
        self._out(self._engine().on_time(at))
        return at

    def _why_not(self, wanted: _Acknowledge, *, pending: bool) -> str:
        about = f"{wanted.rule}, {wanted.device}" if wanted.device not in (None, _ALL, "") else wanted.rule
        if pending:
            return f"{about}: does not fire yet: it is pending"
        rules = {watch.rule.name for watch in self._engine().watches}
        if wanted.rule not in rules:
            return f"{wanted.rule}: no such rule{_nearest(wanted.rule, rules)}"
        return f"{about}: does not fire"


def _left_s(wanted: _Quieten, at: Stamp) -> float:
    if wanted.until is None:
        assert wanted.for_s is not None
        return wanted.for_s
    if not at.synchronised:
        raise Refused('until: the gateway does not know what time it is: say "for" how long')
    left_s = (wanted.until - _EPOCH) / timedelta(seconds=1) - at.wall_ns / 1e9
    if not 0 < left_s <= LONGEST_SILENCE_S:
        raise Refused("until: must be a moment to come, within a year")
    return left_s


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, [*known], 1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _told(alert: Alert, at: Stamp) -> dict[str, Any]:
    value = alert.value[:LONGEST] if isinstance(alert.value, str) else alert.value
    told = {
        "rule": alert.rule, "device": alert.device, "state": alert.state, "severity": alert.severity,
        "since": wire.rfc3339(alert.since.wall_ns), "since_s": round(at.mono - alert.since.mono, 3),
        "value": wire.portable(value), "message": wire.portable(alert.message), "labels": alert.labels,
    }  # fmt: skip
    if not alert.since.synchronised:
        told["clock"] = wire.UNSYNCHRONISED
    return told


def _written(silence: Silence, at: Stamp) -> dict[str, Any]:
    left_s = max(0.0, silence.ends_at - at.mono)
    written = {
        "name": silence.name, "rule": silence.rule, "device": silence.device, "labels": silence.labels,
        "by": silence.by, "left_s": round(left_s, 3),
    }  # fmt: skip
    if at.synchronised:
        written["until"] = wire.rfc3339(at.wall_ns + round(left_s * 1e9))
    return written
