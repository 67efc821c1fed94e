import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from gateway import config
from gateway.plan import plan
from gateway.source import IN_PLACE
from tests.support.papers import Authority

SITE = """
[gateway]
name = "hall"

[mqtt]
url = "mqtts://broker.example"
tls.ca = "made/ca.pem"

[mqtt.cloud]
url = "mqtt://cloud.example"

[journal]
path = "hall.db"

[live]
listen = "127.0.0.1:4040"

[devices.boiler]
driver = "json"
port = "/dev/ttyUSB0"

[devices.gps]
driver = "nmea0183"
port = "/dev/ttyUSB1"

[rules.hot]
when = "boiler.t > 80"

[notify.phone]
url = "https://phone.example/"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Authority(tmp_path / "made", "authority")
    return tmp_path


def planned(folder: Path, *edits: tuple[str, str], also: str = "") -> list[str]:
    file = folder / "gateway.toml"
    file.write_text(SITE)
    old = config.load(file)
    text = SITE
    for before, after in edits:
        assert text.count(before) == 1
        text = text.replace(before, after)
    file.write_text(text + also)
    return plan(old, config.load(file)).lines


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        ("hot]", "hot]", ["nothing changes"]),
        ('name = "hall"', 'name = "hall"\nlog_level = "debug"', ["change: gateway (log_level)"]),
        ("127.0.0.1:4040", "/run/sallyport/live.sock", ["change: live (listen)"]),
        ("[journal]", '[journal]\nsync = "1s"\nmax_age = "1d"', ["change: journal (sync, max_age)"]),
        ("[journal]", '[web]\nlisten = "127.0.0.1:8080"\n[journal]', ["change: web (listen)"]),
        ("ttyUSB1", "ttyUSB2", ["restart: devices.gps (port)"]),
        ('"nmea0183"', '"json"', ["restart: devices.gps (driver)"]),
        ('"/dev/ttyUSB0"', '"/dev/ttyUSB0"\nstale_after = "9s"', ["change: devices.boiler (stale_after)"]),
        (
            '"/dev/ttyUSB0"',
            '"/dev/ttyUSB0"\nmetrics.t = { unit = "Cel" }',
            ["change: devices.boiler (metrics)"],
        ),
        (
            '"/dev/ttyUSB0"',
            '"/dev/ttyUSB0"\nstale_after = "9s"\nparity = "even"',
            ["restart: devices.boiler (parity, stale_after)"],
        ),
        ("[journal]", "[control]\nrate = 5\nset = []\n[journal]", ["change: control (rate)"]),
        ("[journal]", "[control]\nenabled = false\n[journal]", ["change: control (enabled)"]),
        ("devices.gps]", "devices.ship]", ["stop: devices.gps", "start: devices.ship"]),
        ("> 80", "> 90", ["change: rules.hot (when)"]),
        ('> 80"', '> 80"\nfor = "3s"', ["change: rules.hot (for)"]),
        ("rules.hot]", "rules.warm]", ["stop: rules.hot", "start: rules.warm"]),
        ("phone.example/", "phone.example/2", ["change: notify.phone (url)"]),
        ("mqtts://broker", "mqtts://other", ["restart: mqtt (url)"]),
        ("cloud.example", "sky.example", ["restart: mqtt.cloud (url)"]),
        ("[journal]", "[homeassistant]\n[journal]", ["start: homeassistant"]),
        ("mqtt.cloud]", "mqtt.sky]", ["stop: mqtt.cloud", "start: mqtt.sky"]),
    ],
)
def test_plan_names_what_starts_stops_and_changes_and_nothing_else(
    folder: Path, before: str, after: str, steps: list[str]
) -> None:
    assert planned(folder, (before, after)) == steps


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        ('"hall"', '"barn"', "at the next start: gateway (name)"),
        ("hall.db", "barn.db", "at the next start: journal (path)"),
        (
            '"mqtts://broker.example"\ntls.ca = "made/ca.pem"',
            '"embedded"',
            "at the next start: mqtt (url, tls)",
        ),
    ],
)
def test_what_would_make_another_gateway_of_it_waits_and_keeps_waiting(
    folder: Path, before: str, after: str, step: str
) -> None:
    file = folder / "gateway.toml"
    file.write_text(SITE)
    running = config.load(file)
    file.write_text(SITE.replace(before, after).replace("> 80", "> 90"))
    first = plan(running, config.load(file))
    assert first.lines == [step, "change: rules.hot (when)"]
    assert first.config.gateway.name == "hall"
    assert first.config.journal.path == folder / "hall.db"
    assert first.config.mqtt == running.mqtt
    assert plan(first.config, config.load(file)).lines == [step]


def test_home_assistant_is_changed_in_place_and_stopped_when_its_table_goes(folder: Path) -> None:
    file = folder / "gateway.toml"
    texts = ["", "[homeassistant]\n", '[homeassistant]\nstatus_topic = "ha/status"\n', ""]
    configs = []
    for text in texts:
        file.write_text(SITE + text)
        configs.append(config.load(file))
    steps = [plan(old, new).lines for old, new in pairwise(configs)]
    assert steps == [
        ["start: homeassistant"], ["change: homeassistant (status_topic)"], ["stop: homeassistant"],
    ]  # fmt: skip


def test_certificate_that_was_renewed_is_another_one(folder: Path) -> None:
    file = folder / "gateway.toml"
    file.write_text(SITE)
    old = config.load(file)
    assert plan(old, config.load(file)).lines == ["nothing changes"]
    shutil.move(Authority(folder / "renewed", "authority").file, folder / "made" / "ca.pem")
    assert plan(old, config.load(file)).lines == ["restart: mqtt (tls)"]


def test_authority_of_a_webhook_that_was_renewed_is_another_one(folder: Path) -> None:
    file = folder / "gateway.toml"
    file.write_text(f'{SITE}ca = "made/hook.pem"\n')
    shutil.copy(folder / "made" / "ca.pem", folder / "made" / "hook.pem")
    old = config.load(file)
    assert plan(old, config.load(file)).lines == ["nothing changes"]
    shutil.copy(Authority(folder / "renewed", "authority").file, folder / "made" / "hook.pem")
    assert plan(old, config.load(file)).lines == ["change: notify.phone (contents of a file)"]


def test_broker_inside_the_gateway_waits_for_the_next_start_whatever_its_name(folder: Path) -> None:
    inside = '[mqtt.here]\nurl = "embedded"\n'
    file = folder / "gateway.toml"
    file.write_text(SITE)
    without = config.load(file)
    file.write_text(f"{SITE}{inside}")
    within = config.load(file)
    added = plan(without, within)
    assert added.lines == ["at the next start: mqtt.here"]
    assert added.config.brokers == without.brokers
    taken_out = plan(within, without)
    assert taken_out.lines == ["at the next start: mqtt.here"]
    assert taken_out.config.brokers == within.brokers
    file.write_text(f"{SITE}{inside}embedded_port = 1884\nwindow = 20\n")
    moved = plan(within, config.load(file))
    assert moved.lines == ["at the next start: mqtt.here (window, embedded_port)"]
    assert moved.config.brokers == within.brokers
    file.write_text(f"{SITE}{inside}window = 20\n")
    assert plan(within, config.load(file)).lines == ["restart: mqtt.here (window)"]


def test_document_names_all_that_is_changed_in_place() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reloading.md").read_text()
    [row] = re.findall(r"^\| of a device (.*?) \| in place", text, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == IN_PLACE
