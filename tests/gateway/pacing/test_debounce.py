from math import inf

import pytest

from gateway.pacing.debounce import Debounce

Row = tuple[float, bool | None, bool]


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([(0, True, False), (9, True, False), (10, True, True)], id="true for long enough"),
        pytest.param([(0, True, False), (9, False, False), (10, True, False), (20, True, True)], id="begun anew"),
        pytest.param([(0, True, False), (5, None, False), (15, None, False), (16, True, True)], id="unknown between"),
        pytest.param([(0, True, False), (5, None, False), (15, False, False)], id="unknown, then false"),
        pytest.param([(0, True, False), (10, True, True), (11, False, True), (15, False, True), (16, False, False)],
                     id="false for long enough"),
        pytest.param([(0, True, False), (10, True, True), (11, False, True), (15, True, True), (19, False, True)],
                     id="not false for long enough"),
    ],
)  # fmt: skip
def test_condition_is_believed_when_it_has_stayed(rows: list[Row]) -> None:
    debounce = Debounce(rise_s=10, fall_s=5)
    assert [(now, heard, debounce.update(heard, now)) for now, heard, _ in rows] == rows


def test_without_waits_it_believes_what_it_hears() -> None:
    debounce = Debounce()
    assert [debounce.update(heard, 0.0) for heard in (True, False, None, True)] == [True, False, False, True]


def test_it_is_due_when_its_wait_is_over_and_only_then() -> None:
    debounce = Debounce(rise_s=10, fall_s=5)
    dues = []
    for now, heard in [(0, True), (3, True), (4, None), (5, True), (10, True), (12, False), (13, True)]:
        debounce.update(heard, now)
        dues.append(debounce.due)
    assert dues == [10, 10, inf, 10, inf, 17, inf]
