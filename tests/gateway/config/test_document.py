import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import drivers
from drivers.driver import DriverOptions
from gateway.config import Config, JournalOptions, MqttOptions, device_options, driver_options, load, written
from gateway.config.locator import Places
from gateway.config.rules import BUILT_IN
from gateway.errors import ConfigError
from tests.support.papers import LOOPBACK, Authority
from tests.support.usb_hub import Hub

BROKEN = Path(__file__).parent / "broken_configs"
BROKEN_FILES = sorted(BROKEN.glob("*.toml"))
DEVICE = '[devices.boiler]\ndriver = "json"\nport = "/dev/ttyUSB0"\n'

Load = Callable[[str], Config]
Refuse = Callable[[str], list[str]]


@pytest.fixture(autouse=True)
def without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("SALLYPORT_NOT_SET", raising=False)


@pytest.fixture(name="loaded")
def _loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def loaded(text: str) -> Config:
        Path("gateway.toml").write_bytes(text.encode())
        return load(Path("gateway.toml"))

    return loaded


@pytest.fixture(name="refused")
def _refused(loaded: Load) -> Refuse:
    def refused(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(text)
        return [*caught.value.problems]

    return refused


def place(problem: str) -> tuple[int, int]:
    _, line, column, _ = problem.split(":", 3)
    return int(line), int(column)


# Mistakes


@pytest.mark.parametrize("file", BROKEN_FILES, ids=lambda file: file.stem)
def test_a_broken_file_is_refused_with_all_its_problems(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BROKEN)
    with pytest.raises(ConfigError) as caught:
        load(Path(file.name))

    assert [*caught.value.problems] == file.with_suffix(".expected").read_text().splitlines()
    assert [*caught.value.problems] == sorted(caught.value.problems, key=place)
    assert "hunter2" not in str(caught.value)
    assert "12345678" not in str(caught.value)


def test_every_expectation_has_its_broken_file() -> None:
    assert len(BROKEN_FILES) > 100
    assert {file.stem for file in BROKEN.glob("*.expected")} == {file.stem for file in BROKEN_FILES}


def test_no_problem_sounds_like_pydantic_or_python() -> None:
    for file in BROKEN.glob("*.expected"):
        for problem in file.read_text().splitlines():
            assert re.match(r"[a-z0-9_]+\.toml:\d+:\d+: \S", problem), problem
            assert not re.search(
                r"Input should|Value error|valid (string|integer)|None|Errno|\bdict\b", problem
            ), problem


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such file$"):
        load(tmp_path / "nowhere.toml")


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"this is a folder; name the file in it$"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "the user that Sallyport runs as may not read it"),
        (OSError(5, "Input/output error"), "cannot be read: Input/output error"),
    ],
)
def test_a_file_that_cannot_be_read(
    error: OSError, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _mode: str) -> BinaryIO:
        raise error

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "gateway.toml")
    assert str(caught.value) == f"{tmp_path}/gateway.toml: {reason}"


def test_a_file_of_its_user_only_is_no_ca(refused: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda _path, _mode: False)
    Path("ca.pem").touch()
    assert refused('[mqtt]\nurl = "mqtts://broker.example"\ntls.ca = "ca.pem"\n') == [
        "gateway.toml:3:5: mqtt.tls.ca: the user that Sallyport runs as may not read ca.pem"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = " + "[" * 300 + "]" * 300, "gateway.toml:1:1: a value is nested too deeply"),
        ("x = " + "[" * 5000, "gateway.toml:1:1: a value is nested too deeply"),
        ("x = " + "7" * 5000, "gateway.toml:1:1: a number has thousands of digits"),
    ],
    ids=["deep", "too deep for tomllib", "digits"],
)
def test_what_only_a_machine_would_write_is_refused_like_anything_else(
    text: str, problem: str, refused: Refuse
) -> None:
    assert refused(text) == [problem]


SNIPPETS = st.sampled_from(
    [
        "[",
        "]",
        "[[",
        '"',
        "'",
        '"""',
        "\\",
        "=",
        ".",
        "\n",
        "\r\n",
        "#",
        "{",
        "}",
        ",",
        " ",
        "\x00",
        "é",
        "“",
        "-",
        "1",
    ]
)
SEED = f"""\
[gateway]
name = "plant"
stop_timeout = "5s"
[mqtt]
url = "mqtts://broker.example"
username = 'plant'
password = {{ env = "SALLYPORT_NOT_SET" }}
tls.insecure = false
[journal]
max_size = "64MB"
{DEVICE}stale_after = "never"
"""


@given(
    edits=st.lists(st.tuples(st.integers(0, len(SEED)), st.integers(0, 12), SNIPPETS), min_size=1, max_size=4)
)
def test_whatever_happens_to_a_file_it_loads_or_is_refused_in_order(
    edits: list[tuple[int, int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = SEED
    for start, length, snippet in edits:
        text = text[:start] + snippet + text[start + length :]
    file = tmp_path_factory.getbasetemp() / "edited.toml"
    file.write_bytes(text.encode())

    lines = text.count("\n") + 1
    places = [place(problem.removeprefix(str(file))) for problem in problems(file)]
    assert places == sorted(places)
    assert all(1 <= line <= lines and column >= 1 for line, column in places)


def problems(file: Path) -> tuple[str, ...]:
    try:
        load(file)
    except ConfigError as error:
        return error.problems
    return ()


def test_power_that_cannot_be_switched_now_is_a_doubt(loaded: Load, tmp_path: Path) -> None:
    switch = Hub(tmp_path).port(2)
    device = f'[devices.room]\ndriver = "json"\nport = "/dev/ttyUSB0"\npower_cycle = "{switch}"\n'
    assert loaded(device).warnings == ()
    switch.unlink()
    [warning] = loaded(device).warnings
    assert warning == (
        f"gateway.toml:4:1: devices.room.power_cycle: it cannot be switched now: there is no {switch}: no such hub is"
        " plugged in, or Linux is older than 6.0"
    )


# What is right


def test_an_empty_file_is_a_configuration(loaded: Load) -> None:
    config = loaded("")
    assert config.mqtt == MqttOptions()
    assert config.journal == JournalOptions()
    assert config.devices == {}
    [warning] = config.warnings
    assert warning == (
        "gateway.toml:1:1: devices: there are none, so nothing will be read: `sallyport ports` lists what is"
        " plugged in, and `sallyport sniff PORT` prints the table [devices.<name>] for it"
    )


def test_keys_that_are_numbers_are_found_again(loaded: Load) -> None:
    config = loaded(
        """
        [devices.pump]
        driver = "modbus"
        port = "/dev/ttyUSB0"
        registers.state = { address = 1, type = "bits", bits = { 0 = "on", 0x4 = "alarm" } }
        registers.mode = { address = 2, enum = { 0 = "off", 1 = "on" } }
        """
    )
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ('driver = "mhz19"\ninterval = "5m"', None),
        ('driver = "mhz19"\nstale_after = "5s"', "stale_after"),
        ('driver = "text"\npoll = "?"\nstale_after = "5s"', "stale_after"),
        ('driver = "text"\nstale_after = "5s"', None),
        ('driver = "mhz19"\ninterval = "5m"\nstale_after = "never"', None),
        ('driver = "d0"', None),
    ],
)
def test_device_that_is_stale_between_two_answers_is_a_doubt(
    written: str, key: str | None, loaded: Load
) -> None:
    warnings = loaded(f'[devices.room]\nport = "/dev/ttyUSB0"\n{written}\n').warnings
    assert [each.split(": ")[1] for each in warnings] == ([f"devices.room.{key}"] if key else [])
    assert all("announced as stale between two answers" in each for each in warnings)


def test_metric_that_nobody_publishes_means_nothing_and_that_is_said(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("""\
[devices.room]
driver = "mhz19"
port = "/dev/ttyUSB0"
filters = [{ rename = { co2 = "air" } }]
[devices.room.metrics]
air = { label = "Air" }
co2 = { label = "Air" }
airr = { label = "Air" }
[devices.board]
driver = "json"
port = "/dev/ttyUSB1"
metrics.anything = { label = "It" }
""")
    warnings = [each.removeprefix(f"{file}:") for each in load(file).warnings]
    assert warnings == [
        "7:1: devices.room.metrics.co2: means nothing: no metric of this name is published; known are air",
        '8:1: devices.room.metrics.airr: means nothing: no metric of this name is published: did you mean "air"?',
    ]


@pytest.mark.parametrize("text", ["\ufeff" + DEVICE, DEVICE.replace("\n", "\r\n")], ids=["BOM", "CRLF"])
def test_a_file_from_windows_loads(text: str, loaded: Load) -> None:
    assert loaded(text).devices["boiler"].port == "/dev/ttyUSB0"


def test_everything_that_is_written_arrives(loaded: Load) -> None:
    config = loaded(
        """
        [gateway]
        name = "plant"
        stop_timeout = "250ms"
        status_interval = "5m"
        log_level = "debug"
        [mqtt]
        url = "wss://broker.example/mqtt"
        username = "plant"
        client_id = "gateway-7"
        version = "3.1.1"
        keepalive = "2m"
        prefix = "plant/hall-2"
        layout = "metric"
        window = 1000
        [mqtt.cloud]
        urls = ["mqtts://a.example", "mqtt://b.example:1884"]
        catch_up = "batched"
        catch_up_rate = 5000
        tls.insecure = false
        [journal]
        max_size = "1GiB"
        when_full = "drop_newest"
        [control]
        set = ["*"]
        rate = 5
        [live]
        listen = "unix:/run/sallyport/live.sock"
        [homeassistant]
        brokers = ["mqtt", "cloud"]
        [web]
        listen = "[::1]:8080"
        hosts = ["gateway.example"]
        [rules.fast]
        when = "gps.speed > 25"
        for = "90s"
        flap = { changes = 6, within = "10m" }
        notify = ["oncall"]
        [notify.oncall]
        url = "http://192.0.2.9/hook"
        group_by = ["severity"]
        repeat_interval = "never"
        [devices.gps]
        driver = "nmea0183"
        port = "tcp://192.0.2.7:10110"
        require_checksum = false
        ignore = ["GSV", "GSA"]
        stale_after = "never"
        """
    )
    assert config.warnings == ()
    rules = {name: rule for name, rule in config.rules.items() if name not in BUILT_IN}
    dumped = config.model_copy(update={"rules": rules}).model_dump(
        mode="json", exclude_unset=True, by_alias=True
    )
    assert dumped == {
        "gateway": {
            "name": "plant",
            "stop_timeout": "250ms",
            "status_interval": "5m",
            "log_level": "debug",
        },
        "mqtt": {
            "url": "wss://broker.example:443/mqtt",
            "username": "plant",
            "client_id": "gateway-7",
            "version": "3.1.1",
            "keepalive": "2m",
            "prefix": "plant/hall-2",
            "layout": "metric",
            "window": 1000,
        },
        "further_brokers": {
            "cloud": {
                "urls": ["mqtts://a.example:8883", "mqtt://b.example:1884"],
                "catch_up": "batched",
                "catch_up_rate": 5000,
                "tls": {"insecure": False},
            }
        },
        "homeassistant": {"brokers": ["mqtt", "cloud"]},
        "journal": {"max_size": "1GiB", "when_full": "drop_newest"},
        "control": {"set": ["*"], "rate": 5},
        "live": {"listen": "/run/sallyport/live.sock"},
        "web": {"listen": "[::1]:8080", "hosts": ["gateway.example"]},
        "rules": {
            "fast": {
                "when": "gps.speed > 25",
                "for": "90s",
                "flap": {"changes": 6, "within": "10m"},
                "notify": ["oncall"],
            }
        },
        "notify": {
            "oncall": {"url": "**********", "group_by": ["severity"], "repeat_interval": "never"},
        },
        "devices": {
            "gps": {
                "driver": "nmea0183",
                "port": "tcp://192.0.2.7:10110",
                "require_checksum": False,
                "ignore": ["GSV", "GSA"],
                "stale_after": "never",
            }
        },
        "warnings": [],
    }
    assert config.mqtt.keepalive == 120.0
    assert config.rules["fast"].for_ == 90.0
    assert config.journal.max_size == 2**30


def test_a_configuration_cannot_be_changed(loaded: Load) -> None:
    config = loaded(DEVICE)
    for frozen, name in [(config, "mqtt"), (config.mqtt, "url"), (config.devices["boiler"], "port")]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(frozen, name, None)


def test_two_files_that_say_the_same_are_equal(loaded: Load) -> None:
    assert loaded(DEVICE).devices["boiler"] == loaded("# moved\n" + DEVICE).devices["boiler"]
    assert loaded(DEVICE).devices["boiler"] != loaded(DEVICE + "baudrate = 4800\n").devices["boiler"]


@pytest.mark.parametrize(
    ("host", "name"),
    [("greenhouse", "greenhouse"), ("pi/4+#\x07", "pi-4---"), ("", "gateway"), (" ", "gateway")],
)
def test_the_gateway_is_named_after_its_host(
    host: str, name: str, loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert loaded("").gateway.name == name


def test_the_client_is_named_after_its_gateway_unless_it_has_a_name(loaded: Load) -> None:
    gateway = '[gateway]\nname = "plant"\n'
    assert loaded(gateway).client_id() == "sallyport-plant"
    assert loaded(f'{gateway}[mqtt]\nclient_id = "x"\n').client_id() == "x"
    cloud = '[mqtt.cloud]\nurl = "mqtt://localhost"\n'
    assert loaded(gateway + cloud).client_id("cloud") == "sallyport-plant-cloud"
    assert loaded(f'{gateway}{cloud}client_id = "x"').client_id("cloud") == "x"


def test_every_broker_has_a_name_and_the_main_one_always_the_same(loaded: Load) -> None:
    config = loaded('[mqtt.cloud]\nurl = "mqtt://cloud.example"\n[mqtt.Hall-2]\nurl = "embedded"\n')
    assert {name: [str(way) for way in mqtt.ways] for name, mqtt in config.brokers.items()} == {
        "mqtt": ["mqtt://localhost:1883"],
        "cloud": ["mqtt://cloud.example:1883"],
        "Hall-2": ["embedded"],
    }


def test_doubts_about_a_further_broker_are_told_like_those_about_the_main_one(loaded: Load) -> None:
    config = loaded(
        f'[mqtt.cloud]\nurl = "mqtts://cloud.example"\nusername = "x"\npassword = "hunter2"\n'
        f"tls.insecure = true\n{DEVICE}"
    )
    assert [each.split(": ")[0] + ": " + each.split(": ")[1] for each in config.warnings] == [
        "gateway.toml:4:1: mqtt.cloud.password",
        "gateway.toml:5:5: mqtt.cloud.tls.insecure",
    ]
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("mqtt", "protocol"),
    [
        ("", "5"),
        ('version = "3.1.1"', "3.1.1"),
        ('url = "embedded"', "3.1.1"),
        ('url = "embedded"\nversion = "3.1.1"', "3.1.1"),
    ],
)
def test_the_embedded_broker_decides_on_the_version(mqtt: str, protocol: str, loaded: Load) -> None:
    assert loaded(f"[mqtt]\n{mqtt}\n").mqtt.protocol == protocol


def test_files_of_tls_begin_at_the_folder_of_the_configuration(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "papers", "ca")
    papers = authority.papers("gateway", LOOPBACK)
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[mqtt]\nurl = "mqtts://broker.example"\n'
        f'tls = {{ ca = "{authority.file}", certificate = "papers/gateway.pem", key = "papers/gateway.key" }}\n'
    )
    tls = load(file).mqtt.tls
    assert (tls.ca, tls.certificate, tls.key) == (authority.file, papers.certificate, papers.key)


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ('ca = "no.pem"', "mqtt.tls.ca: must be a file of certificates in PEM form"),
        ('certificate = "a.pem"\nkey = "b.key"', "mqtt.tls: certificate and key cannot be used together"),
        ('certificate = "l.pem"\nkey = "l.key"', "mqtt.tls: certificate and key cannot be used together"),
        (
            'certificate = "l.pem"\nkey = "l.key"\nkey_password = "wr0ng"',
            "mqtt.tls: certificate and key cannot",
        ),
    ],
)
def test_files_of_tls_that_cannot_be_used_are_problems_of_the_configuration(
    tmp_path: Path, tls: str, problem: str
) -> None:
    folder = tmp_path / "papers"
    authority = Authority(folder, "ca")
    for name in ("a", "b"):
        authority.papers(name, LOOPBACK)
    authority.papers("l", LOOPBACK, password="right")
    (folder / "no.pem").write_text("no certificate")
    file = folder / "gateway.toml"
    file.write_text(f'[mqtt]\nurl = "mqtts://broker.example"\nprot = 1\n[mqtt.tls]\n{tls}\n')
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert [line.split(": ")[1] for line in raised.value.problems] == [
        "mqtt.prot",
        problem.split(":", maxsplit=1)[0],
    ]
    assert problem in raised.value.problems[1]
    assert "wr0ng" not in str(raised.value)


def test_settings_of_tls_that_are_the_defaults_do_no_harm_without_tls(loaded: Load) -> None:
    assert not loaded("[mqtt.tls]\ninsecure = false\n").mqtt.tls.insecure


def test_distrust_that_is_switched_off_is_warned_about(loaded: Load) -> None:
    assert loaded(f'[mqtt]\nurl = "mqtts://broker.example"\ntls.insecure = true\n{DEVICE}').warnings == (
        "gateway.toml:3:5: mqtt.tls.insecure: whoever answers is taken for the broker, and told the password",
    )


# For the command line


def test_options_from_a_command_line_are_read_as_toml_or_as_text() -> None:
    options = driver_options(
        "nmea0183", {"require_checksum": "false", "ignore": '["GSV"]', "baudrate": "38400"}
    )
    assert options.model_dump(include={"require_checksum", "ignore", "baudrate"}) == {
        "require_checksum": False,
        "ignore": ("GSV",),
        "baudrate": 38400,
    }
    assert driver_options("json", {"max_line": "64KiB"}).model_dump()["max_line"] == "64KiB"


def test_bad_options_from_a_command_line_are_refused_without_a_place() -> None:
    with pytest.raises(ConfigError) as caught:
        driver_options("json", {"max_line": "64", "max_dept": "3"})
    assert caught.value.problems == (
        'max_line: must be a size with its unit, such as "64KiB" or "512MB"; found the number 64',
        'max_dept: unknown key; did you mean "max_depth"?',
    )


DEVICES = """
[mqtt]
port = 1883
[devices.gps]
driver = "nmea0183"
ignore = ["GSV"]
[devices.board]
driver = "json"
max_dept = 3
"""
"""A file that could not be run: what is not asked for is not looked at."""


def test_options_of_a_device_in_a_file_hold_unless_the_command_line_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(DEVICES)
    options = device_options(file, "gps", {"baudrate": "38400"})
    told = options.model_dump(include={"driver", "port", "ignore", "baudrate"})
    assert told == {"driver": "nmea0183", "port": "/dev/null", "ignore": ("GSV",), "baudrate": 38400}


@pytest.mark.parametrize(
    ("device", "pairs", "complaint"),
    [
        ("board", {}, ':9:1: devices.board.max_dept: unknown key; did you mean "max_depth"?'),
        ("gps", {"ignore": '["GGG"]'}, ":6:"),
        ("bord", {}, ': there is no [devices.bord]; its devices: "gps", "board"'),
        ("", {}, ": there is not one device alone; its devices: "),
    ],
)
def test_a_device_in_a_file_that_is_wrong_is_refused_at_its_place(
    device: str, pairs: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(DEVICES)
    with pytest.raises(ConfigError) as caught:
        device_options(file, device, pairs)
    [problem] = caught.value.problems
    assert problem.startswith(f"{file}{complaint}")


def test_the_only_device_of_a_file_needs_no_name(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[devices.board]\ndriver = "json"\nmax_depth = 3\n')
    assert device_options(file, "", {}).model_dump()["max_depth"] == 3


@pytest.mark.parametrize(
    ("model", "name", "default"),
    [
        (MqttOptions, "url", '"mqtt://localhost:1883"'),
        (MqttOptions, "window", "100"),
        (MqttOptions, "username", ""),
        (MqttOptions, "ack_timeout", '"20s"'),
        (JournalOptions, "max_size", '"512MB"'),
        (DriverOptions, "exclusive", "true"),
        (DriverOptions, "port", ""),
        (drivers.find("nmea0183").options, "ignore", "[]"),
    ],
)
def test_a_default_is_written_as_toml(model: type[BaseModel], name: str, default: str) -> None:
    assert written(model.model_fields[name]) == default


def test_a_table_of_a_built_in_rule_changes_what_it_names(loaded: Load) -> None:
    untouched = loaded(DEVICE).rules["device_stale"]
    changed = loaded(DEVICE + '[rules.device_stale]\nenabled = false\nseverity = "info"\n').rules[
        "device_stale"
    ]
    assert changed == untouched.model_copy(update={"enabled": False, "severity": "info"})


def test_a_metric_that_the_driver_cannot_know_is_a_doubt_at_its_place(loaded: Load) -> None:
    config = loaded(DEVICE + '[rules.a]\nwhen = "1 < 2 and boiler.warp > 3"\n')
    assert config.warnings == ('gateway.toml:5:19: rules.a.when: boiler is not known to report "warp"',)


def test_rule_that_asks_nothing_is_a_doubt(loaded: Load) -> None:
    rules = '[rules.a]\nwhen = "80"\n[rules.b]\nwhen = "hour() > 22"\n[rules.c]\nwhen = "stale(boiler)"\n'
    assert loaded(DEVICE + rules).warnings == (
        "gateway.toml:5:1: rules.a.when: asks nothing: its answer is always the same",
    )


def test_metrics_are_known_by_the_names_that_filters_give_them(loaded: Load) -> None:
    device = (
        '[devices.air]\ndriver = "mhz19"\nport = "/dev/ttyUSB0"\n'
        'filters = [{ rename = { co2 = "carbon" } }, { drop = "temp*" }]\n'
    )
    config = loaded(device + '[rules.a]\nwhen = "air.carbon > 1000"\n')
    assert config.warnings == ()
    for gone in ("co2", "temperature"):
        with pytest.raises(ConfigError, match=f'air has no metric "{gone}"'):
            loaded(device + f'[rules.a]\nwhen = "air.{gone} > 1000"\n')


def test_time_zone_that_nobody_knows_is_refused(loaded: Load) -> None:
    assert str(loaded(DEVICE + '[gateway]\ntime_zone = "Europe/Berlin"\n').gateway.zone) == "Europe/Berlin"
    with pytest.raises(ConfigError, match=r"gateway.toml:\d+:1: gateway.time_zone: must be a time zone"):
        loaded(DEVICE + '[gateway]\ntime_zone = "Europe/Atlantis"\n')


@pytest.mark.parametrize(
    ("literal", "character", "place"),
    [
        ('"abc"', 1, (1, 7)),
        ("'a\\bc'", 3, (1, 9)),
        (r'"\u00e9\tx"', 2, (1, 14)),
        ('"""\nab\ncd"""', 3, (3, 1)),
        ('"""a\\\n   b"""', 1, (2, 4)),
        ("'''\nab\ncd'''", 4, (3, 2)),
        ("'''\r\nab\r\ncd'''", 4, (3, 2)),
        ('"""\r\nab\r\ncd"""', 4, (3, 2)),
        ('"abc"', 9, (1, 9)),
    ],
)
def test_a_character_of_a_text_is_found_in_the_file(
    literal: str, character: int, place: tuple[int, int]
) -> None:
    assert Places(f"k = {literal}\n").inside(("k",), character) == place


def test_broker_that_home_assistant_cannot_be_told_at_is_named(refused: Refuse) -> None:
    text = f'{DEVICE}[mqtt.home]\nurl = "mqtt://home"\n[homeassistant]\nbrokers = ["mqtt", "hme"]\n'
    [problem] = refused(text)
    assert place(problem) == (7, 20)
    assert problem.endswith('homeassistant.brokers[1]: there is no [mqtt.hme]: did you mean "home"?')


@pytest.mark.parametrize(
    "line", ['discovery_prefix = "a/+"', 'status_topic = "#"', "brokers = []", 'prefix = "x"']
)
def test_what_home_assistant_would_never_see_is_a_mistake(line: str, refused: Refuse) -> None:
    [problem] = refused(f"{DEVICE}[homeassistant]\n{line}\n")
    assert place(problem)[0] == 5


def test_class_of_a_metric_must_be_one_of_home_assistants(refused: Refuse) -> None:
    [problem] = refused(f'{DEVICE}metrics.t = {{ device_class = "temprature" }}\n')
    assert "devices.boiler.metrics.t.device_class" in problem
