"""Many ports at a steady rate into one broker: what arrives, how late, and what it costs.

Two ways in one run, on the same ports and broker: Sallyport, and for each port a `mosquitto_pub -l`
(C, libmosquitto), which publishes each line as it is and stores nothing. The machine may be busy with
other things: compare the two, not the absolute figures.
"""

import argparse
import asyncio
import itertools
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import orjson
import psutil

from drivers.instrument import PtyInstrument

SETTLE_S = 2.0
STUCK_S = 10.0


@dataclass
class Arrivals:
    sent: int = 0
    seen: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Numbers by port, in the order they arrived."""
    late_ms: list[float] = field(default_factory=list)

    def verdict(self) -> str:
        lost = self.sent - sum(len(set(numbers)) for numbers in self.seen.values())
        repeated = sum(len(numbers) - len(set(numbers)) for numbers in self.seen.values())
        disordered = sum(a > b for numbers in self.seen.values() for a, b in itertools.pairwise(numbers))
        return f"{self.sent} sent, {lost} lost, {repeated} repeated, {disordered} out of order"


async def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ports", type=int, default=16, help="simulated serial ports (default: %(default)s)")
    parser.add_argument(
        "--rate", type=float, default=50, help="readings per second and port (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=60, help="how long for each way (default: %(default)s)"
    )
    args = parser.parse_args()
    print(f"{args.ports} ports x {args.rate:g} readings/s x {args.seconds:g} s, QoS 1", flush=True)
    good = True
    with tempfile.TemporaryDirectory(prefix="sallyport-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        broker_port = stack.enter_context(mosquitto(folder))
        ports = [stack.enter_context(PtyInstrument.plugged_in(folder / f"p{n}")) for n in range(args.ports)]
        cpu = {}
        for way in (sallyport, mosquitto_pub):
            with way(folder, broker_port, ports) as processes:
                await asyncio.sleep(SETTLE_S)
                before = [process.cpu_times() for process in processes]
                arrivals = await measure(broker_port, ports, args.rate, args.seconds)
                after = [process.cpu_times() for process in processes]
                rss = sum(process.memory_info().rss for process in processes)
            used = sum(b.user + b.system - a.user - a.system for a, b in zip(before, after, strict=True))
            cpu[way] = used
            print(
                f"\n{way.__name__}: {arrivals.verdict()}\n"
                f"    CPU      {used / args.seconds:7.1%} of a core, {used / arrivals.sent * 1e6:.0f} µs per reading\n"
                f"    memory   {rss / 1e6:7.1f} MB resident, {len(processes)} process(es)\n"
                f"    latency  p50 {quantile(arrivals.late_ms, 50):.1f} ms, p99 {quantile(arrivals.late_ms, 99):.1f} ms"
                " from the port to the subscriber",
                flush=True,
            )
            good &= way is not sallyport or ", 0 lost, 0 repeated, 0 out of order" in arrivals.verdict()
        print(f"\nSallyport's CPU is {cpu[sallyport] / cpu[mosquitto_pub]:.2f} times that of the C programs.")
    return 0 if good else 1


async def measure(broker_port: int, ports: list[PtyInstrument], rate: float, seconds: float) -> Arrivals:
    arrivals = Arrivals()
    done = asyncio.Event()
    subscribed = asyncio.Event()

    async def listen() -> None:
        async with aiomqtt.Client("127.0.0.1", broker_port, identifier="bench") as client:
            await client.subscribe("sallyport/bench/+", qos=1)
            subscribed.set()
            async for message in client.messages:
                now = time.monotonic_ns()
                port = str(message.topic).rpartition("/")[2]
                assert isinstance(message.payload, bytes)
                found = orjson.loads(message.payload)
                values = found.get("values", found)
                if port != "status" and "n" in values:
                    arrivals.seen[port].append(values["n"])
                    arrivals.late_ms.append((now - values["at"]) / 1e6)
                    if done.is_set() and sum(map(len, arrivals.seen.values())) >= arrivals.sent:
                        return

    async with asyncio.TaskGroup() as group:
        listening = group.create_task(listen())
        await subscribed.wait()
        start = time.monotonic()
        gap = 1 / (rate * len(ports))
        total = round(rate * seconds) * len(ports)
        for number in range(total):
            if (ahead := start + number * gap - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            line = json.dumps({"n": number // len(ports), "t": 21.5, "at": time.monotonic_ns()})
            async with asyncio.timeout(STUCK_S):
                await ports[number % len(ports)].say(line.encode() + b"\n")
            arrivals.sent += 1
            if number % (max(1, total // 10)) == 0:
                print(".", end="", file=sys.stderr, flush=True)
        done.set()
        print(file=sys.stderr)
        try:
            async with asyncio.timeout(10):
                await asyncio.shield(asyncio.wait([listening]))
        except TimeoutError:
            pass  # the verdict counts what is missing
        listening.cancel()
    return arrivals


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    file = folder / "mosquitto.conf"
    file.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_inflight_messages 0\nmax_queued_messages 0\n"
    )
    process = subprocess.Popen(
        ["mosquitto", "-c", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def sallyport(folder: Path, broker_port: int, ports: list[PtyInstrument]) -> Iterator[list[psutil.Process]]:
    file = folder / "gateway.toml"
    devices = "".join(
        f'[devices.{each.path.name}]\ndriver = "json"\nport = "{each.path}"\n' for each in ports
    )
    file.write_text(
        f'[gateway]\nname = "bench"\nlog_level = "warning"\n[mqtt]\nurl = "mqtt://127.0.0.1:{broker_port}"\n{devices}'
    )
    process = subprocess.Popen([sys.executable, "-m", "gateway", "run", "--config", file])
    try:
        yield [psutil.Process(process.pid)]
    finally:
        process.terminate()
        process.wait()


@contextmanager
def mosquitto_pub(
    _folder: Path, broker_port: int, ports: list[PtyInstrument]
) -> Iterator[list[psutil.Process]]:
    with ExitStack() as stack:
        processes = []
        for each in ports:
            line = stack.enter_context(each.path.open("rb"))
            tty.setraw(line)  # a read waits for a byte again: the gateway had set the terminal not to
            topic = f"sallyport/bench/{each.path.name}"
            command = [
                "mosquitto_pub",
                "-h",
                "127.0.0.1",
                "-p",
                str(broker_port),
                "-q",
                "1",
                "-t",
                topic,
                "-l",
            ]
            processes.append(subprocess.Popen(command, stdin=line))
        try:
            yield [psutil.Process(process.pid) for process in processes]
        finally:
            for process in processes:
                process.terminate()
                process.wait()


def quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else 0.0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
