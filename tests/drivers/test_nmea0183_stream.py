"""Sentences out of a stream: cut, glued, damaged, in any split."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.driver import Frame
from drivers.nmea0183 import codec
from drivers.nmea0183.codec import LONGEST, Sentences
from drivers.nmea0183.simulator import sentence

HEADING = sentence("HEHDT,274.07,T")
DEPTH = sentence("SDDPT,2.4,0.5")
AIS = b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r\n"
CLEAN = [HEADING, DEPTH, AIS, sentence("PSRFEPE,053229.438,V,,,,,"), sentence("WIMWV,27,R,10.2,N,A")]

noise = st.binary(max_size=60) | st.sampled_from(
    [
        b"$",
        b"$$",
        b"!",
        b"$GP",
        b"$GPGGA",
        b"$GPGGA,1,2",
        b"*47",
        b"*47\r\n",
        b"\x00" * 12,
        b"\xb5b\x01\x07\x5c\x00",
    ]
)
splits = st.lists(st.integers(0, 4000), max_size=12)


def decoded(chunks: Iterable[bytes], *, require_checksum: bool = True) -> tuple[list[Frame], Sentences]:
    decoder = Sentences(require_checksum=require_checksum)
    frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return [*frames, *decoder.finish()], decoder


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    return [stream[first:last] for first, last in pairwise(edges)]


@given(st.lists(st.sampled_from(CLEAN) | noise, max_size=12).map(b"".join), splits, st.booleans())
def test_any_split_gives_the_same_frames_and_counts(stream: bytes, places: list[int], strict: bool) -> None:
    whole, at_once = decoded([stream], require_checksum=strict)
    in_pieces, piecewise = decoded(cut(stream, places), require_checksum=strict)
    assert in_pieces == whole
    assert piecewise.rejected == at_once.rejected
    assert piecewise.dropped == at_once.dropped


@given(st.text("$!GPRA,*4E\r\n\x00\xe9", max_size=160).map(lambda text: text.encode("latin-1")), splits)
def test_any_split_gives_the_same_where_sentences_are_given_up(stream: bytes, places: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "LONGEST", 12)
        whole, at_once = decoded([stream])
        in_pieces, piecewise = decoded(cut(stream, places))
        bytewise_frames, bytewise = decoded(bytes([byte]) for byte in stream)
    assert in_pieces == bytewise_frames == whole
    assert piecewise.rejected == bytewise.rejected == at_once.rejected
    assert piecewise.dropped == bytewise.dropped == at_once.dropped


@given(st.lists(st.binary(max_size=200)))
def test_arbitrary_bytes_raise_nothing_and_are_located_where_they_are(chunks: list[bytes]) -> None:
    stream = b"".join(chunks)
    frames, _ = decoded(chunks, require_checksum=False)
    for frame in frames:
        assert stream[frame.offset : frame.offset + frame.length][1:].startswith(frame.id.encode())


@given(
    st.lists(st.tuples(noise | st.binary(min_size=1100, max_size=1200), st.sampled_from(CLEAN)), max_size=8)
)
def test_noise_between_sentences_costs_none(parts: list[tuple[bytes, bytes]]) -> None:
    stream = b"".join(dirt + good for dirt, good in parts)
    found = [stream[frame.offset :][: frame.length] for frame in decoded([stream])[0]]
    assert [line for line in found if line + b"\r\n" in CLEAN] == [good.rstrip() for _, good in parts]


@given(st.lists(st.sampled_from(CLEAN), min_size=1, max_size=6), st.data())
def test_flipped_byte_costs_at_most_the_sentence_it_is_in(lines: list[bytes], data: st.DataObject) -> None:
    hit = data.draw(st.integers(0, len(lines) - 1))
    place = data.draw(st.integers(0, len(lines[hit]) - 1))
    flip = data.draw(st.integers(1, 255))
    damaged = bytearray(lines[hit])
    damaged[place] ^= flip
    frames, decoder = decoded([b"".join([*lines[:hit], bytes(damaged), *lines[hit + 1 :]])])
    others = [*lines[:hit], *lines[hit + 1 :]]
    expected = [(line[1:].split(b",")[0].decode()) for line in lines]
    without = [(line[1:].split(b",")[0].decode()) for line in others]
    assert [frame.id for frame in frames] in (expected, without)
    if len(frames) == len(lines):
        # Only the start, the line end or the case of the checksum can change unnoticed.
        assert place in (0, len(damaged) - 4, len(damaged) - 3, len(damaged) - 2, len(damaged) - 1)
    assert decoder.rejected.total() + decoder.dropped.total() <= 1


def test_sentence_is_found_wherever_it_starts() -> None:
    stream = b"u-blox\x00\xff" + DEPTH + b"\r\n\r\n$" + HEADING + b"\\s:r3669*6B\\" + AIS
    frames, decoder = decoded([stream])
    assert [(frame.id, frame.offset, frame.length) for frame in frames] == [
        ("SDDPT", stream.index(b"$SD"), len(DEPTH) - 2),
        ("HEHDT", stream.index(b"$HE"), len(HEADING) - 2),
        ("AIVDM", stream.index(b"!AI"), len(AIS) - 2),
    ]
    assert not decoder.rejected
    assert not decoder.dropped


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\n\r", b"\x00", b"  \r\n", b"$HEHDT,"])
def test_sentence_ends_with_its_line_or_with_what_cannot_be_in_one(end: bytes) -> None:
    decoder = Sentences()
    (frame,) = decoder.feed(DEPTH.rstrip() + end)
    assert frame.values == {"depth": 2.4, "offset": 0.5}


def test_sentence_is_not_believed_before_it_has_ended() -> None:
    decoder = Sentences()
    assert decoder.feed(DEPTH.rstrip()) == []
    assert len(decoder.feed(b"\r")) == 1
    assert decoder.feed(b"\n") == []


@pytest.mark.parametrize("digits", [b"2E", b"2e"])
def test_checksum_may_be_in_either_case(digits: bytes) -> None:
    frames, _ = decoded([b"$HEHDT,274.0,T*" + digits + b"\r\n"])
    assert len(frames) == 1


@pytest.mark.parametrize("damage", [b"*00", b"*7", b"*+4", b"*4G", b"*", b"", b"*4B*00"])
def test_sentence_without_its_checksum_gives_nothing(damage: bytes) -> None:
    frames, decoder = decoded([HEADING[:-5] + damage + b"\r\n", DEPTH])
    assert [frame.id for frame in frames] == ["SDDPT"]
    counted = decoder.rejected if damage.endswith(b"*00") else decoder.dropped
    assert counted == {"checksum" if damage.endswith(b"*00") else "no checksum": 1}


def test_sentence_cut_by_the_next_costs_only_itself() -> None:
    frames, decoder = decoded([b"$GPGSV,3,1,12,23,87,270,,13,68" + HEADING + b"$SDDPT,2" + DEPTH])
    assert [frame.id for frame in frames] == ["HEHDT", "SDDPT"]
    assert decoder.dropped == {"no checksum": 2}
    assert not decoder.rejected


def test_two_sentences_on_one_line_are_two() -> None:
    frames, _ = decoded([HEADING.rstrip() + DEPTH])
    assert [frame.id for frame in frames] == ["HEHDT", "SDDPT"]


def test_start_character_inside_a_right_sentence_does_not_cut_it() -> None:
    frames, _ = decoded([sentence("GPTXT,01,01,02,Price $5! Buy$GP!")])
    assert [frame.values for frame in frames] == [{"text": "Price $5! Buy$GP!"}]


def test_lines_without_checksum_are_accepted_where_the_options_say_so() -> None:
    lines = [
        b"$SDDPT,2.4,0.5\r\n",
        b"$HEHDT,274.0*7\r\n",
        b"$SDDPT,3.1$HEHDT,1",
        b"\x00",
        HEADING,
        b"$SDDPT,9*00\r\n",
    ]
    frames, decoder = decoded(lines, require_checksum=False)
    assert [frame.values for frame in frames] == [
        {"depth": 2.4, "offset": 0.5},
        {"heading_true": 274.0},
        {"heading_true": 274.07},
    ]
    assert decoder.dropped == {
        "no checksum": 2
    }  # cut by the next sentence and by the NUL: they are not whole
    assert decoder.rejected == {"checksum": 1}


@pytest.mark.parametrize(
    ("tail", "ids"),
    [
        (DEPTH.rstrip(), ["SDDPT"]),
        (DEPTH[:-3], []),
        (DEPTH[:-5], []),
        (b"$SDDPT,2.4,0.5*00", []),
        (b"$SD", []),
        (b"", []),
    ],
)
def test_end_of_the_stream_completes_only_a_sentence_with_its_checksum(tail: bytes, ids: list[str]) -> None:
    decoder = Sentences()
    assert len(decoder.feed(HEADING + tail)) == 1
    assert [(frame.id, frame.offset, frame.length) for frame in decoder.finish()] == [
        (name, len(HEADING), len(tail)) for name in ids
    ]
    assert decoder.finish() == []
    assert not decoder.rejected
    assert not decoder.dropped
    (later,) = decoder.feed(HEADING)
    assert later.offset == len(HEADING + tail)


@pytest.mark.parametrize("chunk", [1, 100, 1 << 20])
def test_endless_line_is_given_up_and_forgotten(chunk: int) -> None:
    decoder = Sentences()
    stream = b"$GPTXT," + b"x" * 100_000 + b"$HE"
    held = 0
    for first in range(0, len(stream), chunk):
        assert decoder.feed(stream[first : first + chunk]) == []
        held = max(held, len(decoder._held))
    assert held <= LONGEST + 20
    assert decoder.rejected == {"too long": 1}
    assert [frame.id for frame in decoder.feed(HEADING[3:])] == ["HEHDT"]


def test_noise_is_not_held() -> None:
    decoder = Sentences()
    for junk in (b"x", b"$", b"\xff", b"$$$$", b"$GPGPGPGPGPGPGPGPGPGPGP"):
        for _ in range(5000):
            assert decoder.feed(junk) == []
            assert len(decoder._held) <= 20
    assert not decoder.rejected


@pytest.mark.parametrize(("size", "accepted"), [(LONGEST, True), (LONGEST + 1, False)])
def test_longest_sentence(size: int, accepted: bool) -> None:
    line = sentence("PTEST," + "x" * (size - 10)).rstrip()
    assert len(line) == size
    frames, decoder = decoded([line + b"\r\n"])
    assert len(frames) == accepted
    assert decoder.rejected == ({} if accepted else {"too long": 1})


def test_longest_sentence_survives_a_split_in_the_start_of_the_next() -> None:
    line = sentence("PTEST," + "x" * (LONGEST - 10)).rstrip()
    frames, decoder = decoded([line + HEADING[:6], HEADING[6:]])
    assert [frame.id for frame in frames] == ["PTEST", "HEHDT"]
    assert not decoder.rejected
