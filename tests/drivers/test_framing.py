"""Lines out of a stream, whatever its pieces."""

import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.framing import Headed, Kind, Lines

streams = st.lists(
    st.binary(max_size=20) | st.sampled_from([b"\r", b"\n", b"\r\n", b"\n\r", b"word", b"a longer line"]),
    max_size=20,
).map(b"".join)
splits = st.lists(st.integers(0, 400), max_size=12)


def lines(chunks: Iterable[bytes], max_length: int) -> tuple[list[tuple[int, bytes]], int]:
    framer = Lines(max_length)
    found = [line for chunk in chunks for line in framer.feed(chunk)]
    return [*found, *framer.finish()], framer.overlong


def naive(stream: bytes, max_length: int) -> tuple[list[tuple[int, bytes]], int]:
    """With the whole stream at hand."""
    every = [(match.start(), match[0]) for match in re.finditer(rb"[^\r\n]+", stream)]
    good = [(offset, line) for offset, line in every if len(line) <= max_length]
    return good, len(every) - len(good)


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    return [stream[first:last] for first, last in pairwise(edges)]


@given(stream=streams, places=splits, max_length=st.integers(1, 30))
def test_lines_are_those_of_the_whole_stream(stream: bytes, places: list[int], max_length: int) -> None:
    assert lines(cut(stream, places), max_length) == naive(stream, max_length)
    assert lines([bytes([byte]) for byte in stream], max_length) == naive(stream, max_length)


@given(stream=streams, places=splits)
def test_offset_is_where_the_line_stands(stream: bytes, places: list[int]) -> None:
    found, _ = lines(cut(stream, places), 30)
    for offset, line in found:
        assert stream[offset : offset + len(line)] == line


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"one\ntwo\n"], [(0, b"one"), (4, b"two")]),
        ([b"one\rtwo\r"], [(0, b"one"), (4, b"two")]),
        ([b"one\r\ntwo\r\n"], [(0, b"one"), (5, b"two")]),
        ([b"one\r", b"\ntwo"], [(0, b"one"), (5, b"two")]),
        ([b"one", b"\r", b"\n", b"two"], [(0, b"one"), (5, b"two")]),
        ([b"\n\r\n\r"], []),
        ([b"on", b"e", b"", b"\ntwo"], [(0, b"one"), (4, b"two")]),
        ([b"a\x0bb\x0cc\x1cd\x85e\xe2\x80\xa8f\n"], [(0, b"a\x0bb\x0cc\x1cd\x85e\xe2\x80\xa8f")]),
        ([b""], []),
        ([], []),
    ],
)
def test_line_ends_with_cr_or_lf_or_both(chunks: list[bytes], expected: list[tuple[int, bytes]]) -> None:
    assert lines(chunks, 100) == (expected, 0)


def test_line_is_there_as_soon_as_its_first_end_is() -> None:
    framer = Lines(100)
    assert list(framer.feed(b"one")) == []
    assert list(framer.feed(b"\r")) == [(0, b"one")]
    assert list(framer.feed(b"\n")) == []
    assert list(framer.finish()) == []


@pytest.mark.parametrize(
    "chunks",
    [
        [b"12345678\nok\n"],
        [b"1234567", b"8\nok\n"],
        [b"12345678", b"\nok\n"],
        [b"1234", b"567890", b"12345", b"\r", b"\nok\n"],
        [b"12345678\rok"],
    ],
)
def test_overlong_line_is_given_up_once_and_the_next_one_comes(chunks: list[bytes]) -> None:
    found, overlong = lines(chunks, 7)
    assert [line for _, line in found] == [b"ok"]
    assert overlong == 1


def test_overlong_line_without_an_end_is_no_line() -> None:
    assert lines([b"12345678", b"9"], 7) == ([], 1)


def test_two_overlong_lines_are_two() -> None:
    assert lines([b"12345678\n12345678\n", b"1234567\n"], 7) == ([(18, b"1234567")], 2)


def test_unfinished_line_is_held_up_to_the_longest_and_no_further() -> None:
    framer = Lines(1000)
    for _ in range(1000):
        list(framer.feed(b"x" * 999))
        assert len(framer._rest) <= 1000


def test_stream_may_go_on_after_its_last_line_was_taken() -> None:
    framer = Lines(100)
    assert [*framer.feed(b"one"), *framer.finish()] == [(0, b"one")]
    assert list(framer.feed(b"\ntwo\n")) == [(4, b"two")]


# Frames by their header


def fault(frame: bytes) -> str:
    return "" if frame[-1] == sum(frame[:-1]) & 0xFF else "checksum"


KINDS = {b"ab": Kind(4, fault), b"xyz": Kind(6, fault)}
SHORT = b"ab\x00\xc3"
LONG = b"xyz\x00\x00\x6b"

headed_streams = st.lists(
    st.sampled_from([SHORT, LONG, b"a", b"ab", b"ab\x00\x00", b"xy", b"xyz\x01", b"abab\x00\xc3"])
    | st.binary(max_size=5),
    max_size=20,
).map(b"".join)


def headed(*chunks: bytes) -> tuple[list[tuple[int, bytes]], dict[str, int]]:
    framer = Headed(KINDS)
    found = [each for chunk in chunks for each in framer.feed(chunk)]
    return [(offset, frame) for offset, _, frame in [*found, *framer.finish()]], dict(framer.rejected)


@pytest.mark.parametrize(
    ("stream", "frames", "rejected"),
    [
        (SHORT + LONG, [(0, SHORT), (4, LONG)], {}),
        (b"??" + SHORT + b"?" + LONG, [(2, SHORT), (7, LONG)], {"no header": 2}),
        (b"ab\x00\x00" + SHORT, [(4, SHORT)], {"checksum": 1}),
        (b"ab" + SHORT, [(2, SHORT)], {"checksum": 1}),
        (b"ab\x00\x00??" + SHORT, [(6, SHORT)], {"checksum": 1, "no header": 1}),
        (b"xyz" + SHORT, [(3, SHORT)], {"checksum": 1}),
        (b"xyz" + SHORT[:3], [], {"checksum": 1}),
        (SHORT + LONG[:5], [(0, SHORT)], {}),
        (LONG[:5], [], {}),
        (SHORT + b"x", [(0, SHORT)], {}),
    ],
)
def test_headed_frames_are_found_and_the_rest_is_counted(
    stream: bytes, frames: list[tuple[int, bytes]], rejected: dict[str, int]
) -> None:
    assert headed(stream) == (frames, rejected)


@given(stream=headed_streams, places=splits)
def test_headed_frames_and_counts_are_the_same_in_any_split(stream: bytes, places: list[int]) -> None:
    assert headed(*cut(stream, places)) == headed(stream)


@given(st.lists(st.sampled_from([SHORT, LONG, b"a", b"xy", b"ab"]), max_size=20))
def test_every_headed_frame_comes_that_no_other_ones_bytes_hide(pieces: list[bytes]) -> None:
    whole = [piece for piece in pieces if len(piece) > len(b"ab")]
    found = iter([frame for _, frame in headed(b"".join(pieces))[0]])
    assert all(frame in found for frame in whole)
