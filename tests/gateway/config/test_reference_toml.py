"""config/gateway.toml says every option there is, and nothing else."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import drivers
from drivers.driver import DriverOptions
from gateway.config import (
    Config,
    ControlOptions,
    GatewayOptions,
    HomeAssistantOptions,
    JournalOptions,
    LiveOptions,
    MqttOptions,
    NotifyOptions,
    RuleOptions,
    TlsOptions,
    WebOptions,
    key_of,
    load,
    written,
)
from tests.support.papers import LOOPBACK, Authority

CONFIG = Path(__file__).parents[3] / "config"
REFERENCE = (CONFIG / "gateway.toml").read_text()
OPTION = re.compile(r"^#(?=\w+ = |\[)")

Options = dict[str, Any]


def uncommented(*, without_default: bool) -> str:
    """The reference with its options switched on: all of them, or those whose line shows a default."""
    lines = [
        OPTION.sub("", line) if without_default or "# no default" not in line else line
        for line in REFERENCE.splitlines()
    ]
    return "\n".join(lines)


EVERYTHING: Options = tomllib.loads(uncommented(without_default=True))
DEFAULTS: Options = tomllib.loads(uncommented(without_default=False))

MODELS: dict[str, type[BaseModel]] = {
    "gateway": GatewayOptions,
    "mqtt": MqttOptions,
    "mqtt.tls": TlsOptions,
    "journal": JournalOptions,
    "control": ControlOptions,
    "live": LiveOptions,
    "homeassistant": HomeAssistantOptions,
    "web": WebOptions,
    "rules.too-fast": RuleOptions,
    "notify.oncall": NotifyOptions,
    **{
        f"devices.{name}": drivers.find(table["driver"]).options
        for name, table in EVERYTHING["devices"].items()
    },
}


def shown(header: str) -> dict[str, FieldInfo]:
    """What a table shows: all fields, but of a device's those that an earlier device shows with the same default."""
    fields = {key_of(name, field): field for name, field in MODELS[header].model_fields.items()}
    if not header.startswith("devices."):
        return fields
    first: dict[str, str] = {}
    for earlier, model in MODELS.items():
        if earlier == header:
            break
        if earlier.startswith("devices."):
            first = {name: written(field) for name, field in model.model_fields.items()} | first
    return {
        name: field
        for name, field in fields.items()
        if name in {"driver", "port"} or first.get(name) != written(field)
    }


def at(document: Options, header: str) -> Options:
    for key in header.split("."):
        document = document[key]
    return document


def defaults(fields: dict[str, FieldInfo]) -> dict[str, FieldInfo]:
    """Those with a default that one can write down."""
    return {name: field for name, field in fields.items() if field.default_factory is None and written(field)}


@pytest.mark.parametrize("header", MODELS)
def test_every_field_is_in_the_reference_and_every_key_there_is_a_field(header: str) -> None:
    assert at(EVERYTHING, header).keys() == shown(header).keys()


def test_every_table_and_every_driver_of_ours_is_in_the_reference() -> None:
    assert EVERYTHING.keys() == Config.model_fields.keys() - {"warnings", "further_brokers"}
    assert {table["driver"] for table in EVERYTHING["devices"].values()} == drivers.DRIVERS.keys()


@pytest.mark.parametrize("header", MODELS)
def test_a_line_says_no_default_just_when_that_is_so(header: str) -> None:
    assert at(DEFAULTS, header).keys() - {"tls"} == defaults(shown(header)).keys()


def test_a_fresh_copy_loads_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(REFERENCE)
    config = load(file)
    assert config.model_copy(update={"warnings": ()}) == load_text(tmp_path, "").model_copy(
        update={"warnings": ()}
    )
    [warning] = config.warnings
    assert "devices: there are none, so nothing will be read" in warning


FIRST_RUN = (CONFIG / "first-run.toml").read_text()


def test_the_first_run_has_no_devices_and_says_what_to_do_next(tmp_path: Path) -> None:
    config = load_text(tmp_path, FIRST_RUN)
    [warning] = config.warnings
    assert "sallyport sniff" in warning
    assert config.devices == {}
    assert config.mqtt == MqttOptions()


def test_what_the_first_run_offers_is_good_once_its_comment_signs_are_gone(tmp_path: Path) -> None:
    (tmp_path / "mqtt-password").write_text("hunter2")
    text = "\n".join(OPTION.sub("", line) for line in FIRST_RUN.splitlines())
    config = load_text(tmp_path, text.replace("/etc/sallyport", str(tmp_path)))
    assert config.devices.keys() == {"weather"}
    assert config.mqtt.username == "greenhouse"
    assert config.warnings == ()


def load_text(folder: Path, text: str) -> Config:
    file = folder / "text.toml"
    file.write_text(text)
    return load(file)


def test_uncommented_defaults_are_the_defaults(tmp_path: Path) -> None:
    text = uncommented(without_default=False)
    site, *examples = re.split(r"\n\[(?=rules|notify|devices)", text)
    assert len(examples) > len(MODELS) / 2, "the examples of rules and devices are in the text"

    config, untouched = load_text(tmp_path, site), load_text(tmp_path, "")

    for section in ("gateway", "mqtt", "journal", "control", "live"):
        assert getattr(config, section) == getattr(untouched, section), section
        written_there = getattr(config, section).model_fields_set
        assert written_there, f"nothing was uncommented in {section}"


def test_every_line_at_once_loads_and_a_device_has_its_drivers_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mqtt-password", "web-password", "web-token"):
        (tmp_path / name).write_text("hunter2\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    text = uncommented(without_default=True).replace('"mqtt://localhost:1883"', '"mqtts://localhost:1883"')
    text = re.sub("^urls = .*$", "", text, flags=re.MULTILINE)  # takes the place of url
    authority = Authority(tmp_path / "papers", "ca")
    authority.papers("gateway", LOOPBACK, password="hunter2")
    (authority.file.parent / "key-password").write_text("hunter2\n")
    switch = tmp_path / "1-1:1.0/1-1-port2/disable"
    switch.parent.mkdir(parents=True)
    switch.write_text("0\n")
    text = text.replace("/sys/bus/usb/devices/1-1:1.0/1-1-port2/disable", str(switch))
    config = load_text(tmp_path, text.replace("/etc/sallyport/", "papers/"))

    assert config.warnings == ()
    assert config.mqtt.tls.ca == authority.file
    assert config.devices.keys() == EVERYTHING["devices"].keys()
    for options in config.devices.values():
        model = type(options)
        assert model is not DriverOptions
        for name, field in defaults(dict(model.model_fields)).items():
            assert getattr(options, name) == field.get_default(), (options.driver, name)


@pytest.mark.parametrize("example", sorted((CONFIG / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_an_example_loads_without_a_warning(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mqtt-password").write_text("hunter2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config = load(example)
    assert config.warnings == ()
    assert config.devices


def test_there_are_examples() -> None:
    assert {path.stem for path in (CONFIG / "examples").glob("*.toml")} >= {"boat", "greenhouse"}


@pytest.mark.parametrize("header", MODELS)
def test_every_field_has_a_description_that_is_a_sentence(header: str) -> None:
    for name, field in MODELS[header].model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
