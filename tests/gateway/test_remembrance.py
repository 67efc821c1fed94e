import asyncio
import json
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.model import Stamp
from gateway.remembrance import PATIENCE_S, RESTLESS_S, RETRY_S, WEIGHTY_S, Remembrance
from tests.support.scripted_driver import loop_clock

DAY_NS = 86_400 * 10**9
HALF_WAY = Stamp(1_800_000_000 * 10**9, 5000.0)


class Book:
    """What is to be remembered, and when somebody asked for it: each time it is written."""

    def __init__(self) -> None:
        self.content: Mapping[str, Any] = {"page": 1}
        self.asked: list[float] = []

    def parts(self) -> Mapping[str, Any]:
        self.asked.append(asyncio.get_running_loop().time())
        return self.content


def remembrance(folder: Path, book: Book, *, boot: str = "this") -> Remembrance:
    return Remembrance(folder / "rules.json", boot, loop_clock, book.parts)


@asynccontextmanager
async def running(folder: Path, book: Book) -> AsyncIterator[Remembrance]:
    kept = remembrance(folder, book)
    task = asyncio.create_task(kept.run())
    try:
        yield kept
    finally:
        task.cancel()
        await asyncio.wait([task])
        await kept.close()


def pages(folder: Path) -> Any:
    return json.loads((folder / "rules.json").read_bytes())["parts"]


async def test_what_was_noted_is_found_by_the_next_process(tmp_path: Path) -> None:
    book = Book()
    async with running(tmp_path, book) as kept:
        kept.note(weighty=False)
        await kept.settled()
        assert pages(tmp_path) == {"page": 1}
        book.content = {"page": 2}
    again = remembrance(tmp_path, book)
    memento = again.found()
    await again.close()
    assert memento is not None
    assert memento.parts == {"page": 2}
    assert (tmp_path / "rules.json").stat().st_mode & 0o777 == 0o600


async def test_where_nothing_is_kept_nothing_goes_round_either() -> None:
    kept = Remembrance(None, "this", loop_clock, dict)
    kept.note(weighty=True)
    async with asyncio.timeout(3 * WEIGHTY_S):
        await kept.run()
    await kept.close()


async def test_whoever_waits_for_what_is_light_gets_it_written_and_does_not_blame_the_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = Book()
    async with running(tmp_path, book) as kept:
        for page in (1, 2, 3):
            book.content = {"page": page}
            kept.note(weighty=False)
            await kept.settled()
            assert pages(tmp_path) == {"page": page}
    assert caplog.text == ""


async def test_nothing_is_kept_beside_a_journal_in_memory() -> None:
    book = Book()
    kept = Remembrance(None, "this", loop_clock, book.parts)
    assert kept.found() is None
    kept.note(weighty=True)
    await kept.settled()
    await kept.close()
    assert book.asked == []


@pytest.mark.parametrize(
    ("boot", "later", "outage_s"),
    [
        pytest.param("this", Stamp(HALF_WAY.wall_ns + 7 * 10**9, 5007.0), 7, id="same boot"),
        pytest.param("this", Stamp(HALF_WAY.wall_ns + DAY_NS, 5007.0), 7, id="same boot, wall clock set ahead"),
        pytest.param("this", Stamp(0, 5007.0, synchronised=False), 7, id="same boot, no time yet"),
        pytest.param("other", Stamp(HALF_WAY.wall_ns + 90 * 10**9, 12.0), 90, id="other boot"),
        pytest.param("other", Stamp(0, 12.0, synchronised=False), 0, id="other boot, no time yet"),
        pytest.param("other", Stamp(HALF_WAY.wall_ns - DAY_NS, 12.0), 0, id="other boot, wall clock set back"),
    ],
)  # fmt: skip
async def test_outage_is_as_long_as_can_be_known(
    tmp_path: Path, boot: str, later: Stamp, outage_s: float
) -> None:
    path = tmp_path / "rules.json"
    before = Remembrance(path, "this", lambda: HALF_WAY, dict)
    await before.close()
    after = Remembrance(path, boot, lambda: later, dict)
    memento = after.found()
    await after.close()
    assert memento is not None
    assert memento.outage_s == pytest.approx(outage_s)


async def test_time_written_by_an_unset_clock_tells_no_outage(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    before = Remembrance(path, "this", lambda: HALF_WAY._replace(synchronised=False), dict)
    await before.close()
    later = Stamp(HALF_WAY.wall_ns + 90 * 10**9, 12.0)
    after = Remembrance(path, "other", lambda: later, dict)
    memento = after.found()
    await after.close()
    assert memento is not None
    assert memento.outage_s == 0


GOOD = b'{"version":1,"boot":"this","mono":1.0,"wall_ns":1,"synchronised":true,"parts":{}}'


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 200, GOOD[:-1], b"[]", b"3", b"null", GOOD.replace(b'"version":1', b'"version":2'),
        GOOD.replace(b'"mono":1.0,', b""), GOOD.replace(b'"mono":1.0', b'"mono":"soon"'),
        GOOD.replace(b'"wall_ns":1', b'"wall_ns":null'), GOOD.replace(b',"parts":{}', b""), b"\xff\xfe",
    ],
)  # fmt: skip
async def test_file_that_nobody_here_wrote_is_set_aside_and_said_so(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rules.json"
    path.write_bytes(content)
    kept = remembrance(tmp_path, Book())
    assert kept.found() is None
    assert (tmp_path / "rules.json.unreadable").read_bytes() == content
    assert not path.exists()
    assert "it is set aside as" in caplog.text
    assert "Error(" not in caplog.text
    await kept.close()
    assert pages(tmp_path) == {"page": 1}


async def test_file_as_it_is_written_is_not_set_aside(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_bytes(GOOD)
    kept = remembrance(tmp_path, Book())
    assert kept.found() is not None
    await kept.close()


async def test_full_disk_is_said_once_and_it_is_written_again_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    book = Book()
    async with running(tmp_path, book) as kept:
        kept.note(weighty=True)
        await kept.settled()
        full = tmp_path / "rules.json.new"
        full.symlink_to("/dev/full")
        book.content = {"page": 2}
        for _ in range(20):
            kept.note(weighty=True)
            await kept.settled()  # no alert waits for a disk that is full
            await asyncio.sleep(RETRY_S / 5)
        assert pages(tmp_path) == {"page": 1}
        assert caplog.text.count("cannot be written to") == 1
        assert "No space left on device" in caplog.text
        assert len(book.asked) <= 2 + 20 / 5
        full.unlink()
        await asyncio.sleep(RETRY_S + 1)
        assert pages(tmp_path) == {"page": 2}
        assert caplog.text.count("again") == 1


async def test_folder_that_is_gone_is_no_reason_to_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = Book()
    kept = remembrance(tmp_path / "gone", book)
    assert kept.found() is None
    await kept.close()
    assert caplog.text.count("cannot be written to") == 1


@pytest.mark.real_time
async def test_disk_that_hangs_holds_nobody_up_for_long(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fifo = tmp_path / "rules.json.new"
    os.mkfifo(fifo)  # whoever opens it to write waits until somebody reads
    book = Book()
    async with asyncio.timeout(20 * PATIENCE_S), running(tmp_path, book) as kept:
        kept.note(weighty=True)
        await kept.settled()
        await kept.settled()
        assert "the disk does not answer" in caplog.text
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        fifo.unlink()
        while not (tmp_path / "rules.json").exists():
            kept.note(weighty=True)
            await kept.write()
            await asyncio.sleep(0)
        os.close(reader)
        assert pages(tmp_path) == {"page": 1}


async def test_value_that_flickers_does_not_wear_out_the_card(tmp_path: Path) -> None:
    book = Book()
    async with running(tmp_path, book) as kept:
        await asyncio.sleep(1)
        for _ in range(6000):
            kept.note(weighty=False)
            await asyncio.sleep(0.01)
        assert book.asked[0] == pytest.approx(1)  # the first is at once
        pauses = [later - earlier for earlier, later in zip(book.asked, book.asked[1:], strict=False)]
        assert min(pauses) >= RESTLESS_S
        assert max(pauses) < RESTLESS_S + 0.1


async def test_alert_is_written_down_at_once_while_values_flicker(tmp_path: Path) -> None:
    book = Book()
    async with running(tmp_path, book) as kept:
        for _ in range(100):
            kept.note(weighty=False)
            await asyncio.sleep(0.01)
        assert len(book.asked) == 1
        book.content = {"page": 2}
        kept.note(weighty=True)
        await kept.settled()
        assert pages(tmp_path) == {"page": 2}
        assert len(book.asked) == 2
        for _ in range(1000):
            kept.note(weighty=True)
            await asyncio.sleep(0.001)
        assert len(book.asked) <= 2 + 1.0 / WEIGHTY_S + 1


WRITER = """
import asyncio, sys
from pathlib import Path
from gateway.clock import system_clock
from gateway.remembrance import Remembrance

async def main():
    page = 0
    def parts():
        return {"page": page, "ballast": [page] * 20_000}
    kept = Remembrance(Path(sys.argv[1]), "this", system_clock, parts)
    while True:
        page += 1
        await kept.write()
        print(page, flush=True)

asyncio.run(main())
"""


@pytest.mark.real_time
async def test_whoever_kills_it_finds_the_new_file_or_the_old_one_whole(tmp_path: Path) -> None:
    dice = random.Random(7)
    path = tmp_path / "rules.json"
    for _ in range(12):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        await writer.stdout.readline()
        await asyncio.sleep(dice.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        said = await writer.stdout.read()
        await writer.wait()
        last = int(said.split()[-1]) if said else 1
        found = json.loads(path.read_bytes())["parts"]
        assert found["page"] in (last, last + 1)
        assert found["ballast"] == [found["page"]] * 20_000
