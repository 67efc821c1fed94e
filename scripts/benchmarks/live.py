"""What the live feed costs: scripts/bench live. One gateway, to which somebody listens, and nobody, in turn.

First in a process that does nothing else, from the bus to the clients' sockets; then in the gateway, beside what it
does anyway. In short turns, and the best of each: others use this machine, too.
"""

import asyncio
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
from math import inf
from pathlib import Path
from typing import NamedTuple

from gateway.bus import EventBus
from gateway.config import LiveOptions
from gateway.live import Live
from gateway.model import Reading, Stamp
from gateway.supervisor import Supervisor
from scripts.benchmarks.hall import Hall
from scripts.benchmarks.listener import Listener
from scripts.benchmarks.ways import sallyport
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port

PORTS, RATE, TURN_S, ROUNDS, ROUNDS_ALONE = 16, 800, 1.5, 15, 6
SETTLE_S = 0.5
"""To connect, and be told how things are."""
CASES = {
    "nobody listens": (0, 0),
    "1 client": (1, 0),
    "50 clients": (50, 0),
    "49 clients, and one that takes nothing": (49, 1),
}


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


async def _alone() -> dict[int, float]:
    """CPU time of a reading, in microseconds, by the number of clients."""
    port, bus = free_port(), EventBus()
    options = LiveOptions.model_validate({"listen": f"127.0.0.1:{port}"})
    feed = Live(options, bus, [], run=lambda: "7f3a09c2", about=lambda: {"time": ""}, state=lambda _: {})
    costs = {0: inf, 1: inf, 50: inf}
    async with asyncio.TaskGroup() as group:
        group.create_task(Supervisor().run([feed.child]))
        for _ in range(ROUNDS_ALONE):
            for clients, best in costs.items():
                with watched(port, clients, 0):
                    await asyncio.sleep(SETTLE_S)
                    costs[clients] = min(best, await _passed_on(bus))
        feed.end()
    return costs


async def _passed_on(bus: EventBus) -> float:
    cpu_s, seq = time.thread_time(), 0
    end = time.monotonic() + TURN_S
    while time.monotonic() < end:
        for _ in range(RATE // 100):
            seq += 1
            values = {"n": seq, "t": 21.5, "at": 1_795_370_400_000_000_000}
            bus.put(Reading(at=Stamp(seq * 10**6, 0.0), device="p1", values=values, seq=seq))
        await asyncio.sleep(0.01)
    return (time.thread_time() - cpu_s) / seq * 1e6


def _spent_us(pid: int) -> float:
    """CPU time, more exactly than in hundredths of a second."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in tasks) / 1000


def main() -> int:
    print("From the bus to the sockets, in a process that does nothing else:\n")
    print("| clients | CPU per reading | of a core |\n| --- | --- | --- |")
    costs = asyncio.run(_alone())
    for clients, cost in [*costs.items()][1:]:
        more = cost - costs[0]
        print(f"| {clients} | {more:.0f} µs | {more * RATE / 1e6:.1%} |", flush=True)
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
        whole_s = len(CASES) * ROUNDS * (TURN_S + SETTLE_S) + 1
        [process] = running.processes
        talking = threading.Thread(target=hall.talk, kwargs={"rate": RATE, "seconds": whole_s})
        talking.start()

        def turn(what: str) -> None:
            time.sleep(SETTLE_S)
            cpu_us, first = _spent_us(process.pid), hall.sent
            time.sleep(TURN_S)
            cpu_us, last = _spent_us(process.pid) - cpu_us, hall.sent
            turns[what].append(Turn(cpu_us / (last - first), first, last))

        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            for what, (takers, stalled) in CASES.items():
                with watched(port, takers, stalled):
                    turn(what)
        talking.join()
        listener.wait(hall.sent)
        arrivals = listener.arrivals(hall.sent)
    print(f"\n{PORTS} ports, {RATE} readings/s in all. Published: {arrivals.verdict}.\n")
    print("| | CPU per reading | in relation | of a core | median latency | 99 % within |")
    print("| --- | --- | --- | --- | --- | --- |")
    alone = 0.0
    for what, those in turns.items():
        cpu = min(turn.cpu_us for turn in those)
        alone = alone or cpu
        late = [statistics.quantiles(arrivals.late_ms[turn.first : turn.last], n=100) for turn in those]
        median, most = (min(each[percent - 1] for each in late) for percent in (50, 99))
        print(
            f"| {what} | {cpu:.0f} µs | {cpu / alone:.2f} | {cpu * RATE / 1e6:.1%} |"
            f" {median:.2f} ms | {most:.1f} ms |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
