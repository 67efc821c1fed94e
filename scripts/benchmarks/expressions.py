"""What a rule costs for each reading that touches it: .venv/bin/python -m scripts.benchmarks.expressions."""

import sys
import time
from collections.abc import Callable

from gateway.model import Reading, Stamp
from gateway.rules.expression import Expression
from gateway.rules.memory import Memory
from gateway.rules.names import Instrument, Site

ROUNDS = 7
READINGS = 20_000
SITE = Site({"boiler": Instrument(), "pump": Instrument()})
EXPRESSIONS = (
    "boiler.temperature > 80",
    "boiler.temperature > 80 and pump.running",
    "boiler.temperature * 1.8 + 32 > 180",
    'boiler.state == "on"',
    "boiler.missing > 80",
    'age(pump) > "5m"',
    'changed(boiler.temperature, "1m")',
    'count_over(boiler.temperature, "1m") > 3',
    'max_over(boiler.temperature, "1m") > 80',
    'avg(boiler.temperature, "5m") > 80',
    'rate(boiler.temperature, "1m") > 80',
)


def _best_us(work: Callable[[], None]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best / READINGS * 1e6


def _readings(first: float) -> list[Reading]:
    return [
        Reading(
            at=Stamp(0, first + number / 10),
            device="boiler",
            values={"temperature": 60.5 + number % 40, "state": "on"},
        )
        for number in range(READINGS)
    ]


def cost(text: str) -> tuple[float, float]:
    """Of remembering a reading and of judging the rule then, in microseconds."""
    memory = Memory()
    rule = Expression(text, SITE).bind(memory)
    pump = Reading(at=Stamp(0, 0.0), device="pump", values={"running": True})
    rounds = iter([_readings(each * READINGS / 10) for each in range(2 * ROUNDS)])

    def remember() -> None:
        memory.take(pump)
        for reading in next(rounds):
            memory.take(reading)

    def both() -> None:
        memory.take(pump)
        for reading in next(rounds):
            memory.take(reading)
            rule.judge(reading.at)

    remembered = _best_us(remember)
    return remembered, _best_us(both) - remembered


def main() -> int:
    print(f"{'µs for each reading':45} remember   judge")
    for text in EXPRESSIONS:
        remembered, judged = cost(text)
        print(f"{text:45} {remembered:8.2f} {judged:7.2f}")
    began = time.process_time()
    for number in range(1000):
        Expression(f"boiler.temperature > {number} and pump.running", SITE)
    print(f"\nCompiling a rule: {time.process_time() - began:.2f} ms")
    return 0


sys.exit(main())
