"""What the live feed costs: scripts/bench live. One gateway, to which somebody listens, and nobody, in turn.

Each turn is held against the one before it, in which nobody listened: others use this machine, too.
"""

import multiprocessing
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.hall import Hall
from scripts.benchmarks.listener import Listener
from scripts.benchmarks.ways import sallyport
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port

PORTS, RATE, TURN_S, ROUNDS = 16, 800, 3.0, 8
SETTLE_S = 0.5
"""To connect, and be told how things are."""
NOBODY = "nobody listens"
CASES = {"1 client": (1, 0), "50 clients": (50, 0), "49 clients, and one that takes nothing": (49, 1)}


class Turn(NamedTuple):
    cpu_us: float
    """For each reading."""
    first: int
    last: int
    """Of the readings, in the order in which they were said."""


def _watch(port: int, takers: int, stalled: int) -> None:
    with selectors.DefaultSelector() as ready:
        idle = []
        for _ in range(stalled):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", port))
            idle.append(one)
        for _ in range(takers):
            ready.register(socket.create_connection(("127.0.0.1", port)), selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.recv(1 << 16)


@contextmanager
def watched(port: int, takers: int, stalled: int) -> Iterator[None]:
    """By a process of its own."""
    process = multiprocessing.get_context("fork").Process(
        target=_watch, args=(port, takers, stalled), daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def main() -> int:
    port = free_port()
    turns: dict[str, list[Turn]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(Mosquitto.running(folder))
        listener = stack.enter_context(Listener.on(broker, folder))
        hall = stack.enter_context(Hall.of(folder, PORTS))
        table = f'[live]\nlisten = "127.0.0.1:{port}"\n'
        running = stack.enter_context(sallyport(folder, broker, hall, further=table))
        while (folder / "heard").read_text().count("open, no reading yet") < PORTS:
            time.sleep(0.1)  # what is said before it has opened a port is lost, as on any line
        whole_s = 2 * len(CASES) * ROUNDS * (TURN_S + SETTLE_S) + 1
        talking = threading.Thread(target=hall.talk, kwargs={"rate": RATE, "seconds": whole_s})
        talking.start()

        def turn(what: str) -> None:
            time.sleep(SETTLE_S)
            cpu_s, first = running.cpu_s, hall.sent
            time.sleep(TURN_S)
            turns[what].append(Turn((running.cpu_s - cpu_s) / (hall.sent - first) * 1e6, first, hall.sent))

        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            for what, (takers, stalled) in CASES.items():
                turn(f"{NOBODY}, before {what}")
                with watched(port, takers, stalled):
                    turn(what)
        talking.join()
        listener.wait(hall.sent)
        arrivals = listener.arrivals(hall.sent)
    print(f"\n{PORTS} ports, {RATE} readings/s in all. Published: {arrivals.verdict}.\n")
    print("| | CPU per reading | without | in relation | of a core | median latency | without |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for what in CASES:
        with_them, without = turns[what], turns[f"{NOBODY}, before {what}"]
        ratio = statistics.median(a.cpu_us / b.cpu_us for a, b in zip(with_them, without, strict=True))
        cpu, alone = (statistics.median(each.cpu_us for each in those) for those in (with_them, without))
        more = statistics.median(a.cpu_us - b.cpu_us for a, b in zip(with_them, without, strict=True))
        late, late_alone = (
            statistics.median(ms for each in those for ms in arrivals.late_ms[each.first : each.last])
            for those in (with_them, without)
        )
        print(
            f"| {what} | {cpu:.0f} µs | {alone:.0f} µs | {ratio:.2f} | {more * RATE / 1e6:+.1%} |"
            f" {late:.2f} ms | {late_alone:.2f} ms |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
