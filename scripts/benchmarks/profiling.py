"""Where the time goes: scripts/profile. A command of sallyport, in this process, under a profiler.

pyinstrument looks a thousand times a second where the event loop is: what costs CPU or holds the loop up, as a tree.
yappi times each call, by the wall clock and across tasks: how long an `await` took, whoever had the loop meanwhile.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import Protocol

import yappi
from pyinstrument import Profiler
from pyinstrument.renderers import HTMLRenderer, SpeedscopeRenderer

from gateway import cli
from gateway.commands.ending import EXIT_INTERRUPTED
from gateway.units import duration

SAMPLE_S = 0.001
SHOWN = 25
WORKLOADS = ("demo", "run")
_TERMINAL_S, _PIPE_S = 1.0, 10.0
"""Between two words of progress."""


class Tool(Protocol):
    file: str
    """What it writes, if nothing else is wanted."""

    def start(self) -> None: ...

    def stop(self, file: Path) -> str:
        """Write it there; what to say of it."""


class Pyinstrument:
    file = "profile.html"

    def start(self) -> None:
        self._profiler = Profiler(interval=SAMPLE_S, async_mode="disabled")
        self._profiler.start()

    def stop(self, file: Path) -> str:
        self._profiler.stop()
        if file.suffix == ".json":
            file.write_text(self._profiler.output(SpeedscopeRenderer(show_all=True)))
            return "open it in https://www.speedscope.app, which keeps it in the browser"
        file.write_text(self._profiler.output(HTMLRenderer()))
        return "open it in a browser"


class Yappi:
    file = "profile.callgrind"

    def start(self) -> None:
        yappi.set_clock_type("wall")
        yappi.start(builtins=False, profile_threads=True)

    def stop(self, file: Path) -> str:
        yappi.stop()
        stats = yappi.get_func_stats()
        stats.save(str(file), type="callgrind")
        ours = [each for each in stats if "/gateway/" in each.module or "/drivers/" in each.module]
        print(f"\n{'calls':>9}  {'in it, s':>9}  {'in all, s':>9}  {'each, ms':>9}", file=sys.stderr)
        for each in sorted(ours, key=lambda each: each.ttot, reverse=True)[:SHOWN]:
            where = f"{Path(each.module).name}:{each.lineno} {each.name}"
            average_ms = 1000 * each.ttot / each.ncall
            print(
                f"{each.ncall:>9}  {each.tsub:>9.3f}  {each.ttot:>9.3f}  {average_ms:>9.3f}  {where}",
                file=sys.stderr,
            )
        return "open it in https://www.speedscope.app, which keeps it in the browser, or in kcachegrind"


TOOLS: dict[str, type[Pyinstrument] | type[Yappi]] = {"pyinstrument": Pyinstrument, "yappi": Yappi}


@contextmanager
def _director(seconds: float | None) -> Iterator[None]:
    """Says how far it is, and ends the command as Ctrl-C does when the time is over."""
    over = threading.Event()
    begun = time.monotonic()
    on_terminal = sys.stderr.isatty()

    def direct() -> None:
        every_s = _TERMINAL_S if on_terminal else _PIPE_S
        while seconds is None or (left_s := seconds - (time.monotonic() - begun)) > 0:
            told = f"profiling: {time.monotonic() - begun:.0f} s" + (f" of {seconds:g}" if seconds else "")
            ends = f"\r{told}; Ctrl-C ends it and writes what there is" if on_terminal else f"{told}\n"
            print(ends, end="", file=sys.stderr, flush=True)
            if over.wait(every_s if seconds is None else min(every_s, left_s)):
                return
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=direct, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if on_terminal:
            print(file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--with", dest="tool", choices=TOOLS, default="pyinstrument", help="default: %(default)s"
    )
    parser.add_argument(
        "--for", dest="for_so_long", metavar="DURATION", help="end it then (default: at Ctrl-C)"
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="profile.html or .callgrind, unless it is said"
    )
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, help="demo …, or run --config FILE (default: demo)"
    )
    args = parser.parse_args(arguments)
    command = args.command or ["demo"]
    if command[0] not in WORKLOADS:
        parser.error(f"{command[0]}: only {' and '.join(WORKLOADS)} are at work until they are stopped")
    try:
        seconds = None if args.for_so_long is None else duration(args.for_so_long)
    except ValueError as error:
        parser.error(f"--for {args.for_so_long}: {error}")
    tool = TOOLS[args.tool]()
    file = args.output or Path(tool.file)
    try:
        file.touch()
    except OSError as error:
        parser.error(f"--output {file}: {error.strerror}")  # before the work, not after it
    status = EXIT_INTERRUPTED
    import_module(f"gateway.commands.{command[0]}")  # which takes longer than all that is of interest
    with Path(os.devnull).open("w") as nowhere:
        tool.start()
        try:
            with suppress(KeyboardInterrupt), _director(seconds), redirect_stdout(nowhere):
                status = cli.main(command)
        finally:
            what = tool.stop(file)
    print(f"{file}: {what}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
