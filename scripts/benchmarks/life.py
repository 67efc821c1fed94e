"""What the gateway costs while nothing happens, and how soon it is there and away."""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.benchmarks.hall import Hall
from tests.support.mosquitto import Mosquitto
from tests.support.service_manager import FakeServiceManager

PORTS = 16
RUNS = 5
SETTLE_S = 10.0
IDLE_S = 60.0
WATCHDOG_S = 30


class Gateway:
    def __init__(self, process: subprocess.Popen[bytes], manager: FakeServiceManager) -> None:
        self.process = process
        self.manager = manager

    @classmethod
    @contextmanager
    def ready(cls, folder: Path, broker: Mosquitto, hall: Hall) -> Iterator["Gateway"]:
        file = folder / "gateway.toml"
        devices = "".join(
            f'[devices.{each.path.name}]\ndriver = "json"\nport = "{each.path}"\n' for each in hall.ports
        )
        file.write_text(
            f'[gateway]\nname = "bench"\nlog_level = "error"\n'
            f'[mqtt]\nurl = "mqtt://{broker.host}:{broker.port}"\n{devices}'
        )
        (folder / "notify").unlink(missing_ok=True)
        with FakeServiceManager.listening(folder / "notify") as manager:
            environment = {
                **os.environ,
                "STATE_DIRECTORY": str(folder),
                "NOTIFY_SOCKET": manager.address,
                "WATCHDOG_USEC": str(WATCHDOG_S * 10**6),
            }
            command = [sys.executable, "-m", "gateway", "run", "--config", str(file)]
            with subprocess.Popen(command, env=environment) as process:
                try:
                    manager.wait_for("READY=1")
                    yield cls(process, manager)
                finally:
                    process.kill()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def spent(self) -> tuple[float, int]:
        """CPU seconds, and how often one of its threads went to sleep and was woken."""
        tasks = [*Path(f"/proc/{self.process.pid}/task").iterdir()]
        cpu_ns = sum(int((each / "schedstat").read_text().split()[0]) for each in tasks)
        lines = [line.split() for each in tasks for line in (each / "status").read_text().splitlines()]
        return cpu_ns / 1e9, sum(int(line[1]) for line in lines if line[0] == "voluntary_ctxt_switches:")


def main() -> int:
    starts, stops, efforts = [], [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(Mosquitto.running(folder))
        hall = stack.enter_context(Hall.of(folder, PORTS))
        for _ in range(RUNS):
            begun = time.monotonic()
            with Gateway.ready(folder, broker, hall) as gateway:
                starts.append(time.monotonic() - begun)
                efforts.append(gateway.spent()[0])
                time.sleep(1)
                begun = time.monotonic()
                gateway.stop()
                stops.append(time.monotonic() - begun)
        with Gateway.ready(folder, broker, hall) as gateway:
            time.sleep(SETTLE_S)
            cpu_s, woken = gateway.spent()
            for _ in range(round(IDLE_S)):
                time.sleep(1)
                gateway.manager.clear()
            cpu_after_s, woken_after = gateway.spent()
            gateway.stop()
    idle = (cpu_after_s - cpu_s) / IDLE_S
    print(f"start to READY, {PORTS} devices   {_written(starts)}")
    print(f"  of it, CPU time            {_written(efforts)}")
    print(f"stop, with nothing left      {_written(stops)}")
    print(
        f"idle, {PORTS} silent devices     {idle:.3%} of a core, {(woken_after - woken) / IDLE_S:.1f} wake-ups/s"
    )
    return 0


def _written(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s (median of {len(seconds)}; at most {max(seconds):.2f} s)"


sys.exit(main())
