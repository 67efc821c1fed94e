"""M-Bus telegrams in a stream, and the application layer's headers."""

import random
from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.driver import Frame, Names
from drivers.mbus.codec import Answers
from drivers.mbus.link import LONGEST, long, short

HEADER = bytes.fromhex("78563412 2D2C 08 04 2A 10 0000")
WATER = bytes.fromhex("03 13 15 31 00")
ANSWER = long(0x08, 5, 0x72, HEADER + WATER)


def decoded(*chunks: bytes, names: Names = "readable") -> tuple[list[Frame], Counter[str]]:
    decoder = Answers(names)
    frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return [*frames, *decoder.finish()], decoder.rejected


def values(telegram: bytes, names: Names = "readable") -> dict[str, object]:
    [frame], rejected = decoded(telegram, names=names)
    assert not rejected
    return dict(frame.values)


def reason(telegram: bytes) -> str:
    frames, rejected = decoded(telegram)
    assert not frames
    [(reason, count)] = rejected.items()
    assert count == 1
    return reason


def test_all_four_formats_are_frames_and_only_answers_have_values() -> None:
    stream = short(0x40, 5) + b"\xe5" + short(0x7B, 5) + ANSWER
    frames, rejected = decoded(stream)
    assert [(frame.offset, frame.length, frame.id) for frame in frames] == [
        (0, 5, "short"),
        (5, 1, "ack"),
        (6, 5, "short"),
        (11, len(ANSWER), "12345678"),
    ]
    assert [frame.values for frame in frames] == [{}, {}, {}, {"status": 16, "volume": 12.565}]
    assert not rejected


def test_identification_is_shown_as_libmbus_shows_it() -> None:
    [frame], _ = decoded(long(0x08, 5, 0x72, bytes.fromhex("02376200 2D2C 08 04 2A 00 0000")))
    assert frame.id == "623702"


@pytest.mark.parametrize(
    ("telegram", "why"),
    [
        (ANSWER[:-2] + b"\x00\x16", "checksum"),
        (ANSWER[:-1] + b"\x17", "stop"),
        (b"\x68\x02\x02\x68\x08\x05\x0d\x16", "length"),
        (b"\x68\x05\x06\x68\x08\x05\x0d\x16", "start"),
        (short(0x40, 5)[:-2] + b"\x00\x16", "checksum"),
        (long(0x08, 5, 0x72, HEADER[:-1]), "cut header"),
        (long(0x08, 5, 0x72, HEADER + WATER[:-1]), "cut record"),
        (long(0x08, 5, 0x73, bytes(15)), "not 16 bytes of fixed structure"),
        (long(0x08, 5, 0x55), "unknown CI"),
        (long(0x53, 5, 0x51, WATER), "not from a meter"),
        (long(0x08, 5, 0x70), "meter: unspecified"),
        (long(0x08, 5, 0x70, b"\x08"), "meter: busy"),
        (long(0x08, 5, 0x70, b"\x63"), "meter: unknown error"),
        (long(0x08, 5, 0x72, HEADER[:-1] + b"\x05" + WATER), "encrypted"),
    ],
)
def test_what_cannot_be_used_is_refused_once_with_its_reason(telegram: bytes, why: str) -> None:
    assert reason(telegram) == why


def test_telegram_behind_a_false_start_is_found() -> None:
    for noise in (b"\x68", b"\x68\x68", b"\x10\x10", b"\x68\xff\xff\x68", b"\xe5\x00\xe5", ANSWER[:9]):
        frames, _ = decoded(noise + ANSWER)
        assert frames[-1].offset == len(noise)
        assert frames[-1].values == {"status": 16, "volume": 12.565}


def test_single_character_counts_only_where_a_telegram_may_begin() -> None:
    frames, _ = decoded(b"\xe5\xe5" + b"noise\xe5" + ANSWER + b"\xe5")
    assert [(frame.offset, frame.id) for frame in frames] == [
        (0, "ack"),
        (1, "ack"),
        (8, "12345678"),
        (8 + len(ANSWER), "ack"),
    ]


def test_unfinished_telegram_at_the_end_is_neither_frame_nor_refusal() -> None:
    for length in range(1, len(ANSWER)):
        assert decoded(ANSWER[:length]) == ([], Counter())


@given(
    st.lists(st.sampled_from([b"\x68", b"\x10", b"\x16", b"\xe5", b"\x03", ANSWER, ANSWER[:7]]), max_size=30)
)
def test_bytes_one_by_one_give_the_same_as_at_once(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    assert decoded(*(bytes([byte]) for byte in stream)) == decoded(stream)


def test_decoder_holds_no_more_than_a_telegram() -> None:
    decoder = Answers("readable")
    chance = random.Random(1)
    starts = [b"\x68\xff\xff\x68", b"\x10", b"\x68", b"\x68\x68\x68\x68"]
    for start, _ in product(starts, range(200)):
        for _ in decoder.feed(start + chance.randbytes(100)):
            pass
        assert len(decoder._telegrams._held) < LONGEST


def test_headers_of_all_kinds_lead_to_the_records() -> None:
    volume = {"volume": 12.565}
    assert values(long(0x08, 5, 0x78, WATER)) == volume
    assert values(long(0x08, 5, 0x7A, b"\x2a\x10\x00\x00" + WATER)) == {"status": 16, **volume}
    high_first = bytes.fromhex("12345678 2C2D 08 04 2A 10 0000") + bytes.fromhex("03 13 00 31 15")
    [frame], _ = decoded(long(0x08, 5, 0x76, high_first))
    assert (frame.id, frame.values) == ("12345678", {"status": 16, **volume})


def test_telegram_without_a_header_is_named_after_its_address() -> None:
    [frame], _ = decoded(long(0x08, 5, 0x78, WATER))
    assert frame.id == "5"


def test_decrypted_records_are_read_whatever_the_configuration_word_says() -> None:
    assert values(long(0x08, 5, 0x72, HEADER[:-1] + b"\x05\x2f\x2f" + WATER))["volume"] == 12.565


@pytest.mark.parametrize(
    ("body", "readable", "protocol"),
    [
        # A water meter's example in the standard: 1 l now, 135 l on the key day
        (
            "78563412 0A 00 E9 7E 01000000 35010000",
            {"status": 0, "volume": 0.001, "volume_s1": 0.135},
            {"?": 1, "?_2": 135},
        ),
        (
            "78563412 0A 01 05 2B 0A000000 F6FFFFFF",
            {"status": 1, "energy": 10, "volume": -1},
            {"?": 10, "?_2": -10},
        ),
        (
            "78563412 0A 02 05 2B 10000000 10000000",
            {"status": 2, "energy_s1": 10, "volume_s1": 1},
            {"?": 10, "?_2": 10},
        ),
        ("78563412 0A 00 0F 20 36000000 AA000000", {"status": 0, "energy": 100}, {"?": 36, "?_2": "AA"}),
        (
            "78563412 0A 00 38 3A 00150200 01000000",
            {"status": 0, "temperature": 21.5, "reserved": 1},
            {"?": 21_500, "?_2": 1},
        ),
    ],
)
def test_fixed_structure_has_two_counters(
    body: str, readable: dict[str, object], protocol: dict[str, object]
) -> None:
    telegram = long(0x08, 5, 0x73, bytes.fromhex(body))
    assert values(telegram) == readable
    assert values(telegram, "protocol") == protocol
    high_first = bytes.fromhex(body)
    high_first = high_first[3::-1] + high_first[4:8] + high_first[11:7:-1] + high_first[:11:-1]
    assert values(long(0x08, 5, 0x77, high_first)) == readable
