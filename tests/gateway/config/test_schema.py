"""The JSON Schema of the configuration: it takes whatever `check` takes, and refuses most of what `check` refuses."""

import json
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, BeforeValidator, Field

import drivers
from drivers.driver import Driver, DriverOptions
from gateway.config import (
    ControlOptions,
    GatewayOptions,
    HomeAssistantOptions,
    JournalOptions,
    LiveOptions,
    MqttOptions,
    NotifyOptions,
    RuleOptions,
    WebOptions,
    key_of,
)
from gateway.config.complaints import Problem, Section
from gateway.config.page import validated
from gateway.config.schema import schema
from gateway.filters.choice import FILTERS
from tests.gateway.config.test_reference_toml import CONFIG, EVERYTHING
from tests.support.language_server import LanguageServer

SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)
BROKEN = Path(__file__).parent / "broken_configs"
THIRD_PARTY = Path(__file__).parents[2] / "third_party"

ONLY_CHECK_KNOWS = {
    # what is elsewhere in the file
    *(
        "bus_with_two_power_switches",
        "bus_with_two_speeds",
        "catch_up_batched_by_metric",
        "certificate_without_key",
    ),
    *("client_twice_at_one_broker", "embedded_with_version_5", "password_without_username", "port_twice"),
    *("rule_for_each_of_nothing", "rule_of_an_unknown_device", "rule_of_an_unknown_metric"),
    *(
        "rule_that_does_what_no_device_takes",
        "rule_that_inhibit_each_other",
        "rule_that_notifies_nobody_known",
    ),
    *("rule_with_this_but_not_each", "tls_on_a_plain_url", "tls_on_plain_urls", "broker_beside_named_mqtt"),
    "broker_beside_without_a_name",
    # expressions, and texts with rules of their own
    *(
        "rule_in_several_lines",
        "rule_of_an_unknown_function",
        "rule_with_a_bad_message",
        "rule_with_an_attack",
    ),
    *("rule_with_assignment", "rule_with_bad_clear", "power_cycle_of_no_port", "secret_credential_as_path"),
    # bounds of what has a unit, of a port in a URL
    *("duration_too_long", "size_too_big", "status_interval_too_short", "url_port_out_of_range"),
    # the machine
    *(
        "ca_is_a_folder",
        "ca_missing",
        "journal_path_is_a_folder",
        "secret_credential_missing",
        "secret_env_missing",
    ),
    *("secret_file_is_a_folder", "secret_file_missing"),
    *("ca_name_too_long", "secret_name_too_long"),
    # two spellings of one thing
    *("prefix_of_the_broker", "urls_with_embedded", "urls_with_the_same_twice"),
}


def written(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(path.stem, tomllib.loads(path.read_text())) for path in sorted(folder.glob("*.toml"))]


def complaints(document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def test_schema_is_one_of_the_draft_that_it_names() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(EVERYTHING | {"mqtt": {**EVERYTHING["mqtt"], "urls": None}}, id="every line of the reference"),
        *(pytest.param(document, id=name) for name, document in [*written(CONFIG), *written(CONFIG / "examples")]),
        *(pytest.param(tomllib.loads(drivers.sample(name)), id=f"sample of {name}") for name in drivers.DRIVERS),
    ],
)  # fmt: skip
def test_what_we_show_is_valid(document: dict[str, Any]) -> None:
    if "mqtt" in document:
        document["mqtt"] = {key: each for key, each in document["mqtt"].items() if each is not None}
    assert complaints(document) == []


@pytest.mark.parametrize("name", [path.stem for path in sorted(BROKEN.glob("*.toml"))])
def test_mistake_that_a_schema_can_know_is_refused_by_it(name: str) -> None:
    try:
        document = tomllib.loads((BROKEN / f"{name}.toml").read_text())
    except ValueError:
        assert name not in ONLY_CHECK_KNOWS, "this is no TOML"
        return
    assert (complaints(document) == []) == (name in ONLY_CHECK_KNOWS)


def test_every_option_is_explained() -> None:
    def unexplained(table: dict[str, Any]) -> list[str]:
        return [key for key, each in table.get("properties", {}).items() if "description" not in each]

    tables = {**SCHEMA["$defs"], **SCHEMA["properties"]}
    assert {
        name: keys for name, each in tables.items() if (keys := unexplained(each)) and name != "rules"
    } == {}


def test_every_option_says_of_which_kind_it_is() -> None:
    options = [
        (key, each)
        for name, part in written_anywhere(SCHEMA)
        if name == "properties"
        for key, each in part.items()
        if isinstance(each, dict)
    ]
    assert len(options) > 100
    assert [
        key
        for key, each in options
        if not each.keys() & {"type", "const", "enum", "anyOf", "oneOf", "allOf", "$ref"}
    ] == []


def test_values_with_units_say_how_they_are_written_and_what_they_may_be() -> None:
    timeout = SCHEMA["$defs"]["GatewayOptions"]["properties"]["stop_timeout"]
    assert timeout["description"].endswith("Between 0s and 10m.")
    assert timeout["default"] == "5s"
    assert timeout["type"] == "string"
    size = SCHEMA["$defs"]["JournalOptions"]["properties"]["max_size"]
    assert size["default"] == "512MB"


def sample(driver: str) -> dict[str, Any]:
    """The first device of the driver's sample."""
    devices: dict[str, dict[str, Any]] = tomllib.loads(drivers.sample(driver))["devices"]
    return next(iter(devices.values()))


MODELS: list[tuple[tuple[str, ...], type[BaseModel], dict[str, Any]]] = [
    (("gateway",), GatewayOptions, {"name": "plant"}),
    (("mqtt",), MqttOptions, {"url": "mqtt://localhost"}),
    (("mqtt", "cloud"), MqttOptions, {"url": "wss://[::1]:443/x"}),
    (("journal",), JournalOptions, {"sync": "200ms"}),
    (("live",), LiveOptions, {"listen": "127.0.0.1:4040"}),
    (("web",), WebOptions, {"listen": "127.0.0.1:8080"}),
    (("homeassistant",), HomeAssistantOptions, {"discovery_prefix": "homeassistant"}),
    (("control",), ControlOptions, {"enabled": True}),
    (("rules", "hot"), RuleOptions, {"when": "a.b > 1"}),
    (("notify", "oncall"), NotifyOptions, {"url": "https://example.org/hook"}),
    *((("devices", "a"), drivers.find(name).options, sample(name)) for name in drivers.DRIVERS),
    *((("devices", "a", "filters", key), model, {}) for key, model in FILTERS.items()),
]  # fmt: skip


def written_anywhere(part: Any) -> Iterator[tuple[str, Any]]:
    match part:
        case dict():
            for key, value in part.items():
                yield key, value
                yield from written_anywhere(value)
        case list():
            for each in part:
                yield from written_anywhere(each)


SHOWN = [
    *written_anywhere([EVERYTHING, *(document for _, document in written(CONFIG / "examples"))]),
    *written_anywhere([tomllib.loads(drivers.sample(name)) for name in drivers.DRIVERS]),
]
PLAUSIBLE: list[Any] = [
    *(-1, 0, 1, 2, 5, 7, 20, 300, 65_536, 0.5, 1.5, -1.0, 2.0, 115_200, 2**40, True, False),
    *("", "5s", " 1.5 min ", "1d", "never", "always", "64KiB", "1 B", "5%", " 12.5 % ", "AA C0", "aac0", "x"),
    *(
        "a/b",
        "$x",
        "\u00e4",
        "even",
        "big",
        "usb:0403:6001",
        "USB:0403:6001:A1",
        "TCP://host:1",
        "/dev/ttyS0",
        "/x",
    ),
    *(
        "localhost:1",
        "127.0.0.1:04040",
        "[::1]:8080",
        "[fe80::1%eth0]:9",
        "unix:/run/x.sock",
        "[127.0.0.1]:9",
    ),
    *("mqtt://host:", "ws://[fd00::7]", "mqtts://a//", "wss://h/p", "embedded", "mqtt://[fd00::7%251]:1"),
    *(
        "VTG",
        "NAV-SAT",
        "critical",
        "{x:.1f}",
        "temperature",
        "u8",
        "0x1F",
        "2026-11-22",
        "memory",
        "json",
        "5",
    ),
    *(
        [],
        ["*"],
        ["x", "y"],
        [1, 2],
        [[0.0, 1.0], [10, 12.1]],
        {},
        {"x": "y"},
        {"env": "HOME"},
        {"x": True},
        {"1": "a"},
    ),
    *(
        {"min": 1},
        {"max": 2.5},
        {"changes": 2, "within": "1m"},
        [{"round": 1}],
        [{"delta": "5%", "metric": "t*"}],
    ),
]


@cache
def accepted(case: int, key: str) -> list[Any]:
    """What may stand there beside what must."""
    _, model, seed = MODELS[case]
    pool = [*PLAUSIBLE, *(value for name, value in SHOWN if name == key)]
    return [value for value in pool if taken(model, {**seed, key: value})]


def taken(model: type[BaseModel], table: dict[str, Any]) -> bool:
    found: list[Problem] = []
    return validated(Section((), table, model), Path(), found, {}) is not None


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, dict[str, Any]]:
    case = draw(st.integers(0, len(MODELS) - 1))
    _, model, seed = MODELS[case]
    keys = [key_of(name, field) for name, field in model.model_fields.items() if name != "driver"]
    table = dict(seed) or {(own := MODELS[case][0][-1]): draw(st.sampled_from(accepted(case, own)))}
    for key in draw(st.lists(st.sampled_from(keys), max_size=4, unique=True)):
        if values := accepted(case, key):
            table[key] = draw(st.sampled_from(values))
    if "urls" in table:  # takes the place of url
        table.pop("url", None)
    return case, table


@given(tables())
def test_what_check_takes_is_valid(drawn: tuple[int, dict[str, Any]]) -> None:
    case, table = drawn
    at, model, _ = MODELS[case]
    assume(taken(model, table))
    document: Any = table
    if "filters" in at:
        document = {"driver": "json", "port": "/dev/ttyS0", "filters": [table]}
        at = at[:2]
    for key in reversed(at):
        document = {key: document}
    assert complaints(document) == []


class ForeignOptions(DriverOptions):
    level: int = Field(ge=1, le=3)
    odd: Annotated[Any, BeforeValidator(lambda each: each)] = None
    made: complex | None = None


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def never(*_: object) -> Any:
        raise AssertionError("a schema opens nothing")

    module = ModuleType("foreign")
    module.DRIVER = Driver(summary="of others", options=ForeignOptions, decoder=never, open=never)  # type: ignore[attr-defined]
    monkeypatch.setitem(drivers.DRIVERS, "foreign", "foreign")
    monkeypatch.setitem(drivers.DRIVERS, "unfinished", "foreign_and_unfinished")
    monkeypatch.setitem(sys.modules, "foreign", module)
    drivers.names.cache_clear()
    yield
    drivers.names.cache_clear()
    drivers.find.cache_clear()


@pytest.mark.usefixtures("foreign")
def test_drivers_of_others_are_in_it() -> None:
    validator = Draft202012Validator(schema())

    def valid(**table: Any) -> bool:
        return bool(validator.is_valid({"devices": {"a": {"port": "/dev/ttyUSB0", **table}}}))

    assert valid(driver="foreign", level=3, made="whatever")
    assert not valid(driver="foreign", level=4)
    assert not valid(driver="foreign")
    assert not valid(driver="foreign", level=3, levle=3)
    assert valid(driver="unfinished", anything=1), "it is installed, and nobody knows what it takes"
    assert not valid(driver="unknown")


# The editors' own engines, which know less of JSON Schema than jsonschema does, or see it differently.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sallyport.schema.json").write_text(json.dumps(SCHEMA))
    for path in [*CONFIG.glob("*.toml"), *(CONFIG / "examples").glob("*.toml")]:
        (tmp_path / path.name).write_text(f"#:schema ./sallyport.schema.json\n{path.read_text()}")
    return tmp_path


def linted(linter: str, folder: Path, *files: str) -> tuple[int, str]:
    command = {"taplo": ("taplo", "lint"), "tombi": ("tombi", "lint", "--offline", "--error-on-warnings")}[
        linter
    ]
    done = subprocess.run(
        [Path(sysconfig.get_path("scripts")) / command[0], *command[1:], *files],
        cwd=folder, env={"NO_COLOR": "1", "HOME": str(folder)}, timeout=60, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("linter", ["taplo", "tombi"])
def test_editors_find_nothing_wrong_with_our_examples(linter: str, folder: Path) -> None:
    files = [path.name for path in folder.glob("*.toml")]
    assert linted(linter, folder, *files)[0] == 0


@pytest.mark.parametrize("linter", ["taplo", "tombi"])
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[gateway]\nnmae = "x"', "nmae"),
        ("[gateway]\nstop_timeout = 5", "3:16"),
        ('[devices.a]\ndriver = "modbus"\nport = "/dev/ttyS0"\nbaudrte = 9600', "baudrte"),
        ('[devices.a]\ndriver = "modbsu"\nport = "/dev/ttyS0"', "modbsu"),
        ('[devices.a]\ndriver = "json"\nport = "/dev/ttyS0"\nfilters = [{ round = "1" }]', "5:22"),
        ('[devices.a]\ndriver = "json"\nport = "/dev/ttyS0"\nfilters = [{ rond = 1 }]', "rond"),
    ],
)
def test_editors_mark_a_mistake_and_say_what_it_is(linter: str, text: str, named: str, folder: Path) -> None:
    (folder / "bad.toml").write_text(f"#:schema ./sallyport.schema.json\n{text}\n")
    status, said = linted(linter, folder, "bad.toml")
    assert status != 0
    assert named in said


def test_editor_offers_what_the_driver_of_the_device_takes_and_nothing_else(folder: Path) -> None:
    tombi = Path(sysconfig.get_path("scripts")) / "tombi"
    head = "#:schema ./sallyport.schema.json\n"
    with LanguageServer.running(tombi, "lsp", "--offline", folder=folder) as server:
        offered = server.offers("a.toml", f'{head}[devices.a]\ndriver = "modbus"\nport = "/dev/ttyS0"\n|\n')
        assert {"registers", "unit", "baudrate", "stale_after", "filters"} <= {*offered}
        assert not {"registers", "unit"} & {
            *server.offers("b.toml", f'{head}[devices.a]\ndriver = "json"\n|\n')
        }
        assert {f'"{name}"' for name in drivers.DRIVERS} <= {
            *server.offers("c.toml", f"{head}[devices.a]\ndriver = |\n")
        }
        assert {"url", "username", "tls"} <= {*server.offers("d.toml", f"{head}[mqtt]\n|\n")}
