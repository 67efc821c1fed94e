import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.pacing.backoff import Backoff


def _ceiling(_low: float, high: float) -> float:
    return high


def test_ceiling_doubles_up_to_the_cap() -> None:
    backoff = Backoff(first_s=1, cap_s=10, draw=_ceiling)
    assert [backoff.next_delay() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_reset_starts_again_at_the_first_delay() -> None:
    backoff = Backoff(first_s=1, cap_s=10, draw=_ceiling)
    for _ in range(5):
        backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() == 1


@given(seed=st.integers(), cap=st.floats(0.001, 1e6), attempts=st.integers(1, 200))
def test_no_delay_is_ever_beyond_the_cap(seed: int, cap: float, attempts: int) -> None:
    backoff = Backoff(first_s=0.5, cap_s=cap, draw=random.Random(seed).uniform)
    assert all(0 <= backoff.next_delay() <= cap for _ in range(attempts))


def test_at_the_cap_a_fleet_still_spreads_over_the_whole_range() -> None:
    delays = []
    for seed in range(200):
        backoff = Backoff(first_s=1, cap_s=30, draw=random.Random(seed).uniform)
        backoff.failures = 20
        delays.append(backoff.next_delay())
    assert min(delays) < 3
    assert max(delays) > 27
