"""What the live feed costs: scripts/bench live. The same readings with nobody listening, and with clients.

In turn, and the best of each: others use this machine, too.
"""

import selectors
import socket
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

PORTS, RATE, SECONDS, ROUNDS = 16, 800, 6, 5
CASES = {
    "no live feed": (None, False),
    "nobody listens": (0, False),
    "1 client": (1, False),
    "50 clients": (50, False),
    "50 clients, one takes nothing": (50, True),
}


class Cost(NamedTuple):
    cpu_us: float
    """For each reading."""
    median_ms: float
    late_ms: float
    """99 % within."""
    lost: int


@contextmanager
def watchers(port: int, count: int, *, stalled: bool) -> Iterator[None]:
    """They take all that comes; and one more that takes nothing, if that is wanted."""
    with ExitStack() as stack, selectors.DefaultSelector() as ready:
        if stalled:
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", port))
        for _ in range(count - stalled):
            each = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            ready.register(each, selectors.EVENT_READ)
        over = threading.Event()

        def take() -> None:
            while not over.is_set():
                for key, _ in ready.select(timeout=0.2):
                    assert isinstance(key.fileobj, socket.socket)
                    key.fileobj.recv(1 << 16)

        taking = threading.Thread(target=take)
        taking.start()
        try:
            yield
        finally:
            over.set()
            taking.join()


def measured(clients: int | None, *, stalled: bool) -> Cost:
    port = free_port()
    table = "" if clients is None else f'[live]\nlisten = "127.0.0.1:{port}"\n'
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(Mosquitto.running(folder))
        listener = stack.enter_context(Listener.on(broker, folder))
        hall = stack.enter_context(Hall.of(folder, PORTS))
        running = stack.enter_context(sallyport(folder, broker, hall, further=table))
        while (folder / "heard").read_text().count("open, no reading yet") < PORTS:
            time.sleep(0.1)  # what is said before it has opened a port is lost, as on any line
        if clients:
            stack.enter_context(watchers(port, clients, stalled=stalled))
        hall.talk(rate=RATE, seconds=SECONDS)
        listener.wait(hall.sent)
        arrivals = listener.arrivals(hall.sent)
        cpu_us = running.cpu_s / hall.sent * 1e6
        return Cost(cpu_us, arrivals.quantile(50), arrivals.quantile(99), arrivals.lost)


def main() -> int:
    costs: dict[str, list[Cost]] = defaultdict(list)
    for number in range(ROUNDS):
        for what, (clients, stalled) in CASES.items():
            print(f"round {number + 1} of {ROUNDS}: {what}", file=sys.stderr, flush=True)
            costs[what].append(measured(clients, stalled=stalled))
    print(f"\n{PORTS} ports, {RATE} readings/s in all:\n")
    print("| | CPU per reading | in relation | of a core | median latency | 99 % within | lost |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    first, *_ = costs.values()
    alone = min(cost.cpu_us for cost in first)
    for what, of_rounds in costs.items():
        cpu, median, late, _ = map(min, zip(*of_rounds, strict=True))
        lost = sum(cost.lost for cost in of_rounds)
        share = cpu * RATE / 1e6
        print(
            f"| {what} | {cpu:.0f} µs | {cpu / alone:.2f} | {share:.1%} |"
            f" {median:.2f} ms | {late:.1f} ms | {lost} |"
        )
    return 0


sys.exit(main())
