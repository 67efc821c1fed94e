"""Whatever is written is refused with a place, or is a function that gives a value or a reason and raises nothing."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.model import Value
from gateway.rules.expression import Expression
from gateway.rules.memory import Memory
from gateway.rules.names import BadExpression
from gateway.rules.unknown import Unknown
from tests.gateway.rules.site import SITE, at, reading

WORDS = [
    *(
        "boiler.x",
        "boiler.text",
        "pump.speed",
        "rack-1.power",
        "2nd floor.lux",
        "age(pump)",
        "stale(pump)",
        "offline(pump)",
        "min.x",
    ),
    *(
        'avg(boiler.x, "5s")',
        'rate(boiler.x, "1m")',
        "previous(boiler.text)",
        'changed(boiler.text, "1s")',
        "hour()",
    ),
    *(
        "1",
        "0",
        "-1",
        "2.5",
        "1e308",
        "9223372036854775807",
        "true",
        "'on'",
        '"5s"',
        "('on', 'off')",
        "(1, 2)",
        "[]",
    ),
    *(
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "<",
        "<=",
        "==",
        "!=",
        "in",
        "not in",
        "and",
        "or",
        "not",
        "if",
        "else",
    ),
    *(
        "(",
        ")",
        ",",
        ".",
        "abs(",
        "round(",
        "max(1,",
        "\n",
        "#",
        "'",
        "é",
        "__class__",
        "lambda",
        ":=",
        "[0]",
        "x",
    ),
]
SOUP = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join),
    st.lists(st.sampled_from(WORDS), max_size=8).map("".join),
    st.text(max_size=40),
)
VALUES = st.dictionaries(
    st.sampled_from(["x", "text", "speed", "power", "lux"]),
    st.one_of(
        st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.booleans(), st.text(max_size=5)
    ),
)


def compiled(text: str) -> Expression | BadExpression:
    try:
        return Expression(text, SITE, condition=False)
    except BadExpression as refused:
        return refused


@pytest.mark.repetitive
@given(text=SOUP, values=st.lists(VALUES, max_size=4))
@example(text="boiler.x // 5e-324 % 1", values=[{"x": 1.7e308}])
@example(text="round(boiler.x * 1e300)", values=[{"x": 1e300}])
@example(text="boiler.x * boiler.x * boiler.x / 3 > 1", values=[{"x": 2**63 - 1}])
@settings(max_examples=1000)
def test_anything_is_refused_or_judged(text: str, values: list[dict[str, Value]]) -> None:
    expression = compiled(text)
    if isinstance(expression, BadExpression):
        assert 0 <= expression.column <= len(text)
        return
    memory = Memory()
    judged = expression.bind(memory)
    for number, each in enumerate(values):
        for device in ("boiler", "pump", "rack-1", "2nd floor"):
            memory.take(reading(float(number), device, each))
        result = judged.judge(at(float(number)))
        assert isinstance(result, bool | int | float | str | Unknown)
        assert not isinstance(result, float) or abs(result) < float("inf")
        assert judged.due(at(float(number))) > number
