"""`sallyport replay`: a recording once more, through a driver's decoder and filters, or onto a pseudo-terminal."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path

import orjson

from drivers.driver import Decoder, Frame
from drivers.instrument import PtyInstrument
from drivers.recording import Piece, Recording
from gateway.commands.decode import driver_and_options
from gateway.errors import UsageError
from gateway.filters.chain import Chain
from gateway.model import Value

RAW_PIECE = 64
"""Bytes of a file without times that are said at once."""

BITS_PER_BYTE = 10
"""On the line: start, eight of data, stop."""

DEFAULT_BAUDRATE = 9600

SETTLING_S = 0.2
"""Whoever opens a port throws away at first what came before; it is said after that."""


def run(
    file: Path,
    *,
    driver_name: str | None,
    options: Sequence[str],
    device: str | None,
    speed: str | None,
    pty: Path | None,
) -> int:
    """Raises: UsageError."""
    pace = _pace(speed or ("max" if pty is None else "1"))
    if (driver_name is None and device is None) == (pty is None) or (pty is not None and options):
        raise UsageError(
            "say where to: --driver DRIVER or --device FILE to decode it, or --pty PATH for a gateway to read it"
        )
    decoder, chain, baudrate = None, None, DEFAULT_BAUDRATE
    if pty is None:
        driver, validated = driver_and_options(driver_name, options, device)
        decoder, chain, baudrate = driver.decoder(validated), Chain(validated.filters), validated.baudrate
    try:
        said = pieces(file, baudrate)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    if decoder is not None and chain is not None:
        return asyncio.run(_interruptible(_decode(decoder, chain, said, pace)))
    assert pty is not None
    try:
        with PtyInstrument.plugged_in(pty.absolute()) as instrument:
            return asyncio.run(_interruptible(_play(instrument, said, pace)))
    except OSError as error:
        raise UsageError(f"{pty}: {error.strerror}") from error


def _pace(speed: str) -> float | None:
    """Times the real one; None for as fast as it goes."""
    if speed == "max":
        return None
    try:
        times = float(speed)
    except ValueError:
        times = 0
    if not 0 < times < float("inf"):
        raise UsageError(f'--speed {speed}: must be "max" or a number above 0, such as 1 or 10')
    return times


def pieces(file: Path, baudrate: int) -> Sequence[Piece]:
    """Of a recording; of raw bytes, as they would come at this speed. Raises: UsageError, OSError."""
    if (recording := Recording.read(file)) is not None:
        return recording.pieces
    raw = file.read_bytes()
    return [
        Piece(start * BITS_PER_BYTE / baudrate, raw[start : start + RAW_PIECE])
        for start in range(0, len(raw), RAW_PIECE)
    ]


async def _interruptible(work: Coroutine[None, None, None]) -> int:
    """Ctrl-C ends it, which is no failure."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    return 0


async def _paced(pieces: Iterable[Piece], speed: float | None) -> AsyncIterator[Piece]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for piece in pieces:
        if speed is not None:
            await asyncio.sleep(began + piece.at / speed - loop.time())
        yield piece


async def _decode(decoder: Decoder, chain: Chain, pieces: Iterable[Piece], speed: float | None) -> None:
    """Time is the recording's, for the filters too, at whatever speed."""
    frames, at = 0, 0.0
    async for piece in _paced(pieces, speed):
        while chain.due <= piece.at:
            at = chain.due
            for values in chain.tick(at):
                _print(at, values)
        at = piece.at
        frames += _show(decoder.feed(piece.data), chain, at)
    frames += _show(decoder.finish(), chain, at)
    print(f"frames={frames} rejected={decoder.rejected.total()} seconds={at:.3f}", file=sys.stderr)


async def _play(instrument: PtyInstrument, pieces: Iterable[Piece], speed: float | None) -> None:
    print(f"{instrument.path}: a gateway can open it now", file=sys.stderr, flush=True)
    said = 0
    await instrument.opened()
    await asyncio.sleep(SETTLING_S)
    async for piece in _paced(pieces, speed):
        await instrument.say(piece.data)
        said += len(piece.data)
    await instrument.heard_out()
    print(f"{said} bytes said", file=sys.stderr)


def _show(frames: Iterable[Frame], chain: Chain, at: float) -> int:
    count = 0
    for frame in frames:
        count += 1
        if values := chain.take(frame.values, at):
            _print(at, values)
    return count


def _print(at: float, values: Mapping[str, Value]) -> None:
    line = orjson.dumps({"at": round(at, 6), "values": values}, option=orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
