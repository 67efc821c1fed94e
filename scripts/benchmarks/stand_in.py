"""Says as much as a watched gateway does to those who look, and reads nothing: what they alone make of a machine.

python -m scripts.benchmarks.stand_in WEB LIVE, two ports of the loopback; says `there`, and ends with stdin.
"""

import asyncio
import sys

EVENTS_S, LINES_S = 0.5, 0.05
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
EVENT = b"event: change\ndata: %b\n\n" % (b"." * 2000)
LINES = 40 * (b'{"event":"reading",%b}\n' % (b"." * 100))
"""Of 800 readings a second, as many as come in that time."""
METRICS = b"%b%b\nprocess_max_fds 1024\n" % (HEAD, b"." * 20_000)


async def _on_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    if b" /metrics " in request:
        writer.write(METRICS)
        writer.close()
        return
    writer.write(HEAD)
    await _repeat(writer, EVENT, EVENTS_S)


async def _on_feed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _repeat(writer, LINES, LINES_S)


async def _repeat(writer: asyncio.StreamWriter, what: bytes, every_s: float) -> None:
    """To all at the same moments, as gateways do."""
    loop = asyncio.get_running_loop()
    while not writer.is_closing():
        writer.write(what)
        await asyncio.sleep(every_s - loop.time() % every_s)


async def _until_stdin_ends(web: int, live: int) -> None:
    page = await asyncio.start_server(_on_page, "127.0.0.1", web)
    feed = await asyncio.start_server(_on_feed, "127.0.0.1", live)
    print("there", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    page.close()
    feed.close()


if __name__ == "__main__":
    asyncio.run(_until_stdin_ends(int(sys.argv[1]), int(sys.argv[2])))
