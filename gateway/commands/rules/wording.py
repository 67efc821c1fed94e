"""What a rule reads and does, in words."""

import re
from collections.abc import Iterator, Mapping

import orjson

from gateway.config.notify import NotifyOptions
from gateway.config.rules import RuleOptions
from gateway.rules.expression import Metric
from gateway.rules.names import THIS
from gateway.rules.rulebook import Article
from gateway.units import written_duration

_PLAIN = re.compile(r"[^\W\d]\w*")


def metric(of: Metric) -> str:
    """As one writes it in an expression."""
    device = of.device if _PLAIN.fullmatch(of.device.replace("-", "_")) else f'"{of.device}"'
    return f"{device}.{of.name}" if _PLAIN.fullmatch(of.name) else f'{device}["{of.name}"]'


def reads(article: Article, this: str = THIS) -> list[str]:
    """Values, windows, and devices whose age or availability is asked for."""
    expressions = [each.reads(this) for each in (article.when, article.clear) if each is not None]
    windows = {each for found in expressions for each in found.windows}
    in_windows = {of for of, _, _ in windows}
    metrics = {of for found in expressions for of in found.metrics}
    asked = {device for found in expressions for device in found.asked}
    return [
        *(metric(of) for of in sorted(metrics - in_windows)),
        *(f'{function}({metric(of)}, "{written_duration(s)}")' for of, function, s in sorted(windows)),
        *(f"whether {device} is heard" for device in sorted(asked)),
    ]


def timing(rule: RuleOptions) -> Iterator[tuple[str, str]]:
    """What is not as it is by default, and the condition."""
    yield "when", " ".join(rule.when.split())
    if rule.clear is not None:
        yield "clear", " ".join(rule.clear.split())
    if rule.for_:
        yield "for", f"{written_duration(rule.for_)} without a break, then it fires"
    if rule.keep_for:
        yield "keep_for", f"over for {written_duration(rule.keep_for)} without a break, then it is resolved"
    if rule.flap is not None:
        yield (
            "flap",
            f"stays when it changes {rule.flap.changes} times in {written_duration(rule.flap.within)}",
        )
    if rule.repeat is not None:
        yield "repeat", f"told again every {written_duration(rule.repeat)}"
    yield "on_stale", _ON_STALE[rule.on_stale]
    yield "severity", rule.severity
    if rule.labels:
        yield "labels", ", ".join(f"{name} = {value}" for name, value in rule.labels.items())


_ON_STALE = {
    "hold": "hold: while a device that it reads is silent, nothing changes",
    "fire": "fire: a device that it reads and that is silent counts as true",
    "resolve": "resolve: a device that it reads and that is silent counts as false",
}


def consequences(rule: RuleOptions, receivers: Mapping[str, NotifyOptions]) -> Iterator[tuple[str, str]]:
    for name in rule.notify:
        options = receivers[name]
        again = (
            "not again"
            if options.repeat_interval is None
            else f"again after {written_duration(options.repeat_interval)}"
        )
        news = written_duration(options.group_interval)
        text = f"{name}: first after {written_duration(options.group_wait)}, then what is new every {news}"
        yield "notifies", f"{text}, what still fires {again}"
    for action in rule.do:
        values = ", ".join(f"{name} = {value(each)}" for name, each in action.set_.items())
        yield "does", f"{action.device}: {values}, when it fires"
    for name in rule.inhibited_by:
        yield "quiet", f"while {name} fires for the same device, its port, or none in particular"


def value(of: object) -> str:
    """As in the configuration; a reason why it is not known in brackets."""
    if type(of) is int:  # two that are multiplied may have more digits than JSON takes
        return str(of)
    if isinstance(of, bool | float | str):
        return orjson.dumps(round(of, 5) if isinstance(of, float) else of).decode()
    return f"unknown: {getattr(of, 'value', of)}"
