import random
from pathlib import Path

import pytest

from gateway.journal import slate
from gateway.journal.slate import KEPT, Chunk, Slate
from tests.support.journals import files_end_at


def _written(path: Path, turns: int) -> None:
    surface = Slate.open(path, 0)
    for turn in range(1, turns + 1):
        surface.turn(b"state %d" % turn)
        for number in range(3):
            surface.write(1, 10 * turn + number, b"x" * (100 // turn))
    surface.close()


def test_two_sides_are_found_again_the_older_one_first(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    _written(path, 5)
    older, newer = slate.read(path)
    assert (older.turn, older.state, newer.turn, newer.state) == (4, b"state 4", 5, b"state 5")
    assert newer.chunks == [Chunk(1, 50 + number, b"x" * 20) for number in range(3)]
    assert (older.torn, newer.torn) == (False, False)


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    _written(path, 4)
    surface = Slate.open(path, slate.read(path)[-1].turn)
    surface.turn(b"again")
    surface.close()
    assert [(side.turn, side.state) for side in slate.read(path)] == [(4, b"state 4"), (5, b"again")]


def test_wiped_slate_and_none_at_all_hold_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    assert slate.read(path) == []
    surface = Slate.open(path, 0)
    surface.turn(b"state")
    surface.wipe()
    surface.close()
    assert slate.read(path) == []


def test_first_turn_alone_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    _written(path, 1)
    [side] = slate.read(path)
    assert (side.turn, len(side.chunks), side.torn) == (1, 3, False)


def test_damage_never_shows_what_was_not_written_and_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    _written(path, 7)
    whole = slate.read(path)
    files = {each: each.read_bytes() for each in slate.paths(path)}
    newest = slate.paths(path)[7 % 2]
    dice = random.Random(7)
    written = sum(25 + len(chunk.body) for chunk in whole[-1].chunks) + 25 + len(whole[-1].state) + 1
    noticed = 0
    for _ in range(300):
        content = bytearray(files[newest])
        content[dice.randrange(1, written)] ^= dice.randrange(1, 256)
        newest.write_bytes(content)
        sides = slate.read(path)
        for side, before in zip(sides, whole[-len(sides) :] if len(sides) == 2 else whole[:1], strict=True):
            assert side.chunks == before.chunks[: len(side.chunks)]
        noticed += sides[-1].torn
    assert noticed > 200  # but for a flip in the turn's own number, which looks like what stood there before


def test_chunk_that_is_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    _written(path, 2)
    newest = slate.paths(path)[0]
    newest.write_bytes(newest.read_bytes()[:-1])
    side = slate.read(path)[-1]
    assert (side.turn, len(side.chunks), side.torn) == (2, 2, True)


@pytest.mark.parametrize("content", [None, b"", b"\0", b"noise" * 100])
def test_side_that_is_lost_is_noticed(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "journal.db"
    _written(path, 6)
    newest = slate.paths(path)[0]
    if content is None:
        newest.unlink()
    else:
        newest.write_bytes(content)
    [side] = slate.read(path)
    assert (side.turn, side.torn) == (5, True)


def test_what_is_shown_after_a_failure_is_noted_where_it_needs_no_room(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    surface = Slate.open(path, 0)
    surface.turn(b"one")
    surface.turn(b"two")
    with files_end_at(1):
        with pytest.raises(OSError, match="too large"):
            surface.write(1, 1, b"x" * 1000)
        with pytest.raises(OSError, match="part of a write"):
            surface.turn(b"three")
        surface.tear()
    assert slate.read(path)[-1].torn
    surface.turn(b"four")
    surface.turn(b"five")
    surface.close()
    assert [(side.state, side.torn) for side in slate.read(path)] == [(b"four", False), (b"five", False)]


def test_side_that_was_large_once_gives_its_room_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    surface = Slate.open(path, 0)
    surface.turn(b"one")
    surface.write(1, 1, bytes(KEPT + 1))
    surface.turn(b"two")
    surface.turn(b"three")
    surface.close()
    assert max(each.stat().st_size for each in slate.paths(path)) <= KEPT
    assert slate.read(path)[-1].state == b"three"
