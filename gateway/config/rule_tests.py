"""What one may write in a file that tests rules, for `sallyport rules test`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainSerializer

from gateway.config import document
from gateway.config.actions import Action
from gateway.config.complaints import Problem, Section
from gateway.config.files import ReadableFile
from gateway.config.locator import KeyPath
from gateway.config.options import Config
from gateway.config.page import Page, as_key, validated
from gateway.config.rulebook import rulebook
from gateway.config.rules import is_built_in
from gateway.config.series import MOST, BadSeries, Stretch, length, stretches
from gateway.config.table import Table
from gateway.errors import ConfigError
from gateway.model import Value
from gateway.rules.engine import PORT_DOWN
from gateway.rules.memory import COUNTED, Memory
from gateway.rules.names import did_you_mean
from gateway.rules.rulebook import STATUS, Rulebook
from gateway.units import Duration, duration, written_duration

START = datetime(2026, 1, 1, tzinfo=UTC)
"""The clock on the wall at second 0, unless a test says otherwise: a Thursday."""

YEARS = range(1970, 9000)
"""In which a clock on the wall may begin: it has still to reach the end, in any time zone."""

_LONGEST = 366 * 86_400
_PARTS = re.compile(r"\d{1,9}(?:\.\d{1,9})?(?:ms|s|min|m|h|d)", re.ASCII)
_ELAPSED = re.compile(rf"(?:{_PARTS.pattern}){{1,8}}", re.ASCII)


def _moment(text: str) -> str:
    try:
        year = datetime.fromisoformat(text).year
    except ValueError:
        raise ValueError(
            "must be a date and a time, such as 2026-01-31T22:00:00 or 2026-01-31T22:00:00Z"
        ) from None
    if year not in YEARS:
        raise ValueError(f"must be between the years {YEARS[0]} and {YEARS[-1]}")
    return text


def _elapsed(written: Any) -> float:
    parts = _PARTS.findall(written) if isinstance(written, str) and _ELAPSED.fullmatch(written) else []
    if not parts:
        raise ValueError(
            'must be a time since the beginning with its units, such as "0s", "90s" or "1h2m30s"'
        )
    return round(sum(map(duration, parts)), 9)


def _spelled(written: Any) -> Any:
    """`overheat` or `overheat/boiler`, as its topic is called, for the table that it stands for."""
    if not isinstance(written, str):
        return written
    rule, slash, device = written.partition("/")
    return {"rule": rule, "device": device} if slash else {"rule": rule}


def _alone(written: Any) -> Any:
    return {"firing": [written]} if isinstance(written, str) else written


class WantedAlert(Table):
    rule: str = Field(description="Which rule it is of.")
    device: str | None = Field(default=None, description="Which device it is about.")
    severity: str | None = Field(default=None, description="How bad it is.")
    message: str | None = Field(default=None, description="What people read.")
    labels: Mapping[str, str] = Field(default_factory=dict, description="Labels that it has, among others.")


AlertOrName = Annotated[WantedAlert, BeforeValidator(_spelled)]


class WantedNotice(Table):
    firing: list[AlertOrName] = Field(default_factory=list, description="What it says that fires.")
    resolved: list[AlertOrName] = Field(
        default_factory=list, description="What it says that has been resolved."
    )
    repeat: bool = Field(default=False, description="Whether it only says again what still fires.")


NoticeOrName = Annotated[WantedNotice, BeforeValidator(_alone)]
Moment = Annotated[
    float, BeforeValidator(_elapsed), PlainSerializer(written_duration), Field(ge=0, le=_LONGEST)
]
"""Seconds since the beginning, as time lines have them."""


class OfDevice(Table):
    device: str = Field(description="Which device it is about, as the configuration calls it.")


class SeriesOptions(OfDevice):
    at: Moment = Field(default=0.0, description="When the first one comes.")
    every: Duration = Field(default=1.0, ge=0.001, le=_LONGEST, description="The time between two of them.")
    values: dict[str, Any] = Field(
        min_length=1,
        description='By metric, what is read one after the other: "20 + 1 x 30, 80 x 10, _ x 5", or an array of such.',
    )


class ReadingOptions(OfDevice):
    at: Moment = Field(description="When it comes.")
    values: dict[str, Any] = Field(min_length=1, description="By metric, what is read.")


class AvailabilityOptions(OfDevice):
    at: Moment = Field(description="From when on.")
    state: Literal["online", "stale", "offline", "port down", "port up"] = Field(
        description='What it becomes: "online", "stale", "offline", or its port "port down" or "port up".'
    )
    reason: str = Field(default="the test says so", description="Why.")


class CaptureOptions(OfDevice):
    file: ReadableFile = Field(description="From `sallyport record`, or raw bytes.")
    at: Moment = Field(default=0.0, description="When it begins.")


class ExpectOptions(Table):
    at: Moment = Field(description="When this is so.")
    firing: list[AlertOrName] | None = Field(
        default=None, description="All alerts that fire then; [] for none."
    )
    pending: list[AlertOrName] | None = Field(
        default=None, description="All alerts that are pending then; [] for none."
    )
    notified: Mapping[str, list[NoticeOrName]] = Field(
        default_factory=dict,
        description="By receiver, all that it has been told since it was last asked for here; [] for nothing.",
    )
    did: list[Action] | None = Field(
        default=None,
        description="All that rules have set since it was last asked for here, [] for nothing:"
        ' [{ device = "pump", set = { running = false } }].',
    )


class CaseOptions(Table):
    name: str = Field(default="", description="What the test is called.")
    start: Annotated[str, AfterValidator(_moment)] | None = Field(
        default=None, description="The clock on the wall at the beginning; by default 2026-01-01T00:00:00Z."
    )
    rules: list[str] | None = Field(
        default=None,
        description="The rules that it is about; by default all that the configuration writes, and those that are"
        " named in what is expected.",
    )
    series: list[SeriesOptions] = Field(default_factory=list, description="Readings at a steady pace.")
    reading: list[ReadingOptions] = Field(default_factory=list, description="Single readings.")
    availability: list[AvailabilityOptions] = Field(
        default_factory=list, description="What becomes of devices besides their readings."
    )
    capture: list[CaptureOptions] = Field(
        default_factory=list, description="What was recorded of devices, through their drivers and filters."
    )
    expect: list[ExpectOptions] = Field(min_length=1, description="What must be so, and when.")


class FileOptions(Table):
    config: ReadableFile = Field(description="The configuration that is tested.")


_EVERYWHERE: Mapping[str, type[BaseModel]] = {
    "the file's beginning": FileOptions,
    "[[test]]": CaseOptions,
    "[[test.series]]": SeriesOptions,
    "[[test.reading]]": ReadingOptions,
    "[[test.availability]]": AvailabilityOptions,
    "[[test.capture]]": CaptureOptions,
    "[[test.expect]]": ExpectOptions,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    device: str
    at: float
    every_s: float
    values: Mapping[str, Sequence[Stretch]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    where: str
    """`file:line:col`."""
    options: ExpectOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTest:
    name: str
    where: str
    start: datetime
    series: Sequence[Series]
    options: CaseOptions
    expected: Sequence[Expected]
    """In the order of their moments."""
    rules: frozenset[str]
    """Those of which nothing may happen that is not expected."""
    cast: frozenset[str]
    """These, and those that notify or inhibit besides: all that need to take part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTests:
    config: Config
    book: Rulebook
    tests: Sequence[RuleTest]
    warnings: Sequence[str]


def load(path: Path) -> RuleTests:
    """Raises: ConfigError, with every problem of the file, or of the configuration that it names."""
    page = Page.read(path)
    found: list[Problem] = []
    tables = _tests(page, found)
    named = {"config": page.table["config"]} if "config" in page.table else {}
    about = validated(Section((), named, FileOptions), path.parent, found, _EVERYWHERE)
    tests = [
        (at, validated(Section(at, table, CaseOptions), path.parent, found, _EVERYWHERE))
        for at, table in tables
    ]
    if about is None:
        raise ConfigError(*page.lines(found))
    config = document.load(about.config)
    reader = _Reader(page, config)
    made = [reader.test(at, options, number) for number, (at, options) in enumerate(tests, 1) if options]
    if found := [*found, *reader.found]:
        raise ConfigError(*page.lines(found))
    return RuleTests(config=config, book=reader.book, tests=made, warnings=page.lines(reader.doubts))


def _tests(page: Page, found: list[Problem]) -> list[tuple[KeyPath, Mapping[str, Any]]]:
    """Where each test stands; a file may also be one test."""
    table = page.table
    if "test" not in table:
        return [((), {key: each for key, each in table.items() if key != "config"})]
    stray = {key: each for key, each in table.items() if key not in ("config", "test")}
    for key in stray:
        hint = "[[test." + key + "]]" if key in CaseOptions.model_fields else "config and [[test]]"
        found.append(Problem((key,), f"unknown key beside [[test]]; write {hint}"))
    written = table["test"]
    if not isinstance(written, list) or not written or not all(isinstance(each, dict) for each in written):
        found.append(Problem(("test",), "must be an array of tables: write each header as [[test]]"))
        return []
    return [(("test", index), each) for index, each in enumerate(written)]


class _Reader:
    """Makes tests of what is written, and finds what does not fit the configuration."""

    def __init__(self, page: Page, config: Config) -> None:
        self.found: list[Problem] = []
        self.doubts: list[Problem] = []
        self.book = rulebook(config.rules, config.devices, config.gateway.zone)
        self._page = page
        self._config = config
        self._written = {name for name, rule in config.rules.items() if not is_built_in(name, rule)}
        self._inhibiting = {
            PORT_DOWN,
            *(name for rule in config.rules.values() for name in rule.inhibited_by),
        }
        self._watches = tuple(self.book.watches(Memory()))
        self._read = {
            (metric.device, metric.name)
            for article in self.book.articles
            for this in article.devices or [""]
            for expression in (article.when, article.clear)
            if expression is not None
            for metric in expression.reads(this).metrics
        }

    def test(self, at: KeyPath, options: CaseOptions, number: int) -> RuleTest:
        series = [self._series((*at, "series", index), each) for index, each in enumerate(options.series)]
        total = sum(length(stretch) for each in series for stretch in each.values.values())
        if total > MOST:
            self.found.append(Problem((*at, "series"), f"holds {total} values, and {MOST} are the most"))
        for kind in ("series", "reading", "availability", "capture"):
            for index, each in enumerate(getattr(options, kind)):
                if each.device != STATUS or kind not in ("series", "reading"):
                    self._known_device((*at, kind, index, "device"), each.device)
        for index, reading in enumerate(options.reading):
            self._single((*at, "reading", index, "values"), reading)
        for index, name in enumerate(options.rules or []):
            self._known_rule((*at, "rules", index), name)
        named = set(options.rules or [])
        for index, each in enumerate(options.expect):
            named |= self._expected((*at, "expect", index), each)
        expected = [
            Expected(where=self._page.where((*at, "expect", index, "at")), options=each)
            for index, each in enumerate(options.expect)
        ]
        return RuleTest(
            name=options.name or (f"test {number}" if at else self._page.path.stem),
            where=self._page.where(at),
            start=self._start(options.start),
            series=series,
            options=options,
            expected=sorted(expected, key=lambda each: each.options.at),
            rules=frozenset(named if options.rules is not None else named | self._written),
            cast=frozenset(named | self._written | self._inhibiting),
        )

    def _start(self, written: str | None) -> datetime:
        if written is None:
            return START
        start = datetime.fromisoformat(written)
        return start if start.tzinfo else start.replace(tzinfo=self._config.gateway.zone)

    def _series(self, at: KeyPath, options: SeriesOptions) -> Series:
        values = {
            metric: self._stretches((*at, "values", metric), written)
            for metric, written in options.values.items()
        }
        for metric in options.values:
            self._known_metric((*at, "values", metric), options.device, metric)
        return Series(device=options.device, at=options.at, every_s=options.every, values=values)

    def _stretches(self, at: KeyPath, written: Any) -> Sequence[Stretch]:
        if isinstance(written, list):
            parts = (self._items((*at, index), each) for index, each in enumerate(written))
            return [stretch for part in parts for stretch in part]
        return self._items(at, written)

    def _items(self, at: KeyPath, written: Any) -> Sequence[Stretch]:
        if not isinstance(written, str):
            self._value(at, written)
            return [Stretch(written)]
        try:
            return [*stretches(written)]
        except BadSeries as error:
            self.found.append(Problem(at, error.text, error.column))
            return []

    def _single(self, at: KeyPath, options: ReadingOptions) -> None:
        for metric, value in options.values.items():
            self._value((*at, metric), value)
            self._known_metric((*at, metric), options.device, metric)

    def _value(self, at: KeyPath, written: Any) -> None:
        if not isinstance(written, Value) or (isinstance(written, float) and not isfinite(written)):
            self.found.append(Problem(at, "must be a number, a text, true or false"))

    def _known_device(self, at: KeyPath, name: str) -> None:
        if name not in self._config.devices:
            text = f"there is no [devices.{as_key(name)}]"
            self.found.append(Problem(at, text + did_you_mean(name, self._config.devices)))

    def _known_metric(self, at: KeyPath, device: str, metric: str) -> None:
        instrument = self.book.site.devices.get(device)
        if instrument is None or (device, metric) in self._read:
            return
        read = [name for owner, name in self._read if owner == device and not name.startswith(COUNTED)]
        if instrument.complete and not instrument.knows(metric):
            text = f'{device} has no metric "{metric}"{did_you_mean(metric, instrument.metrics)}'
            self.found.append(Problem(at, text))
        elif not instrument.knows(metric):
            self.doubts.append(Problem(at, f"no rule reads it{did_you_mean(metric, read)}"))

    def _known_rule(self, at: KeyPath, name: str) -> bool:
        rule = self._config.rules.get(name)
        if rule is None:
            self.found.append(
                Problem(at, f'there is no rule "{name}"{did_you_mean(name, self._config.rules)}')
            )
        elif not rule.enabled:
            self.found.append(Problem(at, f"the rule {name} is switched off: enabled = false"))
        return rule is not None

    def _expected(self, at: KeyPath, options: ExpectOptions) -> set[str]:
        """The rules that are named."""
        named = self._alerts((*at, "firing"), options.firing or [])
        named |= self._alerts((*at, "pending"), options.pending or [])
        for receiver, notices in options.notified.items():
            if receiver not in self._config.notify:
                text = f"there is no [notify.{as_key(receiver)}]{did_you_mean(receiver, self._config.notify)}"
                self.found.append(Problem((*at, "notified", receiver), text))
            for index, notice in enumerate(notices):
                place = (*at, "notified", receiver, index)
                named |= self._alerts((*place, "firing"), notice.firing)
                named |= self._alerts((*place, "resolved"), notice.resolved)
        for index, action in enumerate(options.did or []):
            self._known_device((*at, "did", index, "device"), action.device)
        return named

    def _alerts(self, at: KeyPath, alerts: Iterable[WantedAlert]) -> set[str]:
        named = set()
        for index, alert in enumerate(alerts):
            if self._known_rule((*at, index, "rule"), alert.rule):
                named.add(alert.rule)
                self._about((*at, index, "device"), alert)
        return named

    def _about(self, at: KeyPath, alert: WantedAlert) -> None:
        about = [watch.device for watch in self._watches if watch.rule.name == alert.rule]
        if alert.device is not None and alert.device not in about:
            named = [device for device in about if device]
            text = f'{alert.rule} is never about "{alert.device}"{did_you_mean(alert.device, named)}'
            self.found.append(
                Problem(at, text if named else f"{alert.rule} is about no device in particular")
            )
