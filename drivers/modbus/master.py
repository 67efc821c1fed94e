"""The asking side: reads what is due with few requests, and writes between them."""

import asyncio
from collections import Counter, deque

from drivers.asking import UNANSWERED_AT_MOST, Answered, Asker
from drivers.driver import NO_ANSWER
from drivers.line import Line
from drivers.modbus import frames
from drivers.modbus.frames import Declined
from drivers.modbus.options import Options
from drivers.modbus.plan import Block, Place, blocks
from drivers.modbus.points import FUNCTIONS, Point, Span, found_in, points_of
from gateway.errors import FrameError, LinkSilent, Refused
from gateway.model import Stamp, Value

SILENT_CHARACTERS = 3.5
FASTEST_COUNTED = 19_200
SHORTEST_SILENCE_S = 0.001_75
"""Above that speed the silence between two frames is a fixed one (serial line specification, section 2.5.1.1)."""

BROADCAST_PAUSE_S = 0.1
"""For the devices to carry out what none of them acknowledges (section 2.4.1), unless `turnaround` is longer."""

BUSY_PAUSES_S = (0.1, 0.3, 1.0)
"""Before a busy device is asked once more."""

TOGETHER_S = 0.001
"""Registers that are due within this time of each other are read in one round."""


LONGEST_HEARD = 4 * frames.LONGEST
"""Bytes: an answer, with late ones and noise before it."""


class Awaited:
    """Finds the answer to one request in what is heard, past noise and answers that are late."""

    def __init__(self, begins: bytes, size: int) -> None:
        self.strangers = 0
        """Whole frames that answer something else."""
        self._begins = begins
        self._failed = bytes([begins[0], begins[1] | frames.FAILED])
        self._size = size
        self._at = 0

    def __call__(self, heard: bytes) -> bytes | None:
        """The whole frame, once it is there.

        Raises: Declined; FrameError.
        """
        while len(heard) >= self._at + frames.EXCEPTION_LENGTH:
            at = self._at
            if heard.startswith(self._begins, at):
                frame = heard[at : at + self._size]
                if len(frame) < self._size:
                    return None
                if not frames.is_whole(frame):
                    raise FrameError("checksum")
                return frame
            if heard.startswith(self._failed, at) and frames.is_whole(
                heard[at : at + frames.EXCEPTION_LENGTH]
            ):
                raise Declined(heard[at + 2])
            self._at += self._stranger(heard, at) or 1
        return None

    def _stranger(self, heard: bytes, at: int) -> int:
        shape = frames.SHAPES[heard[at + 1] & ~frames.FAILED]
        if shape is None:
            return 0
        if heard[at + 1] & frames.FAILED:
            size = frames.EXCEPTION_LENGTH
        else:
            size = shape.answer + (heard[at + shape.answer_place] if shape.answer_place else 0)
        if len(heard) < at + size or not frames.is_whole(heard[at : at + size]):
            return 0
        self.strangers += 1
        return size


class Master(Asker):
    """One unit on a line that others may be on."""

    def __init__(self, name: str, line: Line, options: Options) -> None:
        super().__init__(name, line, options)
        self._settings = options
        self._points = points_of(options.registers, options.order)
        self._divided: set[Place] = set()
        self._due: dict[float, float] = {}
        """By interval: when its registers are asked next."""
        self._silent: Counter[Span] = Counter()
        """How often in a row a request had no answer."""
        self._left_alone_until = 0.0
        self._silence_s = silence_s(options)

    async def ask(self) -> Answered:
        found: dict[str, Value] = {}
        first: Stamp | None = None
        refusals: list[FrameError] = []
        # What the unit is silent about comes last, for it ends the round.
        waiting = deque(sorted(self._round(), key=lambda block: self._silent[block.span]))
        while waiting:
            block = waiting.popleft()
            try:
                data, at = await self._read(block)
            except LinkSilent:
                self._silent[block.span] += 1
                self._put_off([block, *waiting])
                if first is None and not refusals:
                    raise
                self.rejected[NO_ANSWER] += 1
                break  # what is late must not be taken for the answer to another question
            except FrameError as error:
                del self._silent[block.span]
                if halves := self._divide(block, error):
                    waiting.extendleft(reversed(halves))
                else:
                    refusals.append(error)
                continue
            del self._silent[block.span]
            first = first or at
            found |= found_in(block.span, data, block.points, self._settings.names, self.dropped)
        if first is None and refusals:
            raise refusals.pop()  # which is counted by whoever asked
        self.rejected.update(map(str, refusals))
        return Answered(found, first or Stamp(0, 0.0))

    async def rest(self, due: float) -> float:
        due = min(self._due.values(), default=due)  # each register has its own
        await self._line.rest(due)
        return due

    def _round(self) -> list[Block]:
        """What is due now; sets when it is due again. A round that was missed is not made up for."""
        now = asyncio.get_running_loop().time()
        due = []
        for point in self._points:
            interval_s = point.register.interval or self._settings.interval
            if self._due.setdefault(interval_s, now) <= now + TOGETHER_S:
                due.append(point)
        for interval_s, at in self._due.items():
            if at <= now + TOGETHER_S:
                missed = max((now - at) // interval_s, 0)
                self._due[interval_s] = at + (missed + 1) * interval_s
        return blocks(
            due,
            max_gap=self._settings.max_gap,
            max_registers=self._settings.max_registers,
            divided=self._divided,
        )

    def _put_off(self, unread: list[Block]) -> None:
        """To the next round, whichever registers that is for; but not for ever what is never answered."""
        soonest = min(self._due.values())
        for block in unread:
            if self._silent[block.span] < UNANSWERED_AT_MOST:
                for point in block.points:
                    self._due[point.register.interval or self._settings.interval] = soonest

    def _divide(self, block: Block, error: FrameError) -> tuple[Block, Block] | None:
        """Two requests instead of one that the device refused for a register in it, or for its length."""
        if not isinstance(error, Declined) or error.code not in (
            frames.ILLEGAL_ADDRESS,
            frames.ILLEGAL_VALUE,
        ):
            return None
        halves = block.halves()
        if halves is not None:
            self._divided.add((halves[1].span.table, halves[1].span.first))
        return halves

    async def _read(self, block: Block) -> tuple[bytes, Stamp]:
        function, unit = FUNCTIONS[block.span.table], self._settings.unit
        count = block.span.length
        size = (count + 7) // 8 if block.points[0].register.in_bits else 2 * count
        request = frames.read_request(unit, function, block.span.first, count)
        frame, at = await self._asked(request, bytes([unit, function, size]), size + 5)
        return frame[3:-2], at

    async def _asked(self, request: bytes, begins: bytes, size: int) -> tuple[bytes, Stamp]:
        """The answer to a request, which is put again to a device that is busy.

        Raises: LinkSilent, Declined, FrameError.
        """
        pauses = iter(BUSY_PAUSES_S)
        while True:
            try:
                return await self._asked_once(request, Awaited(begins, size))
            except Declined as error:
                is_read = request[1] in FUNCTIONS.values()
                if error.code != frames.BUSY and not (error.code == frames.ACKNOWLEDGE and is_read):
                    raise
                if (pause_s := next(pauses, None)) is None:
                    raise
            await asyncio.sleep(pause_s)  # others may use the line meanwhile

    async def _asked_once(self, request: bytes, awaited: Awaited) -> tuple[bytes, Stamp]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._left_alone_until - loop.time())
        async with self._line.turn() as turn:
            await turn.send(request, quiet_s=self._silence_s)
            try:
                return await turn.receive(awaited, longest=LONGEST_HEARD)
            except Declined:
                raise
            except (LinkSilent, FrameError) as error:
                # Nothing in an answer tells which of two questions for as many registers it belongs to.
                self._left_alone_until = loop.time() + self._settings.timeout
                if awaited.strangers and isinstance(error, FrameError):
                    raise FrameError("answer to another question") from error
                raise

    async def write(self, metric: str, value: Value) -> None:
        point = next((point for point in self._points if point.name == metric), None)
        if point is None:
            raise Refused(f"{metric} is no register of this device")
        content = _content(point, point.written(value), multiple=self._settings.write_multiple)
        if point.register.broadcast:
            async with self._line.turn() as turn:
                await turn.send(frames.framed(frames.BROADCAST, content), quiet_s=self._silence_s)
                await asyncio.sleep(max(BROADCAST_PAUSE_S, self._settings.turnaround))
            return
        request = frames.framed(self._settings.unit, content)
        try:
            frame, _ = await self._asked(request, request[:4], 8)
        except Declined as error:
            if error.code == frames.ACKNOWLEDGE:
                return
            raise Refused(f"{metric}: the device refuses it: {error}") from error
        if frame[4:6] != request[4:6]:
            raise Refused(f"{metric}: the device confirms another value")


def _content(point: Point, data: bytes, *, multiple: bool) -> bytes:
    """Of a write request: function and what follows it."""
    _, address, count = point.span
    place = address.to_bytes(2)
    if point.register.in_bits:
        if multiple:
            return bytes([frames.WRITE_COILS, *place, 0, 1, 1, data[-1]])
        return bytes([frames.WRITE_COIL, *place, 0xFF if data[-1] else 0, 0])
    if count == 1 and not multiple:
        return bytes([frames.WRITE_REGISTER, *place, *data])
    return bytes([frames.WRITE_REGISTERS, *place, *count.to_bytes(2), len(data), *data])


def silence_s(options: Options) -> float:
    """What must lie between two frames on the line."""
    if options.baudrate > FASTEST_COUNTED:
        return SHORTEST_SILENCE_S
    bits = 1 + options.data_bits + (options.parity != "none") + options.stop_bits
    return SILENT_CHARACTERS * bits / options.baudrate
