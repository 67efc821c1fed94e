"""`kill -9` at random moments: what anybody may have seen is there, once, in order, and no number comes twice."""

import asyncio
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.journal import slate
from gateway.journal.opening import SKIPPED, boot_id
from tests.support.journals import by_device, opened, waiting
from tests.support.shown_writer import DEVICES, payload

pytestmark = pytest.mark.real_time

ROUNDS = 5


@dataclass
class Seen:
    run: str = ""
    shown: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Device and number by offset."""
    taken: int = 0


def _fill_and_kill(path: Path, sync: str, per_turn: int, seconds: float) -> Seen:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.shown_writer", str(path), sync, str(per_turn)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    seen = Seen(run=child.stdout.readline().split()[1])

    def kill() -> None:
        time.sleep(seconds)
        child.kill()

    with ThreadPoolExecutor(1) as killer:
        killer.submit(kill)
        for line in child.stdout:
            if not line.endswith("\n"):
                continue  # cut by the kill
            match line.split():
                case ["shown", offset, device, seq]:
                    seen.shown[int(offset)] = (device, int(seq))
                case ["taken", offset]:
                    seen.taken = int(offset)
    child.wait()
    child.stdout.close()
    return seen


@pytest.mark.parametrize("sync", ["always", "50ms", "never"])
async def test_what_was_shown_outlives_the_process_once_and_in_order(tmp_path: Path, sync: str) -> None:
    path = tmp_path / "journal.db"
    dice = random.Random(sync)
    runs = set()
    everything: dict[int, tuple[str, int]] = {}
    for _ in range(ROUNDS):
        seconds, per_turn = dice.uniform(0.0, 0.4), dice.choice([1, 3, 100])
        seen = await asyncio.to_thread(_fill_and_kill, path, sync, per_turn, seconds)
        runs.add(seen.run)
        # The same offset never held anything else, in this process or one before it.
        assert all(everything.get(offset, each) == each for offset, each in seen.shown.items())
        everything |= seen.shown
        # Killed in the middle of a write: whether that was shown nobody knows, and its numbers are not used again.
        sides = slate.read(path)
        skipped = SKIPPED if sides and sides[-1].torn else 0
        async with opened(path, boot=boot_id()) as journal:
            assert journal.run == seen.run
            records = await waiting(journal)
            cursor = journal.readings.cursor("mqtt")
            assert [each.offset for each in records] == list(range(cursor + 1, cursor + 1 + len(records)))
            assert cursor + len(records) >= max(everything, default=0)
            for each in records:
                assert everything.setdefault(each.offset, (each.device, each.seq)) == (each.device, each.seq)
                assert each.payload == payload(each.seq)
            for device in DEVICES:
                given_out = [seq for name, seq in everything.values() if name == device]
                assert journal.last_seq(device) == (max(given_out) + skipped if given_out else 0)
                assert len(given_out) == len(set(given_out))
            for device, seqs in by_device(records).items():
                last = max(seq for name, seq in everything.values() if name == device)
                assert [seq % SKIPPED for seq in seqs] == [*range(seqs[0] % SKIPPED, last % SKIPPED + 1)]
    assert len(runs) == 1
    assert len(everything) > 100
