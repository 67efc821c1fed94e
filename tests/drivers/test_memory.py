"""What a piece of work leaves in memory, as the contract measures it."""

import pytest

from drivers.testing.memory import bytes_held_after


def test_what_is_kept_counts() -> None:
    kept = []
    assert 100_000 <= bytes_held_after(lambda: kept.append(bytes(100_000))) < 110_000


def test_what_is_given_back_does_not_count() -> None:
    def work() -> None:
        bytes(100_000).decode()

    assert bytes_held_after(work) < 10_000


def test_what_the_work_raises_passes_through() -> None:
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        bytes_held_after(fail)
