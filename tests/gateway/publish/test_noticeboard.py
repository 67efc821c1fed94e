import asyncio

from gateway.publish.noticeboard import Noticeboard
from gateway.publish.publisher import Message


def notice(topic: str, payload: bytes = b"") -> Message:
    return Message(topic, payload, retain=True)


async def due(board: Noticeboard) -> list[Message]:
    return [await board.next() for _ in range(len(board))]


async def test_notices_come_in_the_order_of_their_posting() -> None:
    board = Noticeboard()
    for topic in "abc":
        board.post(notice(topic))
    assert await due(board) == [notice("a"), notice("b"), notice("c")]
    assert len(board) == 0


async def test_only_the_newest_notice_on_a_topic_counts() -> None:
    board = Noticeboard()
    board.post(notice("a", b"1"))
    board.post(notice("b"))
    board.post(notice("a", b"2"))
    assert await due(board) == [notice("a", b"2"), notice("b")]


async def test_new_connection_wants_all_of_them_in_their_newest_form() -> None:
    board = Noticeboard()
    board.post(notice("a", b"1"))
    board.post(notice("b"))
    await due(board)
    board.post(notice("a", b"2"))
    board.repost_all()
    assert await due(board) == [notice("a", b"2"), notice("b")]
    board.repost_all()
    assert len(board) == 2


async def test_board_knows_what_the_broker_has_taken_of_the_newest() -> None:
    board = Noticeboard()
    older, newer = notice("a", b"1"), notice("a", b"2")
    board.post(older)
    board.post(newer)
    board.seen(older)
    assert not board.has_taken("a")
    board.seen(newer)
    assert board.has_taken("a")
    board.clear("a")
    assert not board.has_taken("a")
    [clearing] = await due(board)
    board.seen(clearing)
    assert board.has_taken("a")
    board.repost_all()
    assert len(board) == 0
    board.take_down_all()
    assert not board.has_taken("a")


async def test_reader_of_an_empty_board_waits_for_the_next_notice() -> None:
    board = Noticeboard()
    reading = asyncio.create_task(board.next())
    await asyncio.sleep(1)
    assert not reading.done()
    board.post(notice("a"))
    assert await reading == notice("a")


async def test_reader_that_is_cancelled_takes_no_notice_away() -> None:
    board = Noticeboard()
    reading = asyncio.create_task(board.next())
    await asyncio.sleep(1)
    board.post(notice("a"))
    reading.cancel()
    await asyncio.wait([reading])
    assert await due(board) == [notice("a")]


async def test_notice_that_is_to_clear_a_topic_is_repeated_until_it_was_taken_itself() -> None:
    board = Noticeboard()
    board.post(said := notice("a", b"1"))
    board.clear("a")
    board.seen(said)
    assert await due(board) == [notice("a")]
    board.seen(said)
    board.repost_all()
    [cleared] = await due(board)
    board.seen(cleared)
    board.repost_all()
    assert len(board) == 0
