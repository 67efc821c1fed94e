"""What a reading costs in the rules: scripts/bench rules. 1,000 rules over 100 devices, ten of them for each device.

The conditions are functions that compare one number, so that what is measured is the engine, not the expression.
"""

import time
from collections.abc import Callable, Iterator
from math import inf

from gateway.model import Observation, Reading, Stamp
from gateway.rules.engine import Engine
from gateway.rules.rule import Flap, Rule, Watch

DEVICES, RULES = 100, 1000
READINGS = 100_000
ROUNDS = 5
WAITING = Rule(name="", for_s=30.0, keep_for_s=30.0, flap=Flap(6, 600.0), repeat_s=3600.0)


class Above:
    timed = False

    def __init__(self, values: dict[str, float], device: str) -> None:
        def judge(_at: Stamp) -> bool:
            return values[device] > 80  # noqa: PLR2004 - degrees

        self.judge: Callable[[Stamp], object] = judge

    def due(self, _at: Stamp) -> float:
        return inf


def _site(rules: int) -> tuple[Engine, dict[str, float]]:
    values = {f"d{n}": 20.0 for n in range(DEVICES)}

    def heed(event: Observation) -> None:
        assert isinstance(event, Reading)
        values[event.device] = event.values["temperature"]  # type: ignore[assignment]  # a number

    def watches() -> Iterator[Watch]:
        for n in range(rules):
            device = f"d{n % DEVICES}"
            devices = frozenset({device})
            rule = Rule(name=f"r{n}", for_s=WAITING.for_s, keep_for_s=WAITING.keep_for_s, flap=WAITING.flap)
            yield Watch(rule=rule, when=Above(values, device), device=device, devices=devices, needs=devices)

    return Engine(watches(), Stamp(0, 0.0), heed=heed), values


def _cost_us(rules: int, temperature: Callable[[int], float]) -> float:
    """CPU time of one reading at 5,000 a second, the best of some rounds."""
    best = inf
    for _ in range(ROUNDS):
        engine, _values = _site(rules)
        engine.on_time(Stamp(0, 0.0))
        readings = [
            Reading(
                at=Stamp(n * 200_000, n * 0.0002),
                device=f"d{n % DEVICES}",
                values={"temperature": temperature(n)},
            )
            for n in range(READINGS)
        ]
        began = time.process_time()
        for reading in readings:
            engine.on_event(reading)
        best = min(best, (time.process_time() - began) / READINGS * 1e6)
    return best


def main() -> None:
    print(
        f"{RULES} rules over {DEVICES} devices, {RULES // DEVICES} touched by each reading; 5,000 readings/s"
    )
    temperatures: dict[str, Callable[[int], float]] = {
        "nothing is wrong": lambda _: 20.0,
        "all alerts fire or wait": lambda _: 90.0,
        "each device crosses 80 in each second reading": lambda n: 90.0 if n // DEVICES % 2 else 20.0,
    }
    for what, temperature in temperatures.items():
        touched, bare = _cost_us(RULES, temperature), _cost_us(0, temperature)
        each = (touched - bare) / (RULES // DEVICES)
        print(f"{what:48} {touched:6.2f} µs a reading, {bare:.2f} without rules, {each:.2f} a rule")
    lone = _cost_us(DEVICES, lambda _: 20.0)
    print(f"{'one rule a device instead of ten':48} {lone:6.2f} µs a reading")


if __name__ == "__main__":
    main()
