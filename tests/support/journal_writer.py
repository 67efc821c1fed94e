"""A process that uses a journal as the gateway does, and says what it has done.

    python -m tests.support.journal_writer JOURNAL MARKS SYNC SECONDS

SYNC: seconds, `always` or `never`. Its marks, each written right after what it tells of (`delivered`: right before):
    run RUN
    kept WHEN DEVICE SEQ       by `append`; WHEN is `time.time()`
    seen DEVICE SEQ            by whoever reads from the journal, and so perhaps by everybody
    delivered DEVICE SEQ       the broker has it: it may go
    late SECONDS               it was woken so much later than it had asked for: the machine is busy
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from gateway.journal.journal import Journal
from gateway.journal.record import Entry
from gateway.journal.store import Limits

DEVICES = ("boiler", "gps", "Kühlraum")
BROKER = "mqtt"
LIMITS = Limits(max_size=10**8)
SYNC_S = {"always": 0.0, "never": None}


def payload(device: str, seq: int) -> bytes:
    return f"{device} {seq} ".encode() + b"x" * (seq * 7 % 300)


async def main(path: str, marks: str, sync: str, seconds: str) -> None:
    dice = random.Random(path)
    file = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(lines: Iterable[str]) -> None:
        os.write(file, "".join(f"{line}\n" for line in lines).encode())

    async def deliver() -> None:
        offset = journal.readings.cursor(BROKER)
        while records := await journal.readings.after(BROKER, offset, limit=dice.choice([1, 10, 100])):
            say(f"seen {each.device} {each.seq}" for each in records)
            await asyncio.sleep(dice.choice([0, 0.001, 0.001, 0.001, dice.uniform(0, 1)]))  # it may be away
            offset = records[-1].offset
            say(f"delivered {each.device} {each.seq}" for each in records)
            journal.readings.commit(BROKER, offset)

    sync_s = SYNC_S[sync] if sync in SYNC_S else float(sync)
    async with Journal.open(
        Path(path), readers=[BROKER], limits=LIMITS, sync_s=sync_s, boot="before"
    ) as journal:
        say([f"run {journal.run}"])
        end = time.time() + float(seconds)
        latest_s = 0.0
        async with asyncio.TaskGroup() as group:
            delivering = group.create_task(deliver())
            while time.time() < end:
                entries = []
                for device in dice.sample(DEVICES, dice.randint(1, len(DEVICES))):
                    last = journal.last_seq(device)
                    entries += [
                        Entry(device, last + number, payload(device, last + number))
                        for number in range(1, dice.choice([1, 1, 1, 20]) + 1)
                    ]
                await journal.append(entries)
                now = time.time()
                say(f"kept {now:.6f} {each.device} {each.seq}" for each in entries)
                pause_s = dice.choice([0, 0.002, 0.01, 0.05])
                await asyncio.sleep(pause_s)
                if (late_s := time.time() - now - pause_s) > latest_s:
                    latest_s = late_s
                    say([f"late {late_s:.6f}"])
            delivering.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
