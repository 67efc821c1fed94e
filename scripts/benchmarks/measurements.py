"""What is measured: each gives rows for the table."""

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.benchmarks.hall import Hall
from scripts.benchmarks.listener import Arrivals, Listener
from scripts.benchmarks.table import DOES_NOT_START, NOTHING_AMISS, SALLYPORT, SCRIPT, C, Row
from scripts.benchmarks.ways import CannotRunError, Way, mosquitto_pub, sallyport, usual_script
from tests.support.mosquitto import Mosquitto

WAYS: dict[str, Way] = {SALLYPORT: sallyport, C: mosquitto_pub, SCRIPT: usual_script}
MOSQUITTO_DEFAULT = 20
"""Its max_inflight_messages, and so the Receive Maximum that it asks for; 0 is none."""


@dataclass
class Run:
    arrivals: Arrivals
    cpu_us: float
    """For each reading."""
    peak_mb: float

    @property
    def account(self) -> str:
        return f"{self.arrivals.lost} / {self.arrivals.repeats} / {self.arrivals.disordered}"


def _run(column: str, ports: int, speak: Callable[[Hall], None], *, inflight: int = 0) -> Run:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(Mosquitto.running(folder, inflight=inflight))
        listener = stack.enter_context(Listener.on(broker, folder))
        hall = stack.enter_context(Hall.of(folder, ports))
        running = stack.enter_context(WAYS[column](folder, broker, hall))
        speak(hall)
        listener.wait(hall.sent)
        return Run(listener.arrivals(hall.sent), running.cpu_s / hall.sent * 1e6, running.peak_rss / 1e6)


def steady(*, ports: int = 16, rate: float = 50, seconds: float = 20) -> Iterator[Row]:
    """Many ports at a leisurely rate: what wake-ups and system calls cost."""
    title = f"steady, {ports} x {rate:g}/s:"
    cpu = Row(f"{title} CPU per reading, µs", wanted="(0.50) of the script's")
    median = Row(f"{title} median latency, ms")
    tail = Row(f"{title} 99 % within, ms", wanted="10")
    memory = Row(f"{title} peak memory, MB", wanted="60")
    account = Row(f"{title} lost / repeated / out of order", wanted=NOTHING_AMISS)
    for column in WAYS:
        _say(f"{title} {column}")
        run = _run(column, ports, partial(Hall.talk, rate=rate * ports, seconds=seconds))
        cpu.figures[column] = run.cpu_us
        median.figures[column] = run.arrivals.quantile(50)
        tail.figures[column] = run.arrivals.quantile(99)
        memory.figures[column] = run.peak_mb
        account.figures[column] = run.account
    yield from (cpu, median, tail, memory, account)


def saturation(*, ports: int = 8, readings: int = 160_000) -> Iterator[Row]:
    """As much as goes through, to a broker as it comes and to one that takes more at once."""
    for inflight, words in ((MOSQUITTO_DEFAULT, "mosquitto's default window"), (0, "window without a limit")):
        title = f"saturation, {ports} ports, {words}:"
        rate = Row(f"{title} readings/s", wanted="30,000, (0.90)")
        cpu = Row(f"{title} CPU per reading, µs", wanted="25")
        memory = Row(f"{title} peak memory, MB", wanted="60")
        account = Row(f"{title} lost / repeated / out of order", wanted=NOTHING_AMISS)
        for column in (SALLYPORT, C):
            _say(f"{title} {column}")
            run = _run(column, ports, partial(Hall.flood, readings=readings), inflight=inflight)
            rate.figures[column] = run.arrivals.rate
            cpu.figures[column] = run.cpu_us
            memory.figures[column] = run.peak_mb
            account.figures[column] = run.account
        yield from (rate, cpu, memory, account)


def catch_up(*, ports: int = 8, readings: int = 200_000) -> Iterator[Row]:
    """So many readings wait in the journal when the broker comes."""
    for mode, wanted in (("ordered", "20,000"), ("batched", "100,000")):
        title = f"catch-up, {readings:,} readings, {mode}:"
        rate = Row(f"{title} readings/s", wanted=wanted)
        memory = Row(f"{title} peak memory, MB", wanted="60")
        growth = Row(f"{title} memory grew by, MB", wanted="flat")
        account = Row(f"{title} lost / repeated / out of order", wanted=NOTHING_AMISS)
        _say(title)
        with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
            folder = Path(name)
            broker = Mosquitto(folder)
            hall = stack.enter_context(Hall.of(folder, ports))
            try:
                option = "" if mode == "ordered" else f'catch_up = "{mode}"'
                running = stack.enter_context(sallyport(folder, broker, hall, mqtt=option))
            except CannotRunError as error:
                _say(str(error))
                rate.figures[SALLYPORT] = DOES_NOT_START
                yield rate
                continue
            [process] = running.processes
            hall.flood(readings=readings)
            running.wait_until_idle()
            process.send_signal(signal.SIGSTOP)  # so that the subscriber is there before it
            stack.callback(broker.stop)
            broker.start()
            listener = stack.enter_context(Listener.on(broker, folder))
            process.send_signal(signal.SIGCONT)
            listener.wait(hall.sent)
            arrivals = listener.arrivals(hall.sent)
            rate.figures[SALLYPORT] = arrivals.rate
            memory.figures[SALLYPORT] = running.peak_rss / 1e6
            growth.figures[SALLYPORT] = (running.peak_rss - running.rss_at_start) / 1e6
            account.figures[SALLYPORT] = Run(arrivals, 0, 0).account
        yield from (rate, memory, growth, account)


def growth(*, rate: float = 800, seconds: float = 8) -> Iterator[Row]:
    """The same number of readings from ever more ports."""
    costs = []
    for ports in (1, 8, 32, 128):
        title = f"growth, {rate:g}/s from {ports} ports:"
        _say(title)
        run = _run(SALLYPORT, ports, partial(Hall.talk, rate=rate, seconds=seconds))
        costs.append(run.cpu_us)
        yield Row(f"{title} CPU per reading, µs", figures={SALLYPORT: run.cpu_us})
    yield Row(
        "growth: the dearest in relation to the cheapest",
        wanted="1.25",
        figures={SALLYPORT: f"{max(costs) / min(costs):.2f}"},
    )


MEASUREMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    "steady": steady,
    "saturation": saturation,
    "catch-up": catch_up,
    "growth": growth,
}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
