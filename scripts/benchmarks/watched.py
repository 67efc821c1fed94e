"""What it costs to be watched, and whether publishing notices: scripts/bench watched.

Two gateways side by side, each with ports, a broker and a subscriber of its own: one with nothing on, one with status
page, /metrics, discovery and live feed. They are spoken to in short turns, one after the other, and each round begins
with another of them: what else this machine does hits all of them alike. Nothing on comes twice in each round: how far
those two are apart is what the machine makes of it. It comes once more while as many look at another program, which
says as much to them: what those who look take from the machine by themselves, and no gateway can give back. Fresh
gateways for every other round: one process is not the next.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from scripts.benchmarks.crowd import Looks
from scripts.benchmarks.hall import Hall
from scripts.benchmarks.listener import Listener
from scripts.benchmarks.ways import Running, sallyport
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port

PORTS, RATE = 16, 800.0
PAIRS, ROUNDS = 3, 2
"""Of gateways; of each pair."""
SETTLE_S, TURN_S = 3.0, 6.0
"""Who takes nothing has his room in the feed full when the first is over."""


class Case(NamedTuple):
    all_on: bool
    """Which gateway."""
    looks: Looks = Looks()
    """At it, or where nothing is on at another program."""


NOTHING_ON = "nothing on"
WATCHED = Looks(page=20, live=25, scrapers=5)
CASES = {
    NOTHING_ON: Case(all_on=False),
    "nothing on, once more": Case(all_on=False),
    f"nothing on, {WATCHED.takers} look elsewhere": Case(all_on=False, looks=WATCHED),
    "all on, nobody looks": Case(all_on=True),
    f"all on, {WATCHED.takers} look": Case(all_on=True, looks=WATCHED),
    f"all on, {WATCHED.takers} look and 6 take nothing": Case(all_on=True, looks=WATCHED._replace(stalled=3)),
}


class Turn(NamedTuple):
    cpu: float
    """Of a core, in percent; of the gateway's process."""
    median_ms: float
    """From the port to the subscriber."""
    most_ms: float
    """99 % of them."""
    peak_mb: float
    lost: int


FIGURES = ("CPU, % of a core", "median latency, ms", "99 % within, ms", "peak memory, MB")
"""The first of a turn."""


class Site:
    def __init__(self, hall: Hall, listener: Listener, running: Running, web: int, live: int) -> None:
        self._hall = hall
        self._listener = listener
        self._running = running
        self._web = web
        self._live = live
        self._known = listener.arrivals(0)

    @classmethod
    @contextmanager
    def open(cls, *, all_on: bool) -> Iterator[Self]:
        with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
            folder = Path(name)
            web, live = free_port(), free_port()
            further = (
                f'[web]\nlisten = "127.0.0.1:{web}"\n[live]\nlisten = "127.0.0.1:{live}"\n[homeassistant]\n'
            )
            broker = stack.enter_context(Mosquitto.running(folder))
            listener = stack.enter_context(Listener.on(broker, folder))
            hall = stack.enter_context(Hall.of(folder, PORTS))
            way = sallyport(folder, broker, hall, further=further if all_on else "")
            if not all_on:
                stack.enter_context(_stand_in(web, live))
            running = stack.enter_context(way)
            listener.wait_for("open, no reading yet", PORTS)
            yield cls(hall, listener, running, web, live)

    def turn(self, looks: Looks) -> Turn:
        with self._watched(looks):
            self._hall.talk(rate=RATE, seconds=SETTLE_S)
            self._heard()
            self._running.forget_peak()
            cpu_s, begun = self._running.cpu_s, time.monotonic()
            self._hall.talk(rate=RATE, seconds=TURN_S)
            cpu_s, passed_s = self._running.cpu_s - cpu_s, time.monotonic() - begun
            late_ms, lost = self._heard()
        quantiles = statistics.quantiles(late_ms, n=100)
        return Turn(100 * cpu_s / passed_s, quantiles[49], quantiles[98], self._running.peak_rss / 1e6, lost)

    def _heard(self) -> tuple[list[float], int]:
        """How late each was of what was said since this was last called, in milliseconds, and how many were lost."""
        self._listener.wait(self._hall.sent)
        before, self._known = self._known, self._listener.arrivals(self._hall.sent)
        return self._known.late_ms[len(before.late_ms) :], self._known.lost - before.lost

    @contextmanager
    def _watched(self, looks: Looks) -> Iterator[None]:
        if not looks.takers:
            yield
            return
        numbers = map(str, (self._web, self._live, *looks))
        crowd = subprocess.Popen(
            [sys.executable, "-m", "scripts.benchmarks.crowd", *numbers],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert crowd.stdout is not None
        try:
            if crowd.stdout.readline() != "there\n":
                raise RuntimeError("those who look were not let in")
            yield
        finally:
            told, _ = crowd.communicate()
        if crowd.returncode:
            raise RuntimeError("not all who look have stayed")
        print("got by each, at least: {} bytes; scrapes: {}".format(*told.split()), file=sys.stderr)


@contextmanager
def _stand_in(web: int, live: int) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.benchmarks.stand_in", str(web), str(live)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "there\n":
            raise RuntimeError("the other program did not begin")
        yield
    finally:
        process.communicate()


def _measured() -> Mapping[str, Sequence[Turn]]:
    turns: dict[str, list[Turn]] = defaultdict(list)
    names = deque(CASES)
    for pair in range(PAIRS):
        with Site.open(all_on=False) as plain, Site.open(all_on=True) as full:
            for each_round in range(ROUNDS):
                for name in names:
                    case = CASES[name]
                    turn = (full if case.all_on else plain).turn(case.looks)
                    turns[name].append(turn)
                    print(
                        f"{pair + 1}.{each_round + 1} {name}: {turn.cpu:.0f} %, {turn.median_ms:.2f} ms",
                        file=sys.stderr,
                        flush=True,
                    )
                names.rotate()
    return turns


def main() -> int:
    turns = _measured()
    print(f"{RATE:g} readings/s from {PORTS} ports; medians of {PAIRS * ROUNDS} rounds of {TURN_S:g} s each.")
    print("In brackets: in relation to nothing on in the same round, and the lowest and highest of these.\n")
    rows = [["", *FIGURES, "lost"], ["---"] * (len(FIGURES) + 2)]
    for name, those in turns.items():
        cells = [_cell(those, turns[NOTHING_ON], place) for place in range(len(FIGURES))]
        rows.append([name, *cells, str(sum(turn.lost for turn in those))])
    print(*(f"| {' | '.join(row)} |" for row in rows), sep="\n")
    return 1 if any(turn.lost for those in turns.values() for turn in those) else 0


def _cell(those: Sequence[Turn], nothing_on: Sequence[Turn], place: int) -> str:
    figure = statistics.median(turn[place] for turn in those)
    if those is nothing_on:
        return f"{figure:.2f}"
    ratios = [turn[place] / other[place] for turn, other in zip(those, nothing_on, strict=True)]
    return f"{figure:.2f} ({statistics.median(ratios):.2f}; {min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    sys.exit(main())
