import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.logs import MessageId, about
from gateway.logs.journald import Journald, datagram, leads_to_journald
from gateway.logs.line import Line
from tests.gateway.logs.records import raised, record
from tests.support.journald import JournaldSocket, parsed

pytestmark = pytest.mark.real_time


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[JournaldSocket]:
    with JournaldSocket.bound(tmp_path / "socket") as bound:
        yield bound


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def journald(peer: JournaldSocket, stream: io.StringIO) -> Iterator[Journald]:
    handler = Journald(stream, peer.path, patience_s=0.2)
    yield handler
    handler.close()


def test_line_arrives_with_its_fields(journald: Journald, peer: JournaldSocket, stream: io.StringIO) -> None:
    journald.handle(record("%s: stale", "boiler", extra=about(MessageId.DEVICE_STALE, device="boiler")))
    assert [*peer.entries()] == [
        {
            "MESSAGE": "boiler: stale",
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "sallyport",
            "MESSAGE_ID": MessageId.DEVICE_STALE,
            "DEVICE": "boiler",
        }
    ]
    assert stream.getvalue() == ""


def test_bug_is_one_entry_with_its_traceback(journald: Journald, peer: JournaldSocket) -> None:
    journald.handle(record("a bug", level=logging.ERROR, error=raised("bad\nPRIORITY=0")))
    [entry] = peer.entries()
    first, *rest = entry["MESSAGE"].split("\n")
    assert (first, rest[0], rest[-1]) == ("a bug", "Traceback (most recent call last):", "PRIORITY=0")
    assert entry["PRIORITY"] == "3"


@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=50))
def test_no_text_forges_a_field(text: str) -> None:
    extra = about(
        MessageId.DEVICE_ONLINE, device=text, port=f"\nRULE=forged\n{text}", trace=f"{text}\nRULE=forged"
    )
    entry = parsed(datagram(Line.of(record("%s\nRULE=forged", text, extra=extra))))
    assert entry.keys() == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE_ID", "DEVICE", "PORT"}


def test_without_a_socket_lines_go_to_the_stream_with_their_priority(
    tmp_path: Path, stream: io.StringIO
) -> None:
    journald = Journald(stream, tmp_path / "none")
    journald.handle(record("boiler: stale"))
    assert stream.getvalue() == "<4>boiler: stale\n"
    journald.close()


def test_socket_that_comes_back_is_found_again(
    journald: Journald, peer: JournaldSocket, stream: io.StringIO
) -> None:
    journald.handle(record("one"))
    peer.close()
    journald.handle(record("two"))
    assert stream.getvalue() == "<4>two\n"
    with JournaldSocket.bound(peer.path) as again:
        journald.handle(record("three"))
        assert [each["MESSAGE"] for each in again.entries()] == ["three"]


def test_socket_that_is_another_one_at_once_costs_no_line(
    journald: Journald, peer: JournaldSocket, stream: io.StringIO
) -> None:
    journald.handle(record("one"))
    peer.close()
    with JournaldSocket.bound(peer.path) as again:
        journald.handle(record("two"))
        assert [each["MESSAGE"] for each in again.entries()] == ["two"]
    assert stream.getvalue() == ""


def test_journald_that_takes_nothing_holds_nobody_up_and_what_it_missed_is_counted(
    journald: Journald, peer: JournaldSocket, stream: io.StringIO
) -> None:
    for number in range(2000):  # with a wait for each one this would reach the suite's time limit
        journald.handle(record("%d", number))
    taken = [each["MESSAGE"] for each in peer.entries()]
    assert taken == [str(number) for number in range(len(taken))]
    journald.handle(record("back"))
    note, line = peer.entries()
    missing = 2000 - len(taken)
    assert missing
    assert note["MESSAGE"] == f"log: {missing} lines are missing here: journald did not take them"
    assert line["MESSAGE"] == "back"
    journald.handle(record("next"))
    assert [each["MESSAGE"] for each in peer.entries()] == ["next"]
    assert stream.getvalue() == ""


def test_text_that_does_not_fit_its_arguments_stops_nobody(
    journald: Journald, capsys: pytest.CaptureFixture[str]
) -> None:
    journald.handle(record("%d readings", "many"))
    assert "Logging error" in capsys.readouterr().err


def test_stream_leads_to_journald_only_if_it_is_the_one_that_systemd_named(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as stderr, (tmp_path / "file").open("w") as redirected:
        status = os.fstat(stderr.fileno())
        environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert leads_to_journald(stderr, environment)
        assert not leads_to_journald(redirected, environment)
        assert not leads_to_journald(stderr, {})
        assert not leads_to_journald(io.StringIO(), environment)
