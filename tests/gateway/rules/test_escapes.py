"""What people, or somebody in their place, might write to get out, to stall the loop or to fill the memory."""

import pytest

from gateway.model import Value
from gateway.rules.coder import DEEPEST, LONGEST, Coder
from gateway.rules.expression import Expression
from gateway.rules.names import BadExpression
from gateway.rules.unknown import Unknown
from tests.gateway.rules.site import SITE, at, bound, value

ATTEMPTS = [
    # Attributes and what is behind them
    "boiler.__class__", "boiler.x.__class__", "boiler.__class__.__mro__", "boiler.x.__init__.__globals__",
    "().__class__", "(1).__class__", "2 .real", "1.0.real", "''.join", "'boiler'.__class__", "[].append",
    "{}.items", "abs.__self__", "abs.__globals__", "hour().real", "(boiler.x).real", "(boiler.x).__class__",
    "(1, 2).count", "min.__module__.x", "boiler.x.y.__dict__", "boiler. __class__", "boiler.\n__class__",
    "true.real", "True.__class__", "at.mono", "now", "self", "judge", "unknown", "local(at)", "c0",
    "c0.value", "k0", "v1", "result", "boiler.x.__doc__[0]",
    # Calls
    "open('/etc/passwd')", "eval('1')", "exec('1')", "compile('1', '', 'eval')", "__import__('os')",
    "getattr(boiler, 'x')", "setattr(boiler, 'x', 1)", "globals()", "locals()", "vars()", "dir()",
    "type(boiler.x)", "print(1)", "input()", "exit()", "quit()", "breakpoint()", "help()", "memoryview('')",
    "object()", "super()", "range(10)", "str(1)", "int('9' * 9)", "float('inf')", "list(boiler.x)",
    "sorted(boiler.x)", "sum(boiler.x)", "map(abs, boiler.x)", "pow(9, 9)", "divmod(9, 2)", "chr(1)",
    "hash(boiler.x)", "id(boiler.x)", "len(boiler.x)", "format(1, '9999999d')", "repr(1)", "boiler.x()",
    "boiler.x.y()", "boiler()", "abs(1)(2)", "(abs)(1)(2)", "(lambda: 1)()", "'{0.__class__}'.format(1)",
    "'%s'.__mod__(1)", "boiler.x.format(1)", "boiler['x']()", "abs(*[1])", "abs(**{})", "min(*boiler.x)",
    "abs(x=1)", "min(1, 2, key=abs)", "max(1, 2, default=0)", "round(number=1)", "avg(boiler.x, length='5m')",
    "truth(1)", "noted(1, 2)", "mistyped(1)", "reason(1)", "overflow()", "equal(1, 1)", "rounded(1, 1)",
    "contains('a', 'b')", "bool(1)", "make(1)",
    # Parts of the language
    "lambda: 1", "lambda x: x", "[x for x in (1, 2)]", "{x for x in (1, 2)}", "{x: 1 for x in (1, 2)}",
    "(x for x in (1, 2))", "any(x for x in (1, 2))", "(x := 5)", "(x := boiler.x) > 5", "f'{boiler.x}'",
    "f''", "f'{1!r:>9}'", "b'abc'", "b'a' in boiler.x", "await boiler.x", "(yield)", "(yield from boiler.x)",
    "*boiler.x", "boiler.x[0]", "boiler.x['__class__']", "boiler[0]", "boiler['x']['y']", "boiler['x'].y",
    "boiler[1:2]", "boiler[...]", "boiler[boiler.x]", "boiler['x' 'y', 'z']", "'abc'[0]", "(1, 2)[0]",
    "{}['x']", "{'a': 1}", "{1, 2}", "[1, 2]", "(1, 2)", "()", "...", "None", "boiler.x == None", "1j",
    "boiler.x @ pump.speed", "import os", "from os import system", "boiler.x; boiler.y", "boiler.x = 1",
    "boiler.x += 1", "del boiler.x", "assert boiler.x", "print 1", "def f(): pass", "class A: pass",
    "raise boiler.x", "pass", "if boiler.x: 1", "1 if boiler.x", "not", "and", "boiler.x and", "boiler.x > ",
    ">", ")", "(", "(1", "1)", "1) or (1", "boiler.x)+(1", "boiler.x # comment", "boiler.x \\\n > 1",
    "boiler.x\\u0028", "'''", '"""a\nb"""', "boiler.x > 1 if", "boiler.x in 5", "boiler.x in",
    "boiler.x not (1,)", "1 <> 2", "!boiler.x", "boiler.x && 1", "1 || 2", "boiler.x ? 1 : 2", "`boiler.x`",
    "$boiler", "@boiler", "boiler->x", "boiler::x", "boiler.x!", "\x00", "boiler.x\x00",
    "'\x00' == boiler.x\x00", "\x1b[2J", "boiler.x\u2028> 1", "\ufeffboiler.x\ufeff",
    "\uff42\uff4f\uff49\uff4c\uff45\uff52.\uff58", "\uff3f\uff3fimport\uff3f\uff3f('os')", "\uff11 + 1",
    "boiler.x == '\\N{LATIN SMALL LETTER A'", "boiler.x == '\\x'",
    # Size and power
    "9 ** 9", "9 ** 9 ** 9 ** 9", "boiler.x ** boiler.y", "2 ** -1", "'a' * 1000000000", "1000000000 * 'a'",
    "'a' + 'b'", "-'a'", "'%1000000000d' % 5", "'%s' % boiler.x", "boiler.x % 'a'", "[0] * 1000000000",
    "(0,) * 1000000000", "boiler.x * 'a'", "1 << 1000000000", "boiler.x << boiler.y", "boiler.x >> 1",
    "~boiler.x", "boiler.x ^ 1", "boiler.x | 1", "abs('a')", "9" * 400, "9" * 1999, "1e400", "-1e400",
    "0x" + "f" * 100, "0b" + "1" * 100, "1_0" * 50, "9" * 5000, "1" * 100_000, "round(1.5, 1000000000)",
    "round(1.5, -5)", "round(1.5, 2.0)", "round(1.5, True)", "round(1, boiler.x)",
    "avg(boiler.x, '99999999d')", "avg(boiler.x, '" + "9" * 500 + "s')", "avg(boiler.x, '-1s')",
    "rate(boiler.x, '0ms')", "(" * 100 + "1" + ")" * 99, "(" * 300 + "1" + ")" * 300, "[" * 900, "{" * 900,
    "-" * 900 + "1", "not " * 400 + "true", "+".join(["1"] * 900), "1" + "+(1" * 300 + ")" * 300,
    "abs(" * 60 + "1" + ")" * 60, "~" * 900 + "1", "1 if true else " * 100 + "1", "boiler.x" + ".y" * 3000,
    "boiler" + "['x']" * 100, "not(" * 100 + "1" + ")" * 100, "'" + "a" * 5000 + "' == boiler.x",
    "boiler.x and " * 500 + "boiler.x", "1 < " * 900 + "1", " " * 5000, "\n" * 5000,
]  # fmt: skip


def test_there_are_more_than_a_hundred_attempts() -> None:
    assert len(set(ATTEMPTS)) > 250


@pytest.mark.parametrize("text", ATTEMPTS, ids=lambda text: repr(text)[:60])
def test_attempt_is_refused(text: str) -> None:
    with pytest.raises(BadExpression) as refused:
        Expression(text, SITE, condition=False)
    assert 0 <= refused.value.column <= max(len(text), LONGEST)
    assert len(str(refused.value)) < 500


HEAVY: dict[str, Value] = {
    "text": "%999999999d",
    "long": "ab" * 1000,
    "huge": 10**4000,
    "large": 2**62,
    "many": 1_000_000_000,
    "small": 1e-300,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("boiler.text % boiler.many", Unknown.TYPE),
        ("boiler.long * boiler.many", Unknown.TYPE),
        ("boiler.many * boiler.long", Unknown.TYPE),
        ("(boiler.long if true else 1) * boiler.many", Unknown.TYPE),
        ("previous(boiler.long) * boiler.many", Unknown.NOT_SEEN),
        ("boiler.long + boiler.long", Unknown.TYPE),
        ("max(boiler.long, boiler.many)", Unknown.TYPE),
        ("boiler.huge * boiler.huge", Unknown.OVERFLOW),
        ("round(boiler.small, 15)", 0.0),
        (" * ".join(["boiler.large"] * 24), Unknown.OVERFLOW),
        ("boiler.large / boiler.small", Unknown.OVERFLOW),
    ],
)
def test_what_an_instrument_says_cannot_make_a_rule_heavy(text: str, expected: object) -> None:
    assert value(text, [(1.0, "boiler", HEAVY)]) == expected


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("abs(", ")"),
        ("1 / (", ")"),
        ("1 - ", ""),
        ("not (", ")"),
        ("1 == (", ")"),
        ("(", " < 5 < 7)"),
        ("(", " and pump.speed)"),
        ("true or (false and (", "))"),
        ("1 if (", ") else 2"),
        ("1 if true else (", ")"),
        ("max(1, ", ")"),
        ("round(1 / ", ", 2)"),
        ("(", " in (1, 2))"),
        ("(", ") + boiler.x"),
    ],
)
def test_what_is_nested_compiles_or_is_refused(opening: str, closing: str) -> None:
    refusals = [refusal(opening * times + "boiler.x" + closing * times) for times in range(DEEPEST + 2)]
    assert refusals == sorted(refusals), "one that is deeper than a refused one is refused, too"
    assert DEEPEST // 3 <= refusals.count("") <= DEEPEST
    assert "nested too deeply" in refusals[-1] or "brackets" in refusals[-1]


def refusal(text: str) -> str:
    try:
        bound(text, [(1.0, "boiler", {"x": 1})], condition=False).judge(at(1.0))
    except BadExpression as refused:
        return refused.text
    return ""


def test_longest_that_is_allowed_compiles() -> None:
    longest = ("boiler.x and " * 500)[: LONGEST - 5].rpartition(" and ")[0]
    assert value(longest, [(1.0, "boiler", {"x": 1})]) is True


def test_nesting_does_not_double_the_function_at_each_level() -> None:
    for opening, closing in [("1 < abs(", ") < 3"), ("abs(", ") in (1, 2)"), ("1 / (", ")"), ("not (", ")")]:
        text = opening * (DEEPEST // 2 - 1) + "boiler.x" + closing * (DEEPEST // 2 - 1)
        assert len(Coder(text, SITE, None).function(condition=True)) < 20_000
