"""How soon a port that is plugged in is read again, and what waiting for it costs: scripts/bench hardware."""

import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

import drivers
from drivers.instrument import PtyInstrument
from gateway.bus import EventBus, Overflow
from gateway.clock import system_clock
from gateway.model import Reading
from gateway.pacing.backoff import Backoff
from gateway.source import Source
from gateway.supervisor import Supervisor
from scripts.benchmarks.hall import Hall
from scripts.benchmarks.ways import sallyport
from tests.support.mosquitto import Mosquitto

REPLUGS = 20
SAYS_EVERY_S = 0.005
DEVICES = 16
WATCHED_S = 60.0


async def replugged(folder: Path) -> Sequence[float]:
    """Seconds from the link to the first reading, each time; by itself the port would not be tried for an hour."""
    json, bus, took = drivers.find("json"), EventBus(), []
    source = Source("board", json, json.options(driver="json", port=str(folder / "board")), bus, system_clock)
    child = replace(source.child(), restart=Backoff(3600, 3600, draw=lambda _, high: high))
    readings = bus.subscribe(Reading, name="bench", capacity=64, overflow=Overflow.DROP_OLDEST)
    with readings, PtyInstrument.plugged_in(folder / "board") as board:
        running = asyncio.create_task(Supervisor().run([child]))
        for _ in range(REPLUGS):
            board.unplug()
            # Six within half a minute would be a loose plug.
            await asyncio.sleep(random.uniform(5.5, 6.5))  # noqa: S311 - when a person is done
            readings.take()
            began = time.perf_counter()
            board.plug_in()
            talking = asyncio.create_task(board.play([b'{"n":1}\n'] * 10_000, every_s=SAYS_EVERY_S))
            await anext(readings)
            took.append(time.perf_counter() - began)
            talking.cancel()
            await asyncio.wait([talking])
        running.cancel()
        await asyncio.wait([running])
    return took


def waiting(ports: Sequence[Path], *, present: bool, retry_max: str) -> float:
    """CPU of the gateway with so many devices that say nothing, in percent of a core."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        if present:
            for path in ports:
                stack.enter_context(PtyInstrument.plugged_in(folder / path))
        broker = stack.enter_context(Mosquitto.running(folder))
        tables = "".join(
            f'[devices.{path.name}]\ndriver = "json"\nport = "{folder / path}"\nretry_max = "{retry_max}"\n'
            for path in ports
        )
        running = stack.enter_context(
            sallyport(folder, broker, stack.enter_context(Hall.of(folder, 0)), further=tables)
        )
        time.sleep(10)  # the first attempts are over
        before = running.cpu_s
        time.sleep(WATCHED_S)
        return (running.cpu_s - before) / WATCHED_S * 100


def main() -> int:
    logging.disable()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        took = asyncio.run(replugged(Path(name)))
    print(
        f"\nFrom the link to the first reading, {REPLUGS} times: median {median(took) * 1000:.0f} ms,",
        end=" ",
    )
    print(f"{min(took) * 1000:.0f} to {max(took) * 1000:.0f} ms\n")
    ports = [Path(f"port{number}") for number in range(DEVICES)]
    print("| CPU of one core | |\n| --- | --- |")
    for devices, present, retry_max in (
        ([], True, "5s"), (ports, True, "5s"), (ports, False, "5s"), (ports, False, "1h"),
    ):  # fmt: skip
        kind = "there and silent" if present else f"away, retry_max {retry_max}"
        cost = waiting(devices, present=present, retry_max=retry_max)
        print(f"| {len(devices)} devices, {kind} | {cost:.2f} % |", flush=True)
    return 0


sys.exit(main())
