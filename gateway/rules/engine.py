"""All rules: events and time in, alerts out."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from math import inf
from types import MappingProxyType
from typing import Any

from gateway.kept import number, span, text, texts, truth
from gateway.kept import value as value_of
from gateway.model import Alert, AlertState, Availability, Observation, Presence, Stamp, Value
from gateway.rules.rule import Alarm, OnStale, State, Turn, Watch

PORT_DOWN = "port_down"
"""The rule that keeps quiet what is said of the silence behind the port that it fires for."""

ACKNOWLEDGED, SILENCED, INHIBITED = "acknowledged", "silenced", "inhibited"
"""Labels that an alert has while nobody is to be notified of it, and by whom; a rule must not set them."""

GONE = "the rule, or what it was about, is gone"

_SILENCES = -1
"""Their place in the heap: before all rules, at the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Keeps alerts quiet that it matches, until it ends. `*` and `?` in `rule` and `device` match as in a shell."""

    name: str
    ends_at: float
    """Monotonic, as every decision."""
    rule: str = "*"
    device: str = "*"
    labels: Mapping[str, str] = field(default_factory=dict)
    by: str = ""

    def matches(self, watch: Watch) -> bool:
        rule = watch.rule
        return (
            fnmatchcase(rule.name, self.rule)
            and fnmatchcase(watch.device, self.device)
            and self.labels.items() <= {**rule.labels, "severity": rule.severity}.items()
        )


@dataclass(slots=True, eq=False)
class _Post:
    """One watch at its work."""

    watch: Watch
    judge: Callable[[Stamp], object]
    """Whether `when` is true; at hand, since each reading asks."""
    timer: Callable[[Stamp], float] | None
    """When it may change by itself, if it ever does."""
    alarm: Alarm
    rank: int
    since: Stamp
    """When it fired last."""
    places: frozenset[str]
    """What an alert that inhibits it may be about."""
    armed: float = inf
    """Its moment in the heap."""
    acknowledged: str = ""
    of_silence: bool = False
    quiet: dict[str, str] = field(default_factory=dict)
    said: tuple[Value | None, str] | None = None
    """Value and message while it fires, as long as all of it was known: after a restart nothing is, for a while."""


class Engine:
    """Pure: nothing happens by itself, and of the two clocks only the monotonic one decides.

    An alert is given out when it fires, when it is resolved, when it repeats itself, and, while it fires, when it
    becomes quiet or is not quiet any more. What is pending is not: see `standing`.
    """

    def __init__(
        self,
        watches: Iterable[Watch],
        at: Stamp,
        *,
        heed: Callable[[Observation], object],
        ports: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Begin.

        Args:
            watches: a rule and a device each, once.
            at: now.
            heed: remembers an event for the conditions; it is called when all that was due before has been done.
            ports: what each device is behind; a rule about a port has its name for a device.

        Raises: graphlib.CycleError, when rules inhibit each other.
        """
        self.revision = 0
        """Grows with each change of what `export` tells, except that time passes."""
        self._heed = heed
        self._now = at
        self._posts: list[_Post] = []
        self._touched: dict[str, list[_Post]] = {}
        self._needing: dict[str, list[_Post]] = {}
        self._inhibits: dict[str, list[_Post]] = {}
        self._firing: dict[str, set[int]] = {}
        self._heap: list[tuple[float, int]] = []
        self._silences: dict[str, Silence] = {}
        self.spoken: set[str] = set()
        """The devices that have been online in this process."""
        self._absent: set[str] = set()
        watching = [watch for watch in watches if watch.rule.enabled]
        graph = {watch.rule.name: set(watch.rule.inhibited_by) for watch in watching}
        order = {name: place for place, name in enumerate(TopologicalSorter(graph).static_order())}
        # Who inhibits is asked first: what it keeps quiet is quiet from the beginning.
        watching.sort(key=lambda watch: -1 if watch.rule.name == PORT_DOWN else order[watch.rule.name])
        for rank, watch in enumerate(watching):
            places = watch.devices | {watch.device}
            places |= {ports[each] for each in places if each in ports} | {""}
            post = _Post(
                watch,
                watch.when.judge,
                watch.when.due if watch.when.timed else None,
                Alarm(watch.rule, watch.when, watch.clear),
                rank,
                at,
                places,
            )
            self._posts.append(post)
            for device in watch.devices | watch.needs:
                self._touched.setdefault(device, []).append(post)
            for device in watch.needs:
                self._needing.setdefault(device, []).append(post)
            for name in {*watch.rule.inhibited_by, PORT_DOWN} - {watch.rule.name}:
                self._inhibits.setdefault(name, []).append(post)
            self._arm(post, at.mono)

    @property
    def due(self) -> float:
        """The monotonic moment at which `on_time` is wanted; infinity: none. It may turn out that nothing is to do."""
        return self._heap[0][0] if self._heap else inf

    @property
    def now(self) -> Stamp:
        """The moment up to which all that was due is done."""
        return self._now

    @property
    def absent(self) -> frozenset[str]:
        """The devices that are stale or offline."""
        return frozenset(self._absent)

    def on_event(self, event: Observation) -> list[Alert]:
        at = event.at
        if at.mono < self._now.mono:  # two devices' readings may overtake each other on their way
            at = self._now
        alerts = self.on_time(at)
        self._heed(event)
        if isinstance(event, Availability):
            self._hear(event)
            for post in self._touched.get(event.device, ()):
                self._step(post, at, alerts)
            return alerts
        for post in self._touched.get(event.device, ()):
            judged = post.judge(at)
            if judged is not post.alarm.steady:
                self._step(post, at, alerts, judged)
            elif post.timer is not None:
                self._arm(post, post.timer(at))
        return alerts

    def on_time(self, now: Stamp) -> list[Alert]:
        """What is due by now, each at its moment, however late the call comes."""
        alerts: list[Alert] = []
        while self._heap and self._heap[0][0] <= now.mono:
            due, rank = heappop(self._heap)
            at = _earlier(now, due)
            if rank == _SILENCES:
                self._look_at_silences(at, alerts)
                continue
            post = self._posts[rank]
            if post.armed != due:
                continue
            post.armed = inf
            self._step(post, at, alerts)
        self._now = max(self._now, now, key=lambda stamp: stamp.mono)
        return alerts

    def forget(self, device: str) -> None:
        """It is not there any more: one that gets its name later begins anew. What is said of it now stays said."""
        self.spoken.discard(device)
        self._absent.discard(device)
        self.revision += 1

    def standing(self) -> list[Alert]:
        """All alerts that are pending or fire; one that is pending says by whom it would be kept quiet."""
        alerts = []
        for post in self._posts:
            alert, since = self._alert(post, self._now), post.alarm.pending_since
            if post.alarm.firing:
                alerts.append(alert)
            elif since is not None:
                labels = {**post.watch.rule.labels, **self._quiet(post)}
                began = _earlier(self._now, since)
                alerts.append(replace(alert, state=AlertState.PENDING, since=began, labels=labels))
        return alerts

    def states(self) -> dict[tuple[str, str], State]:
        """Of all alerts that are not inactive, by rule and device."""
        return {
            (post.watch.rule.name, post.watch.device): post.alarm.state
            for post in self._posts
            if post.alarm.firing or post.alarm.pending_since is not None
        }

    def state(self, rule: str, device: str = "") -> State:
        """Raises: LookupError, when there is no such rule about this device."""
        return self._post(rule, device).alarm.state

    def acknowledge(self, rule: str, device: str, by: str, at: Stamp) -> list[Alert]:
        """Somebody takes care of it: it is quiet until it is resolved.

        Raises: LookupError, when it does not fire.
        """
        alerts = self.on_time(at)
        post = self._post(rule, device)
        if not post.alarm.firing:
            raise LookupError(f"{rule}: does not fire")
        post.acknowledged = by or "somebody"
        self.revision += 1
        self._hush(post, at, alerts)
        return alerts

    def silence(self, silence: Silence, at: Stamp) -> list[Alert]:
        """One of the same name is replaced."""
        alerts = self.on_time(at)
        self._silences[silence.name] = silence
        self.revision += 1
        heappush(self._heap, (silence.ends_at, _SILENCES))
        self._look_at_silences(at, alerts)
        return alerts

    def unsilence(self, name: str, at: Stamp) -> list[Alert]:
        """Raises: LookupError, when there is none of this name."""
        alerts = self.on_time(at)
        if name not in self._silences:
            raise LookupError(f"{name}: no such silence")
        del self._silences[name]
        self.revision += 1
        self._look_at_silences(at, alerts)
        return alerts

    @property
    def watches(self) -> list[Watch]:
        """Those whose rules are enabled."""
        return [post.watch for post in self._posts]

    @property
    def silences(self) -> list[Silence]:
        return [*self._silences.values()]

    def export(self, at: Stamp) -> dict[str, Any]:
        """All that must outlast the process, as plain data: how long ago what happened."""
        now = at.mono
        return {
            "alerts": [
                {
                    "rule": post.watch.rule.name, "device": post.watch.device,
                    "severity": post.watch.rule.severity, "labels": dict(post.watch.rule.labels),
                    "since": [post.since.wall_ns, now - post.since.mono, post.since.synchronised],
                    "acknowledged": post.acknowledged, "quiet": post.quiet, "said": post.said, **kept,
                }
                for post in self._posts
                if (kept := post.alarm.kept(now))["firing"] or kept["differs_s"] is not None or kept["changes_s"]
            ],
            "silences": [
                {
                    "name": each.name, "left_s": each.ends_at - now, "rule": each.rule, "device": each.device,
                    "labels": dict(each.labels), "by": each.by,
                }
                for each in self._silences.values()
            ],
            "absent": sorted(self._absent),
        }  # fmt: skip

    def restore(self, kept: Mapping[str, Any], at: Stamp, outage_s: float) -> list[Alert]:
        """Go on where another engine was exported so long ago; to be called before anything else.

        What fires and has no rule any more is resolved; all else is announced only where it changes.
        Raises: KeyError, TypeError, ValueError, for what `export` has not made.
        """
        alerts: list[Alert] = []
        then = at.mono - max(0.0, outage_s)
        for each in kept["silences"]:
            silence = Silence(
                name=text(each["name"]), ends_at=then + span(each["left_s"]), rule=text(each["rule"]),
                device=text(each["device"]), labels=texts(each["labels"]), by=text(each["by"]),
            )  # fmt: skip
            self._silences[silence.name] = silence
            heappush(self._heap, (silence.ends_at, _SILENCES))
        self._absent.update(map(text, kept["absent"]))
        for device in self._absent:
            self._note_absence(device)
        posts = {(post.watch.rule.name, post.watch.device): post for post in self._posts}
        for each in kept["alerts"]:
            post = posts.get((each["rule"], each["device"]))
            if post is None:
                if truth(each["firing"]):
                    alerts.append(_gone(each, at))
                continue
            wall_ns, ago_s, synchronised = each["since"]
            post.since = Stamp(number(wall_ns), then - span(ago_s), truth(synchronised))
            post.acknowledged, post.quiet = text(each["acknowledged"]), texts(each["quiet"])
            if each["said"] is not None:
                value, message = each["said"]
                post.said = None if value is None else value_of(value), text(message)
            post.alarm.restore(each, then)
            if post.alarm.firing:
                post.of_silence = post.alarm.of_silence
                self._firing.setdefault(post.watch.rule.name, set()).add(post.rank)
        self.revision += 1
        self._look_at_silences(at, alerts)
        return alerts

    def succeed(self, former: "Engine", at: Stamp, *, changed: Collection[str]) -> list[Alert]:
        """Go on where another one is at this moment; to be called before anything else.

        `changed`: rules that say something else now. What fires goes on until their new text says that it is over;
        what was about to begins anew.
        """
        kept = former.export(at)
        alerts = [each for each in kept["alerts"] if each["rule"] not in changed or each["firing"]]
        for each in alerts:
            if each["rule"] in changed:
                each |= {"differs_s": None, "said": None}
        self.spoken |= former.spoken
        return self.restore({**kept, "alerts": alerts}, at, 0.0)

    def _hear(self, event: Availability) -> None:
        device, before = event.device, len(self._absent)
        if event.presence is Presence.ONLINE:
            self.spoken.add(device)
            self._absent.discard(device)
        elif not event.unproven and (event.presence is Presence.STALE or device in self.spoken):
            self._absent.add(device)
        if len(self._absent) != before:
            self.revision += 1
            self._note_absence(device)

    def _note_absence(self, device: str) -> None:
        for post in self._needing.get(device, ()):
            post.alarm.absent = not self._absent.isdisjoint(post.watch.needs)

    def _step(self, post: _Post, at: Stamp, alerts: list[Alert], *judged: object) -> None:
        alarm, name = post.alarm, post.watch.rule.name
        revision = alarm.revision
        turn = alarm.step(at, *judged)
        self.revision += alarm.revision - revision
        self._arm(post, alarm.due)
        if turn is Turn.FIRED:
            post.since = at
            post.of_silence = alarm.of_silence
            self._firing.setdefault(name, set()).add(post.rank)
            post.quiet = self._quiet(post)
            alerts.append(self._alert(post, at))
        elif turn is Turn.RESOLVED:
            post.since = at
            self._firing[name].discard(post.rank)
            alerts.append(self._alert(post, at))
            post.acknowledged, post.quiet, post.said = "", {}, None
        elif turn is Turn.REPEATED and not post.quiet:
            alerts.append(self._alert(post, at))
        if turn is Turn.FIRED or turn is Turn.RESOLVED:
            for other in self._inhibits.get(name, ()):
                self._hush(other, at, alerts)
        elif post.of_silence is not alarm.of_silence:
            post.of_silence = alarm.of_silence
            self._hush(post, at, alerts)

    def _arm(self, post: _Post, due: float) -> None:
        # A moment that has become later is put right when the earlier one comes: a wait that begins anew with each
        # reading would fill the heap.
        if due < post.armed:
            post.armed = due
            heappush(self._heap, (due, post.rank))

    def _hush(self, post: _Post, at: Stamp, alerts: list[Alert]) -> None:
        """Say so, if it fires and has become quiet, or has ceased to be."""
        if post.alarm.firing and (quiet := self._quiet(post)) != post.quiet:
            post.quiet = quiet
            self.revision += 1
            alerts.append(self._alert(post, at))

    def _look_at_silences(self, at: Stamp, alerts: list[Alert]) -> None:
        for name in [each.name for each in self._silences.values() if each.ends_at <= at.mono]:
            del self._silences[name]
            self.revision += 1
        for post in self._posts:
            self._hush(post, at, alerts)

    def _quiet(self, post: _Post) -> dict[str, str]:
        quiet = {}
        if post.acknowledged:
            quiet[ACKNOWLEDGED] = post.acknowledged
        if silence := next((each for each in self._silences.values() if each.matches(post.watch)), None):
            quiet[SILENCED] = silence.by or silence.name
        names = post.watch.rule.inhibited_by
        if post.alarm.of_silence and post.watch.rule.name != PORT_DOWN:
            names = (*names, PORT_DOWN)
        for name in names:
            if any(self._posts[rank].watch.device in post.places for rank in self._firing.get(name, ())):
                quiet[INHIBITED] = name
                break
        return quiet

    def _post(self, rule: str, device: str) -> _Post:
        for post in self._posts:
            if (post.watch.rule.name, post.watch.device) == (rule, device):
                return post
        raise LookupError(f"{rule}: no such rule" + (f" about {device}" if device else ""))

    def _alert(self, post: _Post, at: Stamp) -> Alert:
        watch, rule = post.watch, post.watch.rule
        state = AlertState.FIRING if post.alarm.firing else AlertState.RESOLVED
        value, message = self._words(post)
        return Alert(
            at=at, rule=rule.name, device=watch.device, state=state, since=post.since, value=value,
            severity=rule.severity, labels={**rule.labels, **post.quiet}, message=message,
        )  # fmt: skip

    def _words(self, post: _Post) -> tuple[Value | None, str]:
        watch, rule = post.watch, post.watch.rule
        value = watch.look(watch.metric) if watch.metric else None
        own = {"rule": rule.name, "device": watch.device, "value": value}
        seen = [value] if watch.metric else []

        def look(name: str) -> Value | None:
            seen.append(own[name] if name in own else watch.look(name))
            return seen[-1]

        words = value, rule.message.filled(look)
        if None in seen and post.said is not None:
            words = post.said
        elif post.alarm.firing:
            post.said = words
        if post.alarm.firing and post.alarm.absent and rule.on_stale is OnStale.FIRE:
            silent = ", ".join(sorted(watch.needs & self._absent))
            words = words[0], f"{words[1]} ({silent}: not heard any more)"
        return words


def _earlier(at: Stamp, mono: float) -> Stamp:
    """A moment that was not written down, by the clock of a later one."""
    return Stamp(at.wall_ns - round((at.mono - mono) * 1e9), mono, at.synchronised)


def _gone(kept: Mapping[str, Any], at: Stamp) -> Alert:
    return Alert(
        at=at, rule=text(kept["rule"]), device=text(kept["device"]), state=AlertState.RESOLVED, since=at, value=None,
        severity=text(kept["severity"]), message=GONE, labels=texts(kept["labels"]),
    )  # fmt: skip
