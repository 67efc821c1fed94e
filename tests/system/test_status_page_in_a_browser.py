"""The status page in a real Chromium: what is seen, how soon, by whom, and with how much effort."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from drivers.instrument import PtyInstrument
from tests.support.chromium import Chromium, Page
from tests.support.gateway_process import PATIENCE_S, GatewayProcess, until
from tests.support.page_site import PageSite, page_site

pytestmark = [pytest.mark.real_time, pytest.mark.xdist_group("browser")]

AXE = Path(__file__).parents[1] / "browser" / "node_modules" / "axe-core" / "axe.min.js"
HOT = '[rules.hot]\nwhen = "board.t > 80"\nseverity = "critical"\nmessage = "{board.t:.0f} degrees"\n'
ALERT = "document.querySelector('.alert[data-state=firing]')"


@asynccontextmanager
async def shown(site: PageSite) -> AsyncIterator[tuple[Page, GatewayProcess, PtyInstrument]]:
    async with Chromium.running() as chromium, site.at_work() as (gateway, board), chromium.page() as page:
        await page.dress(width=1280, height=900)
        await page.visit(f"{site.url}/")
        await page.until("document.querySelector('.device[data-state]') !== null")
        yield page, gateway, board
        assert page.complaints == []


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[PageSite]:
    async with page_site(tmp_path, more=HOT) as made:
        yield made


def seen(text: str) -> str:
    return f"document.querySelector('main').innerText.includes({text!r})"


SEEN_OR_TWO_EVENTS_LATER = """new Promise((done) => {
  let events = 0;
  const look = () => [...document.querySelectorAll('.metric .value')].some((each) => each.textContent === '%s');
  const answer = (value) => { source.removeEventListener('change', count); done(value); };
  const count = () => requestAnimationFrame(() => requestAnimationFrame(() => {
    if (look()) answer(true); else if (++events > 2) answer(false);
  }));
  source.addEventListener('change', count);
})"""
"""An event is told each half second: what has happened is seen with the next one, or the one after."""


async def test_what_happens_is_seen_with_one_of_the_next_two_events(site: PageSite) -> None:
    async with shown(site) as (page, gateway, board):
        await board.say(b'{"t":20.5,"mode":"heat","on":true}\n')
        await page.until(seen("20.5"))
        for number in range(3):
            watching = asyncio.create_task(page.run(SEEN_OR_TWO_EVENTS_LATER % (30.25 + number)))
            await board.say(b'{"t":%.2f}\n' % (30.25 + number))
            assert await watching
        await page.until("document.querySelector('.spark .line[d^=M]') !== null")

        await board.say(b'{"t":81}\n')
        await page.until(ALERT + " !== null")
        await page.until(seen("81 degrees"))
        await page.until("document.title.startsWith('▲ 1 alert')")
        await page.until(
            "document.getElementById('announcer').textContent.includes('alert hot (board) firing')"
        )
        assert await page.run(
            "document.getElementById('log').innerText.includes('alert hot (board): firing')"
        )

        board.unplug()
        await page.until("document.querySelector('.device').dataset.state === 'offline'")
        await page.until("document.querySelector('.device .reason').textContent.includes('no such device')")

        assert await gateway.stop(signal.SIGTERM) == 0
        await page.until("document.getElementById('link').dataset.link === 'lost'")
        page.complaints.clear()  # that nobody answers


async def test_what_an_instrument_says_is_text_on_the_page(site: PageSite) -> None:
    harm = "<img src=x onerror=alert(1)><script>document.title=1</script>"
    async with shown(site) as (page, _, board):
        await board.say(orjson.dumps({harm: harm, "t": 81}) + b"\n")
        await page.until(f"document.querySelector('.metrics').innerText.includes({harm!r})")
        assert await page.run("document.querySelectorAll('main img, main script').length") == 0


async def test_page_finds_the_gateway_again_and_shows_how_it_is_now(site: PageSite) -> None:
    link = "document.getElementById('link').dataset.link === '%s'"
    announced = "document.getElementById('announcer').textContent.includes(%r)"
    async with Chromium.running() as chromium, chromium.page() as page:
        async with site.at_work():
            await page.visit(f"{site.url}/")
            await page.until("document.querySelector('.device[data-state]') !== null")
        await page.until(link % "lost")
        await page.until(announced % "the connection to the gateway is lost")
        site.devices = {"other": f'driver = "json"\nport = "{site.folder}/other"'}
        async with site.at_work():
            await page.until(link % "live")
            await page.until("document.querySelectorAll('.device').length === 2")
            await page.run("window.old = true; parts.gateway.version = '0.0.0'")
        async with site.at_work():  # another version has another page
            await page.until("window.old === undefined && document.querySelector('.device') !== null")


async def test_browser_that_is_asked_who_it_is_says_so_and_shows_all_of_it(site: PageSite) -> None:
    site.web = 'username = "plant"\npassword = "s3cret"'
    async with Chromium.running() as chromium, site.at_work() as (_, board), chromium.page() as page:
        await board.say(b'{"t":81}\n')
        await page.visit(f"http://plant:s3cret@127.0.0.1:{site.port}/")
        await page.until(ALERT + " !== null")
        await page.until("document.querySelector('.spark .line[d^=M]') !== null")
        await page.run("document.querySelector('.ack').click()")
        await page.until(seen("acknowledged by status page"))
        assert page.complaints == []


async def test_who_has_looked_away_sees_nothing_of_what_is_over(site: PageSite) -> None:
    state = "document.querySelector('.device').dataset.state === '%s'"
    reason = "document.querySelector('.device .reason').textContent"
    async with shown(site) as (page, gateway, board):
        board.unplug()
        await page.until(f"{state % 'offline'} && {reason} !== ''")
        await page.run("source.close()")
        board.plug_in()
        await until(lambda: gateway.listens_to([board.path]))
        await board.say(b'{"t":20}\n')
        await site.value("t", 20)
        async with asyncio.timeout(PATIENCE_S):
            while "sallyport_web_viewers 0.0" not in (await site.get("/metrics"))[1]:
                await asyncio.sleep(0.05)
        await page.run("open()")
        await page.until(state % "online")
        assert await page.run(reason) == ""


async def test_what_is_told_anew_moves_nothing_under_the_hands_of_who_uses_it(site: PageSite) -> None:
    async with shown(site) as (page, _, board):
        await board.say(b'{"t":81}\n')
        await page.until(ALERT + " !== null")
        assert (await site.post("/api/alerts/silence", {"rule": "other", "for": "1h"}))[0] == 200
        await page.until(seen("Silenced"))
        await page.run(
            "for (const id of ['alerts', 'silences', 'rules']) new MutationObserver((moved) => {"
            " window.moved = (window.moved ?? 0) + moved.length;"
            " }).observe(document.getElementById(id), { childList: true })"
        )
        await page.run("document.querySelector('#silences button').focus()")
        await board.say(b'{"t":82}\n')
        await page.until(seen("82 degrees"))
        assert await page.run("window.moved") is None
        assert (await site.post("/api/alerts/silence", {"rule": "more", "for": "1h"}))[0] == 200
        await page.until("document.querySelectorAll('#silences li').length === 2")
        assert await page.run("document.activeElement.matches('#silences li:first-child button')")
        await page.press("Enter")
        await page.until("document.querySelectorAll('#silences li').length === 1")
        assert await page.run("document.activeElement.id") == "by"
        assert await page.run("document.querySelector('#silences .left').textContent.endsWith('left')")


async def test_all_of_it_is_done_from_the_keyboard(site: PageSite) -> None:
    async with shown(site) as (page, _, board):
        await board.say(b'{"t":81}\n')
        await page.until(ALERT + " !== null")
        await page.run("document.getElementById('by').value = 'Ada'")
        on = "document.activeElement.matches"
        for _ in range(20):
            await page.press("Tab")
            if await page.run(f"{on}('.ack')"):
                break
        assert await page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await page.press("Enter")
        await page.until(seen("acknowledged by Ada"))
        assert await page.run(f"{on}('.hush')")  # the button has gone: the next one has the focus
        await page.press("Enter")
        await page.until("document.getElementById('silence').open")
        await page.press("Escape")
        await page.until("!document.getElementById('silence').open")
        assert await page.run(f"{on}('.hush')")
        await page.press("Enter")
        for _ in range(3):
            await page.press("Tab")
            if await page.run(f"{on}('#silence .main')"):
                break
        await page.press("Enter")
        await page.until(seen("Silenced by Ada: hot, board"))
        _, listed = await site.get("/api/alerts")
        [silence] = listed["silences"]
        assert (silence["rule"], silence["device"], silence["by"]) == ("hot", "board", "Ada")


async def test_filter_shows_what_it_names_and_what_wants_attention(site: PageSite) -> None:
    site.devices = {"other": f'driver = "nmea0183"\nport = "{site.folder}/other"'}
    async with shown(site) as (page, _, board):
        await board.say(b'{"t":20}\n')
        await page.until("document.querySelector('.device[data-state=online]') !== null")
        names = "[...document.querySelectorAll('.device:not([hidden]) h3')].map((each) => each.textContent).join()"
        for words, found in (
            ("nmea", "other"),
            ("BOARD json", "board"),
            ("nothing", ""),
            ("", "board,other"),
        ):
            await page.run(f"filter.value = '{words}'; filter.dispatchEvent(new Event('input'))")
            await page.until(f"{names} === '{found}'")
        await page.run("attention.click()")
        await page.until(f"{names} === 'other'")


async def test_configuration_is_shown_without_its_secrets(site: PageSite) -> None:
    site.more += '[mqtt.cloud]\nurl = "mqtt://127.0.0.1:9"\nusername = "u"\npassword = "s3cret"\n'
    async with shown(site) as (page, _, _):
        await page.run("document.getElementById('configuration-part').open = true")
        await page.until(seen("[mqtt.cloud]"))
        assert await page.run(seen("**********"))
        assert not await page.run(seen("s3cret"))
        await page.run("document.getElementById('rules-part').open = true")
        await page.until(seen("board.t > 80"))


async def test_axe_finds_nothing_whatever_the_colours_and_the_size(site: PageSite) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not there: scripts/test installs it")
    site.devices = {"other": f'driver = "json"\nport = "{site.folder}/other"'}
    async with shown(site) as (page, _, board):
        await board.say(b'noise\n{"t":81,"mode":"heat"}\n')
        await page.until(ALERT + " !== null")
        assert (await site.post("/api/alerts/silence", {"rule": "other", "for": "1h"}))[0] == 200
        await page.until(seen("Silenced"))
        await page.run("for (const each of document.querySelectorAll('details')) each.open = true")
        await page.until(seen("[web]"))
        await page.call("Runtime.evaluate", expression=AXE.read_text())
        for width, height, dark in (
            (1280, 900, False),
            (1280, 900, True),
            (360, 740, False),
            (360, 740, True),
        ):
            await page.dress(width=width, height=height, dark=dark)
            assert (
                await page.run(
                    "axe.run().then((found) => found.violations.map((each) => "
                    "`${each.id}: ${each.nodes.map((node) => node.html).join(' ')}`))"
                )
                == []
            )
            assert await page.run("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
        await page.run("document.querySelector('.hush').click()")
        assert await page.run("axe.run('dialog').then((found) => found.violations.length)") == 0


MANY, METRICS = 200, 20

STRAIN = """new Promise((done) => {
  const long = [];
  const watch = new PerformanceObserver((list) => { for (const each of list.getEntries()) long.push(each.duration); });
  watch.observe({ type: 'longtask' });
  const begun = performance.now(), wanted = %d;
  let frames = 0, events = 0;
  if (wanted) source.addEventListener('change', () => events++);
  const frame = () => {
    frames++;
    const ms = performance.now() - begun;
    if (ms < 3000 || events < wanted) { requestAnimationFrame(frame); return; }
    watch.disconnect();
    done({ rate: frames / ms, long });
  };
  requestAnimationFrame(frame);
})"""
"""Frames in a millisecond, and the long tasks, for three seconds and until so many events have come."""


@pytest.mark.repetitive
async def test_two_hundred_devices_with_twenty_metrics_stay_smooth(site: PageSite) -> None:
    """Compared with a page that does nothing in the same browser at the same time of a busy machine."""
    site.more = ""
    lines = {f"d{number}": PtyInstrument(site.folder / f"d{number}") for number in range(MANY)}
    site.devices = {name: f'driver = "json"\nport = "{line.path}"' for name, line in lines.items()}
    for line in lines.values():
        line.plug_in()
    try:
        async with shown(site) as (page, _, _):
            talking = asyncio.create_task(_talk(lines))
            await page.until(
                f"[...devices.values()].filter((each) => each.told.state === 'online').length === {MANY}"
            )
            await page.until("document.querySelectorAll('.metric').length >= 20 * 150")
            busy = await page.run(STRAIN % 4)
            talking.cancel()
            await page.visit("about:blank")
            idle = await page.run(STRAIN % 0)
        # A long task is one of 50 ms or more: none holds up the page for so long that it is felt.
        worst = max(busy["long"], default=0.0)
        assert busy["rate"] > 0.5 * idle["rate"], (busy, idle)
        assert worst < 200 + 2 * max(idle["long"], default=0.0), (busy, idle)
    finally:
        for line in lines.values():
            line.unplug()


async def _talk(lines: dict[str, PtyInstrument]) -> None:
    number = 0
    while True:
        number += 1
        values = ",".join(f'"m{metric}":{number * 1.25 + metric}' for metric in range(METRICS)).encode()
        for line in lines.values():
            try:
                os.write(line._line or -1, b"{" + values + b"}\n")
            except OSError:
                continue
            await asyncio.sleep(0.005)
