import pytest

from gateway.pacing.throttle import Flapping, Throttle


def test_throttle_passes_one_in_a_period_and_the_first_at_once() -> None:
    throttle = Throttle(10)
    assert [now for now in range(0, 40, 3) if throttle.passes(now)] == [0, 12, 24, 36]


def test_throttle_says_when_the_next_may_pass() -> None:
    throttle = Throttle(10)
    throttle.passes(5)
    assert throttle.opens_at == 15
    assert throttle.passes(throttle.opens_at)


@pytest.mark.parametrize(
    ("moments", "calm_at"),
    [
        ([0, 1], float("-inf")),
        ([0, 1, 2], 60),
        ([0, 1, 2, 30], 61),
        ([0, 70, 140], 60),
    ],
)
def test_it_flaps_until_the_first_of_so_many_changes_is_long_enough_ago(
    moments: list[float], calm_at: float
) -> None:
    flapping = Flapping(changes=3, within_s=60)
    for now in moments:
        flapping.changed(now)
    assert flapping.calm_at == calm_at
    assert flapping.moments == tuple(moments[-3:])
