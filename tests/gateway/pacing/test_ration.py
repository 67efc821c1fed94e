from collections.abc import Sequence
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from gateway.pacing.ration import Ration


def passed(ration: Ration[str], kind: str, moments: Sequence[float]) -> list[float]:
    through = []
    for now in moments:
        assert all(count > 0 for _, count in ration.over(now))
        if ration.take(kind, now):
            through.append(now)
    return through


def test_of_a_kind_so_many_pass_in_a_period_that_begins_with_the_first() -> None:
    assert passed(Ration(most=2, period_s=60), "a", [7, 8, 9, 66, 67, 68, 69]) == [7, 8, 67, 68]


def test_each_kind_has_a_ration_of_its_own() -> None:
    ration: Ration[str] = Ration(most=1, period_s=60)
    assert all(ration.take(f"device {number}", 0) for number in range(200))
    assert not any(ration.take(f"device {number}", 1) for number in range(200))


def test_what_was_withheld_is_told_at_the_end_of_the_period_and_no_sooner() -> None:
    ration: Ration[str] = Ration(most=1, period_s=60)
    for now in (0, 1, 2):
        ration.take("a", now)
    ration.take("b", 5)
    assert ration.due == 60
    assert [*ration.over(59.9)] == []
    assert [*ration.over(60)] == [("a", 2)]
    assert ration.due == inf
    assert [*ration.over(65)] == []  # of "b" nothing was withheld


def test_at_the_end_of_time_all_is_told() -> None:
    ration: Ration[str] = Ration(most=1, period_s=60)
    for kind in "aabbb":
        ration.take(kind, 0)
    assert [*ration.over(inf)] == [("a", 1), ("b", 2)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=200), st.integers(1, 5))
def test_everything_passes_or_is_told_of_and_nothing_is_remembered_for_ever(
    steps: list[tuple[str, float]], most: int
) -> None:
    ration: Ration[str] = Ration(most=most, period_s=60)
    now, through, told = 0.0, 0, 0
    for kind, pause in steps:
        now += pause
        told += sum(count for _, count in ration.over(now))
        assert ration.due > now
        through += ration.take(kind, now)
    told += sum(count for _, count in ration.over(inf))
    assert through + told == len(steps)
    assert not ration._begun
    assert not ration._taken
