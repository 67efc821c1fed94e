"""The pictures of docs/status-page.md: the real gateway with simulated instruments, in a real browser."""

import asyncio
import re
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from drivers.instrument import PtyInstrument
from gateway.commands.simulate import play, section, simulated
from tests.support.chromium import Chromium, Page
from tests.support.gateway_process import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port

IMAGES = Path(__file__).parent.parent / "docs" / "images"
INSTRUMENTS = {
    "heat-pump": "modbus", "weather": "davis", "air": "mhz19", "dust": "sps30", "house": "dsmr", "bench": "json",
    "boat": "nmea0183", "solar": "sml",
}  # fmt: skip
"""Their drivers, by name."""
MINUTES = 5.0
"""So long the lines have to grow."""

SITE = """
[gateway]
name = "greenhouse"

[mqtt]
url = "mqtt://127.0.0.1:{broker}"

[mqtt.cloud]
url = "mqtt://127.0.0.1:9"

[journal]
path = "journal.db"

[web]
listen = "127.0.0.1:{port}"

[devices.well-pump]
driver = "json"
port = "{folder}/well-pump"

[rules.clock_unsynchronised]
enabled = false

[rules.co2_low]
when = "air.co2 < 600"
for = "2s"
message = "{{air.co2:.0f}} ppm of carbon dioxide: the plants want more"

[rules.mild]
when = "weather.temperature > 15"
severity = "info"
message = "{{weather.temperature:.1f}} °C outside: the vents may open"
"""


async def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    IMAGES.mkdir(exist_ok=True)
    folder, port = Path(tempfile.gettempdir()) / "greenhouse", free_port()
    folder.mkdir()  # by this name, as the pictures show it
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        broker = stack.enter_context(Mosquitto.running(folder))
        lines = {each: stack.enter_context(PtyInstrument.plugged_in(folder / each)) for each in INSTRUMENTS}
        tables = [
            re.sub(
                r"^(\[+devices\.)[\w-]+",
                rf"\g<1>{each}",
                section(driver, folder / each),
                flags=re.MULTILINE,
            )
            for each, driver in INSTRUMENTS.items()
        ]
        file = folder / "gateway.toml"
        site = SITE.format(broker=broker.port, port=port, folder=folder)
        file.write_text(site + "\n".join(tables))
        async with asyncio.TaskGroup() as group, GatewayProcess.running(file) as gateway:
            playing = [
                group.create_task(play(line, simulated(INSTRUMENTS[each]))) for each, line in lines.items()
            ]
            await gateway.said("status page: http")
            await asyncio.sleep(minutes * 60)
            async with Chromium.running() as chromium, chromium.page() as page:
                await page.dress(width=1440, height=1100)
                await page.visit(f"http://127.0.0.1:{port}/")
                await take(page, "desktop", width=1440, height=1100)
                await take(page, "dark", width=1440, height=1100, dark=True)
                await take(page, "phone", width=390, height=1500, scale=2)
            for each in playing:
                each.cancel()


async def take(
    page: Page, name: str, *, width: int, height: int, dark: bool = False, scale: float = 1
) -> None:
    await page.dress(width=width, height=height, dark=dark, scale=scale)
    await page.until("document.querySelector('.spark .line[d^=M]') !== null")
    await asyncio.sleep(3)  # lines of all that is to be seen
    await page.picture(IMAGES / f"status-{name}.png")
    assert not page.complaints, page.complaints


asyncio.run(main())
