import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal import record
from gateway.journal.record import CHUNK_BYTES, CHUNK_RECORDS, Record, Stretch

RECORDS = st.lists(
    st.tuples(st.text(max_size=40), st.integers(0, 2**64 - 1), st.binary(max_size=300)), max_size=30
)


def _numbered(entries: list[tuple[str, int, bytes]], first: int = 1) -> list[Record]:
    return [Record(first + place, *entry) for place, entry in enumerate(entries)]


@given(RECORDS, st.integers(1, 2**60))
def test_what_is_packed_is_unpacked_whatever_its_name(
    entries: list[tuple[str, int, bytes]], first: int
) -> None:
    records = _numbered(entries, first)
    assert record.unpack(record.pack(records), first) == records


@given(st.binary(max_size=400))
def test_noise_is_refused_or_gives_records_that_pack_to_it(noise: bytes) -> None:
    try:
        records = record.unpack(noise, 1)
    except (ValueError, struct.error):
        return
    assert record.pack(records) == noise


@given(RECORDS.filter(bool), st.data())
def test_chunk_that_is_cut_is_refused(entries: list[tuple[str, int, bytes]], data: st.DataObject) -> None:
    records = _numbered(entries)
    packed = record.pack(records)
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]
    try:
        found = record.unpack(cut, 1)
    except (ValueError, struct.error):
        return
    assert found == records[: len(found)]  # at the end of a record
    assert len(found) < len(records)


@given(st.sets(st.integers(1, 3000), max_size=1000))
def test_chunks_are_small_and_have_no_holes(offsets: set[int]) -> None:
    records = [Record(offset, "boiler", offset, b"x" * 900) for offset in sorted(offsets)]
    found = list(record.chunks(records))
    assert [each for chunk in found for each in chunk] == records
    for chunk in found:
        assert 0 < len(chunk) <= CHUNK_RECORDS
        assert sum(len(each.payload) for each in chunk) <= CHUNK_BYTES + 900
        assert chunk[-1].offset - chunk[0].offset == len(chunk) - 1


def test_stretches_say_what_a_chunk_held_of_each_device() -> None:
    entries = [("boiler", 7, b""), ("gps", 1, b""), ("boiler", 8, b""), ("boiler", 11, b"")]
    assert record.stretches(_numbered(entries)) == {"boiler": Stretch(7, 11, 3), "gps": Stretch(1, 1, 1)}


@pytest.mark.parametrize("other", [(b"chunk!", "a"), (b"chunk", "b")])
def test_checksum_tells_chunks_and_journals_apart(other: tuple[bytes, str]) -> None:
    assert record.checksum(b"chunk", "a") != record.checksum(*other)
