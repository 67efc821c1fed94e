"""A process that fills a journal and says on standard output what anybody may have seen of it.

    python -m tests.support.shown_writer PATH SYNC PER_TURN

Lines: `run RUN`, then `shown OFFSET DEVICE SEQ` for each record that a reader was given, and `taken OFFSET` when
it has committed. Half of what it is given, that is: so there are always some that wait.
"""

import asyncio
import sys
from pathlib import Path

from gateway.journal.journal import Journal
from gateway.journal.record import Entry
from gateway.journal.store import Limits

DEVICES = ("boiler", "gps", "Kühlraum")


def payload(seq: int, size: int = 130) -> bytes:
    """What the reading of this number says: nothing else may come back under it."""
    return b'{"seq":%d,"x":"%s"}' % (seq, b"x" * (size + seq % 50))


async def main(path: str, sync: str, per_turn: str) -> None:
    sync_s = {"always": 0.0, "never": None}.get(sync, 0.05)
    limits = Limits(max_size=10**9)
    async with (
        Journal.open(Path(path), readers=["mqtt"], limits=limits, sync_s=sync_s) as journal,
        asyncio.TaskGroup() as group,
    ):
        _say(f"run {journal.run}")
        group.create_task(_read(journal))
        while True:
            for device in DEVICES:
                first = journal.last_seq(device) + 1
                numbers = range(first, first + int(per_turn))
                await journal.append([Entry(device, seq, payload(seq)) for seq in numbers])
            await asyncio.sleep(0)


async def _read(journal: Journal) -> None:
    offset = journal.readings.cursor("mqtt")
    while records := await journal.readings.after("mqtt", offset, limit=100):
        for record in records:
            offset = record.offset
            _say(f"shown {offset} {record.device} {record.seq}")
        taken = (journal.readings.cursor("mqtt") + offset) // 2
        journal.readings.commit("mqtt", taken)
        _say(f"taken {taken}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
