"""Those who look: at the status page, at /metrics, at the live feed, and some who take nothing; until stdin ends.

It says `there` when each has been told something; at the end, what who got least has got, in bytes, and how often
/metrics was read. Who is hung up on, or told anything but what he asked for, ends it with an error.
"""

import asyncio
import socket
import sys
from itertools import count
from typing import NamedTuple

SCRAPE_S = 5.0

_ASK = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
_PAGE, _METRICS = _ASK % b"/api/events", _ASK % b"/metrics"
_LAST_METRIC = b"process_max_fds "


class Looks(NamedTuple):
    """How many."""

    page: int = 0
    live: int = 0
    scrapers: int = 0
    stalled: int = 0
    """At the page and at the feed, each."""

    @property
    def takers(self) -> int:
        return self.page + self.live + self.scrapers


class Crowd:
    def __init__(self, web: int, live: int, looks: Looks) -> None:
        """`web`, `live`: ports."""
        self.scrapes = 0
        self._web = web
        self._looks = looks
        self._places = [(web, _PAGE)] * looks.page + [(live, b"")] * looks.live
        self._missing = looks.takers
        self._got = [0] * len(self._places)
        self._stalled = [_stalled(*place) for place in [(web, _PAGE), (live, b"")] * looks.stalled]

    @property
    def least(self) -> int:
        return min(self._got)

    async def watch(self) -> None:
        """Endless."""
        async with asyncio.TaskGroup() as group:
            for number, (port, request) in enumerate(self._places):
                group.create_task(self._look(number, port, request))
            for number in range(self._looks.scrapers):
                group.create_task(self._scrape(SCRAPE_S * number / self._looks.scrapers))

    async def _look(self, number: int, port: int, request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        while data := await reader.read(1 << 16):
            if not self._got[number]:
                self._one_more_is_there()
            self._got[number] += len(data)
        raise ConnectionError(f"hung up on after {self._got[number]} bytes")

    async def _scrape(self, apart_s: float) -> None:
        """`apart_s`: between the first time and the others, so that not all come at once."""
        for number in count():
            reader, writer = await asyncio.open_connection("127.0.0.1", self._web, limit=2**20)
            writer.write(_METRICS)
            await reader.readuntil(_LAST_METRIC)
            writer.close()
            self.scrapes += 1
            if not number:
                self._one_more_is_there()
            await asyncio.sleep(SCRAPE_S if number else apart_s)

    def _one_more_is_there(self) -> None:
        self._missing -= 1
        if not self._missing:
            print("there", flush=True)


def _stalled(port: int, request: bytes) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.sendall(request)
    return sock


async def _until_stdin_ends(crowd: Crowd) -> None:
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(crowd.watch())
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        watching.cancel()
    print(crowd.least, crowd.scrapes, flush=True)


if __name__ == "__main__":
    web, live, *looks = map(int, sys.argv[1:])
    asyncio.run(_until_stdin_ends(Crowd(web, live, Looks(*looks))))
