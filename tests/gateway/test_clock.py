import errno
import itertools
import logging
from pathlib import Path

import pytest

from gateway.clock import SystemClock, kernel_error_us, synchronised


def _may_not_be_asked() -> int:
    raise OSError(errno.EPERM, "adjtimex")


def test_clock_says_whether_it_can_be_believed_and_each_change_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = iter([False, False, True, True, False])
    clock = SystemClock(lambda: next(kept), look_every_s=0)
    with caplog.at_level(logging.INFO):
        assert [clock().synchronised for _ in range(5)] == [False, False, True, True, False]
    assert [record.getMessage() for record in caplog.records] == [
        "clock: not synchronised; until it is, readings say so",
        "clock: synchronised",
        "clock: not synchronised; until it is, readings say so",
    ]


def test_clock_that_was_never_wrong_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert SystemClock(lambda: True, look_every_s=0)().synchronised
    assert not caplog.records


def test_kernel_is_not_asked_for_every_reading() -> None:
    asked = itertools.count()
    clock = SystemClock(lambda: next(asked) >= 0, look_every_s=3600)
    stamps = [clock() for _ in range(1000)]
    assert next(asked) == 1
    assert [stamp.mono for stamp in stamps] == sorted(stamp.mono for stamp in stamps)


@pytest.mark.parametrize(("error_us", "kept"), [(0, True), (15_999_999, True), (16_000_000, False)])
def test_clock_is_kept_when_the_kernel_knows_its_error(error_us: int, kept: bool, tmp_path: Path) -> None:
    assert synchronised(lambda: error_us, tmp_path) is kept


def test_where_the_kernel_may_not_be_asked_timesyncd_says(tmp_path: Path) -> None:
    assert synchronised(_may_not_be_asked, tmp_path) is False
    (tmp_path / "synchronized").touch()
    assert synchronised(_may_not_be_asked, tmp_path) is True


def test_where_nobody_can_say_the_clock_is_believed(tmp_path: Path) -> None:
    assert synchronised(_may_not_be_asked, tmp_path / "no timesyncd") is True


def test_this_machine_s_kernel_answers() -> None:
    try:
        error_us = kernel_error_us()
    except PermissionError:
        pytest.skip("adjtimex may not be asked here")
    assert 0 <= error_us <= 16_000_000
