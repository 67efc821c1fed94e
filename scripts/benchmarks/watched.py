"""What it costs that many look: scripts/bench watched. The same readings without the status page, and with it."""

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from scripts.benchmarks.hall import Hall
from scripts.benchmarks.listener import Arrivals, Listener
from scripts.benchmarks.ways import sallyport
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port

PORTS, RATE, SECONDS, ROUNDS = 16, 800.0, 20.0, 3
VIEWERS = 50
"""One of them reads nothing."""
SETTLE_S = 3.0


def main() -> int:
    found: dict[int, list[tuple[float, ...]]] = {0: [], VIEWERS: []}
    verdicts = []
    for number in range(ROUNDS):
        for viewers, figures in found.items():
            *measured, verdict = _run(viewers)
            words = ", ".join(f"{each:.2f}" for each in measured)
            print(f"round {number + 1}, {viewers} look: {words}", file=sys.stderr, flush=True)
            figures.append(tuple(measured))
            verdicts.append(verdict)
    print(f"{RATE:g} readings/s from {PORTS} ports; medians of {ROUNDS} rounds, in turn\n")
    print("| | no page | page, metrics and 50 who look | ratio |\n| --- | --- | --- | --- |")
    for place, what in enumerate(
        ("CPU, % of a core", "median latency, ms", "99 % within, ms", "peak memory, MB")
    ):
        without, watched = (statistics.median(each[place] for each in found[viewers]) for viewers in found)
        print(f"| {what} | {without:.2f} | {watched:.2f} | {watched / without:.2f} |")
    print("\n" + "\n".join(dict.fromkeys(verdicts)))
    return 0


def _run(viewers: int) -> tuple[float, float, float, float, str]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        broker = stack.enter_context(Mosquitto.running(folder, inflight=0))
        listener = stack.enter_context(Listener.on(broker, folder))
        hall = stack.enter_context(Hall.of(folder, PORTS))
        further = f'[web]\nlisten = "127.0.0.1:{port}"\n' if viewers else ""
        running = stack.enter_context(sallyport(folder, broker, hall, further=further))
        if viewers:
            command = [sys.executable, "-m", "scripts.benchmarks.viewers", str(port), str(viewers)]
            crowd = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))
            stack.callback(crowd.communicate)
        hall.talk(rate=RATE, seconds=SETTLE_S)
        listener.wait(hall.sent)
        warm, sent = listener.arrivals(hall.sent), hall.sent
        before_s, begun = running.cpu_s, time.monotonic()
        hall.talk(rate=RATE, seconds=SECONDS)
        cpu = (running.cpu_s - before_s) / (time.monotonic() - begun)
        listener.wait(hall.sent)
        whole = listener.arrivals(hall.sent)
        arrivals = Arrivals(hall.sent - sent, whole.count - warm.count, whole.repeats - warm.repeats)
        arrivals.late_ms = whole.late_ms[len(warm.late_ms) :]
        return (
            cpu * 100, arrivals.quantile(50), arrivals.quantile(99), running.peak_rss / 1e6, arrivals.verdict
        )  # fmt: skip


sys.exit(main())
