"""`sallyport record`: what a port says, with its timing, into a file; by default until Ctrl-C."""

import asyncio
import io
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from drivers.driver import DriverOptions
from drivers.port import SerialPort
from drivers.ports import whole
from drivers.recording import Piece, Recorder
from gateway import units
from gateway.clock import system_clock
from gateway.config import port_options
from gateway.errors import ConfigError, LinkLost, UsageError

PROGRESS_EVERY_S = 1.0


def run(port: str, file: Path, *, line: dict[str, object], stop_after: str | None, max_size: str) -> int:
    """`line`: options of the port that were given. Raises: UsageError; LinkError, when it cannot be opened."""
    try:
        options = port_options(whole(port), line)
    except ConfigError as error:
        raise UsageError(str(error)) from error
    seconds = _understood("--for", units.duration, stop_after) if stop_after else None
    limit = int(_understood("--max-size", units.size, max_size))
    try:
        sink = io.FileIO(file, "x")
    except FileExistsError:
        raise UsageError(f"{file} is there already, and is not written over: name another file") from None
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    with sink:
        try:
            return asyncio.run(_record(options, sink, seconds, limit))
        finally:
            if not sink.tell():
                file.unlink()  # the port could not be opened


async def _record(options: DriverOptions, sink: io.FileIO, seconds: float | None, limit: int) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    async with SerialPort.open(options, system_clock) as port:
        began = system_clock()
        about = options.model_dump(include={"port", "baudrate", "data_bits", "parity", "stop_bits"})
        moment = datetime.fromtimestamp(began.wall_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        recorder = Recorder(sink, {"began": moment.replace("+00:00", "Z"), **about})
        tally = _Tally(sys.stderr.isatty())
        ended = "stopped"
        stopping = asyncio.create_task(stop.wait())
        telling = asyncio.create_task(tally.tell())
        try:
            while not stop.is_set():
                reading = asyncio.ensure_future(port.read())
                await asyncio.wait([reading, stopping], return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    break
                try:
                    data, at = reading.result()
                except LinkLost as error:
                    ended = str(error)
                    break
                recorder.add(Piece(at.mono - began.mono, data))
                tally.bytes += len(data)
                if recorder.size >= limit:
                    ended = f"the file has reached {units.written_size(limit)}"
                    break
        finally:
            stopping.cancel()
            telling.cancel()
            await asyncio.wait([stopping, telling])
    tally.clear()
    print(f"{sink.name}: {tally.bytes} bytes from {options.port}; {ended}", file=sys.stderr)
    return 0


class _Tally:
    """How much has come, on a line that stays in place; on a terminal only."""

    def __init__(self, shown: bool) -> None:
        self.bytes = 0
        self._shown = shown

    async def tell(self) -> None:
        seconds = 0
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            seconds += 1
            if self._shown:
                print(f"\r{seconds} s: {self.bytes} bytes; Ctrl-C ends it", end="", file=sys.stderr)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr)


def _understood(option: str, read: object, text: str) -> float:
    assert callable(read)
    try:
        value: float = read(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from None
    return value
