"""The log says more for a while; time is virtual."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import Refused
from gateway.logs import set_level
from gateway.loudness import Loudness

NAMED = logging.getLogger("gateway.journal.store")


def levels() -> tuple[int, int, int]:
    return logging.getLogger().level, NAMED.level, logging.getLogger("serialx").level


@pytest.fixture(autouse=True)
def _as_configured() -> Iterator[None]:
    names = ("asyncio", "mqtt", "serialx", NAMED.name)
    before = {name: logging.getLogger(name).level for name in ("", *names)}
    set_level("info")
    yield
    for name, level in before.items():
        logging.getLogger(name or None).setLevel(level)


async def test_everything_is_logged_for_so_long_and_then_what_is_configured() -> None:
    loudness, before = Loudness(), levels()
    answer = loudness.change({"level": "debug", "for": "10m"})
    assert answer == {"logger": "", "level": "debug", "for": "10m"}
    assert levels() == (logging.DEBUG, logging.NOTSET, logging.DEBUG)
    await asyncio.sleep(599)
    assert levels()[0] == logging.DEBUG
    await asyncio.sleep(2)
    assert levels() == before


async def test_one_part_of_it_says_more(caplog: pytest.LogCaptureFixture) -> None:
    loudness, before = Loudness(), levels()
    loudness.change({"level": "debug", "for": "5s", "logger": NAMED.name})
    assert levels() == (before[0], logging.DEBUG, before[2])
    await asyncio.sleep(6)
    assert levels() == before
    assert f"the time is over in which debug was logged of {NAMED.name}" in caplog.messages


async def test_who_asks_again_has_the_new_time(caplog: pytest.LogCaptureFixture) -> None:
    loudness, before = Loudness(), levels()
    for span in ("1s", "5s"):
        loudness.change({"level": "debug", "for": span})
    await asyncio.sleep(4)
    assert levels()[0] == logging.DEBUG
    await asyncio.sleep(2)
    assert levels() == before
    assert len([each for each in caplog.messages if "is over" in each]) == 1


async def test_another_configuration_ends_all_of_it() -> None:
    loudness, before = Loudness(), levels()
    loudness.change({"level": "debug", "for": "1d"})
    loudness.change({"level": "debug", "for": "1d", "logger": NAMED.name})
    loudness.end()
    assert levels() == before


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"for": "1s"}, "level: is missing"),
        ({"level": "debug"}, "for: is missing"),
        ({"level": "error", "for": "1s"}, "level: must be 'debug' or 'info'"),
        ({"level": "debug", "for": "2d"}, "for: must be longer than nothing, and a day at most"),
        ({"level": "debug", "for": "0s"}, "for: must be longer than nothing, and a day at most"),
        ({"level": "debug", "for": 5}, 'for: must be a duration with its unit, such as "250ms", "5s", "10m" or "2h"'),
        ({"level": "debug", "for": "1s", "loger": ""}, 'loger: unknown key; did you mean "logger"?'),
        (
            {"level": "debug", "for": "1s", "logger": "gateway.jurnal.store"},
            'there is no logger gateway.jurnal.store: did you mean "gateway.journal.store"?',
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused_and_changes_nothing(request_: dict[str, Any], why: str) -> None:
    before = levels()
    with pytest.raises(Refused) as refused:
        Loudness().change(request_)
    assert str(refused.value) == why
    assert levels() == before


async def test_log_does_not_say_less_than_is_configured() -> None:
    set_level("debug")
    loudness = Loudness()
    with pytest.raises(
        Refused, match=r"^the level is debug already: log/level lets the log say more, not less$"
    ):
        loudness.change({"level": "info", "for": "1s"})
    set_level("info")
    loudness.change({"level": "debug", "for": "1m"})
    loudness.change({"level": "info", "for": "1m"})  # less than just now, but not than is configured
    assert levels()[0] == logging.INFO
    loudness.end()
