"""`sallyport rules replay`: which alerts a recording would have caused."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path

from gateway import config
from gateway.commands.rules.audience import Audience, Deed, Told, deeds
from gateway.commands.rules.chronicle import Chronicle, clocked, named
from gateway.commands.rules.recorded import takes
from gateway.config import Config, rulebook
from gateway.errors import UsageError
from gateway.model import Stamp
from gateway.rules.rehearsal import FIRES, Change, Happening, Rehearsal


def run(captures: Sequence[str], path: Path) -> int:
    """Raises: ConfigError, for the configuration; UsageError, for a recording."""
    loaded = config.load(path)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    played = takes([_named(each, loaded) for each in captures], loaded.devices)
    book = rulebook(loaded.rules, loaded.devices, loaded.gateway.zone)
    rehearsal = Rehearsal(book, loaded.devices, played.start)
    report = _Report(loaded, Audience(loaded, rehearsal.stamp))
    end = 0.0
    for at, act, device, what in played.cues(rehearsal):
        end = max(end, at)
        report.note(act(device, at, what))
    report.note(rehearsal.until(end))
    report.end(rehearsal, end)
    return 0


class _Report:
    def __init__(self, loaded: Config, audience: Audience) -> None:
        self._config = loaded
        self._audience = audience
        self._chronicle = Chronicle()
        self._summary = _Summary()

    def note(self, happened: Sequence[Happening]) -> None:
        for each in happened:
            for told in self._audience.note(each):
                self._say(told)
            if isinstance(each, Change):
                self._summary.note(each)
            self._say(each)
            for deed in deeds(self._config, each):
                self._say(deed)

    def end(self, rehearsal: Rehearsal, at: float) -> None:
        for told in self._audience.until(at):
            self._say(told)
        print("\n".join(self._summary.lines(rehearsal, at)))

    def _say(self, what: Happening | Told | Deed) -> None:
        print(f"{_clock(what.at, self._config.gateway.zone)}  {self._chronicle.line(what)}")


def _named(capture: str, loaded: Config) -> tuple[str, Path]:
    name, equals, file = capture.partition("=")
    if equals and (name in loaded.devices or not Path(capture).exists()):
        if not name or not file:
            raise UsageError(f"{capture}: write NAME=FILE, a device's name and its recording")
        return name, Path(file)
    return "", Path(capture)


def _clock(at: Stamp, zone: tzinfo) -> str:
    if not at.synchronised:
        return f"{clocked(at.mono):>12}"
    # From whole milliseconds: a float of nanoseconds would be rounded.
    moment = datetime.fromtimestamp(at.wall_ns // 10**9, zone)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{at.wall_ns // 10**6 % 1000:03}"


@dataclass(slots=True)
class _Tally:
    pending: int = 0
    fired: int = 0
    since: float | None = None
    total_s: float = 0.0
    longest_s: float = 0.0

    def ended(self, at: float) -> None:
        if self.since is not None:
            self.total_s += at - self.since
            self.longest_s = max(self.longest_s, at - self.since)
            self.since = None


@dataclass(slots=True)
class _Summary:
    tallies: dict[tuple[str, str], _Tally] = field(default_factory=dict)

    def note(self, change: Change) -> None:
        tally = self.tallies.setdefault((change.rule, change.device), _Tally())
        fired, fires = change.before in FIRES, change.state in FIRES
        if fires and not fired:
            tally.fired += 1
            tally.since = change.at.mono
        elif fired and not fires:
            tally.ended(change.at.mono)
        elif not fires and change.before is not change.state and change.alert is None:
            tally.pending += change.before.value == "inactive"

    def lines(self, rehearsal: Rehearsal, end: float) -> list[str]:
        standing = {key for key, tally in self.tallies.items() if tally.since is not None}
        for tally in self.tallies.values():
            tally.ended(end)
        lines = ["", f"in {clocked(end)}:"]
        for key, tally in self.tallies.items():
            if tally.fired:
                text = f"fired {_times(tally.fired)}, for {clocked(tally.total_s)} in all"
                text += f", {clocked(tally.longest_s)} at the longest" if tally.fired > 1 else ""
                text += ", and fires still" if key in standing else ""
            else:
                text = f"was pending {_times(tally.pending)}, and never fired"
            lines.append(f"  {named(*key)}: {text}")
        lines += [f"  {text}" for text in _idle(rehearsal, {rule for rule, _ in self.tallies})]
        return lines


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _idle(rehearsal: Rehearsal, moved: set[str]) -> list[str]:
    """Rules of which nothing has come, and whether they could know anything."""
    quiet = []
    for watch in rehearsal.watches:
        if watch.rule.name in moved or not watch.rule.enabled:
            continue
        judged = watch.when.judge(rehearsal.now)
        known = "" if isinstance(judged, bool) else f", and is unknown: {getattr(judged, 'value', judged)}"
        quiet.append(f"{named(watch.rule.name, watch.device)}: never{known}")
    return quiet
