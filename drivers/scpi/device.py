"""An instrument that is asked and told in SCPI, or a dialect like it."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import isclose

from drivers.asking import UNANSWERED_AT_MOST, Answered, Asker
from drivers.driver import NO_ANSWER, is_same
from drivers.line import Line, Turn
from drivers.scpi.answers import Reader
from drivers.scpi.codec import measured, text_of
from drivers.scpi.options import IDENTITY, CommandOptions, Options, QueryOptions
from drivers.template import Template
from gateway.errors import FrameError, LinkError, LinkSilent, Refused
from gateway.model import Stamp, Value

OPERATION_COMPLETE = "*OPC?"
ERRORS_AT_MOST = 20
"""That are read out of the error queue at once."""

_ERROR_NUMBER = re.compile(r"[-+]?\d{1,5}", re.ASCII)
"""Of `-222,"Data out of range"`: SCPI-99, section 21.8."""

_CLOSE_ENOUGH = 1e-3
"""Relative: instruments round a set point to their resolution."""


class Instrument(Asker):
    def __init__(self, name: str, line: Line, options: Options) -> None:
        super().__init__(name, line, options)
        self._scpi = options
        self._queries = [(query, Reader(query, options.values)) for query in options.queries or (IDENTITY,)]
        self._asked_at: dict[str, float] = {}
        self._silent: Counter[str] = Counter()
        """How often in a row a query had no answer."""
        self._left_alone_until = 0.0
        self._is_known = False
        self._strange = 0

    async def ask(self) -> Answered:
        if not self._is_known:
            await self._begin()
        values: dict[str, Value] = {}
        at: Stamp | None = None
        failed: FrameError | LinkSilent | None = None
        for query, reader in self._due():
            self._asked_at[query.query] = asyncio.get_running_loop().time()
            try:
                async with self._turn() as turn:
                    text, began = await self._answer(turn, query.query)
                found = reader.read(text)
            except (FrameError, LinkSilent) as error:
                self._note(failed)
                failed = error
                if isinstance(error, LinkSilent):
                    self._silent[query.query] += 1
                    if self._silent[query.query] < UNANSWERED_AT_MOST:
                        del self._asked_at[query.query]
                    break  # an answer that comes late would be taken for the next one's
                continue
            del self._silent[query.query]
            at = at or began
            values |= found
            if not found:
                self.dropped["overload or not a number"] += 1
        if at is None and failed is not None:
            raise failed
        self._note(failed)
        if self._scpi.error_query and at is not None:
            await self._note_errors()
        return Answered(values, at or Stamp(0, 0.0))

    def _note(self, failed: FrameError | LinkSilent | None) -> None:
        if failed is not None:
            self.rejected[NO_ANSWER if isinstance(failed, LinkSilent) else str(failed)] += 1

    def _due(self) -> list[tuple[QueryOptions, Reader]]:
        now = asyncio.get_running_loop().time()
        slack_s = self._scpi.interval / 2
        due = [
            (query, reader)
            for query, reader in self._queries
            if now - self._asked_at.get(query.query, float("-inf")) >= query.interval - slack_s
        ]
        # What the instrument is silent about comes last, for it ends the round.
        return sorted(due, key=lambda each: self._silent[each[0].query])

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Turn]:
        """The line, once no answer can come any more to a question that had none."""
        await asyncio.sleep(self._left_alone_until - asyncio.get_running_loop().time())
        async with self._line.turn() as turn:
            try:
                yield turn
            except (LinkSilent, FrameError):
                self._left_alone_until = asyncio.get_running_loop().time() + self._scpi.timeout
                raise

    async def _begin(self) -> None:
        """What is done once after opening. Raises: LinkError, when another instrument answers."""
        options = self._scpi
        async with self._turn() as turn:
            for command in options.start:
                await turn.send(self._request(command))
                await asyncio.sleep(options.turnaround)
            if options.expect_idn:
                text, _ = await self._answer(turn, "*IDN?")
                if options.expect_idn not in text:
                    self._strange += 1
                    if self._strange > UNANSWERED_AT_MOST:
                        raise LinkError(f"{turn.port.name}: {text!r} answers, not {options.expect_idn!r}")
                    raise FrameError("another instrument")
        self._is_known = True

    def _request(self, text: str) -> bytes:
        return (text + self._scpi.terminator).encode()

    async def _answer(self, turn: Turn, query: str) -> tuple[str, Stamp]:
        """Raises: LinkSilent, FrameError, LinkLost."""
        await turn.send(self._request(query))
        answer, at = await turn.receive(self._whole, longest=2 * self._scpi.max_answer)
        text = text_of(answer)
        if text is None:
            raise FrameError("a block, which has no value")
        return text, at

    def _whole(self, heard: bytes) -> bytes | None:
        start = len(heard) - len(heard.lstrip(b"\r\n"))  # the rest of the last answer's end
        limit = self._scpi.max_answer
        found = measured(heard, start, limit)
        if found is None and len(heard) - start > limit:
            raise FrameError("too long")
        return None if found is None else heard[start : found[0]]

    async def _errors(self, turn: Turn) -> AsyncIterator[str]:
        """What stands in the error queue, which is empty then."""
        for _ in range(ERRORS_AT_MOST):
            text, _ = await self._answer(turn, self._scpi.error_query)
            number = text.partition(",")[0].strip()
            if not _ERROR_NUMBER.fullmatch(number):
                raise FrameError("not an error of the queue")
            if not int(number):
                return
            yield text.strip()

    async def _note_errors(self) -> None:
        try:
            async with self._turn() as turn:
                async for _ in self._errors(turn):
                    self.dropped["error of the instrument"] += 1
        except (FrameError, LinkSilent) as error:
            self._note(error)

    async def write(self, metric: str, value: Value) -> None:
        command = self._scpi.commands.get(metric)
        if command is None:
            raise Refused(f"{metric} cannot be set" if self._scpi.commands else "nothing can be set")
        command.settable.check(metric, value)
        try:
            request = Template(command.send).filled(_spelled(command, value))
        except ValueError as error:
            raise Refused(f"{metric} cannot be {value!r}: {error}") from None
        async with self._turn() as turn:
            if self._scpi.error_query:
                async for _ in self._errors(turn):  # old ones, which this command did not make
                    self.dropped["error of the instrument"] += 1
            await turn.send(self._request(request))
            await asyncio.sleep(self._scpi.turnaround)
            if self._scpi.error_query:
                said = [text async for text in self._errors(turn)]
                if said:
                    raise Refused(f"{metric} cannot be {value!r}: the instrument says {'; '.join(said)}")
            if command.confirm:
                text, _ = await self._answer(turn, command.confirm)
                self._check(metric, command, value, text)

    def _check(self, metric: str, command: CommandOptions, value: Value, text: str) -> None:
        """Raises: Refused, FrameError."""
        if command.confirm == OPERATION_COMPLETE:
            if text.strip() not in {"1", "+1"}:
                raise FrameError("not a 1")
            return
        kind = "text" if isinstance(value, str) else "boolean" if isinstance(value, bool) else "number"
        reader = Reader(QueryOptions(name=metric, query=command.confirm, type=kind, names=command.names))
        found = reader.read(text).get(metric)
        is_so = (
            isclose(found, value, rel_tol=_CLOSE_ENOUGH, abs_tol=1e-9)
            if isinstance(found, float | int) and isinstance(value, float | int)
            else found == value
        )
        if not is_so:
            raise Refused(f"{metric} cannot be {value!r}: the instrument stays at {text.strip()!r}")


def _spelled(command: CommandOptions, value: Value) -> Value:
    """The value as the instrument writes it."""
    return next(
        (text for text, meant in command.names.items() if is_same(value, meant)),
        value,
    )
