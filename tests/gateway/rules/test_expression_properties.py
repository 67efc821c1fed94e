"""Expressions and windows against an evaluator that keeps every reading and looks at all of them each time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isclose
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Value
from gateway.rules.expression import Expression
from gateway.rules.memory import Memory
from gateway.rules.unknown import Unknown
from gateway.rules.windows import GRAINS
from tests.gateway.rules.site import SITE, at, reading

Seen = list[tuple[float, str, Value]]
"""Every reading: when, which metric, what."""
Naive = Callable[[Seen, float], Any]
"""What an expression is, from all that was ever seen; None: unknown."""


@dataclass
class Part:
    text: str
    naive: Naive

    def __repr__(self) -> str:
        return self.text


METRICS = ["x", "y", "z"]
NUMBERS = st.one_of(st.integers(-20, 20), st.integers(-80, 80).map(lambda quarters: quarters / 4))
VALUES = st.one_of(NUMBERS, NUMBERS, st.booleans(), st.sampled_from(["on", "off"]))
EIGHTHS = st.integers(0, 80).map(lambda eighths: eighths / 8)


def last(metric: str, back: int = 1) -> Naive:
    def naive(seen: Seen, _now: float) -> Any:
        values = [value for _, name, value in seen if name == metric]
        return values[-back] if len(values) >= back else None

    return naive


def window(
    metric: str, seconds: float, result: Callable[[list[tuple[float, Any]]], Any], *, texts: bool = False
) -> Naive:
    def naive(seen: Seen, now: float) -> Any:
        readings = [(moment, value) for moment, name, value in seen if name == metric]
        kept = [
            each for each in readings if each[0] + seconds > now and (texts or not isinstance(each[1], str))
        ]
        return result(kept) if readings else None

    return naive


def changed(metric: str, seconds: float) -> Naive:
    def naive(seen: Seen, now: float) -> Any:
        readings = [(moment, value) for moment, name, value in seen if name == metric]
        if any(new != old and moment + seconds > now for (_, old), (moment, new) in pairwise(readings)):
            return True
        return False if readings and readings[0][0] + seconds <= now else None

    return naive


def rate(kept: list[tuple[float, Any]]) -> Any:
    if not kept or kept[-1][0] == kept[0][0]:
        return None
    grown = sum(new - old if new >= old else new for (_, old), (_, new) in pairwise(kept))
    return grown / (kept[-1][0] - kept[0][0])


def delta(kept: list[tuple[float, Any]]) -> Any:
    return None if not kept or kept[-1][0] == kept[0][0] else kept[-1][1] - kept[0][1]


OVER: dict[str, Callable[[list[tuple[float, Any]]], Any]] = {
    "avg": lambda kept: sum(value for _, value in kept) / len(kept) if kept else None,
    "min_over": lambda kept: min((value for _, value in kept), default=None),
    "max_over": lambda kept: max((value for _, value in kept), default=None),
    "sum_over": lambda kept: sum(value for _, value in kept) if kept else None,
    "count_over": len,
    "rate": rate,
    "delta": delta,
}


def age(seen: Seen, now: float) -> Any:
    return now - seen[-1][0] if seen else None


def over(metric: str, function: str, seconds: int) -> Part:
    text = f'{function}(boiler.{metric}, "{seconds}s")'
    if function == "changed":
        return Part(text, changed(metric, seconds))
    return Part(text, window(metric, seconds, OVER[function], texts=function == "count_over"))


LEAVES = st.one_of(
    st.sampled_from(METRICS).map(lambda metric: Part(f"boiler.{metric}", last(metric))),
    st.sampled_from(METRICS).map(lambda metric: Part(f"previous(boiler.{metric})", last(metric, 2))),
    NUMBERS.map(lambda number: Part(f"({number})", lambda _seen, _now: number)),
    st.booleans().map(lambda truth: Part(str(truth).lower(), lambda _seen, _now: truth)),
    st.builds(over, st.sampled_from(METRICS), st.sampled_from([*OVER, "changed"]), st.integers(1, 12)),
    st.just(Part("age(boiler)", age)),
)


def calculated(function: Callable[..., Any], *parts: Part) -> Naive:
    """Of numbers; unknown as soon as one part is, or is none."""

    def naive(seen: Seen, now: float) -> Any:
        values = [part.naive(seen, now) for part in parts]
        if any(value is None or isinstance(value, str) for value in values):
            return None
        try:
            return function(*values)
        except ZeroDivisionError:
            return None

    return naive


def truth_of(part: Part, seen: Seen, now: float) -> bool | None:
    value = part.naive(seen, now)
    return None if value is None or isinstance(value, str) else value != 0


def conjunction(parts: Sequence[Part], *, decides: bool) -> Naive:
    def naive(seen: Seen, now: float) -> Any:
        truths = [truth_of(part, seen, now) for part in parts]
        if decides in truths:
            return decides
        return None if None in truths else not decides

    return naive


def negation(part: Part) -> Naive:
    def naive(seen: Seen, now: float) -> Any:
        truth = truth_of(part, seen, now)
        return None if truth is None else not truth

    return naive


def choice(test: Part, yes: Part, no: Part) -> Naive:
    def naive(seen: Seen, now: float) -> Any:
        truth = truth_of(test, seen, now)
        return None if truth is None else (yes if truth else no).naive(seen, now)

    return naive


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": lambda one, other: one / other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def operation(one: Part, operator: str, other: Part) -> Part:
    return Part(f"({one.text} {operator} {other.text})", calculated(OPERATORS[operator], one, other))


def chain(one: Part, first: str, middle: Part, second: str, other: Part) -> Part:
    pairs = [operation(one, first, middle), operation(middle, second, other)]
    return Part(
        f"({one.text} {first} {middle.text} {second} {other.text})", conjunction(pairs, decides=False)
    )


def either(yes: Part, test: Part, no: Part) -> Part:
    return Part(f"({yes} if {test} else {no})", choice(test, yes, no))


def joined(parts: list[Part], word: str) -> Part:
    return Part("(" + f" {word} ".join(map(repr, parts)) + ")", conjunction(parts, decides=word == "or"))


def deeper(parts: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    compared = st.sampled_from(["<", "<=", ">", ">="])
    return st.one_of(
        st.builds(operation, parts, st.sampled_from([*OPERATORS]), parts),
        st.builds(chain, parts, compared, parts, compared, parts),
        st.builds(joined, st.lists(parts, min_size=2, max_size=3), st.sampled_from(["and", "or"])),
        parts.map(lambda part: Part(f"(not {part.text})", negation(part))),
        parts.map(lambda part: Part(f"abs({part.text})", calculated(abs, part))),
        st.builds(lambda one, other: Part(f"max({one}, {other})", calculated(max, one, other)), parts, parts),
        st.builds(
            lambda yes, test, no: Part(f"({yes} if {test} else {no})", choice(test, yes, no)),
            parts,
            parts,
            parts,
        ),
    )


EXPRESSIONS = st.recursive(LEAVES, deeper, max_leaves=8)
STEPS = st.lists(
    st.tuples(EIGHTHS, st.dictionaries(st.sampled_from(METRICS), VALUES, min_size=1)), max_size=12
)
"""Readings, with the time before each, which a float can tell exactly: a rounding would be the test's own."""


def agree(one: Any, other: Any) -> bool:
    if isinstance(one, Unknown) or other is None:
        return isinstance(one, Unknown) and other is None
    if isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    return isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


@given(part=EXPRESSIONS, steps=STEPS)
def test_expression_is_at_each_moment_what_all_readings_say(
    part: Part, steps: list[tuple[float, dict[str, Value]]]
) -> None:
    memory = Memory()
    judged = Expression(part.text, SITE, condition=False).bind(memory)
    now, seen = 0.0, Seen()
    for pause, values in steps:
        for passed in (pause / 2, pause):
            assert agree(judged.judge(at(now + passed)), part.naive(seen, now + passed)), now + passed
        now += pause
        memory.take(reading(now, "boiler", values))
        seen += [(now, metric, value) for metric, value in values.items()]
        assert agree(judged.judge(at(now)), part.naive(seen, now)), now


CONDITIONS = st.builds(
    lambda part, operator, number: Part(
        f"{part} {operator} {number}", calculated(OPERATORS[operator], part, number)
    ),
    LEAVES,
    st.sampled_from(["<", "<=", ">", ">="]),
    NUMBERS.map(lambda number: Part(f"({number})", lambda _seen, _now: number)),
)


@given(parts=st.lists(CONDITIONS, min_size=1, max_size=3), steps=STEPS)
def test_nothing_changes_between_readings_before_it_is_due(
    parts: list[Part], steps: list[tuple[float, dict[str, Value]]]
) -> None:
    memory = Memory()
    judged = Expression(" and ".join(map(repr, parts)), SITE).bind(memory)
    naive = conjunction(parts, decides=False)
    now, seen = 0.0, Seen()
    for pause, values in steps:
        now += pause
        memory.take(reading(now, "boiler", values))
        seen += [(now, metric, value) for metric, value in values.items()]
    told = judged.judge(at(now))
    for _ in range(200):
        due = judged.due(at(now))
        assert due > now
        for moment in (now + (min(due, now + 100) - now) * share / 4 for share in range(1, 4)):
            assert moment >= due or agree(told, naive(seen, moment)), (moment, due)
        if due == inf:
            break
        now = due
        told = judged.judge(at(now))
    else:
        pytest.fail("it is due again and again")


@given(
    gaps=st.lists(st.floats(0, 3) | st.floats(0, 0.003), min_size=1, max_size=60),
    seconds=st.integers(1, 30),
)
def test_reading_leaves_a_window_no_more_than_a_grain_too_early(gaps: list[float], seconds: int) -> None:
    memory = Memory()
    judged = Expression(f'count_over(boiler.x, "{seconds}s")', SITE, condition=False).bind(memory)
    now, moments = 0.0, []
    for gap in gaps:
        now += gap
        moments.append(now)
        memory.take(reading(now, "boiler", {"x": 1}))
        most = sum(moment + seconds > now for moment in moments)
        least = sum(moment + seconds * (1 - 1 / GRAINS) > now for moment in moments)
        assert least <= judged.judge(at(now)) <= most  # type: ignore[operator]
