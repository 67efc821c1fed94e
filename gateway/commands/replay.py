"""`sallyport replay`: a recording once more, through a driver's decoder or onto a pseudo-terminal."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from pathlib import Path

import orjson

from drivers.driver import Decoder, Frame
from drivers.instrument import PtyInstrument
from drivers.recording import Piece, Recording
from gateway.commands.decode import driver_and_options
from gateway.errors import UsageError

RAW_PIECE = 64
"""Bytes of a file without times that are said at once."""

BITS_PER_BYTE = 10
"""On the line: start, eight of data, stop."""

DEFAULT_BAUDRATE = 9600

SETTLING_S = 0.2
"""Whoever opens a port throws away at first what came before; it is said after that."""


def run(
    file: Path, *, driver_name: str | None, options: Sequence[str], speed: str | None, pty: Path | None
) -> int:
    """Raises: UsageError."""
    pace = _pace(speed or ("max" if pty is None else "1"))
    decoder, baudrate = None, DEFAULT_BAUDRATE
    if driver_name is not None:
        driver, validated = driver_and_options(driver_name, options)
        decoder, baudrate = driver.decoder(validated), validated.baudrate
    if (decoder is None) == (pty is None):
        raise UsageError("say where to: --driver DRIVER to decode it, or --pty PATH for a gateway to read it")
    try:
        pieces = _pieces(file, baudrate)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    if decoder is not None:
        return asyncio.run(_interruptible(_decode(decoder, pieces, pace)))
    assert pty is not None
    try:
        with PtyInstrument.plugged_in(pty.absolute()) as instrument:
            print(f"{instrument.path}: a gateway can open it now", file=sys.stderr, flush=True)
            return asyncio.run(_interruptible(_play(instrument, pieces, pace)))
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


def _pieces(file: Path, baudrate: int) -> Sequence[Piece]:
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


async def _decode(decoder: Decoder, pieces: Iterable[Piece], speed: float | None) -> None:
    frames, at = 0, 0.0
    async for piece in _paced(pieces, speed):
        at = piece.at
        frames += _print(decoder.feed(piece.data), at)
    frames += _print(decoder.finish(), at)
    print(f"frames={frames} rejected={decoder.rejected.total()} seconds={at:.3f}", file=sys.stderr)


async def _play(instrument: PtyInstrument, pieces: Iterable[Piece], speed: float | None) -> None:
    said = 0
    await instrument.opened()
    await asyncio.sleep(SETTLING_S)
    async for piece in _paced(pieces, speed):
        await instrument.say(piece.data)
        said += len(piece.data)
    await instrument.heard_out()
    print(f"{said} bytes said", file=sys.stderr)


def _print(frames: Iterable[Frame], at: float) -> int:
    count = 0
    for frame in frames:
        count += 1
        if frame.values:
            line = {"at": round(at, 6), "id": frame.id, "values": frame.values}
            sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
    return count
