import os
import socket
from itertools import cycle

_EACH = 4000
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_FIRST = 12_000 + _EACH * _WORKER
_candidates = cycle([_FIRST + (os.getpid() + number) % _EACH for number in range(_EACH)])


def free_port() -> int:
    """None that the system gives out by itself (those are higher), nor another worker: it stays free while nobody
    listens, also between a broker's death and its return."""
    while True:
        port = next(_candidates)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
