"""Those who look: some who read what they are told, one who reads nothing, and a Prometheus; until stdin ends."""

import asyncio
import sys

SCRAPE_S = 5.0
_ASK = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def main() -> None:
    port, viewers = map(int, sys.argv[1:])
    loop = asyncio.get_running_loop()
    over = loop.run_in_executor(None, sys.stdin.read)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_look(port)) for _ in range(viewers - 1)]
        tasks += [group.create_task(_stall(port)), group.create_task(_scrape(port))]
        await over
        for each in tasks:
            each.cancel()


async def _asked(port: int, path: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.write(_ASK % path)
        return reader, writer


async def _look(port: int) -> None:
    reader, _ = await _asked(port, b"/api/events")
    while await reader.read(2**16):
        pass


async def _stall(port: int) -> None:
    _, writer = await _asked(port, b"/api/events")
    assert isinstance(writer.transport, asyncio.ReadTransport)
    writer.transport.pause_reading()
    await asyncio.Event().wait()


async def _scrape(port: int) -> None:
    while True:
        reader, writer = await _asked(port, b"/metrics")
        await reader.readuntil(b"process_max_fds ")
        writer.close()
        await asyncio.sleep(SCRAPE_S)


asyncio.run(main())
