"""`sallyport sniff`: which driver reads what is on a port, and how its line is set.

Decided by good frames, at the speeds and framings that the drivers know from their instruments.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

import drivers
from drivers.asking import UNANSWERED_AT_MOST, AskingOptions
from drivers.driver import Decoder, Driver, DriverOptions, LineSetting
from drivers.port import Address, SerialPort
from drivers.ports import lasting, whole
from gateway.clock import system_clock
from gateway.commands.listing import plain
from gateway.errors import LinkAbsent, LinkBusy, LinkDenied, LinkError, LinkSilent, UsageError
from gateway.model import Value
from gateway.units import duration

LISTEN_S = 2.5
"""From the first byte on, at each setting. At a wrong one bytes come too, if other ones; when none come at the
first, no instrument speaks by itself."""

ANSWER_S = 30.0
"""What an instrument may take that has begun to answer: a meter's readout is long, and slow."""

LOOK_EVERY_S = 0.1
"""At how many answers were none; as many as make a device offline are enough."""

ENOUGH_FRAMES = 2
LEAST_COVERAGE = {"checksum": 0.3, "form": 0.7, "guess": 0.7}
"""What part of the bytes must lie in good frames, by what a good frame proves; line ends do not lie in any."""

SHOWN = 6
"""Of the values of an example."""

_RANK = {"checksum": 2, "form": 1, "guess": 0}


@dataclass
class Finding:
    """What speaks for a driver."""

    name: str
    line: LineSetting
    options: Mapping[str, Any] = field(default_factory=dict)
    frames: int = 0
    covered: int = 0
    of: int = 0
    """Bytes heard; 0 where it was asked."""
    rejected: int = 0
    ids: Counter[str] = field(default_factory=Counter)
    example: dict[str, Value] = field(default_factory=dict)

    @property
    def convincing(self) -> bool:
        evidence = drivers.find(self.name).clues.evidence
        if not self.of:
            return bool(self.frames)
        return self.frames >= ENOUGH_FRAMES and self.covered >= LEAST_COVERAGE[evidence] * self.of

    @property
    def weight(self) -> tuple[int, int]:
        return _RANK[drivers.find(self.name).clues.evidence], self.covered


def run(port: str, *, ask: bool, wait: str, names: Iterable[str] = ()) -> int:
    """`names`: drivers to consider; none for all. 0 if one was found. Raises: UsageError; LinkError."""
    if unknown := [name for name in names if name not in drivers.names()]:
        raise UsageError(f"no driver {unknown[0]!r}: there are {', '.join(drivers.names())}")
    port = whole(port)
    try:
        Address.parse(port)
        wait_s = duration(wait)
    except ValueError as error:
        raise UsageError(str(error)) from None
    found = asyncio.run(recognise(port, names, ask=ask, wait_s=wait_s, tell=_tell))
    if found is None:
        return 1
    print(section(found, port))
    return 0


async def recognise(
    port: str, names: Iterable[str] = (), *, ask: bool, wait_s: float, tell: Callable[[str], None]
) -> Finding | None:
    """What is on a port. `tell` is called with each line of the evidence. Raises: LinkError."""
    considered = sorted(names or drivers.names())
    talkative, found = await _listen(port, considered, wait_s, tell)
    if found is None and ask:
        found = await _ask(port, considered, tell)
    if found is None:
        tell(_advice(talkative=talkative, asked=ask))
    return found


def _advice(*, talkative: bool, asked: bool) -> str:
    if talkative:
        return (
            "something is said, but no driver makes good frames of it. Try another speed with"
            " `sallyport record PORT FILE --baudrate …`, or describe the protocol: drivers text and frame"
        )
    if asked:
        return "nobody speaks and nobody answers: is it powered, are RX and TX the right way round (A and B on RS-485)?"
    return "nothing is said. Instruments that speak only when asked are found with --ask"


async def _listen(
    port: str, names: list[str], wait_s: float, tell: Callable[[str], None]
) -> tuple[bool, Finding | None]:
    """Whether anything was said, and by what it was understood."""
    talkative = False
    for line in _lines(names):
        tell(f"listening at {line} …")
        heard, findings = await _listen_at(port, line, names, wait_s)
        if not heard and not talkative:
            tell(f"  nothing for {wait_s:.0f} s")
            return False, None
        talkative = True
        tell(f"  {heard} bytes; {_summary(findings)}")
        convincing = [finding for finding in findings if finding.convincing]
        if convincing:
            return True, max(convincing, key=lambda finding: finding.weight)
        if "://" in port:
            break  # the far end sets the line
    return talkative, None


def _lines(names: Iterable[str]) -> list[LineSetting]:
    """At which to listen, those of most drivers first."""
    votes: Counter[LineSetting] = Counter()
    for name in names:
        if drivers.find(name).clues.heard:
            votes.update(dict.fromkeys(lines_of(drivers.find(name)), 1))
    return [line for line, _ in votes.most_common()]


def lines_of(driver: Driver) -> list[LineSetting]:
    """How the lines of its instruments are set, the likeliest first."""
    fields = driver.options.model_fields
    default = LineSetting(*(fields[name].default for name in LineSetting._fields))
    return list(dict.fromkeys([default, *driver.clues.lines]))


async def _listen_at(
    port: str, line: LineSetting, names: Iterable[str], patience_s: float
) -> tuple[int, list[Finding]]:
    decoders = dict(_decoders(names))
    findings = {name: Finding(name, line, drivers.find(name).clues.options) for name in decoders}
    heard = bytearray()
    async with SerialPort.open(_options(port, line), system_clock) as serial:
        try:
            async with asyncio.timeout(patience_s) as patience:
                while True:
                    data, _ = await serial.read()
                    if not heard:
                        patience.reschedule(asyncio.get_running_loop().time() + LISTEN_S)
                    heard += data
        except TimeoutError:
            pass
    for name, decoder in decoders.items():
        finding = findings[name]
        for frame in [*decoder.feed(bytes(heard)), *decoder.finish()]:
            finding.frames += 1
            finding.covered += frame.length
            finding.ids[frame.id] += 1
            finding.example = finding.example or frame.values
        finding.rejected = decoder.rejected.total()
        finding.of = len(heard)
    return len(heard), [finding for finding in findings.values() if finding.frames]


def _decoders(names: Iterable[str]) -> Iterator[tuple[str, Decoder]]:
    for name in names:
        driver = drivers.find(name)
        if driver.clues.heard:
            try:
                options = _validated(driver, "/dev/null", {**driver.clues.options, **driver.clues.besides})
            except ValidationError:  # a driver of another package that has to be told more
                continue
            yield name, driver.decoder(options)


async def _ask(port: str, names: Iterable[str], tell: Callable[[str], None]) -> Finding | None:
    asking = [(name, drivers.find(name)) for name in names if drivers.find(name).clues.questions]
    # Those that have little to ask first: an instrument is found the sooner.
    for name, driver in sorted(
        asking, key=lambda each: len(lines_of(each[1])) * len(each[1].clues.questions)
    ):
        for line in lines_of(driver):
            for question in driver.clues.questions:
                tell(f"asking as {name} at {line}{_told(question)} …")
                if (finding := await _answer(name, port, line, question, tell)) is not None:
                    tell(f"  answered: {shown(finding.example)}")
                    return finding
            if "://" in port:
                break
    return None


async def _answer(
    name: str, port: str, line: LineSetting, question: Mapping[str, Any], tell: Callable[[str], None]
) -> Finding | None:
    driver = drivers.find(name)
    hasty = {"interval": "100ms", "timeout": "500ms"} if issubclass(driver.options, AskingOptions) else {}
    options = _validated(driver, port, {**hasty, **question, **line._asdict()})
    try:
        async with (
            asyncio.timeout(ANSWER_S),
            driver.open(name, options, system_clock) as device,
            aclosing(device.readings()) as readings,  # type: ignore[type-var]
        ):
            answer = asyncio.ensure_future(anext(readings))
            try:
                while not answer.done() and device.rejected.total() < UNANSWERED_AT_MOST:
                    await asyncio.wait([answer], timeout=LOOK_EVERY_S)
            finally:  # at Ctrl-C too: what is still running cannot be closed
                answer.cancel()
                await asyncio.wait([answer])
            if not answer.cancelled():
                return Finding(name, line, question, frames=1, example=dict(answer.result().values))
    except (TimeoutError, LinkSilent):
        pass
    except (LinkAbsent, LinkBusy, LinkDenied):
        raise
    except LinkError as error:
        tell(f"  {error}")
    return None


def _options(port: str, line: LineSetting) -> DriverOptions:
    return DriverOptions.model_validate({"driver": "sniff", "port": port, **line._asdict()})


def _validated(driver: Driver, port: str, options: Mapping[str, Any]) -> DriverOptions:
    document = json.dumps({"driver": "sniff", "port": port, **options})
    return driver.options.model_validate_json(document, strict=True)


def _summary(findings: Iterable[Finding]) -> str:
    told = [
        f"{finding.name}: {finding.frames} good frames ({', '.join(each for each, _ in finding.ids.most_common(4))}),"
        f" {finding.rejected} refused, {100 * finding.covered // finding.of} % of the bytes"
        for finding in sorted(findings, key=lambda finding: finding.weight, reverse=True)
    ]
    return "; ".join(told) or "no good frames"


def section(found: Finding, port: str, name: str = "") -> str:
    """The table for the configuration; without a name of its own, the device is called after its driver."""
    driver = drivers.find(found.name)
    lines = [f"[devices.{name or found.name}]", f'driver = "{found.name}"', f"port = {toml(lasting(port))}"]
    for key, value in found.line._asdict().items():
        if driver.options.model_fields[key].default != value:
            lines.append(f"{key} = {toml(value)}")
    lines += [f"{key} = {toml(value)}" for key, value in found.options.items()]
    if found.example:
        lines.append(f"# {shown(found.example)}")
    return "\n".join(lines)


def toml(value: Any) -> str:
    """As the configuration has it."""
    match value:
        case dict():
            return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _told(question: Mapping[str, Any]) -> str:
    """What tells it from the driver's other questions."""
    return "".join(f", {key} {value}" for key, value in question.items() if isinstance(value, str | int))


def shown(values: Mapping[str, Value]) -> str:
    """Some of an instrument's values, on one line."""
    # Names may come from the instrument: one with a line's end in it would go on after the comment it is put in.
    return " · ".join(f"{plain(name)} = {json.dumps(value)}" for name, value in [*values.items()][:SHOWN])


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
