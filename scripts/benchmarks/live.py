"""What an event costs on its way through the live feed, by the number of those who listen: scripts/bench live.

From the bus to the clients' sockets, in a process that does nothing else; in short turns, and the best of each: others
use this machine, too. What it costs a gateway to be watched, this way and others: scripts/bench watched.
"""

import asyncio
import multiprocessing
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

from gateway.bus import EventBus
from gateway.config import LiveOptions
from gateway.live import Live
from gateway.model import Reading, Stamp
from gateway.supervisor import Supervisor
from tests.support.ports import free_port

RATE, TURN_S, ROUNDS = 800, 1.5, 6
SETTLE_S = 0.5
"""To connect, and be told how things are."""


def _watch(port: int, clients: int) -> None:
    with selectors.DefaultSelector() as ready:
        for _ in range(clients):
            ready.register(socket.create_connection(("127.0.0.1", port)), selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.recv(1 << 16)


@contextmanager
def watched(port: int, clients: int) -> Iterator[None]:
    """By a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=_watch, args=(port, clients), daemon=True)
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
        for _ in range(ROUNDS):
            for clients, best in costs.items():
                with watched(port, clients):
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


def main() -> int:
    print("From the bus to the sockets, in a process that does nothing else:\n")
    print("| clients | CPU per reading | of a core |\n| --- | --- | --- |")
    costs = asyncio.run(_alone())
    for clients, cost in [*costs.items()][1:]:
        more = cost - costs[0]
        print(f"| {clients} | {more:.0f} µs | {more * RATE / 1e6:.1%} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
