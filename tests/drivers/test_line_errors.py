"""The kernel's counters of a port, where there are any."""

import os
from pathlib import Path

import pytest

from drivers.line_errors import LineErrors


def test_pseudo_terminal_counts_nothing(tmp_path: Path) -> None:
    line, terminal = os.openpty()
    assert LineErrors.of(os.ttyname(terminal)) is None
    os.close(line)
    os.close(terminal)
    assert LineErrors.of(str(tmp_path / "nothing")) is None


def test_real_port_is_asked_for_its_counters() -> None:
    found = [counters for path in Path("/dev").glob("ttyS*") if (counters := LineErrors.of(str(path)))]
    if not found:
        pytest.skip("no serial port here that counts")
    assert all(count >= 0 for counters in found for count in counters)


def test_errors_since_then_are_the_difference_also_if_the_adapter_was_plugged_in_anew() -> None:
    before = LineErrors(received=100, framing=1, parity=2, overrun=0, breaks=0, buffer_overrun=0)
    after = LineErrors(received=150, framing=4, parity=2, overrun=1, breaks=0, buffer_overrun=0)
    assert after.since(before) == (50, 3, 0, 1, 0, 0)
    assert str(after.since(before)) == "framing 3, overrun 1"
    assert before.since(after).spoilt == 0
    assert str(before.since(after)) == "none"
