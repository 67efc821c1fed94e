"""The subscriber: mosquitto_sub (C) into a file, which is looked at when all is over."""

import itertools
import re
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import orjson

from tests.support.mosquitto import Mosquitto, program

QUIET_S = 10.0
"""Nothing has come for so long: what is missing is lost."""

_NUMBER = re.compile(rb'"n":\s*(\d+)')
_AT = re.compile(rb'"at":\s*(\d+)')
_NAME = re.compile(rb'"seq":\s*(\d+),"run":"(\w+)"')


@dataclass
class Arrivals:
    sent: int
    count: int = 0
    """Without repeats."""
    repeats: int = 0
    disordered: int = 0
    late_ms: list[float] = field(default_factory=list)
    first_at: float = 0.0
    last_at: float = 0.0

    @property
    def lost(self) -> int:
        return self.sent - self.count

    @property
    def rate(self) -> float:
        return self.count / max(self.last_at - self.first_at, 1e-9)

    @property
    def verdict(self) -> str:
        return f"{self.sent} sent, {self.lost} lost, {self.repeats} repeated, {self.disordered} out of order"

    def quantile(self, percent: int) -> float:
        return statistics.quantiles(self.late_ms, n=100)[percent - 1]


class Listener:
    def __init__(self, file: Path) -> None:
        self._file = file

    @classmethod
    @contextmanager
    def on(cls, broker: Mosquitto, folder: Path) -> Iterator[Self]:
        """At QoS 0: what its acknowledgements would cost the broker is not what we measure."""
        listener = cls(folder / "heard")
        client = ["-h", broker.host, "-p", str(broker.port)]
        marker = [program("mosquitto_pub"), *client, "-t", "sallyport/bench/marker", "-r", "-m", "subscribed"]
        subprocess.run(marker, check=True, timeout=10)
        with listener._file.open("wb") as file:
            process = subprocess.Popen(
                [program("mosquitto_sub"), *client, "-q", "0", "-t", "sallyport/bench/#", "-F", "%U %t %p"],
                stdout=file,
            )
        try:
            while not listener._file.stat().st_size:
                time.sleep(0.01)
            yield listener
        finally:
            process.terminate()
            process.wait()

    def wait_for(self, text: str, times: int) -> None:
        """Until it has come so often. Raises: TimeoutError."""
        deadline = time.monotonic() + QUIET_S
        while self._file.read_text().count(text) < times:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} has not come {times} times")
            time.sleep(0.1)

    def wait(self, sent: int) -> None:
        """Until that many readings have come, or nothing more does."""
        count, rest, heard_at = 0, b"", time.monotonic()
        with self._file.open("rb") as file:
            while count < sent and time.monotonic() - heard_at < QUIET_S:
                if data := file.read(1 << 20):
                    data = rest + data
                    count += data.count(b'"n":')
                    rest, heard_at = data[-3:], time.monotonic()
                else:
                    time.sleep(0.05)

    def arrivals(self, sent: int) -> Arrivals:
        arrivals = Arrivals(sent)
        known: set[tuple[bytes, bytes | int]] = set()
        numbers: dict[bytes, list[int]] = defaultdict(list)
        with self._file.open("rb") as lines:
            for line in lines:
                moment, topic, payload = line.split(b" ", 2)
                device = topic.split(b"/")[2]
                readings = [payload]
                if topic.endswith(b"/batch"):
                    readings = [orjson.dumps(each) for each in orjson.loads(payload)]
                for reading in readings:
                    if (number := _NUMBER.search(reading)) is None:
                        continue  # status, availability
                    name = _NAME.search(reading)
                    key = (device, name[0] if name else int(number[1]))
                    if key in known:
                        arrivals.repeats += 1
                        continue
                    known.add(key)
                    numbers[device].append(int(number[1]))
                    arrivals.last_at = float(moment)
                    arrivals.first_at = arrivals.first_at or arrivals.last_at
                    if at := _AT.search(reading):
                        whole, _, nanoseconds = moment.partition(b".")
                        arrivals.late_ms.append((int(whole) * 10**9 + int(nanoseconds) - int(at[1])) / 1e6)
        arrivals.count = sum(map(len, numbers.values()))
        arrivals.disordered = sum(a > b for each in numbers.values() for a, b in itertools.pairwise(each))
        return arrivals
