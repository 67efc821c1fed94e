"""`sallyport rules check`: all rules, what each reads, what is doubtful, and where it is switched off."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from gateway import config
from gateway.commands.rules.wording import reads
from gateway.config import Config, rulebook
from gateway.config.complaints import Problem
from gateway.config.page import Page
from gateway.config.rules import BUILT_IN, is_built_in
from gateway.rules.rulebook import Rulebook


def run(path: Path) -> int:
    """Raises: ConfigError."""
    loaded = config.load(path)
    page = Page.read(path)
    book = rulebook(loaded.rules, loaded.devices, loaded.gateway.zone)
    doubts: defaultdict[str, list[str]] = defaultdict(list)
    for each in book.doubts:
        doubts[each.rule] += page.lines([Problem(("rules", each.rule, each.key), each.text, each.column)])
    told = {line for lines in doubts.values() for line in lines}
    for warning in loaded.warnings:
        if warning not in told:
            print(f"warning: {warning}", file=sys.stderr)
    for name in loaded.rules:
        for line in _described(name, loaded, page, book):
            print(line)
        for doubt in doubts[name]:
            print(f"    doubtful      {doubt}")
    off = sum(not rule.enabled for rule in loaded.rules.values())
    count = f"{len(loaded.rules)} rules" + (f", {off} switched off" if off else "")
    print(
        f"{path}: good: {count}" + (f", doubtful in {len(told)} place{'s'[: len(told) != 1]}" if told else "")
    )
    return 0


def _described(name: str, loaded: Config, page: Page, book: Rulebook) -> Iterator[str]:
    rule, article = loaded.rules[name], book.article(name)
    place = page.where(("rules", name))
    where = "built in" if name in BUILT_IN else place
    if name in BUILT_IN and not is_built_in(name, rule):
        where = f"built in, changed at {place}"
    yield f"{name}, {rule.severity} ({where})"
    if not rule.enabled:
        yield f"    switched off  {page.where(('rules', name, 'enabled'))}"
        return
    if article.devices is not None:
        yield f"    for each of   {', '.join(article.devices) or 'no device'}"
    for index, each in enumerate(reads(article) or ["nothing"]):
        yield f"    {'reads' if not index else '':13} {each}"
    if rule.notify:
        yield f"    notifies      {', '.join(rule.notify)}"
