"""`sallyport rules test`: whether rules do what their author expects, on a time that jumps."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from drivers.driver import is_same
from gateway.commands.listing import plain
from gateway.commands.rules.audience import Audience, Deed, Told, deeds
from gateway.commands.rules.chronicle import Chronicle, clocked, named, settings, table
from gateway.commands.rules.cues import Cue, in_order, of_availability, of_capture, of_readings, of_series
from gateway.commands.rules.wording import value
from gateway.config.actions import Action
from gateway.config.rule_tests import Expected, OfDevice, RuleTest, RuleTests, WantedAlert, WantedNotice, load
from gateway.errors import ConfigError
from gateway.model import Alert, AlertState, Stamp
from gateway.rules.rehearsal import Change, Happening, Rehearsal
from gateway.rules.rulebook import STATUS

MOST_HAPPENINGS = 100_000
"""Alerts, notices and availabilities of one test; of a rule gone wild nobody wants more."""

MOST_SHOWN = 200
"""Lines of a time line."""

Wanted = TypeVar("Wanted", bound=BaseModel)
Got = TypeVar("Got")


def run(files: Sequence[Path], *, timeline: bool) -> int:
    """Raises: ConfigError, with what is wrong in any of the files; UsageError for a capture that cannot be read."""
    loaded: list[RuleTests] = []
    problems: list[str] = []
    for file in files:
        try:
            loaded.append(load(file))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    for warning in dict.fromkeys(each for tests in loaded for each in tests.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    outcomes = [_Stage(tests, test).outcome() for tests in loaded for test in tests.tests]
    for outcome in outcomes:
        print("\n".join(outcome.lines(timeline=timeline)), flush=True)
    failed = sum(bool(outcome.differences) for outcome in outcomes)
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed else 0


@dataclass(slots=True)
class _Outcome:
    test: RuleTest
    differences: list[str] = field(default_factory=list)
    story: list[tuple[float, str]] = field(default_factory=list)

    def lines(self, *, timeline: bool) -> Iterator[str]:
        yield f"{'FAILED' if self.differences else 'ok':6}  {self.test.where}: {plain(self.test.name)}"
        yield from (f"    {line}" for line in self.differences)
        if self.differences or timeline:
            yield "    time line" + ("" if self.story else ": nothing happens")
            yield from (f"      {line}" for line in table(self.story[:MOST_SHOWN]))
            if len(self.story) > MOST_SHOWN:
                yield f"      … and {len(self.story) - MOST_SHOWN} more"


class _TooMuch(Exception):
    """More happens than a test may hold."""


class _Stage:
    def __init__(self, tests: RuleTests, test: RuleTest) -> None:
        self._tests = tests
        self._test = test
        config = tests.config
        start = Stamp(round(test.start.timestamp() * 1e9), 0.0)
        self._rehearsal = Rehearsal(tests.book, config.devices, start, rules=test.cast)
        self._audience = Audience(config, self._rehearsal.stamp)
        self._chronicle = Chronicle()
        self._outcome = _Outcome(test)
        self._told: dict[str, list[Told]] = {name: [] for name in config.notify}
        """Since each was last asked for."""
        self._did: list[Deed] = []
        self._given: dict[tuple[str, str], Alert] = {}
        """What was last given out of each alert: its text is that of then."""

    def outcome(self) -> _Outcome:
        last = self._test.expected[-1]
        try:
            for device in self._devices():
                self._note(self._rehearsal.open(device, 0.0))
            for at, act, device, what in in_order(*self._cues()):
                if happened := act(device, at, what):
                    self._note(happened)
                if what is last:
                    break
        except _TooMuch:
            self._outcome.differences.append(
                f"stopped at {clocked(self._outcome.story[-1][0])}: more than {MOST_HAPPENINGS} things happen"
            )
        return self._outcome

    def _devices(self) -> Iterable[str]:
        options = self._test.options
        kinds: Iterable[Sequence[OfDevice]] = (
            options.series, options.reading, options.availability, options.capture,
        )  # fmt: skip
        return dict.fromkeys(each.device for kind in kinds for each in kind if each.device != STATUS)

    def _cues(self) -> Iterator[Iterable[Cue]]:
        rehearsal, options, config = self._rehearsal, self._test.options, self._tests.config
        yield of_availability(rehearsal, options.availability)
        yield of_readings(rehearsal, options.reading)
        for series in self._test.series:
            yield of_series(rehearsal, series)
        for each in options.capture:
            yield of_capture(rehearsal, each.device, config.devices[each.device], each.file, at=each.at)
        yield ((each.options.at, self._look, "", each) for each in self._test.expected)

    def _note(self, happened: Iterable[Happening]) -> None:
        for each in happened:
            self._hear(self._audience.note(each))
            if isinstance(each, Change) and each.alert is not None:
                self._given[each.rule, each.device] = each.alert
            if not isinstance(each, Change) or each.rule in self._test.rules:
                self._write(each)
                for deed in deeds(self._tests.config, each):
                    self._did.append(deed)
                    self._write(deed)

    def _hear(self, told: Iterable[Told]) -> None:
        for each in told:
            self._told[each.receiver].append(each)
            self._write(each)

    def _write(self, what: Happening | Told | Deed) -> None:
        self._outcome.story.append((what.at.mono, self._chronicle.line(what)))
        if len(self._outcome.story) > MOST_HAPPENINGS:
            raise _TooMuch

    # What is expected

    def _look(self, _device: str, at: float, expected: Expected) -> Sequence[Happening]:
        self._note(self._rehearsal.until(at))
        self._hear(self._audience.until(at))
        options = expected.options
        standing = [each for each in self._rehearsal.standing() if each.rule in self._test.rules]
        for state, wanted in ((AlertState.FIRING, options.firing), (AlertState.PENDING, options.pending)):
            if wanted is not None:
                got = [
                    each if state is AlertState.PENDING else self._given[each.rule, each.device]
                    for each in standing
                    if each.state is state
                ]
                differences = _compared(wanted, got, _fits, _akin)
                self._differ(
                    expected, str(state), differences, _wanted_alert, lambda alert: self._got_alert(alert, at)
                )
        for receiver, notices in options.notified.items():
            told, self._told[receiver] = self._told[receiver], []
            ours = [each for each in told if self._ours(each)]
            unlike = _compared(notices, ours, self._says, lambda _wanted, _got: True)
            self._differ(expected, f"notified {receiver}", unlike, _wanted_notice, self._got_notice)
        if options.did is not None:
            did, self._did = self._did, []
            self._differ(
                expected, "did", _compared(options.did, did, _is_done, lambda _wanted, _got: True),
                lambda action: f"{action.device}: {settings(action.set_)}",
                lambda deed: f"at {clocked(deed.at.mono)}: {deed.device}: {settings(deed.set_)} (by {deed.rule})",
            )  # fmt: skip
        return ()

    def _differ(
        self, expected: Expected, what: str, differences: Sequence[tuple[Any, Any]],
        wanted_text: Callable[[Any], str], got_text: Callable[[Any], str],
    ) -> None:  # fmt: skip
        if not differences:
            return
        lines = self._outcome.differences
        lines.append(f"{expected.where}: at {clocked(expected.options.at)}: {what}")
        for wanted, got in differences:
            lines.append(f"  expected  {'nothing more' if wanted is None else wanted_text(wanted)}")
            lines.append(f"  got       {self._instead(wanted) if got is None else got_text(got)}")

    def _instead(self, wanted: WantedAlert | WantedNotice | Action) -> str:
        """What is said of something that did not come: of an alert, what it is instead."""
        if not isinstance(wanted, WantedAlert):
            return "nothing"
        states = [
            f"{named(rule, device)}, which is {state}"
            for (rule, device), state in self._rehearsal.engine.states().items()
            if rule == wanted.rule and wanted.device in (None, device)
        ]
        return ", ".join(states) or f"nothing: {self._idle(wanted)}"

    def _idle(self, wanted: WantedAlert) -> str:
        watches = [
            watch
            for watch in self._rehearsal.watches
            if watch.rule.name == wanted.rule and wanted.device in (None, watch.device)
        ]
        judged = [value(watch.when.judge(self._rehearsal.now)) for watch in watches]
        text = f"its condition is {', '.join(dict.fromkeys(judged))}"
        if silent := sorted(
            {device for watch in watches for device in watch.needs & self._rehearsal.engine.absent}
        ):
            text += f'; {", ".join(silent)} is not heard: on_stale = "{watches[0].rule.on_stale}"'
        return text

    def _got_alert(self, alert: Alert, at: float) -> str:
        labels = "".join(f", {name} = {plain(value)}" for name, value in alert.labels.items())
        return (
            f"{named(alert.rule, alert.device)} since {clocked(alert.since.mono)}"
            f" ({clocked(at - alert.since.mono)} ago), {alert.severity}: {plain(alert.message)}{labels}"
        )

    def _got_notice(self, told: Told) -> str:
        return f"at {clocked(told.at.mono)}: {plain(told.notice.title)}"

    def _ours(self, told: Told) -> bool:
        return any(alert.rule in self._test.rules for alert in told.notice.alerts)

    def _says(self, wanted: WantedNotice, told: Told) -> bool:
        ours = [alert for alert in told.notice.alerts if alert.rule in self._test.rules]
        firing = [alert for alert in ours if alert.state is AlertState.FIRING]
        resolved = [alert for alert in ours if alert.state is not AlertState.FIRING]
        return (
            told.notice.repeat is wanted.repeat
            and not _compared(wanted.firing, firing, _fits, _akin)
            and not _compared(wanted.resolved, resolved, _fits, _akin)
        )


def _compared(
    wanted: Sequence[Wanted],
    got: Sequence[Got],
    fits: Callable[[Wanted, Got], bool],
    akin: Callable[[Wanted, Got], bool],
) -> list[tuple[Wanted | None, Got | None]]:
    """What does not fit: what was wanted beside what came instead, if there is something akin."""
    # Whoever says the most chooses first: when not all find something, it is a bare name that does not.
    choosing = sorted(wanted, key=lambda each: -len(each.model_fields_set))
    taken: dict[int, int] = {}
    """Who has what."""
    unmet = [each for index, each in enumerate(choosing) if not _finds(index, choosing, got, fits, taken)]
    left = [other for place, other in enumerate(got) if place not in taken]
    differences: list[tuple[Wanted | None, Got | None]] = []
    for each in unmet:
        instead = next((other for other in left if akin(each, other)), None)
        if instead is not None:
            left.remove(instead)
        differences.append((each, instead))
    return [*differences, *((None, other) for other in left)]


def _finds(
    seeker: int,
    wanted: Sequence[Wanted],
    got: Sequence[Got],
    fits: Callable[[Wanted, Got], bool],
    taken: dict[int, int],
) -> bool:
    """Take what fits; whoever has that takes something else, if there is something that fits them too."""
    places = {owner: place for place, owner in taken.items()}
    heirs: dict[int, int] = {}
    seeking = [seeker]
    for one in seeking:
        for place, other in enumerate(got):
            if place in heirs or not fits(wanted[one], other):
                continue
            heirs[place] = one
            if place in taken:
                seeking.append(taken[place])
                continue
            free: int | None = place
            while free is not None:
                taken[free] = heirs[free]
                free = places.get(heirs[free])
            return True
    return False


def _akin(wanted: WantedAlert, got: Alert) -> bool:
    return wanted.rule == got.rule


def _fits(wanted: WantedAlert, got: Alert) -> bool:
    return (
        wanted.rule == got.rule
        and wanted.device in (None, got.device)
        and wanted.severity in (None, got.severity)
        and wanted.message in (None, got.message)
        and wanted.labels.items() <= got.labels.items()
    )


def _is_done(wanted: Action, got: Deed) -> bool:
    return (
        wanted.device == got.device
        and wanted.set_.keys() == got.set_.keys()
        and all(is_same(wanted.set_[name], value) for name, value in got.set_.items())
    )


def _wanted_alert(wanted: WantedAlert) -> str:
    details = [wanted.severity or "", f": {wanted.message}" if wanted.message is not None else ""]
    labels = "".join(f", {name} = {value}" for name, value in wanted.labels.items())
    severity = f", {details[0]}" if details[0] else ""
    return plain(f"{named(wanted.rule, wanted.device or '')}{severity}{details[1]}{labels}")


def _wanted_notice(wanted: WantedNotice) -> str:
    parts = [
        f"{state} {', '.join(map(_wanted_alert, alerts))}"
        for state, alerts in (("firing", wanted.firing), ("resolved", wanted.resolved))
        if alerts
    ]
    return ("again: " if wanted.repeat else "") + (" and ".join(parts) or "nothing that fires or is resolved")
