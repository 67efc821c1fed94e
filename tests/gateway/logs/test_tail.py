"""The last lines of the log, for whoever looks at the gateway."""

import logging

import pytest

from gateway.logs import Tail, start_logging
from gateway.logs.rationed import Rationed
from gateway.logs.tail import MOST, MOST_TEXT, MOST_TRACE


def record(text: str, *values: object, **more: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "args": values, **more})


def test_last_lines_are_kept_and_each_is_told_once() -> None:
    tail = Tail()
    for number in range(MOST + 10):
        tail.emit(record("line %d", number))
    assert [line.text for line in tail.after(0)] == [f"line {number}" for number in range(10, MOST + 10)]
    assert [line.text for line in tail.after(tail.count - 2)] == [f"line {MOST + 8}", f"line {MOST + 9}"]
    assert tail.after(tail.count) == []


def test_size_of_a_kept_line_is_bounded_and_it_holds_nothing_that_a_terminal_obeys() -> None:
    tail = Tail()
    error = ValueError("\x1b[31m" + "x" * 100_000)
    tail.emit(record("y" * 100_000, exc_info=(ValueError, error, None)))
    [line] = tail.after(0)
    assert len(line.text) < MOST_TEXT + 100
    assert sum(map(len, line.trace)) < MOST_TRACE + 100
    assert "\x1b" not in "".join(line.trace)


def test_line_whose_arguments_do_not_fit_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    tail = Tail()
    tail.emit(record("%d", "x"))
    assert tail.count == 0
    assert "TypeError" in capsys.readouterr().err


def test_what_is_rationed_is_rationed_here_too(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = [*root.handlers], root.level
    tail = Tail()
    try:
        start_logging("info", "text", tail)
        start_logging("info", "json", tail)  # as a reload does
        for _ in range(100):
            logging.getLogger("test").warning("again")
        assert isinstance(root.handlers[0], Rationed)
        root.handlers[0].flush()
        assert 1 <= tail.count < 100
    finally:
        for each in [*root.handlers]:
            root.removeHandler(each)
            if each not in before:
                each.close()
        for each in before:
            root.addHandler(each)
        root.setLevel(level)
    assert "99" not in capsys.readouterr().out
