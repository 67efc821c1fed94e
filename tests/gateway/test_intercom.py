"""Callers on the socket, and what they may cost."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.errors import LinkError, Refused, Unreachable, UsageError
from gateway.health import Patience
from gateway.intercom import ANSWER_S, LARGEST_ANSWER, intercom, put
from gateway.logs import MessageId
from gateway.request import Verb
from tests.support.logged import fields

pytestmark = pytest.mark.real_time

AT_ONCE_S = 20.0
"""Far less than the patience there is with a caller who says nothing."""


def _not_json(_request: dict[str, Any]) -> Mapping[str, Any]:
    return {"it": object()}


def _broken(_request: dict[str, Any]) -> Mapping[str, Any]:
    raise ValueError("a password")


async def _slow(_request: dict[str, Any]) -> Mapping[str, Any]:
    raise TimeoutError


def _lost(_request: dict[str, Any]) -> Mapping[str, Any]:
    raise LinkError("/dev/ttyUSB0: it went away")


def _nameless(_request: dict[str, Any]) -> Mapping[str, Any]:
    raise Refused(os.fsdecode(b"/etc/gateway-\xff.toml: no such file"))


def _well(_request: dict[str, Any]) -> Mapping[str, Any]:
    return {"it": 1}


VERBS: Mapping[str, Verb] = {
    "broken": _broken,
    "lost": _lost,
    "nameless": _nameless,
    "not json": _not_json,
    "slow": _slow,
    "well": _well,
}


async def _ask(path: Path, verb: str) -> Any:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(orjson.dumps({"verb": verb}) + b"\n")
    answer = orjson.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("verb", "kind"),
    [("not json", "TypeError"), ("broken", "ValueError"), ("slow", "TimeoutError")],
)
async def test_bug_in_a_verb_is_answered_so_and_logged_and_costs_nobody_else(
    verb: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(AT_ONCE_S), intercom(tmp_path / "s", VERBS):
        answer = await _ask(tmp_path / "s", verb)
        assert answer == {
            "status": "error",
            "error": f"internal error ({kind}): the gateway's log has more",
        }
        assert await _ask(tmp_path / "s", "well") == {"status": "ok", "it": 1}
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert fields(caplog.records, "intercom: a bug, please report it") == {"MESSAGE_ID": MessageId.BUG}


async def test_error_of_ours_that_a_verb_lets_through_is_the_answer_and_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(AT_ONCE_S), intercom(tmp_path / "s", VERBS):
        answer = await _ask(tmp_path / "s", "lost")
    assert answer == {"status": "error", "error": "/dev/ttyUSB0: it went away"}
    told = [each.getMessage() for each in caplog.records if each.name == "gateway.request"]
    assert told == ["asked on this machine: lost {}: /dev/ttyUSB0: it went away"]


async def test_reason_that_is_not_all_text_is_answered_escaped(tmp_path: Path) -> None:
    async with asyncio.timeout(AT_ONCE_S), intercom(tmp_path / "s", VERBS):
        answer = await _ask(tmp_path / "s", "nameless")
        assert answer == {"status": "error", "error": r"/etc/gateway-\udcff.toml: no such file"}
        assert await _ask(tmp_path / "s", "well") == {"status": "ok", "it": 1}


@pytest.mark.parametrize("turns", range(6))
async def test_caller_who_comes_when_it_ends_does_not_hold_it_up(turns: int, tmp_path: Path) -> None:
    """However far he has come by then: in the queue of the socket, let in, greeted, waited for."""
    with socket.socket(socket.AF_UNIX) as caller:
        async with asyncio.timeout(AT_ONCE_S):
            async with intercom(tmp_path / "s", VERBS):
                caller.connect(str(tmp_path / "s"))
                for _ in range(turns):
                    await asyncio.sleep(0)
            await asyncio.sleep(0.1)
        caller.setblocking(False)
        with suppress(ConnectionResetError):  # as it is for one whom nobody has let in
            assert caller.recv(1) == b"", "he is told that nobody answers"


@asynccontextmanager
async def somebody_who_says(path: Path, answer: bytes) -> AsyncIterator[None]:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        with suppress(OSError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(say, path):
        yield


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"x" * (3 * LARGEST_ANSWER), "the gateway's answer is larger than 16 MB: ask for less"),
        (b"", "the gateway has hung up without an answer: its log says why"),
        (b'{"status":', "the gateway has hung up without an answer: its log says why"),
    ],
    ids=["endless", "none", "half"],
)
async def test_answer_without_an_end_is_not_read_to_its_end_and_one_that_is_none_is_no_bug(
    answer: bytes, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    async with asyncio.timeout(AT_ONCE_S), somebody_who_says(path, answer):
        with pytest.raises(Unreachable) as unreachable:
            await put(path, "overview")
    assert str(unreachable.value) == f"{path}: {why}"


async def test_nobody_who_answers_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"/s: the gateway does not answer: No such file or directory$"):
        await put(tmp_path / "s", "overview")


async def test_what_is_no_text_cannot_be_asked_for(tmp_path: Path) -> None:
    for request in ({"device": "\udcff"}, {"n": 2**70}):
        with pytest.raises(UsageError, match=r"^cannot be asked for: "):
            await put(tmp_path / "s", "set", request)


def test_who_asks_for_a_reload_waits_longer_for_it_than_it_may_take() -> None:
    assert Patience().long_s < ANSWER_S
