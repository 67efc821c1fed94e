"""The master's side: a meter on the bus is found, asked, and its telegrams are put together."""

from collections.abc import Callable
from typing import TypeVar

from drivers.asking import Answered, Asker
from drivers.driver import NO_ANSWER
from drivers.line import Line, Turn
from drivers.mbus.address import Secondary
from drivers.mbus.application import Message, message, values
from drivers.mbus.link import (
    ANY,
    CI_RESET,
    CI_SELECT,
    FCB,
    LONGEST,
    REQ_UD2,
    SELECTED,
    SND_NKE,
    SND_UD,
    Telegram,
    long,
    short,
    telegram_at,
)
from drivers.mbus.options import Options
from gateway.errors import FrameError, LinkSilent
from gateway.model import Stamp

T = TypeVar("T")

_LONGEST_HEARD = 4 * LONGEST
"""Bytes: an answer, with noise and late ones before it."""

_SLOWEST_BITS, _SLOWEST_S = 330, 0.05
"""A meter may wait so long before it answers (EN 13757-2, section 5.7.2): a second and more at 300 baud."""


class Meter(Asker):
    """One meter, asked for all its telegrams in each round; together they are one reading.

    A question that finds no answer, or a spoilt one, is repeated with the same frame count bit, so that
    the meter repeats its telegram and does not go on to the next.
    Source: EN 13757-2, section 5.7; EN 13757-7 (selection).
    """

    def __init__(self, name: str, line: Line, options: Options) -> None:
        super().__init__(name, line, options)
        self._retries = options.retries
        self._max_telegrams = options.max_telegrams
        self._application_reset = options.application_reset
        self._names = options.names
        if isinstance(options.address, str):
            self._secondary: Secondary | None = Secondary.parse(options.address)
            self._address = SELECTED
        else:
            self._secondary = None
            self._address = options.address
        self._patience_s = max(options.timeout, 2 * _SLOWEST_S + _SLOWEST_BITS / options.baudrate)
        self._count = FCB

    async def ask(self) -> Answered:
        async with self._line.turn() as turn:
            await self._begin(turn)
            told, at = await self._told(turn)
            telegrams = [told]
            while told.more_follow and len(telegrams) < self._max_telegrams:
                told, _ = await self._told(turn)
                telegrams.append(told)
        if told.more_follow:
            self.dropped["more telegrams than max_telegrams"] += 1
        return Answered(values(telegrams, self.dropped), at)

    async def _begin(self, turn: Turn) -> None:
        """From here on the meter listens to `_address`, and will tell its first telegram."""
        if self._secondary is None:
            try:
                await self._once(turn, short(SND_NKE, self._address), _acknowledged)
            except (LinkSilent, FrameError):
                self.dropped["reset not acknowledged"] += 1  # some meters never do, and answer all the same
        else:
            select = long(SND_UD, SELECTED, CI_SELECT, self._secondary.mask)
            await self._patiently(turn, select, _acknowledged)
        self._count = FCB
        if self._application_reset:
            reset = long(SND_UD | self._count, self._address, CI_RESET)
            await self._patiently(turn, reset, _acknowledged)
            self._count ^= FCB

    async def _told(self, turn: Turn) -> tuple[Message, Stamp]:
        """The meter's next telegram."""
        answer = await self._patiently(turn, short(REQ_UD2 | self._count, self._address), self._answer)
        self._count ^= FCB
        return answer

    async def _patiently(
        self, turn: Turn, question: bytes, parse: Callable[[bytes], T | None]
    ) -> tuple[T, Stamp]:
        for _ in range(self._retries):
            try:
                return await self._once(turn, question, parse)
            except LinkSilent:
                self.rejected[NO_ANSWER] += 1
            except FrameError as error:
                self.rejected[str(error)] += 1
        return await self._once(turn, question, parse)

    async def _once(self, turn: Turn, question: bytes, parse: Callable[[bytes], T | None]) -> tuple[T, Stamp]:
        await turn.send(question)
        return await turn.receive(parse, timeout_s=self._patience_s, longest=_LONGEST_HEARD)

    def _answer(self, heard: bytes) -> Message | None:
        telegram = _telegram(heard)
        if telegram is None:
            return None
        if telegram.ci is None:
            raise FrameError("no data")
        told = message(telegram, self._names)
        if self._secondary is None:
            is_ours = self._address in (telegram.address, ANY)
        else:
            is_ours = self._secondary.matches(told.secondary)
        if not is_ours:
            raise FrameError("another meter")
        return told


def _acknowledged(heard: bytes) -> bool | None:
    telegram = _telegram(heard)
    if telegram is None:
        return None
    if telegram.control is not None:
        raise FrameError("not an acknowledgement")
    return True


def _telegram(heard: bytes) -> Telegram | None:
    """The first telegram behind what noise there may be; None while there is none.

    Raises: FrameError: it is spoilt, by noise or because several meters answered at once.
    """
    for at in range(len(heard)):
        telegram = telegram_at(heard, at)
        if telegram is None or isinstance(telegram, Telegram):
            return telegram
        if telegram in ("stop", "checksum"):
            raise FrameError(telegram)
    return None
