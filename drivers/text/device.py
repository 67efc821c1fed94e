"""An instrument that prints text: it talks by itself, or is asked for a line; either may take commands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from drivers.asking import Answered, Asker, asking
from drivers.driver import Device, Listener
from drivers.line import Line
from drivers.pattern import Pattern
from drivers.port import SerialPort
from drivers.template import Template
from drivers.text.codec import TextLines, splitter
from drivers.text.options import CommandOptions, Options
from gateway.errors import FrameError, LinkSilent, Refused
from gateway.model import Clock, Value


class Commands:
    """What may be set, and how: from a value to the bytes that say it, from a line to what it answers."""

    def __init__(self, options: Options) -> None:
        self._commands = options.commands
        self._encoding = options.encoding
        self._answers = {
            name: (Pattern(command.acknowledged), Pattern(command.refused))
            for name, command in options.commands.items()
        }

    def request(self, metric: str, value: Value) -> tuple[CommandOptions, bytes]:
        """Raises: Refused."""
        command = self._commands.get(metric)
        if command is None:
            raise Refused(f"{metric} cannot be set" if self._commands else "nothing can be set")
        command.settable.check(metric, value)
        try:
            return command, Template(command.send).filled(value).encode(self._encoding)
        except ValueError as error:
            raise Refused(f"{metric} cannot be {value!r}: {error}") from None

    def said(self, metric: str, line: str) -> bool | None:
        """Whether a line says yes or no to the command for a metric; None: neither."""
        command = self._commands[metric]
        yes, no = self._answers[metric]
        if command.refused and no.match(line) is not None:
            return False
        return True if yes.match(line) is not None else None


@dataclass
class _Wish:
    metric: str
    answer: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    line: str = ""


class Talker(Listener):
    """It prints by itself; a command's answer comes between its lines."""

    def __init__(self, name: str, port: SerialPort, decoder: TextLines, options: Options) -> None:
        super().__init__(name, port, decoder)
        self._commands = Commands(options)
        self._timeout_s = options.timeout
        self._turn = asyncio.Lock()
        self._wish: _Wish | None = None
        decoder.heard = self._heard

    def _heard(self, line: str) -> bool:
        wish = self._wish
        if wish is None or wish.answer.done():
            return False
        said = self._commands.said(wish.metric, line)
        if said is None:
            return False
        wish.line = line
        wish.answer.set_result(said)
        return True

    async def write(self, metric: str, value: Value) -> None:
        command, request = self._commands.request(metric, value)
        async with self._turn:
            self._port.write(request)
            if not command.acknowledged:
                return
            self._wish = wish = _Wish(metric)
            try:
                async with asyncio.timeout(self._timeout_s):
                    is_done = await wish.answer
            except TimeoutError:
                raise LinkSilent(f"{self._port.name}: no answer to {metric}") from None
            finally:
                self._wish = None
        if not is_done:
            raise _refusal(metric, value, wish.line)


class Answerer(Asker):
    """It prints a line when it is asked to."""

    def __init__(self, name: str, line: Line, options: Options) -> None:
        super().__init__(name, line, options)
        self._commands = Commands(options)
        self._longest = 4 * options.max_line
        self._poll = options.poll.encode(options.encoding)
        self._text = options
        self._read = TextLines(options).read

    async def ask(self) -> Answered:
        values, at = await self._line.exchange(self._poll, self._values, longest=self._longest)
        return Answered(values, at)

    def _values(self, heard: bytes) -> dict[str, Value] | None:
        for line in self._lines(heard):
            try:
                _, values = self._read(line)
            except FrameError as error:
                if str(error) == "no match":
                    continue  # our own question, or a greeting
                raise
            if values:
                return values
        return None

    async def write(self, metric: str, value: Value) -> None:
        command, request = self._commands.request(metric, value)

        def parse(heard: bytes) -> tuple[bool, str] | None:
            for line in self._lines(heard):
                if (said := self._commands.said(metric, line)) is not None:
                    return said, line
            return None

        async with self._line.turn() as turn:
            await turn.send(request)
            if not command.acknowledged:
                return
            (is_done, line), _ = await turn.receive(parse, longest=self._longest)
        if not is_done:
            raise _refusal(metric, value, line)

    def _lines(self, heard: bytes) -> list[str]:
        return [line.decode(self._text.encoding, "replace") for _, line in splitter(self._text).feed(heard)]


def _refusal(metric: str, value: Value, line: str) -> Refused:
    return Refused(f"{metric} cannot be {value!r}: the instrument says {line.strip()!r}")


@asynccontextmanager
async def open_device(name: str, options: Options, clock: Clock) -> AsyncIterator[Device]:
    """Raises: LinkError."""
    if options.poll:
        async with asking(Answerer)(name, options, clock) as device:
            yield device
    else:
        async with SerialPort.open(options, clock) as port:
            yield Talker(name, port, TextLines(options), options)
