"""`sallyport rules explain`: what a rule reads and does, and what it would be now."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway import config
from gateway.clock import system_clock
from gateway.commands.listening import messages
from gateway.commands.listing import plain
from gateway.commands.rules.chronicle import clocked, named
from gateway.commands.rules.ears import Ears, Watched, published
from gateway.commands.rules.recorded import takes
from gateway.commands.rules.wording import consequences, metric, reads, timing, value
from gateway.config import Config, rulebook
from gateway.config.page import Page
from gateway.config.rules import BUILT_IN
from gateway.errors import Unreachable, UsageError
from gateway.model import Stamp
from gateway.publish.broker import Broker
from gateway.publish.topics import Topics
from gateway.rules.explanation import Clause, clauses
from gateway.rules.memory import Memory
from gateway.rules.rehearsal import Rehearsal
from gateway.rules.rulebook import Article, Rulebook
from gateway.rules.unknown import Unknown
from gateway.units import duration

MOST_DEVICES = 20
"""Of a rule for several, so many are shown."""


def run(rule: str, path: Path, *, captures: Sequence[Path], devices: Sequence[str], wait: str) -> int:
    """Raises: ConfigError; UsageError; Unreachable, when no broker lets us listen."""
    if len(devices) > len(captures):
        raise UsageError("--device says whose recording a --capture is: there are more of them")
    try:
        wait_s = duration(wait)
    except ValueError as error:
        raise UsageError(f"--wait {wait}: {error}") from None
    loaded = config.load(path)
    book = rulebook(loaded.rules, loaded.devices, loaded.gateway.zone)
    try:
        article = book.article(rule)
    except LookupError as error:
        raise UsageError(str(error)) from None
    for line in _about(article, loaded, Page.read(path)):
        print(line)
    if captures:
        named_takes = zip((*devices, *[""] * (len(captures) - len(devices))), captures, strict=True)
        _after(article, book, loaded, [*named_takes])
    else:
        asyncio.run(_live(article, book, loaded, wait_s))
    return 0


def _about(article: Article, loaded: Config, page: Page) -> Iterator[str]:
    name = article.rule.name
    rule = loaded.rules[name]
    yield f"{name} ({'built in' if name in BUILT_IN else page.where(('rules', name))})"
    rows = [*timing(rule)]
    if article.devices is not None:
        rows.append(("each", ", ".join(article.devices) or "no device"))
    rows += [("reads", each) for each in reads(article) or ["nothing"]]
    rows += consequences(rule, loaded.notify)
    if not rule.enabled:
        rows.append(("off", f"switched off at {page.where(('rules', name, 'enabled'))}"))
    before = ""
    for key, text in rows:
        yield f"  {'' if key == before else key:9} {plain(text)}"
        before = key


def _watched(article: Article, book: Rulebook, memory: Memory) -> list[Watched]:
    site = book.site_of(article.rule.name)
    found = []
    for this in article.devices if article.devices is not None else [""]:
        expressions = {"when": article.when, "clear": article.clear}
        known = [each.reads(this) for each in expressions.values() if each is not None]
        conditions = {
            key: clauses(each.text, site, article.devices, memory, this)
            for key, each in expressions.items()
            if each is not None
        }
        metrics = sorted({of for each in known for of in each.metrics})
        asked = sorted({device for each in known for device in each.asked})
        for of in metrics:
            memory.cell(*of)
        found.append(Watched(this, metrics, asked, conditions))
    return found


def _shown(watched: Watched, memory: Memory, now: Stamp) -> Iterator[str]:
    for of in watched.metrics:
        seen, found = memory.device(of.device).at, memory.cell(*of).value
        ago = ""
        if not isinstance(seen, Unknown) and not isinstance(found, Unknown) and published(of):
            ago = f"; {of.device} was heard {clocked(now.mono - seen)} ago"
        yield f"{metric(of)} is {plain(value(found))}{ago}"
    for device in watched.asked:
        heard = memory.device(device)
        at = heard.at
        last = "was not heard yet" if isinstance(at, Unknown) else f"was heard {clocked(now.mono - at)} ago"
        yield f"{device} {last}; stale: {value(heard.stale)}; offline: {value(heard.offline)}"
    for key, parts in watched.conditions.items():
        for clause in parts:
            mark = "" if clause.depth else f"{key}: "
            yield f"{'  ' * clause.depth}{mark}{_verdict(clause, now)}"


def _verdict(clause: Clause, now: Stamp) -> str:
    verdict = plain(f"`{clause.text}` is {value(clause.judge(now))}")
    match [(text, value(judge(now))) for text, judge in clause.operands]:
        case []:
            return verdict
        case [(_, only)]:
            return verdict if only.startswith("unknown") else f"{verdict}: {plain(only)}"
        case several:
            return f"{verdict}: " + ", ".join(plain(f"{text} is {each}") for text, each in several)


def _print(
    article: Article, all_watched: Sequence[Watched], memory: Memory, now: Stamp, states: Mapping[str, str]
) -> None:
    for watched in all_watched[:MOST_DEVICES]:
        name = named(article.rule.name, watched.this)
        state = states.get(watched.this, "")
        print(f"\n{name}{': ' if state else ''}{state}")
        for line in _shown(watched, memory, now):
            print(f"  {line}")
        for said in watched.said:
            print(f"  {said}")
    if len(all_watched) > MOST_DEVICES:
        print(f"\n… and {len(all_watched) - MOST_DEVICES} more devices")


# After a recording


def _after(article: Article, book: Rulebook, loaded: Config, captures: Sequence[tuple[str, Path]]) -> None:
    played = takes(captures, loaded.devices)
    rehearsal = Rehearsal(book, loaded.devices, played.start)
    all_watched = _watched(article, book, rehearsal.memory)
    end = 0.0
    for at, act, device, what in played.cues(rehearsal):
        end = max(end, at)
        act(device, at, what)
    rehearsal.until(end)
    name = article.rule.name
    states = {}
    for watched in all_watched:
        found = [
            state
            for (rule, device), state in rehearsal.engine.states().items()
            if rule == name and watched.this in ("", device)
        ]
        states[watched.this] = f"{found[0] if found else 'inactive'} at the end, after {clocked(end)}"
        for alert in rehearsal.standing():
            if (alert.rule, alert.device) == (name, watched.this or alert.device):
                watched.said.append(
                    f"{alert.state} for {clocked(end - alert.since.mono)}: {plain(alert.message)}"
                )
    _print(article, all_watched, rehearsal.memory, rehearsal.now, states)


# Of a running gateway


async def _live(article: Article, book: Rulebook, loaded: Config, wait_s: float) -> None:
    memory = Memory()
    all_watched = _watched(article, book, memory)
    topics = Topics(prefix=loaded.mqtt.prefix, gateway=loaded.gateway.name)
    ears = Ears(article, all_watched, memory, topics, loaded)
    ways = Broker.ways(loaded.mqtt, client_id=f"sallyport-explain-{os.getpid()}")
    for broker in ways:
        print(
            f"listening to {topics.everything} on {broker.name} for {clocked(wait_s)} at most",
            file=sys.stderr,
        )
        try:
            async with asyncio.timeout(wait_s):
                async for message in messages(broker, *ears.topics):
                    ears.hear(str(message.topic), message)
                    if ears.content:
                        break
        except TimeoutError:
            pass
        except Unreachable as error:
            if broker is ways[-1]:
                raise
            print(error, file=sys.stderr)
            continue
        break
    if _windows(article):
        print("\nwindows hold what came while we listened; the gateway's own hold more")
    _print(article, all_watched, memory, system_clock(), {})


def _windows(article: Article) -> bool:
    return any(each.reads().windows for each in (article.when, article.clear) if each is not None)
