"""The words in which a value is refused, put to the options of a driver that is not ours."""

import enum
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

import drivers
from drivers.driver import Driver, DriverOptions
from gateway.config import Config, load
from gateway.config.secret import WAYS, Secret
from gateway.errors import ConfigError


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str) -> Config:
    Path("gateway.toml").write_text(text)
    return load(Path("gateway.toml"))


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    return [*caught.value.problems]


class Mode(enum.Enum):
    POLL = "poll"
    LISTEN = "listen"


class Register(BaseModel, extra="forbid"):
    address: int = Field(ge=0, lt=65536)
    scale: float = Field(default=1.0, gt=0)


class ForeignOptions(DriverOptions):
    mode: Mode = Mode.POLL
    class_: int = Field(default=1, ge=1, alias="class")
    pass_: Secret | None = Field(default=None, alias="pass")
    table: Path = Path("default")
    numbers: tuple[int, ...] = ()
    registers: tuple[Register, ...] = ()
    by_name: dict[str, Register] = Field(default_factory=dict)
    token: Secret | None = None
    plain_token: SecretStr | None = None


FOREIGN = '[devices.meter]\ndriver = "foreign"\nport = "/dev/ttyUSB0"\n'


@pytest.fixture(autouse=True)
def foreign(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("foreign")
    module.DRIVER = Driver(  # type: ignore[attr-defined]
        summary="of another package", options=ForeignOptions, decoder=_never, open=_never
    )
    monkeypatch.setitem(drivers.DRIVERS, "foreign", "foreign")
    monkeypatch.setitem(drivers.DRIVERS, "unfinished", "foreign_and_unfinished")
    monkeypatch.setitem(sys.modules, "foreign", module)
    drivers.names.cache_clear()
    yield
    drivers.names.cache_clear()
    drivers.find.cache_clear()


def _never(*_: object) -> Any:
    raise AssertionError("a configuration opens nothing")


def test_a_driver_may_use_whatever_type_toml_can_write() -> None:
    options = loaded(
        FOREIGN + 'mode = "listen"\ntable = "/etc/table"\nnumbers = [1, 2]\n'
        "registers = [{ address = 7 }]\nby_name.flow = { address = 8, scale = 2 }\n"
    ).devices["meter"]
    assert options.model_dump(include={"mode", "table", "numbers", "registers", "by_name"}) == {
        "mode": Mode.LISTEN,
        "table": Path("/etc/table"),
        "numbers": (1, 2),
        "registers": ({"address": 7, "scale": 1.0},),
        "by_name": {"flow": {"address": 8, "scale": 2.0}},
    }


@pytest.mark.parametrize(
    ("line", "column", "key", "reason"),
    [
        ('mode = "pol"', 1, "mode", 'must be "poll" or "listen"; found the text "pol": did you mean "poll"?'),
        (
            'numbers = ["2"]',
            12,
            "numbers[0]",
            'must be a whole number; found the text "2": write 2 without quotes',
        ),
        ("numbers = 7", 1, "numbers", "must be an array; found the number 7: write [7]"),
        (
            "registers = { address = 5 }",
            1,
            "registers",
            "must be an array; found a table: put square brackets around it, [{ … }]",
        ),
        (
            "registers = [{ address = 70000 }]",
            16,
            "registers[0].address",
            "must be at least 0 and less than 65536; found the number 70000",
        ),
        ("registers = [{ }]", 14, "registers[0].address", "missing."),
        (
            "registers = [{ adress = 1, address = 1 }]",
            16,
            "registers[0].adress",
            'unknown key; did you mean "address"?',
        ),
        (
            'by_name."a b" = { address = 1, scale = 0 }',
            32,
            'by_name."a b".scale',
            "must be more than 0; found the number 0",
        ),
        ("class = 0", 1, "class", "must be at least 1; found the number 0"),
        ("clas = 1", 1, "clas", 'unknown key; did you mean "class"?'),
        ("token = 12345678", 1, "token", f"must be a text in quotes or, better, {WAYS}"),
        ("plain_token = 12345678", 1, "plain_token", "must be a text in quotes"),
    ],
)
def test_what_another_driver_refuses_is_said_in_the_same_words(
    line: str, column: int, key: str, reason: str
) -> None:
    assert refused(f"{FOREIGN}{line}\n") == [f"gateway.toml:4:{column}: devices.meter.{key}: {reason}"]


def test_a_literal_secret_of_another_driver_is_warned_about_and_not_shown() -> None:
    config = loaded(f'{FOREIGN}token = "hunter2"\npass = "hunter2"\n')
    reason = f"stands here for all to read; better say where it is kept: {WAYS}"
    assert config.warnings == (
        f"gateway.toml:4:1: devices.meter.token: {reason}",
        f"gateway.toml:5:1: devices.meter.pass: {reason}",
    )
    assert "hunter2" not in repr(config) + json.dumps(config.model_dump(mode="json"))


def test_a_driver_that_cannot_be_imported_is_a_problem_of_the_device() -> None:
    driver, baudrate = refused(FOREIGN.replace("foreign", "unfinished") + 'baudrate = "1"\n')
    assert driver.startswith(
        'gateway.toml:2:1: devices.meter.driver: "unfinished" is installed but cannot be loaded: '
    )
    assert baudrate.startswith("gateway.toml:4:1: devices.meter.baudrate: must be a whole number")
