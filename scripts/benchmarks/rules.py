"""What rules cost: scripts/bench rules. 1,000 of them over 100 devices, ten of them touched by each reading.

First in a process that does nothing else, from the bus to the verdict; then in the gateway, beside what it does anyway.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from math import inf
from pathlib import Path

from gateway.bus import EventBus, Overflow
from gateway.model import Observation, Reading, Stamp
from gateway.rules.judge import Judge
from gateway.rules.names import Instrument, Site
from gateway.rules.rule import Flap, Rule
from gateway.rules.rulebook import Rulebook, Statute
from scripts.benchmarks.hall import Hall
from scripts.benchmarks.listener import Listener
from scripts.benchmarks.ways import sallyport
from tests.support.mosquitto import Mosquitto

DEVICES, TOUCHED = 100, 10
READINGS, ROUNDS, MAILBOX = 30_000, 5, 64
RATE = 5000
"""Readings a second."""

Temperature = Callable[[int], float]
"""Of each reading."""


def calm(number: int) -> float:
    return 20.5 + number % 7


def hot(_number: int) -> float:
    return 90.0


def crossing(number: int) -> float:
    return 90.0 if number // DEVICES % 2 else 20.0


CASES: Sequence[tuple[str, str, Temperature]] = (
    ("this.t > 80", "nothing is wrong", calm),
    ("this.t > 80", "all fire", hot),
    ("this.t > 80", "each second reading crosses the threshold", crossing),
    ("this.t * 1.8 + 32 > 180 and this.rh < 90", "nothing is wrong", calm),
    ('this.state == "on"', "nothing is wrong", calm),
    ('age(this) > "5m"', "nothing is wrong", calm),
    ('max_over(this.t, "1m") > 80', "nothing is wrong", calm),
    ('avg(this.t, "5m") > 80', "nothing is wrong", calm),
    ('rate(this.t, "1m") > 80', "nothing is wrong", calm),
)


def statutes(when: str, count: int, each: Iterable[str]) -> Iterable[Statute]:
    """So many rules about each of these, of which some would wait and some would flap."""
    for number in range(count):
        flap = Flap(6, 600.0) if number % 2 else None
        rule = Rule(name=f"r{number}", for_s=number % 3 * 30.0, keep_for_s=30.0, flap=flap)
        yield Statute(rule=rule, when=when, each=[*each])


async def _judged(book: Rulebook, temperature: Temperature) -> float:
    """CPU time of a reading, in microseconds, from the bus to the verdict."""
    now = Stamp(0, 0.0)
    bus = EventBus()
    judge = Judge(book, bus, lambda: now, changed=lambda: None, given_out=[])
    mail = bus.subscribe(Observation, name="rules", capacity=MAILBOX, overflow=Overflow.WAIT)
    judging = asyncio.create_task(judge.run(mail))
    readings = [
        Reading(
            at=Stamp(n * 10**9 // RATE, n / RATE), device=f"d{n % DEVICES}",
            values={"t": temperature(n), "rh": 44.25, "state": "off"},
        )
        for n in range(READINGS)
    ]  # fmt: skip
    bus.put(Reading(at=now, device="", values={}))  # at the start each rule is looked at once
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    began = time.process_time()
    for start in range(0, READINGS, MAILBOX):
        for reading in readings[start : start + MAILBOX]:
            bus.put(reading)
        await asyncio.sleep(0)
    mail.end()
    await judging
    return (time.process_time() - began) / READINGS * 1e6


def cost_us(when: str, temperature: Temperature = calm, *, touched: int = TOUCHED, others: int = 0) -> float:
    """The best of some rounds. `others`: so many rules more, about devices that say nothing."""
    devices = [f"d{n}" for n in range(DEVICES)]
    silent = [f"s{n}" for n in range(others)]
    site = Site({name: Instrument() for name in (*devices, *silent)})
    written = [*statutes(when, touched, devices)]
    if silent:
        written.append(Statute(rule=Rule(name="silent"), when=when, each=["s*"]))
    best = inf
    for _ in range(ROUNDS):
        best = min(best, asyncio.run(_judged(Rulebook(written, site), temperature)))
    return best


def in_the_gateway(rules: int, *, seconds: float = 8) -> float:
    """CPU time of a reading, in microseconds, all in all, with so many rules about each device."""
    tables = "".join(
        f'[rules.r{n}]\nwhen = "this.t > {80 + n}"\neach = "*"\nfor = "{n % 3 * 30}s"\n' for n in range(rules)
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(Mosquitto.running(folder))
        listener = stack.enter_context(Listener.on(broker, folder))
        hall = stack.enter_context(Hall.of(folder, DEVICES))
        running = stack.enter_context(sallyport(folder, broker, hall, further=tables))
        hall.talk(rate=RATE, seconds=seconds)
        listener.wait(hall.sent)
        return running.cpu_s / hall.sent * 1e6


def main() -> int:
    bare = cost_us("this.t > 80", touched=0)
    print(
        f"\nA reading that no rule is about: {bare:.2f} µs. {TOUCHED} rules about each of {DEVICES} devices:\n"
    )
    print("| rule | | µs a reading | µs a rule |\n| --- | --- | --- | --- |")
    for when, what, temperature in CASES:
        cost = cost_us(when, temperature)
        print(f"| `{when}` | {what} | {cost:.2f} | {(cost - bare) / TOUCHED:.2f} |", flush=True)
    print(f"\nThe same {TOUCHED} touched by each reading, and others that are not:\n")
    print("| other rules | µs a reading | in relation to none |\n| --- | --- | --- |")
    alone = cost_us("this.t > 80")
    for others in (0, 1000, 10_000):
        cost = cost_us("this.t > 80", others=others) if others else alone
        print(f"| {others:,} | {cost:.2f} | {cost / alone:.2f} |", flush=True)
    print(f"\nIn the gateway, {RATE:,} readings/s from {DEVICES} ports, all that it does with one:\n")
    print("| rules | µs a reading | in relation to none |\n| --- | --- | --- |")
    costs = dict.fromkeys((0, TOUCHED), inf)
    for rules in [*costs] * 3:  # in turn, and the best of each: others use this machine, too
        costs[rules] = min(costs[rules], in_the_gateway(rules))
    for rules, cost in costs.items():
        print(f"| {rules * DEVICES:,} | {cost:.0f} | {cost / costs[0]:.2f} |")
    return 0


sys.exit(main())
