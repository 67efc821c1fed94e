import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.record import Record
from gateway.publish.batches import MOST_BYTES, MOST_READINGS, PACKET_OVERHEAD, batches


def topic(device: str) -> str:
    return f"p/{device}/batch"


def record(offset: int, device: str, size: int = 20) -> Record:
    return Record(offset, device, offset, b'"%0*d"' % (size - 2, offset))


def test_each_device_gets_an_array_of_its_own_in_order() -> None:
    records = [record(offset, "boiler" if offset % 3 else "gps") for offset in range(1, 10)]
    found = {message.topic: orjson.loads(message.payload) for message, _ in batches(records, topic)}
    assert {to: [int(each) for each in elements] for to, elements in found.items()} == {
        "p/boiler/batch": [1, 2, 4, 5, 7, 8],
        "p/gps/batch": [3, 6, 9],
    }


def test_batch_of_one_is_an_array_too() -> None:
    [(message, _)] = batches([record(1, "gps", 4)], topic)
    assert message.payload == b'["01"]'


@given(
    sizes=st.lists(st.integers(3, 3000), min_size=1, max_size=1500),
    limit=st.one_of(st.none(), st.integers(50, 100_000)),
)
def test_nothing_is_lost_and_every_bound_kept_whatever_the_sizes(sizes: list[int], limit: int | None) -> None:
    records = [record(offset, "gps", size) for offset, size in enumerate(sizes, start=1)]
    found = list(batches(records, topic, maximum_packet_size=limit))
    assert [each for _, part in found for each in part] == records
    for message, part in found:
        assert message.payload == b"[" + b",".join(each.payload for each in part) + b"]"
        assert len(part) <= MOST_READINGS
        assert len(message.payload) <= MOST_BYTES or len(part) == 1
        if limit is not None:
            assert len(message.payload) + len(message.topic) + PACKET_OVERHEAD <= limit or len(part) == 1
