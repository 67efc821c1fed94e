from pathlib import Path

import pytest

from gateway.config import ControlOptions, load
from gateway.config.control import VERBS
from gateway.errors import ConfigError

SITE = """
[devices.supply]
driver = "scpi"
port = "/dev/ttyUSB0"
queries = [{ name = "volts", query = "VOLT?" }]
filters = [{ rename = { on = "output" } }]

[devices.supply.commands]
volts = { send = "VOLT {value}", minimum = 0, maximum = 32 }
on = { send = "OUTP {value}", choices = [0, 1] }

[devices."rack.1"]
driver = "scpi"
port = "/dev/ttyUSB1"
queries = [{ name = "volts", query = "VOLT?" }]
commands = { volts = { send = "VOLT {value}" } }

[devices.gps]
driver = "nmea0183"
port = "/dev/ttyUSB2"

[control]
"""


DEVICE_AND_METRIC = (
    'must name device and metric, such as "boiler.setpoint", "boiler.*" for all of a device, or "*"'
)


def loaded(folder: Path, *lines: str) -> ControlOptions:
    file = folder / "gateway.toml"
    file.write_text(SITE + "\n".join(lines))
    config = load(file)
    assert config.warnings == ()
    return config.control


def complaint(folder: Path, line: str) -> str:
    with pytest.raises(ConfigError) as refused:
        loaded(folder, line)
    [problem] = refused.value.problems
    return problem.partition("control.")[2]


def test_without_a_word_all_that_reads_and_the_alerts_are_allowed_and_nothing_is_set() -> None:
    options = ControlOptions()
    assert {verb for verb in VERBS if not options.allows(verb)} == {"device/restart", "log/level"}
    assert not options.may_set("supply", "volts")


def test_what_may_be_set_is_named_or_meant_by_wildcards(tmp_path: Path) -> None:
    options = loaded(tmp_path, 'set = ["supply.output", "rack.*"]', 'allow = ["al*", "ping"]')
    assert options.may_set("supply", "output")
    assert options.may_set("rack.1", "volts")
    assert not options.may_set("supply", "volts")
    assert not options.may_set("supply", "on")
    assert options.allows("alert/ack")
    assert not options.allows("devices")
    assert loaded(tmp_path, 'set = ["*"]').may_set("supply", "volts")
    assert loaded(tmp_path, 'set = ["rack.1.volts"]').may_set("rack.1", "volts")
    assert not loaded(tmp_path, 'set = ["*"]', "enabled = false").may_set("supply", "volts"), "nobody listens"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('set = ["suply.volts"]', 'set[0]: there is no device "suply": did you mean "supply"?'),
        ('set = ["supply.volt"]', 'set[0]: cannot be set: did you mean "supply.volts"?'),
        ('set = ["supply.on"]', 'set[0]: cannot be set: did you mean "supply.volts"?'),
        ('set = ["gps.speed"]', "set[0]: nothing of gps can be set"),
        ('set = ["rack"]', f'set[0]: {DEVICE_AND_METRIC}; found the text "rack"'),
        ('allow = ["alrt/ack"]', 'allow[0]: there is no request "alrt/ack": did you mean "alert/ack"?'),
        ("rate = 0", "rate: must be between 1 and 1000; found the number 0"),
        ("enable = false", 'enable: unknown key; did you mean "enabled"?'),
    ],
)
def test_mistake_is_named_with_what_is_meant(tmp_path: Path, line: str, problem: str) -> None:
    assert complaint(tmp_path, line) == problem


def test_wildcard_that_stands_for_nothing_is_a_doubt(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f'{SITE}set = ["suply.*"]')
    [warning] = load(file).warnings
    assert warning.endswith(
        "control.set[0]: stands for nothing: no device has a metric of such a name that can be set"
    )


def test_device_whose_options_are_wrong_is_complained_about_once(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    text = SITE.replace('port = "/dev/ttyUSB0"', "port = 5")
    file.write_text(f'{text}set = ["supply.volts"]')
    with pytest.raises(ConfigError) as refused:
        load(file)
    assert len(refused.value.problems) == 1
