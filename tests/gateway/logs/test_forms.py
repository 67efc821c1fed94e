import json
import logging
import re

import pytest

from gateway.logs import MessageId, about
from gateway.logs.forms import Form, as_json, coloured, plain, prefixed, prefixed_json
from tests.gateway.logs.records import raised, record

SAID = record(
    "%s: stale", "boiler", extra=about(MessageId.DEVICE_STALE, device="boiler", port="/dev/ttyUSB0")
)


def test_plain_line_has_local_time_and_level() -> None:
    assert re.fullmatch(r"2025-11-2\d \d\d:\d\d:01 WARNING boiler: stale", Form(plain).format(SAID))


def test_colours_change_nothing_but_colours() -> None:
    shown = Form(coloured).format(SAID)
    assert re.sub(r"\x1b\[[\d;]*m", "", shown) == Form(plain).format(SAID)
    assert "\x1b[33mWARNING\x1b[0m" in shown


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        (logging.DEBUG, "<7>"),
        (logging.INFO, "<6>"),
        (logging.WARNING, "<4>"),
        (logging.ERROR, "<3>"),
        (logging.CRITICAL, "<2>"),
        (25, "<6>"),
    ],
)
def test_each_line_for_journald_has_its_priority(level: int, prefix: str) -> None:
    shown = Form(prefixed).format(record("a bug", level=level, error=raised("bad")))
    assert shown.startswith(f"{prefix}a bug\n{prefix}    Traceback")
    assert all(each.startswith(prefix) for each in shown.split("\n"))


def test_json_has_time_level_message_and_fields() -> None:
    assert json.loads(Form(as_json).format(SAID)) == {
        "time": "2025-11-23T17:07:01.123Z",
        "level": "warning",
        "message": "boiler: stale",
        "message_id": MessageId.DEVICE_STALE,
        "device": "boiler",
        "port": "/dev/ttyUSB0",
    }


def test_json_of_a_bug_has_its_traceback_on_the_same_line() -> None:
    shown = Form(as_json).format(record("a bug", error=raised("bad")))
    assert "\n" not in shown
    assert json.loads(shown)["trace"][-1] == "ValueError: bad"


def test_json_for_journald_begins_with_its_priority() -> None:
    shown = Form(prefixed_json).format(SAID)
    assert shown == "<4>" + Form(as_json).format(SAID)
