"""All rules of a site: compiled, with what is wrong in them, and ready to watch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import NamedTuple

from gateway.filters.filter import Names
from gateway.model import Value
from gateway.rules.engine import PORT_DOWN
from gateway.rules.expression import Bound, Expression
from gateway.rules.memory import COUNTED, Cell, Memory
from gateway.rules.message import LONGEST
from gateway.rules.names import THIS, BadExpression, Instrument, Site, did_you_mean
from gateway.rules.rule import Rule, Watch
from gateway.rules.unknown import Unknown

STATUS = "status"
"""In expressions the gateway itself, as if it were a device; no device may be called so."""

OF_DEVICES = ("$read", "$rejected", "$unanswered")
"""What the gateway counts of each device."""
OF_GATEWAY = (
    "behind", "behind_broker", "brokers_connected", "clock_synchronised", "journal_refused", "journal_trouble",
    "journal_used", "waiting",
)  # fmt: skip

VALUE = "value"
OWN = ("rule", "device", VALUE)
"""Names in a message that are no device's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statute:
    """A rule as it was written."""

    rule: Rule
    when: str
    clear: str | None = None
    each: Sequence[str] | None = None
    """The devices that `this` stands for one after the other: names, with wildcards."""


class Mistake(NamedTuple):
    rule: str
    key: str
    """Of the rule's table."""
    column: int | None
    """Of the character in that text, from 0; None: the whole value."""
    text: str


@dataclass(frozen=True, slots=True)
class Article:
    """One rule, compiled."""

    rule: Rule
    when: Expression
    clear: Expression | None
    devices: Sequence[str] | None
    """One watch for each of these; None: one for all."""

    @property
    def texts(self) -> tuple[str, str]:
        """Of its conditions."""
        return self.when.text, "" if self.clear is None else self.clear.text


class Rulebook:
    def __init__(
        self,
        statutes: Iterable[Statute],
        site: Site,
        *,
        ports: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`ports`: what each device is behind."""
        self.articles: list[Article] = []
        self.mistakes: list[Mistake] = []
        self.doubts: list[Mistake] = []
        self.ports = ports
        self.site = site
        """What the rules may speak of."""
        self._ports_site = Site({port: Instrument(complete=True) for port in ports.values()}, site.zone)
        statutes = [*statutes]
        for statute in statutes:
            self._compile(statute)
        self._check_inhibition([statute.rule for statute in statutes])

    def watches(self, memory: Memory) -> Iterator[Watch]:
        for article in self.articles:
            for device in article.devices if article.devices is not None else [""]:
                yield _watch(article, device, memory, self.site)

    def article(self, rule: str) -> Article:
        """Raises: LookupError."""
        for article in self.articles:
            if article.rule.name == rule:
                return article
        raise LookupError(
            f"there is no rule {rule}" + did_you_mean(rule, (each.rule.name for each in self.articles))
        )

    def rewritten(self, former: "Rulebook") -> frozenset[str]:
        """The rules whose conditions this book has in other words."""
        before = {each.rule.name: each for each in former.articles}
        return frozenset(
            each.rule.name
            for each in self.articles
            if each.rule.name in before and each.texts != before[each.rule.name].texts
        )

    def site_of(self, rule: str) -> Site:
        """What it may speak of: the one about ports of these, which nobody else can name."""
        return self._ports_site if rule == PORT_DOWN else self.site

    def _compile(self, statute: Statute) -> None:
        rule = statute.rule
        site = self.site_of(rule.name)
        devices = None
        if statute.each is not None:
            devices = [
                device for device in site.devices if device in Names(statute.each) and device != STATUS
            ]
            self._check_each(rule.name, statute.each, devices)
        when = self._expression(statute, "when", statute.when, site, devices)
        clear = self._expression(statute, "clear", statute.clear, site, devices) if statute.clear else None
        self._check_message(rule, site, devices)
        if when is not None and (clear is not None or not statute.clear):
            if when.constant:
                self.doubts.append(
                    Mistake(rule.name, "when", None, "asks nothing: its answer is always the same")
                )
            asked = when.reads().asked | (clear.reads().asked if clear else frozenset())
            self.articles.append(Article(replace(rule, of_silence=bool(asked)), when, clear, devices))

    def _check_each(self, rule: str, globs: Sequence[str], devices: Sequence[str]) -> None:
        for glob in globs:
            if glob == "*" or any(device in Names([glob]) for device in devices):
                continue
            known = [device for device in self.site.devices if device != STATUS]
            if set(glob) & set("*?"):
                self.doubts.append(Mistake(rule, "each", None, f'no device is called "{glob}"'))
            else:
                text = f'there is no device "{glob}"{did_you_mean(glob, known)}'
                self.mistakes.append(Mistake(rule, "each", None, text))

    def _expression(
        self, statute: Statute, key: str, text: str, site: Site, devices: Sequence[str] | None
    ) -> Expression | None:
        try:
            expression = Expression(text, site, each=devices)
        except BadExpression as error:
            self.mistakes.append(Mistake(statute.rule.name, key, error.column, error.text))
            return None
        for doubt in expression.doubts:
            self.doubts.append(Mistake(statute.rule.name, key, doubt.column, doubt.text))
        return expression

    def _check_message(self, rule: Rule, site: Site, devices: Sequence[str] | None) -> None:
        for name in sorted(rule.message.names - {*OWN}):
            device, metric = parted(name, site)
            text = ""
            if not metric:
                text = f"{{{name}}} is no value: write {{device.metric}}, or one of {', '.join(OWN)}"
            elif device == THIS:
                if devices is None:
                    text = f"{{{name}}}: only a rule with each has this"
            elif device not in site.devices:
                text = f'{{{name}}}: there is no device "{device}"{did_you_mean(device, site.devices)}'
            if text:
                self.mistakes.append(Mistake(rule.name, "message", None, text))

    def _check_inhibition(self, rules: Sequence[Rule]) -> None:
        try:
            TopologicalSorter({rule.name: set(rule.inhibited_by) for rule in rules}).prepare()
        except CycleError as error:
            circle = error.args[1]
            text = f"these inhibit each other: {' → '.join(circle)}"
            self.mistakes.append(Mistake(circle[0], "inhibited_by", None, text))


def parted(name: str, site: Site) -> tuple[str, str]:
    """Device and metric of a name in a message, such as `hall.2.temperature`: a device may have points in its name."""
    for device in sorted(site.devices, key=len, reverse=True):
        if name.startswith(f"{device}."):
            return device, name.removeprefix(f"{device}.")
    device, _, metric = name.partition(".")
    return device, metric


def _watch(article: Article, this: str, memory: Memory, site: Site) -> Watch:
    when = article.when.bind(memory, this)
    clear = article.clear.bind(memory, this) if article.clear else None
    bounds: list[Bound] = [each for each in (when, clear) if each is not None]
    reads = frozenset[str]().union(*(each.reads.devices for each in bounds))
    asked = frozenset[str]().union(*(each.reads.asked for each in bounds))
    measured = {
        metric.device
        for each in bounds
        for metric in each.reads.metrics
        if not metric.name.startswith(COUNTED)
    }
    carried = article.when.first_metric(this)
    cells: dict[str, Cell] = {}
    for name in article.rule.message.names - {*OWN}:
        device, metric = parted(name, site)
        cells[name] = memory.cell(this if device == THIS else device, metric)
    if carried is not None:
        cells[VALUE] = memory.cell(*carried)
    about = this or (next(iter(reads)) if len(reads) == 1 and STATUS not in reads else "")

    def look(name: str) -> Value | None:
        value = cells[name].value if name in cells else None
        if isinstance(
            value, str
        ):  # alerts are kept in numbers, and half a surrogate pair can be written nowhere
            return value[:LONGEST].encode(errors="replace").decode()
        return None if isinstance(value, Unknown) else value

    return Watch(
        rule=article.rule, when=when, clear=clear, device=about, devices=reads,
        needs=frozenset(measured - asked - {STATUS}), look=look, metric=VALUE if carried else "",
    )  # fmt: skip
