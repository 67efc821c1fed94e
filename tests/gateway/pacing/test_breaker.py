from hypothesis import given
from hypothesis import strategies as st

from gateway.pacing.breaker import Breaker

WHOLE = 100


def tripped(now: float = 0.0) -> Breaker:
    breaker = Breaker(trips_after=3, open_s=5.0)
    for _ in range(3):
        breaker.failed(now)
    return breaker


def test_closed_breaker_lets_everything_through() -> None:
    breaker = Breaker()
    assert (breaker.closed, breaker.risk(WHOLE), breaker.pause(0.0)) == (True, WHOLE, 0.0)


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(trips_after=3, open_s=5.0)
    breaker.failed(10.0)
    breaker.failed(10.0)
    assert (breaker.closed, breaker.pause(10.0)) == (True, 0.0)
    breaker.failed(10.0)
    assert (breaker.closed, breaker.pause(10.0)) == (False, 5.0)


def test_success_in_between_forgives_what_was_before() -> None:
    breaker = Breaker(trips_after=3)
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded(WHOLE)
    assert breaker.closed


def test_open_breaker_is_half_open_after_its_pause_and_risks_one() -> None:
    breaker = tripped(now=10.0)
    assert breaker.pause(12.0) == 3.0
    assert breaker.pause(15.0) == breaker.pause(99.0) == 0.0
    assert breaker.risk(WHOLE) == 1


def test_risk_doubles_with_each_success_until_it_is_the_whole() -> None:
    breaker = tripped()
    risks = []
    while not breaker.closed:
        risks.append(breaker.risk(WHOLE))
        breaker.succeeded(WHOLE)
    assert risks == [1, 2, 4, 8, 16, 32, 64]
    assert breaker.risk(WHOLE) == WHOLE


def test_one_failure_in_half_open_opens_it_again_and_risks_one_afterwards() -> None:
    breaker = tripped()
    for _ in range(4):
        breaker.succeeded(WHOLE)
    breaker.failed(20.0)
    assert (breaker.closed, breaker.pause(20.0), breaker.risk(WHOLE)) == (False, 5.0, 1)


def test_breaker_that_has_closed_needs_several_failures_again() -> None:
    breaker = tripped()
    while not breaker.closed:
        breaker.succeeded(WHOLE)
    breaker.failed(0.0)
    assert breaker.closed


def test_whole_of_one_is_closed_by_one_success() -> None:
    breaker = tripped()
    breaker.succeeded(1)
    assert breaker.closed


@given(events=st.lists(st.booleans()), whole=st.integers(1, 1000))
def test_risk_is_never_nothing_and_never_more_than_the_whole(events: list[bool], whole: int) -> None:
    breaker = Breaker()
    for success in events:
        if success:
            breaker.succeeded(whole)
        else:
            breaker.failed(0.0)
        assert 1 <= breaker.risk(whole) <= whole
