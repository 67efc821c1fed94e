import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pacing.limiter import Limiter


def test_burst_is_free_and_the_rest_waits_its_time() -> None:
    limiter = Limiter(rate=10, burst=5)
    assert limiter.take(5, now=100.0) == 0.0
    assert limiter.take(1, now=100.0) == pytest.approx(0.1)
    assert limiter.take(1, now=100.0) == pytest.approx(0.2)


def test_tokens_come_back_with_time_and_do_not_pile_up_beyond_the_burst() -> None:
    limiter = Limiter(rate=10, burst=5)
    limiter.take(5, now=0.0)
    assert limiter.take(2, now=0.2) == pytest.approx(0.0)
    assert limiter.take(6, now=3600.0) == pytest.approx(0.1)


@given(
    rate=st.floats(0.1, 1e5),
    burst=st.integers(1, 1000),
    takes=st.lists(st.tuples(st.integers(1, 500), st.floats(0, 10)), min_size=1, max_size=50),
)
def test_whoever_waits_as_told_keeps_to_the_rate(
    rate: float, burst: int, takes: list[tuple[int, float]]
) -> None:
    limiter = Limiter(rate=rate, burst=burst)
    now, taken = 0.0, 0
    for count, idle_s in takes:
        now += idle_s
        now += limiter.take(count, now)
        taken += count
        assert taken <= burst + rate * now * (1 + 1e-9) + 1e-6
