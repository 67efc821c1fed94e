"""What docs/security.md names is there, and no claim stands in it that no test tries."""

import re
from pathlib import Path

import pytest

from gateway import dump, live
from gateway.config import ControlOptions, page, secret
from gateway.control import MOST_OF_ONE, MOST_WAITING
from gateway.intercom import LARGEST_ANSWER, MOST_CALLERS
from gateway.journal.journal import HELD_BYTES
from gateway.logs import line
from gateway.notify import http
from gateway.overview import MOST_DEVICES
from gateway.publish import mended_aiomqtt
from gateway.publish.packets import names
from gateway.request import LARGEST
from gateway.web import guard, server, stream
from tests.support.documents import known_tests

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "security.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("|") and not line.startswith("| ---")]


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 60
    assert named - known_tests() == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:50])
def test_every_row_has_a_test(row: str) -> None:
    *_, last, _ = row.split("|")
    if last.strip() == "tests":
        return
    assert re.fullmatch(r"( *`test_\w+`)+ *", last) or row == "| root | everything | | |"


def test_what_the_page_says_of_the_units_is_in_them() -> None:
    said = re.findall(r"`([A-Z]\w+=\S+)`", TEXT)
    assert len(said) >= 3
    for unit in ("sallyport.service", "sallyport@.service"):
        assert {*said} <= {*(ROOT / "systemd" / unit).read_text().splitlines()}


def test_limits_are_those_of_the_program() -> None:
    kb, mb = 1024, 1024 * 1024
    for words, limits in {
        f"{page.LARGEST // mb} MB, {page.DEEPEST} tables deep": "a configuration",
        f"{secret.LARGEST // kb} KB": "a secret's file",
        f"{names.LARGEST_PACKET // kb} KB, where": "a broker's packet",
        f"{mended_aiomqtt.LARGEST_PACKET // mb} MB where": "a broker's packet",
        f"{LARGEST // kb} KB; {MOST_WAITING} wait, {MOST_OF_ONE} of them for one device": "a request",
        f"of {ControlOptions().rate} a second; {MOST_CALLERS} at once by the socket": "a request",
        f"{LARGEST_ANSWER // mb} MB; the last minutes are told of {MOST_DEVICES} devices": "a gateway's answer",
        f"{live.SAID_BYTES // kb} KB, which nobody reads; {live.MOST_CLIENTS} clients,"
        f" {live.ROOM_BYTES // kb} KB waiting for each, {live.STALL_S:g} s": "a client of the live feed",
        f"one a second, {dump.MOST_BYTES // kb} KB of stacks": "requests for a `dump`",
        f"{LARGEST // kb} KB a request; {server.MOST_CONNECTIONS} connections, {stream.MOST_VIEWERS} of them looking;"
        f" {server.IDLE_S:g} s without a request, {guard.ANSWER_S:g} s for one": "a visitor of the status page",
        f"{http.MOST_HEADERS // kb} KB of headers, {http.MOST_EXCERPT} bytes of text": "a webhook's answer",
        f"{line.MOST_TEXT} characters, and {line.MOST_TRACE} of": "a line of the log",
        f"{HELD_BYTES // 10**6} MB when there is no disk": "all of it",
    }.items():
        [row] = [each for each in ROWS if each.startswith(f"| {limits}")]
        assert words in row
