"""What is remembered, on a disk that hangs."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.homeassistant import memory
from gateway.homeassistant.memory import Contents, Memory, Seen

PATIENCE_S = 20


@pytest.mark.real_time
async def test_disk_that_hangs_holds_nobody_up_and_gets_one_content_after_the_other_the_last_one_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "PATIENCE_S", 0.05)
    path, fifo = tmp_path / "memory.json", tmp_path / "memory.json.new"
    os.mkfifo(fifo)  # whoever opens it to write waits until somebody reads
    kept = Memory(path)
    assert kept.found() == Contents()
    for name in ("first", "second", "last"):
        await kept.keep(Contents(seen={name: Seen("json readable")}))
    assert [each for each in caplog.messages if "the disk does not answer" in each] == caplog.messages[:1]
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fifo.unlink()
    async with asyncio.timeout(PATIENCE_S):
        while not path.exists():
            await asyncio.sleep(0.01)
    begun = os.read(reader, 4096)
    os.close(reader)
    assert b"first" in begun
    assert b"last" not in begun, "there was one writer"
    assert Memory(path).found().seen.keys() == {"last"}
