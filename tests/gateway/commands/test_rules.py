"""`sallyport rules` as a person types it; what needs a broker is in tests/system."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from drivers.recording import Piece, Recorder
from gateway.cli import main
from gateway.commands.rules.chronicle import clocked

SITE = """\
[gateway]
name = "plant"
time_zone = "UTC"
[devices.boiler]
driver = "json"
port = "/dev/ttyBoiler"
stale_after = "10s"
filters = [{ scale = 0.5, metric = "temperature" }]
[devices.pump]
driver = "json"
port = "/dev/ttyPump"
[rules.overheat]
when = "boiler.temperature > 80 and not pump.off"
for = "30s"
message = "at {boiler.temperature} °C"
notify = ["oncall"]
[rules.clock_unsynchronised]
enabled = false
[notify.oncall]
url = "http://host/hook"
group_wait = "10s"
group_interval = "1m"
repeat_interval = "5m"
"""

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(name="say")
def _say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Exit status, output, errors."""
    monkeypatch.chdir(tmp_path)
    Path("site.toml").write_text(SITE)

    def say(*words: str) -> tuple[int, str, str]:
        status = main(["rules", *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return say


def verdict(say: Say, text: str) -> tuple[int, list[str]]:
    Path("test.toml").write_text('config = "site.toml"\n' + text)
    status, out, _ = say("test", "test.toml")
    return status, out.splitlines()


def record(file: str, port: str, began: str, said: Iterable[tuple[float, Mapping[str, object]]]) -> None:
    with Path(file).open("wb", buffering=0) as stream:
        recorder = Recorder(stream, {"began": began, "port": port})
        for moment, values in said:
            recorder.add(Piece(moment, json.dumps(values).encode() + b"\n"))


def expect(moment: str, *what: str) -> str:
    return "\n".join(["[[expect]]", f'at = "{moment}"', *what, ""])


HOT = '[[series]]\ndevice = "boiler"\nvalues = { temperature = "20 x 10, 90 x 600" }\n'
ON = '[[reading]]\ndevice = "pump"\nat = "0s"\nvalues = { off = false }\n'


# check


def test_check_lists_all_rules_with_what_they_read_and_where_they_are_switched_off(say: Say) -> None:
    status, out, err = say("check", "site.toml")
    assert status == 0
    assert out.startswith("port_down, critical (built in)\n    for each of   /dev/ttyBoiler, /dev/ttyPump\n")
    assert (
        "overheat, warning (site.toml:12:8)\n    reads         boiler.temperature\n                  pump.off\n"
        "    notifies      oncall\n" in out
    )
    assert 'doubtful      site.toml:13:41: rules.overheat.when: pump is not known to report "off"' in out
    assert (
        "clock_unsynchronised, warning (built in, changed at site.toml:17:8)\n    switched off  site.toml:18:1\n"
        in out
    )
    assert out.endswith("site.toml: good: 8 rules, 1 switched off, doubtful in 2 places\n")
    assert err == "", "what is doubtful of a rule is said with it, and nothing else is"


def test_check_counts_one_place_as_one(say: Say) -> None:
    Path("site.toml").write_text(SITE.replace(" and not pump.off", ""))
    assert say("check", "site.toml")[1].endswith("doubtful in 1 place\n")


def test_check_of_a_bad_configuration_ends_with_78_and_the_places(say: Say) -> None:
    Path("site.toml").write_text(SITE.replace("boiler.temperature > 80", "boiler.temperature > "))
    status, out, err = say("check", "site.toml")
    assert (status, out) == (78, "")
    assert err.startswith("site.toml:13:")


# test


def test_tests_that_pass_end_with_0(say: Say) -> None:
    early, late = (
        expect("39s", "firing = []", 'pending = ["overheat"]'),
        expect("40s", 'firing = ["overheat"]'),
    )
    assert verdict(say, HOT + ON + early + late) == (0, ["ok      test.toml:1:1: test", "1 passed, 0 failed"])


def test_difference_says_what_was_expected_and_what_came_and_ends_with_1(say: Say) -> None:
    assert verdict(say, HOT + ON + expect("39s", 'firing = ["overheat"]', "pending = []")) == (
        1,
        [
            "FAILED  test.toml:1:1: test",
            "    test.toml:10:1: at 39s: firing",
            "      expected  overheat",
            "      got       overheat, which is pending",
            "    test.toml:10:1: at 39s: pending",
            "      expected  nothing more",
            "      got       overheat since 10s (29s ago), warning: at 90 °C",
            "    time line",
            "       0s  pump: online",
            "       0s  boiler: online",
            "      10s  overheat: pending",
            "0 passed, 1 failed",
        ],
    )


def test_rule_that_holds_while_its_device_is_silent_says_so(say: Say) -> None:
    when = "boiler.temperature > 80 and not pump.off"
    Path("site.toml").write_text(SITE.replace(when, "count_over(boiler.temperature, '1m') == 0"))
    Path("test.toml").write_text(
        'config = "site.toml"\n' + HOT.replace("600", "6") + '[[expect]]\nat = "1h"\nfiring = ["overheat"]\n'
    )
    _, out, _ = say("test", "test.toml")
    why = 'nothing: its condition is true; boiler is not heard: on_stale = "hold"'
    assert out.splitlines()[3] == f"      got       {why}"


def test_rule_that_cannot_know_says_why_it_does_not_fire(say: Say) -> None:
    _, lines = verdict(say, HOT + '[[expect]]\nat = "2m"\nfiring = ["overheat"]\n')
    assert lines[3] == "      got       nothing: its condition is unknown: not seen yet"


@pytest.mark.parametrize(
    ("firing", "passes"),
    [
        ('{ rule = "overheat", message = "at 90 °C" }', True),
        ('{ rule = "overheat", message = "at 91 °C" }', False),
        ('{ rule = "overheat", severity = "warning", device = "" }', True),
        ('{ rule = "overheat", severity = "critical" }', False),
        ('{ rule = "overheat", labels = { site = "north" } }', False),
        ('"overheat", "overheat"', False),
        ("", False),
    ],
)
def test_expected_alert_must_be_the_one_that_fires_in_all_that_is_said_of_it(
    say: Say, firing: str, passes: bool
) -> None:
    status, _ = verdict(say, HOT + ON + f'[[expect]]\nat = "1m"\nfiring = [{firing}]\n')
    assert status == (0 if passes else 1)


def test_message_is_that_with_which_the_alert_was_given_out_not_that_of_now(say: Say) -> None:
    later = HOT.replace("90 x 600", "90 x 60, 95 x 60")
    firing = '{ rule = "overheat", message = "at 90 °C" }'
    assert verdict(say, later + ON + f'[[expect]]\nat = "100s"\nfiring = [{firing}]\n')[0] == 0


NOTIFIED = [
    ("48s", "[]", True),
    ("50s", '["overheat"]', True),
    ("50s", "[]", False),
    ("50s", '[{ resolved = ["overheat"] }]', False),
    ("50s", '[{ firing = ["overheat"], repeat = true }]', False),
    ("349s", '["overheat"]', True),
    ("350s", '["overheat", { firing = ["overheat"], repeat = true }]', True),
    ("350s", '["overheat"]', False),
]


@pytest.mark.parametrize(("moment", "notices", "passes"), NOTIFIED)
def test_receiver_is_told_when_its_grouping_says_so(
    say: Say, moment: str, notices: str, passes: bool
) -> None:
    status, _ = verdict(say, HOT + ON + f'[[expect]]\nat = "{moment}"\nnotified = {{ oncall = {notices} }}\n')
    assert status == (0 if passes else 1)


def test_notice_is_to_be_expected_once(say: Say) -> None:
    once, no_more = (
        expect("1m", 'notified = { oncall = ["overheat"] }'),
        expect("2m", "notified = { oncall = [] }"),
    )
    assert verdict(say, HOT + ON + once + no_more)[0] == 0


def test_rule_sets_what_it_says_once_each_time_that_it_fires(say: Say) -> None:
    site = SITE.replace(
        'driver = "json"\nport = "/dev/ttyPump"',
        'driver = "text"\nport = "/dev/ttyPump"\ncommands.off = { send = "OFF {value}" }',
    )
    Path("site.toml").write_text(
        site.replace('for = "30s"', 'repeat = "5s"\ndo = [{ device = "pump", set = { off = 1 } }]')
    )
    did = '[{ device = "pump", set = { off = 1 } }]'
    done = expect("9s", "did = []") + expect("1m", f"did = {did}") + expect("2m", "did = []")
    assert verdict(say, HOT + ON + done)[0] == 0
    status, lines = verdict(say, HOT + ON + done.replace("off = 1", "off = true"))
    assert status == 1
    assert lines[2:4] == [
        "      expected  pump: off = true",
        "      got       at 10s: pump: off = 1 (by overheat)",
    ]


def test_built_in_rules_are_looked_at_where_a_test_names_them(say: Say) -> None:
    quiet = HOT.replace("90 x 600", "20 x 10")
    assert verdict(say, quiet + '[[expect]]\nat = "5m"\nfiring = []\n')[0] == 0
    assert verdict(say, quiet + '[[expect]]\nat = "5m"\nfiring = ["device_stale/boiler"]\n')[0] == 0
    assert verdict(say, 'rules = ["device_stale"]\n' + quiet + '[[expect]]\nat = "5m"\nfiring = []\n')[0] == 1


def test_alert_about_another_device_is_another_alert(say: Say) -> None:
    status, lines = verdict(say, ON + expect("90s", 'firing = ["device_stale/boiler"]'))
    assert status == 1
    assert lines[2:4] == [
        "      expected  device_stale/boiler",
        "      got       device_stale/pump since 1m (30s ago), warning: pump is not heard any more",
    ]


@pytest.mark.parametrize(
    "firing",
    [
        '{ rule = "hot", severity = "warning" }, { rule = "hot", device = "boiler" }',
        '{ rule = "hot", severity = "warning" }, { rule = "hot", device = "pump" }',
        '"hot", "hot"',
    ],
)
def test_whatever_order_they_are_written_in_each_expected_alert_finds_one_that_fits(
    say: Say, firing: str
) -> None:
    Path("site.toml").write_text(
        SITE + '[rules.hot]\neach = ["boiler", "pump"]\nwhen = "this.temperature > 80"\n'
    )
    pump = HOT.replace("boiler", "pump")
    assert verdict(say, 'rules = ["hot"]\n' + HOT + pump + expect("1m", f"firing = [{firing}]"))[0] == 0
    status, lines = verdict(
        say, 'rules = ["hot"]\n' + HOT + pump + expect("1m", f'firing = [{firing}, "hot"]')
    )
    assert status == 1
    assert lines[2:4] == [
        "      expected  hot",
        "      got       hot/boiler, which is firing, hot/pump, which is firing",
    ]


def test_third_reading_of_a_tenth_of_a_second_each_is_there_at_three_tenths(say: Say) -> None:
    Path("site.toml").write_text(SITE.replace('for = "30s"', 'for = "0s"'))
    hot = '[[series]]\ndevice = "boiler"\nevery = "100ms"\nvalues = { temperature = "20 x 3, 90" }\n'
    assert (
        verdict(say, hot + ON + expect("299ms", "firing = []") + expect("300ms", 'firing = ["overheat"]'))[0]
        == 0
    )


def test_what_the_gateway_counts_of_itself_can_be_said_too(say: Say) -> None:
    behind = '[[series]]\ndevice = "status"\nevery = "10s"\nvalues = { behind = "0 + 10 x 20" }\n'
    before, after = expect("2m30s", "firing = []"), expect("160s", 'firing = ["publisher_behind"]')
    assert verdict(say, behind + before + after)[0] == 0


def test_clock_on_the_wall_is_that_of_the_test(say: Say) -> None:
    Path("site.toml").write_text(SITE.replace("boiler.temperature > 80 and not pump.off", "hour() == 22"))
    before, after = expect("29m59s", "firing = []"), expect("31m", 'firing = ["overheat"]')
    assert verdict(say, "start = 2026-03-01T21:30:00Z\n" + before + after)[0] == 0


def test_recording_goes_through_the_driver_and_the_filters_of_its_device(say: Say) -> None:
    record(
        "night.rec",
        "/dev/ttyBoiler",
        "2026-01-01T00:00:00Z",
        [(second, {"temperature": 170}) for second in range(60)],
    )
    capture = '[[capture]]\nfile = "night.rec"\ndevice = "boiler"\nat = "5s"\n'
    hot = expect("36s", 'firing = [{ rule = "overheat", message = "at 85.0 °C" }]')
    assert verdict(say, capture + ON + hot)[0] == 0


def test_line_that_only_lacks_its_end_is_heard(say: Say) -> None:
    Path("raw").write_bytes(b'{"temperature": 170}')
    capture = '[[capture]]\nfile = "raw"\ndevice = "boiler"\n'
    assert verdict(say, capture + ON + expect("5s", 'pending = ["overheat"]'))[0] == 0


def test_damaged_recording_is_named(say: Say) -> None:
    Path("night.rec").write_bytes(b'{"recording":1}\n{"at":1,"rx":"zz"}\n')
    capture = '[[capture]]\nfile = "night.rec"\ndevice = "boiler"\n[[expect]]\nat = "1s"\nfiring = []\n'
    Path("test.toml").write_text('config = "site.toml"\n' + capture)
    status, _, err = say("test", "test.toml")
    assert status == 2
    assert "line 2 of the recording is damaged" in err


def test_recording_that_claims_to_last_for_ever_is_refused(say: Say) -> None:
    Path("night.rec").write_bytes(b'{"recording":1}\n{"at":1e300,"rx":"00"}\n')
    status, _, err = say("replay", "boiler=night.rec", "--config", "site.toml")
    assert status == 2
    assert "longer than a year" in err


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_recording_of_a_year_that_no_clock_shows_is_refused(say: Say, year: str) -> None:
    record("night.rec", "/dev/ttyBoiler", f"{year}-12-31T23:59:59Z", [(1, {"temperature": 1})])
    status, _, err = say("replay", "night.rec", "--config", "site.toml")
    assert status == 2
    assert f"night.rec: this recording claims to be of the year {int(year)}" in err


@pytest.mark.repetitive
def test_rule_gone_wild_stops_its_test_and_no_other(say: Say) -> None:
    wild = '[[test]]\nname = "wild"\n[[test.series]]\ndevice = "boiler"\nvalues = { temperature = ["90", "20"] }\n'
    Path("site.toml").write_text(SITE.replace('for = "30s"', 'repeat = "1s"'))
    wild = (
        wild.replace('["90", "20"]', '"90 x 300000"')
        + '[[test.reading]]\ndevice = "pump"\nat = "0s"\nvalues = { off = false }\n'
    )
    tame = '[[test]]\nname = "tame"\n[[test.expect]]\nat = "1s"\nfiring = []\n'
    status, lines = verdict(say, wild + '[[test.expect]]\nat = "3d"\nfiring = []\n' + tame)
    assert status == 1
    assert "more than 100000 things happen" in lines[1]
    assert lines[-2:] == ["ok      test.toml:14:3: tame", "1 passed, 1 failed"]
    assert len(lines) < 300, "the time line is cut"


def test_mistakes_of_all_files_are_named_before_anything_is_run(say: Say) -> None:
    for name in ("a.toml", "b.toml"):
        Path(name).write_text('config = "site.toml"\n')
    status, out, err = say("test", "a.toml", "b.toml")
    assert (status, out) == (78, "")
    assert [line.split(":")[0] for line in err.splitlines()] == ["a.toml", "b.toml"]


# replay and explain


def night() -> None:
    seconds = [second for second in range(200) if not 120 < second < 150]
    said = [(second, {"temperature": 170 if 20 <= second < 80 else 40}) for second in seconds]
    record("night.rec", "/dev/ttyBoiler", "2026-11-22T22:00:00Z", said)
    record("pump.rec", "/dev/ttyPump", "2026-11-22T22:00:05Z", [(0, {"off": False}), (30, {"off": False})])


def test_replay_tells_what_would_have_happened_and_how_often(say: Say) -> None:
    night()
    status, out, _ = say("replay", "night.rec", "pump.rec", "--config", "site.toml")
    assert status == 0
    assert out.startswith(
        "2026-11-22 22:00:00.000  boiler: online\n"
        "2026-11-22 22:00:05.000  pump: online\n"
        "2026-11-22 22:00:20.000  overheat: pending\n"
        "2026-11-22 22:00:50.000  overheat: firing: at 85.0 °C\n"
        "2026-11-22 22:01:00.000  oncall is told: plant: warning: overheat\n"
        "2026-11-22 22:01:20.000  overheat: resolved\n"
        "2026-11-22 22:02:00.000  oncall is told: plant: resolved: overheat\n"
        "2026-11-22 22:02:10.000  boiler: stale: nothing for 10s on /dev/ttyBoiler\n"
        "2026-11-22 22:02:10.000  device_stale/boiler: firing: boiler is not heard any more\n"
        "2026-11-22 22:02:30.000  boiler: online\n"
        "2026-11-22 22:02:30.000  device_stale/boiler: resolved\n"
        "\nin 3m19s:\n"
        "  overheat: fired once, for 30s in all\n"
        "  device_stale/boiler: fired once, for 20s in all\n"
    )
    assert "  publisher_behind: never, and is unknown: not seen yet\n" in out
    assert "clock_unsynchronised" not in out, "it is switched off"
    assert "pump: stale" not in out, "its recording is over, which is no silence"


def test_replay_of_raw_bytes_needs_a_name_and_knows_no_clock(say: Say) -> None:
    Path("raw").write_bytes(b'{"temperature": 170}\n' * 2000)
    status, _, err = say("replay", "raw", "--config", "site.toml")
    assert status == 2
    assert 'whose recording is it? Write NAME=raw; the devices are "boiler", "pump"' in err
    status, out, _ = say("replay", "boiler=raw", "--config", "site.toml")
    assert status == 0
    assert out.splitlines()[0].split() == ["0s", "boiler:", "online"]
    status, _, err = say("replay", "boilr=raw", "--config", "site.toml")
    assert status == 2
    assert "raw: " in err or 'did you mean "boiler"' in err
    status, _, err = say("replay", "boiler=raw", "boiler=raw", "--config", "site.toml")
    assert status == 2
    assert "two recordings of one device" in err


def test_explain_says_what_each_part_is_at_the_end_of_a_recording(say: Say) -> None:
    night()
    status, out, _ = say(
        "explain", "overheat", "--config", "site.toml", "--capture", "night.rec", "--capture", "pump.rec"
    )
    assert status == 0
    assert out == (
        "overheat (site.toml:12:8)\n"
        "  when      boiler.temperature > 80 and not pump.off\n"
        "  for       30s without a break, then it fires\n"
        "  on_stale  hold: while a device that it reads is silent, nothing changes\n"
        "  severity  warning\n"
        "  reads     boiler.temperature\n"
        "            pump.off\n"
        "  notifies  oncall: first after 10s, then what is new every 1m, what still fires again after 5m\n"
        "\n"
        "overheat: inactive at the end, after 3m19s\n"
        "  boiler.temperature is 20.0; boiler was heard 0s ago\n"
        "  pump.off is false; pump was heard 2m44s ago\n"
        "  when: `boiler.temperature > 80 and not pump.off` is false\n"
        "    `boiler.temperature > 80` is false: 20.0\n"
        "    `not pump.off` is true\n"
        "      `pump.off` is false\n"
    )


def test_explain_shows_a_product_of_more_digits_than_json_takes(say: Say) -> None:
    Path("site.toml").write_text(SITE + '[rules.much]\nwhen = "boiler.a * boiler.a > 1"\n')
    record("night.rec", "/dev/ttyBoiler", "2026-11-22T22:00:00Z", [(0, {"a": 2**40})])
    status, out, _ = say("explain", "much", "--config", "site.toml", "--capture", "night.rec")
    assert status == 0
    assert f"when: `boiler.a * boiler.a > 1` is true: {2**80}\n" in out


def test_explain_says_why_nothing_is_known(say: Say) -> None:
    night()
    _, out, _ = say(
        "explain", "overheat", "--config", "site.toml", "--capture", "pump.rec", "--device", "pump"
    )
    assert "  boiler.temperature is unknown: not seen yet\n" in out
    assert "  when: `boiler.temperature > 80 and not pump.off` is unknown: not seen yet\n" in out


def test_explain_says_what_was_not_heard_yet(say: Say) -> None:
    night()
    _, out, _ = say(
        "explain", "device_stale", "--config", "site.toml", "--capture", "pump.rec", "--device", "pump"
    )
    assert "  boiler was not heard yet; stale: unknown: not seen yet; offline: unknown: not seen yet\n" in out


def test_explain_knows_no_other_rules_and_says_the_nearest(say: Say) -> None:
    status, _, err = say("explain", "overheet", "--config", "site.toml")
    assert (status, err) == (2, 'sallyport rules: there is no rule overheet: did you mean "overheat"?\n')


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"),
        (0.25, "0.25s"),
        (60, "1m"),
        (90, "1m30s"),
        (3600.5, "1h0.5s"),
        (90061, "1d1h1m1s"),
        (6000, "1h40m"),
    ],
)
def test_moments_are_written_as_one_may_write_them(seconds: float, written: str) -> None:
    assert clocked(seconds) == written


AVAILABILITY = '[[availability]]\ndevice = "boiler"\nat = "{}"\nstate = "{}"\n'


def test_device_is_what_the_test_says_until_it_is_heard(say: Say) -> None:
    changes = [
        ("10s", "stale"),
        ("20s", "online"),
        ("25s", "offline"),
        ("30s", "port down"),
        ("40s", "port up"),
    ]
    said = "".join(AVAILABILITY.format(*each) for each in changes)
    said += '[[reading]]\ndevice = "boiler"\nat = "45s"\nvalues = { temperature = 1 }\n'
    status, lines = verdict(
        say, 'rules = ["device_offline"]\n' + said + expect("50s", 'firing = ["overheat"]')
    )
    assert status == 1
    story = lines[lines.index("    time line") + 1 : -1]
    assert [line.strip().split(": ", 1) for line in story] == [
        ["10s  boiler", "stale: the test says so"],
        ["20s  boiler", "online"],
        ["25s  boiler", "offline: the test says so"],
        ["25s  device_offline/boiler", "pending"],
        ["30s  boiler", "offline: the test says so"],
        ["45s  boiler", "online"],
        ["45s  device_offline/boiler", "not pending any more"],
    ]


def test_port_that_is_open_again_opens_nothing_that_the_test_does_not_speak_of(say: Say) -> None:
    bus = "".join(
        f'[devices.{name}]\ndriver = "modbus"\nport = "/dev/ttyBus"\nunit = {unit}\nstale_after = "1m"\n'
        "registers.t = { address = 0 }\n"
        for unit, name in enumerate("ab", 1)
    )
    Path("site.toml").write_text(bus)
    up = '[[availability]]\ndevice = "a"\nat = "1s"\nstate = "port up"\n'
    assert verdict(say, up + expect("5m", 'firing = ["device_stale/a"]'))[0] == 0
    both = up + '[[availability]]\ndevice = "b"\nat = "0s"\nstate = "port down"\n'
    assert verdict(say, both + expect("5m", 'firing = ["device_stale/a", "device_stale/b"]'))[0] == 0


def test_quiet_repeats_and_what_is_kept_are_in_the_time_line(say: Say) -> None:
    rule = 'keep_for = "20s"\nrepeat = "15s"\ninhibited_by = ["cold"]'
    cold = '[rules.cold]\nwhen = "pump.cold"\n'
    Path("site.toml").write_text(SITE.replace('for = "30s"', rule) + cold)
    said = '[[series]]\ndevice = "boiler"\nvalues = { temperature = "90 x 20, 20 x 5, 90 x 5, 20 x 60" }\n'
    pump = 'values = { off = "false x 90", cold = "false x 3, true x 3, false x 84" }'
    said += f'[[series]]\ndevice = "pump"\n{pump}\n'
    _, lines = verdict(say, said + expect("85s", 'firing = ["overheat"]'))
    story = [line.split("overheat: ")[1] for line in lines if "overheat: " in line]
    assert story == [
        "firing: at 90 °C",
        "inhibited by cold",
        "not quiet any more",
        "told again",
        "resolving",
        "firing still, nobody is told",
        "told again",
        "resolving",
        "told again",
        "resolved",
    ]


EVERYTHING = """\
[rules.all]
each = "boil*"
when = "this.t > 80 and age(this) < '1m'"
clear = "this.t < 75"
for = "10s"
keep_for = "1m"
flap = { changes = 6, within = "10m" }
repeat = "1h"
on_stale = "fire"
severity = "critical"
labels = { site = "north" }
inhibited_by = ["overheat"]
notify = ["quiet"]
do = [{ device = "valve", set = { open = 1 } }]
enabled = false
[notify.quiet]
url = "http://host/quiet"
repeat_interval = "never"
[devices.valve]
driver = "text"
port = "/dev/ttyValve"
commands.open = { send = "OPEN {value}" }
"""


def test_explain_says_all_that_is_written_of_a_rule(say: Say) -> None:
    night()
    Path("site.toml").write_text(SITE + EVERYTHING)
    status, out, _ = say("explain", "all", "--config", "site.toml", "--capture", "night.rec")
    assert status == 0
    assert out == (
        "all (site.toml:24:8)\n"
        "  when      this.t > 80 and age(this) < '1m'\n"
        "  clear     this.t < 75\n"
        "  for       10s without a break, then it fires\n"
        "  keep_for  over for 1m without a break, then it is resolved\n"
        "  flap      stays when it changes 6 times in 10m\n"
        "  repeat    told again every 1h\n"
        "  on_stale  fire: a device that it reads and that is silent counts as true\n"
        "  severity  critical\n"
        "  labels    site = north\n"
        "  each      boiler\n"
        "  reads     this.t\n"
        "            whether this is heard\n"
        "  notifies  quiet: first after 30s, then what is new every 5m, what still fires not again\n"
        "  does      valve: open = 1, when it fires\n"
        "  quiet     while overheat fires for the same device, its port, or none in particular\n"
        "  off       switched off at site.toml:38:1\n"
        "\n"
        "all/boiler: inactive at the end, after 3m19s\n"
        "  boiler.t is unknown: not seen yet\n"
        "  boiler was heard 0s ago; stale: false; offline: false\n"
        "  when: `this.t > 80 and age(this) < '1m'` is unknown: not seen yet\n"
        "    `this.t > 80` is unknown: not seen yet\n"
        "    `age(this) < '1m'` is true: 0.0\n"
        "  clear: `this.t < 75` is unknown: not seen yet\n"
    )


def test_explain_says_of_an_alert_that_fires_since_when_and_with_which_words(say: Say) -> None:
    record(
        "hot.rec",
        "/dev/ttyBoiler",
        "2026-11-22T22:00:00Z",
        [(second, {"temperature": 170}) for second in range(60)],
    )
    record("pump.rec", "/dev/ttyPump", "2026-11-22T22:00:00Z", [(0, {"off": False})])
    captures = ("--capture", "hot.rec", "--capture", "pump.rec")
    _, out, _ = say("explain", "overheat", "--config", "site.toml", *captures)
    assert "overheat: firing at the end, after 59s\n" in out
    assert out.endswith("  firing for 29s: at 85.0 °C\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("explain", "overheat", "--wait", "long"), "--wait long: must be a duration"),
        (("explain", "overheat", "--device", "boiler"), "--device says whose recording a --capture is"),
        (("replay", "nowhere.rec"), "nowhere.rec: No such file or directory"),
        (("replay", "boiler="), "boiler=: write NAME=FILE"),
        (("replay", "boiler=when.rec"), "when.rec: the recording does not say when it began"),
        (
            ("explain", "hot", "--capture", "when.rec", "--device", "boilr"),
            'no device "boilr": did you mean "boiler"?',
        ),
    ],
)
def test_what_cannot_be_used_is_said_so(say: Say, words: tuple[str, ...], complaint: str) -> None:
    Path("site.toml").write_text(SITE + '[rules.hot]\nwhen = "boiler.temperature > 80"\n')
    record("when.rec", "/dev/ttyBoiler", "once upon a time", [])
    status, out, err = say(*words, "--config", "site.toml")
    assert (status, out if words[0] == "replay" else "") == (2, "")
    assert complaint in err


def test_only_device_there_is_has_the_recording(say: Say) -> None:
    record("other.rec", "/dev/ttyOther", "2026-11-22T22:00:00Z", [(0, {"temperature": 1})])
    Path("one.toml").write_text('[devices.boiler]\ndriver = "json"\nport = "/dev/null"\n')
    status, out, _ = say("replay", "other.rec", "--config", "one.toml")
    assert status == 0
    assert "boiler: online\n" in out


def test_replay_says_what_rules_would_have_set_and_what_was_only_pending(say: Say) -> None:
    night()
    site = SITE.replace(
        'driver = "json"\nport = "/dev/ttyPump"',
        'driver = "text"\nport = "/dev/ttyPump"\ncommands.off = { send = "OFF {value}" }',
    )
    hot = '[rules.hot]\nwhen = "boiler.temperature > 80"\ndo = [{ device = "pump", set = { off = 1 } }]\n'
    slow = '[rules.slow]\nwhen = "boiler.temperature > 80"\nfor = "2m"\n'
    Path("site.toml").write_text(site + hot + slow)
    _, out, _ = say("replay", "boiler=night.rec", "--config", "site.toml")
    assert "2026-11-22 22:00:20.000  pump is set by hot: off = 1\n" in out
    assert "  slow/boiler: was pending once, and never fired\n" in out
    assert "  overheat: never\n" in out


def test_metric_that_a_device_cannot_have_is_a_mistake_of_the_test(say: Say) -> None:
    register = "registers.t = { address = 0 }"
    site = f'[devices.meter]\ndriver = "modbus"\nport = "/dev/ttyMeter"\nunit = 1\n{register}\n'
    Path("site.toml").write_text(site + '[rules.hot]\nwhen = "meter.t > 80"\n')
    Path("test.toml").write_text(
        'config = "site.toml"\n[[reading]]\ndevice = "meter"\nat = "0s"\nvalues = { tt = 1 }\n'
        + expect("1s", "firing = []")
    )
    status, _, err = say("test", "test.toml")
    assert (status, err) == (
        78,
        'test.toml:5:12: reading[0].values.tt: meter has no metric "tt": did you mean "t"?\n',
    )
