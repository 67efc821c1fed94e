"""`sallyport rules explain` of a running gateway: a real process, an instrument on a pty, a real mosquitto."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.alarms import Alarms
from tests.support.forked import sallyport
from tests.support.gateway_process import until
from tests.support.ports import free_port

pytestmark = pytest.mark.real_time

RULES = (
    '[rules.hot]\nwhen = "board.t > 80 and not board.off"\nnotify = ["oncall"]\n'
    '[rules.silent]\neach = "*"\nwhen = "stale(this)"\n'
)


async def explained(config: Path, rule: str, *, wait: str = "20s") -> tuple[int, str, str]:
    return await sallyport("rules", "explain", rule, "--config", config, "--wait", wait)


@asynccontextmanager
async def talking(site: Alarms, **values: object) -> AsyncIterator[None]:
    """The instrument says this again and again."""

    async def talk() -> None:
        while True:
            await site.say(**values)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        talk_on = group.create_task(talk())
        try:
            yield
        finally:
            talk_on.cancel()


async def test_explain_shows_what_a_running_gateway_publishes_and_what_it_says_of_the_rule(
    tmp_path: Path,
) -> None:
    async with Alarms.at(tmp_path) as site:
        config = site.config(RULES)
        async with site.running(config) as gateway:
            await site.open(gateway)
            async with talking(site, t=90, off=False):
                await until(lambda: site.stories)
                status, out, err = await explained(config, "hot")
                several = await explained(config, "silent")
            await gateway.stop()
    assert status == 0, err
    assert "  board.t is 90; board was heard " in out
    assert (
        "  when: `board.t > 80 and not board.off` is true\n"
        "    `board.t > 80` is true: 90\n"
        "    `not board.off` is true\n"
        "      `board.off` is false\n"
    ) in out
    assert "  the gateway says: firing since 20" in out
    assert several[0] == 0
    assert "silent/board\n" in several[1]
    assert "stale: false; offline: false\n" in several[1]


async def test_explain_says_what_it_has_not_heard_when_its_time_is_over(tmp_path: Path) -> None:
    async with Alarms.at(tmp_path) as site:
        status, out, _ = await explained(site.config(RULES), "hot", wait="500ms")
    assert status == 0
    assert "  board.t is unknown: not seen yet\n" in out
    assert "is unknown: not seen yet\n" in out


async def test_explain_without_a_broker_says_what_is_written_and_that_nobody_answers(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n[devices.board]\ndriver = "json"\nport = "/dev/null"\n'
        '[rules.hot]\nwhen = "board.t > 80"\n'
    )
    status, out, err = await explained(config, "hot")
    assert status == 1
    assert "  when      board.t > 80\n" in out
    assert "Connection refused" in err
