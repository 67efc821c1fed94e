"""Patterns of our own engine: they find what `re` finds, and nothing can make them slow."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.pattern import TRANSITIONS_HELD, Pattern
from drivers.testing.memory import bytes_held_after


def found_by_re(pattern: str, line: str) -> dict[str, str] | None:
    match = re.search(pattern, line, re.DOTALL | re.ASCII)
    return None if match is None else {name: text for name, text in match.groupdict().items() if text}


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"T=(?P<t>-?\d+\.\d+) H=(?P<h>\d+)", "ok T=-21.53 H=45 \x00"),
        (r"^(?P<first>[^,]*),(?P<second>[^,]*)$", "1.5,on"),
        (r"^(?P<first>[^,]*),(?P<second>[^,]*)$", "1.5,on,off"),
        (r"(?P<greedy>a+)(?P<rest>a*)", "aaa"),
        (r"(?P<lazy>a+?)(?P<rest>a*)", "aaa"),
        (r"(?P<lazy>.*?)=(?P<value>.*)", "a=b=c"),
        (r"(?P<greedy>.*)=(?P<value>.*)", "a=b=c"),
        (r"(?P<either>cat|category)s?", "categorys"),
        (r"(?P<either>category|cat)", "category"),
        (r"\$(?P<id>[A-F0-9]{2,4})\b?".replace(r"\b?", ""), "$12AFE"),
        (r"(?:(?P<sign>[-+]) *)?(?P<number>\d{1,3})", "- 7"),
        (r"(?P<signless>\d{2})\\", "1234\\"),
        (r"[]a-c^-]+(?P<x>[^]x])", "a]^-b!"),
        (r"(?P<dash>[a\-z]+)\x3b", "a-z;"),
        (r"(?P<word>\w+)\s(?P<other>\S+)\W\D", "one_1 two%, "),
        (r"^$", ""),
        (r"^$", "a"),
        (r"", "anything"),
        (r"(?P<outer>a(?P<inner>b)c)", "xabcx"),
        (r"(?P<unit>°C|µV)", "21 °C"),
        (r"a\$$", "a$"),
        (r"(?:a|b)*?(?P<c>c{0}d{3}e{2,})", "abdddeee"),
        (r"(?P<digits>[\d.]+)", "v 1.25"),
    ],
)
def test_pattern_finds_what_re_finds(pattern: str, line: str) -> None:
    assert Pattern(pattern).match(line) == found_by_re(pattern, line)


ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", "1", " "])
SIGNS = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}"])
# What is repeated is never empty: there `re` has ways of its own.
PARTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(ATOMS, SIGNS).map("".join),
        st.tuples(ATOMS, ATOMS, SIGNS).map(lambda parts: f"(?:{parts[0]}|{parts[0]}{parts[1]}){parts[2]}"),
    ),
    max_leaves=6,
)


@settings(max_examples=400)
@given(parts=st.tuples(PARTS, PARTS, PARTS), line=st.text("ab1 ", max_size=9), tied=st.booleans())
def test_any_pattern_finds_what_re_finds(parts: tuple[str, str, str], line: str, *, tied: bool) -> None:
    text = f"(?:{parts[0]})(?P<it>{parts[1]})(?:{parts[2]})"
    if tied:
        text = f"^{text}$"
    assert Pattern(text).match(line) == found_by_re(text, line)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a", "not closed"),
        ("a)", "closes nothing"),
        ("[a", "not closed"),
        ("*a", "nothing to repeat"),
        ("a**", "nothing to repeat"),
        ("a{2", "a repetition is written"),
        ("a{,2}", "a repetition is written"),
        ("a{3,2}", "smaller number first"),
        ("a{256}", "from 0 to 255"),
        ("a{99999999999}", "a repetition is written"),
        ("(?:[ab]{200}){3}", "too long"),
        ("(?P<x>a)(?P<x>b)", "two groups x"),
        ("(?P<x>a)+", "named group cannot be repeated"),
        ("(?:(?P<x>a),)*", "named group cannot be repeated"),
        ("(?P<1>a)", "named with a word"),
        ("(?P<x", "named with a word"),
        ("(?=a)", "only"),
        ("(?i)a", "only"),
        (r"\bword", r"\b is not known"),
        (r"\1", r"\1 is not known"),
        (r"\x1", "two hexadecimal digits"),
        ("a\\", "before nothing"),
        ("a^b", "^ stands"),
        ("a$b", "$ stands"),
        ("[z-a]", "a range goes"),
        (r"[a-\d]", "a range goes"),
        ("(" * 30 + "a" + ")" * 30, "too many brackets"),
    ],
)
def test_pattern_that_cannot_be_is_refused_with_the_reason(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        Pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("(a+)+$", "a" * 65_000 + "!"),
        ("(.*)*x", "a" * 65_000),
        ("(a|a)*b", "a" * 65_000),
        ("(a|aa)+$", "a" * 65_000 + "!"),
        ("(?:" + "|".join("a" * count + "b" for count in range(1, 30)) + ")$", "a" * 65_000),
        ("a.*b.*c.*d", "abc" * 20_000),
        ("(?:a?){50}a{50}x", "a" * 65_000),
    ],
    ids=lambda text: text[:20],
)
def test_hostile_pattern_costs_one_look_at_each_character(pattern: str, line: str) -> None:
    hostile = Pattern(pattern)
    assert hostile.match(line) is None
    assert hostile._learned < 400, "the other characters were looked up"


def test_what_a_pattern_learns_is_bounded() -> None:
    pattern = Pattern(
        "^[ab]{200}a(?P<rest>[ab]*)$"
    )  # from the end it has more sets of places than there are atoms

    def match() -> None:
        for number in range(100):
            line = f"{number * 0x9E3779B97F4A7C15 % 2**300:0300b}".replace("0", "a").replace("1", "b")
            assert (pattern.match(line) is not None) is (line[200] == "a")

    assert bytes_held_after(match) < 1000 * TRANSITIONS_HELD
