"""Commands of `sallyport` that the documents show, run as they stand there, beside a gateway that runs."""

import asyncio
import re
import shlex
import signal
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import drivers
from drivers.instrument import PtyInstrument
from gateway.commands.ending import EXIT_INTERRUPTED
from gateway.commands.simulate import play
from tests.support.documents import DOCUMENTS, ROOT, blocks, console, indented, name
from tests.support.forked import Forked
from tests.support.gateway_process import GatewayProcess, until
from tests.support.home_assistant import HomeAssistant
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(300)]

GETTING_STARTED = ROOT / "docs" / "getting-started.md"
CONTROL = ROOT / "docs" / "control.md"

FOLLOWED_ELSEWHERE = {GETTING_STARTED: "test_first_ten_minutes_lead_to_a_value_and_into_home_assistant"}
"""Pages whose commands need more than the site below, and the test that runs them."""

SITE = """\
[gateway]
name = "greenhouse"
[mqtt]
url = "mqtt://{host}:{port}"
[devices.meter]
driver = "dsmr"
port = "{folder}/p1"
[devices.boiler]
driver = "json"
port = "{folder}/boiler"
[devices.weather]
driver = "json"
port = "{folder}/weather"
[rules.overheat]
when = "boiler.temperature > -100"
"""

SUPPLY = re.compile(r"^\[devices\.supply\]\n.*", re.MULTILINE | re.DOTALL)
"""In the configuration of docs/control.md: what stands there is set as that page says."""

INSTRUMENTS = {"p1": "dsmr", "boiler": "json", "weather": "json", "supply": "scpi", "ttyUSB0": "dsmr"}
"""Ports of the site, the last one of nobody, and what is simulated at them."""

RULE_TEST = """\
config = "{config}"
[[test]]
[[test.series]]
device = "boiler"
values = {{ temperature = "20 + 0 x 5" }}
[[test.expect]]
at = "2s"
firing = ["overheat"]
"""

ENDLESS = re.compile(r"simulate |tail(?! .*--count)|replay .*--pty")
"""Until Ctrl-C."""

AT_WORK = re.compile(rb"Ctrl-C unplugs|can open it now|Ctrl-C ends it\n.+\n")
"""What it says then."""

DRAWS = re.compile(r"sallyport top|tail --table")
"""On a terminal, until Ctrl-C."""

BEFORE = re.compile(r"check --connect")
"""Asks for what the gateway holds while it runs."""

MAY_FAIL = {"sallyport doctor": 1, "sallyport init": 2, "sallyport status": 1}
"""Commands whose status says something of the machine that the tests run on: whether somebody keeps its clock right,
whether there is a configuration that is somebody's; or of the site: whether an alert fires."""


@dataclass(frozen=True)
class Site:
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "gateway.toml"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SALLYPORT_CONFIG": str(self.config),
            "STATE_DIRECTORY": str(self.folder / "state"),
            "RUNTIME_DIRECTORY": str(self.folder / "run"),
        }

    def moved(self, command: str) -> list[str]:
        """The command, with the site's own files in place of those that the page names, a length in place of a
        moment, which may be over, and a shorter recording."""
        command = re.sub(
            r"(?<!\S)(/etc/sallyport/|/tmp/|/dev/|(?=gateway\.toml))", f"{self.folder}/", command
        )
        command = re.sub(r"--until \S+", "--for 2h", command)
        command = re.sub(r"(record .*--for) 10m", r"\1 3s", command)
        return shlex.split(command)[1:]

    async def run(self, command: str, cwd: Path) -> tuple[int, str]:
        """Its exit status, and what it said."""
        said = b""
        async with (
            asyncio.timeout(60),
            Forked.running(
                *self.moved(command), cwd=cwd, environment=self.environment, stderr=STDOUT
            ) as process,
        ):
            assert process.stdout is not None
            if ENDLESS.search(command):
                while not AT_WORK.search(said):
                    line = await process.stdout.readline()
                    assert line, f"{command} has ended: {said.decode()}"
                    said += line
                process.send_signal(signal.SIGINT)
            rest, _ = await process.communicate()
            return await process.wait(), (said + rest).decode()


def commands(document: Path) -> list[str]:
    """But `run`: that is the gateway itself, which `GatewayProcess` starts."""
    typed = [each for each in console(document) if each.startswith("sallyport ")]
    return [each for each in typed if not each.startswith("sallyport run")]


PAGES = [
    page
    for page in DOCUMENTS
    if page not in FOLLOWED_ELSEWHERE and page.parent.name != "drivers" and commands(page)
]


@asynccontextmanager
async def simulated(driver: str, path: Path) -> AsyncIterator[PtyInstrument]:
    simulation = drivers.find(driver).simulation
    assert simulation is not None
    with PtyInstrument.plugged_in(path) as instrument:
        playing = asyncio.create_task(play(instrument, simulation))
        try:
            yield instrument
        finally:
            playing.cancel()
            await asyncio.wait([playing])


async def check(site: Site, command: str, cwd: Path) -> None:
    if DRAWS.search(command):
        await look(site, command)
        return
    status, said = await site.run(command, cwd)
    good = {0, *(each for part, each in MAY_FAIL.items() if part in command)}
    if ENDLESS.search(command):
        good.add(EXIT_INTERRUPTED)
    assert status in good, f"{command}: {status}\n{said}"
    assert "Traceback" not in said, f"{command}\n{said}"


async def look(site: Site, command: str) -> None:
    """On a terminal, until somebody has seen enough."""
    async with Terminal.sallyport(
        *site.moved(command), columns=250, rows=60, environment=site.environment
    ) as terminal:
        await terminal.shows("boiler", "supply", "weather")
        terminal.press("\x03")
        assert await terminal.ended() in (0, EXIT_INTERRUPTED), command


@pytest.mark.repetitive
async def test_commands_of_the_pages_do_what_they_are_shown_for(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(Mosquitto.running(tmp_path))
        for port, driver in INSTRUMENTS.items():
            await stack.enter_async_context(simulated(driver, tmp_path / port))
        site = Site(tmp_path)
        [supply] = SUPPLY.findall(next(text for language, text in blocks(CONTROL) if language == "toml"))
        site.config.write_text(
            SITE.format(host=broker.host, port=broker.port, folder=tmp_path)
            + re.sub(r'^port = ".*"', f'port = "{tmp_path}/supply"', supply, flags=re.MULTILINE)
        )

        async def follow(page: Path, typed: Sequence[str]) -> None:
            cwd = tmp_path / name(page).replace("/", "-")
            (cwd / "tests").mkdir(parents=True, exist_ok=True)
            (cwd / "tests" / "boiler.toml").write_text(RULE_TEST.format(config=site.config))
            (cwd / "night.recording").write_bytes(b'{"temperature": 21.5}\n' * 5)
            for command in typed:
                await check(site, command, cwd)

        first = {command: page for page in reversed(PAGES) for command in commands(page)}
        for command in filter(BEFORE.search, first):
            await follow(first[command], [command])
        gateway = await stack.enter_async_context(GatewayProcess.running(site.config))
        await gateway.said("alert overheat (boiler): firing")
        await gateway.said("supply: online")
        async with asyncio.TaskGroup() as group:  # one page beside the other, each in its order
            for page in PAGES:
                typed = [each for each in commands(page) if first[each] == page and not BEFORE.search(each)]
                group.create_task(follow(page, typed))
        await gateway.stop()


@pytest.mark.repetitive
async def test_each_driver_is_simulated_with_the_command_of_its_page(tmp_path: Path) -> None:
    async def follow(site: Site, page: Path) -> None:
        for command in commands(page):
            status, said = await site.run(command, tmp_path)
            assert status == 0, f"{command}: {said}"
            assert f'driver = "{page.stem}"' in said

    async with asyncio.TaskGroup() as group:
        for driver in drivers.DRIVERS:
            group.create_task(follow(Site(tmp_path), ROOT / "docs" / "drivers" / f"{driver}.md"))


async def test_first_ten_minutes_lead_to_a_value_and_into_home_assistant(tmp_path: Path) -> None:
    simulate, check_it, run, tail, doctor, *_ = console(GETTING_STARTED)
    first, second = (
        text.replace("/tmp/", f"{tmp_path}/")
        for language, text in blocks(GETTING_STARTED)
        if language == "toml"
    )
    async with asyncio.TaskGroup() as group:
        site = Site(tmp_path)
        site.config.write_text(first.replace("[mqtt]", f"[mqtt]\nembedded_port = {free_port()}"))
        instrument = group.create_task(_simulated_by(site, simulate))
        await until((tmp_path / "weather").exists)
        status, said = await site.run(check_it, tmp_path)
        assert (status, said.count("\nok ")) == (0, 2), said
        assert run == "sallyport run --config gateway.toml"
        async with GatewayProcess.running(site.config) as gateway:
            await gateway.said("weather: online")
            status, said = await site.run(tail, tmp_path)
            assert status == 0, said
            assert re.search(r"weather  temperature=[\d.]+  humidity=", said), said
            await gateway.stop(signal.SIGINT)
        [asked] = [each for each in indented(GETTING_STARTED) if "umask" in each]
        typing = await asyncio.create_subprocess_shell(asked, cwd=tmp_path, stdin=asyncio.subprocess.PIPE)
        await typing.communicate(b"hunter2\n")
        assert (tmp_path / "mqtt-password").stat().st_mode & 0o777 == 0o600
        with Mosquitto.running(tmp_path) as broker:
            site.config.write_text(second.replace("homeassistant.local:1883", f"{broker.host}:{broker.port}"))
            async with (
                HomeAssistant.running(broker.port) as home,
                GatewayProcess.running(site.config) as gateway,
            ):
                entities = {
                    "sensor.greenhouse_weather_temperature": "°C",
                    "sensor.greenhouse_weather_humidity": "%",
                }
                await until(lambda: all(home.states.get(each, "unknown")[0].isdigit() for each in entities))
                for entity, unit in entities.items():
                    config = home.entity(entity).config
                    assert (config["unit_of_measurement"], config["state_class"]) == (unit, "measurement")
                    assert entity.endswith(config["device_class"])
                assert (await site.run(doctor, tmp_path))[0] in (0, MAY_FAIL["sallyport doctor"])
                instrument.cancel()
                await gateway.said("weather: offline")
                await gateway.stop()
            assert home.complaints == []


async def _simulated_by(site: Site, command: str) -> None:
    """As in a terminal of its own."""
    async with Forked.running(*site.moved(command), stdout=DEVNULL, stderr=DEVNULL) as process:
        try:
            await process.wait()
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()


def test_pages_with_commands_are_found() -> None:
    assert {name(page) for page in PAGES} >= {
        "README.md",
        "docs/alerts.md",
        "docs/bringing-up.md",
        "docs/operations.md",
    }
