"""What has arrived, held against what was promised."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Self

import orjson

from tests.support.gateway_process import until
from tests.support.plant import Plant
from tests.support.recorder import Heard


class Account:
    """Readings with a number of their own in the value `n`; what repeats (`run`, `seq`) counts once."""

    def __init__(self, heard: Sequence[Heard]) -> None:
        self.runs: set[str] = set()
        self.repeats = 0
        self.altered: list[str] = []
        """Repeats that are not what they repeat."""
        self.numbers: dict[str, list[int]] = defaultdict(list)
        """Of each device, in the order in which they came."""
        self._heard = heard
        self._taken = 0
        self._seqs: dict[str, list[int]] = defaultdict(list)
        self._known: dict[tuple[str, str, int], tuple[str, int]] = {}
        self._gaps: dict[str, set[int]] = defaultdict(set)

    def take(self) -> Self:
        """What has come since the last time."""
        while self._taken < len(self._heard):
            topic, payload = self._heard[self._taken]
            self._taken += 1
            match topic.split("/")[2:]:
                case ["gaps"]:
                    gap = orjson.loads(payload)
                    self._gaps[gap["device"]].update(range(gap["first"], gap["last"] + 1))
                case [device, "batch"]:
                    for reading in orjson.loads(payload):
                        self._count(device, reading)
                case [device] if device != "status":
                    self._count(device, orjson.loads(payload))
        return self

    async def complete(self, plant: Plant) -> None:
        """Until the last line of each instrument has arrived, as long as something arrives."""
        last = {each.path.name: each.said - 1 for each in plant.instruments}

        def arrived() -> bool:
            self.take()
            return all(number in self.numbers[device][-1000:] for device, number in last.items())

        while not arrived():
            await until(partial(self._is_behind, self._taken))

    def missing(self, wanted: Mapping[str, Collection[int]]) -> dict[str, list[int]]:
        """Numbers that have not arrived, by device."""
        absent = {device: sorted(set(some) - set(self.numbers[device])) for device, some in wanted.items()}
        return {device: numbers for device, numbers in absent.items() if numbers}

    @property
    def disordered(self) -> list[str]:
        """Readings that came after a later one."""
        return [
            f"{device}: {what} {now} after {before}"
            for what, lists in (("seq", self._seqs), ("n", self.numbers))
            for device, values in lists.items()
            for before, now in pairwise(values)
            if now <= before
        ]

    @property
    def unannounced(self) -> dict[str, list[int]]:
        """Seqs that are not there though later ones are, and that no gap told of."""
        found = {}
        for device, seqs in self._seqs.items():
            if absent := set(range(1, max(seqs))) - set(seqs) - self._gaps[device]:
                found[device] = sorted(absent)
        return found

    def _is_behind(self, taken: int) -> bool:
        return len(self._heard) > taken

    def _count(self, device: str, reading: Mapping[str, Any]) -> None:
        run, seq, number = reading["run"], reading["seq"], reading["values"]["n"]
        self.runs.add(run)
        told = reading["time"], number
        known = self._known.get((device, run, seq))
        if known is None:
            self._known[device, run, seq] = told
            self._seqs[device].append(seq)
            self.numbers[device].append(number)
        elif known == told:
            self.repeats += 1
        else:
            self.altered.append(f"{device}: seq {seq} was {known} and is {told} now")
