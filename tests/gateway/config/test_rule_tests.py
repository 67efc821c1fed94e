import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.rule_tests import RuleTests, load
from gateway.errors import ConfigError

SITE = """\
[gateway]
time_zone = "Europe/Berlin"
[devices.boiler]
driver = "json"
port = "/dev/ttyUSB0"
[devices.gps]
driver = "nmea0183"
port = "/dev/ttyUSB1"
[rules.overheat]
when = "boiler.temperature > 80"
notify = ["oncall"]
[rules.asleep]
when = "boiler.lid"
enabled = false
[notify.oncall]
url = "https://host/hook"
"""
CONFIG = 'config = "site.toml"\n'
EXPECT = '[[expect]]\nat = "1m"\nfiring = []\n'

Load = Callable[[str], RuleTests]


@pytest.fixture(name="loaded")
def _loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)
    Path("site.toml").write_text(SITE)

    def loaded(text: str) -> RuleTests:
        Path("test.toml").write_text(text)
        return load(Path("test.toml"))

    return loaded


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        (EXPECT, ["1:1: config: missing. The configuration that is tested."]),
        ('config = "sight.toml"\n' + EXPECT, ["1:1: config: there is no file sight.toml"]),
        (CONFIG, ["1:1: expect: missing. What must be so, and when."]),
        *(
            (
                CONFIG + f'start = "{year}-12-31T23:59:59Z"\n' + EXPECT,
                ["2:1: start: must be between the years 1970 and 8999; found"],
            )
            for year in ("9999", "1969")
        ),
        (CONFIG + "[[test]]\n", ["2:3: test[0].expect: missing. What must be so, and when."]),
        (CONFIG + "test = 3\n", ["2:1: test: must be an array of tables: write each header as [[test]]"]),
        (CONFIG + "test = []\n", ["2:1: test: must be an array of tables: write each header as [[test]]"]),
        (
            CONFIG + '[[series]]\ndevice = "boiler"\n[[test]]\n' + EXPECT.replace("[[", "[[test."),
            ["2:3: series: unknown key beside [[test]]; write [[test.series]]"],
        ),
        (
            CONFIG + '[[series]]\ndevise = "boiler"\nvalues = { x = "1" }\n' + EXPECT,
            [
                "2:3: series[0].device: missing. Which device it is about, as the configuration calls it.",
                '3:1: series[0].devise: unknown key; did you mean "device"?',
            ],
        ),
        (
            CONFIG + '[[series]]\ndevice = "boiler"\nvalues = { temperature = "1, 2 x 1e12" }\n' + EXPECT,
            [
                "4:34: series[0].values.temperature: how many there are must be a whole number between 1 and 10000000"
            ],
        ),
        (
            CONFIG + '[[series]]\ndevice = "boiler"\nvalues = { temperature = [1, "on", [3]] }\n' + EXPECT,
            [
                "4:31: series[0].values.temperature[1]: a text stands in quotes of its own: 'on'",
                "4:36: series[0].values.temperature[2]: must be a number, a text, true or false",
            ],
        ),
        (
            CONFIG + '[[series]]\ndevice = "boiler"\nvalues = { temperature = "1 x 9000000, 2 x 9000000" }\n' + EXPECT,
            ["2:3: series: holds 18000000 values, and 10000000 are the most"],
        ),
        (
            CONFIG + '[[reading]]\nat = "0s"\ndevice = "boiler"\nvalues = { temperature = inf }\n' + EXPECT,
            ["5:12: reading[0].values.temperature: must be a number, a text, true or false"],
        ),
        (
            CONFIG + '[[reading]]\nat = "0s"\ndevice = "boilr"\nvalues = { temperature = 1 }\n' + EXPECT,
            ['4:1: reading[0].device: there is no [devices.boilr]: did you mean "boiler"?'],
        ),
        (
            CONFIG + '[[reading]]\nat = "0s"\ndevice = "boiler"\nvalues = {}\n' + EXPECT,
            ["5:1: reading[0].values: must not be empty; found a table"],
        ),
        (
            CONFIG + '[[availability]]\nat = "5s"\ndevice = "boiler"\nstate = "gone"\n' + EXPECT,
            [
                '5:1: availability[0].state: must be "online", "stale", "offline", "port down" or "port up"; found',
            ],
        ),
        (
            CONFIG + '[[capture]]\nfile = "night.rec"\ndevice = "boiler"\n' + EXPECT,
            ["3:1: capture[0].file: there is no file night.rec"],
        ),
        (
            CONFIG + '[[expect]]\nat = "1x"\nfiring = []\n',
            [
                '3:1: expect[0].at: must be a time since the beginning with its units, such as "0s", "90s"',
            ],
        ),
        (
            CONFIG + '[[expect]]\nat = "999999999d"\nfiring = []\n',
            ['3:1: expect[0].at: must be between 0s and 366d; found the text "999999999d"'],
        ),
        (
            CONFIG + '[[expect]]\nat = "1s"\nfiring = ["overheet"]\n',
            ['4:11: expect[0].firing[0].rule: there is no rule "overheet": did you mean "overheat"?'],
        ),
        (
            CONFIG + '[[expect]]\nat = "1s"\npending = ["asleep"]\n',
            ["4:12: expect[0].pending[0].rule: the rule asleep is switched off: enabled = false"],
        ),
        (
            CONFIG + '[[expect]]\nat = "1s"\nfiring = ["overheat/gps", 3]\n',
            ["4:27: expect[0].firing[1]: must be a table; found the number 3"],
        ),
        (
            CONFIG + '[[expect]]\nat = "1s"\nfiring = ["overheat/gps"]\n',
            ['4:11: expect[0].firing[0].device: overheat is never about "gps"; known are boiler'],
        ),
        (
            CONFIG + '[[expect]]\nat = "1s"\nfiring = ["journal_filling/boiler"]\n',
            ["4:11: expect[0].firing[0].device: journal_filling is about no device in particular"],
        ),
        (
            CONFIG + '[[expect]]\nat = "1s"\nnotified = { oncal = [], oncall = [{ firing = ["overheet"] }] }\n',
            [
                '4:14: expect[0].notified.oncal: there is no [notify.oncal]: did you mean "oncall"?',
                '4:48: expect[0].notified.oncall[0].firing[0].rule: there is no rule "overheet"',
            ],
        ),
        (
            CONFIG + '[[expect]]\nat = "1s"\ndid = [{ device = "pump", set = { on = true } }]\n',
            ["4:10: expect[0].did[0].device: there is no [devices.pump]; known are boiler, gps"],
        ),
        (
            CONFIG + 'rules = ["overheet"]\n' + EXPECT,
            ['2:10: rules[0]: there is no rule "overheet": did you mean "overheat"?'],
        ),
        (
            CONFIG + 'start = "yesterday"\n' + EXPECT,
            [
                "2:1: start: must be a date and a time, such as 2026-01-31T22:00:00 or 2026-01-31T22:00:00Z",
            ],
        ),
        (CONFIG + "[[expect]\n", ['2:9: the "]" is missing']),
    ],
)  # fmt: skip
def test_mistake_is_named_with_its_place(loaded: Load, text: str, complaints: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    found = caught.value.problems
    assert len(found) == len(complaints), found
    for line, complaint in zip(found, complaints, strict=True):
        assert line.startswith(f"test.toml:{complaint}")


def test_mistake_in_the_configuration_is_named_in_the_configuration(loaded: Load) -> None:
    Path("site.toml").write_text(SITE.replace("> 80", "> "))
    with pytest.raises(ConfigError) as caught:
        loaded(CONFIG + EXPECT)
    assert caught.value.problems[0].startswith("site.toml:10:")


def test_metric_that_a_device_cannot_have_is_a_mistake_and_one_that_no_rule_reads_a_doubt(
    loaded: Load,
) -> None:
    series = '[[series]]\ndevice = "boiler"\nvalues = { temprature = "1" }\n'
    assert loaded(CONFIG + series + EXPECT).warnings == (
        'test.toml:4:12: series[0].values.temprature: no rule reads it: did you mean "temperature"?',
    )
    assert loaded(CONFIG + series.replace("tempra", "tempera") + EXPECT).warnings == ()


def test_file_may_be_one_test_and_is_then_called_as_the_file(loaded: Load) -> None:
    [test] = loaded(CONFIG + EXPECT).tests
    assert (test.name, test.where) == ("test", "test.toml:1:1")


def test_expectations_are_looked_at_in_the_order_of_their_moments(loaded: Load) -> None:
    [test] = loaded(CONFIG + EXPECT + '[[expect]]\nat = "1s"\nfiring = []\n').tests
    assert [each.options.at for each in test.expected] == [1, 60]
    assert [each.where for each in test.expected] == ["test.toml:6:1", "test.toml:3:1"]


@pytest.mark.parametrize(
    ("written", "start"),
    [
        ("", datetime(2026, 1, 1, tzinfo=UTC)),
        ("start = 2026-07-01T12:00:00Z\n", datetime(2026, 7, 1, 12, tzinfo=UTC)),
        ("start = 2026-07-01T12:00:00\n", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        ('start = "2026-07-01T12:00:00+05:00"\n', datetime(2026, 7, 1, 7, tzinfo=UTC)),
    ],
)
def test_test_begins_when_it_says_in_the_zone_of_the_gateway(
    loaded: Load, written: str, start: datetime
) -> None:
    [test] = loaded(CONFIG + written + EXPECT).tests
    assert test.start - start == timedelta(0)


def test_test_is_about_the_rules_that_are_written_and_those_that_it_names(loaded: Load) -> None:
    named = '[[expect]]\nat = "2m"\nfiring = ["device_stale/gps"]\n'
    [test] = loaded(CONFIG + EXPECT + named).tests
    assert test.rules == {"overheat", "asleep", "device_stale"}
    assert test.cast >= {*test.rules, "port_down", "device_offline"}
    [narrow] = loaded(CONFIG + 'rules = ["device_stale"]\n' + EXPECT).tests
    assert narrow.rules == {"device_stale"}


WORDS = st.sampled_from(
    [
        "", "boiler", "gps", "overheat", "overheat/boiler", "oncall", "stale", "port down", "1s", "0s", "9d",
        "20 + 1 x 3", "_ x 5", "1 x 1e12", "'on'", "site.toml", "2026-01-01T00:00:00", "status", "/", "device_stale",
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "config", "test", "series", "reading", "availability", "capture", "expect", "device", "at", "every", "values",
        "state", "file", "firing", "pending", "notified", "did", "set", "rule", "labels", "resolved", "rules", "start",
        "oncall", "temperature",
    ]
)  # fmt: skip
ANYTHING = st.recursive(
    WORDS | st.integers() | st.floats() | st.booleans(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(KEYS, parts, max_size=4),
    max_leaves=12,
)


def toml(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case _:
            return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


@pytest.mark.repetitive
@given(table=st.dictionaries(KEYS, ANYTHING, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_stands_in_a_file_it_is_a_test_or_refused_with_places(
    loaded: Load, table: dict[str, object]
) -> None:
    text = "\n".join(f"{key} = {toml(each)}" for key, each in {**table, "config": "site.toml"}.items())
    try:
        found = loaded(text).tests
    except ConfigError as error:
        found = error.problems  # type: ignore[assignment]
    assert found
