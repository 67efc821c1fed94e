"""The ways from the ports to the broker: what runs, what it costs."""

import os
import re
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from scripts.benchmarks.hall import Hall
from tests.support.mosquitto import Mosquitto, program

SETTLE_S = 2.0


class CannotRunError(Exception):
    """A way ended before there was anything to measure; its own words."""


class Running:
    """Its processes, and what they have used since they were ready."""

    def __init__(self, processes: Sequence[subprocess.Popen[Any]]) -> None:
        self.processes = [psutil.Process(each.pid) for each in processes]
        self.rss_at_start = sum(each.memory_info().rss for each in self.processes)
        self._cpu_at_start = self._cpu_s()

    @property
    def cpu_s(self) -> float:
        return self._cpu_s() - self._cpu_at_start

    def forget_peak(self) -> None:
        """Source: proc(5), /proc/pid/clear_refs."""
        for each in self.processes:
            Path(f"/proc/{each.pid}/clear_refs").write_text("5")

    @property
    def peak_rss(self) -> int:
        """The most that has been resident, ever, or since it was forgotten."""
        statuses = [Path(f"/proc/{each.pid}/status").read_text() for each in self.processes]
        return sum(int(found[1]) * 1024 for each in statuses if (found := re.search(r"VmHWM:\s+(\d+)", each)))

    def wait_until_idle(self) -> None:
        """Everything that was read is where it belongs."""
        before = -1.0
        while (now := self._cpu_s()) - before > 0.02 * 0.5:
            before = now
            time.sleep(0.5)

    def _cpu_s(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self.processes)


Way = Callable[[Path, Mosquitto, Hall], AbstractContextManager[Running]]


@contextmanager
def sallyport(
    folder: Path, broker: Mosquitto, hall: Hall, *, mqtt: str = "", further: str = ""
) -> Iterator[Running]:
    """`mqtt`: options of its table; `further`: tables. Raises: CannotRunError."""
    file = folder / "gateway.toml"
    devices = "".join(
        f'[devices.{each.path.name}]\ndriver = "json"\nport = "{each.path}"\n' for each in hall.ports
    )
    file.write_text(
        f'[gateway]\nname = "bench"\nlog_level = "error"\nstop_timeout = "100ms"\n'
        f'[mqtt]\nurl = "mqtt://{broker.host}:{broker.port}"\nretry_max = "200ms"\n{mqtt}\n'
        f'[journal]\nsync = "200ms"\n{devices}{further}'
    )
    with _running([[sys.executable, "-m", "gateway", "run", "--config", str(file)]], state=folder) as running:
        yield running


@contextmanager
def usual_script(_folder: Path, broker: Mosquitto, hall: Hall) -> Iterator[Running]:
    script = Path(__file__).with_name("usual_script.py")
    ports = [str(each.path) for each in hall.ports]
    with _running([[sys.executable, str(script), str(broker.port), *ports]]) as running:
        yield running


@contextmanager
def mosquitto_pub(_folder: Path, broker: Mosquitto, hall: Hall) -> Iterator[Running]:
    """C, libmosquitto: one for each port. It passes each line on as it is, and stores nothing."""
    with ExitStack() as stack:
        commands, lines = [], []
        for each in hall.ports:
            line = stack.enter_context(each.path.open("rb"))
            tty.setraw(line.fileno())  # a read waits for a byte again, whatever was set before
            lines.append(line.fileno())
            where = ["-h", broker.host, "-p", str(broker.port), "-t", f"sallyport/bench/{each.path.name}"]
            commands.append([program("mosquitto_pub"), *where, "-q", "1", "-l"])
        yield stack.enter_context(_running(commands, inputs=lines))


@contextmanager
def _running(
    commands: Sequence[Sequence[str]], *, inputs: Sequence[int] = (), state: Path | None = None
) -> Iterator[Running]:
    environment = {**os.environ, "STATE_DIRECTORY": str(state)} if state else None
    processes = [
        subprocess.Popen(command, stdin=each, stderr=subprocess.PIPE, env=environment)
        for command, each in zip(commands, inputs or [subprocess.DEVNULL] * len(commands), strict=True)
    ]
    try:
        time.sleep(SETTLE_S)
        for process in processes:
            if process.poll() is not None:
                assert process.stderr is not None
                raise CannotRunError(process.stderr.read().decode().strip())
        yield Running(processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate()
