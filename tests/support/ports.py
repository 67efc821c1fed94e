import os
import socket
from itertools import cycle

_FIRST, _COUNT = 12_000, 20_000

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_suite = os.getppid() if _workers > 1 else os.getpid()
_candidates = cycle(
    [_FIRST + (7919 * _suite + number) % _COUNT for number in range(_worker, _COUNT, _workers)]
)


def free_port() -> int:
    """None that the system gives out by itself: those are higher. Nor again soon: it stays free while nobody listens
    there, also between a broker's death and its return. Each worker of a suite has numbers of its own; suites side by
    side begin at other places."""
    while True:
        port = next(_candidates)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
