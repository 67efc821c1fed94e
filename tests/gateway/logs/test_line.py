import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.logs import MessageId, about
from gateway.logs.forms import as_json, coloured, plain, prefixed, prefixed_json
from gateway.logs.line import MOST_FIELD, MOST_TEXT, MOST_TRACE, Line, escaped, shortened
from tests.gateway.logs.records import raised, record

FORMS = [plain, coloured, prefixed, as_json, prefixed_json]

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Controls; what turns the direction of writing; halves of characters; line and paragraph separators."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("21.5 °C, Größe, 温度", "21.5 °C, Größe, 温度"),
        ("ok\n2026-11-22 17:07:01 ERROR broker: offline", r"ok\n2026-11-22 17:07:01 ERROR broker: offline"),
        ("a\r\tb\x00", r"a\r\tb\x00"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("C:\\new", "C:\\new"),
    ],
)
def test_what_is_not_seen_is_written_out(text: str, shown: str) -> None:
    assert escaped(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_holds_a_character_that_a_terminal_obeys(text: str) -> None:
    line = Line.of(record("%s: online", text, extra=about(device=f"a{text}")))
    for shown in (line.text, line.fields["DEVICE"]):
        assert not any(unicodedata.category(each) in UNSEEN for each in shown)
        shown.encode()


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_one_record_is_one_line_in_each_form(text: str) -> None:
    line = Line.of(record("%s: %s", text, text, extra=about(MessageId.DEVICE_ONLINE, device=f"a{text}")))
    for form in FORMS:
        assert len(form(line).splitlines()) == 1


@pytest.mark.parametrize("form", [plain, coloured, prefixed, prefixed_json])
def test_text_of_an_error_does_not_pass_for_a_line_of_its_own(form: object) -> None:
    assert callable(form)
    error = raised("bad\n2026-11-22 17:07:01 ERROR broker: offline\x1b[2J\r<0>gone\x85")
    first, *rest = form(Line.of(record("a bug", error=error))).split("\n")
    assert first.endswith("a bug") or "trace" in first
    assert all(each.removeprefix("<4>").startswith("    ") for each in rest)
    assert "\x1b[2J" not in "".join(rest)
    assert "\r" not in "".join(rest)


def test_traceback_has_its_lines() -> None:
    trace = Line.of(record("a bug", error=raised("bad"))).trace
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ValueError: bad"
    assert any("in raised" in each for each in trace)


def test_lines_that_stand_below_are_a_trace_as_well() -> None:
    line = Line.of(record("stuck", extra=about(device="boiler", trace="task boiler:\n  port.py:12\x07\n")))
    assert line.trace == ("task boiler:", r"  port.py:12\x07")
    assert line.fields == {"DEVICE": "boiler"}


def test_text_of_a_stack_is_a_trace_as_well() -> None:
    made = record("here")
    made.stack_info = "Stack (most recent call last):\n  somewhere"
    assert Line.of(made).trace == ("Stack (most recent call last):", "  somewhere")


def test_error_that_was_not_there_leaves_no_trace() -> None:
    made = record("no error is being handled")
    made.exc_info = (None, None, None)
    assert Line.of(made).trace == ()


def test_what_is_long_loses_its_middle() -> None:
    assert shortened("x" * 10, 10) == "x" * 10
    assert shortened("a" * 10 + "b" * 100 + "c" * 10, 20) == (
        "aaaaaaaaaa … 100 characters left out … cccccccccc"
    )


@pytest.mark.parametrize("unit", ["x", "\x00", "é", "\U000e0041", "\n"])
def test_size_of_a_line_is_bounded_whatever_is_in_it(unit: str) -> None:
    flood = unit * 10**6
    made = record("%s", flood, extra=about(device=flood, trace=flood), error=raised(flood))
    line = Line.of(made)
    assert len(line.text) < MOST_TEXT + 50
    assert len(line.fields["DEVICE"]) < MOST_FIELD + 50
    assert sum(map(len, line.trace)) < 10 * MOST_TRACE + 500
    assert all(len(each) < MOST_TEXT + 50 for each in line.trace)


def test_level_and_fields_come_from_the_record() -> None:
    line = Line.of(record("x", level=logging.ERROR, extra=about(MessageId.BROKER_LOST, broker="mqtt")))
    assert line.level == logging.ERROR
    assert line.fields == {"MESSAGE_ID": MessageId.BROKER_LOST.value, "BROKER": "mqtt"}
