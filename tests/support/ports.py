import os
import socket
from itertools import cycle

_FIRST, _COUNT = 12_000, 20_000
_candidates = cycle([_FIRST + (97 * os.getpid() + number) % _COUNT for number in range(_COUNT)])


def free_port() -> int:
    """None that the system gives out by itself: those are higher. Nor again soon: it stays free while nobody listens
    there, also between a broker's death and its return. Suites side by side begin at other places."""
    while True:
        port = next(_candidates)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
